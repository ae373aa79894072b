// SPDX-License-Identifier: Apache-2.0
//! Partition tables that the kernel does not read, on disks with data of this system: a table for sectors of another
//! size, as a USB bridge or a copy to another disk leaves it, or one of which both copies are damaged.

use std::collections::BTreeSet;
use std::io;

use crate::bytes::{Range, ReadAt, is_zero, le64, read_at};
use crate::gpt::{self, Gpt};
use crate::partition_table::partitions;
use crate::signature::Signature;
use crate::truncation::{end_of_data_partition, has_data_label};
use crate::{MIB, format_record};

/// Sizes of sectors for which disks are made.
const SECTORS: [u32; 2] = [512, 4096];
/// Size of the usual array of entries, and of an entry, in bytes.
const ARRAY_BYTES: u64 = 16 << 10;
const ENTRY_BYTES: usize = 128;
/// Number of places that are looked at.
const MAX_PLACES: usize = 32;

/// Reason why the table of a disk with data of this system is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableFault {
    /// The table is one for sectors of this size, in bytes, and the disk has sectors of another size.
    OtherSector(u32),
    /// No copy of the table is valid.
    Damaged,
}

impl TableFault {
    /// Returns the fault and its remedy, as a clause.
    #[must_use]
    pub fn describe(self) -> String {
        match self {
            TableFault::OtherSector(unit) => format!(
                "it has data of this system, but its partition table cannot be read: the table is made for sectors of \
                 {unit} bytes, and the disk has another size now; it is left alone; attach it with sectors of {unit} bytes"
            ),
            TableFault::Damaged => "it has data of this system, but its partition table is damaged, and so is the copy at \
                 the end; it is left alone; restore the table, or erase the disk to use it anew"
                .to_owned(),
        }
    }
}

/// Finds the fault of a whole disk with logical sectors of `sector` bytes; `None` for a disk with a valid table, with
/// other content, or without data of this system.
///
/// # Errors
/// The disk cannot be read.
pub fn table_fault(
    source: &dyn ReadAt,
    sector: u32,
    signatures: &[Signature],
) -> io::Result<Option<TableFault>> {
    let has_content = signatures.iter().any(|s| !s.kind.is_partition_table());
    if has_content || is_read(source, sector)? {
        return Ok(None);
    }
    for unit in SECTORS.into_iter().filter(|unit| *unit != sector) {
        if let Some(table) = any_table(source, unit)?
            && end_of_data_partition(source, &table.partitions())?.is_some()
        {
            return Ok(Some(TableFault::OtherSector(unit)));
        }
    }
    Ok(has_data(source)?.then_some(TableFault::Damaged))
}

/// Returns true if a table is valid for this size of sectors, also if the disk is shorter than the table.
fn is_read(source: &dyn ReadAt, sector: u32) -> io::Result<bool> {
    Ok(any_table(source, sector)?.is_some() || !partitions(source, sector)?.is_empty())
}

fn any_table(source: &dyn ReadAt, sector: u32) -> io::Result<Option<Gpt>> {
    match gpt::read(source, sector)? {
        None => Ok(gpt::read_oversized(source, sector)?.map(|(table, _)| table)),
        table => Ok(table),
    }
}

/// Returns true if there is a data file system where the format puts one, or where the rest of a table has a partition.
fn has_data(source: &dyn ReadAt) -> io::Result<bool> {
    let mut places = BTreeSet::new();
    for unit in SECTORS.map(u64::from) {
        let array = ARRAY_BYTES / unit;
        let backup = (source.size() / unit).saturating_sub(1 + array);
        // The array that a grown table has, and the backup's.
        for lba in [2, 2 + array, backup] {
            let entries = read_at(source, lba * unit, ARRAY_BYTES as usize)?;
            places.extend(
                entries
                    .chunks_exact(ENTRY_BYTES)
                    .filter_map(|e| start(e, unit)),
            );
        }
    }
    let usual = [MIB, format_record::USUAL_PARTITION_OFFSET];
    for offset in usual.into_iter().chain(places).take(MAX_PLACES) {
        let len = source.size().saturating_sub(offset);
        let inside = Range {
            source,
            offset,
            len,
        };
        if len > MIB && has_data_label(&inside)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns the offset of the partition of an entry in bytes, if the entry may be one.
fn start(entry: &[u8], unit: u64) -> Option<u64> {
    let (first, last) = (le64(entry, 32), le64(entry, 40));
    let is_entry = !is_zero(&entry[..16]) && 0 < first && first <= last;
    is_entry.then(|| first.checked_mul(unit)).flatten()
}

#[cfg(test)]
mod tests;
