// SPDX-License-Identifier: Apache-2.0
//! Grows the data partition and its file system to a disk that has grown.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use disk::MIB;
use disk::bytes::{SizedFile, array, le32, le64, read_at};
use disk::device::Device;
use disk::disk_op::DiskOp;
use disk::signature::SignatureKind;
use log::info;
use sys::error::{Doing, Result};

use crate::helpers::block::{ioctl, scan};

/// Bytes at the start of a file system that include its superblock: that of btrfs is at 64 KiB.
const HEAD: usize = 64 * 1024 + 4096;

/// Repairs or grows the partition table that the device belongs to, if this system made it.
///
/// # Errors
/// The disk cannot be read or written. The table is the old or the new one then.
pub fn partition(device: &Device) -> Result<()> {
    let Some(name) = &device.parent_disk else {
        return Ok(());
    };
    let node = scan::node(name);
    let size = scan::size(name).unwrap_or(0);
    let file = File::open(&node).on(&node)?;
    let source = SizedFile { file, size };
    let Some(table) = disk::gpt::read(&source, scan::sector_size(name)).on(&node)? else {
        return Ok(());
    };
    if let Some((ops, partition)) = table.grow(size) {
        let disk = apply(name, &ops)?;
        let (number, first, len) = (partition.number, partition.offset, partition.len);
        ioctl::resize_partition(&disk, number, first, len).on(&node)?;
        let mib = size / MIB;
        info!("data: /dev/{name} has grown to {mib} MiB, and its partition with it");
    } else if let Some(ops) = table.repair(size) {
        apply(name, &ops)?;
        info!(
            "data: /dev/{name}: its broken partition table was restored from the copy at its end"
        );
    }
    Ok(())
}

/// Applies operations to a whole disk, and returns it opened for writing.
fn apply(name: &str, ops: &[DiskOp]) -> Result<File> {
    let disk = scan::open_writable(name, 0)?;
    for op in ops {
        let done = match op {
            DiskOp::Write(at, bytes) => disk.write_all_at(bytes, *at),
            DiskOp::Flush => disk.sync_all(),
        };
        done.on(scan::node(name))?;
    }
    Ok(disk)
}

/// Grows a mounted file system to its device.
///
/// # Errors
/// The kernel refuses it; the file system keeps its size then.
pub fn filesystem(path: &Path, kind: SignatureKind, mount_point: &Path) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let size = scan::size(&name).unwrap_or(0);
    let file = File::open(path).on(path)?;
    let head = read_at(&SizedFile { file, size }, 0, HEAD).on(path)?;
    let Some((blocks, block_size)) = blocks(kind, &head) else {
        return Ok(());
    };
    let wanted = size / block_size;
    // Up to a MiB is left over from the alignment of the partition.
    if wanted.saturating_sub(blocks).saturating_mul(block_size) < MIB {
        return Ok(());
    }
    let mounted = File::open(mount_point).on(mount_point)?;
    let grown = match kind {
        SignatureKind::Xfs => ioctl::grow_xfs(&mounted, wanted, inode_percent(&head)),
        SignatureKind::Btrfs => ioctl::grow_btrfs(&mounted),
        _ => ioctl::grow_ext4(&mounted, wanted),
    };
    grown.doing("grow").on(path)?;
    let (before, after) = (blocks * block_size / MIB, size / MIB);
    let path = path.display();
    info!("data: {path}: grown from {before} MiB to {after} MiB");
    Ok(())
}

/// Returns the share of an xfs that may hold inodes (`sb_imax_pct`), which stays.
fn inode_percent(head: &[u8]) -> u32 {
    head.get(127).copied().unwrap_or(25).into()
}

/// Returns the number of blocks of a file system and the size of a block in bytes, or `None` for
/// one that cannot grow.
fn blocks(kind: SignatureKind, head: &[u8]) -> Option<(u64, u64)> {
    match kind {
        SignatureKind::Ext4 => {
            let superblock = head.get(1024..2048)?;
            let block_size = 1024u64.checked_shl(le32(superblock, 0x18));
            let has_high_half = le32(superblock, 0x60) & 0x80 != 0; // INCOMPAT_64BIT
            let high = if has_high_half {
                le32(superblock, 0x150)
            } else {
                0
            };
            let blocks = u64::from(high) << 32 | u64::from(le32(superblock, 4));
            Some((blocks, block_size.filter(|size| *size <= 65536)?))
        }
        SignatureKind::Xfs => {
            let block_size = u64::from(u32::from_be_bytes(array(head, 4)));
            let blocks = u64::from_be_bytes(array(head, 8));
            block_size.is_power_of_two().then_some((blocks, block_size))
        }
        SignatureKind::Btrfs => {
            // The item of the device in the superblock: total_bytes follows its id.
            let superblock = head.get(65536..)?;
            Some((le64(superblock, 0xc9 + 8) / 4096, 4096))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disk::bytes::put;

    #[test]
    fn sizes_as_the_superblocks_have_them() {
        let mut head = vec![0; 70_000];
        put(&mut head, 1024 + 4, &5000u32.to_le_bytes());
        put(&mut head, 1024 + 0x18, &[2]);
        put(&mut head, 1024 + 0x150, &[1]);
        assert_eq!(blocks(SignatureKind::Ext4, &head), Some((5000, 4096)));
        put(&mut head, 1024 + 0x60, &[0x80]);
        assert_eq!(
            blocks(SignatureKind::Ext4, &head),
            Some(((1 << 32) + 5000, 4096))
        );
        put(&mut head, 1024 + 0x18, &[200]);
        assert_eq!(blocks(SignatureKind::Ext4, &head), None);
        assert_eq!(blocks(SignatureKind::Xfs, &head), None);
        assert_eq!(blocks(SignatureKind::Vfat, &head), None);
    }
}
