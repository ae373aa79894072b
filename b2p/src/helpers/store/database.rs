// SPDX-License-Identifier: Apache-2.0
//! Detection of writes to podman's database by a program other than SQLite. Such a write may have damaged the database
//! behind its first bytes.
//!
//! podman's database has a rollback journal, with which SQLite counts each transaction in the file
//! (sqlite.org/fileformat2.html, section 1.3.7, "File change counter").

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::files::open;

/// Range of the change counter in the file.
const COUNTER: std::ops::Range<usize> = 24..28;

/// State of the database at the last check.
#[derive(Debug, Default)]
pub struct Database(Option<Seen>);

#[derive(Debug, PartialEq, Eq)]
struct Seen {
    inode: u64,
    bytes: u64,
    /// Time of the last write, in seconds and nanoseconds.
    written: (i64, i64),
    counter: Vec<u8>,
}

impl Database {
    /// Returns true if the file has changed since the last check, and SQLite has not counted a transaction.
    pub fn is_written_by_another(&mut self, path: &Path) -> bool {
        let now = look(path);
        let before = std::mem::replace(&mut self.0, now);
        match (&before, &self.0) {
            (Some(before), Some(now)) => before != now && before.counter == now.counter,
            _ => false,
        }
    }
}

fn look(path: &Path) -> Option<Seen> {
    let file = open(path).ok()??;
    let metadata = file.metadata().ok()?;
    let mut head = Vec::new();
    file.take(COUNTER.end as u64).read_to_end(&mut head).ok()?;
    Some(Seen {
        inode: metadata.ino(),
        bytes: metadata.len(),
        written: (metadata.mtime(), metadata.mtime_nsec()),
        counter: head.get(COUNTER)?.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;
    use std::fs;

    #[test]
    fn a_change_without_sqlites_change_counter_is_a_foreign_write() {
        let temp = Temp::new();
        let path = temp.path("db.sql");
        let mut database = Database::default();
        let mut look = |counter: u8, byte: u8| {
            let mut bytes = vec![counter; 100];
            bytes.push(byte);
            bytes.resize(usize::from(byte) + 4096, byte);
            fs::write(&path, bytes).unwrap();
            database.is_written_by_another(&path)
        };
        assert!(!look(1, 1), "the first look");
        assert!(!look(2, 2), "a transaction");
        assert!(look(2, 3), "no transaction");
        assert!(!database.is_written_by_another(&path));
        fs::remove_file(&path).unwrap();
        assert!(!database.is_written_by_another(&path));
    }
}
