// SPDX-License-Identifier: Apache-2.0
//! The ring buffer of the kernel log, through `/dev/kmsg`.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use super::record::Record;

/// Path of the device.
pub const PATH: &str = "/dev/kmsg";

/// Longest record, in bytes (printk's `CONSOLE_EXT_LOG_MAX` was 8192, and is 2048 now).
const MAX_RECORD: usize = 8192;

/// Opens the ring for writing: each write(2) is one record, and none blocks.
///
/// # Errors
/// The errno of open(2).
pub fn writer() -> io::Result<File> {
    let mut options = OpenOptions::new();
    let options = options.write(true).custom_flags(libc::O_NONBLOCK);
    options.open(PATH)
}

/// Result of a read.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// A record.
    Record(Record<'a>),
    /// Neither a record nor the end, and the caller reads again. If records were overwritten (EPIPE),
    /// the next sequence number shows how many.
    Again,
    /// End of the records for now.
    Nothing,
    /// End of all records; the kernel's own ring does not end.
    End,
}

/// A reader with its own position in the ring.
#[derive(Debug)]
pub struct Ring {
    file: File,
    buffer: Vec<u8>,
}

impl Ring {
    /// Opens the ring at its oldest record.
    ///
    /// # Errors
    /// The errno of open(2): EPERM for users if `kernel.dmesg_restrict` is set.
    pub fn open() -> io::Result<Ring> {
        let mut options = OpenOptions::new();
        let options = options.read(true).custom_flags(libc::O_NONBLOCK);
        options.open(PATH).map(Ring::of)
    }

    /// Reads from a descriptor that returns one record a read and does not block.
    #[must_use]
    pub fn of(file: File) -> Ring {
        Ring {
            file,
            buffer: vec![0; MAX_RECORD],
        }
    }

    /// Reads once.
    pub fn read(&mut self) -> Next<'_> {
        match self.file.read(&mut self.buffer) {
            Ok(0) => Next::End,
            Ok(length) => {
                let bytes = self.buffer.get(..length).unwrap_or(&[]);
                Record::parse(bytes).map_or(Next::Again, Next::Record)
            }
            Err(e) => match e.raw_os_error() {
                Some(libc::EAGAIN) => Next::Nothing,
                Some(libc::EPIPE | libc::EINTR | libc::EINVAL) => Next::Again,
                _ => Next::End,
            },
        }
    }
}

/// Boundary between the records of the past and the records that are logged after its opening.
///
/// The boundary is a second reader, which the kernel places behind the newest record
/// (Documentation/ABI/testing/dev-kmsg, `SEEK_END`). A time is no boundary: printk takes the time
/// from `local_clock()`, which runs ahead of or behind CLOCK_MONOTONIC, further each day.
#[derive(Debug)]
pub struct Present {
    reader: Ring,
    first_later: Option<u64>,
}

impl Present {
    /// Opens the boundary behind the newest record.
    ///
    /// # Errors
    /// The errno of open(2) or lseek(2).
    pub fn open() -> io::Result<Present> {
        let mut reader = Ring::open()?;
        reader.file.seek(SeekFrom::End(0))?;
        Ok(Present::of(reader))
    }

    /// Takes a reader that stands behind the newest record.
    #[must_use]
    pub fn of(reader: Ring) -> Present {
        Present {
            reader,
            first_later: None,
        }
    }

    /// Returns true for the sequence number of a record that was logged after the boundary was opened.
    pub fn is_before(&mut self, seq: u64) -> bool {
        if self.first_later.is_none()
            && let Next::Record(record) = self.reader.read()
        {
            self.first_later = Some(record.seq);
        }
        self.first_later.is_some_and(|first| seq >= first)
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
