// SPDX-License-Identifier: Apache-2.0
//! New partition tables.

use super::{DATA_PARTITION_NAME, ENTRY_BYTES, ENTRY_COUNT, Gpt, max_partition_end};
use crate::MIB;
use crate::bytes::put;
use crate::disk_op::DiskOp;
use crate::uuid::{Uuid, swap_byte_order};

/// Type "Linux filesystem data", `0fc63daf-8483-4772-8e79-3d69d8477de4`.
const LINUX_FILESYSTEM: Uuid = [
    0x0f, 0xc6, 0x3d, 0xaf, 0x84, 0x83, 0x47, 0x72, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4,
];
/// New table with the data partition only.
#[derive(Clone, Copy, Debug)]
pub struct DataTable {
    /// Size of the disk in bytes.
    pub size: u64,
    /// Size of a logical sector in bytes.
    pub sector: u32,
    /// Offset of the partition in bytes, a multiple of a MiB.
    pub offset: u64,
    /// GUID of the disk.
    pub disk_guid: Uuid,
    /// GUID of the partition.
    pub partition_guid: Uuid,
}

impl DataTable {
    /// Returns the length of the partition in bytes; `None` if the disk has no room for a
    /// partition.
    #[must_use]
    pub fn partition_len(&self) -> Option<u64> {
        max_partition_end(self.size, self.sector)?
            .checked_sub(self.offset)
            .filter(|len| *len > 0)
    }

    /// Returns the operations that write the table, with `boot_code` in the first sector; `None` if the disk has no room
    /// for a partition.
    #[must_use]
    pub fn writes(&self, boot_code: &[u8]) -> Option<Vec<DiskOp>> {
        let partition = NewPartition {
            type_guid: LINUX_FILESYSTEM,
            guid: self.partition_guid,
            offset: self.offset,
            len: self.partition_len()?,
            name: DATA_PARTITION_NAME,
        };
        Some(create(
            self.size,
            self.sector,
            self.disk_guid,
            &[partition],
            boot_code,
        ))
    }
}

/// Partition of a new table.
#[derive(Clone, Copy, Debug)]
pub struct NewPartition<'a> {
    /// GUID of its type.
    pub type_guid: Uuid,
    /// GUID of the partition.
    pub guid: Uuid,
    /// Offset in bytes.
    pub offset: u64,
    /// Length in bytes.
    pub len: u64,
    /// Name: at most 36 ASCII characters.
    pub name: &'a str,
}

/// Returns the operations that write a new table to a disk of `size` bytes. Every partition must be
/// after the first MiB and before the last MiB of the disk.
#[must_use]
pub fn create(
    size: u64,
    sector: u32,
    disk_guid: Uuid,
    partitions: &[NewPartition<'_>],
    boot_code: &[u8],
) -> Vec<DiskOp> {
    let sector_bytes = u64::from(sector);
    let mut entries = vec![0; ENTRY_BYTES * ENTRY_COUNT];
    let (slots, _) = entries.as_chunks_mut::<ENTRY_BYTES>();
    for (entry, partition) in slots.iter_mut().zip(partitions) {
        let last = (partition.offset + partition.len) / sector_bytes - 1;
        put(entry, 0, &swap_byte_order(&partition.type_guid));
        put(entry, 16, &swap_byte_order(&partition.guid));
        put(entry, 32, &(partition.offset / sector_bytes).to_le_bytes());
        put(entry, 40, &last.to_le_bytes());
        for (index, letter) in partition.name.bytes().take(36).enumerate() {
            put(entry, 56 + 2 * index, &[letter, 0]);
        }
    }
    let gpt = Gpt {
        sector,
        disk_guid,
        from_backup: false,
        backup_lba: size / sector_bytes - 1,
        first_usable: MIB / sector_bytes,
        entries_lba: 2,
        entry_bytes: ENTRY_BYTES,
        entries,
        boot_code: boot_code.to_vec(),
    };
    gpt.writes(size)
}
