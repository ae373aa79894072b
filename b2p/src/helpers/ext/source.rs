// SPDX-License-Identifier: Apache-2.0
//! File that an added extension is mounted from, and damage that shows only later: a file that was truncated or
//! written over, or a disk that fails.

use std::fmt::{self, Display, Formatter};
use std::fs::{self, File, Metadata};
use std::io::{self, Cursor, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, PosixFadviseAdvice, posix_fadvise};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, pipe2, write};
use sys::error::Result;
use sys::syscall;

use super::added::target;
use super::find::Files;
use super::image;
use super::manifest::Manifest;

/// Size of the pieces that are read from the disk, in bytes.
const PIECE: usize = 4096;
/// Time limit of the look-up and these reads, in milliseconds.
const READ_LIMIT_MS: i32 = 5000;
/// Longest text of size and version, in bytes: five numbers of 64 bits.
const MAX_FOUND: usize = 128;

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
    let seen = Seen::within(READ_LIMIT_MS, |found| look(Path::new(path), found))?;
    seen.fault(recorded, manifest)
}

/// Returns device, inode and time of the last change of a file.
pub fn version(file: &Metadata) -> String {
    Version(file).to_string()
}

struct Version<'a>(&'a Metadata);

impl Display for Version<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let file = self.0;
        let (dev, inode) = (file.dev(), file.ino());
        write!(f, "{dev}:{inode}@{}.{}", file.mtime(), file.mtime_nsec())
    }
}

/// Result of the look of a child at a file.
struct Seen {
    /// Size and version, with a space between; empty if the look-up failed or did not end.
    found: String,
    /// Reason for which the file cannot be read.
    unreadable: Option<String>,
}

impl Seen {
    /// Calls `look` in a child, because a disk or share that is gone may never answer. It writes size and version
    /// to the pipe and returns the number of the error, or 0. `None` without a child.
    ///
    /// SIGKILL does not end a child that waits for a disk. With the standard descriptors of its parent, the reader of
    /// a pipeline or a session of ssh would wait for it.
    fn within(limit_ms: i32, look: impl FnOnce(&OwnedFd) -> i32) -> Option<Seen> {
        let (from, to) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).ok()?;
        let child = syscall::in_child_with(&[to.as_fd()], || {
            syscall::exit(release_standard().map_or(0, |()| look(&to)))
        })?;
        let why = match child.exited_within(limit_ms) {
            true => child
                .exit_status()
                .filter(|errno| *errno != 0)
                .map(|errno| Errno::from_raw(errno).desc()),
            false => {
                child.kill();
                Some("its disk does not answer")
            }
        };
        let mut found = [0; MAX_FOUND];
        // The child writes once, so that nothing or all of it is there.
        let size = File::from(from).read(&mut found).unwrap_or(0);
        Some(Seen {
            found: String::from_utf8_lossy(found.get(..size)?).into_owned(),
            unreadable: why.map(|why| format!("it cannot be read: {why}")),
        })
    }

    /// Returns the fault of the file, of which this version was recorded.
    fn fault(self, recorded: &str, manifest: &Manifest<'_>) -> Option<String> {
        let Some((size, now)) = self.found.split_once(' ') else {
            return self.unreadable;
        };
        let inode = |version: &str| version.rsplit_once('@').map(|(inode, _)| inode.to_owned());
        if inode(now) != inode(recorded) {
            return None;
        }
        let size = image::size_fault(size.parse().ok()?, manifest);
        let changed =
            || (now != recorded).then(|| "its file was written to after it was added".into());
        size.or_else(changed).or(self.unreadable)
    }
}

/// Puts /dev/null in the place of the standard descriptors.
fn release_standard() -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    Ok(dup2_stderr(&null)?)
}

/// Looks a file up, writes its size and version to `found`, and reads from its disk; returns the number of the error
/// of the reads, or 0.
fn look(path: &Path, found: &OwnedFd) -> i32 {
    let Ok(file) = fs::metadata(path) else {
        return 0;
    };
    let mut text = Cursor::new([0; MAX_FOUND]);
    let written = write!(text, "{} {}", file.len(), Version(&file));
    let size = usize::try_from(text.position()).unwrap_or(0);
    let text = text.get_ref().get(..size).unwrap_or_default();
    // Only a file: to open a fifo waits for its writer.
    if written.is_err() || write(found, text).is_err() || !file.is_file() {
        return 0;
    }
    let errno = read_pieces(path).err().and_then(|e| e.raw_os_error());
    errno.filter(|e| *e != libc::EACCES).unwrap_or(0)
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

    #[test]
    fn a_file_is_looked_up_by_a_child_that_may_never_answer() {
        let temp = Temp::new();
        let path = temp.path("a");
        fs::write(&path, "image").unwrap();
        let text = |size: u8| {
            format!(
                "format 1\nname a\narchitecture amd64\nsuite x\nlibc 1\nsize {size}\nsha256 00\n"
            )
        };
        let fault = |path: &Path, recorded: &str, size| {
            let seen = Seen::within(READ_LIMIT_MS, |found| look(path, found)).unwrap();
            seen.fault(recorded, &Manifest::parse(text(size).as_bytes()).unwrap())
        };
        let recorded = version(&fs::metadata(&path).unwrap());
        assert_eq!(fault(&path, &recorded, 5), None);
        assert!(
            fault(&path, &recorded, 6)
                .unwrap()
                .starts_with("it has 5 bytes")
        );
        let changed = fault(&path, &format!("{recorded}1"), 5);
        assert_eq!(
            changed.unwrap(),
            "its file was written to after it was added"
        );
        assert_eq!(fault(&path, "0:0@0.0", 6), None);
        assert_eq!(fault(&temp.path("none"), &recorded, 5), None);
        let silent = Seen::within(50, |_| {
            loop {
                std::thread::park()
            }
        })
        .unwrap();
        let said = silent.fault(&recorded, &Manifest::parse(text(5).as_bytes()).unwrap());
        assert_eq!(said.unwrap(), "it cannot be read: its disk does not answer");
    }

    #[test]
    fn the_child_has_no_standard_descriptor_of_its_parent() {
        let null = fs::metadata("/dev/null").unwrap().rdev();
        let is_null = |fd: &str| fs::metadata(fd).is_ok_and(|file| file.rdev() == null);
        let all = ["/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2"];
        let is_released = |_: &OwnedFd| i32::from(!all.iter().all(|fd| is_null(fd)));
        let seen = Seen::within(READ_LIMIT_MS, is_released).unwrap();
        assert_eq!(seen.unreadable, None);
    }
}
