// SPDX-License-Identifier: Apache-2.0
//! ioctl(2) requests to disks and file systems for which nix has no wrapper. Their errors are
//! those of the kernel.
#![expect(unsafe_code, reason = "each with its SAFETY note")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// linux/fs.h: `_IO(0x12, n)`.
const BLKRRPART: libc::c_ulong = 0x125f;
const BLKFLSBUF: libc::c_ulong = 0x1261;
/// linux/blkpg.h: `_IO(0x12, 105)`.
const BLKPG: libc::c_ulong = 0x1269;
const BLKPG_ADD_PARTITION: i32 = 1;
const BLKPG_RESIZE_PARTITION: i32 = 3;
/// linux/fs.h: `_IOW(0x94, 50, char[256])`.
const FS_IOC_SETFSLABEL: libc::c_ulong = 0x4100_9432;
/// fs/ext4/ext4.h: `_IOW('f', 16, __u64)`.
const EXT4_IOC_RESIZE_FS: libc::c_ulong = 0x4008_6610;
/// fs/xfs/libxfs/xfs_fs.h: `_IOW('X', 110, struct xfs_growfs_data)`.
const XFS_IOC_FSGROWFSDATA: libc::c_ulong = 0x4010_586e;
/// linux/btrfs.h: `_IOW(0x94, 3, struct btrfs_ioctl_vol_args)`.
const BTRFS_IOC_RESIZE: libc::c_ulong = 0x5000_9403;
/// linux/fs.h: `_IOW('f', 2, long)`, which takes a pointer to an int.
const FS_IOC_SETFLAGS: libc::c_ulong = 0x4008_6602;
const FS_NOCOW_FL: libc::c_int = 0x0080_0000;
/// linux/cdrom.h.
const CDROM_DRIVE_STATUS: libc::c_ulong = 0x5326;
const CDS_DISC_OK: libc::c_int = 4;

/// struct blkpg_partition.
#[repr(C)]
struct BlkpgPartition {
    start: i64,
    length: i64,
    number: i32,
    names: [u8; 128],
}

/// struct blkpg_ioctl_arg.
#[repr(C)]
struct BlkpgArgument {
    op: i32,
    flags: i32,
    length: i32,
    data: *mut BlkpgPartition,
}

fn check(result: libc::c_int) -> io::Result<()> {
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Writes and drops the cached pages of a disk. The kernel caches a disk and its partitions separately.
pub fn drop_cache(disk: &File) -> io::Result<()> {
    // SAFETY: the request takes no argument.
    check(unsafe { libc::ioctl(disk.as_raw_fd(), BLKFLSBUF as _, 0) })
}

/// Makes the kernel read the partition table again.
pub fn reread_partition_table(disk: &File) -> io::Result<()> {
    // SAFETY: the request takes no argument.
    check(unsafe { libc::ioctl(disk.as_raw_fd(), BLKRRPART as _, 0) })
}

/// Adds a partition to those that the kernel knows: its number, its first byte and its length in bytes.
pub fn add_partition(disk: &File, number: u32, first: u64, len: u64) -> io::Result<()> {
    blkpg(disk, BLKPG_ADD_PARTITION, number, first, len)
}

/// Changes the length of a partition that the kernel knows; the partition may be mounted.
pub fn resize_partition(disk: &File, number: u32, first: u64, len: u64) -> io::Result<()> {
    blkpg(disk, BLKPG_RESIZE_PARTITION, number, first, len)
}

fn blkpg(disk: &File, op: i32, number: u32, first: u64, len: u64) -> io::Result<()> {
    let too_large = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let mut partition = BlkpgPartition {
        start: first.try_into().map_err(too_large)?,
        length: len.try_into().map_err(too_large)?,
        number: number.try_into().map_err(too_large)?,
        names: [0; 128],
    };
    let mut argument = BlkpgArgument {
        op,
        flags: 0,
        length: size_of::<BlkpgPartition>() as i32,
        data: &raw mut partition,
    };
    // SAFETY: both structures are as linux/blkpg.h has them, and live.
    check(unsafe { libc::ioctl(disk.as_raw_fd(), BLKPG as _, &raw mut argument) })
}

/// Labels a mounted file system, through its journal.
pub fn set_label(mounted: &File, label: &str) -> io::Result<()> {
    let mut text = [0u8; 256];
    disk::bytes::put(&mut text, 0, label.as_bytes());
    let fd = mounted.as_raw_fd();
    // SAFETY: the argument is 256 bytes that a zero ends.
    check(unsafe { libc::ioctl(fd, FS_IOC_SETFSLABEL as _, text.as_ptr()) })
}

/// Grows a mounted ext4 to `blocks`.
pub fn grow_ext4(mounted: &File, blocks: u64) -> io::Result<()> {
    let fd = mounted.as_raw_fd();
    // SAFETY: the argument is a pointer to a live u64.
    check(unsafe { libc::ioctl(fd, EXT4_IOC_RESIZE_FS as _, &raw const blocks) })
}

/// Grows a mounted xfs to `blocks`; at most `inode_percent` of them are for inodes.
pub fn grow_xfs(mounted: &File, blocks: u64, inode_percent: u32) -> io::Result<()> {
    // The percentage is followed by four bytes of padding.
    let percent = inode_percent.to_ne_bytes().repeat(2);
    let argument = [blocks, u64::from_ne_bytes(disk::bytes::array(&percent, 0))];
    let fd = mounted.as_raw_fd();
    // SAFETY: the argument is the 16 bytes of struct xfs_growfs_data.
    check(unsafe { libc::ioctl(fd, XFS_IOC_FSGROWFSDATA as _, argument.as_ptr()) })
}

/// Grows a mounted btrfs to the end of its device.
pub fn grow_btrfs(mounted: &File) -> io::Result<()> {
    let mut argument = [0u8; 4096];
    disk::bytes::put(&mut argument, 8, b"1:max");
    let fd = mounted.as_raw_fd();
    // SAFETY: struct btrfs_ioctl_vol_args is a descriptor of 8 bytes, then a name.
    check(unsafe { libc::ioctl(fd, BTRFS_IOC_RESIZE as _, argument.as_ptr()) })
}

/// Turns copy-on-write off for an empty file on btrfs, so that its blocks keep their place when they are written.
pub fn set_no_copy_on_write(file: &File) -> io::Result<()> {
    let flags = FS_NOCOW_FL;
    let fd = file.as_raw_fd();
    // SAFETY: the argument is a pointer to a live int.
    check(unsafe { libc::ioctl(fd, FS_IOC_SETFLAGS as _, &raw const flags) })
}

/// Returns true if a CD drive has a disc that can be read.
pub fn has_disc(drive: &File) -> bool {
    let fd = drive.as_raw_fd();
    // SAFETY: the argument is a number, CDSL_CURRENT.
    let status = unsafe { libc::ioctl(fd, CDROM_DRIVE_STATUS as _, libc::c_int::MAX) };
    status == CDS_DISC_OK
}
