// SPDX-License-Identifier: Apache-2.0
//! Gives the files of a directory to another user. The walk uses descriptors: a user may have made a path
//! that is longer than any call takes (path_resolution(7)), and a path of /proc/self/fd is short.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown, lchown};
use std::path::{Path, PathBuf};

use sys::error::{Doing, Error, Result};

/// Change of the owners of files.
struct Change<'a> {
    from: &'a [u32],
    to: u32,
    /// Number of unchanged files, and the error of the first.
    failed: u32,
    first: Option<Error>,
}

/// A directory on the way from the top to the one that is worked on.
struct Level {
    /// Device and inode.
    id: (u64, u64),
    /// Subdirectories that are still to be done.
    left: Vec<OsString>,
}

/// Gives the files of the numbers `from` to `to`. The directory itself is last: until then its owner shows
/// that files may be left. A file that cannot be given away does not stop the change of others.
///
/// # Errors
/// Some files are unchanged; the error has their number, and the reason of the first.
pub fn own(path: &Path, from: &[u32], to: u32) -> Result<()> {
    let mut change = Change {
        from,
        to,
        failed: 0,
        first: None,
    };
    let walked = change.walk(path);
    let failed = change.failed;
    match change.first.map_or(walked, Err) {
        Err(why) if failed > 0 => Err(why).doing(format!("{failed} files stay as they are")),
        outcome => outcome,
    }
    .on(path)
}

impl Change<'_> {
    fn walk(&mut self, top: &Path) -> Result<()> {
        let mut directory = open(top).on(top)?;
        let mut levels = vec![self.enter(&directory)?];
        while let Some(level) = levels.last_mut() {
            if let Some(name) = level.left.pop() {
                let child = open(&below(&directory, &name));
                let entered = child.map_err(Error::from).and_then(|child| {
                    levels.push(self.enter(&child)?);
                    Ok(child)
                });
                if let Some(child) = self.note(&name, entered) {
                    directory = child;
                }
                continue;
            }
            let metadata = directory.metadata();
            let given = metadata.and_then(|m| self.give(&m, |u, g| fchown(&directory, u, g)));
            self.note(OsStr::new("."), given);
            levels.pop();
            if let Some(parent) = levels.last() {
                directory = open(&below(&directory, OsStr::new("..")))?;
                if id(&directory.metadata()?) != parent.id {
                    return Err(Error::invalid("a directory was moved meanwhile"));
                }
            }
        }
        Ok(())
    }

    /// Gives the files of a directory away, and returns its subdirectories.
    fn enter(&mut self, directory: &File) -> Result<Level> {
        let mut left = Vec::new();
        let id = id(&directory.metadata()?);
        for entry in fs::read_dir(below(directory, OsStr::new("")))? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(metadata) = self.note(&name, entry.metadata()) else {
                continue;
            };
            if metadata.is_dir() {
                left.push(name);
                continue;
            }
            let place = below(directory, &name);
            let given = self.give(&metadata, |u, g| lchown(place, u, g));
            self.note(&name, given);
        }
        Ok(Level { id, left })
    }

    fn give(
        &self,
        metadata: &Metadata,
        chown: impl FnOnce(Option<u32>, Option<u32>) -> io::Result<()>,
    ) -> io::Result<()> {
        let new = |id: u32| self.from.contains(&id).then_some(self.to);
        match (new(metadata.uid()), new(metadata.gid())) {
            (None, None) => Ok(()),
            (uid, gid) => chown(uid, gid),
        }
    }

    fn note<T>(&mut self, name: &OsStr, outcome: Result<T, impl Into<Error>>) -> Option<T> {
        match outcome.on(name) {
            Ok(value) => Some(value),
            Err(why) => {
                self.failed += 1;
                self.first.get_or_insert(why);
                None
            }
        }
    }
}

fn open(directory: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
    options.read(true).custom_flags(flags).open(directory)
}

/// Returns the path of a file in an open directory.
fn below(directory: &File, name: &OsStr) -> PathBuf {
    let descriptor = format!("/proc/self/fd/{}", directory.as_raw_fd());
    Path::new(&descriptor).join(name)
}

fn id(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;
    use nix::unistd::geteuid;

    #[test]
    fn homes_deeper_than_path_max_change_their_owner() {
        let temp = Temp::new();
        let me = geteuid().as_raw();
        let to = if geteuid().is_root() { 501 } else { me };
        let mut directory = open(temp.dir()).unwrap();
        for _ in 0..300 {
            let next = below(&directory, OsStr::new("aaaaaaaaaaaaaaaaa"));
            fs::create_dir(&next).unwrap();
            fs::write(below(&directory, OsStr::new("file")), "").unwrap();
            directory = open(&next).unwrap();
        }
        fs::write(below(&directory, OsStr::new("last")), "").unwrap();
        own(temp.dir(), &[me], to).unwrap();
        let last = fs::metadata(below(&directory, OsStr::new("last"))).unwrap();
        let top = fs::metadata(temp.dir()).unwrap();
        assert_eq!((last.uid(), top.uid()), (to, to));
        assert_eq!(directory.metadata().unwrap().uid(), to);
        remove(temp.dir());
    }

    /// Removes the tree; `remove_dir_all` would need as many descriptors as there are levels.
    fn remove(top: &Path) {
        while let Ok(first) = open(&top.join("aaaaaaaaaaaaaaaaa")) {
            let (second, moved) = ("aaaaaaaaaaaaaaaaa", top.join("next"));
            let _ = fs::rename(below(&first, OsStr::new(second)), &moved);
            fs::remove_dir_all(top.join(second)).unwrap();
            if moved.exists() {
                fs::rename(moved, top.join(second)).unwrap();
            }
        }
    }

    #[test]
    fn a_chown_that_fails_does_not_stop_the_others() {
        let me = geteuid().as_raw();
        let mut change = Change {
            from: &[me],
            to: me,
            failed: 0,
            first: None,
        };
        let refused: Option<()> = change.note(OsStr::new("a"), Err(io::Error::other("no")));
        assert!(refused.is_none());
        assert_eq!(change.note(OsStr::new("b"), io::Result::Ok(7)), Some(7));
        assert_eq!(change.failed, 1);
        let missing = own(Path::new("/no/such"), &[me], me).unwrap_err();
        assert_eq!(missing.errno(), Some(nix::errno::Errno::ENOENT));
    }
}
