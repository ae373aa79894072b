// SPDX-License-Identifier: Apache-2.0
//! Program of all targets; the variable `FUZZ_TARGET` of its environment names one. Without libFuzzer
//! the program runs the target on the files of its arguments.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    static RUN: std::sync::LazyLock<fn(&[u8])> = std::sync::LazyLock::new(fuzz::chosen);
    RUN(data);
});

#[cfg(not(fuzzing))]
fn main() {
    fuzz::replay(fuzz::chosen());
}
