// SPDX-License-Identifier: Apache-2.0
//! Orderly end of a helper at SIGTERM, and the sleep until there is work.

use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use sys::clock::{Millis, now};

/// Longest sleep, in milliseconds: what fits into poll(2)'s timeout.
const MAX_SLEEP: u64 = 3_600_000;

/// Descriptor that is readable once SIGTERM or SIGINT has arrived.
#[derive(Debug)]
pub struct Stop(SignalFd);

impl Stop {
    /// Blocks SIGTERM and SIGINT and opens the descriptor that reports them.
    ///
    /// # Errors
    /// The errno of sigprocmask(2) or signalfd(2).
    pub fn new() -> nix::Result<Stop> {
        let mut set = SigSet::empty();
        set.add(Signal::SIGTERM);
        set.add(Signal::SIGINT);
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None)?;
        SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).map(Stop)
    }

    /// Sleeps until `fd` is readable, `deadline` has passed or the process is to end;
    /// returns true in the last case, and when poll(2) fails.
    #[must_use]
    pub fn wait(&self, fd: BorrowedFd<'_>, deadline: Option<Millis>) -> bool {
        let timeout = deadline.map_or(PollTimeout::NONE, |at| {
            let ms = at.saturating_sub(now()).min(MAX_SLEEP);
            PollTimeout::try_from(ms as i32).unwrap_or(PollTimeout::ZERO)
        });
        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut fds = [readable(self.0.as_fd()), readable(fd)];
        match poll(&mut fds, timeout) {
            Ok(_) => fds[0].any().unwrap_or(false),
            Err(e) => e != Errno::EINTR,
        }
    }
}
