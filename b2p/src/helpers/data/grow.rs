// SPDX-License-Identifier: Apache-2.0
//! Grows the data partition and its file system to a disk that has grown.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use disk::MIB;
use disk::bytes::SizedFile;
use disk::device::Device;
use disk::disk_op::DiskOp;
use disk::fs_size;
use disk::signature::SignatureKind;
use log::info;
use sys::error::{Doing, Result};

use crate::helpers::block::{ioctl, scan};

/// Repairs or grows the partition table that the device belongs to, if this system made the table.
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

/// Applies operations to a whole disk, and returns the disk opened for writing.
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
/// The kernel refuses the change; the file system keeps its size then.
pub fn filesystem(path: &Path, kind: SignatureKind, mount_point: &Path) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let size = scan::size(&name).unwrap_or(0);
    let file = File::open(path).on(path)?;
    let Some(before) = fs_size::read(&SizedFile { file, size }, kind).on(path)? else {
        return Ok(());
    };
    // Up to a MiB is left over from the alignment of the partition.
    if size.saturating_sub(before.bytes()) < MIB {
        return Ok(());
    }
    let wanted = size / before.block_bytes;
    let mounted = File::open(mount_point).on(mount_point)?;
    let grown = match kind {
        SignatureKind::Xfs => ioctl::grow_xfs(&mounted, wanted, before.inode_percent),
        SignatureKind::Btrfs => ioctl::grow_btrfs(&mounted),
        SignatureKind::Ext4 => ioctl::grow_ext4(&mounted, wanted),
        _ => return Ok(()),
    };
    grown.doing("grow").on(path)?;
    let (before, after) = (before.bytes() / MIB, size / MIB);
    let path = path.display();
    info!("data: {path}: grown from {before} MiB to {after} MiB");
    Ok(())
}
