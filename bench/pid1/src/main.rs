//! `make bench CASE=pid1`, the guest's side: as the guest's first program it starts every
//! candidate as PID 1 of namespaces of its own and measures it ([`drive`]); under any
//! other pid it is the one service that each of them runs ([`work`]).
//!
//! C's `main`, not Rust's: the first thing that the service does is to look at the clock.
#![cfg_attr(not(test), no_main)]
#![expect(unsafe_code, reason = "C's main")]

use std::ffi::{c_char, c_int};

use nix::time::{ClockId, clock_gettime};

mod candidates;
mod drive;
mod life;
mod measure;
mod place;
mod proc;
mod say;
mod work;

/// Where the kernel, or a candidate, starts us.
///
/// # Safety
/// C's own start code calls it, once.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn main(_: c_int, _: *const *const c_char) -> c_int {
    let first = now();
    match std::process::id() {
        1 => drive::main(),
        _ => work::main(first),
    }
}

/// Nanoseconds since the kernel started.
fn now() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |t| {
        t.tv_sec().unsigned_abs() * 1_000_000_000 + t.tv_nsec().unsigned_abs()
    })
}
