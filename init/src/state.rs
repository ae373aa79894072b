//! What the boot knows: the configuration, what went wrong, and when what happened.

use config::Config;
use services::Millis;
use sys::clock::now;

use crate::data_disk::Data;
use control::ShutdownKind;
use sys::kmsg;
use sys::modules::Modules;
use sys::uevent::{DriverLoader, UeventSocket};

/// Something that was asked for and is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Degraded {
    /// Which part.
    pub what: String,
    /// Why, and what would be right.
    pub why: String,
}

/// A phase of the boot that has run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase {
    /// Its name.
    pub name: &'static str,
    /// When it began, in microseconds of `CLOCK_BOOTTIME`.
    pub start_us: u64,
    /// How long it took, in microseconds.
    pub took_us: u64,
}

/// The end of the machine, for later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheduled {
    /// How it ends.
    pub kind: ShutdownKind,
    /// When.
    pub at: Millis,
}

/// The state of the boot, handed from phase to phase.
#[derive(Debug, Default)]
pub struct SystemState {
    /// What was asked for.
    pub config: Config,
    /// What of it is not there, in the order it was found out.
    pub degraded: Vec<Degraded>,
    /// When PID 1 started.
    pub started: Millis,
    /// When everything that was asked for was up, or known not to come.
    pub ready: Option<Millis>,
    /// Each phase that has run.
    pub phases: Vec<Phase>,
    /// The end, where it has been put off.
    pub scheduled: Option<Scheduled>,
    /// Module signatures are verified: a flag says so, or the kernel insists.
    pub verify_modules: bool,
    /// Drivers on their way.
    pub loader: DriverLoader,
    /// The index of kernel modules, once the userland is there.
    pub modules: Option<Modules>,
    /// The disk that keeps the state.
    pub data: Data,
    /// The one-shots whose work is done and has been heard of, and since when.
    pub reported: Vec<(services::ServiceId, Millis)>,
    /// A folder of the host has come that `b2p share` has not seen.
    pub folder: bool,
    /// A CD drive has come that `b2p cloud` has not seen.
    pub disc: bool,
    /// What the data disk says of the configuration has been taken.
    pub disk_config_applied: bool,
    /// Kernel events, heard since before the first pass over sysfs.
    pub uevents: Option<UeventSocket>,
}

impl SystemState {
    /// A machine at the moment PID 1 starts.
    #[must_use]
    pub fn new() -> SystemState {
        SystemState {
            started: now(),
            ..SystemState::default()
        }
    }

    /// Notes that something asked for is not there, and says so.
    pub fn degraded(&mut self, what: &str, why: &str) {
        // One line, with nothing in it that a terminal obeys: the label of a disk
        // may be in it, and consoles and logins show it.
        let why = &why.replace(char::is_control, " ");
        kmsg::write(kmsg::console_visible(4), &format!("degraded {what}: {why}"));
        self.degraded.push(Degraded {
            what: what.into(),
            why: why.into(),
        });
    }
}
