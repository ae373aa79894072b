// SPDX-License-Identifier: Apache-2.0
//! Devices on their way for which the load of a driver does not wait: the state in sysfs of
//! controllers that look for devices on a queue of their own. Observed in QEMU with Debian's kernel
//! 6.12; a USB stick may take a second to be asked for its size (usb_storage's delay_use).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Time for a device that is known to be there and has no block device yet.
const DEVICE_LIMIT: Duration = Duration::from_secs(10);
/// Time for a USB hub that still watches its ports: a plug that is in has 100 ms to settle
/// (USB 2.0, 7.1.7.3), and a hub without any plug sleeps soon.
const HUB_LIMIT: Duration = Duration::from_secs(1);
/// Time for a card reader, which examines its slot once. An empty slot looks the same for ever.
const SLOT_LIMIT: Duration = Duration::from_millis(300);

/// A kind of probe that continues after its driver was loaded.
#[derive(Debug)]
pub struct Probe {
    /// Returns true if sysfs shows that the probe continues.
    is_running: fn(&Path) -> bool,
    /// Time limit of the wait, from the load of the drivers.
    pub limit: Duration,
    /// Reason to wait, for the log.
    pub why: &'static str,
}

const fn probe(is_running: fn(&Path) -> bool, limit: Duration, why: &'static str) -> Probe {
    Probe {
        is_running,
        limit,
        why,
    }
}

/// Probes, for each bus in the order in which a device passes them: a device that moves to the next
/// bus during the examination is seen there.
#[rustfmt::skip]
const PROBES: &[Probe] = &[
    probe(nvme,      DEVICE_LIMIT, "an NVMe controller lists its namespaces"),
    probe(usb_hub,   HUB_LIMIT,    "a USB hub looks whether anything is plugged in"),
    probe(usb_port,  DEVICE_LIMIT, "a USB device is given its address"),
    probe(usb_disk,  DEVICE_LIMIT, "a USB stick has no driver yet"),
    probe(usb_scsi,  DEVICE_LIMIT, "a USB stick was found, and is given time to start"),
    probe(scsi,      DEVICE_LIMIT, "a SCSI disk is asked what it is"),
    probe(mmc_slot,  SLOT_LIMIT,   "a card reader looks whether there is a card"),
    probe(mmc,       DEVICE_LIMIT, "a card is asked what it is"),
];

/// Returns the running probe with the longest limit, or `None` if none runs. Once no probe
/// runs, disks must be looked at again: a probe ends when there is a disk.
pub fn longest(sysfs: &Path) -> Option<&'static Probe> {
    let running = PROBES.iter().filter(|probe| (probe.is_running)(sysfs));
    running.max_by_key(|probe| probe.limit)
}

/// Returns true if the driver of a CD drive still examines the drive. The driver uses a queue of
/// its own, so a program that finds the module loaded has not waited for the examination
/// (drivers/scsi/sr.c, PROBE_PREFER_ASYNCHRONOUS). No data disk depends on this.
pub fn cd_drive(sysfs: &Path) -> bool {
    let has_driver = sysfs.join("bus/scsi/drivers/sr").exists();
    let mut devices = entries(sysfs.join("bus/scsi/devices"));
    has_driver && devices.any(|d| attribute(&d, "type") == "5" && !has(&d, "block"))
}

/// Returns the paths in a directory; none if there is no directory.
fn entries(dir: PathBuf) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    entries.flatten().map(|entry| entry.path())
}

fn starts_with(path: &Path, prefix: &str) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().starts_with(prefix)
}

/// Returns true if a directory has an entry whose name starts with `prefix`.
fn has(dir: &Path, prefix: &str) -> bool {
    entries(dir.to_owned()).any(|entry| starts_with(&entry, prefix))
}

fn attribute(dir: &Path, name: &str) -> String {
    let text = fs::read_to_string(dir.join(name)).unwrap_or_default();
    text.trim().to_owned()
}

fn nvme(sysfs: &Path) -> bool {
    entries(sysfs.join("class/nvme")).any(|controller| {
        match attribute(&controller, "state").as_str() {
            "new" | "connecting" | "resetting" => true,
            // Live without a namespace: the controller still lists them, or has none.
            "live" => !has(&controller, "nvme"),
            _ => false,
        }
    })
}

fn scsi(sysfs: &Path) -> bool {
    let mut devices = entries(sysfs.join("bus/scsi/devices"));
    devices.any(|d| attribute(&d, "type") == "0" && !has(&d, "block"))
}

fn usb_scsi(sysfs: &Path) -> bool {
    entries(sysfs.join("class/scsi_host")).any(|host| {
        let driver = attribute(&host, "proc_name");
        let is_usb = matches!(driver.as_str(), "usb-storage" | "uas");
        let mut targets = entries(host.join("device")).filter(|t| starts_with(t, "target"));
        // A logical unit is host2/target2:0:0/2:0:0:0.
        let name = host.file_name().unwrap_or_default().to_string_lossy();
        let unit_prefix = format!("{}:", name.trim_start_matches("host"));
        is_usb && !targets.any(|target| has(&target, &unit_prefix))
    })
}

fn usb_disk(sysfs: &Path) -> bool {
    let mut devices = entries(sysfs.join("bus/usb/devices"));
    devices.any(|d| attribute(&d, "bInterfaceClass") == "08" && !has(&d, "host"))
}

/// Returns the states of a root hub's ports (ABI/testing/sysfs-bus-usb).
fn port_states(hub: &Path) -> Vec<String> {
    let interfaces = entries(hub.to_owned()).filter(|e| e.join("bInterfaceClass").exists());
    let ports = interfaces
        .flat_map(entries)
        .filter(|p| starts_with(p, "usb"));
    ports.map(|port| attribute(&port, "state")).collect()
}

fn root_hubs(sysfs: &Path) -> impl Iterator<Item = PathBuf> {
    entries(sysfs.join("bus/usb/devices")).filter(|d| starts_with(d, "usb"))
}

fn usb_port(sysfs: &Path) -> bool {
    let settled = |state: &String| matches!(state.as_str(), "" | "not attached" | "configured");
    root_hubs(sysfs).any(|hub| !port_states(&hub).iter().all(settled))
}

/// Returns true if a hub may still find a device. A port does not show that a plug settles; an idle
/// hub suspends itself.
fn usb_hub(sysfs: &Path) -> bool {
    root_hubs(sysfs).any(|hub| {
        let awake = attribute(&hub.join("power"), "runtime_status") == "active";
        awake && !port_states(&hub).iter().any(|state| state == "configured")
    })
}

fn mmc(sysfs: &Path) -> bool {
    entries(sysfs.join("bus/mmc/devices")).any(|card| {
        let is_storage = matches!(attribute(&card, "type").as_str(), "SD" | "MMC");
        is_storage && !has(&card, "block")
    })
}

fn mmc_slot(sysfs: &Path) -> bool {
    let mut hosts = entries(sysfs.join("class/mmc_host"));
    hosts.any(|host| {
        let name = host.file_name().unwrap_or_default().to_string_lossy();
        !has(&host, &format!("{name}:"))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;

    /// A sysfs in a directory.
    struct Sysfs(Temp);

    impl Sysfs {
        /// Writes a file; returns the reason to wait that there is then.
        fn with(&self, path: &str, text: &str) -> Option<&'static str> {
            let path = self.0.path(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
            longest(self.0.dir()).map(|probe| probe.why)
        }

        fn limit(&self) -> Option<Duration> {
            longest(self.0.dir()).map(|probe| probe.limit)
        }
    }

    #[test]
    fn a_cd_drive_that_has_its_driver_and_no_name_yet() {
        let sysfs = Sysfs(Temp::new());
        sysfs.with("bus/scsi/devices/0:0:0:0/type", "5\n");
        assert!(!cd_drive(sysfs.0.dir()), "it has no driver");
        let reason = sysfs.with("bus/scsi/drivers/sr/uevent", "");
        assert!(cd_drive(sysfs.0.dir()) && reason.is_none(), "no data disk");
        sysfs.with("bus/scsi/devices/0:0:0:0/block/sr0/size", "8\n");
        assert!(!cd_drive(sysfs.0.dir()));
    }

    #[test]
    fn nvme_and_scsi() {
        let sysfs = Sysfs(Temp::new());
        assert_eq!(sysfs.limit(), None, "no controller");
        let idle = sysfs.with("class/scsi_host/host0/proc_name", "ahci\n");
        assert_eq!(idle, None, "ATA looks while its driver is loaded");
        let n = "class/nvme/nvme0/";
        assert!(sysfs.with(&format!("{n}state"), "connecting\n").is_some());
        assert!(sysfs.with(&format!("{n}state"), "live\n").is_some());
        assert_eq!(sysfs.with(&format!("{n}nvme0n1/size"), "1"), None);
        let d = "bus/scsi/devices/0:0:0:0/";
        assert_eq!(
            sysfs.with(&format!("{d}type"), "5\n"),
            None,
            "an optical one"
        );
        assert!(
            sysfs
                .with(&format!("{d}type"), "0\n")
                .unwrap()
                .contains("SCSI")
        );
        assert_eq!(sysfs.with(&format!("{d}block/sda/size"), "1"), None);
    }

    #[test]
    fn an_enumerating_usb_stick_is_waited_for() {
        let sysfs = Sysfs(Temp::new());
        let hub = "bus/usb/devices/usb1/";
        let port = format!("{hub}1-0:1.0/usb1-port1/state");
        sysfs.with(&format!("{hub}1-0:1.0/bInterfaceClass"), "09\n");
        let why = sysfs.with(&format!("{hub}power/runtime_status"), "active\n");
        assert!(why.unwrap().contains("hub"));
        assert!(sysfs.with(&port, "not attached\n").unwrap().contains("hub"));
        assert!(
            sysfs
                .with(&port, "addressed\n")
                .unwrap()
                .contains("address")
        );
        assert_eq!(sysfs.with(&port, "configured\n"), None);
        let stick = "bus/usb/devices/1-1:1.0/";
        let why = sysfs.with(&format!("{stick}bInterfaceClass"), "08\n");
        assert!(why.unwrap().contains("driver"));
        let why = sysfs.with(&format!("{stick}driver/x"), "");
        assert!(why.unwrap().contains("driver"), "it has only begun");
        assert_eq!(sysfs.with(&format!("{stick}host1/x"), ""), None);
        let host = "class/scsi_host/host1/";
        let why = sysfs.with(&format!("{host}proc_name"), "usb-storage\n");
        assert!(why.unwrap().contains("stick"));
        let why = sysfs.with(&format!("{host}device/target1:0:0/x"), "");
        assert!(why.unwrap().contains("stick"), "it is asked");
        let unit = format!("{host}device/target1:0:0/1:0:0:0/x");
        assert_eq!(sysfs.with(&unit, ""), None);
    }

    #[test]
    fn an_empty_hub_and_an_empty_slot_are_not_waited_for_long() {
        let sysfs = Sysfs(Temp::new());
        sysfs.with("bus/usb/devices/usb1/power/runtime_status", "active\n");
        assert_eq!(sysfs.limit(), Some(HUB_LIMIT));
        let asleep = sysfs.with("bus/usb/devices/usb1/power/runtime_status", "suspended\n");
        assert_eq!(asleep, None);
        sysfs.with("class/mmc_host/mmc0/x", "");
        assert_eq!(sysfs.limit(), Some(SLOT_LIMIT));
        let why = sysfs.with("bus/mmc/devices/mmc0:1234/type", "SD\n");
        assert!(why.unwrap().contains("card"));
        sysfs.with("class/mmc_host/mmc0/mmc0:1234/x", "");
        assert_eq!(sysfs.with("bus/mmc/devices/mmc0:1234/block/x", ""), None);
    }
}
