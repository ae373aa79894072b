// SPDX-License-Identifier: Apache-2.0
//! Reproducible mutations, for runs without coverage in `cargo test`.

use crate::Target;

/// Maximum length of an input in bytes.
const MAX_BYTES: usize = 4096;
/// Bytes that often have a special meaning.
const SPECIAL_BYTES: &[u8] = b"\0\n \t\"\\=:;,-./0179<>[]*?#\x1b\x7f\x80\x9b\xff";

/// Generator of random numbers (xorshift64*; G. Marsaglia, Xorshift RNGs, 2003).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Returns the generator of the sequence `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Returns the next number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        high as usize % end.max(1)
    }

    /// Returns one of `items`.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len()))
    }
}

/// Returns an input of the corpus with one to six changes.
pub fn mutate(random: &mut Random, target: &Target, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut data = random.pick(corpus).cloned().unwrap_or_default();
    for _ in 0..=random.below(6) {
        change(random, target, corpus, &mut data);
    }
    data.truncate(MAX_BYTES);
    data
}

fn change(random: &mut Random, target: &Target, corpus: &[Vec<u8>], data: &mut Vec<u8>) {
    let at = random.below(data.len() + 1);
    match random.below(9) {
        0 => flip(random, data),
        1 => data.insert(at, random.below(256) as u8),
        2 => data.extend(random.pick(SPECIAL_BYTES)),
        3 => drop(data.drain(random_range(random, data.len()))),
        4 => {
            let again = data[random_range(random, data.len())].to_vec();
            data.splice(at..at, again);
        }
        5 => {
            let other = random.pick(corpus).cloned().unwrap_or_default();
            let part = other[random_range(random, other.len())].to_vec();
            data.splice(at..at, part);
        }
        6 => data.truncate(at),
        _ => {
            let token = random.pick(target.dictionary).unwrap_or(&"");
            let over = random_range(random, data.len() - at);
            let end = if random.below(2) == 0 { 0 } else { over.len() };
            data.splice(at..at + end, token.bytes());
        }
    }
    data.truncate(MAX_BYTES);
}

/// Changes a byte of `data`.
fn flip(random: &mut Random, data: &mut [u8]) {
    let at = random.below(data.len());
    let mask = match random.below(3) {
        0 => 1 << random.below(8),
        1 => random.below(256) as u8,
        _ => data.get(at).copied().unwrap_or(0) ^ SPECIAL_BYTES[random.below(SPECIAL_BYTES.len())],
    };
    if let Some(byte) = data.get_mut(at) {
        *byte ^= mask;
    }
}

/// Returns a range of at most 64 bytes within a length.
fn random_range(random: &mut Random, length: usize) -> std::ops::Range<usize> {
    let from = random.below(length + 1);
    from..from + random.below((length - from).min(64) + 1)
}
