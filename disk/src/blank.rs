// SPDX-License-Identifier: Apache-2.0
//! Test for a blank disk.

use std::io;

use crate::MIB;
use crate::bytes::{ReadAt, is_zero, read_at};

/// Number of samples between the ends of the disk.
const SAMPLES: u64 = 2048;

/// Returns true if a disk is blank: the first 64 MiB, the last 8 MiB, 4 KiB at every power of two
/// and at 2048 evenly spaced offsets are zero. The offsets include every one that [`crate::probe`]
/// reads, and the first MiB of the first partition of a lost table.
///
/// # Errors
/// The disk cannot be read.
pub fn is_blank(source: &dyn ReadAt) -> io::Result<bool> {
    let size = source.size();
    let chunk = 256 * 1024;
    let tail = size.saturating_sub(8 * MIB);
    let start = (0..size.min(64 * MIB)).step_by(chunk);
    let end = (tail..size).step_by(chunk);
    for at in start.chain(end) {
        if !is_zero(&read_at(source, at, chunk)?) {
            return Ok(false);
        }
    }
    let powers_of_two = (26..63).map(|n| 1u64 << n);
    let samples = (1..SAMPLES).map(|n| (size / SAMPLES).saturating_mul(n) & !4095);
    let between = |at: &u64| (64 * MIB..tail).contains(at);
    for at in powers_of_two.chain(samples).filter(between) {
        if !is_zero(&read_at(source, at, 4096)?) {
            return Ok(false);
        }
    }
    Ok(size > 0)
}
