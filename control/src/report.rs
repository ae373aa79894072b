// SPDX-License-Identifier: Apache-2.0
//! Report of PID 1: the state of the machine as lines of text, borrowed from that text or from the
//! tables of PID 1.
//!
//! All times are milliseconds of `CLOCK_BOOTTIME` (clock_gettime(2)) unless the field states
//! another clock. `None` means "unknown" or "not yet", and is left out of the text.

use crate::ShutdownKind;

/// State of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Service is not requested.
    Off,
    /// Requested; a dependency is not ready yet.
    Waiting,
    /// Socket is watched; no process runs.
    Armed,
    /// Process is about to be started.
    Spawning,
    /// Process runs and is not ready yet.
    Starting,
    /// Process runs and is ready.
    Up,
    /// Process has been asked to terminate.
    Stopping,
    /// Process has exited and is restarted later.
    Delayed,
    /// One-shot service has finished successfully.
    Done,
    /// Process has exited and is not restarted.
    Failed,
}

impl State {
    /// Every state.
    pub const ALL: [State; 10] = [
        State::Off,
        State::Waiting,
        State::Armed,
        State::Spawning,
        State::Starting,
        State::Up,
        State::Stopping,
        State::Delayed,
        State::Done,
        State::Failed,
    ];

    /// Keyword of the state in a report.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            State::Off => "off",
            State::Waiting => "waiting",
            State::Armed => "armed",
            State::Spawning => "spawning",
            State::Starting => "starting",
            State::Up => "up",
            State::Stopping => "stopping",
            State::Delayed => "delayed",
            State::Done => "done",
            State::Failed => "failed",
        }
    }

    /// Returns the state whose keyword is `word`.
    #[must_use]
    pub fn from_word(word: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.word() == word)
    }
}

/// Manner in which the last process of a service ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastExit {
    /// Exit with this status.
    Exited(i32),
    /// Termination by this signal.
    Killed(i32),
}

/// Facts about the machine as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MachineInfo<'a> {
    /// Version of PID 1.
    pub version: &'a str,
    /// Storage of the machine's state: `ram`, or a device.
    pub data: &'a str,
    /// Time of the report.
    pub now: Option<u64>,
    /// Time when PID 1 started.
    pub started: Option<u64>,
    /// Time of the ready line: every gate was ready, had failed, or was late.
    pub ready: Option<u64>,
}

/// One phase of the boot that has run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phase<'a> {
    /// Name of the phase.
    pub name: &'a str,
    /// Time of its start, in microseconds.
    pub start_us: u64,
    /// Duration, in microseconds.
    pub took_us: u64,
}

/// One service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service<'a> {
    /// Name of the service.
    pub name: &'a str,
    /// Present state.
    pub state: State,
    /// Time when the service entered that state.
    pub since: Option<u64>,
    /// Process id.
    pub pid: Option<u64>,
    /// Number of automatic restarts.
    pub restarts: Option<u64>,
    /// End of its last process.
    pub last: Option<LastExit>,
    /// Time of the first request for the service.
    pub asked: Option<u64>,
    /// Time when the first process of the service was started.
    pub spawned: Option<u64>,
    /// Time when the service was first ready.
    pub ready: Option<u64>,
    /// Time when the service is restarted, or killed.
    pub next: Option<u64>,
    /// Time that the service may take to become ready, in milliseconds.
    pub late: Option<u64>,
    /// Time that the service may take to terminate, in milliseconds.
    pub grace: Option<u64>,
    /// Number of the user of the service; root if there is none.
    pub user: Option<u64>,
    /// True if a file of the user defines the service; false for a service of the image. The key in
    /// the text is `own`.
    pub is_user_service: bool,
}

impl<'a> Service<'a> {
    /// Returns a service of which only the name and the state are known.
    #[must_use]
    pub const fn new(name: &'a str, state: State) -> Service<'a> {
        Service {
            name,
            state,
            since: None,
            pid: None,
            restarts: None,
            last: None,
            asked: None,
            spawned: None,
            ready: None,
            next: None,
            late: None,
            grace: None,
            user: None,
            is_user_service: false,
        }
    }
}

/// Part of the machine that was requested and does not work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Degraded<'a> {
    /// Name of the part, without a colon.
    pub what: &'a str,
    /// Reason, and the state or value that would be right.
    pub why: &'a str,
}

/// Scheduled shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// Power off, reboot or halt.
    pub kind: ShutdownKind,
    /// Time of the shutdown; in the past once the shutdown has begun.
    pub at: u64,
}

/// Whole report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report<'a> {
    /// Facts about the machine.
    pub machine: MachineInfo<'a>,
    /// Phases of the boot, in their order.
    pub phases: Vec<Phase<'a>>,
    /// Services, in the order of PID 1's table.
    pub services: Vec<Service<'a>>,
    /// Parts that do not work.
    pub degraded: Vec<Degraded<'a>>,
    /// Scheduled shutdown, if any.
    pub shutdown: Option<Shutdown>,
    /// True if the report did not fit into an answer.
    pub truncated: bool,
}
