// SPDX-License-Identifier: Apache-2.0
//! `b2p sshd`: listens for ssh and runs an sshd for each client, as inetd would.
//!
//! OpenSSH's own listener starts two processes, 1.4 MB, for each connection before a byte has
//! arrived. It can only refuse clients where there are many (`MaxStartups`), its owner among
//! them, and tells clients apart by nothing but the address. Here a connection that says nothing
//! costs a socket; [`admission`] decides who is served. A session with a login counts no longer.

mod admission;
mod exec;
mod limit;
mod listener;
mod login;
mod session;

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use signal_hook::consts::SIGCHLD;
use signal_hook::low_level::pipe;
use sys::clock::{Millis, now};
use sys::error::{Doing, Result};

pub use exec::exec_session;
pub use login::run_auth;

use admission::{LOGIN_GRACE, Limits, Step, Waiting};
use session::Session;

/// Connections that are accepted before others are looked at.
const MAX_ACCEPTS: usize = 64;
/// Time in milliseconds between two looks at the sessions while somebody waits: the kernel
/// reports neither a login nor a client that owes an answer.
const REVIEW: Millis = 100;
/// The client has closed its side (poll(2)); nix has no name for it.
const HANGUP: PollFlags = PollFlags::from_bits_retain(libc::POLLRDHUP);
/// Time in milliseconds between two looks at the sessions while all who wait are silent.
const REVIEW_SILENT: Millis = 500;
/// Newest waiting connections that are listened to all the time; the others are from review to
/// review, so that a flood costs little of the processor.
const HEARD_AT_ONCE: usize = 64;
/// Descriptors beside those of connections, and those of sessions while they start.
const SPARE_FILES: u64 = 256;

/// Serves until it is killed; sessions live on. Returns the exit status if it cannot.
pub fn main() -> i32 {
    match serve() {
        Ok(never) => match never {},
        Err(why) => {
            eprintln!("{why}");
            1
        }
    }
}

fn serve() -> Result<std::convert::Infallible> {
    // `pidof sshd` and ps(1) find it by the name that it stands in for.
    let _ = nix::sys::prctl::set_name(c"sshd");
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let limits = Limits::of_machine(listener::memory_mib(&meminfo), cpus);
    limit::raise(limits.waiting as u64 + SPARE_FILES).doing("limit of open files")?;
    let (children, on_end) = UnixStream::pair().doing("SIGCHLD")?;
    children.set_nonblocking(true).doing("SIGCHLD")?;
    pipe::register(SIGCHLD, on_end).doing("SIGCHLD")?;
    let mut gate = Gate {
        listeners: listener::open()?,
        children,
        limits,
        waiting: Vec::new(),
        sessions: Vec::new(),
        heard: 0,
        reviewed: 0,
        last_end: None,
        dropped: 0,
    };
    crate::common::notify::ready();
    loop {
        gate.wait();
        gate.turn(now());
    }
}

/// A connection that waits, and what the policy knows of it.
struct Connection {
    stream: TcpStream,
    facts: Waiting,
}

/// The listening sockets, and all connections without a login.
struct Gate {
    listeners: Vec<TcpListener>,
    /// Readable once a session has ended.
    children: UnixStream,
    limits: Limits,
    waiting: Vec<Connection>,
    sessions: Vec<Session>,
    /// Time at which all waiting connections were last listened to.
    heard: Millis,
    /// Time of the last look at the sessions.
    reviewed: Millis,
    last_end: Option<Millis>,
    /// Connections that were closed because too many waited.
    dropped: usize,
}

impl Gate {
    /// Sleeps until there is something to do. A connection that has spoken is watched for its
    /// end alone.
    fn wait(&mut self) {
        let listeners = self
            .listeners
            .iter()
            .map(|l| (l.as_fd(), PollFlags::POLLIN));
        let children = (self.children.as_fd(), PollFlags::POLLIN);
        let all_due =
            !self.waiting.is_empty() && now().saturating_sub(self.heard) >= self.interval();
        let first = match all_due {
            true => 0,
            false => self.waiting.len().saturating_sub(HEARD_AT_ONCE),
        };
        let waiting = self
            .waiting
            .iter()
            .skip(first)
            .map(|c| match c.facts.has_spoken {
                true => (c.stream.as_fd(), HANGUP),
                false => (c.stream.as_fd(), PollFlags::POLLIN | HANGUP),
            });
        let mut fds: Vec<PollFd<'_>> = listeners
            .chain([children])
            .chain(waiting)
            .map(|(fd, events)| PollFd::new(fd, events))
            .collect();
        let timeout = match self.waiting.is_empty() {
            true => PollTimeout::NONE,
            false => PollTimeout::from(self.interval() as u16),
        };
        let _ = poll(&mut fds, if all_due { PollTimeout::ZERO } else { timeout });
        let ready = fds
            .iter()
            .skip(self.listeners.len() + 1)
            .map(|fd| fd.any() == Some(true));
        let ready: Vec<bool> = ready.collect();
        let unheard = std::iter::repeat_n(false, first);
        let mut ready = unheard.chain(ready);
        if all_due {
            self.heard = now();
        }
        self.waiting.retain_mut(|connection| {
            let is_ready = ready.next().unwrap_or(false);
            !is_ready || connection.hear()
        });
    }

    /// Does everything that can be done without waiting.
    fn turn(&mut self, now: Millis) {
        let mut bytes = [0; 64];
        while std::io::Read::read(&mut self.children, &mut bytes).is_ok_and(|n| n > 0) {}
        self.reap();
        self.accept(now);
        self.waiting
            .retain(|c| c.facts.has_spoken || now.saturating_sub(c.facts.since) < LOGIN_GRACE);
        while self.waiting.len() > self.limits.waiting
            && let Some(index) = admission::surplus(&self.facts(), self.limits)
        {
            self.waiting.remove(index);
            self.dropped += 1;
            if self.dropped.is_power_of_two() {
                eprintln!(
                    "too many clients do not log in: {} dropped so far",
                    self.dropped
                );
            }
        }
        self.admit(now);
    }

    /// Forgets sessions that have ended, with a login or without.
    fn reap(&mut self) {
        while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            match status {
                WaitStatus::StillAlive => return,
                ended => {
                    let pid = ended.pid().map(nix::unistd::Pid::as_raw);
                    self.sessions.retain(|session| {
                        let has_ended = Some(session.pid) == pid;
                        if has_ended {
                            session.clear();
                        }
                        !has_ended
                    });
                }
            }
        }
    }

    fn accept(&mut self, now: Millis) {
        for listener in &self.listeners {
            for _ in 0..MAX_ACCEPTS {
                let (stream, address) = match listener.accept() {
                    Ok(accepted) => accepted,
                    Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                    Err(_) => continue, // The client has gone away.
                };
                let facts = Waiting {
                    source: address.ip().into(),
                    since: now,
                    has_spoken: false,
                    is_promised: false,
                };
                let mut connection = Connection { stream, facts };
                if connection.hear() {
                    self.waiting.push(connection);
                }
            }
        }
    }

    fn facts(&self) -> Vec<Waiting> {
        self.waiting.iter().map(|c| c.facts).collect()
    }

    /// Starts and ends sessions until nothing is to be done before the next event.
    fn admit(&mut self, now: Millis) {
        if self.waiting.is_empty() {
            return;
        }
        let is_crowded = self.sessions.len() >= self.limits.silent;
        if is_crowded && now.saturating_sub(self.reviewed) < self.interval() && !self.may_start() {
            return;
        }
        self.reviewed = now;
        let mut facts = Vec::new();
        self.sessions.retain(|session| {
            let reviewed = session.review();
            facts.extend(reviewed);
            reviewed.is_some()
        });
        loop {
            let step = admission::next(&self.facts(), &facts, self.limits, now, self.last_end);
            match step {
                None => return,
                Some(Step::Start(index)) => {
                    let Connection { stream, facts: of } = self.waiting.remove(index);
                    match Session::start(stream, of.source, now) {
                        Ok(session) => {
                            facts.extend(session.review());
                            self.sessions.push(session);
                        }
                        Err(why) => return eprintln!("{}: {why}", session::SSHD),
                    }
                }
                Some(Step::End { session, waiting }) => {
                    self.last_end = Some(now);
                    if let Some(connection) = self.waiting.get_mut(waiting) {
                        connection.facts.is_promised = true;
                    }
                    return if let Some(session) = self.sessions.get_mut(session) {
                        session.end();
                    };
                }
            }
        }
    }

    /// Returns the time between two reviews.
    fn interval(&self) -> Millis {
        match self.waiting.iter().any(|c| c.facts.has_spoken) {
            true => REVIEW,
            false => REVIEW_SILENT,
        }
    }

    /// Returns true if a client that has spoken finds a slot.
    fn may_start(&self) -> bool {
        self.sessions.len() < self.limits.sessions
            && self.waiting.iter().any(|c| c.facts.has_spoken)
    }
}

impl Connection {
    /// Looks whether a byte has arrived, and leaves it for sshd. Returns false if the client has
    /// gone away.
    fn hear(&mut self) -> bool {
        let mut byte = [0; 1];
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        match recv(self.stream.as_raw_fd(), &mut byte, flags) {
            Ok(0) => false,
            Ok(_) if self.facts.has_spoken => false, // Woken by its end.
            Ok(_) => {
                self.facts.has_spoken = true;
                true
            }
            Err(e) => e == Errno::EAGAIN || e == Errno::EINTR,
        }
    }
}
