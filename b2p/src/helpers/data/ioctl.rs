//! System calls on disks and file systems that nix has no wrapper for.
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

/// struct blkpg_partition.
#[repr(C)]
struct Partition {
    start: i64,
    length: i64,
    number: i32,
    names: [u8; 128],
}

/// struct blkpg_ioctl_arg.
#[repr(C)]
struct Argument {
    op: i32,
    flags: i32,
    length: i32,
    data: *mut Partition,
}

fn outcome(result: libc::c_int) -> io::Result<()> {
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Drops what the kernel has read of a disk: the pages of a disk and of its
/// partitions are not the same ones.
pub fn forget(disk: &File) -> io::Result<()> {
    // SAFETY: no argument.
    outcome(unsafe { libc::ioctl(disk.as_raw_fd(), BLKFLSBUF as _, 0) })
}

/// Makes the kernel read the table again.
pub fn reread(disk: &File) -> io::Result<()> {
    // SAFETY: no argument.
    outcome(unsafe { libc::ioctl(disk.as_raw_fd(), BLKRRPART as _, 0) })
}

/// Tells the kernel of a partition.
pub fn add(disk: &File, number: u32, first: u64, len: u64) -> io::Result<()> {
    blkpg(disk, BLKPG_ADD_PARTITION, number, first, len)
}

/// Tells the kernel that a partition has another length; it may be mounted.
pub fn resize(disk: &File, number: u32, first: u64, len: u64) -> io::Result<()> {
    blkpg(disk, BLKPG_RESIZE_PARTITION, number, first, len)
}

fn blkpg(disk: &File, op: i32, number: u32, first: u64, len: u64) -> io::Result<()> {
    let big = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let mut partition = Partition {
        start: first.try_into().map_err(big)?,
        length: len.try_into().map_err(big)?,
        number: number.try_into().map_err(big)?,
        names: [0; 128],
    };
    let mut argument = Argument {
        op,
        flags: 0,
        length: size_of::<Partition>() as i32,
        data: &raw mut partition,
    };
    // SAFETY: both structures are as linux/blkpg.h has them, and live.
    outcome(unsafe { libc::ioctl(disk.as_raw_fd(), BLKPG as _, &raw mut argument) })
}

/// Names a mounted file system, through its journal.
pub fn label(mounted: &File, name: &str) -> io::Result<()> {
    let mut text = [0u8; 256];
    disk::bytes::put(&mut text, 0, name.as_bytes());
    // SAFETY: 256 bytes, ended by a zero.
    outcome(unsafe { libc::ioctl(mounted.as_raw_fd(), FS_IOC_SETFSLABEL as _, text.as_ptr()) })
}

/// Grows a mounted ext4 to so many blocks.
pub fn grow_ext4(mounted: &File, blocks: u64) -> io::Result<()> {
    // SAFETY: a pointer to a live u64.
    outcome(unsafe {
        libc::ioctl(
            mounted.as_raw_fd(),
            EXT4_IOC_RESIZE_FS as _,
            &raw const blocks,
        )
    })
}

/// Grows a mounted xfs to so many blocks; its share of inodes stays.
pub fn grow_xfs(mounted: &File, blocks: u64, inodes: u32) -> io::Result<()> {
    let argument = [
        blocks,
        u64::from_ne_bytes(disk::bytes::array(&inodes.to_ne_bytes().repeat(2), 0)),
    ];
    // SAFETY: 16 bytes: the blocks, the percentage, four that nobody reads.
    outcome(unsafe {
        libc::ioctl(
            mounted.as_raw_fd(),
            XFS_IOC_FSGROWFSDATA as _,
            argument.as_ptr(),
        )
    })
}

/// Grows a mounted btrfs to the end of its device.
pub fn grow_btrfs(mounted: &File) -> io::Result<()> {
    let mut argument = [0u8; 4096];
    disk::bytes::put(&mut argument, 8, b"1:max");
    // SAFETY: struct btrfs_ioctl_vol_args: a descriptor, then a name.
    outcome(unsafe {
        libc::ioctl(
            mounted.as_raw_fd(),
            BTRFS_IOC_RESIZE as _,
            argument.as_ptr(),
        )
    })
}

/// Makes an empty file on btrfs one whose blocks stay where they are.
pub fn set_no_copy_on_write(file: &File) -> io::Result<()> {
    let flags = FS_NOCOW_FL;
    // SAFETY: a pointer to a live int.
    outcome(unsafe { libc::ioctl(file.as_raw_fd(), FS_IOC_SETFLAGS as _, &raw const flags) })
}

/// Whether a CD drive has a disc that can be read (linux/cdrom.h).
pub fn has_disc(drive: &File) -> bool {
    const CDROM_DRIVE_STATUS: libc::c_ulong = 0x5326;
    const CDS_DISC_OK: libc::c_int = 4;
    // SAFETY: the argument is a number: CDSL_CURRENT.
    unsafe {
        libc::ioctl(drive.as_raw_fd(), CDROM_DRIVE_STATUS as _, libc::c_int::MAX) == CDS_DISC_OK
    }
}

/// The number of this machine (linux/vm_sockets.h, IOCTL_VM_SOCKETS_GET_LOCAL_CID).
///
/// # Errors
/// What the system said.
pub fn local_cid(device: &File) -> io::Result<u32> {
    const GET_LOCAL_CID: libc::c_ulong = 0x7b9;
    let mut cid: libc::c_uint = 0;
    // SAFETY: the kernel writes one unsigned int there.
    outcome(unsafe { libc::ioctl(device.as_raw_fd(), GET_LOCAL_CID as _, &raw mut cid) })?;
    Ok(cid)
}
