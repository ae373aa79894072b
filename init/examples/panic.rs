// SPDX-License-Identifier: Apache-2.0
//! Installs the handlers of PID 1 and panics. A child panics first, which must end that child and
//! nothing else. With the argument `starved` the process has no memory for its message. Executed
//! again by the handlers, prints its arguments.
//!
//! `tests/tests/panic.rs` runs the program, built and linked as PID 1 is.
#![expect(unsafe_code, reason = "setrlimit(2)")]

use std::fmt;
use std::hint::black_box;

/// Message that is longer than the available memory.
struct LongMessage;

impl fmt::Display for LongMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..1 << 20).try_for_each(|_| f.write_str("0123456789abcdef"))
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args.get(1).is_some_and(|arg| arg == "--after-crash") {
        println!("again {}", args[2..].join(" "));
        return;
    }
    init::crash::install_handlers(init::crash::Crashes::default());
    if args.get(1).is_some_and(|arg| arg == "starved") {
        let max_bytes = 8 << 20;
        let limit = libc::rlimit {
            rlim_cur: max_bytes,
            rlim_max: max_bytes,
        };
        // SAFETY: a live structure.
        unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) };
        panic!("{LongMessage}");
    }
    let empty: &[u8] = black_box(&[]);
    let child = sys::syscall::in_child(|| println!("{}", empty[3]));
    let ended = child.is_some_and(|c| c.exited_within(10_000) && c.exit_status().is_none());
    println!("child ended by a signal: {ended}");
    println!("{}", empty[7]);
}
