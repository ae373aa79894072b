//! Whether there is nothing on a disk.

use std::io;

use crate::MIB;
use crate::bytes::{ReadAt, is_zero, read_at};

/// How many places between the ends [`is_blank`] looks at.
const SAMPLES: u64 = 2048;

/// Whether a disk is blank: the first 64 MiB, the last 8 MiB, 4 KiB at every power
/// of two and at 2048 places evenly between are zero. That is every place where
/// [`crate::probe`] looks, and the first MiB of a partition that a lost table had.
///
/// # Errors
/// What the system said.
pub fn is_blank(source: &dyn ReadAt) -> io::Result<bool> {
    let size = source.size();
    let chunk = 256 * 1024;
    let tail = size.saturating_sub(8 * MIB);
    let front = (0..size.min(64 * MIB)).step_by(chunk);
    let back = (tail..size).step_by(chunk);
    for at in front.chain(back) {
        if !is_zero(&read_at(source, at, chunk)?) {
            return Ok(false);
        }
    }
    let powers = (26..63).map(|n| 1u64 << n);
    let even = (1..SAMPLES).map(|n| (size / SAMPLES).saturating_mul(n) & !4095);
    let between = |at: &u64| (64 * MIB..tail).contains(at);
    for at in powers.chain(even).filter(between) {
        if !is_zero(&read_at(source, at, 4096)?) {
            return Ok(false);
        }
    }
    Ok(size > 0)
}
