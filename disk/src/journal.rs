// SPDX-License-Identifier: Apache-2.0
//! Record of a format in progress: its parameters, and the archive that must survive the format.
//! The record is between the partition table and the partition, in a MiB to which nothing else is
//! written.
//!
//! ```text
//! 0                 partition table, and the format magic
//! offset            record, one sector; a checksum tells if it is whole
//! offset + 4096     archive, with the length and the checksum in the record
//! partition_offset  partition
//! ```

use std::io;

use crate::bytes::{ReadAt, array, le32, le64, put, read_at};
use crate::crc::crc32;
use crate::uuid::Uuid;
use crate::{FORMAT_MAGIC, MIB, userdata};

const MAGIC: &[u8; 16] = b"b2p format 0001\n";
/// Size of the record in bytes: one sector, which is written whole or not at all.
const RECORD_BYTES: usize = 512;
/// Offset of the record's checksum in the record.
const CHECKSUM: usize = RECORD_BYTES - 4;
/// Offset of the reference to the record in the first sector of the disk.
const REFERENCE: usize = 64;
/// Distance of the archive from the record, in bytes.
const ARCHIVE: u64 = 4096;
/// Maximum offset of a record: the next MiB after the longest archive.
const MAX_OFFSET: u64 = 17 * MIB;

/// Format in progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    /// Offset of the record in bytes.
    pub offset: u64,
    /// Offset of the partition in bytes.
    pub partition_offset: u64,
    /// Size of a logical sector in bytes.
    pub sector: u32,
    /// GUID of the disk.
    pub disk: Uuid,
    /// GUID of the partition.
    pub partition: Uuid,
    /// UUID of the file system.
    pub filesystem: Uuid,
    /// Archive; empty if the disk requested the format without one.
    pub archive: Vec<u8>,
}

impl Journal {
    /// Returns a record for an archive at the beginning of the disk. The record and its copy of the
    /// archive are after the original, so that both exist for a while. `random` gives the three
    /// UUIDs.
    #[must_use]
    pub fn new(archive: Vec<u8>, sector: u32, random: [Uuid; 3]) -> Journal {
        let len = archive.len() as u64;
        let offset = len.next_multiple_of(MIB).max(MIB);
        let [disk, partition, filesystem] = random.map(crate::uuid::from_random);
        Journal {
            offset,
            partition_offset: (offset + ARCHIVE + len).next_multiple_of(MIB),
            sector,
            disk,
            partition,
            filesystem,
            archive,
        }
    }

    /// Offset of the copy of the archive, in bytes.
    #[must_use]
    pub fn archive_offset(&self) -> u64 {
        self.offset + ARCHIVE
    }

    /// Returns the bytes of the record on the disk.
    #[must_use]
    pub fn record(&self) -> Vec<u8> {
        let mut record = vec![0; RECORD_BYTES];
        put(&mut record, 0, MAGIC);
        put(&mut record, 16, &self.offset.to_le_bytes());
        put(&mut record, 24, &self.partition_offset.to_le_bytes());
        put(&mut record, 32, &self.sector.to_le_bytes());
        put(&mut record, 48, &self.disk);
        put(&mut record, 64, &self.partition);
        put(&mut record, 80, &self.filesystem);
        put(&mut record, 96, &(self.archive.len() as u64).to_le_bytes());
        put(&mut record, 104, &crc32(&self.archive).to_le_bytes());
        let checksum = crc32(&record[..CHECKSUM]);
        put(&mut record, CHECKSUM, &checksum.to_le_bytes());
        record
    }

    /// Returns the boot code of the disk's first sector: the format magic, and a reference to the
    /// record by offset and checksum. Records of earlier formats may exist as well.
    #[must_use]
    pub fn boot_code(&self) -> Vec<u8> {
        let mut boot_code = vec![0; 440];
        put(&mut boot_code, 0, FORMAT_MAGIC[0].as_bytes());
        put(&mut boot_code, REFERENCE, &self.offset.to_le_bytes());
        put(
            &mut boot_code,
            REFERENCE + 8,
            &self.checksum().to_le_bytes(),
        );
        boot_code
    }

    /// Checksum in the record. The CRC of a record including its CRC is a constant, so the reference
    /// stores the CRC of the record without its last four bytes.
    fn checksum(&self) -> u32 {
        le32(&self.record(), CHECKSUM)
    }

    /// Reads the record at `offset` and its archive; `None` if either is not whole.
    fn read(source: &dyn ReadAt, offset: u64) -> io::Result<Option<Journal>> {
        let record = read_at(source, offset, RECORD_BYTES)?;
        let valid = record.starts_with(MAGIC)
            && le32(&record, CHECKSUM) == crc32(record.get(..CHECKSUM).unwrap_or_default());
        let len = le64(&record, 96);
        let max_len = userdata::MAX_ARCHIVE_BYTES as u64 + 512;
        if !valid || le64(&record, 16) != offset || len > max_len {
            return Ok(None);
        }
        let journal = Journal {
            offset,
            partition_offset: le64(&record, 24),
            sector: le32(&record, 32),
            disk: array(&record, 48),
            partition: array(&record, 64),
            filesystem: array(&record, 80),
            archive: read_at(source, offset + ARCHIVE, len as usize)?,
        };
        let has_room = journal.partition_offset.is_multiple_of(MIB)
            && journal.partition_offset >= journal.archive_offset() + len;
        let archive = &journal.archive;
        let is_whole = archive.len() as u64 == len && crc32(archive) == le32(&record, 104);
        Ok((has_room && is_whole).then_some(journal))
    }
}

/// Returns the record that the first sector of the disk refers to.
///
/// # Errors
/// The disk cannot be read.
pub fn referenced(source: &dyn ReadAt, first_sector: &[u8]) -> io::Result<Option<Journal>> {
    let offset = le64(first_sector, REFERENCE);
    if !offset.is_multiple_of(MIB) || !(MIB..=MAX_OFFSET).contains(&offset) {
        return Ok(None);
    }
    let checksum = le32(first_sector, REFERENCE + 8);
    let journal = Journal::read(source, offset)?;
    Ok(journal.filter(|journal| journal.checksum() == checksum))
}

/// Returns the record of the format that created this disk and this partition, if the record was
/// not erased yet.
///
/// # Errors
/// The disk cannot be read.
pub fn leftover(
    source: &dyn ReadAt,
    disk: &Uuid,
    partition_offset: u64,
) -> io::Result<Option<Journal>> {
    let end = partition_offset.min(MAX_OFFSET + 1);
    for offset in (MIB..end).step_by(MIB as usize) {
        let journal = Journal::read(source, offset)?;
        let is_own = |journal: &Journal| {
            journal.disk == *disk && journal.partition_offset == partition_offset
        };
        if let Some(journal) = journal.filter(is_own) {
            return Ok(Some(journal));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn disk_with(journal: &Journal) -> Vec<u8> {
        let mut disk = vec![0; (journal.partition_offset + MIB) as usize];
        put(&mut disk, 0, &journal.boot_code());
        put(&mut disk, journal.offset as usize, &journal.record());
        put(
            &mut disk,
            journal.archive_offset() as usize,
            &journal.archive,
        );
        disk
    }

    #[test]
    fn a_record_is_after_the_archive_and_before_the_partition() {
        for (len, offset, partition_offset) in [
            (0, 1, 2),
            (10_240, 1, 2),
            (1 << 20, 1, 3),
            (3_000_000, 3, 6),
            (16 << 20, 16, 33),
        ] {
            let journal = Journal::new(vec![5; len], 512, [[1; 16]; 3]);
            assert_eq!(
                (journal.offset, journal.partition_offset),
                (offset * MIB, partition_offset * MIB)
            );
            let disk = disk_with(&journal);
            assert_eq!(
                referenced(&disk, &disk[..512]).unwrap(),
                Some(journal.clone())
            );
            assert_eq!(
                leftover(&disk, &journal.disk, journal.partition_offset).unwrap(),
                Some(journal.clone())
            );
            assert_eq!(
                leftover(&disk, &[0; 16], journal.partition_offset).unwrap(),
                None
            );
            let other = Journal {
                disk: [9; 16],
                ..journal
            };
            assert_eq!(referenced(&disk, &other.boot_code()).unwrap(), None);
        }
    }

    #[test]
    fn any_wrong_bit_invalidates_a_record() {
        let journal = Journal::new(b"archive".repeat(90), 512, [[1; 16]; 3]);
        let good = disk_with(&journal);
        let at = journal.offset as usize;
        for byte in (at..at + 512).chain(at + 4096..at + 4096 + 630) {
            let mut disk = good.clone();
            disk[byte] ^= 4;
            assert_eq!(referenced(&disk, &disk[..512]).unwrap(), None, "{byte}");
            assert_eq!(
                leftover(&disk, &journal.disk, journal.partition_offset).unwrap(),
                None,
                "{byte}"
            );
        }
    }
}
