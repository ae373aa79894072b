// SPDX-License-Identifier: Apache-2.0
//! A swap file on the data disk. The file is made under another name and renamed when it is
//! complete; an existing one of the right size is used unchanged.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use disk::swap::{Area, header};
use disk::uuid;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::statfs::fstatfs;
use nix::sys::statvfs::fstatvfs;
use sys::error::{Doing, Error, Result};

use super::area;
use crate::common::atomic_file;
use crate::common::paths::Paths;
use crate::helpers::block::ioctl;

const NAME: &str = "swapfile";
/// File systems in memory (linux/magic.h): tmpfs, ramfs, and overlayfs, which is the root.
const IN_RAM: [u64; 3] = [0x0102_1994, 0x8584_58f6, 0x794c_7630];
/// Magic of btrfs (linux/magic.h).
const BTRFS: u64 = 0x9123_683e;

/// Makes the file unless one of this size exists, and swaps to the file.
///
/// # Errors
/// The data disk is missing or too full, or the file is not a swap file.
pub fn swap_on(mib: u32) -> Result<String> {
    let dir = Paths::default().state_dir();
    let fs = FileSystem::of(&dir).on(&dir)?;
    if IN_RAM.contains(&fs.magic) {
        let reason = "there is no data disk: the state is in RAM";
        return Err(Error::invalid(reason));
    }
    let path = dir.join(NAME);
    let wanted = u64::from(mib) << 20;
    let existing = existing_size(&path)?;
    if existing != Some(wanted) {
        check_room(wanted, fs.free.saturating_add(existing.unwrap_or(0)))?;
        make(&path, wanted, fs.magic == BTRFS).on(&path)?;
    }
    area::swap_on(&path, None)
}

/// File system of a directory.
struct FileSystem {
    /// Magic number (linux/magic.h).
    magic: u64,
    /// Free bytes.
    free: u64,
}

impl FileSystem {
    fn of(dir: &Path) -> io::Result<FileSystem> {
        let dir = File::open(dir)?;
        let (fs, vfs) = (fstatfs(&dir)?, fstatvfs(&dir)?);
        Ok(FileSystem {
            // 32 bits, in an integer whose sign depends on the C library.
            magic: fs.filesystem_type().0 as u64 & 0xffff_ffff,
            free: vfs.blocks_available().saturating_mul(vfs.fragment_size()),
        })
    }
}

/// Returns the size in bytes of an existing swap file, `Some(0)` for one that must be made
/// anew, or `None` if there is no file.
///
/// # Errors
/// The file is not a swap file, and must not be overwritten.
fn existing_size(path: &Path) -> Result<Option<u64>> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e).on(path),
    };
    match area::read(path) {
        Ok(Area::Swap(bytes)) if metadata.is_file() => {
            let private = metadata.mode() & 0o077 == 0;
            let usable = private && metadata.len() == bytes;
            Ok(Some(if usable { bytes } else { 0 }))
        }
        _ => Err(Error::invalid(format!(
            "{} is no swap file; it is left alone",
            path.display()
        ))),
    }
}

/// Checks that swap takes at most half of the free space: a disk that is full of swap holds no
/// containers.
fn check_room(wanted: u64, free: u64) -> Result<()> {
    if wanted <= free / 2 {
        return Ok(());
    }
    let (wanted, free) = (wanted >> 20, free >> 20);
    Err(Error::invalid(format!(
        "{wanted} MiB is more than half of the {free} MiB that are free on the data disk"
    )))
}

/// Makes the file so that a power cut leaves a complete file or none.
fn make(path: &Path, bytes: u64, on_btrfs: bool) -> io::Result<()> {
    let temporary = path.with_extension("b2p-new");
    // Leftovers of a power cut, and a file of another size.
    for name in [&temporary, &path.to_owned()] {
        match fs::remove_file(name) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    let made = fill(&temporary, bytes, on_btrfs)
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| atomic_file::sync(path.parent().unwrap_or(Path::new("/"))));
    if made.is_err() {
        let _ = fs::remove_file(&temporary); // frees its blocks
    }
    made
}

/// Writes a file without holes: the kernel writes to its blocks without asking the file system.
fn fill(path: &Path, bytes: u64, on_btrfs: bool) -> io::Result<()> {
    let mut id = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut id)?;
    let page = header(bytes, &uuid::from_random(id)).ok_or(io::ErrorKind::InvalidInput)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    // The mode of open(2) is subject to the umask; this one is not.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    if on_btrfs {
        ioctl::set_no_copy_on_write(&file)?;
    }
    let length = i64::try_from(bytes).map_err(|_| io::ErrorKind::InvalidInput)?;
    fallocate(&file, FallocateFlags::empty(), 0, length)?;
    file.write_all(&page)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::{Temp, why};

    #[test]
    fn a_swap_file_takes_at_most_half_of_the_free_space() {
        assert_eq!(check_room(50, 100), Ok(()));
        assert_eq!(check_room(51, 103), Ok(()));
        assert!(check_room(51, 101).is_err());
        assert!(check_room(1, 0).is_err() && check_room(u64::MAX, u64::MAX).is_err());
    }

    #[test]
    fn a_swap_file_is_made_whole_and_remade_for_another_size() {
        let temp = Temp::new();
        let path = temp.path(NAME);
        assert_eq!(existing_size(&path), Ok(None));
        fs::write(path.with_extension("b2p-new"), "half").unwrap();
        for mib in [1, 2] {
            make(&path, mib << 20, false).unwrap();
            assert_eq!(existing_size(&path), Ok(Some(mib << 20)));
            let metadata = fs::metadata(&path).unwrap();
            let size_and_mode = (metadata.len(), metadata.mode() & 0o777);
            assert_eq!(size_and_mode, (mib << 20, 0o600));
            assert!(metadata.blocks() * 512 >= mib << 20, "it has holes");
            assert_eq!(fs::read_dir(temp.dir()).unwrap().count(), 1);
        }
        assert!(make(&path, 1, false).is_err(), "smaller than any");
    }

    #[test]
    fn files_that_are_no_swap_file_are_left_alone() {
        let temp = Temp::new();
        let (path, directory, link) = (temp.path(NAME), temp.path("directory"), temp.path("link"));
        fs::create_dir(&directory).unwrap();
        fs::write(&path, "my thesis").unwrap();
        assert!(why(existing_size(&path)).contains("left alone"));
        assert!(existing_size(&directory).is_err());
        make(&path, 1 << 20, false).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(existing_size(&link).is_err());
        // A file that other users can read is made anew.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(existing_size(&path), Ok(Some(0)));
    }

    #[test]
    fn memory_is_told_from_disks() {
        let proc = FileSystem::of(Path::new("/proc")).unwrap();
        assert_eq!(proc.magic, 0x9fa0);
        assert!(FileSystem::of(Path::new("/nonexistent")).is_err());
    }
}
