//! Mutations that are always the same: for runs without coverage, in `cargo test`.

use crate::Target;

/// No input grows longer than this.
const LONGEST: usize = 4096;
/// What finds edges.
const BYTES: &[u8] = b"\0\n \t\"\\=:;,-./0179<>[]*?#\x1b\x7f\x80\x9b\xff";

/// A generator of numbers (xorshift64*; G. Marsaglia, Xorshift RNGs, 2003).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence number `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number, below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        high as usize % end.max(1)
    }

    /// One of `all`.
    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        all.get(self.below(all.len()))
    }
}

/// One input made of those in `corpus`: one of them, changed one to six times.
pub fn mutant(random: &mut Random, target: &Target, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut data = random.pick(corpus).cloned().unwrap_or_default();
    for _ in 0..=random.below(6) {
        change(random, target, corpus, &mut data);
    }
    data.truncate(LONGEST);
    data
}

fn change(random: &mut Random, target: &Target, corpus: &[Vec<u8>], data: &mut Vec<u8>) {
    let at = random.below(data.len() + 1);
    match random.below(9) {
        0 => flip(random, data),
        1 => data.insert(at, random.below(256) as u8),
        2 => data.extend(random.pick(BYTES)),
        3 => drop(data.drain(some(random, data.len()))),
        4 => {
            let again = data[some(random, data.len())].to_vec();
            data.splice(at..at, again);
        }
        5 => {
            let other = random.pick(corpus).cloned().unwrap_or_default();
            let part = other[some(random, other.len())].to_vec();
            data.splice(at..at, part);
        }
        6 => data.truncate(at),
        _ => {
            let word = random.pick(target.words).unwrap_or(&"");
            let over = some(random, data.len() - at);
            let end = if random.below(2) == 0 { 0 } else { over.len() };
            data.splice(at..at + end, word.bytes());
        }
    }
    data.truncate(LONGEST);
}

/// A byte of `data` becomes another.
fn flip(random: &mut Random, data: &mut [u8]) {
    let at = random.below(data.len());
    let by = match random.below(3) {
        0 => 1 << random.below(8),
        1 => random.below(256) as u8,
        _ => data.get(at).copied().unwrap_or(0) ^ BYTES[random.below(BYTES.len())],
    };
    if let Some(byte) = data.get_mut(at) {
        *byte ^= by;
    }
}

/// A range of at most 64 within a length.
fn some(random: &mut Random, length: usize) -> std::ops::Range<usize> {
    let from = random.below(length + 1);
    from..from + random.below((length - from).min(64) + 1)
}
