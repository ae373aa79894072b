// SPDX-License-Identifier: Apache-2.0
//! Reserve of the data disk for podman's store, in two parts that are given back one after the other
//! ([`super::space`]).

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use sys::error::{Doing, Result};

/// The reserve takes one of so many bytes of the disk, within limits.
const RESERVE_SHARE: u64 = 64;
const MIN_RESERVE_BYTES: u64 = 4 << 20;
const MAX_RESERVE_BYTES: u64 = 64 << 20;
/// Number of inodes in the reserve.
const RESERVE_INODES: u64 = 64;
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

    /// Makes what is missing of the reserve, the last part first.
    ///
    /// # Errors
    /// No room is left, or the disk fails; the part is removed.
    pub fn make(&self) -> Result<()> {
        self.last.make().and_then(|()| self.first.make())
    }

    /// Returns true if the reserve is whole.
    #[must_use]
    pub fn is_made(&self) -> bool {
        self.first.is_made() && self.last.is_made()
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

    /// Makes what is missing of the part. The blocks are allocated and not written. A file of an
    /// earlier version may be larger.
    fn make(&self) -> Result<()> {
        self.make_files().inspect_err(|_| self.give_back())
    }

    fn make_files(&self) -> Result<()> {
        let mut options = File::options();
        options.write(true).create(true).truncate(false).mode(0o600);
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

    /// Gives the part back.
    pub fn give_back(&self) {
        let _ = fs::remove_dir_all(&self.files);
        let _ = fs::remove_file(&self.file);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;

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
        assert!(!reserve.is_made() && reserve.last.is_made());
        reserve.first.give_back();
        reserve.last.give_back();
        assert_eq!(count(), 0);
        // The reserve of an earlier version was one file.
        fs::write(temp.path("reserve"), vec![0; 4 << 20]).unwrap();
        reserve.make().unwrap();
        assert_eq!(fs::metadata(temp.path("reserve")).unwrap().len(), 2 * MIB);
        reserve.first.give_back();
        fs::write(temp.path("reserve.inodes"), "in the way").unwrap();
        assert!(reserve.make().is_err());
        assert!(!temp.path("reserve").exists());
    }
}
