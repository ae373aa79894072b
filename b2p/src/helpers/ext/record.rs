// SPDX-License-Identifier: Apache-2.0
//! Record of the changes that one extension has made in the root, in memory: each line is written before its
//! change, so that the removal knows of every change, also after an addition that was killed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sys::error::{Doing, Result};

/// A change, by its path below the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A link was made.
    Link(PathBuf),
    /// A link replaced another one, which had this target.
    Replaced(PathBuf, PathBuf),
    /// A directory was made.
    Dir(PathBuf),
}

impl Change {
    /// Returns the path that has changed.
    pub fn path(&self) -> &Path {
        match self {
            Change::Link(path) | Change::Replaced(path, _) | Change::Dir(path) => path,
        }
    }
}

/// The record of an extension.
#[derive(Debug)]
pub struct Record(PathBuf);

impl Record {
    /// Returns the record at a path; it need not exist.
    pub fn at(path: PathBuf) -> Record {
        Record(path)
    }

    /// Appends a change.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add(&self, change: &Change) -> io::Result<()> {
        let line = match change {
            Change::Link(path) => format!("link {}\n", path.display()),
            Change::Replaced(path, was) => format!("was {} {}\n", was.display(), path.display()),
            Change::Dir(path) => format!("dir {}\n", path.display()),
        };
        let file = OpenOptions::new().append(true).create(true).open(&self.0);
        append(&file?, |mut file| file.write_all(line.as_bytes()))
    }

    /// Returns all changes, the first one first.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(&self) -> Result<Vec<Change>> {
        match fs::read_to_string(&self.0) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            text => Ok(text.on(&self.0)?.lines().filter_map(parse).collect()),
        }
    }

    /// Removes the record.
    pub fn remove(&self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Writes a line, or nothing: a full /run ends in the middle of one, and the next would continue it.
fn append(file: &File, write: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
    let before = file.metadata()?.len();
    write(file).inspect_err(|_| drop(file.set_len(before)))
}

/// Parses a line. No path has a control character ([`super::vet`]), and targets of busybox's links have no
/// space.
fn parse(line: &str) -> Option<Change> {
    let (kind, rest) = line.split_once(' ')?;
    match kind {
        "link" => Some(Change::Link(rest.into())),
        "dir" => Some(Change::Dir(rest.into())),
        "was" => {
            let (was, path) = rest.split_once(' ')?;
            Some(Change::Replaced(Path::new(path).into(), was.into()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;

    #[test]
    fn changes_are_read_as_they_were_written() {
        let temp = Temp::new();
        let record = Record::at(temp.path("a.links"));
        assert_eq!(record.read(), Ok(vec![]));
        let changes = [
            Change::Dir("usr/share/a b".into()),
            Change::Link("usr/share/a b/c".into()),
            Change::Replaced("usr/bin/ip".into(), "busybox".into()),
        ];
        changes.iter().for_each(|c| record.add(c).unwrap());
        assert_eq!(record.read(), Ok(changes.to_vec()));
        // A full /run has room for a part of a line.
        let file = OpenOptions::new().append(true).open(&record.0).unwrap();
        let full = append(&file, |mut file| {
            file.write_all(b"link usr/bin/fl")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert!(full.is_err());
        let next = Change::Link("usr/bin/foo".into());
        record.add(&next).unwrap();
        assert_eq!(record.read(), Ok([&changes[..], &[next]].concat()));
        record.remove();
        assert_eq!(record.read(), Ok(vec![]));
    }
}
