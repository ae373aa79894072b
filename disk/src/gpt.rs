// SPDX-License-Identifier: Apache-2.0
//! GUID partition tables (UEFI 2.10, chapter 5): reading with every check of the specification,
//! creating, and growing when the disk has become larger.
//!
//! **Growing** must leave a table that the kernel reads, after a power failure at any moment: the
//! kernel reads the backup only if its command line has `gpt`. Therefore the entries of the primary
//! table are never overwritten. Between the table and the first partition there is room for two arrays
//! of entries. The new array is written to the free place; the header, a single sector, then refers to
//! the new array.

mod create;
mod oversized;

use std::io;

use crate::MIB;
use crate::bytes::{ReadAt, array, is_zero, le32, le64, put, read_at};
use crate::crc::crc32;
use crate::disk_op::DiskOp;
use crate::mbr::{self, PROTECTIVE};
use crate::partition::{Partition, partuuid};
use crate::uuid::{Uuid, swap_byte_order};
pub use create::{DataTable, NewPartition, create};
pub use oversized::read_oversized;

/// Name of the data partition.
pub const DATA_PARTITION_NAME: &str = "boot2podman-data";
/// Size of an entry in bytes.
const ENTRY_BYTES: usize = 128;
/// Number of entries in a new table.
const ENTRY_COUNT: usize = 128;
/// Maximum size of an array of entries in bytes; the usual size is 16 KiB.
const MAX_ARRAY_BYTES: u64 = MIB;
/// Size of the header in bytes.
const HEADER_BYTES: usize = 92;
/// Size of the boot code in the first sector, in bytes (UEFI 2.10, section 5.2.1).
const BOOT_CODE_BYTES: usize = 440;

/// Index of the flush before the header of the primary table in [`Gpt::writes`].
const HEADER_OF_PRIMARY: usize = 4;

/// Valid table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpt {
    /// Size of a logical sector in bytes.
    pub sector: u32,
    /// GUID of the disk, in the byte order of its text form.
    pub disk_guid: Uuid,
    /// True if the primary table is broken and the backup was read.
    pub from_backup: bool,
    /// Sector of the backup's header.
    backup_lba: u64,
    /// First sector that a partition may use.
    first_usable: u64,
    /// First sector of the array of entries.
    entries_lba: u64,
    /// Size of an entry in bytes.
    entry_bytes: usize,
    entries: Vec<u8>,
    /// Boot code in the first sector of the disk.
    boot_code: Vec<u8>,
}

/// Reads the primary table, or the backup in the last sector; `None` if neither is valid, or if the first
/// sector holds a table of another kind ([`mbr::replaces_gpt`]). A first sector that is damaged does not count.
///
/// # Errors
/// The disk cannot be read.
pub fn read(source: &dyn ReadAt, sector: u32) -> io::Result<Option<Gpt>> {
    if !matches!(sector, 512 | 1024 | 2048 | 4096) {
        return Ok(None);
    }
    let sectors = source.size() / u64::from(sector);
    if sectors < 6 {
        return Ok(None);
    }
    match read_table(source, sector, 1, sectors)? {
        None => read_table(source, sector, sectors - 1, sectors),
        primary => Ok(primary),
    }
}

/// Reads the table whose header is in sector `lba`.
fn read_table(source: &dyn ReadAt, sector: u32, lba: u64, sectors: u64) -> io::Result<Option<Gpt>> {
    if mbr::replaces_gpt(&read_at(source, 0, 512)?) {
        return Ok(None);
    }
    let sector_bytes = u64::from(sector);
    let header = read_at(source, lba * sector_bytes, sector as usize)?;
    if !is_header(&header, lba) {
        return Ok(None);
    }
    let (first_usable, last_usable) = (le64(&header, 40), le64(&header, 48));
    let (entries_lba, count, entry_bytes) =
        (le64(&header, 72), le32(&header, 80), le32(&header, 84));
    let array_bytes = u64::from(count) * u64::from(entry_bytes);
    let fits = entries_lba
        .checked_add(array_bytes.div_ceil(sector_bytes))
        .is_some_and(|end| end <= sectors);
    let valid_entries = entry_bytes >= 128 && entry_bytes % 8 == 0;
    let valid_range = first_usable <= last_usable && last_usable < sectors;
    if !valid_entries || array_bytes > MAX_ARRAY_BYTES || !fits || !valid_range {
        return Ok(None);
    }
    let entries = read_at(source, entries_lba * sector_bytes, array_bytes as usize)?;
    if crc32(&entries) != le32(&header, 88) {
        return Ok(None);
    }
    let gpt = Gpt {
        sector,
        disk_guid: swap_byte_order(&array(&header, 56)),
        from_backup: lba != 1,
        backup_lba: if lba == 1 { le64(&header, 32) } else { lba },
        first_usable,
        entries_lba,
        entry_bytes: entry_bytes as usize,
        entries,
        boot_code: read_at(source, 0, BOOT_CODE_BYTES)?,
    };
    Ok(gpt.is_consistent(first_usable, last_usable).then_some(gpt))
}

/// Returns true for a header with its signature, its own position and a valid checksum.
pub(crate) fn is_header(header: &[u8], lba: u64) -> bool {
    let len = le32(header, 12) as usize;
    let Some(checked) = header.get(..len).filter(|_| len >= HEADER_BYTES) else {
        return false;
    };
    // The checksum is computed with its own field as zero.
    let mut checked = checked.to_vec();
    put(&mut checked, 16, &[0; 4]);
    header.starts_with(b"EFI PART")
        && le32(header, 16) == crc32(&checked)
        && le64(header, 24) == lba
}

impl Gpt {
    /// Returns the entries in use, each with its index.
    fn used_entries(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let entries = self.entries.chunks_exact(self.entry_bytes).enumerate();
        entries.filter(|(_, entry)| !is_zero(&entry[..16]))
    }

    /// Returns true if every partition is within the usable sectors and none overlaps another.
    fn is_consistent(&self, first_usable: u64, last_usable: u64) -> bool {
        let mut spans: Vec<_> = self
            .used_entries()
            .map(|(_, entry)| (le64(entry, 32), le64(entry, 40)))
            .collect();
        spans.sort_unstable();
        let inside = spans
            .iter()
            .all(|(first, last)| first_usable <= *first && first <= last && *last <= last_usable);
        inside && spans.windows(2).all(|pair| pair[0].1 < pair[1].0)
    }

    /// Returns the partitions.
    #[must_use]
    pub fn partitions(&self) -> Vec<Partition> {
        let sector_bytes = u64::from(self.sector);
        let partition = |(index, entry): (usize, &[u8])| Partition {
            number: index as u32 + 1,
            offset: le64(entry, 32) * sector_bytes,
            len: (le64(entry, 40) - le64(entry, 32) + 1) * sector_bytes,
            uuid: partuuid(&array(entry, 16)),
            name: decode_name(&entry[56..128]),
        };
        self.used_entries().map(partition).collect()
    }

    /// Returns the operations that extend the data partition to the end of a disk of `size` bytes,
    /// and the resulting partition. `None` if the disk has not grown by a MiB, or if the data
    /// partition is not the last one or the table was not created by this system.
    #[must_use]
    pub fn grow(&self, size: u64) -> Option<(Vec<DiskOp>, Partition)> {
        let sector_bytes = u64::from(self.sector);
        let (index, entry) = self
            .used_entries()
            .max_by_key(|(_, entry)| le64(entry, 40))?;
        let end = max_partition_end(size, self.sector)?;
        let old_end = (le64(entry, 40) + 1) * sector_bytes;
        let array = self.array_sectors();
        let has_room = self.first_usable >= 2 + 2 * array && self.entry_bytes == ENTRY_BYTES;
        if decode_name(&entry[56..128]) != DATA_PARTITION_NAME || !has_room || end < old_end + MIB {
            return None;
        }
        let mut grown = self.clone();
        let last = end / sector_bytes - 1;
        put(
            &mut grown.entries,
            index * ENTRY_BYTES + 40,
            &last.to_le_bytes(),
        );
        let other = if self.entries_lba == 2 { 2 + array } else { 2 };
        // If the backup was read, the primary table is broken and either array is free.
        grown.entries_lba = if self.from_backup { 2 } else { other };
        let number = index as u32 + 1;
        let partitions = grown.partitions();
        let partition = partitions.into_iter().find(|p| p.number == number)?;
        let mut ops = grown.writes(size);
        if (old_end..end).contains(&self.backup_lba.saturating_mul(sector_bytes)) {
            ops.insert(HEADER_OF_PRIMARY, self.clear_backup());
        }
        Some((ops, partition))
    }

    /// Returns the operations that restore the primary table; `None` for a valid table, or if its
    /// array of entries does not fit before the first usable sector.
    #[must_use]
    pub fn repair(&self, size: u64) -> Option<Vec<DiskOp>> {
        let has_room = self.first_usable > 1 + self.array_sectors();
        if !self.from_backup || !has_room {
            return None;
        }
        let primary = Gpt {
            entries_lba: 2,
            ..self.clone()
        };
        Some(primary.writes(size))
    }

    /// Returns the operation that clears the header of the old backup. A partition that grows over this
    /// header may end with it, and would look like a disk with a table. Nothing else is lost: the new
    /// backup is durable, and the primary table is valid.
    fn clear_backup(&self) -> DiskOp {
        let unit = self.sector as usize;
        DiskOp::Write(self.backup_lba * unit as u64, vec![0; unit])
    }

    /// Size of the array of entries in sectors.
    fn array_sectors(&self) -> u64 {
        self.entries.len().div_ceil(self.sector as usize) as u64
    }

    /// Returns the operations that write the table: first the backup, then the primary array, then
    /// its header, then the protective MBR, which old programs and the kernel read. The boot code
    /// stays.
    fn writes(&self, size: u64) -> Vec<DiskOp> {
        let sector_bytes = u64::from(self.sector);
        let sectors = size / sector_bytes;
        let backup_array = sectors - 1 - self.array_sectors();
        let header = |lba: u64, other_lba: u64, entries_lba: u64| {
            DiskOp::Write(
                lba * sector_bytes,
                self.header(lba, other_lba, entries_lba, sectors),
            )
        };
        vec![
            DiskOp::Write(backup_array * sector_bytes, self.entries.clone()),
            header(sectors - 1, 1, backup_array),
            DiskOp::Flush,
            DiskOp::Write(self.entries_lba * sector_bytes, self.entries.clone()),
            DiskOp::Flush,
            header(1, sectors - 1, self.entries_lba),
            DiskOp::Flush,
            DiskOp::Write(0, protective_mbr(size, self.sector, &self.boot_code)),
            DiskOp::Flush,
        ]
    }

    /// Returns the header for sector `lba`. The other copy of the header is in sector `other_lba`.
    fn header(&self, lba: u64, other_lba: u64, entries_lba: u64, sectors: u64) -> Vec<u8> {
        let mut header = vec![0; self.sector as usize];
        put(&mut header, 0, b"EFI PART\0\0\x01\0");
        put(&mut header, 12, &(HEADER_BYTES as u32).to_le_bytes());
        let last_usable = sectors - 2 - self.array_sectors();
        for (offset, value) in [
            (24, lba),
            (32, other_lba),
            (40, self.first_usable),
            (48, last_usable),
            (72, entries_lba),
        ] {
            put(&mut header, offset, &u64::to_le_bytes(value));
        }
        put(&mut header, 56, &swap_byte_order(&self.disk_guid));
        let count = (self.entries.len() / self.entry_bytes) as u32;
        put(&mut header, 80, &count.to_le_bytes());
        put(&mut header, 84, &(self.entry_bytes as u32).to_le_bytes());
        put(&mut header, 88, &crc32(&self.entries).to_le_bytes());
        let checksum = crc32(&header[..HEADER_BYTES]);
        put(&mut header, 16, &checksum.to_le_bytes());
        header
    }
}

/// Returns the first sector of a disk with a GPT: `boot_code`, and one entry for the whole disk.
#[must_use]
pub fn protective_mbr(size: u64, sector: u32, boot_code: &[u8]) -> Vec<u8> {
    let mut mbr = vec![0; 512];
    let boot_code = boot_code.get(..BOOT_CODE_BYTES).unwrap_or(boot_code);
    put(&mut mbr, 0, boot_code);
    let sectors = u32::try_from(size / u64::from(sector.max(512)) - 1).unwrap_or(u32::MAX);
    let entry = [0, 0, 2, 0, PROTECTIVE, 0xff, 0xff, 0xff, 1, 0, 0, 0];
    put(&mut mbr, 446, &entry);
    put(&mut mbr, 458, &sectors.to_le_bytes());
    put(&mut mbr, 510, &[0x55, 0xaa]);
    mbr
}

/// Returns the offset at which a partition at the end of the disk ends: aligned to a MiB, before
/// the backup of the table.
fn max_partition_end(size: u64, sector: u32) -> Option<u64> {
    let backup = (ENTRY_BYTES * ENTRY_COUNT) as u64 + u64::from(sector);
    Some(size.checked_sub(backup)? / MIB * MIB)
}

/// Returns the text of a name in UTF-16.
fn decode_name(field: &[u8]) -> String {
    let (units, _) = field.as_chunks::<2>();
    let units = units.iter().map(|unit| u16::from_le_bytes(*unit));
    let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
    String::from_utf16_lossy(&units)
}

#[cfg(test)]
mod tests;
