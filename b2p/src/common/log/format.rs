// SPDX-License-Identifier: Apache-2.0
//! Names and lines of the log files (docs/reference/log.md).
//!
//! A line is a record or a mark. Every file begins with the mark of a boot, and each record
//! has its sequence number, so that no line needs the lines before it to be understood.
//! Earlier versions wrote no sequence numbers: such lines are read as well, with `None` for
//! the number. Such lines never belong to the running boot, which has one version.

use std::fmt::Write;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::record::{Priority, Record, number};
use super::{Boot, log_time};

/// Start of the lines that are not records.
const MARK: &str = "--- ";

/// Longest line that is read, in bytes; the kernel's records are shorter (printk's
/// `PRINTK_MESSAGE_MAX` is 2048, four times that escaped).
pub const MAX_LINE: usize = 10_000;

/// Highest number of a file that is looked for.
pub const MAX_FILES: u32 = 100;

/// Appends `2026-11-23T20:30:38.123456Z 4711 daemon.info text`; `offset` is that of
/// [`log_time::realtime_offset_us`].
pub fn record(record: &Record<'_>, offset: i64, out: &mut Vec<u8>) {
    let mut head = String::new();
    log_time::append_rfc3339(record.realtime(offset), &mut head);
    let _ = write!(head, " {} ", record.seq);
    record.priority.name(&mut head);
    head.push(' ');
    out.extend_from_slice(head.as_bytes());
    let room = MAX_LINE - head.len() - 1;
    out.extend_from_slice(record.text.get(..room).unwrap_or(record.text));
    out.push(b'\n');
}

/// Returns the mark before the first record of a boot, and at the top of each file.
#[must_use]
pub fn boot_mark(boot: &Boot) -> String {
    format!("{MARK}boot {} kernel {} ---\n", boot.id, boot.release)
}

/// Returns the mark in place of records that are lost.
#[must_use]
pub fn lost_mark(count: u64, why: &str) -> String {
    format!("{MARK}{count} records lost: {why} ---\n")
}

/// Content of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// Mark: from here on the records are of the boot with this id.
    Boot(&'a [u8]),
    /// Mark: the number of records that are lost here.
    Lost(u64),
    /// A record.
    Record {
        /// Sequence number in the kernel log of its boot; `None` in files of old versions.
        seq: Option<u64>,
        /// Microseconds since 1970.
        us: i64,
        /// Facility and level.
        priority: Priority,
        /// Text with the escapes of `/dev/kmsg`.
        text: &'a [u8],
    },
    /// Another line: a person may have edited the file.
    Other,
}

/// Reads a line, which is without its newline.
#[must_use]
pub fn parse(line: &[u8]) -> Line<'_> {
    parse_mark(line)
        .or_else(|| parse_record(line))
        .unwrap_or(Line::Other)
}

/// Reads a mark. Old versions wrote `--- boot ID record N ---` at the top of a file that
/// began with record N of a boot.
fn parse_mark(line: &[u8]) -> Option<Line<'_>> {
    let rest = line.strip_prefix(MARK.as_bytes())?;
    let mut tokens = rest.split(|b| *b == b' ');
    let (first, second) = (tokens.next()?, tokens.next()?);
    match (first, second, tokens.next()?, tokens.next()?) {
        (b"boot", id, b"kernel" | b"record", _) => Some(Line::Boot(id)),
        (count, b"records", b"lost:", _) => Some(Line::Lost(number(count)?)),
        _ => None,
    }
}

fn parse_record(line: &[u8]) -> Option<Line<'_>> {
    let (us, rest) = log_time::parse(line)?;
    let (first, rest) = token(rest.strip_prefix(b" ")?)?;
    // The name of a priority has a dot, a number has none.
    let seq = number(first);
    let (name, text) = match seq {
        Some(_) => token(rest)?,
        None => (first, rest),
    };
    Some(Line::Record {
        seq,
        us,
        priority: Priority::parse(name)?,
        text,
    })
}

/// Splits at the first space.
fn token(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = bytes.iter().position(|b| *b == b' ')?;
    Some((bytes.get(..space)?, bytes.get(space + 1..)?))
}

/// Returns the path of `log.NUMBER`, or of `log` for 0.
#[must_use]
pub fn path(dir: &Path, number: u32) -> PathBuf {
    match number {
        0 => dir.join("log"),
        n => dir.join(format!("log.{n}")),
    }
}

/// Returns the path of every file in `dir`, the oldest first.
#[must_use]
pub fn oldest_first(dir: &Path) -> Vec<PathBuf> {
    let paths = (0..=MAX_FILES).rev().map(|n| path(dir, n));
    paths.filter(|p| p.exists()).collect()
}

/// Calls `each` for every complete line of a file, while `each` returns true.
///
/// # Errors
/// The file cannot be read, or is not a regular one.
pub fn lines(path: &Path, mut each: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
    let Some(file) = sys::files::open_regular(path).map_err(io::Error::other)? else {
        return Ok(());
    };
    let mut file = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut bounded = io::Read::take(&mut file, MAX_LINE as u64);
        if bounded.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if let Some(whole) = line.strip_suffix(b"\n")
            && !each(whole)
        {
            return Ok(());
        }
    }
}

/// Returns the sequence number after the last record of boot `id` in `files`, which are in
/// the order of [`oldest_first`]; 0 if the files have no record of the boot.
#[must_use]
pub fn next_seq(files: &[PathBuf], id: &str) -> u64 {
    for path in files.iter().rev() {
        let (mut in_boot, mut next) = (false, 0);
        let _ = lines(path, |line| {
            match parse(line) {
                Line::Boot(other) => in_boot = other == id.as_bytes(),
                Line::Record { seq: Some(seq), .. } if in_boot => next = seq.saturating_add(1),
                _ => {}
            }
            true
        });
        if next > 0 {
            return next;
        }
    }
    0
}

#[cfg(test)]
mod tests;
