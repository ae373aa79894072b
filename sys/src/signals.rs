// SPDX-License-Identifier: Apache-2.0
//! Signals as readable events.
//!
//! All signals are blocked, so that none interrupts anything, and read from a signalfd(2). The
//! exceptions are those that a fault of this process raises: see `init::crash`.

use std::os::fd::{AsFd, BorrowedFd};

use control::ShutdownKind;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::read;

/// Request of a signal to PID 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Children have ended and can be reaped.
    Reap,
    /// A shutdown of this kind.
    Shutdown(ShutdownKind),
    /// No request: any signal that [`SIGNAL_TABLE`] does not name.
    Nothing,
}

/// Meanings of signals, as in busybox and sysvinit (finit src/sig.c lists all dialects).
const SIGNAL_TABLE: &[(Signal, Request, &str)] = &[
    (Signal::SIGCHLD, Request::Reap, "waitid(2)"),
    (
        Signal::SIGINT,
        Request::Shutdown(ShutdownKind::Reboot),
        "Ctrl-Alt-Del (reboot(2), RB_DISABLE_CAD)",
    ),
    (
        Signal::SIGTERM,
        Request::Shutdown(ShutdownKind::Reboot),
        "busybox reboot",
    ),
    (
        Signal::SIGUSR1,
        Request::Shutdown(ShutdownKind::Halt),
        "busybox halt",
    ),
    (
        Signal::SIGUSR2,
        Request::Shutdown(ShutdownKind::PowerOff),
        "busybox poweroff; the contract's word",
    ),
    (
        Signal::SIGPWR,
        Request::Shutdown(ShutdownKind::PowerOff),
        "power failing; a container manager's stop",
    ),
];

/// Size in bytes of a record of a signalfd (signalfd(2), struct signalfd_siginfo).
const RECORD_BYTES: usize = size_of::<libc::signalfd_siginfo>();
/// Number of records that one read(2) returns at most.
const RECORDS_PER_READ: usize = 4;
/// Number of reads in a row at most.
const MAX_READS: usize = 32;

/// Signals that faults raise. A blocked one would kill PID 1 silently.
pub const FAULT_SIGNALS: &[Signal] = &[
    Signal::SIGFPE,
    Signal::SIGILL,
    Signal::SIGSEGV,
    Signal::SIGBUS,
    Signal::SIGABRT,
    Signal::SIGTRAP,
    Signal::SIGSYS,
];

/// The signalfd(2).
#[derive(Debug)]
pub struct Signals(SignalFd);

impl Signals {
    /// Blocks every signal but those of faults, and opens the descriptor.
    ///
    /// # Errors
    /// No descriptor or memory is left.
    pub fn block() -> nix::Result<Signals> {
        let mut set = SigSet::all();
        for fault in FAULT_SIGNALS {
            set.remove(*fault);
        }
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&set), None)?;
        SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).map(Signals)
    }

    /// Adds the requests since the last call to `all`; equal requests once.
    pub fn read_requests(&self, all: &mut Vec<Request>) {
        let mut records = [0; RECORD_BYTES * RECORDS_PER_READ];
        // The number is bounded: standard signals do not queue, real-time signals do.
        for _ in 0..MAX_READS {
            let length = read(&self.0, &mut records).unwrap_or(0);
            let whole = records.get(..length).unwrap_or_default();
            for record in whole.as_chunks::<RECORD_BYTES>().0 {
                let request = meaning(number(record));
                if !all.contains(&request) {
                    all.push(request);
                }
            }
            if length < records.len() {
                break;
            }
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Returns the number of the signal of a record, its first member.
fn number(record: &[u8]) -> u32 {
    record
        .first_chunk()
        .map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

fn meaning(number: u32) -> Request {
    let is = |s: &Signal| u32::try_from(*s as i32) == Ok(number);
    SIGNAL_TABLE
        .iter()
        .find(|(s, ..)| is(s))
        .map_or(Request::Nothing, |(_, r, _)| *r)
}

/// Returns the signal that requests `kind`.
#[must_use]
pub fn signal_for(kind: ShutdownKind) -> Option<Signal> {
    SIGNAL_TABLE
        .iter()
        .rev()
        .find(|(_, r, _)| *r == Request::Shutdown(kind))
        .map(|(s, ..)| *s)
}

/// Returns the signals that request a shutdown, each with its kind.
pub fn shutdown_signals() -> impl Iterator<Item = (Signal, ShutdownKind)> {
    SIGNAL_TABLE
        .iter()
        .filter_map(|(signal, request, _)| match request {
            Request::Shutdown(kind) => Some((*signal, *kind)),
            Request::Reap | Request::Nothing => None,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_other_signal_means_nothing() {
        let named = |n: &u32| SIGNAL_TABLE.iter().any(|(s, ..)| *s as i32 as u32 == *n);
        for number in (0..=200).filter(|n| !named(n)) {
            assert_eq!(meaning(number), Request::Nothing, "{number}");
        }
        assert_eq!(meaning(12), Request::Shutdown(ShutdownKind::PowerOff));
    }

    #[test]
    fn signal_for_is_the_inverse_of_meaning() {
        for kind in ShutdownKind::ALL {
            let signal = signal_for(kind).map(|s| s as i32 as u32);
            assert_eq!(signal.map(meaning), Some(Request::Shutdown(kind)));
        }
    }
}
