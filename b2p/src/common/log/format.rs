//! The lines of the files: what they look like, and which record of which boot
//! each of them is. Sequence numbers are not written; every record is a line,
//! and where some are missing a line says how many.

use std::fmt::Write;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::clock;
use super::record::{Priority, Record, number};

/// Begins the lines that are no records.
const MARK: &str = "--- ";

/// Longest line that is read; the kernel's records are shorter (printk's
/// `PRINTK_MESSAGE_MAX` is 2048, four times that escaped).
pub const LONGEST: usize = 10_000;

/// `2026-11-23T20:30:38.123456Z daemon.info text`.
pub fn record(record: &Record<'_>, offset: i64, out: &mut Vec<u8>) {
    let mut head = String::new();
    let us = i64::try_from(record.us).unwrap_or(i64::MAX);
    clock::stamp(us.saturating_add(offset), &mut head);
    head.push(' ');
    record.priority.name(&mut head);
    head.push(' ');
    out.extend_from_slice(head.as_bytes());
    let room = LONGEST - head.len() - 1;
    out.extend_from_slice(record.text.get(..room).unwrap_or(record.text));
    out.push(b'\n');
}

/// The line before the first record of a boot.
#[must_use]
pub fn boot(id: &str, release: &str) -> String {
    format!("{MARK}boot {id} kernel {release} ---\n")
}

/// The line at the top of a file that begins in the middle of a boot.
#[must_use]
pub fn middle(id: &str, next: u64) -> String {
    format!("{MARK}boot {id} record {next} ---\n")
}

/// The line in place of records that are not there.
#[must_use]
pub fn lost(count: u64, why: &str) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{MARK}{count} records lost: {why} ---");
    out
}

/// Highest number of a file that is looked for.
pub const MAX_FILES: u32 = 100;

/// `log.N`, or `log` for 0.
#[must_use]
pub fn path(dir: &Path, number: u32) -> PathBuf {
    match number {
        0 => dir.join("log"),
        n => dir.join(format!("log.{n}")),
    }
}

/// Every file there is, the oldest first.
#[must_use]
pub fn oldest_first(dir: &Path) -> Vec<PathBuf> {
    let paths = (0..=MAX_FILES).rev().map(|n| path(dir, n));
    paths.filter(|p| p.exists()).collect()
}

/// What a line of a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// From here on it is this boot, and the next record has this number.
    Boot(&'a [u8], u64),
    /// So many are not there.
    Lost(u64),
    /// A record: microseconds since 1970, priority, text.
    Record(i64, Priority, &'a [u8]),
    /// A person may have edited the file.
    Other,
}

/// Reads a line without its end.
#[must_use]
pub fn parse(line: &[u8]) -> Line<'_> {
    mark(line).or_else(|| written(line)).unwrap_or(Line::Other)
}

fn mark(line: &[u8]) -> Option<Line<'_>> {
    let rest = line.strip_prefix(MARK.as_bytes())?;
    let mut words = rest.split(|b| *b == b' ');
    let (first, second) = (words.next()?, words.next()?);
    match (first, second, words.next()?, words.next()?) {
        (b"boot", id, b"kernel", _) => Some(Line::Boot(id, 0)),
        (b"boot", id, b"record", next) => Some(Line::Boot(id, number(next)?)),
        (count, b"records", b"lost:", _) => Some(Line::Lost(number(count)?)),
        _ => None,
    }
}

fn written(line: &[u8]) -> Option<Line<'_>> {
    let (us, rest) = clock::parse(line)?;
    let rest = rest.strip_prefix(b" ")?;
    let space = rest.iter().position(|b| *b == b' ')?;
    let priority = Priority::parse(rest.get(..space)?)?;
    Some(Line::Record(us, priority, rest.get(space + 1..)?))
}

/// Where in which boot a file is, line by line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The boot's id, empty before the first mark.
    pub boot: Vec<u8>,
    /// The number of the next record.
    pub next: u64,
}

impl Position {
    /// Goes on by a line.
    pub fn pass(&mut self, line: &Line<'_>) {
        match line {
            Line::Boot(id, next) => {
                self.boot.clear();
                self.boot.extend_from_slice(id);
                self.next = *next;
            }
            Line::Lost(count) => self.next = self.next.saturating_add(*count),
            Line::Record(..) => self.next = self.next.saturating_add(1),
            Line::Other => {}
        }
    }
}

/// Calls `each` for every complete line of a file, while it returns true.
///
/// # Errors
/// What the system said.
pub fn lines(path: &Path, mut each: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
    let mut file = BufReader::new(std::fs::File::open(path)?);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut bounded = io::Read::take(&mut file, LONGEST as u64);
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

/// Where the newest of `files` ends: every file begins with a mark.
#[must_use]
pub fn end(files: &[std::path::PathBuf]) -> Position {
    for path in files.iter().rev() {
        let mut position = Position::default();
        let _ = lines(path, |line| {
            position.pass(&parse(line));
            true
        });
        if !position.boot.is_empty() {
            return position;
        }
    }
    Position::default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "0f5f2b1e-6a3c-4f54-9d52-9a0f3f6f7a11";

    #[test]
    fn a_record_is_one_line_and_is_read_back() {
        let r = Record {
            priority: Priority::of(3, 6),
            seq: 1,
            us: 12_345_678,
            text: b"sshd: hello \\x1b",
        };
        let mut out = Vec::new();
        record(&r, 1_795_465_800_000_000, &mut out);
        let want = b"2026-11-23T20:30:12.345678Z daemon.info sshd: hello \\x1b\n";
        assert_eq!(out, want, "{}", String::from_utf8_lossy(&out));
        let line = out.strip_suffix(b"\n").expect("a line");
        assert_eq!(
            parse(line),
            Line::Record(1_795_465_812_345_678, r.priority, r.text)
        );
    }

    #[test]
    fn a_position_follows_the_lines() {
        let mut at = Position::default();
        let text = format!(
            "{}{}2026-11-23T20:30:12.345678Z kern.info x\nnonsense\n",
            boot(ID, "6.12.1"),
            lost(7, "a full disk")
        );
        text.lines().for_each(|l| at.pass(&parse(l.as_bytes())));
        assert_eq!((at.boot.as_slice(), at.next), (ID.as_bytes(), 8));
        at.pass(&parse(middle("other", 99).trim_end().as_bytes()));
        assert_eq!((at.boot.as_slice(), at.next), (&b"other"[..], 99));
    }

    #[test]
    fn a_line_of_any_length_is_bounded() {
        let r = Record {
            priority: Priority::of(0, 0),
            seq: 0,
            us: u64::MAX,
            text: &[b'x'; 3 * LONGEST],
        };
        let mut out = Vec::new();
        record(&r, i64::MAX, &mut out);
        assert!(out.len() <= LONGEST && out.ends_with(b"x\n"));
    }

    proptest! {
        #[test]
        fn any_line(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            Position::default().pass(&parse(&bytes));
        }

        #[test]
        fn any_mark(text in "--- (boot|[0-9]{0,30})( [a-z0-9:-]{0,9}){0,5}") {
            let mut at = Position { boot: Vec::new(), next: u64::MAX };
            at.pass(&parse(text.as_bytes()));
        }
    }
}
