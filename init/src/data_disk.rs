// SPDX-License-Identifier: Apache-2.0
//! The data disk, known to PID 1 by the reports of `b2p data`, which finds, formats and mounts the
//! disk.

use std::path::Path;

use sys::files;
use sys::paths::DATA_REPORT;

use crate::context::Context;
use crate::event_sources::Event;
use crate::service_table::names;
use crate::state::{DataReport, SystemState};

/// Disks and partitions (sysfs(5)).
const CLASS_BLOCK: &str = "/sys/class/block";
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
    let Some(why) = context.state.data_device().map(loss) else {
        return;
    };
    let degraded = &mut context.state.degraded;
    degraded.set(names::DATA, [(names::DATA, why.as_str())]);
}

/// Returns the text of the degraded line about a data disk that the kernel has no longer. A run of `b2p data` after
/// the removal cannot notice it: the mount still exists, so that the run repeats the earlier report. PID 1 therefore
/// looks for the device itself.
pub fn loss_of_data_disk(state: &SystemState) -> Option<String> {
    let device = state.data_device()?;
    let name = device.strip_prefix("/dev/").unwrap_or(device);
    (!is_present(name)).then(|| loss(device))
}

fn loss(device: &str) -> String {
    format!(
        "{device} has vanished, with the containers and the settings on it; what is written now is lost; power off, attach it, start again"
    )
}

/// Returns true if the kernel has the disk or partition of this name.
pub fn is_present(name: &str) -> bool {
    // A slash in the name of a node is a `!` in that of its kobject (drivers/base/core.c, device_get_devnode).
    Path::new(CLASS_BLOCK).join(name.replace('/', "!")).exists()
}

/// Returns the place of the state directory: the device of the data disk, or `ram`. A late run of `b2p
/// data` may have mounted the disk without a report yet: the kernel's list of mounts decides.
#[must_use]
pub fn place(state: &mut SystemState) -> String {
    let reported = state.data_device().map(str::to_owned);
    let place = reported.or_else(|| state.mounted_disk.device());
    place.unwrap_or_else(|| "ram".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_the_kernel_has_no_longer_is_lost() {
        let mut state = SystemState::new();
        assert_eq!(loss_of_data_disk(&state), None);
        state.data_report = Some(parse_report("data=/dev/no-such-disk fs=ext4 seq=1\n"));
        let loss = loss_of_data_disk(&state).unwrap_or_default();
        assert!(loss.starts_with("/dev/no-such-disk has vanished"), "{loss}");
    }

    #[test]
    fn reports_with_and_without_a_disk_are_parsed() {
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
