// SPDX-License-Identifier: Apache-2.0
//! Reserve of the data disk for podman's store, in two parts that are given back one after the other
//! ([`super::space`]). The root of a disk is its user's: files of the same names that the machine has
//! not made are neither changed nor removed.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::unistd::{Whence, geteuid, lseek};
use sys::error::{Doing, Error, Result};

/// Divisor of the disk's size for the size of the reserve, within limits.
const RESERVE_SHARE: u64 = 64;
const MIN_RESERVE_BYTES: u64 = 4 << 20;
const MAX_RESERVE_BYTES: u64 = 64 << 20;
/// Number of inodes in the reserve.
const RESERVE_INODES: u64 = 64;
/// Flags for the open of a file that may be another's: a link is not followed, and the open does
/// not wait for a pipe.
const OPEN_FLAGS: i32 = libc::O_NOFOLLOW | libc::O_NONBLOCK;
/// Names of the two parts of the reserve; each has half of it.
const PARTS: [&str; 2] = ["reserve", "reserve.last"];

/// Returns the size of the reserve on a disk of `bytes`.
fn reserve_bytes(bytes: u64) -> u64 {
    (bytes / RESERVE_SHARE).clamp(MIN_RESERVE_BYTES, MAX_RESERVE_BYTES)
}

/// Reserve on the data disk.
#[derive(Debug)]
pub struct Reserve {
    /// Part for everyone.
    pub first: Part,
    /// Part for podman and the machine.
    pub last: Part,
}

impl Reserve {
    /// A reserve in the directory `dir` of a disk of `bytes`.
    #[must_use]
    pub fn on(dir: &Path, bytes: u64) -> Reserve {
        let [first, last] = PARTS.map(|name| Part::of(dir, name, reserve_bytes(bytes) / 2));
        Reserve { first, last }
    }

    /// Size in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.first.bytes + self.last.bytes
    }

    /// Checks that the machine has made the existing parts of the reserve.
    ///
    /// # Errors
    /// A file or a directory is another's, or cannot be read.
    pub fn check(&self) -> Result<()> {
        self.last.check().and_then(|()| self.first.check())
    }

    /// Makes the missing parts of the reserve, the last part first.
    ///
    /// # Errors
    /// No room is left, or the disk fails; the part is then removed. Or an existing file is another's,
    /// and stays.
    pub fn make(&self) -> Result<()> {
        self.check()?;
        self.last.make().and_then(|()| self.first.make())
    }

    /// Returns true if the reserve is whole: a power cut or a kill may have left a part with its names alone.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.first.is_whole() && self.last.is_whole()
    }
}

/// Part of the reserve: a file, and a directory of empty files.
#[derive(Debug)]
pub struct Part {
    file: PathBuf,
    files: PathBuf,
    bytes: u64,
}

impl Part {
    fn of(dir: &Path, name: &str, bytes: u64) -> Part {
        Part {
            file: dir.join(name),
            files: dir.join(format!("{name}.inodes")),
            bytes,
        }
    }

    /// Makes the missing files of the part. The blocks are allocated and not written. A file of an
    /// earlier version may be larger.
    fn make(&self) -> Result<()> {
        self.make_files().inspect_err(|_| self.give_back())
    }

    /// Checks that the file and the directory, if they exist, are the machine's.
    fn check(&self) -> Result<()> {
        match self.file.symlink_metadata() {
            Ok(_) => check_file(&self.file, MAX_RESERVE_BYTES)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e).on(&self.file),
        }
        check_directory(&self.files)
    }

    fn make_files(&self) -> Result<()> {
        let mut options = File::options();
        options.write(true).create(true).truncate(false).mode(0o600);
        options.custom_flags(OPEN_FLAGS);
        let file = options.open(&self.file).on(&self.file)?;
        file.set_len(self.bytes).on(&self.file)?;
        let len = i64::try_from(self.bytes).unwrap_or(i64::MAX);
        match fallocate(&file, FallocateFlags::empty(), 0, len) {
            // ext2 and ext3.
            Err(Errno::EOPNOTSUPP) => {
                io::copy(&mut io::repeat(0).take(self.bytes), &mut &file).on(&self.file)?;
            }
            allocated => allocated.on(&self.file)?,
        }
        fs::create_dir_all(&self.files).on(&self.files)?;
        for number in 0..RESERVE_INODES / 2 {
            let path = self.files.join(number.to_string());
            options.open(&path).on(path)?;
        }
        Ok(())
    }

    /// Returns true if the part exists.
    #[must_use]
    pub fn is_made(&self) -> bool {
        self.file.exists() && self.files.exists()
    }

    fn is_whole(&self) -> bool {
        let blocks = self.file.symlink_metadata().map_or(0, |m| m.blocks());
        let files = fs::read_dir(&self.files).map_or(0, Iterator::count);
        // stat(2) counts in units of 512 bytes.
        blocks.saturating_mul(512) >= self.bytes && files as u64 >= RESERVE_INODES / 2
    }

    /// Gives the part back. A file of another owner stays.
    pub fn give_back(&self) {
        if let Err(why) = self.check() {
            log::warn!("store: {why}");
            return;
        }
        for number in 0..RESERVE_INODES {
            let _ = fs::remove_file(self.files.join(number.to_string()));
        }
        let _ = fs::remove_dir(&self.files);
        let _ = fs::remove_file(&self.file);
    }
}

/// Checks that a file is one that the machine has made as a reserve: root's alone, of at most
/// `max_bytes`, and all zeros.
fn check_file(path: &Path, max_bytes: u64) -> Result<()> {
    let mut options = File::options();
    let file = options.read(true).custom_flags(OPEN_FLAGS).open(path);
    let file = file.on(path)?;
    let metadata = file.metadata().on(path)?;
    let is_private = metadata.uid() == geteuid().as_raw() && metadata.mode() & 0o7777 == 0o600;
    let is_small = metadata.nlink() == 1 && metadata.len() <= max_bytes;
    if !(metadata.is_file() && is_private && is_small && is_zeros(file).on(path)?) {
        return Err(not_own()).on(path);
    }
    Ok(())
}

/// Checks that a directory, if there is one, has the empty files of a reserve only.
fn check_directory(path: &Path) -> Result<()> {
    match path.symlink_metadata() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e).on(path),
        Ok(metadata) if !metadata.is_dir() => return Err(not_own()).on(path),
        Ok(_) => {}
    }
    for entry in fs::read_dir(path).on(path)? {
        let entry = entry.on(path)?;
        let name = entry.file_name().into_string().unwrap_or_default();
        let is_number = name
            .parse()
            .is_ok_and(|number: u64| number < RESERVE_INODES);
        if !is_number {
            return Err(not_own()).on(entry.path());
        }
        check_file(&entry.path(), 0)?;
    }
    Ok(())
}

fn not_own() -> Error {
    Error::invalid(
        "not a reserve that this machine has made: it stays, and the reserve needs this name",
    )
}

/// Returns true if a file has nothing but zeros. Blocks that were allocated and never written count as
/// holes (lseek(2), SEEK_DATA), and are not read.
fn is_zeros(mut file: File) -> io::Result<bool> {
    match lseek(&file, 0, Whence::SeekData) {
        Err(Errno::ENXIO) => return Ok(true),
        // The file system does not know, or there is data.
        Err(Errno::EINVAL) => file.rewind()?,
        data => drop(file.seek(SeekFrom::Start(data?.unsigned_abs()))?),
    }
    let mut file = file.take(MAX_RESERVE_BYTES);
    let mut piece = vec![0; 1 << 16];
    loop {
        let read = match file.read(&mut piece)? {
            0 => return Ok(true),
            read => piece.get(..read).unwrap_or_default(),
        };
        if read.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::{Temp, why};
    use std::fs::Permissions;
    use std::os::unix::fs::{FileExt, PermissionsExt, symlink};

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_reserve_suits_its_disk() {
        let of = |mib: u64| reserve_bytes(mib * MIB) / MIB;
        assert_eq!((of(200), of(1024), of(1 << 20)), (4, 16, 64));
    }

    #[test]
    fn a_reserve_is_made_once_and_given_back_in_two_parts() {
        let temp = Temp::new();
        let reserve = Reserve::on(temp.dir(), 0);
        reserve.make().unwrap();
        reserve.make().unwrap();
        let count = || fs::read_dir(temp.dir()).unwrap().count();
        assert_eq!(count(), 4);
        for name in PARTS {
            assert_eq!(fs::metadata(temp.path(name)).unwrap().len(), 2 * MIB);
        }
        reserve.first.give_back();
        assert!(!reserve.is_whole() && reserve.last.is_whole());
        reserve.first.give_back();
        reserve.last.give_back();
        assert_eq!(count(), 0);
        // The reserve of an earlier version was one file.
        fs::write(temp.path("reserve"), vec![0; 4 << 20]).unwrap();
        fs::set_permissions(temp.path("reserve"), Permissions::from_mode(0o600)).unwrap();
        reserve.make().unwrap();
        assert_eq!(fs::metadata(temp.path("reserve")).unwrap().len(), 2 * MIB);
        reserve.first.give_back();
        fs::write(temp.path("reserve.inodes"), "in the way").unwrap();
        assert!(reserve.make().is_err());
        assert!(!temp.path("reserve").exists());
    }

    #[test]
    fn a_part_that_a_cut_has_left_hollow_is_made_again() {
        let temp = Temp::new();
        let reserve = Reserve::on(temp.dir(), 0);
        for name in PARTS {
            let file = File::create(temp.path(name)).unwrap();
            file.set_len(2 * MIB).unwrap();
            file.set_permissions(Permissions::from_mode(0o600)).unwrap();
            fs::create_dir(temp.path(&format!("{name}.inodes"))).unwrap();
        }
        assert!(!reserve.is_whole());
        reserve.make().unwrap();
        assert!(reserve.is_whole());
        fs::remove_file(temp.path("reserve.inodes/7")).unwrap();
        assert!(!reserve.is_whole());
    }

    #[test]
    fn a_reserve_that_a_user_made_stays_byte_for_byte() {
        type Put = fn(&Path);
        let text: Put = |path| fs::write(path, "mine").unwrap();
        let cases: [(&str, &str, Put); 7] = [
            ("reserve", "reserve", text),
            ("reserve.last", "reserve.last", text),
            ("reserve", "reserve", |path| {
                // The bits of a reserve, and a byte far behind a hole.
                fs::write(path, "").unwrap();
                fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
                let file = File::options().write(true).open(path).unwrap();
                file.write_all_at(&[0; 4], 0).unwrap();
                file.write_all_at(b"mine", 3 * MIB).unwrap();
            }),
            ("reserve", "reserve", |path| {
                fs::write(path, [0; 9]).unwrap();
                fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
            }),
            ("reserve", "reserve", |path| {
                symlink("elsewhere", path).unwrap()
            }),
            ("reserve.inodes/mine", "reserve.inodes", text),
            ("reserve.last.inodes/7", "reserve.last.inodes", text),
        ];
        for (name, top, put) in cases {
            let temp = Temp::new();
            let path = temp.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            put(&path);
            let look = || {
                let metadata = path.symlink_metadata().unwrap();
                (
                    fs::read(&path).ok(),
                    metadata.len(),
                    metadata.mode(),
                    metadata.ino(),
                )
            };
            let before = look();
            let reserve = Reserve::on(temp.dir(), 0);
            assert!(why(reserve.make()).contains(name), "{name}");
            reserve.first.give_back();
            reserve.last.give_back();
            assert_eq!(look(), before, "{name}");
            let left: Vec<_> = fs::read_dir(temp.dir()).unwrap().collect();
            assert_eq!(left.len(), 1, "{left:?}");
            assert_eq!(left[0].as_ref().unwrap().file_name(), top);
        }
    }
}
