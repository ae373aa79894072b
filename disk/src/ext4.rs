//! The superblock of ext2, ext3 and ext4
//! (Documentation/filesystems/ext4/super.rst): 1024 bytes at 1024.

use crate::bytes::{array, le16, le32};
use crate::crc::crc32c;
use crate::signature::SignatureKind;
use crate::uuid;

const HAS_JOURNAL: u32 = 0x4;
const RECOVER: u32 = 0x4;
const METADATA_CSUM: u32 = 0x400;

/// Whether it is one.
#[must_use]
pub fn is(sb: &[u8]) -> bool {
    // A size of blocks that there can be, or two bytes are by chance.
    le16(sb, 0x38) == 0xef53 && le32(sb, 0x18) <= 6
}

/// By its features: what ext3 does not know makes it ext4.
#[must_use]
pub fn kind(sb: &[u8]) -> SignatureKind {
    let (compat, incompat, ro) = (le32(sb, 0x5c), le32(sb, 0x60), le32(sb, 0x64));
    if incompat & 0x8 != 0 {
        return SignatureKind::Other("jbd"); // the journal of another, on a device of its own
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

/// The name of the file system.
#[must_use]
pub fn label(sb: &[u8]) -> Option<String> {
    let field: [u8; 16] = array(sb, 0x78);
    let end = field.iter().position(|b| *b == 0).unwrap_or(16);
    let text = String::from_utf8_lossy(field.get(..end)?);
    (end > 0).then(|| text.into_owned())
}

/// Its UUID.
#[must_use]
pub fn uuid(sb: &[u8]) -> Option<String> {
    uuid::known(&array(sb, 0x68))
}

/// Whether its checksum holds; one without a checksum is believed.
#[must_use]
pub fn sound(sb: &[u8]) -> bool {
    le32(sb, 0x64) & METADATA_CSUM == 0
        || le32(sb, 0x3fc) == crc32c(sb.get(..0x3fc).unwrap_or_default())
}

/// How often it was mounted since it was made or checked.
#[must_use]
pub fn mounts(sb: &[u8]) -> u16 {
    le16(sb, 0x34)
}

/// Why it must be checked before it is mounted; `None` for a clean one, so that
/// nothing is run for it.
#[must_use]
pub fn wants_check(sb: &[u8]) -> Option<&'static str> {
    if !sound(sb) {
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
