// SPDX-License-Identifier: Apache-2.0
//! File that an added extension is mounted from, and damage that shows only later: a file that was truncated or
//! written over, or a disk that fails.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use sys::error::Result;
use sys::syscall;

use super::added::target;
use super::find::Files;
use super::image;
use super::manifest::Manifest;

/// Size of the pieces that are read from the disk, in bytes.
const PIECE: usize = 4096;
/// Time limit of these reads, in milliseconds.
const READ_LIMIT_MS: i32 = 5000;

/// Returns the record of the file that an added extension is mounted from.
pub fn path(name: &str) -> PathBuf {
    target(name).with_extension("from")
}

/// Writes the record: the [`version`] of the file, and its path.
///
/// # Errors
/// The record cannot be written.
pub fn record(name: &str, version: &str, image: &Path) -> Result<()> {
    let mut text = version.as_bytes().to_vec();
    text.push(b' ');
    text.extend_from_slice(image.as_os_str().as_bytes());
    sys::files::replace(&path(name), &text, 0o644)
}

/// Returns the files that an added extension was added from.
pub fn files(name: &str) -> Option<Files> {
    let text = fs::read_to_string(path(name)).ok()?;
    Files::at(text.split_once(' ')?.1).ok()
}

/// Returns the damage of the image of an added extension, as far as it shows without its hash. A file that has taken its
/// place, or is gone from there, says nothing of the one that is mounted.
pub fn fault(name: &str, manifest: &Manifest<'_>) -> Option<String> {
    let text = fs::read_to_string(path(name)).ok()?;
    let (recorded, path) = text.split_once(' ')?;
    let file = fs::metadata(path).ok()?;
    let inode = |version: &str| version.rsplit_once('@').map(|(inode, _)| inode.to_owned());
    let now = version(&file);
    if inode(&now) != inode(recorded) {
        return None;
    }
    let size = image::size_fault(file.len(), manifest);
    let changed = || (now != recorded).then(|| "its file was written to after it was added".into());
    size.or_else(changed)
        .or_else(|| unreadable(Path::new(path)))
}

/// Returns device, inode and time of the last change of a file.
pub fn version(file: &Metadata) -> String {
    let (dev, inode) = (file.dev(), file.ino());
    format!("{dev}:{inode}@{}.{}", file.mtime(), file.mtime_nsec())
}

/// Returns the reason for which a file cannot be read from its disk. A disk that is gone may never answer, so that a child
/// reads.
fn unreadable(path: &Path) -> Option<String> {
    let child = syscall::in_child(|| {
        let read = read_pieces(path);
        let errno = read.err().and_then(|e| e.raw_os_error());
        syscall::exit(errno.filter(|e| *e != libc::EACCES).unwrap_or(0));
    })?;
    if !child.exited_within(READ_LIMIT_MS) {
        child.kill();
        return Some("it cannot be read: its disk does not answer".into());
    }
    let errno = child.exit_status().filter(|errno| *errno != 0)?;
    let errno = Errno::from_raw(errno);
    Some(format!("it cannot be read: {}", errno.desc()))
}

/// Reads the first and the last piece of a file, not from memory.
fn read_pieces(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
    let mut piece = [0; PIECE];
    file.read_at(&mut piece, 0)?;
    let last = file.metadata()?.len().saturating_sub(PIECE as u64);
    file.read_at(&mut piece, last).map(drop)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;
    use std::time::{Duration, SystemTime};

    #[test]
    fn a_file_is_known_by_its_inode_and_time() {
        let temp = Temp::new();
        let path = temp.path("a.erofs");
        let now = || version(&fs::metadata(&path).unwrap());
        fs::write(&path, "image").unwrap();
        let first = now();
        assert_eq!(now(), first);
        let file = File::options().write(true).open(&path).unwrap();
        let later = SystemTime::now() + Duration::from_secs(9);
        file.set_modified(later).unwrap();
        let second = now();
        assert_ne!(second, first);
        assert_eq!(
            second.split_once('@').unwrap().0,
            first.split_once('@').unwrap().0
        );
        fs::write(temp.path("b"), "image").unwrap();
        fs::rename(temp.path("b"), &path).unwrap();
        assert_ne!(
            now().split_once('@').unwrap().0,
            first.split_once('@').unwrap().0
        );
    }

    #[test]
    fn pieces_are_read() {
        let temp = Temp::new();
        let path = temp.path("a");
        for size in [0, 1, PIECE, 3 * PIECE + 1] {
            fs::write(&path, vec![1; size]).unwrap();
            read_pieces(&path).unwrap();
        }
        let error = read_pieces(temp.dir()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EISDIR));
    }
}
