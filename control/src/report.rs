//! The report: the state of the machine as lines of text, borrowed from the text
//! or from the tables of PID 1. All times are milliseconds of `CLOCK_BOOTTIME`
//! (clock_gettime(2)) but where it says otherwise; `None` is "not known" or "not
//! yet", and is left out of the text.

use crate::ShutdownKind;

/// Where a service is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not asked for.
    Off,
    /// Asked for; something it needs is not ready.
    Waiting,
    /// Its socket is watched; nothing runs.
    Armed,
    /// About to be started.
    Spawning,
    /// It runs and is not ready yet.
    Starting,
    /// It runs and is ready.
    Up,
    /// It has been asked to end.
    Stopping,
    /// It ended and is started again later.
    Delayed,
    /// A one-shot that has done its work.
    Done,
    /// It ended and is left so.
    Failed,
}

impl State {
    /// All of them.
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

    /// Its word.
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
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// With this status.
    Exited(i32),
    /// By this signal.
    Killed(i32),
}

/// The machine itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Machine<'a> {
    /// Of PID 1.
    pub version: &'a str,
    /// Where the state is kept: `ram`, or a device.
    pub data: &'a str,
    /// When the report was made.
    pub now: Option<u64>,
    /// When PID 1 started.
    pub started: Option<u64>,
    /// When everything that was asked for was up, or known not to come.
    pub ready: Option<u64>,
}

/// One phase of the boot that has run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phase<'a> {
    /// Its name.
    pub name: &'a str,
    /// When it began, in microseconds.
    pub start_us: u64,
    /// How long it took, in microseconds.
    pub took_us: u64,
}

/// One service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service<'a> {
    /// Its name.
    pub name: &'a str,
    /// Where it is.
    pub state: State,
    /// Since when.
    pub since: Option<u64>,
    /// Its process.
    pub pid: Option<u64>,
    /// How often it has been started again.
    pub restarts: Option<u64>,
    /// How its last process ended.
    pub last: Option<Last>,
    /// When it was first asked for.
    pub asked: Option<u64>,
    /// When its first process was started.
    pub spawned: Option<u64>,
    /// When it was first ready.
    pub ready: Option<u64>,
    /// When it is started again, or killed.
    pub next: Option<u64>,
    /// How many milliseconds it may take to be ready.
    pub late: Option<u64>,
    /// How many milliseconds it may take to end.
    pub grace: Option<u64>,
    /// Whether it is from a file of the owner's, not the machine's own.
    pub own: bool,
}

impl<'a> Service<'a> {
    /// A service of which nothing but name and state is known.
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
            own: false,
        }
    }
}

/// Something that was asked for and is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Degraded<'a> {
    /// Which part; no colon in it.
    pub what: &'a str,
    /// Why, and what would be right.
    pub why: &'a str,
}

/// The end of the machine, decided on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// Power off, reboot or halt.
    pub kind: ShutdownKind,
    /// When; in the past where it has begun.
    pub at: u64,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report<'a> {
    /// The machine itself.
    pub machine: Machine<'a>,
    /// The phases of the boot, in their order.
    pub phases: Vec<Phase<'a>>,
    /// The services, in the order of the table.
    pub services: Vec<Service<'a>>,
    /// What is not as asked.
    pub degraded: Vec<Degraded<'a>>,
    /// The end, where one is decided on.
    pub shutdown: Option<Shutdown>,
    /// There was more than fits an answer.
    pub cut: bool,
}
