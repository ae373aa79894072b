// SPDX-License-Identifier: Apache-2.0
//! Orderly end of a helper at SIGTERM, and the sleep until there is work.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level::pipe};
use sys::clock::{Millis, now};

/// Longest sleep, in milliseconds, which fits into poll(2)'s timeout.
const MAX_SLEEP: u64 = 3_600_000;

/// A descriptor, and the awaited events.
pub type Source<'a> = (BorrowedFd<'a>, PollFlags);

/// Request to end: SIGTERM or SIGINT, which from now on no longer kill the process.
#[derive(Debug)]
pub struct Stop {
    /// Readable once a signal has arrived.
    arrived: UnixStream,
    /// True while a signal ends the process at once.
    exit_at_once: Arc<AtomicBool>,
}

impl Stop {
    /// Installs the handlers.
    ///
    /// # Errors
    /// The errno of socketpair(2) or sigaction(2).
    pub fn new() -> io::Result<Stop> {
        let (arrived, write) = UnixStream::pair()?;
        let exit_at_once = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT] {
            flag::register_conditional_shutdown(signal, 0, Arc::clone(&exit_at_once))?;
            pipe::register(signal, write.try_clone()?)?;
        }
        Ok(Stop {
            arrived,
            exit_at_once,
        })
    }

    /// Sleeps until a source is ready, `deadline` has passed or the process is to end;
    /// returns true in the last case, and when poll(2) fails.
    #[must_use]
    pub fn wait(&self, sources: &[Source<'_>], deadline: Option<Millis>) -> bool {
        let arrived = (self.arrived.as_fd(), PollFlags::POLLIN);
        let sources: Vec<Source<'_>> = [&[arrived], sources].concat();
        match poll_until(&sources, deadline) {
            Ok(ready) => ready,
            Err(e) => e != Errno::EINTR,
        }
    }

    /// Runs a step that may take long and holds no state that is worth keeping: a signal during the
    /// step ends the process, with exit status 0. Returns `None` if a signal has arrived before.
    pub fn exit_during<T>(&self, step: impl FnOnce() -> T) -> Option<T> {
        self.exit_at_once.store(true, Ordering::SeqCst);
        let result = (!self.wait(&[], Some(0))).then(step);
        self.exit_at_once.store(false, Ordering::SeqCst);
        result
    }
}

/// Sleeps until a source is ready or `deadline` has passed; returns true if the first source
/// is ready.
///
/// # Errors
/// The errno of poll(2), EINTR included.
pub fn poll_until(sources: &[Source<'_>], deadline: Option<Millis>) -> nix::Result<bool> {
    let timeout = deadline.map_or(PollTimeout::NONE, |at| {
        let ms = at.saturating_sub(now()).min(MAX_SLEEP);
        PollTimeout::try_from(ms as i32).unwrap_or(PollTimeout::ZERO)
    });
    let mut fds: Vec<PollFd<'_>> = sources
        .iter()
        .map(|(fd, events)| PollFd::new(*fd, *events))
        .collect();
    poll(&mut fds, timeout)?;
    Ok(fds.first().and_then(PollFd::any).unwrap_or(false))
}
