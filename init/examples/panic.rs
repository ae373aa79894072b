//! Guards itself as PID 1 does, then panics; run again, it tells what it was told.
//! `tests/tests/panic.rs` runs it, built and linked as PID 1 is.
//!
//! Before that a child of it panics, which must end that child and nothing else.
//! With the word `starved` there is no memory to put the message together in.
#![expect(unsafe_code, reason = "setrlimit(2)")]

use std::fmt;
use std::hint::black_box;

/// A message longer than the memory that there is.
struct Long;

impl fmt::Display for Long {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..1 << 20).try_for_each(|_| f.write_str("0123456789abcdef"))
    }
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    if words.get(1).is_some_and(|w| w == "--after-crash") {
        println!("again {}", words[2..].join(" "));
        return;
    }
    init::crash::install_handlers(0);
    if words.get(1).is_some_and(|w| w == "starved") {
        let most = 8 << 20;
        let limit = libc::rlimit {
            rlim_cur: most,
            rlim_max: most,
        };
        // SAFETY: a structure that lives.
        unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) };
        panic!("{Long}");
    }
    let empty: &[u8] = black_box(&[]);
    let child = sys::syscall::in_child(|| println!("{}", empty[3]));
    let ended = child.is_some_and(|c| c.exited_within(10_000) && c.exit_status().is_none());
    println!("child ended by a signal: {ended}");
    println!("{}", empty[7]);
}
