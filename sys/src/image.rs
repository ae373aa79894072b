// SPDX-License-Identifier: Apache-2.0
//! The userland image: its check and its mount.
//!
//! erofs mounts a plain file without a loop device only where that file's file system supports
//! large folios (fs/erofs/super.c, `erofs_fc_get_tree`), which a ramfs does and a tmpfs does
//! not. The kernel unpacks an initrd into a tmpfs unless `rootfstype=ramfs` or `root=` is on its
//! command line, so a direct mount is tried first and a loop device second.
#![expect(unsafe_code, reason = "ioctls of the loop driver")]

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::OnceLock;

use log::debug;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};

use crate::error::{Doing, Error, Result};
use crate::modules;

pub mod detached;

/// ioctl(2) requests of the loop driver (include/uapi/linux/loop.h).
const LOOP_CTL_GET_FREE: u64 = 0x4C82;
const LOOP_CONFIGURE: u64 = 0x4C0A;
/// `LO_FLAGS_READ_ONLY`, `LO_FLAGS_AUTOCLEAR` (the device is detached with its last mount) and
/// `LO_FLAGS_DIRECT_IO` (no second copy in the page cache).
const LOOP_FLAGS: u32 = 1 | 4 | 16;
/// Block size of the loop device in bytes; the image's, so that direct reads are aligned.
const BLOCK_SIZE: u32 = 4096;

/// `struct loop_config` around `struct loop_info64`, of which only the flags are set.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    /// `lo_device` to `lo_sizelimit`.
    device_to_sizelimit: [u64; 5],
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    names_and_key: [u8; 64 + 64 + 32],
    init: [u64; 2],
    reserved: [u64; 8],
}

/// Checks the image at `path` and mounts the image on `target`; `loop_module` is the file of the
/// loop driver.
///
/// # Errors
/// The image is damaged, or the kernel refuses a step.
pub fn mount_image(path: &str, target: &str, loop_module: &Path) -> Result<()> {
    check(Path::new(path))?;
    mount_erofs_file(path, target, MsFlags::empty(), loop_module)?;
    find_read_ahead(target);
    Ok(())
}

/// Read-ahead of a running machine, in KiB. A cluster of lz4 is unpacked from its start to the
/// requested page, again for each page (fs/erofs/zdata.c, `z_erofs_pcluster_readmore`), and a
/// podman that starts cold touches most pages of its own: with the kernel's default of 128 KiB many
/// clusters are unpacked twice.
const READ_AHEAD_KB: &str = "1024";
/// Path in sysfs of the image's read-ahead, once the image is mounted.
static READ_AHEAD_PATH: OnceLock<String> = OnceLock::new();

/// Finds [`READ_AHEAD_PATH`] of the file system that is mounted at `target`.
fn find_read_ahead(target: &str) {
    let device = fs::metadata(target).map_or(0, |m| m.dev());
    let number = format!("{}:{}", libc::major(device), libc::minor(device));
    // Without a block device the bdi has a name (fs/super.c, `super_setup_bdi_name`).
    let names = [number.as_str(), "erofs-1"].into_iter();
    let mut paths = names.map(|name| format!("/sys/class/bdi/{name}/read_ahead_kb"));
    if let Some(path) = paths.find(|path| Path::new(path).exists()) {
        let _ = READ_AHEAD_PATH.set(path);
    }
}

/// Raises the image's read-ahead to [`READ_AHEAD_KB`]. Called when the machine is ready: sshd,
/// which starts before, touches few pages of its libraries; podman, which starts after, most.
pub fn raise_read_ahead() {
    if let Some(path) = READ_AHEAD_PATH.get() {
        let written = fs::write(path, READ_AHEAD_KB);
        debug!("{path} <- {READ_AHEAD_KB}: {written:?}");
    }
}

/// Mounts the erofs at `path` on `target` read-only and with `extra_flags`, without a check of
/// its size; `loop_module` is the file of the loop driver.
///
/// # Errors
/// The kernel refuses a step.
pub fn mount_erofs_file(
    path: &str,
    target: &str,
    extra_flags: MsFlags,
    loop_module: &Path,
) -> Result<()> {
    match mount_erofs(path, target, extra_flags) {
        Ok(()) => debug!("{path}: mounted without a loop device"),
        Err(Errno::ENOTBLK) => {
            // The device stays open until the mount: the last close of the device detaches the
            // file.
            let (device, _open) = attach_loop(path, loop_module)?;
            mount_erofs(&device, target, extra_flags)
                .doing(format!("mount erofs {path} by {device}"))?;
        }
        Err(e) => return Err(e).doing(format!("mount erofs {path}")),
    }
    Ok(())
}

fn mount_erofs(source: &str, target: &str, extra_flags: MsFlags) -> nix::Result<()> {
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NODEV | extra_flags;
    mount(Some(source), target, Some("erofs"), flags, None::<&str>)
}

/// Attaches the file to a free loop device and returns the device's path, and the open device.
fn attach_loop(path: &str, loop_module: &Path) -> Result<(String, File)> {
    if !Path::new("/dev/loop-control").exists() {
        // No other module is loaded here, so the answer whether the kernel requires signatures is not used.
        let mut verify = false;
        modules::insmod(loop_module, "", &mut verify).on(loop_module)?;
    }
    let open = |path: &str, write: bool| {
        let file = OpenOptions::new().read(true).write(write).open(path);
        file.on(path)
    };
    let control = open("/dev/loop-control", true)?;
    // SAFETY: the request takes no argument.
    let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE as _) };
    let number = Errno::result(number).doing("no free loop device")?;
    let device = format!("/dev/loop{number}");
    let (image, node) = (open(path, false)?, open(&device, false)?);
    let config = loop_config(&image);
    // SAFETY: LOOP_CONFIGURE reads a `struct loop_config`, which `config` is.
    let done = unsafe { libc::ioctl(node.as_raw_fd(), LOOP_CONFIGURE as _, &raw const config) };
    Errno::result(done).on(&device)?;
    Ok((device, node))
}

fn loop_config(image: &File) -> LoopConfig {
    LoopConfig {
        fd: image.as_raw_fd().unsigned_abs(),
        block_size: BLOCK_SIZE,
        device_to_sizelimit: [0; 5],
        number: 0,
        encrypt_type: 0,
        encrypt_key_size: 0,
        flags: LOOP_FLAGS,
        names_and_key: [0; 160],
        init: [0; 2],
        reserved: [0; 8],
    }
}

/// Compares the size of the image that the superblock states with the size of the file. Where memory is short the
/// kernel stops unpacking the initrd in the middle, with one line that is easily missed.
fn check(path: &Path) -> Result<()> {
    let invalid = |reason: String| Err(Error::invalid(reason)).on(path);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) => return invalid(format!("{e}: the initrd is incomplete{}", memory_hint())),
    };
    // Blocks that exist, not the length: the kernel gives the file its full length first, and
    // blocks that were not unpacked are a hole.
    let actual = file
        .metadata()
        .map_or(0, |m| (m.blocks() * 512).min(m.len()));
    let mut head = [0u8; 1024 + 128];
    let read = file.read_at(&mut head, 0).unwrap_or(0);
    match image_size_in_superblock(head.get(..read).unwrap_or(&[])) {
        Some(stated) if stated <= actual => Ok(()),
        Some(stated) => invalid(format!(
            "cut short: {actual} of {stated} bytes{}",
            memory_hint()
        )),
        None if read < head.len() => invalid(format!("cut short: {actual} bytes{}", memory_hint())),
        None => invalid("not an erofs image: build the initrd again".to_owned()),
    }
}

/// Returns the size of the image in bytes, as its erofs superblock states it (fs/erofs/erofs_fs.h: magic at 1024,
/// block size as a power of two at +12, number of blocks at +36).
fn image_size_in_superblock(head: &[u8]) -> Option<u64> {
    let field = |offset: usize| {
        let bytes = head.get(1024 + offset..1024 + offset + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    };
    (field(0)? == 0xE0F5_E1E2).then_some(())?;
    let bits = *head.get(1024 + 12)?;
    let blocks = u64::from(field(36)?);
    (bits < 32).then(|| blocks << bits)
}

/// Returns the end of a message on a short image: too little memory is the likely reason.
fn memory_hint() -> String {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = text
        .lines()
        .find_map(|l| l.strip_prefix("MemTotal:"))
        .and_then(|v| v.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    let hint = |kib| {
        format!(
            ". The machine has {} MB of memory: give it more, or fetch the initrd again",
            kib / 1024
        )
    };
    kib.map_or_else(String::new, hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(magic: u32, bits: u8, blocks: u32) -> Vec<u8> {
        let mut h = vec![0; 1152];
        h[1024..1028].copy_from_slice(&magic.to_le_bytes());
        h[1036] = bits;
        h[1060..1064].copy_from_slice(&blocks.to_le_bytes());
        h
    }

    #[test]
    fn the_superblock_states_the_size() {
        assert_eq!(
            image_size_in_superblock(&head(0xE0F5_E1E2, 12, 100)),
            Some(409_600)
        );
        assert_eq!(image_size_in_superblock(&head(0xE0F5_E1E2, 200, 100)), None);
        assert_eq!(image_size_in_superblock(&head(0xE0F5_E1E3, 12, 100)), None);
        assert_eq!(image_size_in_superblock(&[0; 1030]), None);
        assert_eq!(image_size_in_superblock(&[]), None);
    }

    #[test]
    fn the_structure_has_the_kernels_size() {
        // Figures of offsetof and sizeof with linux/loop.h.
        assert_eq!(size_of::<LoopConfig>(), 304);
        assert_eq!(std::mem::offset_of!(LoopConfig, flags), 60);
    }
}
