//! Waiting for a disk: on what the kernel announces, with a bound, and only
//! where there is a reason to. A disk that is there, or a machine that has no
//! disk on its way, costs nothing.
//!
//! The drivers of ATA and virtio have looked at their disks when they are loaded
//! (kernel/module/main.c waits for async_synchronize_full). Two have not: NVMe,
//! whose namespaces come from a queue of its own, and USB, where a stick may take
//! a second to start.

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use disk::choose::{Choice, Decision, Device, Wanted, choose};
use init::uevent::Uevents;
use log::{info, warn};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::asked::Asked;
use super::drivers::Drivers;
use super::hostkey::Spare;
use super::{Time, scan};

/// While the machine comes up.
const PENDING: Duration = Duration::from_secs(3);

/// What is waited for.
pub struct Wait {
    events: Option<Uevents>,
    begun: Instant,
    flag: Duration,
    /// A controller that is still at it may take this long.
    pending: Duration,
    said: bool,
    seen: u64,
    drivers: Drivers,
    /// On its way until the end.
    spare: Option<Spare>,
}

impl Wait {
    /// Listens before the first look, so that nothing falls between.
    pub fn begin(asked: &Asked, time: Time, drivers: Drivers) -> Wait {
        // Later, each disk that comes is an occasion of its own.
        match (time, &asked.wait) {
            (Time::Boot, wait) => Wait::of(wait.as_ref().map_or(0, |(s, _)| *s), PENDING, drivers),
            (Time::Running, _) => Wait::of(0, Duration::ZERO, drivers),
        }
    }

    fn of(seconds: u16, pending: Duration, mut drivers: Drivers) -> Wait {
        let events = Uevents::open().inspect_err(|e| warn!("data: device events: {e}"));
        drivers.quick();
        Wait {
            events: events.ok(),
            begun: Instant::now(),
            flag: Duration::from_secs(seconds.into()),
            pending,
            said: false,
            seen: 0,
            drivers,
            spare: None,
        }
    }

    /// Whether there is more to be seen after the slow controllers have been given
    /// their drivers. While those look, nobody else has anything to do: a host key is
    /// made, in case there is none on a disk.
    fn slower(&mut self) -> bool {
        if self.drivers.done() {
            return false;
        }
        self.spare = Spare::begin();
        self.drivers.all()
    }

    /// The number of the kernel's last message before the last look.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Decides, and decides again with each device that comes, until there is
    /// something to do or no reason to wait any more.
    pub fn choice(&mut self, asked: &Asked) -> (Choice, Vec<Device>) {
        loop {
            // In sysfs everything is that has been announced by now.
            let number = fs::read_to_string("/sys/kernel/uevent_seqnum").unwrap_or_default();
            self.seen = number.trim().parse().unwrap_or(0);
            let devices = match asked.wanted {
                Wanted::Off => Vec::new(), // nothing is even looked at
                _ => scan::scan(asked.consent),
            };
            let choice = choose(&devices, &asked.wanted, asked.consent);
            // A file system that is ours is taken without a look at slower disks; a disk
            // is made only where none of them has one.
            if !matches!(choice.decision, Decision::Use(..)) && self.slower() {
                continue;
            }
            let there = !matches!(choice.decision, Decision::None(_));
            let most = match asked.wanted {
                Wanted::Off => Duration::ZERO,
                _ if pending(Path::new("/sys/class")) => self.flag.max(self.pending),
                _ => self.flag,
            };
            let left = most.saturating_sub(self.begun.elapsed());
            let waited_for = asked.wait.as_ref().and_then(|(_, disk)| disk.as_ref());
            let arrived = waited_for.is_some_and(|w| {
                !matches!(
                    choose(&devices, w, asked.consent).decision,
                    Decision::None(_)
                )
            });
            if there || arrived || left.is_zero() || self.events.is_none() {
                return (choice, devices);
            }
            if !std::mem::replace(&mut self.said, true) {
                info!("data: waits for a disk, {} s at the most", most.as_secs());
            }
            self.sleep(left);
            self.drivers.again();
        }
    }

    /// Until the kernel announces something. Not all that is waited for is
    /// announced (a controller that gives up), so never for long.
    fn sleep(&self, most: Duration) {
        let Some(events) = &self.events else { return };
        let most = most.min(Duration::from_millis(500));
        let ms = u16::try_from(most.as_millis()).unwrap_or(500).max(1);
        let mut fds = [PollFd::new(events.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut fds, PollTimeout::from(ms));
        events.added();
    }
}

/// Gives all disks their drivers, looks, and looks again with each device that comes, until `look` gives
/// something or there is no reason to wait any more.
pub fn until<T>(seconds: u16, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let mut drivers = Drivers::of_the_machine();
    drivers.all();
    let wait = Wait::of(seconds, PENDING, drivers);
    loop {
        let found = look();
        let most = match pending(Path::new("/sys/class")) {
            true => wait.flag.max(wait.pending),
            false => wait.flag,
        };
        let left = most.saturating_sub(wait.begun.elapsed());
        if found.is_some() || left.is_zero() || wait.events.is_none() {
            return found;
        }
        wait.sleep(left);
    }
}

/// Whether a controller has disks on their way.
fn pending(class: &Path) -> bool {
    let entries = |dir: &str| {
        fs::read_dir(class.join(dir))
            .into_iter()
            .flatten()
            .flatten()
    };
    let text = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let has = |dir: &Path, prefix: &str| {
        let mut names = fs::read_dir(dir).into_iter().flatten().flatten();
        names.any(|e| e.file_name().to_string_lossy().starts_with(prefix))
    };
    let nvme = entries("nvme").any(|e| {
        let state = text(&e.path().join("state"));
        // Alive without a namespace: it is still listing them, or has none.
        matches!(state.trim(), "new" | "connecting" | "resetting")
            || (state.trim() == "live" && !has(&e.path(), "nvme"))
    });
    nvme || entries("scsi_host").any(|e| {
        let driver = text(&e.path().join("proc_name"));
        matches!(driver.trim(), "usb-storage" | "uas") && !has(&e.path().join("device"), "target")
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_who_is_still_looking_is_waited_for() {
        let class = std::env::temp_dir().join(format!("b2p-class-{}", std::process::id()));
        let write = |path: &str, text: &str| {
            let path = class.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert!(!pending(&class), "no controller");
        write("scsi_host/host0/proc_name", "ahci\n");
        assert!(!pending(&class), "ATA looks while it is loaded");
        write("nvme/nvme0/state", "connecting\n");
        assert!(pending(&class));
        write("nvme/nvme0/state", "live\n");
        assert!(pending(&class), "no namespace yet");
        write("nvme/nvme0/nvme0n1/size", "1");
        assert!(!pending(&class));
        write("scsi_host/host1/proc_name", "usb-storage\n");
        assert!(pending(&class));
        write("scsi_host/host1/device/target1:0:0/x", "");
        assert!(!pending(&class));
        fs::remove_dir_all(class).unwrap();
    }
}
