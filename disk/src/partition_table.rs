// SPDX-License-Identifier: Apache-2.0
//! Partitions of a disk, from a GPT or an MBR.

use std::io;

use crate::bytes::{ReadAt, read_at};
use crate::partition::Partition;
use crate::{gpt, mbr};

/// Returns the partitions of a disk with logical sectors of `sector` bytes; none where no table
/// passes the checks.
///
/// # Errors
/// The disk could not be read.
pub fn partitions(source: &dyn ReadAt, sector: u32) -> io::Result<Vec<Partition>> {
    if let Some(gpt) = gpt::read(source, sector)? {
        return Ok(gpt.partitions());
    }
    let first = read_at(source, 0, 512)?;
    Ok(mbr::partitions(&first, source.size(), u64::from(sector)))
}
