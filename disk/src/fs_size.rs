// SPDX-License-Identifier: Apache-2.0
//! Sizes of file systems, from their superblocks.

use std::io;

use crate::bytes::{ReadAt, array, le32, le64, read_at};
use crate::ext4;
use crate::signature::SignatureKind;

/// Bytes at the start of a file system that include its superblock: that of btrfs is at 64 KiB.
const HEAD_BYTES: usize = 64 * 1024 + 4096;
/// Largest block size of a known file system, in bytes.
const MAX_BLOCK_BYTES: u64 = 64 * 1024;

/// Size of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FsSize {
    /// Number of blocks.
    pub blocks: u64,
    /// Size of a block in bytes.
    pub block_bytes: u64,
    /// Share of an xfs that may hold inodes, in percent (`sb_imax_pct`); zero for other kinds.
    pub inode_percent: u32,
}

impl FsSize {
    /// Size in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.blocks.saturating_mul(self.block_bytes)
    }
}

/// Reads the size of a file system; `None` for a kind whose size is not known, and for a
/// superblock that contradicts its own checksum.
///
/// # Errors
/// The device cannot be read.
pub fn read(source: &dyn ReadAt, kind: SignatureKind) -> io::Result<Option<FsSize>> {
    use SignatureKind::{Btrfs, Ext2, Ext3, Ext4, F2fs, Xfs};
    if !matches!(kind, Ext2 | Ext3 | Ext4 | Xfs | Btrfs | F2fs) {
        return Ok(None);
    }
    Ok(parse(kind, &read_at(source, 0, HEAD_BYTES)?))
}

/// Returns the size that the first bytes of a file system of this kind give.
fn parse(kind: SignatureKind, head: &[u8]) -> Option<FsSize> {
    let mut inode_percent = 0;
    let (blocks, block_bytes) = match kind {
        SignatureKind::Ext2 | SignatureKind::Ext3 | SignatureKind::Ext4 => ext(head)?,
        // fs/xfs/libxfs/xfs_format.h, struct xfs_dsb: sb_dblocks, sb_blocksize; sb_imax_pct is at 127.
        SignatureKind::Xfs => {
            inode_percent = u32::from(*head.get(127)?);
            let block_bytes = u32::from_be_bytes(array(head, 4));
            (u64::from_be_bytes(array(head, 8)), block_bytes.into())
        }
        // fs/btrfs, struct btrfs_super_block: dev_item is at 0xc9; its total_bytes follows devid.
        SignatureKind::Btrfs => (le64(head.get(65536..)?, 0xc9 + 8) / 4096, 4096),
        // fs/f2fs, struct f2fs_super_block: log_blocksize and block_count.
        SignatureKind::F2fs => (
            le64(head, 1024 + 36),
            1u64.checked_shl(le32(head, 1024 + 16))?,
        ),
        _ => return None,
    };
    let is_valid = block_bytes.is_power_of_two() && (512..=MAX_BLOCK_BYTES).contains(&block_bytes);
    is_valid.then_some(FsSize {
        blocks,
        block_bytes,
        inode_percent,
    })
}

/// Returns the number of blocks of an ext2, ext3 or ext4, and the size of a block (fs/ext4/ext4.h, struct
/// ext4_super_block: s_blocks_count_lo, s_log_block_size, s_feature_incompat, s_blocks_count_hi).
fn ext(head: &[u8]) -> Option<(u64, u64)> {
    let superblock = head.get(1024..2048)?;
    let has_high_half = le32(superblock, 0x60) & 0x80 != 0; // INCOMPAT_64BIT
    let high = match has_high_half {
        true => le32(superblock, 0x150),
        false => 0,
    };
    let blocks = u64::from(high) << 32 | u64::from(le32(superblock, 4));
    let block_bytes = 1024u64.checked_shl(le32(superblock, 0x18))?;
    ext4::has_valid_checksum(superblock).then_some((blocks, block_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::put;

    fn size(kind: SignatureKind, fields: &[(usize, &[u8])]) -> Option<(u64, u64)> {
        let mut head = vec![0; 70_000];
        fields
            .iter()
            .for_each(|(at, value)| put(&mut head, *at, value));
        parse(kind, &head).map(|size| (size.blocks, size.block_bytes))
    }

    #[test]
    fn sizes_as_the_superblocks_have_them() {
        use SignatureKind::{Btrfs, Ext2, Ext4, F2fs, Vfat, Xfs};
        let count = 5000u32.to_le_bytes();
        let ext: [(usize, &[u8]); 3] = [
            (1024 + 4, &count),
            (1024 + 0x18, &[2]),
            (1024 + 0x150, &[1]),
        ];
        assert_eq!(size(Ext4, &ext), Some((5000, 4096)));
        assert_eq!(size(Ext2, &ext), Some((5000, 4096)));
        let wide: (usize, &[u8]) = (1024 + 0x60, &[0x80]);
        let with = |other| [&ext[..], &[other]].concat();
        assert_eq!(size(Ext4, &with(wide)), Some(((1 << 32) + 5000, 4096)));
        assert_eq!(
            size(Ext4, &with((1024 + 0x18, &[200]))),
            None,
            "a block size"
        );
        let checksum: (usize, &[u8]) = (1024 + 0x65, &[4]);
        assert_eq!(size(Ext4, &with(checksum)), None, "a wrong checksum");
        let xfs: [(usize, &[u8]); 2] = [(4, &4096u32.to_be_bytes()), (8, &81920u64.to_be_bytes())];
        assert_eq!(size(Xfs, &xfs), Some((81920, 4096)));
        let total = (1u64 << 30).to_le_bytes();
        assert_eq!(
            size(Btrfs, &[(65536 + 0xc9 + 8, &total)]),
            Some((1 << 18, 4096))
        );
        let f2fs: [(usize, &[u8]); 2] = [(1024 + 16, &[12]), (1024 + 36, &count)];
        assert_eq!(size(F2fs, &f2fs), Some((5000, 4096)));
        assert_eq!((size(Xfs, &[]), size(Vfat, &[])), (None, None));
    }
}
