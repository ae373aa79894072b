//! The data disk as PID 1 knows it: what `b2p data` has said of it, and whether a
//! disk has come since that it has not seen. Finding, making and mounting it is
//! that program's.

use std::path::Path;

use services::{Event, Manager, State};

use crate::ready;
use crate::state::Machine;
use sys::clock::now;
use sys::files;

/// The name of the service, and of what is degraded when it fails.
pub const NAME: &str = "data";
/// The service that syncs podman's store on it.
pub const STORE: &str = "store";
/// The service that starts the containers on it.
pub const CONTAINERS: &str = "containers";
/// More of that is not read.
const LONGEST: u64 = 4 * 1024;

/// What is known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Data {
    /// Its device; `None` while the state is in RAM.
    pub device: Option<String>,
    /// The last message of the kernel about a disk that came, by its number.
    pub heard: u64,
    /// The last that `b2p data` can have seen the disk of.
    looked: u64,
    /// `b2p data` is at work.
    busy: bool,
}

/// What the report says.
#[derive(Debug, PartialEq, Eq)]
struct Report {
    device: Option<String>,
    looked: u64,
}

/// After each turn of the loop: takes the report of a run that has ended, and
/// begins another where a disk has come that the last one has not seen.
pub fn follow(machine: &mut Machine, manager: &mut Manager) {
    let Some(id) = manager.supervisor.find(NAME) else {
        return;
    };
    let over = manager.supervisor.state(id).at_rest();
    if over && std::mem::take(&mut machine.data.busy) && take(machine) {
        begin(machine, manager, STORE);
        begin(machine, manager, CONTAINERS);
    }
    machine.data.busy = !over;
    let data = &mut machine.data;
    let asked = manager.supervisor.state(id) != State::Off;
    if machine.ready.is_some() && over && asked && data.device.is_none() && data.heard > data.looked
    {
        data.looked = data.heard; // once for each, whatever becomes of it
        data.busy = true;
        manager.event(now(), Event::Start(id));
    }
}

/// Starts a service that is started with the machine and does nothing now.
fn begin(machine: &Machine, manager: &mut Manager, name: &str) {
    let s = &manager.supervisor;
    let id = s.find(name).filter(|id| s.state(*id).at_rest());
    if let Some(id) = id.filter(|_| sys::service_names::starts_at_boot(&machine.config, name)) {
        manager.event(now(), Event::Start(id));
    }
}

/// Whether a disk has come while the machine runs.
fn take(machine: &mut Machine) -> bool {
    let Ok(bytes) = files::read_bounded(Path::new(sys::paths::DATA_REPORT), LONGEST) else {
        return false; // it failed, and that is said of every service
    };
    let report = parse(&String::from_utf8_lossy(&bytes));
    machine.data.looked = report.looked.max(machine.data.looked);
    machine.data.device = report.device;
    machine.ready.is_some() && machine.data.device.is_some()
}

fn parse(text: &str) -> Report {
    let first = text.lines().next().unwrap_or_default();
    let word = |name: &str| first.split(' ').find_map(|w| w.strip_prefix(name));
    let device = word("data=").filter(|d| d.starts_with("/dev/"));
    let looked = first
        .rsplit(' ')
        .next()
        .and_then(|w| w.strip_prefix("seq="));
    Report {
        device: device.map(str::to_owned),
        looked: looked.and_then(|n| n.parse().ok()).unwrap_or(0),
    }
}

/// A disk or partition is gone. What is on it cannot be reached, and the machine
/// lives on: its root is RAM.
pub fn gone(machine: &mut Machine, name: &str) {
    let device = machine.data.device.as_deref();
    if device.and_then(|d| d.strip_prefix("/dev/")) != Some(name) {
        return;
    }
    let why = format!(
        "/dev/{name} has vanished, with the containers and the settings on it; what is written now is lost; power off, attach it, start again"
    );
    ready::changed(machine, NAME, Some(&why));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_on_a_disk_and_one_without() {
        let report = parse("data=/dev/vda1 fs=ext4 size=7 seq=812\n");
        assert_eq!(report.device.as_deref(), Some("/dev/vda1"));
        assert_eq!(report.looked, 812);
        let report = parse("data=ram why=seq=3 data=/dev/sda no data disk seq=9\n");
        assert_eq!((report.device, report.looked), (None, 9));
        for nothing in ["", "\n", "data=", "seq=x", "data=vda", "\u{fffd}"] {
            assert_eq!(parse(nothing).device, None, "{nothing}");
            assert_eq!(parse(nothing).looked, 0, "{nothing}");
        }
    }

    #[test]
    fn only_the_data_disk_is_missed() {
        let mut machine = Machine::default();
        gone(&mut machine, "vda1");
        machine.data.device = Some("/dev/vda1".into());
        gone(&mut machine, "vda");
        assert!(machine.degraded.is_empty());
        gone(&mut machine, "vda1");
        assert!(machine.degraded.first().is_some_and(|d| d.what == NAME));
    }
}
