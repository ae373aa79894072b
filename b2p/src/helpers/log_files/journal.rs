//! The log on disk: records become lines in a buffer, the buffer goes to the
//! file, the file is put aside when it is full. Nothing here waits; a disk that
//! takes nothing costs lines, which are counted.

use std::io;

use super::files::{Bounds, Disk};
use crate::common::log::record::{Record, SYSLOG};
use crate::common::log::{Boot, format};

/// What is held in memory at most.
const BUFFER: usize = 64 << 10;
/// How long a line may wait there, in milliseconds.
const WAIT: u64 = 2_000;
/// How long a disk that failed is left alone, at first and at most.
const RETRY: [u64; 2] = [2_000, 60_000];
/// Between two warnings about it.
const QUIET: u64 = 600_000;
/// At this level and worse, a line does not wait.
const URGENT: u8 = 3;

/// Prefix of the warnings about the disk in the kernel log.
pub const WARNING_PREFIX: &str = "log-files: ";

/// The log that is being written.
#[derive(Debug)]
pub struct Journal<D> {
    disk: D,
    bounds: Bounds,
    boot: Boot,
    /// Complete lines for the current file. The first may be the rest of one that
    /// the disk took only a part of, so nothing is ever removed but what was written.
    buffer: Vec<u8>,
    /// Bytes in the current file.
    size: u64,
    /// The next record's number.
    next: u64,
    /// Records before that one which no line stands for.
    lost: u64,
    /// Of those, what the disk did not take; other than our own warnings about it.
    refused: u64,
    /// Why, in the words of the last failure.
    why: Option<io::Error>,
    /// When the buffer is to be written; `None` when it is empty.
    due: Option<u64>,
    /// How long the next failure is waited out.
    retry: u64,
    /// A failure is waited out until then.
    shut: u64,
    /// When the last warning was.
    warned: Option<u64>,
    /// What the next line comes after: whose records these are.
    mark: Option<String>,
}

impl<D: Disk> Journal<D> {
    /// Goes on after `size` bytes of a file that ends at `end`.
    pub fn new(disk: D, size: u64, bounds: Bounds, boot: Boot, end: &format::Position) -> Self {
        let same = end.boot == boot.id.as_bytes();
        let mark = match (same, size) {
            (false, _) => Some(format::boot(&boot.id, &boot.release)),
            (true, 0) => Some(format::middle(&boot.id, end.next)),
            (true, _) => None,
        };
        Journal {
            disk,
            bounds,
            boot,
            buffer: Vec::new(),
            size,
            next: if same { end.next } else { 0 },
            lost: 0,
            refused: 0,
            why: None,
            due: None,
            retry: RETRY[0],
            shut: 0,
            warned: None,
            mark,
        }
    }

    /// Takes the next record; those that the files already have are passed over.
    pub fn take(&mut self, record: &Record<'_>, offset: i64, now: u64) {
        if record.seq < self.next {
            return;
        }
        self.lost = self.lost.saturating_add(record.seq - self.next);
        self.next = record.seq;
        let mut line = self.mark.clone().unwrap_or_default().into_bytes();
        if self.lost > 0 {
            line.extend_from_slice(self.gap().as_bytes());
        }
        format::record(record, offset, &mut line);
        let fits = self.room(line.len(), now);
        self.next = record.seq.saturating_add(1);
        if !fits {
            self.lost = self.lost.saturating_add(1);
            self.refused += u64::from(!own(record));
            return;
        }
        (self.lost, self.refused, self.mark) = (0, 0, None);
        self.buffer.extend_from_slice(&line);
        let wait = if record.priority.level() <= URGENT {
            0
        } else {
            WAIT
        };
        let due = now.saturating_add(wait).max(self.shut);
        self.due = Some(self.due.map_or(due, |d| d.min(due)));
    }

    fn gap(&self) -> String {
        match &self.why {
            Some(e) if self.refused > 0 => format::lost(self.lost, &e.to_string()),
            _ => format::lost(self.lost, "overwritten before they were read"),
        }
    }

    /// Whether the line can be taken, after writing and rotating where that helps.
    /// The buffer belongs to the current file as a whole: it is empty when the
    /// file is put aside.
    fn room(&mut self, length: usize, now: u64) -> bool {
        if self.buffer.len() + length > BUFFER {
            self.write(now);
        }
        if self.size + (self.buffer.len() + length) as u64 > self.bounds.size {
            self.write(now);
            if !self.buffer.is_empty() || now < self.shut || !self.rotated(now) {
                return false;
            }
        }
        self.buffer.len() + length <= BUFFER
    }

    fn rotated(&mut self, now: u64) -> bool {
        if let Err(e) = self.disk.rotate() {
            self.failed(e, now);
            return false;
        }
        self.size = 0;
        if self.mark.is_none() {
            let first = self.next.saturating_sub(self.lost);
            let mark = format::middle(&self.boot.id, first);
            self.buffer.extend_from_slice(mark.as_bytes());
        }
        true
    }

    /// Writes what the disk takes.
    fn write(&mut self, now: u64) {
        self.due = None;
        if now < self.shut && !self.buffer.is_empty() {
            self.due = Some(self.shut);
            return;
        }
        while !self.buffer.is_empty() {
            match self.disk.append(&self.buffer) {
                Ok(0) => return self.failed(io::ErrorKind::WriteZero.into(), now),
                Ok(count) => {
                    self.buffer.drain(..count.min(self.buffer.len()));
                    self.size += count as u64;
                    self.retry = RETRY[0];
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return self.failed(e, now),
            }
        }
    }

    fn failed(&mut self, e: io::Error, now: u64) {
        self.why = Some(e);
        self.shut = now.saturating_add(self.retry);
        self.retry = (2 * self.retry).min(RETRY[1]);
        self.due = (!self.buffer.is_empty()).then_some(self.shut);
    }

    /// When [`Journal::tick`] is to be called; `None`: not before the next record.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        self.due
    }

    /// Writes what is due. A warning for the kernel log, when there is one to be
    /// given: at most every ten minutes, and not because of such a warning.
    pub fn tick(&mut self, now: u64) -> Option<String> {
        if self.due.is_some_and(|due| due <= now) {
            self.write(now);
        }
        let quiet = self.warned.is_some_and(|at| now < at.saturating_add(QUIET));
        if self.refused == 0 || quiet {
            return None;
        }
        self.warned = Some(now);
        let why = self.why.as_ref().map(io::Error::to_string);
        Some(format!(
            "the log on disk loses lines ({} by now): {}",
            self.lost,
            why.unwrap_or_default()
        ))
    }

    /// The last words: everything to the disk, and there for good.
    ///
    /// # Errors
    /// What the system said.
    pub fn close(&mut self, now: u64) -> io::Result<()> {
        self.shut = 0;
        self.write(now);
        if self.lost > 0 && self.buffer.is_empty() {
            let gap = self.gap();
            if self.size + gap.len() as u64 <= self.bounds.size {
                self.buffer.extend_from_slice(gap.as_bytes());
                self.lost = 0;
                self.write(now);
            }
        }
        self.disk.sync()?;
        match (self.buffer.is_empty(), self.why.take()) {
            (false, Some(e)) => Err(e),
            _ => Ok(()),
        }
    }
}

/// A warning of ours, read back from the kernel log.
fn own(record: &Record<'_>) -> bool {
    record.priority.facility() == SYSLOG && record.text.starts_with(WARNING_PREFIX.as_bytes())
}

#[cfg(test)]
mod tests;
