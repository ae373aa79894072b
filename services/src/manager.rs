// SPDX-License-Identifier: Apache-2.0
//! Descriptors, processes and cgroups of the services, under the supervisor's control.
//!
//! The manager works in the supervisor's two steps. [`Manager::readable`], [`Manager::exited`],
//! [`Manager::tick`] and [`Manager::note`] record events; [`Manager::settle`] starts and stops
//! services. A caller that reacts to changes runs this loop:
//!
//! ```text
//! loop {
//!     loop {
//!         for change in manager.take_changes() { react }
//!         if !manager.settle(now) { break }
//!     }
//!     poll(manager.watched(), manager.deadline());
//!     for each readable token: manager.readable(now, token);
//!     for each ended process:  manager.exited(now, pid, status);
//!     manager.tick(now);
//! }
//! ```
//!
//! A caller without reactions calls [`Manager::settle_all`] in place of the inner loop.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use log::{debug, error, info, warn};

use crate::notify::Notify;
use crate::service::{ReadyWhen, ServiceDef};
pub use crate::service_io::Sink;
use crate::service_io::{ServiceIo, StartFailures};
use crate::spawn::MAX_FAILURES;
use crate::state::{Action, Change, Input, ServiceId, State};
use crate::supervisor::Supervisor;
use crate::{ExitStatus, Millis, Pid, sooner};

mod actions;
mod definitions;
mod recovery;

pub use definitions::LoadError;
pub use recovery::InheritedPipes;

/// Number of datagrams that one readable notify socket may deliver: a sender that floods waits
/// for the next poll(2).
const MAX_NOTIFICATIONS: usize = 64;

/// Descriptor that poll(2) watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// The notify socket.
    Notify,
    /// The listening socket of an armed service.
    Listen(ServiceId),
    /// The output of a service.
    Output(ServiceId),
    /// The pipe for failed steps of a child before execve(2).
    StartFailures(ServiceId),
    /// The descriptor by which a service notifies PID 1 that it is ready (s6's `notification-fd`).
    Ready(ServiceId),
}

/// The supervisor with the descriptors and processes of its services.
#[derive(Debug)]
pub struct Manager {
    supervisor: Supervisor,
    /// Descriptors of each service, by its index.
    io: Vec<ServiceIo>,
    notify: Option<Notify>,
    /// Directory in which each service has its cgroup.
    cgroups: Option<PathBuf>,
    sink: Sink,
    /// Changes that the caller has not taken yet.
    changes: Vec<Change>,
    /// The listening sockets are closed for good.
    sockets_closed: bool,
}

impl Manager {
    /// Creates a manager of `definitions`; every service is off. `cgroups` is the directory in which each service gets
    /// its cgroup.
    pub fn new(definitions: Vec<ServiceDef>, cgroups: Option<&Path>, sink: Sink) -> Manager {
        Manager {
            io: definitions.iter().map(|_| ServiceIo::default()).collect(),
            supervisor: Supervisor::new(definitions),
            notify: None,
            cgroups: cgroups.map(Path::to_path_buf),
            sink,
            changes: Vec::new(),
            sockets_closed: false,
        }
    }

    /// Returns the state machine that starts and stops services. Inputs reach the state machine by
    /// [`Manager::note`].
    #[must_use]
    pub fn supervisor(&self) -> &Supervisor {
        &self.supervisor
    }

    /// Settles, and returns the actions without carrying them out: tests without processes note the
    /// outcome themselves.
    #[doc(hidden)]
    pub fn decide(&mut self, now: Millis) -> Vec<Action> {
        self.supervisor.settle(now)
    }

    /// Descriptors that poll(2) is to watch for input.
    #[must_use]
    pub fn watched(&self) -> Vec<(Token, BorrowedFd<'_>)> {
        let mut watched = Vec::with_capacity(self.io.len() * 2 + 1);
        let notify = self.notify.iter().filter(|n| n.can_receive());
        watched.extend(notify.map(|n| (Token::Notify, n.as_fd())));
        for id in self.supervisor.ids() {
            let Some(io) = self.io.get(id.index()) else {
                continue;
            };
            let descriptors = [
                (Token::Listen(id), io.watched_socket()),
                (Token::Output(id), io.watched_output()),
                (Token::StartFailures(id), io.start_failures.as_ref()),
                (Token::Ready(id), io.ready.as_ref()),
            ];
            let open = descriptors.into_iter();
            watched.extend(open.filter_map(|(token, fd)| Some((token, fd?.as_fd()))));
        }
        watched
    }

    /// Time at which [`Manager::tick`] is due, if there is a deadline.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        let notify = self.notify.as_ref().and_then(Notify::deadline);
        let first = sooner(self.supervisor.deadline(), notify);
        self.io.iter().map(ServiceIo::deadline).fold(first, sooner)
    }

    /// Records a request or an observation; the next [`Manager::settle`] acts on the record.
    pub fn note(&mut self, now: Millis, input: Input) {
        let changes = self.supervisor.note(now, input);
        changes.iter().for_each(|change| self.log(*change));
        self.changes.extend(changes);
    }

    /// Returns the changes since the last call, oldest first.
    #[must_use]
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Starts and stops services until no service can change its state, or a change is to be taken. Returns true if
    /// there are changes: the caller takes them and settles again.
    pub fn settle(&mut self, now: Millis) -> bool {
        loop {
            let actions = self.supervisor.settle(now);
            if actions.is_empty() {
                self.unload();
                break;
            }
            actions.into_iter().for_each(|action| self.act(now, action));
            if !self.changes.is_empty() {
                break;
            }
        }
        self.close_sockets_at_rest();
        !self.changes.is_empty()
    }

    /// Settles until nothing moves, and discards the changes.
    pub fn settle_all(&mut self, now: Millis) {
        self.changes.clear();
        while self.settle(now) {
            self.changes.clear();
        }
    }

    /// Reads a descriptor that poll(2) found readable, and notes the meaning.
    pub fn readable(&mut self, now: Millis, token: Token) {
        match token {
            Token::Notify => self.read_notifications(now),
            Token::Listen(id) => self.note(now, Input::Connection(id)),
            Token::Output(id) => self.with_io(id, |io, name, sink| io.read_output(now, name, sink)),
            Token::StartFailures(id) => {
                if let Some(pid) = self.read_start_failures(id) {
                    self.note(now, Input::Execed(pid));
                }
            }
            Token::Ready(id) => {
                let io = self.io.get_mut(id.index());
                if let Some(pid) = io.and_then(ServiceIo::read_ready) {
                    self.note(now, Input::Ready(pid));
                }
            }
        }
    }

    /// Notes the end of a process. Returns false if the process belonged to no service.
    pub fn exited(&mut self, now: Millis, pid: Pid, status: ExitStatus) -> bool {
        let Some(id) = self.supervisor.find_by_pid(pid) else {
            return false;
        };
        // The log has the service's last output and its failed step before its end. The pid that reports a successful
        // execve(2) is not noted: the process has ended.
        self.with_io(id, |io, name, sink| io.drain_output(now, name, sink));
        let _ = self.read_start_failures(id);
        self.note(now, Input::Exited(pid, status));
        true
    }

    /// Tells the supervisor that time has passed, and reads output that was left unread to limit its rate, if anything is due.
    pub fn tick(&mut self, now: Millis) {
        if self.deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        if let Some(notify) = &mut self.notify {
            notify.tick(now);
        }
        for id in self.supervisor.ids() {
            self.with_io(id, |io, name, sink| io.tick(now, name, sink));
        }
        self.note(now, Input::Tick);
    }

    fn read_notifications(&mut self, now: Millis) {
        for _ in 0..MAX_NOTIFICATIONS {
            let Some(message) = self.notify.as_mut().and_then(|n| n.receive(now)) else {
                return;
            };
            let Some(id) = self.supervisor.find_by_pid(message.pid) else {
                continue;
            };
            if let Some(status) = message.status {
                self.with_io(id, |io, name, sink| {
                    io.log_line(now, name, status.as_bytes(), sink);
                });
            }
            let change = Change::DegradedWritten(id);
            if message.degraded_written && !self.changes.contains(&change) {
                self.changes.push(change);
            }
            if message.ready {
                self.note(now, Input::Ready(message.pid));
            }
        }
    }

    fn with_io(&mut self, id: ServiceId, act: impl FnOnce(&mut ServiceIo, &str, Sink)) {
        let (name, sink) = (self.name(id), self.sink);
        if let Some(io) = self.io.get_mut(id.index()) {
            act(io, name, sink);
        }
    }

    /// Logs the steps before execve(2) that failed. Returns the pid if execve(2) succeeded, or
    /// the process has ended without a failed step.
    fn read_start_failures(&mut self, id: ServiceId) -> Option<Pid> {
        let def = self.supervisor.definition(id)?;
        let (name, program) = (def.name, def.argv.first().copied().unwrap_or("?"));
        let io = self.io.get_mut(id.index())?;
        // Each record, and the end of file, may need a read of its own.
        for _ in 0..=MAX_FAILURES {
            match io.read_start_failures() {
                StartFailures::Pending => return None,
                StartFailures::Closed => return Some(io.pid),
                StartFailures::Read(failures) => {
                    failures.iter().flatten().for_each(|f| f.log(name, program));
                }
            }
        }
        None
    }

    fn log(&self, change: Change) {
        match change {
            Change::Ready(id) => debug!("{}: ready", self.name(id)),
            Change::Late(id) => warn!("{}: still not ready", self.name(id)),
            // The change `Ready`, which follows the success of a one-shot, is logged instead.
            Change::Ended(id, _) if self.is_finished_oneshot(id) => {}
            Change::Ended(id, status)
                if status.success() || self.supervisor.state(id) == State::Done =>
            {
                info!("{}: {status}", self.name(id));
            }
            Change::Ended(id, status) => warn!("{}: {status}", self.name(id)),
            Change::PlannedRestart(id, status) => {
                debug!("{}: {status}; idle, or restarted by request", self.name(id));
            }
            // The code that fails to create a process or to bind a socket logs the reason.
            Change::NotStarted(id) => warn!("{}: not started", self.name(id)),
            Change::AutoRestart { .. } | Change::StartDelayed { .. } | Change::Looping { .. } => {
                self.log_delay(change);
            }
            // The reader of the degraded file logs its lines.
            Change::DegradedWritten(_) | Change::Cancelled(_) => {}
        }
    }

    /// Logs a change that delays the next start.
    fn log_delay(&self, change: Change) {
        match change {
            Change::AutoRestart {
                id,
                status,
                delay_ms: 0,
            } => {
                warn!("{}: {status}; starts again at once", self.name(id));
            }
            Change::AutoRestart {
                id,
                status,
                delay_ms,
            } => {
                warn!("{}: {status}; starts again in {delay_ms} ms", self.name(id));
            }
            Change::StartDelayed { id, delay_ms } => {
                warn!(
                    "{}: not started; the next attempt is in {delay_ms} ms",
                    self.name(id)
                );
            }
            Change::Looping {
                id,
                starts,
                delay_ms,
            } => error!(
                "{}: {starts} starts in a row without a healthy run; they are now {delay_ms} ms apart or more",
                self.name(id)
            ),
            _ => {}
        }
    }

    fn is_finished_oneshot(&self, id: ServiceId) -> bool {
        let def = self.supervisor.definition(id);
        self.supervisor.state(id) == State::Done && def.is_some_and(|d| d.ready == ReadyWhen::Exit)
    }

    fn name(&self, id: ServiceId) -> &'static str {
        self.supervisor.definition(id).map_or("?", |d| d.name)
    }
}
