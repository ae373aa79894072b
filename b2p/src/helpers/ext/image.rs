// SPDX-License-Identifier: Apache-2.0
//! Verification and mount of extension images. A mount is visible to other processes only after `vet` has accepted the
//! image.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use log::info;
use nix::errno::Errno;
use nix::sys::statvfs::{FsFlags, statvfs};
use sys::arch::ARCH;
use sys::error::{Doing, Error, Result};
use sys::image::detached::Detached;
use sys::modules::Modules;

use super::find::Files;
use super::manifest::{Manifest, Platform};
use crate::common::tool;

/// Loader of the C library, which knows its version (ld.so(8)).
const LOADER: &str = ARCH.loader;
const OSRELEASE: &str = "/proc/sys/kernel/osrelease";
/// Errors of the kernel for an image that is no erofs, is damaged (EFSCORRUPTED, EFSBADCRC), or has a feature or an
/// algorithm of compression that this kernel lacks.
const UNREADABLE: &[Errno] = &[
    Errno::EINVAL,
    Errno::EUCLEAN,
    Errno::EBADMSG,
    Errno::EOPNOTSUPP,
];
/// Remedy for an image that is not that of its manifest.
const DAMAGED: &str = "damaged or changed; copy it again";
/// Time limit of the loader.
const LOADER_LIMIT: Duration = Duration::from_secs(10);
/// Time limit of sha256sum(1): a gigabyte on a slow disc. A read of a medium that is gone may never return, so that
/// another process hashes.
const SHA256_LIMIT: Duration = Duration::from_secs(600);

/// Parses a manifest.
///
/// # Errors
/// The manifest is wrong, or the extension is not for this machine.
pub fn check_platform<'a>(name: &str, manifest: &'a [u8]) -> Result<Manifest<'a>> {
    let manifest = Manifest::parse(manifest)?;
    let has_library = |name: &str| Path::new(ARCH.libraries).join(name).exists();
    let platform = Platform {
        libc: &libc_version()?,
        kernel: &kernel_release()?,
        has_library: &has_library,
    };
    manifest.check(name, &platform)?;
    Ok(manifest)
}

/// Returns the release of the running kernel (proc_sys_kernel(5)).
fn kernel_release() -> Result<String> {
    let text = fs::read_to_string(OSRELEASE).on(OSRELEASE)?;
    Ok(text.trim().to_owned())
}

/// Returns the version of this machine's C library.
fn libc_version() -> Result<String> {
    let finished = tool::run(LOADER, &["--version"], LOADER_LIMIT)?;
    let line = finished.output.lines().next().unwrap_or_default();
    loader_version(line).ok_or_else(|| Error::invalid(format!("{LOADER}: no version in {line:?}")))
}

/// Returns the version in `ld.so (Debian GLIBC 2.41-12) stable release version 2.41.`
fn loader_version(line: &str) -> Option<String> {
    let (_, version) = line.rsplit_once(" version ")?;
    Some(version.trim_end_matches('.').to_owned())
}

/// Opens the image if it is the one for which the manifest was made: what is hashed is the open file, whatever is
/// put in its place.
///
/// # Errors
/// The size or the sum differs, or the image cannot be read.
pub fn open(files: &Files, manifest: &Manifest<'_>) -> Result<File> {
    let file = open_sized(files, manifest)?;
    match other_sum(&file, manifest)? {
        None => Ok(file),
        Some(why) => Err(Error::invalid(why)),
    }
}

/// Returns how the image differs from the one for which the manifest was made.
///
/// # Errors
/// The image cannot be read, which says nothing of its content.
pub fn difference(files: &Files, manifest: &Manifest<'_>) -> Result<Option<String>> {
    match open_sized(files, manifest) {
        Ok(file) => other_sum(&file, manifest),
        Err(why) if why.errno().is_none() => Ok(Some(why.to_string())),
        Err(why) => Err(why),
    }
}

/// Returns true if another user than root may write to the file: it would change after it was checked. Nobody writes to
/// a file of a disk that is mounted read-only.
///
/// # Errors
/// The file is not there.
pub fn others_may_write(path: &Path) -> Result<bool> {
    let file = fs::metadata(path).on(path)?;
    let is_read_only = || {
        let found = statvfs(path).map(|found| found.flags());
        found.is_ok_and(|flags| flags.contains(FsFlags::ST_RDONLY))
    };
    Ok(file.is_file() && !is_of_root_alone(file.uid(), file.mode()) && !is_read_only())
}

/// Makes a file root's alone; a link and its file stay as they are.
///
/// # Errors
/// The file is not there, or its disk fails.
pub fn take_over(path: &Path) -> Result<()> {
    let found = fs::symlink_metadata(path).on(path)?;
    if found.is_file() && others_may_write(path)? {
        lchown(path, Some(0), Some(0)).on(path)?;
        fs::set_permissions(path, Permissions::from_mode(found.mode() & 0o755)).on(path)?;
    }
    Ok(())
}

fn is_of_root_alone(owner: u32, mode: u32) -> bool {
    owner == 0 && mode & 0o022 == 0
}

/// Opens the image if it is a file of the size that the manifest says; a fifo is not waited for.
///
/// # Errors
/// The image is none, has another size, or cannot be opened.
pub fn open_sized(files: &Files, manifest: &Manifest<'_>) -> Result<File> {
    let path = files.image();
    let of_kind = |metadata: &Metadata| match sys::files::kind(metadata.file_type()) {
        Some(kind) => Err(Error::invalid(format!(
            "{}: not a file: {kind}",
            path.display()
        ))),
        None => Ok(()),
    };
    of_kind(&fs::metadata(&path).on(&path)?)?;
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    let file = options.open(&path).on(&path)?;
    let metadata = file.metadata().on(&path)?;
    of_kind(&metadata)?;
    match size_fault(metadata.len(), manifest) {
        Some(why) => Err(Error::invalid(why)),
        None => Ok(file),
    }
}

/// Returns how the size of an image differs from that in the manifest.
pub fn size_fault(size: u64, manifest: &Manifest<'_>) -> Option<String> {
    let (size, expected) = (size.to_string(), manifest.value("size"));
    (size != expected)
        .then(|| format!("it has {size} bytes, its manifest says {expected}: {DAMAGED}"))
}

fn other_sum(file: &File, manifest: &Manifest<'_>) -> Result<Option<String>> {
    let (sum, expected) = (sha256(file)?, manifest.value("sha256"));
    Ok((sum != expected)
        .then(|| format!("its SHA-256 is {sum}, its manifest says {expected}: {DAMAGED}")))
}

/// Returns the SHA-256 of a file, by busybox.
fn sha256(file: &File) -> Result<String> {
    let mut command = Command::new("/usr/bin/busybox");
    command.arg("sha256sum").env_clear();
    let finished = tool::run_with_input(&mut command, Some(file.try_clone()?), SHA256_LIMIT)?;
    let sum = finished.output.split_ascii_whitespace().next();
    let is_sum = |sum: &&str| sum.len() == 64 && sum.bytes().all(|b| b.is_ascii_hexdigit());
    match sum.filter(is_sum).filter(|_| finished.code == Some(0)) {
        Some(sum) => Ok(sum.to_owned()),
        None => Err(Error::invalid(finished.last_lines)).doing("it cannot be read"),
    }
}

/// First bytes of the superblock of an erofs, from byte 1024 of the image on (`erofs_super_block`, fs/erofs/erofs_fs.h).
#[derive(Clone, Copy)]
struct Superblock([u8; 88]);

impl Superblock {
    const OFFSET: u64 = 1024;
    const MAGIC: u64 = 0xe0f5_e1e2;

    fn of(image: &File) -> Option<Superblock> {
        let mut bytes = [0; 88];
        image.read_exact_at(&mut bytes, Self::OFFSET).ok()?;
        let superblock = Superblock(bytes);
        (superblock.field(0, 4) == Self::MAGIC).then_some(superblock)
    }

    /// Returns the little-endian number of `len` bytes at `at`.
    fn field(&self, at: usize, len: usize) -> u64 {
        let bytes = self.0.get(at..at + len).unwrap_or_default();
        let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        bytes.iter().rev().fold(0, add)
    }

    /// Returns the reason for which an image of this size is refused, though the kernel mounts it: it would find out
    /// at a read that the file ends early. Other devices are files that the image names: the kernel opens any of the
    /// machine, and their blocks would be the content of files that everybody reads (`erofs_init_device`,
    /// fs/erofs/super.c).
    fn fault(&self, size: u64) -> Option<String> {
        let (blocks, block_bits, devices) =
            (self.field(36, 4), self.field(12, 1), self.field(86, 2));
        let own_size = u32::try_from(block_bits)
            .ok()
            .and_then(|bits| 1_u64.checked_shl(bits));
        match own_size.and_then(|block_size| blocks.checked_mul(block_size)) {
            _ if devices != 0 => Some("parts of its files are on other devices".into()),
            Some(own_size) if own_size <= size => None,
            Some(own_size) => Some(format!(
                "it has {size} bytes, its file system {own_size}: truncated; copy it again"
            )),
            None => Some("the size of its blocks is wrong".into()),
        }
    }
}

/// Creates a detached mount (fsmount(2)) of an open image. Its set-user-ID programs and device nodes have no effect. Once it is
/// attached, the mount stays until the extension is removed, and its loop device with it.
///
/// # Errors
/// The kernel refuses the image, or there is no loop device.
pub fn mount(image: &File) -> Result<Detached> {
    let size = image.metadata()?.len();
    if let Some(why) = Superblock::of(image).and_then(|superblock| superblock.fault(size)) {
        return Err(Error::invalid(why));
    }
    if !Path::new("/dev/loop-control").exists() {
        // For an image in RAM; the kernel reads one on a disk without a loop device.
        load_loop_driver();
    }
    // Not by the name of the file: another may have it by now.
    let path = PathBuf::from(format!("/proc/self/fd/{}", image.as_raw_fd()));
    match Detached::erofs(&path, Path::new("/loop.ko")) {
        Err(why) if why.errno().is_some_and(|errno| UNREADABLE.contains(&errno)) => {
            Err(Error::invalid(format!(
                "not for this machine: {why}: no image that this kernel reads"
            )))
        }
        mounted => mounted,
    }
}

/// Returns a file of the image at `image`, or `None` if there is none; an error names it by its path in the image,
/// which may have no place yet.
///
/// # Errors
/// The file cannot be read, is longer than `max_bytes`, or is no file.
pub fn read(image: &Path, file: &Path, max_bytes: u64) -> Result<Option<Vec<u8>>> {
    let text = sys::files::read_whole(&image.join(file), max_bytes);
    text.map_err(|why| Error::invalid(why.to_string().replace(&*image.to_string_lossy(), "")))
}

fn load_loop_driver() {
    match Modules::open(Path::new("/")) {
        // A driver that is missing is reported by the mount.
        Ok(mut modules) => drop(modules.load("loop")),
        Err(why) => info!("ext: loop: {why}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;

    #[test]
    fn a_file_of_another_user_is_not_mounted_itself() {
        for (owner, mode, expected) in [
            (0, 0o100_644, true),
            (0, 0o100_600, true),
            (1000, 0o100_644, false),
            (1000, 0o100_444, false),
            (0, 0o100_664, false),
            (0, 0o100_646, false),
        ] {
            assert_eq!(is_of_root_alone(owner, mode), expected, "{owner} {mode:o}");
        }
        let temp = Temp::new();
        let file = temp.path("a.erofs");
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
        assert_eq!(others_may_write(&file), Ok(true));
        // A device, to which everybody may write, stays as it is.
        assert_eq!(others_may_write(Path::new("/dev/null")), Ok(false));
        let link = temp.path("b.erofs");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(take_over(&link), Ok(()));
        assert_eq!(others_may_write(&file), Ok(true));
    }

    #[test]
    fn an_image_is_whole_and_by_itself() {
        let superblock = |blocks: u32, block_bits: u8, devices: u8| {
            let mut bytes = [0; 88];
            bytes[12] = block_bits;
            bytes[36..40].copy_from_slice(&blocks.to_le_bytes());
            bytes[86] = devices;
            Superblock(bytes)
        };
        for (blocks, block_bits, devices, size, expected) in [
            (3, 12, 0, 12_288, None),
            (3, 12, 0, 12_289, None),
            (
                3,
                12,
                0,
                12_287,
                Some("it has 12287 bytes, its file system 12288"),
            ),
            (u32::MAX, 63, 0, 12_288, Some("the size of its blocks")),
            (1, 255, 0, 12_288, Some("the size of its blocks")),
            (3, 12, 1, 12_288, Some("on other devices")),
        ] {
            let fault = superblock(blocks, block_bits, devices).fault(size);
            let is_right = match (&fault, expected) {
                (Some(fault), Some(expected)) => fault.contains(expected),
                (fault, expected) => fault.is_none() && expected.is_none(),
            };
            assert!(
                is_right,
                "{blocks} {block_bits} {devices} {size}: {fault:?}"
            );
        }
    }

    #[test]
    fn the_loader_says_its_version() {
        let line = "ld.so (Debian GLIBC 2.41-12+deb13u1) stable release version 2.41.";
        assert_eq!(loader_version(line), Some("2.41".to_owned()));
        assert_eq!(loader_version("ld.so"), None);
    }
}
