//! Whether a disk is on its way that no driver waits for while it is loaded: what
//! sysfs shows of controllers that look on a queue of their own. Seen in QEMU with
//! Debian's kernel 6.12; a stick may take a second to be asked for its size
//! (usb_storage's delay_use).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Something is there, and its disk is not yet.
const COMES: Duration = Duration::from_secs(10);
/// Nothing is known to be there, but a hub still listens on its ports: a plug that
/// is in has 100 ms to settle (USB 2.0, 7.1.7.3), and a hub without any sleeps soon.
const HUB: Duration = Duration::from_secs(1);
/// A reader of cards asks its slot once. An empty one looks the same for ever.
const SLOT: Duration = Duration::from_millis(300);

/// Whether it is so, by what is below /sys; for how long it counts, from when the
/// drivers were loaded; why.
type Reason = (fn(&Path) -> bool, Duration, &'static str);

/// The reasons to wait. Each bus in the order in which a disk comes on it: what goes
/// from one to the next while they are looked at is seen by the next.
#[rustfmt::skip]
const REASONS: &[Reason] = &[
    (nvme,      COMES, "an NVMe controller lists its namespaces"),
    (usb_hub,   HUB,   "a USB hub listens whether anything is plugged in"),
    (usb_port,  COMES, "a device on USB is given its address"),
    (usb_disk,  COMES, "a stick has no driver yet"),
    (usb_scsi,  COMES, "a stick has been found, and is given time to start"),
    (scsi,      COMES, "a disk on SCSI is asked what it is"),
    (mmc_slot,  SLOT,  "a reader looks whether there is a card"),
    (mmc,       COMES, "a card is asked what it is"),
];

/// How long there is a reason to wait, from when the drivers were loaded, and which;
/// `None` where there is none. Where there is, the disks are to be looked at once
/// more after it has gone: it goes when there is a disk.
pub fn reason(sys: &Path) -> Option<(Duration, &'static str)> {
    let found = REASONS.iter().filter(|(is, _, _)| is(sys));
    let found = found.max_by_key(|(_, most, _)| *most);
    found.map(|(_, most, why)| (*most, *why))
}

/// What is in a directory; nothing where there is none.
fn entries(dir: PathBuf) -> impl Iterator<Item = PathBuf> {
    let read = fs::read_dir(dir).into_iter().flatten();
    read.flatten().map(|e| e.path())
}

fn named(path: &Path, prefix: &str) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().starts_with(prefix)
}

/// Whether a directory has an entry with this prefix.
fn has(dir: &Path, prefix: &str) -> bool {
    entries(dir.to_owned()).any(|e| named(&e, prefix))
}

fn text(dir: &Path, name: &str) -> String {
    let text = fs::read_to_string(dir.join(name)).unwrap_or_default();
    text.trim().to_owned()
}

fn nvme(sys: &Path) -> bool {
    entries(sys.join("class/nvme")).any(|c| match text(&c, "state").as_str() {
        "new" | "connecting" | "resetting" => true,
        // Alive without a namespace: it is still listing them, or has none.
        "live" => !has(&c, "nvme"),
        _ => false,
    })
}

fn scsi(sys: &Path) -> bool {
    let mut all = entries(sys.join("bus/scsi/devices"));
    all.any(|d| text(&d, "type") == "0" && !has(&d, "block"))
}

/// Whether a CD drive's driver looks at it still: it does so on a queue of its own, and
/// whoever finds the module loaded by somebody else has not waited for that
/// (drivers/scsi/sr.c, PROBE_PREFER_ASYNCHRONOUS). No reason to wait for a data disk.
pub fn cd(sys: &Path) -> bool {
    let driver = sys.join("bus/scsi/drivers/sr").exists();
    let mut all = entries(sys.join("bus/scsi/devices"));
    driver && all.any(|d| text(&d, "type") == "5" && !has(&d, "block"))
}

fn usb_scsi(sys: &Path) -> bool {
    entries(sys.join("class/scsi_host")).any(|h| {
        let usb = matches!(text(&h, "proc_name").as_str(), "usb-storage" | "uas");
        let mut targets = entries(h.join("device")).filter(|t| named(t, "target"));
        // host2/target2:0:0/2:0:0:0
        let number = h.file_name().unwrap_or_default().to_string_lossy();
        let unit = format!("{}:", number.trim_start_matches("host"));
        usb && !targets.any(|t| has(&t, &unit))
    })
}

fn usb_disk(sys: &Path) -> bool {
    let mut all = entries(sys.join("bus/usb/devices"));
    all.any(|d| text(&d, "bInterfaceClass") == "08" && !has(&d, "host"))
}

/// Each port of each root hub: its state (ABI/testing/sysfs-bus-usb).
fn ports(hub: &Path) -> Vec<String> {
    let interfaces = entries(hub.to_owned()).filter(|e| e.join("bInterfaceClass").exists());
    let ports = interfaces.flat_map(entries).filter(|p| named(p, "usb"));
    ports.map(|p| text(&p, "state")).collect()
}

fn hubs(sys: &Path) -> impl Iterator<Item = PathBuf> {
    entries(sys.join("bus/usb/devices")).filter(|d| named(d, "usb"))
}

fn usb_port(sys: &Path) -> bool {
    let settled = |s: &String| matches!(s.as_str(), "" | "not attached" | "configured");
    hubs(sys).any(|h| !ports(&h).iter().all(settled))
}

/// The port itself says nothing while a plug settles; an idle hub goes to sleep.
fn usb_hub(sys: &Path) -> bool {
    hubs(sys).any(|h| {
        let awake = text(&h.join("power"), "runtime_status") == "active";
        awake && !ports(&h).iter().any(|s| s == "configured")
    })
}

fn mmc(sys: &Path) -> bool {
    entries(sys.join("bus/mmc/devices")).any(|c| {
        let card = matches!(text(&c, "type").as_str(), "SD" | "MMC");
        card && !has(&c, "block")
    })
}

fn mmc_slot(sys: &Path) -> bool {
    let mut all = entries(sys.join("class/mmc_host"));
    all.any(|host| {
        let name = host.file_name().unwrap_or_default().to_string_lossy();
        !has(&host, &format!("{name}:"))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Files of a sysfs, and what is waited for when they are there.
    struct Sys(PathBuf);

    impl Sys {
        fn new(name: &str) -> Sys {
            let dir = std::env::temp_dir().join(format!("b2p-sys-{name}-{}", std::process::id()));
            Sys(dir)
        }

        fn with(&self, path: &str, text: &str) -> Option<&'static str> {
            let path = self.0.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
            reason(&self.0).map(|(_, why)| why)
        }
    }

    impl Drop for Sys {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_cd_drive_that_has_its_driver_and_no_name_yet() {
        let sys = Sys::new("cd");
        sys.with("bus/scsi/devices/0:0:0:0/type", "5\n");
        assert!(!cd(&sys.0), "it has no driver");
        let reason = sys.with("bus/scsi/drivers/sr/uevent", "");
        assert!(cd(&sys.0) && reason.is_none(), "no data disk");
        sys.with("bus/scsi/devices/0:0:0:0/block/sr0/size", "8\n");
        assert!(!cd(&sys.0));
    }

    #[test]
    fn nvme_and_scsi() {
        let sys = Sys::new("scsi");
        assert_eq!(reason(&sys.0), None, "no controller");
        let idle = sys.with("class/scsi_host/host0/proc_name", "ahci\n");
        assert_eq!(idle, None, "ATA looks while it is loaded");
        let n = "class/nvme/nvme0/";
        assert!(sys.with(&format!("{n}state"), "connecting\n").is_some());
        assert!(sys.with(&format!("{n}state"), "live\n").is_some());
        assert_eq!(sys.with(&format!("{n}nvme0n1/size"), "1"), None);
        let d = "bus/scsi/devices/0:0:0:0/";
        assert_eq!(sys.with(&format!("{d}type"), "5\n"), None, "an optical one");
        assert!(
            sys.with(&format!("{d}type"), "0\n")
                .unwrap()
                .contains("SCSI")
        );
        assert_eq!(sys.with(&format!("{d}block/sda/size"), "1"), None);
    }

    #[test]
    fn a_stick_on_its_way() {
        let sys = Sys::new("usb");
        let hub = "bus/usb/devices/usb1/";
        let port = format!("{hub}1-0:1.0/usb1-port1/state");
        sys.with(&format!("{hub}1-0:1.0/bInterfaceClass"), "09\n");
        let why = sys.with(&format!("{hub}power/runtime_status"), "active\n");
        assert!(why.unwrap().contains("hub"));
        assert!(sys.with(&port, "not attached\n").unwrap().contains("hub"));
        assert!(sys.with(&port, "addressed\n").unwrap().contains("address"));
        assert_eq!(sys.with(&port, "configured\n"), None);
        let stick = "bus/usb/devices/1-1:1.0/";
        let why = sys.with(&format!("{stick}bInterfaceClass"), "08\n");
        assert!(why.unwrap().contains("driver"));
        let why = sys.with(&format!("{stick}driver/x"), "");
        assert!(why.unwrap().contains("driver"), "it has only begun");
        assert_eq!(sys.with(&format!("{stick}host1/x"), ""), None);
        let host = "class/scsi_host/host1/";
        let why = sys.with(&format!("{host}proc_name"), "usb-storage\n");
        assert!(why.unwrap().contains("stick"));
        let why = sys.with(&format!("{host}device/target1:0:0/x"), "");
        assert!(why.unwrap().contains("stick"), "it is asked");
        let unit = format!("{host}device/target1:0:0/1:0:0:0/x");
        assert_eq!(sys.with(&unit, ""), None);
    }

    #[test]
    fn an_empty_hub_and_an_empty_slot_are_not_waited_for_long() {
        let sys = Sys::new("empty");
        sys.with("bus/usb/devices/usb1/power/runtime_status", "active\n");
        assert_eq!(reason(&sys.0).unwrap().0, HUB);
        let asleep = sys.with("bus/usb/devices/usb1/power/runtime_status", "suspended\n");
        assert_eq!(asleep, None);
        sys.with("class/mmc_host/mmc0/x", "");
        assert_eq!(reason(&sys.0).unwrap().0, SLOT);
        let why = sys.with("bus/mmc/devices/mmc0:1234/type", "SD\n");
        assert!(why.unwrap().contains("card"));
        sys.with("class/mmc_host/mmc0/mmc0:1234/x", "");
        assert_eq!(sys.with("bus/mmc/devices/mmc0:1234/block/x", ""), None);
    }
}
