// SPDX-License-Identifier: Apache-2.0
//! `b2p log-files DIR`, the service that keeps the kernel log in files of a directory
//! (docs/reference/log.md). One thread, one poll(2), and nothing that waits but the disk.

mod files;
mod journal;
mod options;

use std::os::fd::AsFd;

use log::{error, warn};
use nix::poll::PollFlags;
use sys::clock::now;
use sys::error::{Doing, Result};

use crate::common::log::ring::{self, Next, Ring};
use crate::common::log::{Boot, format, log_time};
use crate::common::stop::Stop;
use files::Folder;
use journal::Journal;
use options::{Options, USAGE};

/// Name of the service, before each of its messages.
const NAME: &str = "log-files";

/// Records that are taken before SIGTERM is looked for again.
const BATCH: usize = 256;
/// Batches that are taken after SIGTERM.
const MAX_LAST_BATCHES: usize = 256;

/// Runs `b2p log-files …` and returns the exit status.
#[must_use]
pub fn main(args: &[String]) -> i32 {
    match Options::parse(args) {
        Ok(options) => match serve(&options) {
            Ok(()) => 0,
            Err(e) => {
                error!("{NAME}: the log is not kept: {e}");
                1
            }
        },
        Err(problem) => crate::common::args::usage("b2p log-files", &problem, USAGE),
    }
}

fn serve(options: &Options) -> Result<()> {
    // First, so that a SIGTERM from here on ends the loop in order.
    let stop = Stop::new().doing("signal handlers")?;
    let ring = Ring::open().on(ring::PATH)?;
    let (folder, size) = Folder::open(&options.dir, options.bounds).on(&options.dir)?;
    let boot = Boot::current();
    let next = format::next_seq(&format::oldest_first(&options.dir), &boot.id);
    let mut service = Service {
        ring,
        journal: Journal::new(folder, size, options.bounds, boot, next),
    };
    service.run(&stop);
    Ok(())
}

/// The kernel log and the files.
#[derive(Debug)]
struct Service {
    ring: Ring,
    journal: Journal<Folder>,
}

/// State of the kernel log after a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Batch {
    /// Further records may be there.
    More,
    /// Every record has been read.
    Drained,
    /// No further record ever; the kernel's own log does not end.
    Ended,
}

impl Service {
    /// Keeps records until SIGTERM; then everything that was buffered is on the disk.
    fn run(&mut self, stop: &Stop) {
        while !stop.wait(
            &[(self.ring.as_fd(), PollFlags::POLLIN)],
            self.journal.deadline(),
        ) {
            if self.batch() == Batch::Ended {
                break;
            }
            if let Some(warning) = self.journal.tick(now()) {
                warn!("{NAME}: {warning}");
            }
        }
        for _ in 0..MAX_LAST_BATCHES {
            if self.batch() != Batch::More {
                break;
            }
        }
        if let Err(e) = self.journal.close(now()) {
            warn!("{NAME}: the end of the log on disk is lost: {e}");
        }
    }

    /// Takes at most [`BATCH`] records.
    fn batch(&mut self) -> Batch {
        let offset = log_time::realtime_offset_us();
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
}

#[cfg(test)]
mod tests;
