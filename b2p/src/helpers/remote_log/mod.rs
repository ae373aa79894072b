// SPDX-License-Identifier: Apache-2.0
//! `b2p remote-log`, the service that sends the kernel log to a receiver of syslog where
//! `b2p.rsyslog=` names one (docs/reference/log.md).
//!
//! The kernel's ring is the only buffer: a record is read when the previous one has been sent. A
//! receiver that is slow or away therefore costs records, which are counted, and neither memory nor
//! the time of anything else in the machine.

mod connection;
pub mod rfc5424;

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use config::{LogReceiver, Transport};
use log::{error, info, warn};
use nix::poll::PollFlags;
use sys::clock::{Millis, now};
use sys::error::{Doing, Error, Result};
use sys::paths::REMOTE_LOG;

use crate::common::log::log_time;
use crate::common::log::record::{Record, number};
use crate::common::log::ring::{self, Next, Ring};
use crate::common::stop::{Source, Stop, poll_until};
use crate::common::token_bucket::TokenBucket;
use connection::Connection;

/// Name of the service, before each of its messages.
const NAME: &str = "remote-log";

/// Messages that are sent before SIGTERM is looked for again.
const BATCH: usize = 256;
/// Datagrams that are sent at once, and per second from then on. More than a few hundred at
/// once do not fit into the buffer of a receiver's socket (socket(7), `rmem_default`).
const BURST: u64 = 100;
const PER_SECOND: u64 = 500;
/// Shortest and longest pause after a failure, in milliseconds.
const RETRY: [Millis; 2] = [1_000, 60_000];
/// Age in milliseconds from which on a connection counts as good.
const STABLE: Millis = 60_000;
/// Time that is left for the last messages after SIGTERM, in milliseconds.
const DRAIN_TIMEOUT: Millis = 1_000;

/// Runs `b2p remote-log` and returns the exit status.
#[must_use]
pub fn main() -> i32 {
    let (config, _) = sys::config_sources::read();
    match config.rsyslog.map(serve) {
        Some(Ok(())) => 0,
        Some(Err(e)) => {
            error!("{NAME}: {e}");
            1
        }
        None => {
            error!("{NAME}: no receiver is configured (b2p.rsyslog=)");
            1
        }
    }
}

fn serve(receiver: LogReceiver) -> Result<()> {
    let stop = Stop::new().doing("signal handlers")?;
    let ring = Ring::open().on(ring::PATH)?;
    let position = Path::new(REMOTE_LOG);
    Forwarder::new(ring, receiver, position).run(&stop);
    Ok(())
}

/// A formatted message.
#[derive(Debug)]
struct Message {
    bytes: Vec<u8>,
    /// Sequence number after the record that the message is about.
    next: Option<u64>,
}

/// State of the kernel log on its way to the receiver.
#[derive(Debug)]
struct Forwarder<'a> {
    ring: Ring,
    receiver: LogReceiver,
    connection: Option<Connection>,
    /// Messages that have been read and not sent: at most a record and the count of lost records
    /// before it.
    queue: VecDeque<Message>,
    /// Sequence number after the last record that was read.
    next: u64,
    /// Sequence number after the last record that was sent.
    sent: u64,
    /// File that keeps `sent`, so that a second start in a boot continues there.
    position: &'a Path,
    pace: TokenBucket,
    /// Pause after the next failure.
    retry: Millis,
    retry_at: Millis,
    /// True if a failure was logged that may still last.
    failing: bool,
}

/// Reason to sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// Further records may be there.
    Nothing,
    /// Every record has been sent.
    Record,
    /// The connection takes no more for now.
    Connection,
    /// The rate is reached until then.
    Until(Millis),
    /// No further record ever; the kernel's own log does not end.
    End,
}

impl<'a> Forwarder<'a> {
    fn new(ring: Ring, receiver: LogReceiver, position: &'a Path) -> Forwarder<'a> {
        let stored = fs::read(position).unwrap_or_default();
        let next = number(stored.trim_ascii()).unwrap_or(0);
        Forwarder {
            ring,
            receiver,
            connection: None,
            queue: VecDeque::new(),
            next,
            sent: next,
            position,
            pace: TokenBucket::new(BURST, PER_SECOND),
            retry: RETRY[0],
            retry_at: 0,
            failing: false,
        }
    }

    /// Sends records until SIGTERM, then existing ones for a second.
    fn run(&mut self, stop: &Stop) {
        while !self.sleep(stop) {}
        self.finish();
        self.store_position();
    }

    /// Does the present work and sleeps until there is more; returns true at the end.
    fn sleep(&mut self, stop: &Stop) -> bool {
        let Some(connection) = &mut self.connection else {
            return stop.wait(&[], Some(self.retry_at)) || !self.connect(stop);
        };
        let result = connection.drain().and_then(|()| self.forward());
        let wait = result.unwrap_or_else(|e| {
            self.failed(&Error::from(e));
            Wait::Nothing
        });
        wait == Wait::End || stop.wait(&self.sources(wait), deadline(wait))
    }

    /// Returns the descriptors to poll besides the end.
    fn sources(&self, wait: Wait) -> Vec<Source<'_>> {
        let events = match wait {
            Wait::Connection => PollFlags::POLLIN | PollFlags::POLLOUT,
            _ => PollFlags::POLLIN,
        };
        let connection = self.connection.as_ref().map(|c| (c.as_fd(), events));
        let ring = (wait == Wait::Record).then(|| (self.ring.as_fd(), PollFlags::POLLIN));
        connection.into_iter().chain(ring).collect()
    }

    /// Connects, or sets the time of the next attempt; returns false if the process is to
    /// end. A name is resolved anew each time.
    fn connect(&mut self, stop: &Stop) -> bool {
        self.store_position();
        match stop.exit_during(|| connection::connect(&self.receiver)) {
            None => return false,
            Some(Err(e)) => self.failed(&e),
            Some(Ok(connection)) => {
                // A socket for datagrams reports nothing about the receiver.
                if self.receiver.transport == Transport::Tcp || !self.failing {
                    info!("{NAME}: sends to {}", connection.address);
                }
                self.connection = Some(connection);
            }
        }
        true
    }

    /// Gives the connection up and sets the time of the next attempt.
    fn failed(&mut self, e: &Error) {
        let connection = self.connection.take();
        if connection.is_some_and(|c| now().saturating_sub(c.since) >= STABLE) {
            (self.retry, self.failing) = (RETRY[0], false);
        }
        if !std::mem::replace(&mut self.failing, true) {
            let LogReceiver { host, port, .. } = &self.receiver;
            warn!("{NAME}: {host} port {port}: {e}; further attempts follow");
        }
        self.retry_at = now().saturating_add(self.retry);
        self.retry = (2 * self.retry).min(RETRY[1]);
    }

    /// Sends records until there is a reason to sleep.
    fn forward(&mut self) -> io::Result<Wait> {
        let (offset, host) = (log_time::realtime_offset_us(), host_name());
        for _ in 0..BATCH {
            if let Some(wait) = self.send_queue()? {
                return Ok(wait);
            }
            match self.ring.read() {
                Next::Record(record) => {
                    let next = &mut self.next;
                    self.queue.extend(messages(&record, next, offset, &host));
                }
                Next::Again => {}
                Next::Nothing => return Ok(Wait::Record),
                Next::End => return Ok(Wait::End),
            }
        }
        Ok(Wait::Nothing)
    }

    /// Sends the queue; returns the reason if messages are left.
    fn send_queue(&mut self) -> io::Result<Option<Wait>> {
        let Some(connection) = &mut self.connection else {
            return Ok(Some(Wait::Nothing));
        };
        let paced = self.receiver.transport == Transport::Udp;
        while let Some(message) = self.queue.front() {
            if paced && !self.pace.take(now()) {
                return Ok(Some(Wait::Until(now() + self.pace.wait())));
            }
            if !connection.send(&message.bytes)? {
                return Ok(Some(Wait::Connection));
            }
            self.sent = message.next.unwrap_or(self.sent);
            self.queue.pop_front();
        }
        Ok(None)
    }

    /// Sends the remaining records, for at most [`DRAIN_TIMEOUT`].
    fn finish(&mut self) {
        let end = now() + DRAIN_TIMEOUT;
        while self.connection.is_some() && now() < end {
            let wait = match self.forward() {
                Ok(Wait::Record | Wait::End) | Err(_) => return,
                Ok(wait) => wait,
            };
            let until = deadline(wait).map_or(end, |at| at.min(end));
            if poll_until(&self.sources(wait), Some(until)).is_err() {
                return;
            }
        }
    }

    /// Keeps the position for the next start in this boot.
    fn store_position(&self) {
        let text = format!("{}\n", self.sent);
        if let Err(e) = sys::files::replace(self.position, text.as_bytes(), 0o644) {
            warn!("{NAME}: {e}");
        }
    }
}

/// Returns when the sleep ends at the latest.
fn deadline(wait: Wait) -> Option<Millis> {
    match wait {
        Wait::Nothing | Wait::End => Some(0),
        Wait::Until(at) => Some(at),
        Wait::Record | Wait::Connection => None,
    }
}

/// Formats a record, after the count of lost records before it; none for a record that has been
/// sent. `next` is the sequence number that is expected.
fn messages(
    record: &Record<'_>,
    next: &mut u64,
    offset: i64,
    host: &[u8],
) -> impl Iterator<Item = Message> + use<> {
    let lost = record.seq.saturating_sub(*next);
    let lost = (lost > 0).then(|| Message {
        bytes: rfc5424::lost(lost, record.realtime(offset), host),
        next: None,
    });
    let message = (record.seq >= *next).then(|| Message {
        bytes: rfc5424::record(record, offset, host),
        next: Some(record.seq.saturating_add(1)),
    });
    *next = (*next).max(record.seq.saturating_add(1));
    lost.into_iter().chain(message)
}

fn host_name() -> Vec<u8> {
    let name = fs::read("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim_ascii().to_owned()
}

#[cfg(test)]
mod tests;
