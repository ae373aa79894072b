//! Waiting for a disk: on what the kernel announces, with a bound, and only
//! where there is a reason to. A disk that is there, or a machine that has no
//! disk on its way, costs nothing.
//!
//! The drivers of ATA and virtio have looked at their disks when they are loaded
//! (kernel/module/main.c waits for async_synchronize_full). Those of NVMe, USB and
//! SD have not: [`pending`].

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use config::DiskSelector;
use disk::choose::{Choice, Decision, choose};
use disk::device::Device;
use log::{info, warn};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sys::uevent::UeventSocket;

use super::drivers::Drivers;
use super::options::Asked;
use super::{Time, async_probe, scan};

/// What is waited for.
pub struct Wait {
    events: Option<UeventSocket>,
    /// When the last driver was there.
    begun: Instant,
    flag: Duration,
    /// The machine comes up: what is on its way is waited for.
    boot: bool,
    why: &'static str,
    /// The last reason in the log.
    said: &'static str,
    seen: u64,
    drivers: Drivers,
}

impl Wait {
    /// Listens before the first look, so that nothing falls between.
    pub fn begin(asked: &Asked, time: Time, drivers: Drivers) -> Wait {
        // Later, each disk that comes is an occasion of its own.
        match (time, &asked.wait) {
            (Time::Boot, wait) => Wait::of(wait.as_ref().map_or(0, |(s, _)| *s), true, drivers),
            (Time::Running, _) => Wait::of(0, false, drivers),
        }
    }

    fn of(seconds: u16, boot: bool, mut drivers: Drivers) -> Wait {
        let events = UeventSocket::open().inspect_err(|e| warn!("data: device events: {e}"));
        drivers.quick();
        Wait {
            events: events.ok(),
            begun: Instant::now(),
            flag: Duration::from_secs(seconds.into()),
            boot,
            why: "",
            said: "",
            seen: 0,
            drivers,
        }
    }

    /// Whether there is more to be seen after the slow controllers have been given
    /// their drivers.
    fn slower(&mut self, asked: &Asked) -> bool {
        if self.drivers.done() {
            return false;
        }
        // Who names a disk, or a time to wait, knows more than the firmware.
        let named = asked.wanted != DiskSelector::Auto || asked.wait.is_some();
        let loaded = match named {
            true => self.drivers.all(),
            false => self.drivers.likely(),
        };
        self.begun = Instant::now();
        loaded
    }

    /// How much longer there is a reason to wait.
    fn left(&mut self, asked: &Asked) -> Duration {
        match asked.wanted {
            DiskSelector::Off => Duration::ZERO,
            _ => self.pending(),
        }
    }

    fn pending(&mut self) -> Duration {
        let pending = async_probe::reason(Path::new("/sys")).filter(|_| self.boot);
        self.why = pending.map_or("waitusb=", |(_, why)| why);
        let most = pending
            .map_or(Duration::ZERO, |(most, _)| most)
            .max(self.flag);
        most.saturating_sub(self.begun.elapsed())
    }

    /// The number of the kernel's last message before the last look.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Decides, and decides again with each device that comes, until there is
    /// something to do or no reason to wait any more.
    pub fn choice(&mut self, asked: &Asked) -> (Choice, Vec<Device>) {
        loop {
            // First whether anything is on its way, then what is there: what comes in
            // between is seen.
            let left = self.left(asked);
            // In sysfs everything is that has been announced by now.
            let number = fs::read_to_string("/sys/kernel/uevent_seqnum").unwrap_or_default();
            self.seen = number.trim().parse().unwrap_or(0);
            let devices = match asked.wanted {
                DiskSelector::Off => Vec::new(), // nothing is even looked at
                _ => scan::scan(asked.policy),
            };
            let choice = choose(&devices, &asked.wanted, asked.policy);
            // A file system that is ours is taken without a look at slower disks; a disk
            // is made only where none of them has one.
            if !matches!(choice.decision, Decision::Use(..)) && self.slower(asked) {
                continue;
            }
            let there = !matches!(choice.decision, Decision::None(_));
            let waited_for = asked.wait.as_ref().and_then(|(_, disk)| disk.as_ref());
            let arrived = waited_for.is_some_and(|w| {
                !matches!(
                    choose(&devices, w, asked.policy).decision,
                    Decision::None(_)
                )
            });
            if there || arrived || left.is_zero() || self.events.is_none() {
                return (choice, devices);
            }
            self.sleep(left);
            self.drivers.again();
        }
    }

    /// Until the kernel announces something. Not all that is waited for is
    /// announced (a controller that gives up, a hub that goes to sleep), so never for
    /// long.
    fn sleep(&mut self, most: Duration) {
        if self.said != self.why {
            let ms = most.as_millis();
            info!("data: waits for a disk, {ms} ms at the most: {}", self.why);
            self.said = self.why;
        }
        let Some(events) = &self.events else { return };
        let most = most.min(Duration::from_millis(100));
        let ms = u16::try_from(most.as_millis()).unwrap_or(100).max(1);
        let mut fds = [PollFd::new(events.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut fds, PollTimeout::from(ms));
        events.receive();
    }
}

/// A CD drive that its driver does not get to know in this time is broken.
const DRIVE: Duration = Duration::from_secs(3);

/// Waits until every CD drive that has a driver can be asked for its disc.
pub fn drives() {
    let mut wait = Wait::of(0, true, Drivers::default());
    wait.why = "a CD drive is asked what it is";
    while async_probe::cd(Path::new("/sys")) && wait.events.is_some() {
        let left = DRIVE.saturating_sub(wait.begun.elapsed());
        if left.is_zero() {
            return;
        }
        wait.sleep(left);
    }
}

/// Gives all disks their drivers, looks, and looks again with each device that
/// comes, until `look` gives something or there is no reason to wait any more.
pub fn until<T>(seconds: u16, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let mut drivers = Drivers::of_the_machine();
    drivers.all();
    let mut wait = Wait::of(seconds, true, drivers);
    loop {
        let left = wait.pending();
        let found = look();
        if found.is_some() || left.is_zero() || wait.events.is_none() {
            return found;
        }
        wait.sleep(left);
    }
}
