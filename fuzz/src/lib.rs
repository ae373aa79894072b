// SPDX-License-Identifier: Apache-2.0
//! Fuzz targets: the properties of every parser that hold for any input.
//!
//! Each target is one function with three uses: cargo-fuzz (`fuzz_targets/`), a short run of
//! libFuzzer with the stable compiler (`examples/run.rs`), and `cargo test` (`tests/corpus.rs`: the
//! corpus, and reproducible mutations of it).

mod account;
pub mod cloud;
pub mod cmdline;
pub mod control;
pub mod dhcp;
pub mod extension;
pub mod ignition;
pub mod input;
pub mod kmsg;
pub mod module_record;
pub mod modules_dep;
pub mod mountinfo;
pub mod mutator;
pub mod notify;
pub mod remote_log;
pub mod report;
pub mod router;
pub mod service_file;
pub mod supervisor_events;
pub mod syslog;
pub mod template;
pub mod uevent;
pub mod varlink_message;

/// Fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Name of its module, its program and its directory in `corpus/`.
    pub name: &'static str,
    /// Function that panics if a property does not hold.
    pub run: fn(&[u8]),
    /// Tokens of its input format, which mutations insert.
    pub dictionary: &'static [&'static str],
}

/// Makes the target of a module.
macro_rules! target {
    ($name:ident) => {
        Target {
            name: stringify!($name),
            run: $name::$name,
            dictionary: $name::DICTIONARY,
        }
    };
}

/// Every target.
pub const TARGETS: &[Target] = &[
    target!(cloud),
    target!(cmdline),
    target!(control),
    target!(dhcp),
    target!(extension),
    target!(ignition),
    target!(kmsg),
    target!(module_record),
    target!(modules_dep),
    target!(mountinfo),
    target!(notify),
    target!(remote_log),
    target!(report),
    target!(router),
    target!(service_file),
    target!(supervisor_events),
    target!(syslog),
    target!(template),
    target!(uevent),
    target!(varlink_message),
];

/// Runs a target on the files in the arguments.
pub fn replay(run: fn(&[u8])) {
    for file in std::env::args_os().skip(1) {
        match std::fs::read(&file) {
            Ok(bytes) => run(&bytes),
            Err(why) => eprintln!("{}: {why}", file.display()),
        }
    }
}

/// Defines the program of a target: libFuzzer's if it is linked, or else [`replay`].
#[macro_export]
macro_rules! target {
    ($name:ident) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|data: &[u8]| $crate::$name::$name(data));

        #[cfg(not(fuzzing))]
        fn main() {
            $crate::replay($crate::$name::$name);
        }
    };
}
