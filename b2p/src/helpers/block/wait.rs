// SPDX-License-Identifier: Apache-2.0
//! Waits for devices that the kernel announces, with a time limit, and only as long as sysfs shows
//! that one may appear. A present device, or a machine without a device on its way, costs no time.
//!
//! The drivers of ATA and virtio have found their disks at the end of their load
//! (kernel/module/main.c waits for async_synchronize_full). The drivers of NVMe, USB and SD
//! continue looking: [`async_probe`].

use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use log::{info, warn};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sys::uevent::{SYSFS, UeventSocket};

use super::async_probe;
use super::drivers::Drivers;

/// Longest sleep. The kernel announces not everything that ends a wait: a controller that gives up
/// and a hub that suspends itself are silent.
const MAX_SLEEP: Duration = Duration::from_millis(100);
/// Time that a driver takes to identify a CD drive, unless the drive is broken.
const CD_DRIVE_LIMIT: Duration = Duration::from_secs(3);

/// A wait for devices.
pub struct DeviceWait {
    /// Drivers of the devices.
    pub drivers: Drivers,
    events: Option<UeventSocket>,
    /// Moment at which the last driver was loaded.
    loaded: Instant,
    /// Shortest time to wait after that, set by `waitusb=`.
    minimum: Duration,
    /// True if devices on their way extend the wait.
    follows_probes: bool,
    reason: &'static str,
    /// Reason that was logged last.
    logged: &'static str,
}

impl DeviceWait {
    /// Loads the drivers of fast disks and begins to wait. Events are received from before
    /// that, so that no device is missed.
    pub fn begin(minimum: Duration, follows_probes: bool, drivers: Drivers) -> DeviceWait {
        let events = UeventSocket::open().inspect_err(|e| warn!("data: uevents: {e}"));
        let mut wait = DeviceWait {
            drivers,
            events: events.ok(),
            loaded: Instant::now(),
            minimum,
            follows_probes,
            reason: "",
            logged: "",
        };
        wait.drivers.load_fast_disks();
        wait.restart();
        wait
    }

    /// Counts the time from now on, because drivers were loaded.
    pub fn restart(&mut self) {
        self.loaded = Instant::now();
    }

    /// Returns how much longer there is a reason to wait.
    pub fn remaining(&mut self) -> Duration {
        if self.events.is_none() {
            return Duration::ZERO;
        }
        let probe = async_probe::longest(Path::new(SYSFS)).filter(|_| self.follows_probes);
        self.reason = probe.map_or("waitusb=", |probe| probe.why);
        let limit = probe.map_or(Duration::ZERO, |probe| probe.limit);
        limit
            .max(self.minimum)
            .saturating_sub(self.loaded.elapsed())
    }

    /// Sleeps until the kernel announces a device, or for a short time, at most `remaining`.
    pub fn sleep(&mut self, remaining: Duration) {
        if self.logged != self.reason {
            let (ms, reason) = (remaining.as_millis(), self.reason);
            info!("data: waits for a disk, {ms} ms at the most: {reason}");
            self.logged = reason;
        }
        let Some(events) = &self.events else { return };
        let ms = remaining.min(MAX_SLEEP).as_millis();
        let ms = u16::try_from(ms).unwrap_or(u16::MAX).max(1);
        let mut fds = [PollFd::new(events.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut fds, PollTimeout::from(ms));
        events.receive();
    }
}

/// Waits until every CD drive with a driver can report whether it has a disc.
pub fn for_cd_drives() {
    let mut wait = DeviceWait::begin(Duration::ZERO, true, Drivers::default());
    wait.reason = "a CD drive is asked what it is";
    while async_probe::cd_drive(Path::new(SYSFS)) && wait.events.is_some() {
        let remaining = CD_DRIVE_LIMIT.saturating_sub(wait.loaded.elapsed());
        if remaining.is_zero() {
            return;
        }
        wait.sleep(remaining);
    }
}

/// Loads the drivers of all disks, then calls `look` at once and after each new device, until
/// `look` returns a value or there is no reason to wait: at least `minimum_seconds`.
pub fn until<T>(minimum_seconds: u16, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let mut drivers = Drivers::of_the_machine();
    drivers.load_all_disks();
    let minimum = Duration::from_secs(minimum_seconds.into());
    let mut wait = DeviceWait::begin(minimum, true, drivers);
    loop {
        // The time is read first: a device that appears in between is seen by `look`.
        let remaining = wait.remaining();
        let found = look();
        if found.is_some() || remaining.is_zero() {
            return found;
        }
        wait.sleep(remaining);
    }
}
