// SPDX-License-Identifier: Apache-2.0
//! End of a keeper: the reason is recorded, and the sockets go.

use super::{Keeper, Step, console};
use crate::driver::Shutdown;
use crate::state::State;
use crate::store::progress::Progress;
use crate::store::record::{EndRecord, RunRecord};
use crate::store::{Machine, files, quadlet};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{SystemTime, UNIX_EPOCH};

/// Lines of the console and of QEMU in the record.
const TAIL_LINES: usize = 20;

/// Reason of an end by `kill`.
const KILLED: &str = "killed, as it was asked to";

/// Returns the seconds since 1970.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}

/// Writes the record of an end.
pub fn write(machine: &Machine, record: &EndRecord) {
    let text = serde_json::to_string_pretty(record).unwrap_or_default();
    if let Err(error) = files::replace(&machine.file("last.json"), text.as_bytes()) {
        eprintln!("{error:#}");
    }
}

/// Records that QEMU has ended, before clients are notified: until this process has ended too, its lock is
/// held, and the record tells its last moments from a start.
pub fn stopped(machine: &Machine) {
    if let Err(error) = machine.save_run_record(&RunRecord::new(State::Stopped)) {
        eprintln!("{error:#}");
    }
}

/// Records that a command has killed a machine whose keeper does not know it.
pub fn killed(machine: &Machine) {
    let record = EndRecord {
        clean: true,
        why: KILLED.to_owned(),
        tail: Vec::new(),
        at: now(),
    };
    write(machine, &record);
}

/// Records the end of QEMU, and notifies the followers. `status` is known for a child.
pub(super) fn end(mut keeper: Keeper, status: Option<ExitStatus>) {
    let forced = keeper.stop.is_some_and(|stop| stop.step != Step::Button);
    let (clean, why) = match (keeper.suspended, keeper.killed) {
        (true, _) => (true, "suspended".to_owned()),
        (_, true) => (true, KILLED.to_owned()),
        _ => judge(keeper.shutdown.as_ref(), status, forced),
    };
    let mut record = EndRecord {
        clean,
        why,
        tail: Vec::new(),
        at: now(),
    };
    if !clean {
        record.tail = console::tail(&keeper.machine.file("console.log"), TAIL_LINES);
        record
            .tail
            .extend(console::tail(&keeper.machine.file("qemu.log"), TAIL_LINES));
    }
    if delivered(
        clean && !keeper.killed,
        keeper.suspended,
        keeper.record.ready_on_disk,
    ) {
        let _ = fs::remove_file(keeper.machine.file(quadlet::FILE));
    }
    write(&keeper.machine, &record);
    stopped(&keeper.machine);
    for name in ["podman.sock", "tunnel.sock", super::control::SOCKET] {
        let _ = vmm::ssh::remove(&keeper.machine.run_file(name));
    }
    keeper.tell(&Progress::Ended {
        why: record.why,
        orderly: record.clean,
    });
}

/// Returns true if the guest has the quadlet files on its disk, and has unmounted the disk. A guest that was
/// stopped before it was ready, or that had its data in RAM, gets them again from the next boot.
fn delivered(clean: bool, suspended: bool, ready_on_disk: bool) -> bool {
    clean && !suspended && ready_on_disk
}

/// Judges an end by QEMU's last event and its exit status, where it is known.
fn judge(shutdown: Option<&Shutdown>, status: Option<ExitStatus>, forced: bool) -> (bool, String) {
    match (shutdown, status) {
        _ if forced => (
            false,
            "it did not power off in time, and was terminated".to_owned(),
        ),
        (Some(Shutdown::PowerOff), _) => (true, "powered off".to_owned()),
        (Some(Shutdown::Panic), _) => (false, "the guest's kernel has stopped".to_owned()),
        (Some(Shutdown::Signal), _) => (false, "QEMU was terminated by a signal".to_owned()),
        (Some(Shutdown::Other(other)), _) if !other.is_empty() => {
            (false, format!("QEMU has ended: {other}"))
        }
        (_, Some(status)) => match status.signal() {
            Some(signal) => (false, format!("QEMU was killed by signal {signal}")),
            None => (false, format!("QEMU has ended with {status}")),
        },
        (_, None) => (false, "QEMU has ended without giving a reason".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quadlet_files_are_kept_until_a_disk_has_them() {
        for (clean, suspended, ready_on_disk, expected) in [
            (true, false, true, true),
            // The power button was pressed before Ignition ran, or the data were in RAM.
            (true, false, false, false),
            (true, true, true, false),
            (false, false, true, false),
            (false, false, false, false),
        ] {
            assert_eq!(delivered(clean, suspended, ready_on_disk), expected);
        }
    }

    #[test]
    fn judge_names_the_reason_for_the_end_of_a_machine() {
        let killed = Some(ExitStatus::from_raw(9));
        let failed = Some(ExitStatus::from_raw(256));
        assert_eq!(
            judge(
                Some(&Shutdown::PowerOff),
                Some(ExitStatus::from_raw(0)),
                false
            ),
            (true, "powered off".into())
        );
        assert_eq!(
            judge(None, killed, false),
            (false, "QEMU was killed by signal 9".into())
        );
        for (shutdown, status, forced) in [
            (Some(Shutdown::PowerOff), failed, true),
            (Some(Shutdown::Panic), None, false),
            (Some(Shutdown::Signal), None, false),
            (Some(Shutdown::Other("host-qmp-quit".into())), None, false),
            (None, failed, false),
            (None, None, false),
        ] {
            assert!(!judge(shutdown.as_ref(), status, forced).0, "{shutdown:?}");
        }
    }
}
