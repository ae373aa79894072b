// SPDX-License-Identifier: Apache-2.0
//! The data disk as PID 1 knows it: by the reports of `b2p data`, which finds, formats and
//! mounts the disk.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::Path;

use nix::poll::PollFlags;
use sys::files;
use sys::mountinfo;
use sys::paths::DATA_REPORT;
use sys::poll::poll_one;

use crate::context::Context;
use crate::event_sources::Event;
use crate::service_table::names;
use crate::state::{DataReport, SystemState};

/// Disks and partitions (sysfs(5)).
const CLASS_BLOCK: &str = "/sys/class/block";
/// The kernel's list of mounts.
const MOUNTINFO: &str = "/proc/self/mountinfo";
/// Usual length of that list.
const USUAL_LIST_BYTES: usize = 8 * 1024;
/// Mount point of the part of the disk that containers are on.
const CONTAINERS: &[u8] = b"/var/lib/containers";
/// Number of bytes of a report that are read.
const MAX_REPORT_BYTES: u64 = 4 * 1024;

/// Reads the report of a run that has ended. A run that failed leaves the report of the run before, if there
/// was one, and the supervisor has logged the failure.
pub fn read_report(context: &mut Context<'_>, _: &Event) {
    load_report(context.state);
}

/// Reads the report of the last run that has ended, if there is one.
pub fn load_report(state: &mut SystemState) {
    if let Ok(bytes) = files::read_bounded(Path::new(DATA_REPORT), MAX_REPORT_BYTES) {
        state.data_report = Some(parse_report(&String::from_utf8_lossy(&bytes)));
    }
}

fn parse_report(text: &str) -> DataReport {
    let line = text.lines().next().unwrap_or_default();
    let device = line.split(' ').find_map(|word| word.strip_prefix("data="));
    let device = device.filter(|device| device.starts_with("/dev/"));
    let seqnum = line.rsplit(' ').next();
    let seqnum = seqnum.and_then(|word| word.strip_prefix("seq=")?.parse().ok());
    DataReport {
        device: device.map(str::to_owned),
        last_seqnum: seqnum.unwrap_or(0),
    }
}

/// Lists the data disk as missing. The machine continues: its root is in RAM.
pub fn report_removal(context: &mut Context<'_>, _: &Event) {
    let Some(device) = context.state.data_device() else {
        return;
    };
    let why = format!(
        "{device} has vanished, with the containers and the settings on it; what is written now is lost; power off, attach it, start again"
    );
    let degraded = &mut context.state.degraded;
    degraded.set(names::DATA, [(names::DATA, why.as_str())]);
}

/// Returns true if the kernel has the disk or partition of this name.
pub fn is_present(name: &str) -> bool {
    // A slash in the name of a node is a `!` in that of its kobject (drivers/base/core.c, device_get_devnode).
    Path::new(CLASS_BLOCK).join(name.replace('/', "!")).exists()
}

/// Returns where the state is: the device of the data disk, or `ram`. A run of `b2p data` that is
/// late may have mounted the disk and not have reported it: the kernel's list of mounts decides.
#[must_use]
pub fn place(state: &mut SystemState) -> String {
    let reported = state.data_device().map(str::to_owned);
    let place = reported.or_else(|| state.mounted_disk.device());
    place.unwrap_or_else(|| "ram".to_owned())
}

/// Device of the mount that containers are on, as the kernel's list of mounts says. The list is long, and is read
/// only when it has changed.
#[derive(Debug, Default)]
pub struct MountedDisk {
    list: Option<File>,
    device: Option<String>,
}

impl MountedDisk {
    fn device(&mut self) -> Option<String> {
        if !self.list.as_ref().is_some_and(is_unchanged) {
            self.read();
        }
        self.device.clone()
    }

    fn read(&mut self) {
        let mut text = Vec::with_capacity(USUAL_LIST_BYTES);
        let read = File::open(MOUNTINFO).and_then(|mut list| {
            list.read_to_end(&mut text)?;
            Ok(list)
        });
        // A list of which a read fails is read again the next time.
        self.list = read.ok();
        self.device = device_in(&text);
    }
}

/// Returns true if no mount was made, changed or removed since the list was opened or looked at the last time:
/// the kernel reports a change as an exceptional condition, once (proc_pid_mounts(5)).
fn is_unchanged(list: &File) -> bool {
    !poll_one(list.as_fd(), PollFlags::POLLPRI, 0)
}

/// Returns the device that containers are kept on (proc_pid_mountinfo(5)).
fn device_in(mountinfo: &[u8]) -> Option<String> {
    let source = mountinfo::source_at(mountinfo, CONTAINERS)?;
    let source = String::from_utf8(source).ok()?;
    source.starts_with("/dev/").then_some(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mounts_say_where_the_state_is() {
        let ram = "30 1 0:20 /containers /var/lib/containers rw,nodev shared:9 - tmpfs ram rw\n";
        let disk = "41 1 254:1 /containers /var/lib/containers rw - ext4 /dev/vda1 rw\n";
        let device = |text: &str| device_in(text.as_bytes());
        assert_eq!(device(ram), None);
        assert_eq!(device(&[ram, disk].concat()).as_deref(), Some("/dev/vda1"));
        assert_eq!(device(&[disk, ram].concat()), None, "the topmost counts");
        assert_eq!(device("garbage\n"), None);
    }

    #[test]
    fn a_report_on_a_disk_and_one_without() {
        let report = parse_report("data=/dev/vda1 fs=ext4 size=7 seq=812\n");
        assert_eq!(report.device.as_deref(), Some("/dev/vda1"));
        assert_eq!(report.last_seqnum, 812);
        let report = parse_report("data=ram why=seq=3 data=/dev/sda no data disk seq=9\n");
        assert_eq!((report.device, report.last_seqnum), (None, 9));
        for garbage in ["", "\n", "data=", "seq=x", "data=vda", "\u{fffd}"] {
            let report = parse_report(garbage);
            assert_eq!((report.device, report.last_seqnum), (None, 0), "{garbage}");
        }
    }
}
