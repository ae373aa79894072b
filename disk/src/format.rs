// SPDX-License-Identifier: Apache-2.0
//! Formatting of the data disk, which survives a power failure at any moment.
//!
//! | State | On the disk | Next boot |
//! |---|---|---|
//! | requested | the format magic and a whole archive | formats, unless any known signature is on the disk |
//! | recorded | as above, and a record with a copy of the archive | starts again: the archive at the front is still whole, and may be newer |
//! | taken | the format magic in a protective MBR: the first archive is overwritten, the record is valid | repeats the format |
//! | wiped | no old signatures in the place of the partition | repeats the format |
//! | partitioned | the table, and in the partition nothing or a file system labelled [`UNFINISHED_LABEL`] | repeats the format |
//! | complete | the file system with userdata.tar and its final label; format magic and record still exist | erases them, then uses the file system |
//! | half erased | no format magic | erases the record, then uses the file system |
//! | done | no record | uses the file system |
//!
//! Each step ends in a flush. A format is repeated only while both the format magic and the record
//! exist, and the file system is not used before both are erased. A repeated format therefore
//! destroys nothing but userdata.tar. A file system with the final label is never created again,
//! unless the power failure has torn the superblock that has the label; neither is one that the
//! format has not created.

use std::fmt;

use crate::disk_op::DiskOp;
use crate::format_record::FormatRecord;
use crate::gpt::{self, DataTable};
use crate::{LABELS, MIB, UNFINISHED_LABEL, uuid};

/// Minimum size of the partition in bytes: ext4 with its journal takes most of this size.
pub const MIN_PARTITION_BYTES: u64 = 32 * MIB;

/// Disk that is formatted: a device, or a disk in memory in tests. Each call returns when its
/// effect is durable, except for [`FormatTarget::write`].
///
/// An error ends the format, which the next boot repeats.
pub trait FormatTarget {
    /// Error of the target's methods.
    type Error;
    /// Writes to the disk.
    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Self::Error>;
    /// Makes every write so far durable.
    fn flush(&mut self) -> Result<(), Self::Error>;
    /// Makes the kernel know the partition.
    fn add_partition(&mut self, offset: u64, len: u64) -> Result<(), Self::Error>;
    /// Creates an empty file system in the partition.
    fn make_filesystem(&mut self, uuid: &str, label: &str) -> Result<(), Self::Error>;
    /// Stores userdata.tar in the file system.
    fn store_userdata(&mut self, archive: &[u8]) -> Result<(), Self::Error>;
    /// Sets the final label of the file system.
    fn set_label(&mut self, label: &str) -> Result<(), Self::Error>;
    /// Reports the next step to the user.
    fn report(&mut self, step: &str);
}

/// Reason why a disk was not formatted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormatError<E> {
    /// Disk of this size in MiB is too small.
    TooSmall(u64),
    /// Step of the format failed.
    Step(E),
}

impl<E: fmt::Display> fmt::Display for FormatError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FormatError::TooSmall(mib) => write!(f, "{mib} MiB are too few for a data disk"),
            FormatError::Step(e) => e.fmt(f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for FormatError<E> {}

/// Formats a disk of `size` bytes according to the record, from the beginning if `fresh` is true,
/// or else from the step after the record was written. See the table above.
///
/// # Errors
/// The disk is too small, or a step failed.
pub fn format<T: FormatTarget>(
    size: u64,
    record: &FormatRecord,
    fresh: bool,
    target: &mut T,
) -> Result<(), FormatError<T::Error>> {
    let table = DataTable {
        size,
        sector: record.sector,
        offset: record.partition_offset,
        disk_guid: record.disk_guid,
        partition_guid: record.partition_guid,
    };
    let len = table.partition_len();
    let len = len.filter(|len| *len >= MIN_PARTITION_BYTES);
    let len = len.ok_or(FormatError::TooSmall(size / MIB))?;
    run_steps(&table, len, record, fresh, target).map_err(FormatError::Step)
}

fn run_steps<T: FormatTarget>(
    table: &DataTable,
    len: u64,
    record: &FormatRecord,
    fresh: bool,
    target: &mut T,
) -> Result<(), T::Error> {
    if fresh {
        write_record(record, target)?;
    }
    partition(table, len, record, target)?;
    target.report(&format!("makes an ext4 file system of {} MiB", len / MIB));
    target.make_filesystem(&uuid::text(&record.filesystem_uuid), UNFINISHED_LABEL)?;
    target.store_userdata(&record.archive)?;
    target.set_label(LABELS[0])?;
    finish(table.size, record, target)?;
    target.report("done");
    Ok(())
}

/// Writes the copy of the archive, and then the record.
fn write_record<T: FormatTarget>(record: &FormatRecord, target: &mut T) -> Result<(), T::Error> {
    target.report("keeps what came with the disk");
    target.write(record.archive_offset(), &record.archive)?;
    target.flush()?;
    target.write(record.offset, &record.to_bytes())?;
    target.flush()
}

/// Writes the protective MBR with the reference to the record, wipes the place of the partition,
/// and writes the table.
fn partition<T: FormatTarget>(
    table: &DataTable,
    len: u64,
    record: &FormatRecord,
    target: &mut T,
) -> Result<(), T::Error> {
    let boot_code = record.boot_code();
    target.write(
        0,
        &gpt::protective_mbr(table.size, table.sector, &boot_code),
    )?;
    target.flush()?;
    target.report("makes one partition");
    wipe(table.offset, len, target)?;
    for op in table.writes(&boot_code).unwrap_or_default() {
        match op {
            DiskOp::Write(offset, bytes) => target.write(offset, &bytes)?,
            DiskOp::Flush => target.flush()?,
        }
    }
    target.add_partition(table.offset, len)
}

/// Finishes a format that is complete: erases the format magic, then the record.
///
/// # Errors
/// A write failed; the next boot repeats the write.
pub fn finish<T: FormatTarget>(
    size: u64,
    record: &FormatRecord,
    target: &mut T,
) -> Result<(), T::Error> {
    target.write(0, &gpt::protective_mbr(size, record.sector, &[]))?;
    target.flush()?;
    target.write(record.offset, &[0; 512])?;
    target.flush()
}

/// Overwrites with zeros every place of the partition where an old format may have a signature.
fn wipe<T: FormatTarget>(offset: u64, len: u64, target: &mut T) -> Result<(), T::Error> {
    let zeros = [0; 64 * 1024];
    let end = offset + len;
    let front = (offset..offset + 5 * MIB).step_by(zeros.len());
    let back = (end - MIB..end).step_by(zeros.len());
    for at in front.chain(back) {
        target.write(at, &zeros)?;
    }
    target.flush()
}

#[cfg(test)]
mod tests;
