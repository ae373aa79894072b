// SPDX-License-Identifier: Apache-2.0
//! `b2p log-files DIR`, the service that keeps the kernel log in files of a directory
//! (docs/reference/log.md). One thread, one poll(2), and nothing that waits but the disk.

mod files;
mod journal;
mod options;

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;

use sys::clock::now;
use sys::error::{Doing, Result};

use crate::common::log::record::{Priority, SYSLOG};
use crate::common::log::ring::{self, Next, Ring};
use crate::common::log::{Boot, clock, format};
use crate::common::stop::Stop;
use files::Folder;
use journal::Journal;
use options::{Options, USAGE};

/// Records that are taken before SIGTERM is looked for again.
const BATCH: usize = 256;
/// Batches that are taken after SIGTERM.
const MAX_LAST_BATCHES: usize = 256;
/// Level of the warnings about the disk (syslog(3), `LOG_WARNING`).
const WARNING: u8 = 4;

/// Runs `b2p log-files …` and returns the exit status.
#[must_use]
pub fn main(args: &[String]) -> i32 {
    match Options::parse(args) {
        Ok(options) => match serve(&options) {
            Ok(()) => 0,
            Err(e) => {
                eprintln!("b2p log-files: {e}");
                1
            }
        },
        Err(problem) => crate::common::args::usage("b2p log-files", &problem, USAGE),
    }
}

fn serve(options: &Options) -> Result<()> {
    // First, so that a SIGTERM from here on ends the loop in order.
    let stop = Stop::new().doing("signalfd")?;
    let ring = Ring::open().on(ring::PATH)?;
    let warnings = ring::writer().on(ring::PATH)?;
    let (folder, size) = Folder::open(&options.dir, options.bounds).on(&options.dir)?;
    let boot = Boot::current();
    let next = format::next_seq(&format::oldest_first(&options.dir), &boot.id);
    let mut service = Service {
        ring,
        warnings,
        journal: Journal::new(folder, size, options.bounds, boot, next),
    };
    service.run(&stop);
    Ok(())
}

/// The kernel log, read and written, and the files.
#[derive(Debug)]
struct Service {
    ring: Ring,
    warnings: File,
    journal: Journal<Folder>,
}

/// State of the kernel log after a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Batch {
    /// There may be more records.
    More,
    /// Every record has been read.
    Drained,
    /// There will be no other record; the kernel's own log does not end.
    Ended,
}

impl Service {
    /// Keeps records until SIGTERM; then everything that was buffered is on the disk.
    fn run(&mut self, stop: &Stop) {
        while !stop.wait(self.ring.as_fd(), self.journal.deadline()) {
            if self.batch() == Batch::Ended {
                break;
            }
            if let Some(warning) = self.journal.tick(now()) {
                self.warn(&warning);
            }
        }
        for _ in 0..MAX_LAST_BATCHES {
            if self.batch() != Batch::More {
                break;
            }
        }
        if let Err(e) = self.journal.close(now()) {
            self.warn(&format!("the end of the log on disk is lost: {e}"));
        }
    }

    /// Takes at most [`BATCH`] records.
    fn batch(&mut self) -> Batch {
        let offset = clock::offset();
        for _ in 0..BATCH {
            match self.ring.read() {
                Next::Record(record) => self.journal.take(&record, offset, now()),
                Next::Again => {}
                Next::Nothing => return Batch::Drained,
                Next::End => return Batch::Ended,
            }
        }
        Batch::More
    }

    /// Writes a warning to the kernel log, with facility `syslog` so that
    /// [`journal`] knows it when it is read back.
    fn warn(&mut self, text: &str) {
        let number = Priority::of(SYSLOG, WARNING).number();
        let record = format!("<{number}>{}{text}\n", journal::WARNING_PREFIX);
        let _ = self.warnings.write(record.as_bytes());
    }
}

#[cfg(test)]
mod tests;
