// SPDX-License-Identifier: Apache-2.0
//! Probe of a device: every known signature in its bytes.
//!
//! Every signature is reported, because a member of a RAID 1 of version 1.0, whose superblock is at
//! the end, looks like the file system on the array. A device with two signatures is used as
//! neither.

use std::io;

use crate::bytes::{ReadAt, array, be16, be32, le16, le32, le64, read_at};
use crate::magic_table::{AT_START, FROM_END, Magic, PAGE_SIZES, SWAP_MAGIC};
use crate::signature::{Signature, SignatureKind};
use crate::{ext4, gpt, mbr, uuid};

mod names;

use names::{Names, fat_names, lvm_uuid, names_of, text};

/// Length of the beginning that has most signatures, up to that of btrfs.
const HEAD_BYTES: usize = 72 * 1024;

/// Magic number of Linux RAID (`MD_SB_MAGIC`).
const RAID_MAGIC: u32 = 0xa92b_4efc;

/// Returns every signature on a device, each kind once, in no particular order.
///
/// # Errors
/// The device cannot be read.
pub fn probe(source: &dyn ReadAt) -> io::Result<Vec<Signature>> {
    let head = read_at(source, 0, HEAD_BYTES)?;
    let mut found = Vec::new();
    if let Some(sb) = head.get(1024..2048).filter(|sb| ext4::is_superblock(sb)) {
        add(
            &mut found,
            ext4::kind(sb),
            (ext4::label(sb), ext4::uuid(sb)),
        );
    }
    for magic in AT_START {
        if matches(source, &head, magic)? {
            let names = names_of(magic.kind, magic.offset, &head);
            add(&mut found, magic.kind, names);
        }
    }
    if is_fat(&head) {
        add(&mut found, SignatureKind::Vfat, fat_names(&head));
    }
    if let Some(names) = swap(&head) {
        add(&mut found, SignatureKind::Swap, names);
    }
    if let Some(uuid) = lvm_uuid(&head) {
        add(&mut found, SignatureKind::Lvm, (None, Some(uuid)));
    }
    probe_end(source, &mut found)?;
    if is_zfs(source)? {
        add(&mut found, SignatureKind::Zfs, (None, None));
    }
    if mbr::is_mbr(&head) && !found.iter().any(|s| explains_boot_sector(s, &head)) {
        add(&mut found, SignatureKind::Mbr, (None, None));
    }
    Ok(found)
}

/// Adds a signature unless its kind is known already.
fn add(found: &mut Vec<Signature>, kind: SignatureKind, (label, uuid): Names) {
    if !found.iter().any(|known| known.kind == kind) {
        found.push(Signature { kind, label, uuid });
    }
}

/// Returns true if the device has the magic bytes, and the further bytes that a short magic needs.
fn matches(source: &dyn ReadAt, head: &[u8], magic: &Magic) -> io::Result<bool> {
    let start = usize::try_from(magic.offset).unwrap_or(usize::MAX);
    let len = magic.bytes.len();
    let in_head = head.get(start..).filter(|rest| rest.len() >= len);
    let present = match in_head {
        Some(rest) => rest.starts_with(magic.bytes),
        None => read_at(source, magic.offset, len)? == magic.bytes,
    };
    // Two bytes may occur by chance. nilfs2 has its revision and HFS its block count beside them.
    let confirmed = match magic.kind {
        SignatureKind::Other("nilfs2") => le32(head, 1024) == 2,
        SignatureKind::HfsPlus if magic.bytes == b"BD" => be16(head, 1024 + 14) != 0,
        _ => true,
    };
    Ok(present && confirmed)
}

/// Returns true if a FAT boot sector is there: a jump, a valid sector size, a valid cluster size,
/// and the name of the type.
fn is_fat(head: &[u8]) -> bool {
    let jump = matches!(head.first(), Some(0xeb | 0xe9));
    let sector = le16(head, 11);
    let valid_sector = (512..=4096).contains(&sector) && sector.is_power_of_two();
    let valid_cluster = head.get(13).is_some_and(|size| size.is_power_of_two());
    let named = |offset: usize, names: &[&[u8]]| {
        let rest = head.get(offset..).unwrap_or_default();
        names.iter().any(|name| rest.starts_with(name))
    };
    let name = named(0x52, &[b"FAT32", b"MSWIN"])
        || named(0x36, &[b"FAT12", b"FAT16", b"FAT  ", b"MSDOS"]);
    jump && valid_sector && valid_cluster && name
}

/// Returns label and UUID of a swap area.
fn swap(head: &[u8]) -> Option<Names> {
    let is_swap = |page: &u64| SWAP_MAGIC.contains(&&array(head, *page as usize - 10));
    PAGE_SIZES.iter().any(is_swap).then(|| {
        let label = text(head.get(1024 + 28..1024 + 44).unwrap_or_default());
        (label, uuid::text_unless_nil(&array(head, 1024 + 12)))
    })
}

/// Returns true for signatures whose boot sector ends in the same mark as an MBR. A GPT follows a
/// protective MBR, unless the MBR is another system's.
fn explains_boot_sector(signature: &Signature, head: &[u8]) -> bool {
    use SignatureKind::{Exfat, Gpt, Ntfs, Other, Refs, Vfat};
    match signature.kind {
        Gpt => !mbr::replaces_gpt(head),
        kind => matches!(kind, Vfat | Ntfs | Exfat | Refs | Other("BitLocker")),
    }
}

/// Returns false for a backup header of a GPT that is intact and names a sector behind the end as its own (UEFI
/// 2.10, section 5.3.2, MyLBA): the header is one of the whole disk, over which this partition has grown. A header
/// that is damaged forbids a format as before.
fn is_own_table(source: &dyn ReadAt, magic: &Magic) -> io::Result<bool> {
    if magic.kind != SignatureKind::Gpt {
        return Ok(true);
    }
    let unit = usize::try_from(magic.offset).unwrap_or_default();
    let header = read_at(source, source.size() - magic.offset, unit)?;
    let lba = le64(&header, 24);
    Ok(lba < source.size() / magic.offset || !gpt::is_header(&header, lba))
}

/// Adds the signatures at the end: RAID, DRBD, and backups of tables and file systems.
fn probe_end(source: &dyn ReadAt, found: &mut Vec<Signature>) -> io::Result<()> {
    let size = source.size();
    let read_back = |offset: Option<u64>, len: usize| match offset {
        Some(offset) => read_at(source, offset, len),
        None => Ok(Vec::new()), // the device is too small
    };
    for magic in FROM_END {
        let bytes = read_back(size.checked_sub(magic.offset), magic.bytes.len())?;
        if bytes == magic.bytes && is_own_table(source, magic)? {
            add(found, magic.kind, (None, None));
        }
    }
    // RAID version 1.0: 8 KiB to 12 KiB before the end (drivers/md/md.c, super_1_load).
    let offset = (size / 512)
        .checked_sub(16)
        .map(|sector| (sector & !7) * 512);
    let sb = read_back(offset, 64)?;
    if le32(&sb, 0) == RAID_MAGIC && le32(&sb, 4) == 1 {
        let name = text(sb.get(32..64).unwrap_or_default());
        let uuid = uuid::text_unless_nil(&array(&sb, 16));
        add(found, SignatureKind::Raid, (name, uuid));
    }
    // RAID version 0.90: the last aligned 64 KiB (MD_NEW_SIZE_SECTORS).
    let sb = read_back((size & !0xffff).checked_sub(0x10000), 64)?;
    if (le32(&sb, 0) == RAID_MAGIC || be32(&sb, 0) == RAID_MAGIC) && sb.len() == 64 {
        add(found, SignatureKind::Raid, (None, None));
    }
    // Internal metadata of DRBD: the last aligned 4 KiB (drbd_int.h).
    let sb = read_back((size & !0xfff).checked_sub(4096), 64)?;
    if matches!(be32(&sb, 60), 0x8374_026b..=0x8374_026d) {
        add(found, SignatureKind::Drbd, (None, None));
    }
    Ok(())
}

/// Returns true if a ZFS label is there. ZFS has four labels of 256 KiB, two at each end. A label
/// has a list of names and values; the first one also has the root blocks of the pool.
fn is_zfs(source: &dyn ReadAt) -> io::Result<bool> {
    const LABEL_BYTES: u64 = 256 * 1024;
    let end = source.size() & !(LABEL_BYTES - 1);
    let labels = [
        Some(0),
        Some(LABEL_BYTES),
        end.checked_sub(2 * LABEL_BYTES),
        end.checked_sub(LABEL_BYTES),
    ];
    for offset in labels.into_iter().flatten() {
        let list = read_at(source, offset + 16 * 1024, 64)?;
        let has_version = list.windows(7).any(|bytes| bytes == b"version");
        // Encoding (native or XDR), then byte order.
        let valid_header =
            matches!(list.first(), Some(0 | 1)) && matches!(list.get(1), Some(0 | 1));
        if valid_header && has_version {
            return Ok(true);
        }
    }
    let root_blocks = read_at(source, LABEL_BYTES / 2, 128 * 1024)?;
    let is_root_block = |block: &[u8; 1024]| {
        let magic: [u8; 8] = array(block, 0);
        u64::from_le_bytes(magic) == 0x00ba_b10c || u64::from_be_bytes(magic) == 0x00ba_b10c
    };
    Ok(root_blocks.as_chunks().0.iter().any(is_root_block))
}

#[cfg(test)]
mod tests;
