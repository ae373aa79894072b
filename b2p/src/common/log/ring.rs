//! The kernel's ring of records, read through `/dev/kmsg`.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use super::record::Record;

/// Where it is.
pub const PATH: &str = "/dev/kmsg";

/// Longest record (printk's `CONSOLE_EXT_LOG_MAX` was 8192, and is 2048 now).
const LONGEST: usize = 8192;

/// Opens the ring for writing: each write(2) is one record, and none waits.
///
/// # Errors
/// The errno of open(2).
pub fn writer() -> io::Result<File> {
    let mut options = OpenOptions::new();
    let options = options.write(true).custom_flags(libc::O_NONBLOCK);
    options.open(PATH)
}

/// What a read gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// A record.
    Record(Record<'a>),
    /// Nothing that can be used, and there may be more. When records have been
    /// overwritten (EPIPE) the next number tells how many.
    Again,
    /// Nothing now.
    Nothing,
    /// Nothing ever again; the kernel's own does not end.
    End,
}

/// A reader with a place of its own in the ring.
#[derive(Debug)]
pub struct Ring {
    file: File,
    buffer: Vec<u8>,
}

impl Ring {
    /// At the oldest record there is.
    ///
    /// # Errors
    /// What the system said; only root may where `kernel.dmesg_restrict` is set.
    pub fn open() -> io::Result<Ring> {
        let mut options = OpenOptions::new();
        let options = options.read(true).custom_flags(libc::O_NONBLOCK);
        options.open(PATH).map(Ring::of)
    }

    /// Over any descriptor that gives a record a read and does not block.
    #[must_use]
    pub fn of(file: File) -> Ring {
        Ring {
            file,
            buffer: vec![0; LONGEST],
        }
    }

    /// One read(2).
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

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
