// SPDX-License-Identifier: Apache-2.0
//! The log on disk: records become lines in a buffer, the buffer is appended to the file,
//! and a full file is rotated. No step waits; a disk that takes nothing costs lines, which
//! are counted.

use std::io;

use super::files::{Bounds, Disk};
use crate::common::log::record::Record;
use crate::common::log::{Boot, format};

/// Start of the messages of this service in the kernel log; no message from `/dev/log` is
/// without brackets after the first name.
const OWN_PREFIX: &[u8] = b"boot2podman: log-files: ";

/// Largest buffer, in bytes.
const MAX_BUFFER: usize = 64 << 10;
/// Longest time that a line stays in the buffer, in milliseconds.
const MAX_DELAY: u64 = 2_000;
/// Shortest and longest pause after a failure of the disk, in milliseconds.
const RETRY: [u64; 2] = [2_000, 60_000];
/// Shortest time between two warnings about the disk, in milliseconds.
const WARNING_INTERVAL: u64 = 600_000;
/// Highest level whose lines are written at once (syslog(3), `LOG_ERR`).
const URGENT: u8 = 3;

/// The log that is being written.
#[derive(Debug)]
pub struct Journal<D> {
    disk: D,
    bounds: Bounds,
    boot: Boot,
    /// Complete lines for the current file. The first may be the rest of a line of which the disk
    /// took only a part, so only written bytes are ever removed.
    buffer: Vec<u8>,
    /// Size of the current file, in bytes.
    size: u64,
    /// True until the mark of this boot is in the current file or in the buffer.
    mark_due: bool,
    /// Sequence number after the last record that has a line.
    next: u64,
    /// Sequence number after the last record that was offered.
    seen: u64,
    /// Number of records since `next` that the disk did not take, without the warnings of the loss.
    refused: u64,
    /// The last failure of the disk.
    failure: Option<io::Error>,
    /// Time at which the buffer is written; `None` while the buffer is empty.
    due: Option<u64>,
    /// Pause after the next failure, in milliseconds.
    retry: u64,
    /// End of the pause after the last failure.
    paused_until: u64,
    /// Time of the last warning.
    warned: Option<u64>,
}

impl<D: Disk> Journal<D> {
    /// Continues with a current file of `size` bytes, from the record `next` of `boot` on.
    pub fn new(disk: D, size: u64, bounds: Bounds, boot: Boot, next: u64) -> Self {
        Journal {
            disk,
            bounds,
            boot,
            buffer: Vec::new(),
            size,
            mark_due: true,
            next,
            seen: next,
            refused: 0,
            failure: None,
            due: None,
            retry: RETRY[0],
            paused_until: 0,
            warned: None,
        }
    }

    /// Takes the next record; one that the files already have is passed over.
    pub fn take(&mut self, record: &Record<'_>, offset: i64, now: u64) {
        if record.seq < self.seen {
            return;
        }
        self.seen = record.seq;
        let mut line = String::new();
        if self.mark_due {
            line.push_str(&format::boot_mark(&self.boot));
        }
        if self.lost() > 0 {
            line.push_str(&self.lost_mark());
        }
        let mut line = line.into_bytes();
        format::record(record, offset, &mut line);
        let fits = self.make_room(line.len(), now);
        self.seen = record.seq.saturating_add(1);
        if !fits {
            self.refused += u64::from(!is_own_warning(record));
            return;
        }
        (self.next, self.refused, self.mark_due) = (self.seen, 0, false);
        self.buffer.extend_from_slice(&line);
        let urgent = record.priority.level() <= URGENT;
        let due = now.saturating_add(if urgent { 0 } else { MAX_DELAY });
        let due = due.max(self.paused_until);
        self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
    }

    /// Returns the number of records that were offered and have no line.
    fn lost(&self) -> u64 {
        self.seen.saturating_sub(self.next)
    }

    fn lost_mark(&self) -> String {
        match &self.failure {
            Some(e) if self.refused > 0 => format::lost_mark(self.lost(), &e.to_string()),
            _ => format::lost_mark(self.lost(), "overwritten before they were read"),
        }
    }

    /// Writes and rotates where that helps; returns true if `length` bytes can be taken. The buffer
    /// belongs to the current file as a whole, and is empty at a rotation.
    fn make_room(&mut self, length: usize, now: u64) -> bool {
        if self.buffer.len() + length > MAX_BUFFER {
            self.write(now);
        }
        if self.size + (self.buffer.len() + length) as u64 > self.bounds.size {
            self.write(now);
            if !self.buffer.is_empty() || now < self.paused_until || !self.rotate(now) {
                return false;
            }
        }
        self.buffer.len() + length <= MAX_BUFFER
    }

    /// Begins a file; returns false if the disk refuses.
    fn rotate(&mut self, now: u64) -> bool {
        if let Err(e) = self.disk.rotate() {
            self.pause(e, now);
            return false;
        }
        self.size = 0;
        if !self.mark_due {
            let mark = format::boot_mark(&self.boot);
            self.buffer.extend_from_slice(mark.as_bytes());
        }
        true
    }

    /// Writes as much of the buffer as the disk takes.
    fn write(&mut self, now: u64) {
        self.due = None;
        if now < self.paused_until && !self.buffer.is_empty() {
            self.due = Some(self.paused_until);
            return;
        }
        while !self.buffer.is_empty() {
            match self.disk.append(&self.buffer) {
                Ok(0) => return self.pause(io::ErrorKind::WriteZero.into(), now),
                Ok(count) => {
                    self.buffer.drain(..count.min(self.buffer.len()));
                    self.size += count as u64;
                    self.retry = RETRY[0];
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return self.pause(e, now),
            }
        }
    }

    /// Leaves the disk alone for a while after a failure.
    fn pause(&mut self, e: io::Error, now: u64) {
        self.failure = Some(e);
        self.paused_until = now.saturating_add(self.retry);
        self.retry = (2 * self.retry).min(RETRY[1]);
        self.due = (!self.buffer.is_empty()).then_some(self.paused_until);
    }

    /// Returns when [`Journal::tick`] is to be called; `None` means not before the next
    /// record.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        self.due
    }

    /// Writes the lines that are due. Returns a warning for the kernel log if lines are lost: at most
    /// one every ten minutes, and none because of such a warning.
    pub fn tick(&mut self, now: u64) -> Option<String> {
        if self.due.is_some_and(|due| due <= now) {
            self.write(now);
        }
        let recent = |at: u64| now < at.saturating_add(WARNING_INTERVAL);
        if self.refused == 0 || self.warned.is_some_and(recent) {
            return None;
        }
        self.warned = Some(now);
        let why = self.failure.as_ref().map(io::Error::to_string);
        Some(format!(
            "the log on disk loses lines ({} by now): {}",
            self.lost(),
            why.unwrap_or_default()
        ))
    }

    /// Writes everything and waits until the data is on the disk.
    ///
    /// # Errors
    /// The disk does not take all data, or fsync(2) fails.
    pub fn close(&mut self, now: u64) -> io::Result<()> {
        self.paused_until = 0;
        self.write(now);
        if self.lost() > 0 && self.buffer.is_empty() {
            let mark = self.lost_mark();
            if self.size + mark.len() as u64 <= self.bounds.size {
                self.buffer.extend_from_slice(mark.as_bytes());
                self.next = self.seen;
                self.write(now);
            }
        }
        self.disk.sync()?;
        match (self.buffer.is_empty(), self.failure.take()) {
            (false, Some(e)) => Err(e),
            _ => Ok(()),
        }
    }
}

/// Returns true for a warning of this service that is read back from the kernel log.
fn is_own_warning(record: &Record<'_>) -> bool {
    record.text.starts_with(OWN_PREFIX)
}

#[cfg(test)]
mod tests;
