// SPDX-License-Identifier: Apache-2.0
//! Reader of podman's database for a look-up of one row by its ID: a part of SQLite's file format
//! (<https://sqlite.org/fileformat2.html>; the numbers of its sections are in the comments). A
//! library would be larger than `b2p` itself, and a query to podman would wait for the lock that
//! the calling podman holds.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use nix::fcntl::{FcntlArg, fcntl};
use sys::error::{Doing, Error, Result};

/// First bytes of every database (1.3.1).
const MAGIC: &[u8] = b"SQLite format 3\0";
/// Bytes that a reader locks, from SQLite's `os.h`: `SHARED_FIRST` and `SHARED_SIZE`.
const SHARED: (i64, i64) = (0x4000_0002, 510);
/// Longest record, in bytes; podman's of a container has about ten thousand.
const MAX_RECORD: u64 = 16 << 20;
/// Kinds of pages of a table's tree (1.6).
const INTERIOR: u8 = 0x05;
const LEAF: u8 = 0x0d;

/// Values of a row that are text or bytes, as which podman writes its JSON; `None` for each that is not.
pub type Row = Vec<Option<String>>;

/// A database without a writer.
pub struct Database {
    file: File,
    page_size: usize,
    /// Bytes of a page that are in use.
    usable: usize,
    /// Number of pages: a tree that has more is damaged, and has a circle.
    pages: u64,
}

impl Database {
    /// Opens a database, and waits for the end of a writer.
    ///
    /// # Errors
    /// The errno of open(2) or read(2); the file is no database, or has its log elsewhere.
    pub fn open(path: &Path) -> Result<Database> {
        let file = File::open(path).on(path)?;
        let mut lock: libc::flock = zeroed_lock();
        lock.l_type = libc::F_RDLCK as libc::c_short;
        lock.l_whence = libc::SEEK_SET as libc::c_short;
        (lock.l_start, lock.l_len) = SHARED;
        fcntl(&file, FcntlArg::F_OFD_SETLKW(&lock)).on(path)?;
        let mut head = [0; 100];
        file.read_exact_at(&mut head, 0).on(path)?;
        let (page_size, usable) = sizes(&head).on(path)?;
        let pages = file.metadata().on(path)?.len().div_ceil(page_size as u64);
        Ok(Database {
            file,
            page_size,
            usable,
            pages,
        })
    }

    /// Returns the row of a table whose first column is `id`.
    ///
    /// # Errors
    /// The database has no such table; the file is damaged.
    pub fn find(&self, table: &str, id: &str) -> Result<Option<Row>> {
        let mut found = None;
        self.each(self.root_of(table)?, &mut |record| {
            let row = texts(record)?;
            let is_it = row
                .first()
                .is_some_and(|first| first.as_deref() == Some(id));
            if is_it {
                found = Some(row);
            }
            Ok(is_it)
        })?;
        Ok(found)
    }

    /// Calls `visit` with each row of a table.
    ///
    /// # Errors
    /// The database has no such table; the file is damaged.
    pub fn rows(&self, table: &str, visit: &mut dyn FnMut(Row)) -> Result<()> {
        self.each(self.root_of(table)?, &mut |record| {
            visit(texts(record)?);
            Ok(false)
        })
    }

    /// Returns the first page of a table.
    fn root_of(&self, table: &str) -> Result<u64> {
        let is_table = |row: &Row| {
            let text = |column: usize| row.get(column).and_then(Option::as_deref);
            text(0) == Some("table") && text(1) == Some(table)
        };
        // The table of all tables begins at the first page (2.6): type, name, …, first page.
        let mut root = None;
        self.each(1, &mut |record| {
            let is_it = is_table(&texts(record)?);
            if is_it {
                root = integer(record, 3)?;
            }
            Ok(is_it)
        })?;
        root.ok_or_else(|| Error::invalid(format!("no table {table}")))
    }

    /// Calls `visit` with each record of a tree until `visit` returns true.
    fn each(&self, root: u64, visit: &mut dyn FnMut(&[u8]) -> Result<bool>) -> Result<()> {
        let mut pages = vec![root];
        let mut count = 0;
        while let Some(number) = pages.pop() {
            count += 1;
            if count > self.pages {
                return Err(damaged("a tree without an end"));
            }
            let page = self.page(number)?;
            // The first page begins with the header of the file.
            let start = if number == 1 { 100 } else { 0 };
            let kind = byte(&page, start)?;
            let cells = number_at(&page, start + 3, 2)?;
            let (first, last) = match kind {
                LEAF => (start + 8, None),
                INTERIOR => (start + 12, Some(number_at(&page, start + 8, 4)?)),
                _ => return Err(damaged("a page of another kind")),
            };
            pages.extend(last);
            for index in 0..usize::try_from(cells).unwrap_or(0) {
                let cell = usize::try_from(number_at(&page, first + 2 * index, 2)?).unwrap_or(0);
                if kind == INTERIOR {
                    pages.push(number_at(&page, cell, 4)?);
                } else if visit(&self.record(&page, cell)?)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Returns the record of a leaf's cell, with its part on further pages (1.6).
    fn record(&self, page: &[u8], cell: usize) -> Result<Vec<u8>> {
        let (length, at) = varint(page, cell)?;
        let (_row, at) = varint(page, at)?;
        if length > MAX_RECORD {
            return Err(damaged("a record without an end"));
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let local = local_part(length, self.usable);
        let mut record = slice(page, at, local)?.to_vec();
        let mut next = match local < length {
            true => number_at(page, at + local, 4)?,
            false => 0,
        };
        while record.len() < length {
            let page = self.page(next)?;
            let count = (length - record.len()).min(self.usable - 4);
            record.extend_from_slice(slice(&page, 4, count)?);
            next = number_at(&page, 0, 4)?;
        }
        Ok(record)
    }

    fn page(&self, number: u64) -> Result<Vec<u8>> {
        let index = number.checked_sub(1).ok_or_else(|| damaged("page 0"))?;
        let mut page = vec![0; self.page_size];
        let offset = index.checked_mul(self.page_size as u64);
        let offset = offset.ok_or_else(|| damaged("a page after the end"))?;
        let read = self.file.read_exact_at(&mut page, offset);
        read.map_err(|_| damaged("a page after the end"))?;
        Ok(page)
    }
}

fn zeroed_lock() -> libc::flock {
    libc::flock {
        l_type: 0,
        l_whence: 0,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

fn damaged(why: &str) -> Error {
    Error::invalid(format!("the database is damaged: {why}"))
}

/// Returns the size of pages, and that of their part in use, from the header of the file (1.3).
fn sizes(head: &[u8; 100]) -> Result<(usize, usize)> {
    if !head.starts_with(MAGIC) {
        return Err(Error::invalid("not SQLite's format"));
    }
    // 2 in the place of 1: recent writes are in a file of their own (1.3.3).
    if head[18] != 1 || head[19] != 1 {
        return Err(Error::invalid(
            "a database with a write-ahead log is not supported",
        ));
    }
    let size = match u16::from_be_bytes([head[16], head[17]]) {
        1 => 65_536,
        size => usize::from(size),
    };
    let usable = size.saturating_sub(head[20].into());
    match size.is_power_of_two() && usable >= 480 {
        true => Ok((size, usable)),
        false => Err(damaged("the size of its pages")),
    }
}

/// Returns the number of bytes of a record on the leaf itself (1.6, "P", "X", "M", "K").
fn local_part(length: usize, usable: usize) -> usize {
    let most = usable - 35;
    if length <= most {
        return length;
    }
    let least = (usable - 12) * 32 / 255 - 23;
    let rest = least + (length - least) % (usable - 4);
    if rest <= most { rest } else { least }
}

/// Calls `visit` with the type and the bytes of each value of a record (2.1).
fn values(record: &[u8], visit: &mut dyn FnMut(u64, &[u8])) -> Result<()> {
    let (header, mut at) = varint(record, 0)?;
    let header = usize::try_from(header).map_err(|_| damaged("a long header"))?;
    let mut body = header;
    while at < header {
        let (kind, next) = varint(record, at)?;
        let length = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return Err(damaged("a value of an unknown kind")),
            _ => (kind - 12) / 2,
        };
        let length = usize::try_from(length).map_err(|_| damaged("a long value"))?;
        visit(kind, slice(record, body, length)?);
        (at, body) = (next, body + length);
    }
    Ok(())
}

/// Returns the texts and bytes of a record.
fn texts(record: &[u8]) -> Result<Row> {
    let mut row = Row::new();
    values(record, &mut |kind, bytes| {
        row.push((kind >= 12).then(|| String::from_utf8_lossy(bytes).into_owned()));
    })?;
    Ok(row)
}

/// Returns the value of a column that is an integer above 0.
fn integer(record: &[u8], wanted: usize) -> Result<Option<u64>> {
    let (mut column, mut found) = (0, None);
    values(record, &mut |kind, bytes| {
        if column == wanted && (1..=9).contains(&kind) && kind != 7 {
            let number = bytes
                .iter()
                .fold(0, |sum: u64, byte| sum << 8 | u64::from(*byte));
            found = Some(if kind == 9 { 1 } else { number });
        }
        column += 1;
    })?;
    Ok(found)
}

fn slice(bytes: &[u8], at: usize, length: usize) -> Result<&[u8]> {
    let end = at.checked_add(length);
    let part = end.and_then(|end| bytes.get(at..end));
    part.ok_or_else(|| damaged("a value after the end"))
}

fn byte(bytes: &[u8], at: usize) -> Result<u8> {
    slice(bytes, at, 1).map(|part| part[0])
}

/// Returns a number of `length` bytes, the first of which counts most.
fn number_at(bytes: &[u8], at: usize, length: usize) -> Result<u64> {
    let part = slice(bytes, at, length)?;
    Ok(part.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

/// Returns a number of one to nine bytes, and the offset after the number (1.6, "varint").
fn varint(bytes: &[u8], at: usize) -> Result<(u64, usize)> {
    let mut number = 0;
    for place in 0..8 {
        let byte = byte(bytes, at + place)?;
        number = number << 7 | u64::from(byte & 0x7f);
        if byte < 0x80 {
            return Ok((number, at + place + 1));
        }
    }
    let last = byte(bytes, at + 8)?;
    Ok((number << 8 | u64::from(last), at + 9))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::{Temp, why};
    use std::fs;

    /// Database of podman's two tables with 40 containers, by SQLite 3.40 with pages of 512 bytes, so that its trees
    /// have more than one level, and its records further pages; the JSON is a blob, as in podman's database: `INSERT
    /// INTO ContainerConfig VALUES ('c<n>', 'name-c<n>', 'p<n % 7>' or NULL, '{"n": <n>, "text": "é…"}')`.
    const DATABASE: &[u8] = include_bytes!("testdata/db.sql");

    fn database(bytes: &[u8]) -> (Temp, Result<Database>) {
        let temp = Temp::new();
        fs::write(temp.path("db.sql"), bytes).unwrap();
        let database = Database::open(&temp.path("db.sql"));
        (temp, database)
    }

    #[test]
    fn each_row_is_found_by_its_id() {
        let (_temp, database) = database(DATABASE);
        let database = database.unwrap();
        for number in 0..40 {
            let row = database
                .find("ContainerConfig", &format!("c{number}"))
                .unwrap()
                .unwrap();
            let text = "é".repeat(number * 12);
            let json = format!("{{\"n\": {number}, \"text\": \"{text}\"}}");
            let pod = (number % 2 == 0).then(|| format!("p{}", number % 7));
            let name = format!("name-c{number}");
            assert_eq!(
                row,
                [Some(format!("c{number}")), Some(name), pod, Some(json)]
            );
        }
        let mut count = 0;
        database
            .rows("ContainerConfig", &mut |_| count += 1)
            .unwrap();
        assert_eq!(count, 40);
        let pod = database.find("PodConfig", "p3").unwrap().unwrap();
        assert_eq!(pod[2].as_deref(), Some("{\"id\": \"p3\"}"));
        assert_eq!(database.find("PodConfig", "p9").unwrap(), None);
        assert!(why(database.find("Nothing", "x")).contains("no table Nothing"));
    }

    #[test]
    fn no_damage_does_more_than_fail() {
        let size = DATABASE.len();
        let mut damages: Vec<Vec<u8>> = [0, 50, 99, 100, 511, 512, 5000, size - 1]
            .map(|n| DATABASE[..n].to_vec())
            .into();
        // Each byte of the header and of some pages, and every 97th of all.
        for at in (0..1024).chain((1024..size).step_by(97)) {
            for value in [0, 1, 5, 13, 0x7f, 0x80, 0xff] {
                let mut bytes = DATABASE.to_vec();
                bytes[at] = value;
                damages.push(bytes);
            }
        }
        let temp = Temp::new();
        for bytes in damages {
            fs::write(temp.path("db.sql"), &bytes).unwrap();
            if let Ok(database) = Database::open(&temp.path("db.sql")) {
                let _ = database.find("ContainerConfig", "c39");
                let _ = database.find("PodConfig", "p6");
            }
        }
    }

    #[test]
    fn other_files_are_refused_in_words() {
        let mut log = DATABASE.to_vec();
        (log[18], log[19]) = (2, 2);
        let mut size = DATABASE.to_vec();
        size[16] = 3;
        for (bytes, reason) in [
            (&b"Bolt".repeat(50)[..], "not SQLite's format"),
            (&log, "write-ahead log"),
            (&size, "size of its pages"),
        ] {
            let (_temp, opened) = database(bytes);
            assert!(why(opened.map(drop)).contains(reason), "{reason}");
        }
    }
}
