//! The supervisor's words: states, events, actions.

use crate::{Millis, Pid, Status};

/// The place of a service in the table.
pub type Id = usize;

/// Where a service is in its life. `pid` is its process; `since`, `kill_at` and
/// `until` are moments of [`Millis`].
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
    /// It has been asked to end, and is killed at the deadline.
    Stopping { pid: Pid, kill_at: Millis },
    /// It ended and is started again then.
    Delayed { until: Millis },
    /// A one-shot that has done its work.
    Done,
    /// It ended and is left so.
    Failed,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Someone wants it.
    Start(Id),
    /// Someone wants it no more.
    Stop(Id),
    /// The edge started it.
    Spawned(Id, Pid),
    /// The edge could not start it.
    SpawnFailed(Id),
    /// It said that it is ready.
    Ready(Pid),
    /// Its socket has a connection waiting.
    Connection(Id),
    /// A process ended.
    Exited(Pid, Status),
    /// Time has passed.
    Tick,
}

/// What the edge is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start its process and answer `Spawned` or `SpawnFailed`.
    Spawn(Id),
    /// Watch its socket for a connection.
    Watch(Id),
    /// Watch it no more.
    Unwatch(Id),
    /// Send SIGTERM and SIGCONT, so that a stopped one sees it.
    Terminate(Pid),
    /// Send SIGKILL.
    Kill(Pid),
    /// Say that it is ready.
    SayReady(Id),
    /// Say that it is not ready though it should be.
    SayLate(Id),
    /// Say how it ended and, if so, after how many milliseconds it starts again.
    SayEnded(Id, Status, Option<Millis>),
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
}

/// What the ready line needs to know of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not asked for, or not waited for.
    NotAsked,
    /// Still on its way.
    Pending,
    /// Up, armed or done.
    Good,
    /// Failed at least once, or late.
    Bad,
}
