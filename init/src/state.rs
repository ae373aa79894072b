// SPDX-License-Identifier: Apache-2.0
//! State of the machine: its configuration, its degraded parts, and the times of events.

use config::Config;
use control::ShutdownKind;
use services::Millis;
use sys::clock::now;
use sys::modules::Modules;
use sys::service_names::starts_at_boot;
use sys::syscall::Child;
use sys::uevent::{self, DriverLoader, UeventSocket};

use crate::degraded::DegradedList;
use crate::mounted_disk::MountedDisk;
use crate::state_file::StateFile;
use crate::template;

/// A phase of the boot that has run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhaseTime {
    /// Name of the phase.
    pub name: &'static str,
    /// Start in microseconds of `CLOCK_BOOTTIME`.
    pub start_us: u64,
    /// Duration in microseconds.
    pub took_us: u64,
}

/// A shutdown at a later time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScheduledShutdown {
    /// Kind of shutdown.
    pub kind: ShutdownKind,
    /// Time at which the shutdown begins.
    pub at: Millis,
}

/// Report of the last run of `b2p data`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataReport {
    /// Device of the data disk; `None` while the state directory is in RAM.
    pub device: Option<String>,
    /// SEQNUM of the newest uevent (Documentation/core-api/kobject.rst) whose disk the run can have examined.
    pub last_seqnum: u64,
}

/// State of the machine, from the first phase of the boot to the shutdown.
#[derive(Debug, Default)]
pub struct SystemState {
    /// Configuration.
    pub config: Config,
    /// Built-in services of the supervisor that the present configuration does not have.
    pub absent: Vec<&'static str>,
    /// Parts of the machine that were requested and do not work.
    pub degraded: DegradedList,
    /// Start of PID 1.
    pub started: Millis,
    /// Time of the ready line.
    pub ready: Option<Millis>,
    /// True if the machine has reported by a virtio port to the host that it is ready.
    pub ready_reported_on_virtio_port: bool,
    /// True if the machine has reported by vsock to a host that it is ready.
    pub ready_reported_on_vsock: bool,
    /// Phases of the boot that have run.
    pub phases: Vec<PhaseTime>,
    /// Shutdown that was requested and begins at once.
    pub shutdown: Option<ShutdownKind>,
    /// Shutdown that was requested for later.
    pub scheduled: Option<ScheduledShutdown>,
    /// True if signatures of modules are verified: a flag or the kernel requires the verification.
    pub verify_modules: bool,
    /// Drivers that are to be loaded.
    pub loader: DriverLoader,
    /// Child that still loads early drivers ([`sys::uevent::is_early`]), until [`crate::boot::configure_machine`] gives
    /// the child to the event loop.
    pub early_drivers: Option<Child>,
    /// Index of kernel modules; `None` without a userland.
    pub modules: Option<Modules>,
    /// Report of the last run of `b2p data`; `None` before the first.
    pub data_report: Option<DataReport>,
    /// Device with the containers by the kernel's list of mounts, used while no run of `b2p data` has reported one.
    pub mounted_disk: MountedDisk,
    /// File in which the state is saved for the next execution of PID 1 after a crash.
    pub state_file: Option<StateFile>,
    /// Socket that receives uevents since before the first pass over sysfs, until [`crate::boot::configure_machine`]
    /// gives the socket to the event loop.
    pub uevents: Option<UeventSocket>,
}

impl SystemState {
    /// Requests drivers for the devices that have none, except the drivers that other programs load
    /// ([`SystemState::pid1_loads`]). A template requests none, because it must not have drivers of network cards.
    pub fn load_missing_drivers(&mut self) {
        if template::is_template(&self.config) {
            return;
        }
        self.loader.add_all(self.drivers_of_pid1());
    }

    /// Returns true if PID 1 loads the driver of a modalias. Before the ready line `b2p data` loads the
    /// drivers of disks, because the kernel offers no way to wait for a driver that another process loads.
    #[must_use]
    pub fn pid1_loads(&self, alias: &str) -> bool {
        self.drivers_of_pid1()(alias)
    }

    /// Returns [`SystemState::pid1_loads`] for the present state, as a function that borrows nothing.
    #[must_use]
    pub fn drivers_of_pid1(&self) -> fn(&str) -> bool {
        match self.ready {
            Some(_) => |_| true,
            None => |alias| !uevent::is_disk(alias),
        }
    }

    /// Returns true if the configuration has this service, and the service starts at boot.
    #[must_use]
    pub fn starts_at_boot(&self, name: &str) -> bool {
        !self.absent.contains(&name) && starts_at_boot(&self.config, name)
    }

    /// Returns the state at the start of PID 1.
    #[must_use]
    pub fn new() -> SystemState {
        SystemState {
            started: now(),
            ..SystemState::default()
        }
    }

    /// Returns the device of the data disk; `None` while the state directory is in RAM.
    #[must_use]
    pub fn data_device(&self) -> Option<&str> {
        self.data_report.as_ref()?.device.as_deref()
    }

    /// Returns the shutdown that is requested, or scheduled at or before `now`.
    #[must_use]
    pub fn due_shutdown(&self, now: Millis) -> Option<ShutdownKind> {
        let due = self.scheduled.filter(|scheduled| scheduled.at <= now);
        self.shutdown.or(due.map(|scheduled| scheduled.kind))
    }
}
