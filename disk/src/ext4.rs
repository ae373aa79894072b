// SPDX-License-Identifier: Apache-2.0
//! Superblock of ext2, ext3 and ext4 (Documentation/filesystems/ext4/super.rst): 1024 bytes at
//! offset 1024.

use crate::bytes::{array, le16, le32};
use crate::crc::crc32c;
use crate::signature::SignatureKind;
use crate::uuid;

const HAS_JOURNAL: u32 = 0x4;
const RECOVER: u32 = 0x4;
const METADATA_CSUM: u32 = 0x400;

/// Returns true if the bytes are a superblock.
#[must_use]
pub fn is_superblock(sb: &[u8]) -> bool {
    // The magic number of two bytes may occur by chance; a valid block size makes it unlikely.
    le16(sb, 0x38) == 0xef53 && le32(sb, 0x18) <= 6
}

/// Determines the kind by the features: a feature that ext3 lacks makes the file system ext4.
#[must_use]
pub fn kind(sb: &[u8]) -> SignatureKind {
    let (compat, incompat, ro) = (le32(sb, 0x5c), le32(sb, 0x60), le32(sb, 0x64));
    if incompat & 0x8 != 0 {
        return SignatureKind::Other("jbd"); // external journal of another file system
    }
    if incompat & !0x16 != 0 || ro & !0x7 != 0 {
        return SignatureKind::Ext4;
    }
    if compat & HAS_JOURNAL == 0 {
        SignatureKind::Ext2
    } else {
        SignatureKind::Ext3
    }
}

/// Returns the label of the file system.
#[must_use]
pub fn label(sb: &[u8]) -> Option<String> {
    let field: [u8; 16] = array(sb, 0x78);
    let end = field.iter().position(|b| *b == 0).unwrap_or(16);
    let text = String::from_utf8_lossy(field.get(..end)?);
    (end > 0).then(|| text.into_owned())
}

/// Returns the UUID of the file system.
#[must_use]
pub fn uuid(sb: &[u8]) -> Option<String> {
    uuid::text_unless_nil(&array(sb, 0x68))
}

/// Returns true if the checksum is right, or the superblock has none.
#[must_use]
pub fn has_valid_checksum(sb: &[u8]) -> bool {
    le32(sb, 0x64) & METADATA_CSUM == 0
        || le32(sb, 0x3fc) == crc32c(sb.get(..0x3fc).unwrap_or_default())
}

/// Returns the number of mounts since the file system was created or checked.
#[must_use]
pub fn mount_count(sb: &[u8]) -> u16 {
    le16(sb, 0x34)
}

/// Returns the reason why the file system must be checked before it is mounted; `None` if it is
/// clean.
#[must_use]
pub fn check_reason(sb: &[u8]) -> Option<&'static str> {
    if !has_valid_checksum(sb) {
        return Some("its superblock is damaged");
    }
    if le32(sb, 0x60) & RECOVER != 0 {
        return Some("it was not unmounted");
    }
    if le16(sb, 0x3a) & 2 != 0 {
        return Some("the kernel found errors in it");
    }
    (le16(sb, 0x3a) & 1 == 0).then_some("it is not marked clean")
}
