// SPDX-License-Identifier: Apache-2.0
//! Tables of disks that were larger.

use std::io;

use super::{Gpt, is_header, read_table};
use crate::bytes::{ReadAt, le64, read_at};

/// Reads a primary table that is intact and describes a larger disk, with the size of that disk in
/// bytes; `None` if the table is invalid, or the disk is as large as the table states.
///
/// # Errors
/// The disk cannot be read.
pub fn read_oversized(source: &dyn ReadAt, sector: u32) -> io::Result<Option<(Gpt, u64)>> {
    let unit = u64::from(sector);
    if !matches!(sector, 512 | 1024 | 2048 | 4096) || source.size() / unit < 6 {
        return Ok(None);
    }
    let header = read_at(source, unit, sector as usize)?;
    // The backup is in the last sector, behind the last usable one.
    let last = le64(&header, 32).max(le64(&header, 48));
    let size = last.checked_add(1).and_then(|n| n.checked_mul(unit));
    let Some(size) = size.filter(|size| *size > source.size() && is_header(&header, 1)) else {
        return Ok(None);
    };
    let table = read_table(source, sector, 1, size / unit)?;
    Ok(table.map(|table| (table, size)))
}
