//! Guards itself as PID 1 does, then panics; run again, it tells what it was told.
//! `tests/tests/panic.rs` runs it, built and linked as PID 1 is.

use std::hint::black_box;

fn main() {
    let words: Vec<String> = std::env::args().collect();
    if words.get(1).is_some_and(|w| w == "--after-crash") {
        println!("again {}", words[2..].join(" "));
        return;
    }
    init::crash::guard(0);
    let empty: &[u8] = black_box(&[]);
    println!("{}", empty[7]);
}
