//! The supervisor's words: states, events, actions.

use crate::{ExitStatus, Millis, Pid};

/// Identity of a service: its index in the supervisor's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceId(usize);

impl ServiceId {
    /// Returns the id of the service at `index`; a supervisor ignores an id it does not have.
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

/// Where a service is in its life. `pid` is its process; `since` (when that was
/// started), `kill_at` and `until` are moments of [`Millis`].
#[expect(missing_docs, reason = "the fields are named above")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not asked for.
    Off,
    /// Asked for; something it needs is not ready.
    Waiting,
    /// Its socket is watched; nothing runs.
    Armed,
    /// The edge has been told to start it.
    Spawning,
    /// It runs and is not ready yet.
    Starting { pid: Pid, since: Millis },
    /// It runs and is ready.
    Up { pid: Pid, since: Millis },
    /// It has been asked to end, and is killed at the deadline; `again`: to be
    /// started when it has ended.
    Stopping {
        pid: Pid,
        kill_at: Millis,
        again: bool,
    },
    /// It ended and is started again then.
    Delayed { until: Millis },
    /// A one-shot that has done its work.
    Done,
    /// It ended and is left so, or it cannot be.
    Failed,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Someone wants it, and with it what it needs.
    Start(ServiceId),
    /// Someone wants it no more, nor what needs it.
    Stop(ServiceId),
    /// The end: all are to stop, each when nothing that needs it is left.
    StopAll,
    /// Someone wants it anew. Those that need it are left alone, as they are
    /// when it ends by itself.
    Restart(ServiceId),
    /// The edge started it.
    Spawned(ServiceId, Pid),
    /// The edge could not start it.
    SpawnFailed(ServiceId),
    /// Its program runs: execve(2) succeeded.
    Execed(Pid),
    /// It said that it is ready.
    Ready(Pid),
    /// Its socket has a connection waiting.
    Connection(ServiceId),
    /// A process ended.
    Exited(Pid, ExitStatus),
    /// Time has passed.
    Tick,
}

/// What the edge is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start its process and answer `Spawned` or `SpawnFailed`.
    Spawn(ServiceId),
    /// Watch its socket for a connection.
    Watch(ServiceId),
    /// Watch it no more.
    Unwatch(ServiceId),
    /// Ask it to end, and send SIGCONT, so that a stopped one sees it.
    Terminate(ServiceId, Pid),
    /// Send SIGKILL.
    Kill(ServiceId, Pid),
    /// Kill what its first process left behind in its cgroup.
    Clean(ServiceId),
    /// Say that it is ready.
    SayReady(ServiceId),
    /// Say that it is not ready though it should be.
    SayLate(ServiceId),
    /// Say how it ended and, if so, after how many milliseconds it starts again.
    SayEnded(ServiceId, ExitStatus, Option<Millis>),
    /// Say that it has ended so many times in a row without a healthy run, and
    /// is from now on started every so many milliseconds.
    SayLooping(ServiceId, u32, Millis),
}

impl State {
    /// Its process, while it has one.
    #[must_use]
    pub fn pid(self) -> Option<Pid> {
        match self {
            State::Starting { pid, .. } | State::Up { pid, .. } | State::Stopping { pid, .. } => {
                Some(pid)
            }
            _ => None,
        }
    }

    /// Whether something is there that could need others: a process, one about
    /// to be, or a watched socket.
    #[must_use]
    pub fn active(self) -> bool {
        self.pid().is_some() || matches!(self, State::Armed | State::Spawning)
    }

    /// Whether nothing is there and nothing will come by itself.
    #[must_use]
    pub fn at_rest(self) -> bool {
        matches!(self, State::Off | State::Done | State::Failed)
    }

    /// One word for it.
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

/// Contribution of a service to the machine's readiness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// The service was not started, or the machine's readiness does not depend on it.
    NotRequired,
    /// The service is still starting.
    Pending,
    /// The service is up, armed or done.
    Ready,
    /// The service failed at least once, or is late.
    Failed,
}
