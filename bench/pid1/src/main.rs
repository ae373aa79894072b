// SPDX-License-Identifier: Apache-2.0
//! The guest's side of `make bench CASE=pid1`. As the guest's first program, the program starts and
//! measures every candidate as PID 1 of namespaces ([`drive`]). Under any other pid, the program is
//! the one service that each candidate runs ([`work`]).
//!
//! `main` is C's, not Rust's, because the service reads the clock with its first instructions.
#![cfg_attr(not(test), no_main)]
#![expect(unsafe_code, reason = "C's main")]

use std::ffi::{c_char, c_int};

use nix::time::{ClockId, clock_gettime};

mod candidates;
mod drive;
mod life;
mod measure;
mod namespaces;
mod proc;
mod say;
mod work;

/// Entry point for the kernel and for candidates.
///
/// # Safety
/// C's start code calls this function once.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn main(_: c_int, _: *const *const c_char) -> c_int {
    let first = now();
    match std::process::id() {
        1 => drive::main(),
        _ => work::main(first),
    }
}

/// Returns nanoseconds since the kernel started.
fn now() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |t| {
        t.tv_sec().unsigned_abs() * 1_000_000_000 + t.tv_nsec().unsigned_abs()
    })
}
