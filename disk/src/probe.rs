//! Signatures: what is on a device, told by its bytes and never by its name.
//!
//! Every format that is known is looked for, and all that are found are named:
//! half of a mirror (RAID 1.0 at the end) looks like the file system in it, and a
//! device that looks like two things is used as neither.

use std::io;

use crate::bytes::{ReadAt, array, be16, be32, le16, le32, le64, read_at};
use crate::magic_table::{PAGES, ROWS, SWAPS, TAILS};
use crate::signature::{Signature, SignatureKind};
use crate::{ext4, mbr, uuid};

/// The beginning, in which most of it is: btrfs, the last, ends before.
const HEAD: usize = 72 * 1024;

/// Looks for everything. What is found is in no order that matters, each format
/// once.
///
/// # Errors
/// What the system said: a device that cannot be read is not known.
pub fn probe(source: &dyn ReadAt) -> io::Result<Vec<Signature>> {
    let head = read_at(source, 0, HEAD)?;
    let mut found = Vec::new();
    let mut add = |kind: SignatureKind, label: Option<String>, uuid: Option<String>| {
        if !found.iter().any(|f: &Signature| f.kind == kind) {
            found.push(Signature { kind, label, uuid });
        }
    };
    if let Some(sb) = head.get(1024..2048).filter(|sb| ext4::is(sb)) {
        add(ext4::kind(sb), ext4::label(sb), ext4::uuid(sb));
    }
    for row in ROWS {
        if !magic_at(source, &head, row.at, row.magic)? {
            continue;
        }
        // Two bytes are no magic; nilfs2 has a revision and a size beside them.
        match row.kind {
            SignatureKind::Other("nilfs2") if le32(&head, 1024) != 2 => continue,
            SignatureKind::Hfs if row.magic == b"BD" && be16(&head, 1024 + 14) == 0 => continue,
            _ => {}
        }
        let (label, uuid) = names(row.kind, row.at, &head);
        add(row.kind, label, uuid);
    }
    if fat(&head) {
        let (label, uuid) = fat_names(&head);
        add(SignatureKind::Vfat, label, uuid);
    }
    for page in PAGES {
        let magic = page as usize - 10;
        if SWAPS.contains(&&array(&head, magic)) {
            let label = text(head.get(1024 + 28..1024 + 44).unwrap_or_default());
            add(
                SignatureKind::Swap,
                label,
                uuid::known(&array(&head, 1024 + 12)),
            );
        }
    }
    if let Some(pv) = lvm(&head) {
        add(SignatureKind::Lvm, None, Some(pv));
    }
    for (kind, label, uuid) in at_the_end(source)? {
        add(kind, label, uuid);
    }
    if zfs(source)? {
        add(SignatureKind::Zfs, None, None);
    }
    // A GPT has a table before it; boot sectors of these end in the same mark.
    let boot_sector = found.iter().any(|f| {
        matches!(
            f.kind,
            SignatureKind::Gpt
                | SignatureKind::Vfat
                | SignatureKind::Ntfs
                | SignatureKind::Exfat
                | SignatureKind::Refs
        ) || f.kind.name() == "BitLocker"
    });
    if !boot_sector && mbr::is_mbr(&head) {
        found.push(Signature {
            kind: SignatureKind::Dos,
            label: None,
            uuid: None,
        });
    }
    Ok(found)
}

fn magic_at(source: &dyn ReadAt, head: &[u8], at: u64, magic: &[u8]) -> io::Result<bool> {
    let near = usize::try_from(at).unwrap_or(usize::MAX);
    if let Some(rest) = head.get(near..).filter(|rest| rest.len() >= magic.len()) {
        return Ok(rest.starts_with(magic));
    }
    Ok(read_at(source, at, magic.len())? == magic)
}

/// Label and UUID, where the format has them at places in the head.
fn names(kind: SignatureKind, at: u64, head: &[u8]) -> (Option<String>, Option<String>) {
    let label = |at: usize, len: usize| text(head.get(at..at + len).unwrap_or_default());
    let id = |at: usize| uuid::known(&array(head, at));
    match kind {
        SignatureKind::Xfs => (label(108, 12), id(32)),
        SignatureKind::Btrfs => (label(65536 + 0x12b, 256), id(65536 + 32)),
        SignatureKind::Erofs => (label(1024 + 64, 16), id(1024 + 48)),
        SignatureKind::F2fs => (
            wide(head.get(1024 + 124..1024 + 1148).unwrap_or_default()),
            id(1024 + 108),
        ),
        SignatureKind::Iso9660 if at == 32769 => (label(32768 + 40, 32), iso_date(head)),
        SignatureKind::Luks if at == 0 => {
            let name = if be16(head, 6) == 2 {
                label(24, 48)
            } else {
                None
            };
            (name, label(168, 40))
        }
        SignatureKind::Raid => {
            let at = at as usize;
            (label(at + 32, 32), id(at + 16))
        }
        SignatureKind::Bcache => (label(4096 + 72, 32), id(4096 + 40)),
        SignatureKind::Apfs => (None, id(72)),
        SignatureKind::Ntfs => (None, Some(format!("{:016X}", le64(head, 0x48)))),
        SignatureKind::Exfat => (None, Some(serial(le32(head, 100)))),
        _ => (None, None),
    }
}

/// Text in a field that zeros or spaces fill; `None` for nothing.
fn text(field: &[u8]) -> Option<String> {
    let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
    let text = String::from_utf8_lossy(field.get(..end)?);
    let text = text.trim_end_matches(' ');
    (!text.is_empty()).then(|| text.to_owned())
}

/// Text in UTF-16.
fn wide(field: &[u8]) -> Option<String> {
    let units = field.chunks_exact(2).map(|c| le16(c, 0));
    let units: Vec<u16> = units.take_while(|u| *u != 0).collect();
    (!units.is_empty()).then(|| String::from_utf16_lossy(&units))
}

/// FAT's, exFAT's: `1234-ABCD`.
fn serial(number: u32) -> String {
    format!("{:04X}-{:04X}", number >> 16, number & 0xffff)
}

/// The date of the last change, else of the making (ECMA-119, 8.4.26).
fn iso_date(head: &[u8]) -> Option<String> {
    let date = |at: usize| {
        let digits: &[u8] = head.get(at..at + 16)?;
        let good = digits.iter().all(u8::is_ascii_digit) && digits.iter().any(|d| *d != b'0');
        let text = std::str::from_utf8(digits).ok().filter(|_| good)?;
        Some(uuid::grouped(text, &[4, 2, 2, 2, 2, 2, 2]))
    };
    date(32768 + 830).or_else(|| date(32768 + 813))
}

/// A FAT boot sector: a jump, a sector size, one or two tables, and its name.
fn fat(head: &[u8]) -> bool {
    let jump = matches!(head.first(), Some(0xeb | 0xe9));
    let sector = le16(head, 11);
    let sane = (512..=4096).contains(&sector) && sector.is_power_of_two();
    let cluster = head.get(13).is_some_and(|c| c.is_power_of_two());
    let named = |at: usize, names: &[&[u8]]| {
        let rest = head.get(at..).unwrap_or_default();
        names.iter().any(|n| rest.starts_with(n))
    };
    let name = named(0x52, &[b"FAT32", b"MSWIN"])
        || named(0x36, &[b"FAT12", b"FAT16", b"FAT  ", b"MSDOS"]);
    jump && sane && cluster && name
}

/// As the boot sector has them; the label file in the root directory is not read,
/// because FAT is never used for data.
fn fat_names(head: &[u8]) -> (Option<String>, Option<String>) {
    let wide = head
        .get(0x52..)
        .is_some_and(|r| r.starts_with(b"FAT32") || r.starts_with(b"MSWIN"));
    let (number, name) = if wide { (0x43, 0x47) } else { (0x27, 0x2b) };
    let label = text(head.get(name..name + 11).unwrap_or_default());
    (
        label.filter(|l| l != "NO NAME"),
        Some(serial(le32(head, number))),
    )
}

/// An LVM2 label is in one of the first four sectors; it leads to the volume's id.
fn lvm(head: &[u8]) -> Option<String> {
    let label = |n: usize| head.get(n * 512..n * 512 + 512);
    let sector = (0..4).filter_map(label);
    let mut sector =
        sector.filter(|s| s.starts_with(b"LABELONE") && s.get(24..32) == Some(b"LVM2 001"));
    let sector = sector.next()?;
    let at = le32(sector, 20) as usize;
    let id = sector.get(at..at.saturating_add(32)).unwrap_or_default();
    let id = std::str::from_utf8(id).unwrap_or_default();
    Some(uuid::grouped(id, &[6, 4, 4, 4, 4, 4, 6]))
}

type Named = (SignatureKind, Option<String>, Option<String>);

/// What lies before the end: RAID, DRBD, backups of tables and file systems.
fn at_the_end(source: &dyn ReadAt) -> io::Result<Vec<Named>> {
    let size = source.size();
    let mut all: Vec<Named> = Vec::new();
    for row in TAILS {
        let at = size.checked_sub(row.at);
        if let Some(at) = at
            && read_at(source, at, row.magic.len())? == row.magic
        {
            all.push((row.kind, None, None));
        }
    }
    // Version 1.0: 8 KiB to 12 KiB before the end (drivers/md/md.c, super_1_load).
    let at = (size / 512).checked_sub(16).map(|s| (s & !7) * 512);
    let sb = read_at(source, at.unwrap_or(size), 64)?;
    if le32(&sb, 0) == RAID && le32(&sb, 4) == 1 {
        let name = text(sb.get(32..64).unwrap_or_default());
        all.push((SignatureKind::Raid, name, uuid::known(&array(&sb, 16))));
    }
    // Version 0.90: the last 64 KiB that are aligned (MD_NEW_SIZE_SECTORS).
    let at = (size & !0xffff).checked_sub(0x10000);
    let sb = read_at(source, at.unwrap_or(size), 64)?;
    if (le32(&sb, 0) == RAID || be32(&sb, 0) == RAID) && sb.len() == 64 {
        all.push((SignatureKind::Raid, None, None));
    }
    // Internal metadata: the last 4 KiB that are aligned (drbd_int.h).
    let at = (size & !0xfff).checked_sub(4096);
    let sb = read_at(source, at.unwrap_or(size), 64)?;
    if matches!(be32(&sb, 60), 0x8374_026b..=0x8374_026d) {
        all.push((SignatureKind::Drbd, None, None));
    }
    Ok(all)
}

/// `MD_SB_MAGIC`.
const RAID: u32 = 0xa92b_4efc;

/// ZFS has four labels of 256 KiB, two at each end. One is there when its list of
/// names and values begins as one, or a root block of the pool is in the first.
fn zfs(source: &dyn ReadAt) -> io::Result<bool> {
    const LABEL: u64 = 256 * 1024;
    let end = source.size() & !(LABEL - 1);
    let labels = [
        Some(0),
        Some(LABEL),
        end.checked_sub(2 * LABEL),
        end.checked_sub(LABEL),
    ];
    for at in labels.into_iter().flatten() {
        let list = read_at(source, at + 16 * 1024, 64)?;
        let named = list.windows(7).any(|w| w == b"version");
        // XDR, or as the machine had it; then its byte order.
        if matches!(list.first(), Some(0 | 1)) && matches!(list.get(1), Some(0 | 1)) && named {
            return Ok(true);
        }
    }
    let ring = read_at(source, LABEL / 2, 128 * 1024)?;
    let magic = |slot: &[u8]| {
        let eight: [u8; 8] = array(slot, 0);
        u64::from_le_bytes(eight) == 0x00ba_b10c || u64::from_be_bytes(eight) == 0x00ba_b10c
    };
    Ok(ring.chunks_exact(1024).any(magic))
}

#[cfg(test)]
mod tests;
