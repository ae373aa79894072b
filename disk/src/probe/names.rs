// SPDX-License-Identifier: Apache-2.0
//! Labels and UUIDs at fixed offsets of each kind.

use crate::bytes::{array, be16, le32, le64};
use crate::signature::SignatureKind;
use crate::uuid;

/// Label and UUID.
pub type Names = (Option<String>, Option<String>);

/// Returns label and UUID of the signature at `offset`, as far as the kind has them in the head.
pub fn names_of(kind: SignatureKind, offset: u64, head: &[u8]) -> Names {
    let label = |at: usize, len: usize| text(head.get(at..at + len).unwrap_or_default());
    let id = |at: usize| uuid::text_unless_nil(&array(head, at));
    match kind {
        SignatureKind::Xfs => (label(108, 12), id(32)),
        SignatureKind::Btrfs => (label(65536 + 0x12b, 256), id(65536 + 32)),
        SignatureKind::Erofs => (label(1024 + 64, 16), id(1024 + 48)),
        SignatureKind::F2fs => (
            utf16(head.get(1024 + 124..1024 + 1148).unwrap_or_default()),
            id(1024 + 108),
        ),
        SignatureKind::Iso9660 if offset == 32769 => (label(32768 + 40, 32), iso_date(head)),
        SignatureKind::Luks if offset == 0 => {
            let is_luks2 = be16(head, 6) == 2;
            let name = if is_luks2 { label(24, 48) } else { None };
            (name, label(168, 40))
        }
        SignatureKind::Raid => {
            let sb = offset as usize;
            (label(sb + 32, 32), id(sb + 16))
        }
        SignatureKind::Bcache => (label(4096 + 72, 32), id(4096 + 40)),
        SignatureKind::Apfs => (None, id(72)),
        SignatureKind::Ntfs => (None, Some(format!("{:016X}", le64(head, 0x48)))),
        SignatureKind::Exfat => (None, Some(serial(le32(head, 100)))),
        _ => (None, None),
    }
}

/// Returns the text of a field that is padded with zeros or spaces; `None` for an empty text.
pub fn text(field: &[u8]) -> Option<String> {
    let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
    let text = String::from_utf8_lossy(field.get(..end)?);
    let text = text.trim_end_matches(' ');
    (!text.is_empty()).then(|| text.to_owned())
}

/// Returns the text of a field in UTF-16; `None` for an empty text.
fn utf16(field: &[u8]) -> Option<String> {
    let (units, _) = field.as_chunks::<2>();
    let units = units.iter().map(|unit| u16::from_le_bytes(*unit));
    let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
    (!units.is_empty()).then(|| String::from_utf16_lossy(&units))
}

/// Returns a serial number in the form of FAT and exFAT: `1234-ABCD`.
fn serial(number: u32) -> String {
    format!("{:04X}-{:04X}", number >> 16, number & 0xffff)
}

/// Returns the date of the last change of an ISO, or that of its creation (ECMA-119, 8.4.26).
fn iso_date(head: &[u8]) -> Option<String> {
    let date = |at: usize| {
        let digits: &[u8] = head.get(at..at + 16)?;
        let valid = digits.iter().all(u8::is_ascii_digit) && digits.iter().any(|d| *d != b'0');
        let text = std::str::from_utf8(digits).ok().filter(|_| valid)?;
        Some(uuid::grouped(text, &[4, 2, 2, 2, 2, 2, 2]))
    };
    date(32768 + 830).or_else(|| date(32768 + 813))
}

/// Returns label and serial number in the boot sector of FAT. The label in the root directory is
/// not read, because FAT never holds data.
pub fn fat_names(head: &[u8]) -> Names {
    let is_fat32 = head
        .get(0x52..)
        .is_some_and(|rest| rest.starts_with(b"FAT32") || rest.starts_with(b"MSWIN"));
    let (serial_at, label_at) = if is_fat32 { (0x43, 0x47) } else { (0x27, 0x2b) };
    let label = text(head.get(label_at..label_at + 11).unwrap_or_default());
    (
        label.filter(|label| label != "NO NAME"),
        Some(serial(le32(head, serial_at))),
    )
}

/// Returns the UUID of an LVM2 physical volume. Its label is in one of the first four sectors and
/// points to the UUID.
pub fn lvm_uuid(head: &[u8]) -> Option<String> {
    let sectors = (0..4).filter_map(|n: usize| head.get(n * 512..n * 512 + 512));
    let mut labels = sectors.filter(|sector| {
        sector.starts_with(b"LABELONE") && sector.get(24..32) == Some(b"LVM2 001")
    });
    let label = labels.next()?;
    let at = le32(label, 20) as usize;
    let uuid = label.get(at..at.saturating_add(32)).unwrap_or_default();
    let uuid = std::str::from_utf8(uuid).unwrap_or_default();
    Some(uuid::grouped(uuid, &[6, 4, 4, 4, 4, 4, 6]))
}
