//! The descriptors between PID 1 and one service, and what is heard on them.
//! Every read is of bounded length, and none waits.

use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{pipe2, read};

use crate::line_splitter::Lines;
use crate::manager::Sink;
use crate::rate_limit::Rate;
use crate::spawn::Failure;
use crate::{Millis, Pid, sooner};

/// So long one that says too much is not listened to: each time costs PID 1 a
/// wake-up, and it the wait for room in its pipe.
const DEAF_MS: Millis = 10;
/// And so many buffers are taken from it then; together a whole pipe (pipe(7)).
const BUFFERS: usize = 16;
const BUFFER: usize = 4_096;
/// Readiness is one byte. Who writes this often and no newline means something else.
const READY_READS: u8 = 16;

/// What a child said between fork and exec.
pub(crate) enum Word {
    /// Nothing yet.
    Nothing,
    /// Its program runs (or it has ended: see the order of events).
    Runs,
    /// Steps that went wrong: at most the cgroup's, and one more.
    Failed([Option<Failure>; 2]),
}

/// Descriptors of one service.
#[derive(Debug, Default)]
pub(crate) struct ServiceIo {
    pub(crate) listen: Option<OwnedFd>,
    pub(crate) watched: bool,
    /// Both ends are kept: one pipe for all of its lives, so that what its
    /// children keep open after it costs no further descriptor.
    pub(crate) output: Option<(OwnedFd, OwnedFd)>,
    lines: Lines,
    pub(crate) rate: Rate,
    /// Its output is not listened to before that.
    deaf_until: Option<Millis>,
    /// The child that `failure` and `ready` come from.
    pub(crate) pid: Pid,
    pub(crate) failure: Option<OwnedFd>,
    pub(crate) ready: Option<OwnedFd>,
    ready_reads: u8,
}

impl ServiceIo {
    /// The end of the output pipe that is listened to now.
    pub(crate) fn heard(&self) -> Option<&OwnedFd> {
        let output = self.output.as_ref().filter(|_| self.deaf_until.is_none());
        output.map(|(ours, _)| ours)
    }

    /// A new child's.
    pub(crate) fn attach(&mut self, pid: Pid, failure: OwnedFd, ready: Option<OwnedFd>) {
        self.pid = pid;
        self.failure = Some(failure);
        self.ready = ready;
        self.ready_reads = 0;
    }

    /// Its output is readable. One buffer a turn; from one that says too much a
    /// pipe full, and then nothing for a while.
    pub(crate) fn hear(&mut self, now: Millis, name: &str, sink: Sink) {
        let buffers = if self.rate.over() { BUFFERS } else { 1 };
        let some = self.take(buffers, now, name, sink);
        let deaf = some && self.rate.over();
        self.deaf_until = deaf.then(|| now.saturating_add(DEAF_MS));
    }

    /// What is left when it has ended, and a last line without its newline.
    pub(crate) fn last_words(&mut self, now: Millis, name: &str, sink: Sink) {
        self.take(BUFFERS, now, name, sink);
        let ServiceIo { lines, rate, .. } = self;
        lines.flush(|line| {
            say(rate, now, name, line, sink);
        });
    }

    /// Hands on up to so many buffers; `false` if there was nothing.
    fn take(&mut self, buffers: usize, now: Millis, name: &str, sink: Sink) -> bool {
        let Some((end, _)) = &self.output else {
            return false;
        };
        let mut some = false;
        let mut bytes = [0u8; BUFFER];
        for _ in 0..buffers {
            let Ok(n @ 1..) = read(end, &mut bytes) else {
                break;
            };
            some = true;
            let rate = &mut self.rate;
            self.lines.feed(bytes.get(..n).unwrap_or(&[]), |line| {
                say(rate, now, name, line, sink);
            });
        }
        some
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Millis, name: &str, sink: Sink) {
        if let Some(count) = self.rate.report(now) {
            sink(name, format!("{count} lines dropped").as_bytes());
        }
        if self.deaf_until.is_some_and(|at| at <= now) {
            self.hear(now, name, sink);
        }
    }

    /// When [`ServiceIo::tick`] has something to do. None while a service is within
    /// its budget.
    pub(crate) fn deadline(&self) -> Option<Millis> {
        sooner(self.deaf_until, self.rate.deadline())
    }

    /// What its child says of its steps before exec.
    pub(crate) fn word(&mut self) -> Word {
        let Some(end) = &self.failure else {
            return Word::Nothing;
        };
        let mut bytes = [0u8; 2 * Failure::LENGTH];
        let n = match read(end, &mut bytes) {
            Err(Errno::EAGAIN | Errno::EINTR) => return Word::Nothing,
            Err(_) | Ok(0) => {
                self.failure = None;
                return Word::Runs;
            }
            Ok(n) => n,
        };
        // A record is written at once, so there are only whole ones (pipe(7)).
        let mut records = bytes.get(..n).unwrap_or(&[]).chunks(Failure::LENGTH);
        let failed = [(); 2].map(|()| records.next().and_then(Failure::read));
        if failed.iter().flatten().any(|f| f.fatal()) {
            self.failure = None;
        }
        Word::Failed(failed)
    }

    /// Whether it has just said that it is ready, by a newline.
    pub(crate) fn says_ready(&mut self) -> bool {
        let Some(end) = &self.ready else { return false };
        let mut bytes = [0u8; 64];
        let said = match read(end, &mut bytes) {
            Err(Errno::EAGAIN | Errno::EINTR) => return false,
            Err(_) | Ok(0) => None,
            Ok(n) => bytes.get(..n),
        };
        self.ready_reads = self.ready_reads.saturating_add(1);
        let ready = said.is_some_and(|b| b.contains(&b'\n'));
        if ready || said.is_none() || self.ready_reads >= READY_READS {
            self.ready = None;
        }
        ready
    }
}

/// An empty line costs as much as another, and says nothing.
fn say(rate: &mut Rate, now: Millis, name: &str, line: &[u8], sink: Sink) {
    if rate.pass(now) && !line.is_empty() {
        sink(name, line);
    }
}

/// A pipe of which only our end is non-blocking: a program is not prepared for
/// EAGAIN on its standard output. One that floods waits for us, never we for it.
pub(crate) fn pipe() -> nix::Result<(OwnedFd, OwnedFd)> {
    let (ours, theirs) = pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&ours, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((ours, theirs))
}
