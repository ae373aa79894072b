// SPDX-License-Identifier: Apache-2.0
//! Partition tables of the MBR kind.

use crate::bytes::{le16, le32};
use crate::partition::Partition;
use crate::uuid::hex;

/// Type of the entry that covers a disk with a GPT, so that old programs leave the disk alone.
pub(crate) const PROTECTIVE: u8 = 0xee;

/// Entry of the table; offset and length are in sectors.
struct Entry {
    active_flag: u8,
    kind: u8,
    first: u32,
    len: u32,
}

fn entries(sector: &[u8]) -> impl Iterator<Item = Entry> {
    let at = |n: usize| sector.get(446 + 16 * n..462 + 16 * n).unwrap_or(&[0; 16]);
    (0..4).map(move |n| Entry {
        active_flag: at(n)[0],
        kind: at(n)[4],
        first: le32(at(n), 8),
        len: le32(at(n), 12),
    })
}

/// Returns true if the first sector of a disk holds a table: the mark 0x55 0xaa, valid active
/// flags, and at least one entry that is in use. Many boot sectors have the mark alone.
#[must_use]
pub fn is_mbr(sector: &[u8]) -> bool {
    le16(sector, 510) == 0xaa55
        && entries(sector).all(|e| e.active_flag & 0x7f == 0)
        && entries(sector).any(|e| e.kind != 0 && e.first > 0 && e.len > 0)
}

/// Returns true if the first sector of a disk holds a table that covers no GPT: the kernel ignores a GPT on
/// such a disk (block/partitions/efi.c, `is_pmbr_valid`). An older GPT stays there when another system is
/// written over a disk, or a tool replaces the first sector alone.
#[must_use]
pub fn replaces_gpt(sector: &[u8]) -> bool {
    is_mbr(sector) && entries(sector).all(|e| e.kind != PROTECTIVE)
}

/// Returns the primary partitions in the first sector of a disk of `size` bytes with logical
/// sectors of `unit` bytes; none of a protective table. A partition that is longer than the disk
/// ends with the disk, as for the kernel (block/partitions/core.c, `blk_add_partition`). The
/// logical partitions inside an extended one are not followed: the kernel knows these.
pub(crate) fn partitions(first_sector: &[u8], size: u64, unit: u64) -> Vec<Partition> {
    if !replaces_gpt(first_sector) {
        return Vec::new();
    }
    let mut disk = [0; 4];
    disk.copy_from_slice(&first_sector[440..444]);
    disk.reverse();
    let partition = |(number, e): (u32, Entry)| Partition {
        number,
        offset: u64::from(e.first) * unit,
        len: (u64::from(e.len) * unit).min(size.saturating_sub(u64::from(e.first) * unit)),
        uuid: format!("{}-{number:02x}", hex(&disk)),
        name: String::new(),
    };
    let used = (1..)
        .zip(entries(first_sector))
        .filter(|(_, e)| e.kind != 0 && e.len > 0);
    used.map(partition).filter(|p| p.len > 0).collect()
}
