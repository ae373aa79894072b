// SPDX-License-Identifier: Apache-2.0
//! Descriptors between PID 1 and one service, and the data that is read from them. Each read has a bounded
//! length, and does not block.

use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{pipe2, read};
use sys::error::{Doing, Result};

use crate::line_splitter::LineSplitter;
use crate::rate_limit::RateLimit;
use crate::spawn::{Failure, MAX_FAILURES};
use crate::{Millis, Pid, sooner};

/// Receiver of the output of services: name of the service, and one line.
pub type Sink = fn(&str, &[u8]);

/// Time in milliseconds for which the output of a service that exceeds its rate is left unread:
/// the service blocks on its full pipe instead of waking PID 1 for every write.
const UNREAD_MS: Millis = 10;
/// Size of a read buffer in bytes.
const BUFFER_BYTES: usize = 4_096;
/// Number of buffers that are read after that time: together the size of a pipe (pipe(7)).
const PIPE_BUFFERS: usize = 16;
/// Number of reads without a newline after which the readiness descriptor is closed: readiness
/// is one byte, and a service that writes more uses the descriptor for another purpose.
const MAX_READY_READS: u8 = 16;

/// Content of the pipe for failed steps before execve(2).
pub(crate) enum StartFailures {
    /// The pipe is empty.
    Pending,
    /// The pipe is closed: the program runs, or the process has ended.
    Closed,
    /// Steps that failed.
    Read([Option<Failure>; MAX_FAILURES]),
}

/// Descriptors of one service.
#[derive(Debug, Default)]
pub(crate) struct ServiceIo {
    /// The bound socket that the service is given.
    pub(crate) listen: Option<OwnedFd>,
    /// A connection to `listen` is to start the service.
    pub(crate) watched: bool,
    /// Read end and write end of the output pipe. PID 1 keeps both: one pipe serves all
    /// processes of the service, so remaining processes cost no further descriptor.
    pub(crate) output: Option<(OwnedFd, OwnedFd)>,
    lines: LineSplitter,
    rate: RateLimit,
    /// Time before which the output is not read.
    unread_until: Option<Millis>,
    /// The process that writes to `start_failures` and `ready`.
    pub(crate) pid: Pid,
    /// Read end of the pipe for failed steps before execve(2).
    pub(crate) start_failures: Option<OwnedFd>,
    /// Read end of the pipe for readiness.
    pub(crate) ready: Option<OwnedFd>,
    ready_reads: u8,
}

impl ServiceIo {
    /// The listening socket, if a connection is to start the service.
    pub(crate) fn watched_socket(&self) -> Option<&OwnedFd> {
        self.listen.as_ref().filter(|_| self.watched)
    }

    /// The read end of the output pipe, unless PID 1 leaves the pipe unread now.
    pub(crate) fn watched_output(&self) -> Option<&OwnedFd> {
        let output = self.output.as_ref();
        let output = output.filter(|_| self.unread_until.is_none());
        output.map(|(read, _)| read)
    }

    /// Returns the socket, which is no longer watched, for `sys::syscall::close_in_child`.
    pub(crate) fn take_socket(&mut self) -> Option<OwnedFd> {
        self.watched = false;
        self.listen.take()
    }

    /// Takes the descriptors of a new process.
    pub(crate) fn attach(&mut self, pid: Pid, start_failures: OwnedFd, ready: Option<OwnedFd>) {
        self.pid = pid;
        self.start_failures = Some(start_failures);
        self.ready = ready;
        self.ready_reads = 0;
    }

    /// Takes the descriptors of a process that the previous execution of PID 1 started.
    pub(crate) fn take_over(
        &mut self,
        pid: Pid,
        output: Option<(OwnedFd, OwnedFd)>,
        ready: Option<OwnedFd>,
    ) {
        self.pid = pid;
        self.output = output;
        self.ready = ready;
    }

    /// Reads output: one buffer, or a whole pipe from a service that exceeds its rate, whose
    /// output is then left unread for a while.
    pub(crate) fn read_output(&mut self, now: Millis, name: &str, sink: Sink) {
        let buffers = if self.rate.exceeded() {
            PIPE_BUFFERS
        } else {
            1
        };
        let any = self.read_buffers(buffers, now, name, sink);
        let pause = any && self.rate.exceeded();
        self.unread_until = pause.then(|| now.saturating_add(UNREAD_MS));
    }

    /// Reads the output that is left after the end of a process, and its last line if the
    /// newline is missing.
    pub(crate) fn drain_output(&mut self, now: Millis, name: &str, sink: Sink) {
        self.read_buffers(PIPE_BUFFERS, now, name, sink);
        let ServiceIo { lines, rate, .. } = self;
        lines.flush(|line| log_within(rate, now, name, line, sink));
    }

    /// Reads up to `buffers` buffers of output. Returns false if there was none.
    fn read_buffers(&mut self, buffers: usize, now: Millis, name: &str, sink: Sink) -> bool {
        let Some((end, _)) = &self.output else {
            return false;
        };
        let mut any = false;
        let mut bytes = [0u8; BUFFER_BYTES];
        for _ in 0..buffers {
            let Ok(n @ 1..) = read(end, &mut bytes) else {
                break;
            };
            any = true;
            let rate = &mut self.rate;
            self.lines.feed(bytes.get(..n).unwrap_or(&[]), |line| {
                log_within(rate, now, name, line, sink);
            });
        }
        any
    }

    /// Logs one line, within the rate limit.
    pub(crate) fn log_line(&mut self, now: Millis, name: &str, line: &[u8], sink: Sink) {
        log_within(&mut self.rate, now, name, line, sink);
    }

    /// Reports dropped lines, and reads output whose time to be left unread is over.
    pub(crate) fn tick(&mut self, now: Millis, name: &str, sink: Sink) {
        if let Some(count) = self.rate.take_dropped(now) {
            sink(name, format!("{count} lines dropped").as_bytes());
        }
        if self.unread_until.is_some_and(|at| at <= now) {
            self.read_output(now, name, sink);
        }
    }

    /// Time at which [`ServiceIo::tick`] has work; `None` for a service within its rate.
    pub(crate) fn deadline(&self) -> Option<Millis> {
        sooner(self.unread_until, self.rate.deadline())
    }

    /// Reads the failed steps of a child before execve(2).
    pub(crate) fn read_start_failures(&mut self) -> StartFailures {
        let Some(end) = &self.start_failures else {
            return StartFailures::Pending;
        };
        let mut bytes = [0u8; MAX_FAILURES * Failure::LENGTH];
        let n = match read(end, &mut bytes) {
            Err(Errno::EAGAIN | Errno::EINTR) => return StartFailures::Pending,
            Err(_) | Ok(0) => {
                self.start_failures = None;
                return StartFailures::Closed;
            }
            Ok(n) => n,
        };
        // Each record is written by one write(2), so only whole records are read (pipe(7)).
        let mut records = bytes.get(..n).unwrap_or(&[]).chunks(Failure::LENGTH);
        let failures = [(); MAX_FAILURES].map(|()| records.next().and_then(Failure::read));
        if failures.iter().flatten().any(|f| f.fatal()) {
            self.start_failures = None;
        }
        StartFailures::Read(failures)
    }

    /// Reads the readiness descriptor. Returns the process if the process wrote a newline.
    pub(crate) fn read_ready(&mut self) -> Option<Pid> {
        let end = self.ready.as_ref()?;
        let mut bytes = [0u8; 64];
        let written = match read(end, &mut bytes) {
            Err(Errno::EAGAIN | Errno::EINTR) => return None,
            Err(_) | Ok(0) => None,
            Ok(n) => bytes.get(..n),
        };
        self.ready_reads = self.ready_reads.saturating_add(1);
        let ready = written.is_some_and(|b| b.contains(&b'\n'));
        if ready || written.is_none() || self.ready_reads >= MAX_READY_READS {
            self.ready = None;
        }
        ready.then_some(self.pid)
    }
}

/// Passes a line to `sink` within the rate limit. An empty line costs as much as another, and is
/// not logged.
fn log_within(rate: &mut RateLimit, now: Millis, name: &str, line: &[u8], sink: Sink) {
    if rate.pass(now) && !line.is_empty() {
        sink(name, line);
    }
}

/// Creates a pipe of which only the read end is non-blocking: programs do not expect EAGAIN on
/// their standard output. A service that floods waits for PID 1, never the other way round.
///
/// # Errors
/// pipe2(2) or fcntl(2) fails: too many files are open.
pub(crate) fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC).doing("pipe")?;
    fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).doing("pipe")?;
    Ok((read, write))
}
