//! The loop of `b2p syslog`: one thread, one poll(2), nothing that waits.

use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixAddr, recvmsg, setsockopt, sockopt};

use sys::clock::now;

use super::clock;
use super::files::Folder;
use super::journal::Journal;
use super::relay::{Relay, Sender};
use super::ring::{Next, Ring};

/// How much one end may take before the others are looked at.
const BATCH: usize = 256;
/// How many such there may be at the end.
const LAST: usize = 256;

/// What the loop reads and writes.
#[derive(Debug)]
pub struct Keep<'a> {
    /// Readable when it is to end.
    pub stop: BorrowedFd<'a>,
    /// `/dev/log`, a datagram socket.
    pub socket: Option<OwnedFd>,
    /// The kernel log, writing.
    pub relay: Relay,
    /// The kernel log, reading, and where it is kept.
    pub kept: Option<(Ring, Journal<Folder>)>,
}

impl Keep<'_> {
    /// Runs until it is told to stop; what is buffered is on the disk then.
    pub fn run(&mut self) -> i32 {
        if let Some(socket) = &self.socket {
            // Where PID 1 has not: who sends is then known from the next on.
            let _ = setsockopt(socket, sockopt::PassCred, &true);
        }
        while !self.wait() {
            self.messages();
            self.records();
            self.ticks();
        }
        self.end()
    }

    /// Sleeps until there is something to do; whether it is to end.
    fn wait(&self) -> bool {
        let due = |(_, j): &(Ring, Journal<_>)| j.deadline();
        let deadlines = [self.relay.deadline(), self.kept.as_ref().and_then(due)];
        let timeout = deadlines
            .into_iter()
            .flatten()
            .min()
            .map_or(PollTimeout::NONE, |at| {
                let ms = at.saturating_sub(now()).min(3_600_000);
                PollTimeout::try_from(ms as i32).unwrap_or(PollTimeout::ZERO)
            });
        let read = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut fds = vec![read(self.stop)];
        fds.extend(self.socket.as_ref().map(|s| read(s.as_fd())));
        fds.extend(self.kept.as_ref().map(|(ring, _)| read(ring.as_fd())));
        match poll(&mut fds, timeout) {
            Ok(_) => fds.first().and_then(PollFd::any).unwrap_or(false),
            Err(e) => e != Errno::EINTR,
        }
    }

    /// Passes on what programs have sent; whether there may be more.
    fn messages(&mut self) -> bool {
        let Some(socket) = &self.socket else {
            return false;
        };
        let mut bytes = [0; 8192];
        let mut control = nix::cmsg_space!(nix::sys::socket::UnixCredentials);
        for _ in 0..BATCH {
            let Some((length, sender)) = receive(socket, &mut bytes, &mut control) else {
                return false;
            };
            let datagram = bytes.get(..length).unwrap_or(&[]);
            self.relay.take(datagram, sender, now());
        }
        true
    }

    /// Keeps what is new in the kernel log; whether there may be more.
    fn records(&mut self) -> bool {
        let Some((ring, journal)) = &mut self.kept else {
            return false;
        };
        let offset = clock::offset();
        for _ in 0..BATCH {
            match ring.next() {
                Next::Record(record) => journal.take(&record, offset, now()),
                Next::Again => {}
                Next::Nothing => return false,
                Next::End => {
                    let _ = journal.close(now());
                    self.kept = None;
                    return false;
                }
            }
        }
        true
    }

    fn ticks(&mut self) {
        self.relay.tick(now());
        let warning = self.kept.as_mut().and_then(|(_, j)| j.tick(now()));
        if let Some(text) = warning {
            self.relay.say(4, &text);
        }
    }

    /// What was sent before we were told to stop is still heard.
    fn end(&mut self) -> i32 {
        for _ in 0..LAST {
            if !self.messages() {
                break;
            }
        }
        self.relay.report();
        for _ in 0..LAST {
            if !self.records() {
                break;
            }
        }
        let closed = self.kept.as_mut().map_or(Ok(()), |(_, j)| j.close(now()));
        if let Err(e) = closed {
            self.relay
                .say(4, &format!("the end of the log on disk is lost: {e}"));
        }
        0
    }
}

/// One datagram, cut if longer than `bytes`. Descriptors that come with it are
/// closed by the kernel: `control` has no room for them.
fn receive(socket: &OwnedFd, bytes: &mut [u8], control: &mut [u8]) -> Option<(usize, Sender)> {
    let mut iov = [IoSliceMut::new(bytes)];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let got = loop {
        match recvmsg::<UnixAddr>(socket.as_raw_fd(), &mut iov, Some(control), flags) {
            Err(Errno::EINTR) => {}
            other => break other.ok()?,
        }
    };
    let sender = got.cmsgs().ok().and_then(|mut all| {
        all.find_map(|c| match c {
            ControlMessageOwned::ScmCredentials(c) => Some(Sender {
                pid: u32::try_from(c.pid()).unwrap_or(0),
                root: c.uid() == 0,
            }),
            _ => None,
        })
    });
    Some((got.bytes, sender.unwrap_or_default()))
}

#[cfg(test)]
mod tests;
