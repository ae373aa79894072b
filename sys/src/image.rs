//! The userland image: what its first block says, and how it is mounted.
//!
//! erofs mounts a plain file without a loop device only where that file's file
//! system can hand it whole folios (fs/erofs/super.c, erofs_fc_get_tree), which
//! a ramfs does and a tmpfs does not. The kernel unpacks an initrd into a tmpfs
//! unless `rootfstype=ramfs` or `root=` stands on its command line, so the
//! direct way is tried and a loop device is the other.
#![expect(unsafe_code, reason = "ioctls of the loop driver")]

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::OnceLock;

use log::debug;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};

use crate::modules;

/// include/uapi/linux/loop.h
const LOOP_CTL_GET_FREE: u64 = 0x4C82;
const LOOP_CONFIGURE: u64 = 0x4C0A;
/// Read only; gone with its mount; no second copy in the page cache.
const FLAGS: u32 = 1 | 4 | 16;
/// Of the image's blocks, so that direct reads are aligned.
const BLOCK: u32 = 4096;

/// `struct loop_config`, with `struct loop_info64` in its middle of which only
/// the flags are ours to set.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    /// lo_device to lo_sizelimit
    before: [u64; 5],
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    names_and_key: [u8; 64 + 64 + 32],
    init: [u64; 2],
    reserved: [u64; 8],
}

/// Mounts the image at `path` on `target`; `driver` is the loop module's file.
///
/// # Errors
/// What is wrong with the image, or what the system said.
pub fn mount_image(path: &str, target: &str, driver: &Path) -> Result<(), String> {
    check(Path::new(path))?;
    mount_erofs_file(path, target, MsFlags::empty(), driver)?;
    find_read_ahead(target);
    Ok(())
}

/// How much is read ahead of what a program touches, in KiB. A cluster of lz4 is unpacked
/// from its start to the page that is asked for, again for each page (fs/erofs/zdata.c,
/// `z_erofs_pcluster_readmore`), and a cold podman touches most of its own: with the
/// kernel's 128 it unpacks many twice.
const AHEAD: &str = "1024";
/// Where it is said, once the image is mounted.
static AHEAD_OF: OnceLock<String> = OnceLock::new();

/// Finds out where that is for what is mounted at `target`.
fn find_read_ahead(target: &str) {
    let device = fs::metadata(target).map_or(0, |m| m.dev());
    let number = format!("{}:{}", libc::major(device), libc::minor(device));
    // Without a block device it has a name (super.c, `super_setup_bdi_name`).
    let names = [number.as_str(), "erofs-1"].into_iter();
    let mut paths = names.map(|name| format!("/sys/class/bdi/{name}/read_ahead_kb"));
    if let Some(path) = paths.find(|path| Path::new(path).exists()) {
        let _ = AHEAD_OF.set(path);
    }
}

/// Reads further ahead from now on: the next that is read is podman. Before, there is
/// sshd, which touches little of its libraries. A matter of speed alone.
pub fn raise_read_ahead() {
    if let Some(path) = AHEAD_OF.get() {
        let done = fs::write(path, AHEAD);
        debug!("{path} <- {AHEAD}: {done:?}");
    }
}

/// The same of any file, with `more` flags, and without a look at what the image says.
///
/// # Errors
/// What the system said.
pub fn mount_erofs_file(
    path: &str,
    target: &str,
    more: MsFlags,
    driver: &Path,
) -> Result<(), String> {
    match mount_erofs(path, target, more) {
        Ok(()) => debug!("{path}: mounted without a loop device"),
        Err(Errno::ENOTBLK) => {
            // Open until it is mounted: the last close lets go of the file.
            let (device, _open) = by_loop(path, driver)?;
            mount_erofs(&device, target, more)
                .map_err(|e| format!("mount erofs {path} by {device}: {e}"))?;
        }
        Err(e) => return Err(format!("mount erofs {path}: {e}")),
    }
    Ok(())
}

fn mount_erofs(from: &str, to: &str, more: MsFlags) -> nix::Result<()> {
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NODEV | more;
    mount(Some(from), to, Some("erofs"), flags, None::<&str>)
}

/// Puts the file behind a free loop device and returns its path, and it open.
fn by_loop(path: &str, driver: &Path) -> Result<(String, File), String> {
    if !Path::new("/dev/loop-control").exists() {
        modules::insmod(driver, "", &mut false)
            .map_err(|e| format!("{}: {e}", driver.display()))?;
    }
    let open = |p: &str, write: bool| {
        OpenOptions::new()
            .read(true)
            .write(write)
            .open(p)
            .map_err(|e| format!("{p}: {e}"))
    };
    let control = open("/dev/loop-control", true)?;
    // SAFETY: takes no argument.
    let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE as _) };
    let number = Errno::result(number).map_err(|e| format!("no free loop device: {e}"))?;
    let device = format!("/dev/loop{number}");
    let (image, node) = (open(path, false)?, open(&device, false)?);
    let config = configuration(&image);
    // SAFETY: the structure is the one that LOOP_CONFIGURE documents.
    let done = unsafe { libc::ioctl(node.as_raw_fd(), LOOP_CONFIGURE as _, &raw const config) };
    Errno::result(done).map_err(|e| format!("{device}: {e}"))?;
    Ok((device, node))
}

fn configuration(image: &File) -> LoopConfig {
    LoopConfig {
        fd: image.as_raw_fd().unsigned_abs(),
        block_size: BLOCK,
        before: [0; 5],
        number: 0,
        encrypt_type: 0,
        encrypt_key_size: 0,
        flags: FLAGS,
        names_and_key: [0; 160],
        init: [0; 2],
        reserved: [0; 8],
    }
}

/// The size that the image says it has, and the size it has. Where memory is
/// short the kernel stops unpacking in the middle, with one line that nobody reads.
fn check(path: &Path) -> Result<(), String> {
    let name = path.display();
    let incomplete =
        |e: std::io::Error| format!("{name}: {e}: the initrd is incomplete{}", memory());
    let file = File::open(path).map_err(incomplete)?;
    // What is there, not what it is long: the kernel makes the file its full
    // length first, and what was not unpacked is a hole.
    let actual = file
        .metadata()
        .map_or(0, |m| (m.blocks() * 512).min(m.len()));
    let mut head = [0u8; 1024 + 128];
    let read = file.read_at(&mut head, 0).unwrap_or(0);
    match stated_size(head.get(..read).unwrap_or(&[])) {
        Some(stated) if stated <= actual => Ok(()),
        Some(stated) => Err(format!(
            "{name}: cut short: {actual} of {stated} bytes{}",
            memory()
        )),
        None if read < head.len() => Err(format!("{name}: cut short: {actual} bytes{}", memory())),
        None => Err(format!("{name}: not an erofs image: make the initrd again")),
    }
}

/// The size of an erofs image by its superblock (fs/erofs/erofs_fs.h: magic at
/// 1024, block size as a power of two at +12, number of blocks at +36).
fn stated_size(head: &[u8]) -> Option<u64> {
    let at = |offset: usize| {
        let bytes = head.get(1024 + offset..1024 + offset + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    };
    (at(0)? == 0xE0F5_E1E2).then_some(())?;
    let bits = *head.get(1024 + 12)?;
    let blocks = u64::from(at(36)?);
    (bits < 32).then(|| blocks << bits)
}

/// A word on memory, for when that is the likely reason.
fn memory() -> String {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = text
        .lines()
        .find_map(|l| l.strip_prefix("MemTotal:"))
        .and_then(|v| v.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    let say = |k| {
        format!(
            ". The machine has {} MB of memory: give it more, or fetch the initrd again",
            k / 1024
        )
    };
    kib.map_or_else(String::new, say)
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
    fn the_superblock_says_its_size() {
        assert_eq!(stated_size(&head(0xE0F5_E1E2, 12, 100)), Some(409_600));
        assert_eq!(stated_size(&head(0xE0F5_E1E2, 200, 100)), None);
        assert_eq!(stated_size(&head(0xE0F5_E1E3, 12, 100)), None);
        assert_eq!(stated_size(&[0; 1030]), None);
        assert_eq!(stated_size(&[]), None);
    }

    #[test]
    fn the_structure_has_the_kernels_size() {
        // Read off linux/loop.h by offsetof and sizeof.
        assert_eq!(size_of::<LoopConfig>(), 304);
        assert_eq!(std::mem::offset_of!(LoopConfig, flags), 60);
    }
}
