// SPDX-License-Identifier: Apache-2.0
//! Record of a format in progress: its parameters, and the archive that must survive the format.
//! Both are between the partition table and the partition, from the beginning of a MiB; nothing else is
//! written there.
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

/// Record of a format in progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatRecord {
    /// Offset of the record in bytes.
    pub offset: u64,
    /// Offset of the partition in bytes.
    pub partition_offset: u64,
    /// Size of a logical sector in bytes.
    pub sector: u32,
    /// GUID of the disk.
    pub disk_guid: Uuid,
    /// GUID of the partition.
    pub partition_guid: Uuid,
    /// UUID of the file system.
    pub filesystem_uuid: Uuid,
    /// Archive; empty if the disk requested the format without one.
    pub archive: Vec<u8>,
}

/// Offset of the data partition behind a record of the usual size, in bytes.
pub const USUAL_PARTITION_OFFSET: u64 = 2 * MIB;

impl FormatRecord {
    /// Returns a record for an archive at the beginning of the disk. The record and its copy of the
    /// archive are after the original, so that both exist for a while. `random` gives the three
    /// UUIDs.
    #[must_use]
    pub fn new(archive: Vec<u8>, sector: u32, random: [Uuid; 3]) -> FormatRecord {
        let len = archive.len() as u64;
        let offset = len.next_multiple_of(MIB).max(MIB);
        let [disk_guid, partition_guid, filesystem_uuid] = random.map(crate::uuid::from_random);
        FormatRecord {
            offset,
            partition_offset: (offset + ARCHIVE + len).next_multiple_of(MIB),
            sector,
            disk_guid,
            partition_guid,
            filesystem_uuid,
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
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; RECORD_BYTES];
        put(&mut bytes, 0, MAGIC);
        put(&mut bytes, 16, &self.offset.to_le_bytes());
        put(&mut bytes, 24, &self.partition_offset.to_le_bytes());
        put(&mut bytes, 32, &self.sector.to_le_bytes());
        put(&mut bytes, 48, &self.disk_guid);
        put(&mut bytes, 64, &self.partition_guid);
        put(&mut bytes, 80, &self.filesystem_uuid);
        put(&mut bytes, 96, &(self.archive.len() as u64).to_le_bytes());
        put(&mut bytes, 104, &crc32(&self.archive).to_le_bytes());
        let checksum = crc32(&bytes[..CHECKSUM]);
        put(&mut bytes, CHECKSUM, &checksum.to_le_bytes());
        bytes
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
        le32(&self.to_bytes(), CHECKSUM)
    }

    /// Reads the record at `offset` and its archive; `None` if either is not whole.
    fn from_disk(source: &dyn ReadAt, offset: u64) -> io::Result<Option<FormatRecord>> {
        let bytes = read_at(source, offset, RECORD_BYTES)?;
        let valid = bytes.starts_with(MAGIC)
            && le32(&bytes, CHECKSUM) == crc32(bytes.get(..CHECKSUM).unwrap_or_default());
        let len = le64(&bytes, 96);
        let max_len = userdata::MAX_ARCHIVE_BYTES as u64 + 512;
        if !valid || le64(&bytes, 16) != offset || len > max_len {
            return Ok(None);
        }
        let record = FormatRecord {
            offset,
            partition_offset: le64(&bytes, 24),
            sector: le32(&bytes, 32),
            disk_guid: array(&bytes, 48),
            partition_guid: array(&bytes, 64),
            filesystem_uuid: array(&bytes, 80),
            archive: read_at(source, offset + ARCHIVE, len as usize)?,
        };
        let has_room = record.partition_offset.is_multiple_of(MIB)
            && record.partition_offset >= record.archive_offset() + len;
        let archive = &record.archive;
        let is_whole = archive.len() as u64 == len && crc32(archive) == le32(&bytes, 104);
        Ok((has_room && is_whole).then_some(record))
    }
}

/// Returns the record that the first sector of the disk refers to.
///
/// # Errors
/// The disk cannot be read.
pub fn referenced(source: &dyn ReadAt, first_sector: &[u8]) -> io::Result<Option<FormatRecord>> {
    let offset = le64(first_sector, REFERENCE);
    if !offset.is_multiple_of(MIB) || !(MIB..=MAX_OFFSET).contains(&offset) {
        return Ok(None);
    }
    let checksum = le32(first_sector, REFERENCE + 8);
    let record = FormatRecord::from_disk(source, offset)?;
    Ok(record.filter(|record| record.checksum() == checksum))
}

/// Returns the record of the format that created this disk and this partition, if the record was
/// not erased yet.
///
/// # Errors
/// The disk cannot be read.
pub fn leftover(
    source: &dyn ReadAt,
    disk_guid: &Uuid,
    partition_offset: u64,
) -> io::Result<Option<FormatRecord>> {
    let end = partition_offset.min(MAX_OFFSET + 1);
    for offset in (MIB..end).step_by(MIB as usize) {
        let record = FormatRecord::from_disk(source, offset)?;
        let is_own = |record: &FormatRecord| {
            record.disk_guid == *disk_guid && record.partition_offset == partition_offset
        };
        if let Some(record) = record.filter(is_own) {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn disk_with(record: &FormatRecord) -> Vec<u8> {
        let mut disk = vec![0; (record.partition_offset + MIB) as usize];
        put(&mut disk, 0, &record.boot_code());
        put(&mut disk, record.offset as usize, &record.to_bytes());
        put(&mut disk, record.archive_offset() as usize, &record.archive);
        disk
    }

    #[test]
    fn the_usual_partition_is_that_of_a_small_archive() {
        for len in [0, 100_000] {
            let record = FormatRecord::new(vec![0; len], 512, [[1; 16]; 3]);
            assert_eq!(record.partition_offset, USUAL_PARTITION_OFFSET);
        }
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
            let record = FormatRecord::new(vec![5; len], 512, [[1; 16]; 3]);
            assert_eq!(
                (record.offset, record.partition_offset),
                (offset * MIB, partition_offset * MIB)
            );
            let disk = disk_with(&record);
            assert_eq!(
                referenced(&disk, &disk[..512]).unwrap(),
                Some(record.clone())
            );
            assert_eq!(
                leftover(&disk, &record.disk_guid, record.partition_offset).unwrap(),
                Some(record.clone())
            );
            assert_eq!(
                leftover(&disk, &[0; 16], record.partition_offset).unwrap(),
                None
            );
            let other = FormatRecord {
                disk_guid: [9; 16],
                ..record
            };
            assert_eq!(referenced(&disk, &other.boot_code()).unwrap(), None);
        }
    }

    #[test]
    fn any_wrong_bit_invalidates_a_record() {
        let record = FormatRecord::new(b"archive".repeat(90), 512, [[1; 16]; 3]);
        let good = disk_with(&record);
        let at = record.offset as usize;
        for byte in (at..at + 512).chain(at + 4096..at + 4096 + 630) {
            let mut disk = good.clone();
            disk[byte] ^= 4;
            assert_eq!(referenced(&disk, &disk[..512]).unwrap(), None, "{byte}");
            assert_eq!(
                leftover(&disk, &record.disk_guid, record.partition_offset).unwrap(),
                None,
                "{byte}"
            );
        }
    }
}
