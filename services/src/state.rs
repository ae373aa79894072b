// SPDX-License-Identifier: Apache-2.0
//! Vocabulary of the supervisor: states, inputs, changes and actions.

use crate::{ExitStatus, Millis, Pid};

/// Identity of a service: its index in the supervisor's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceId(usize);

impl ServiceId {
    /// Returns the id of the service at `index`; a supervisor ignores an id that it does not have.
    #[must_use]
    pub const fn new(index: usize) -> ServiceId {
        ServiceId(index)
    }

    /// Index of the service in the table.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0
    }
}

/// State of a service.
///
/// `pid` is the service's process; `started` (the start of that process), `kill_at` and `until`
/// are moments of [`Millis`].
#[expect(missing_docs, reason = "the fields are named above")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The service was not started, or was stopped.
    Off,
    /// Start requested; a service in its `needs` or `after` is not ready.
    Waiting,
    /// No process runs; PID 1 watches the service's socket (systemd: the socket unit is `listening`).
    Armed,
    /// The manager is starting the process or binding the socket, and has not answered yet.
    Spawning,
    /// The process runs and is not ready yet.
    Starting { pid: Pid, started: Millis },
    /// The process runs and is ready (s6: up and ready; systemd: active; dinit: STARTED).
    Up { pid: Pid, started: Millis },
    /// The process has been asked to end, and is killed at `kill_at`. With `again` the service
    /// is started once more after that.
    Stopping {
        pid: Pid,
        kill_at: Millis,
        again: bool,
    },
    /// The process ended; the service is started again at `until`.
    Delayed { until: Millis },
    /// The process ended with success and is not started again: a one-shot has done its work.
    Done,
    /// The process ended with a failure and is not started again, or the service can never run.
    Failed,
}

impl State {
    /// Process of the service, if there is one.
    #[must_use]
    pub fn pid(self) -> Option<Pid> {
        match self {
            State::Starting { pid, .. } | State::Up { pid, .. } | State::Stopping { pid, .. } => {
                Some(pid)
            }
            _ => None,
        }
    }

    /// Returns true if the service may use the services that it needs: it has a process, is about to have one, or has
    /// a watched socket.
    #[must_use]
    pub fn uses_needs(self) -> bool {
        self.pid().is_some() || matches!(self, State::Armed | State::Spawning)
    }

    /// Returns true if the service has no process and will not get one without a request (systemd: inactive or failed).
    #[must_use]
    pub fn at_rest(self) -> bool {
        matches!(self, State::Off | State::Done | State::Failed)
    }

    /// Returns true if a start was requested and no attempt has had an outcome yet.
    #[must_use]
    pub fn start_is_pending(self) -> bool {
        matches!(
            self,
            State::Waiting | State::Spawning | State::Starting { .. }
        )
    }

    /// Returns true if services that need this one may start.
    #[must_use]
    pub fn satisfies_dependents(self) -> bool {
        matches!(self, State::Up { .. } | State::Armed | State::Done)
    }

    /// Name of the state in reports.
    #[must_use]
    pub fn word(self) -> &'static str {
        control::State::from(self).word()
    }
}

impl From<State> for control::State {
    fn from(state: State) -> control::State {
        match state {
            State::Off => control::State::Off,
            State::Waiting => control::State::Waiting,
            State::Armed => control::State::Armed,
            State::Spawning => control::State::Spawning,
            State::Starting { .. } => control::State::Starting,
            State::Up { .. } => control::State::Up,
            State::Stopping { .. } => control::State::Stopping,
            State::Delayed { .. } => control::State::Delayed,
            State::Done => control::State::Done,
            State::Failed => control::State::Failed,
        }
    }
}

/// Input of the supervisor: a request, an answer to an [`Action`], or an observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Request: start the service, and each service that it needs and that is off. A needed service that is failed,
    /// delayed or done is left as it is; if it has failed, this service waits until that service is started by a
    /// request of its own.
    Start(ServiceId),
    /// Request: stop the service and the services that need it.
    Stop(ServiceId),
    /// Request: stop every service, each after the services that need it.
    StopAll,
    /// Request: stop the service and start it again. Services that need the service keep running, as they do when it
    /// ends by itself; services that are bound to it are restarted as well.
    Restart(ServiceId),
    /// Request: forget that the service has failed (reset-failed of systemctl(1)). Services that need it continue.
    ResetFailed(ServiceId),
    /// Request: stop a user service as [`Input::Stop`] does, and forget the service once it is at rest. A start that
    /// is requested before that keeps it.
    Unload(ServiceId),
    /// Answer to [`Action::Spawn`]: the process exists.
    Spawned(ServiceId, Pid),
    /// Answer to [`Action::Spawn`]: no process could be created.
    SpawnFailed(ServiceId),
    /// Answer to [`Action::Watch`]: the socket is bound and watched.
    Watching(ServiceId),
    /// Answer to [`Action::Watch`]: the socket could not be bound.
    WatchFailed(ServiceId),
    /// Answer to [`Action::Unwatch`]: the socket is no longer watched.
    Unwatched(ServiceId),
    /// The process executes the service's program: execve(2) succeeded.
    Execed(Pid),
    /// The process reported that it is ready.
    Ready(Pid),
    /// A client waits at the service's socket.
    Connection(ServiceId),
    /// The process ended.
    Exited(Pid, ExitStatus),
    /// Time has passed.
    Tick,
}

/// Change of a service, on which a caller may react before any waiting service starts.
/// [`Supervisor::note`](crate::Supervisor::note) returns the changes; [`Manager`](crate::Manager) adds
/// `DegradedWritten`.
#[expect(missing_docs, reason = "the variants explain their fields")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The service became ready: up, armed, or done in the case of a one-shot.
    Ready(ServiceId),
    /// The service is not ready within its `late_ms`: the ready line and the services that name it in
    /// `after` no longer wait.
    Late(ServiceId),
    /// The process ended, and the service stays down. A one-shot that succeeds is also `Ready`, after this
    /// change.
    Ended(ServiceId, ExitStatus),
    /// No process could be created, or the socket could not be bound, and the service stays down.
    NotStarted(ServiceId),
    /// The process ended by itself with `status`, and the service starts again after `delay_ms`: `restart_ms` of the
    /// definition, or the delay of the backoff if that is longer (0 after a healthy run).
    AutoRestart {
        id: ServiceId,
        status: ExitStatus,
        delay_ms: Millis,
    },
    /// No process could be created, or the socket could not be bound, and the next attempt is made after `delay_ms`.
    StartDelayed { id: ServiceId, delay_ms: Millis },
    /// The process ended by request, or because it was idle, and the service starts again at once, or
    /// watches its socket again.
    PlannedRestart(ServiceId, ExitStatus),
    /// The number of starts in a row without a healthy run has reached `starts`, and the next starts are delayed by at
    /// least `delay_ms`. The change follows `AutoRestart` or `StartDelayed`.
    Looping {
        id: ServiceId,
        starts: u32,
        delay_ms: Millis,
    },
    /// A stop was requested of a service without a process, or its failure was reset: the service is off, no start is
    /// due, its socket is not watched, and its degraded lines no longer apply.
    Cancelled(ServiceId),
    /// The service has sent `X_DEGRADED=1`: it has written its file of degraded lines.
    DegradedWritten(ServiceId),
}

/// Output of [`Supervisor::settle`](crate::Supervisor::settle): a task for the manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start the process; the answer is `Spawned` or `SpawnFailed`.
    Spawn(ServiceId),
    /// Watch the socket for a connection; the answer is `Watching` or `WatchFailed`.
    Watch(ServiceId),
    /// Watch the socket no longer; the answer is `Unwatched`.
    Unwatch(ServiceId),
    /// Send the stop signal and SIGCONT to the process: a process that SIGSTOP has suspended handles no other signal
    /// before.
    Terminate(ServiceId, Pid),
    /// Send SIGKILL to the process.
    Kill(ServiceId, Pid),
    /// Kill the processes that the ended process left in its cgroup.
    KillRemaining(ServiceId),
}

impl Action {
    /// Process that the action signals.
    #[must_use]
    pub fn pid(self) -> Option<Pid> {
        match self {
            Action::Terminate(_, pid) | Action::Kill(_, pid) => Some(pid),
            Action::Spawn(_) | Action::Watch(_) | Action::Unwatch(_) | Action::KillRemaining(_) => {
                None
            }
        }
    }
}

/// Contribution of a service to the machine's readiness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// The service was not started, or the machine's readiness does not depend on it.
    NotRequired,
    /// The service is still starting.
    Pending,
    /// The service is up, armed or done.
    Ready,
    /// The ready line no longer waits: the service has failed, has ended since its start was requested and has not
    /// been ready since, is late, is being stopped, or needs a service that will not be ready soon.
    NotReady,
}

/// Time at which a new definition applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revision {
    /// The definition applies now.
    Now,
    /// The service runs; the definition applies at its next start.
    AtNextStart,
}
