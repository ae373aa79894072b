//! The data disk as PID 1 knows it: what `b2p data` has said of it, and whether a
//! disk has come since that it has not seen. Finding, making and mounting it is
//! that program's.

use std::path::Path;

use services::{Event, Manager, State};

use crate::ready;
use crate::service_table::names;
use crate::state::SystemState;
use sys::clock::now;
use sys::files;

/// More of that is not read.
const MAX_REPORT_BYTES: u64 = 4 * 1024;

/// What is known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Data {
    /// Its device; `None` while the state is in RAM.
    pub device: Option<String>,
    /// The last message of the kernel about a disk that came, by its number.
    pub last_block_seqnum: u64,
    /// The last that `b2p data` can have seen the disk of.
    seen_seqnum: u64,
    /// `b2p data` is at work.
    running: bool,
}

/// What the report says.
#[derive(Debug, PartialEq, Eq)]
struct Report {
    device: Option<String>,
    seen_seqnum: u64,
}

/// After each turn of the loop: takes the report of a run that has ended, and
/// begins another where a disk has come that the last one has not seen.
pub fn follow(state: &mut SystemState, manager: &mut Manager) {
    let Some(id) = manager.supervisor.find(names::DATA) else {
        return;
    };
    let over = manager.supervisor.state(id).at_rest();
    if over && std::mem::take(&mut state.data.running) && take_report(state) {
        start_service(state, manager, names::IMAGE_SYNC);
        start_service(state, manager, names::CONTAINERS);
    }
    state.data.running = !over;
    let data = &mut state.data;
    let asked = manager.supervisor.state(id) != State::Off;
    if state.ready.is_some()
        && over
        && asked
        && data.device.is_none()
        && data.last_block_seqnum > data.seen_seqnum
    {
        data.seen_seqnum = data.last_block_seqnum; // once for each, whatever becomes of it
        data.running = true;
        manager.note(now(), Event::Start(id));
    }
}

/// Starts a service that is started with the machine and does nothing now.
fn start_service(state: &SystemState, manager: &mut Manager, name: &str) {
    let s = &manager.supervisor;
    let id = s.find(name).filter(|id| s.state(*id).at_rest());
    if let Some(id) = id.filter(|_| sys::service_names::starts_at_boot(&state.config, name)) {
        manager.note(now(), Event::Start(id));
    }
}

/// Whether a disk has come while the machine runs.
fn take_report(state: &mut SystemState) -> bool {
    let Ok(bytes) = files::read_bounded(Path::new(sys::paths::DATA_REPORT), MAX_REPORT_BYTES)
    else {
        return false; // it failed, and that is said of every service
    };
    let report = parse_report(&String::from_utf8_lossy(&bytes));
    state.data.seen_seqnum = report.seen_seqnum.max(state.data.seen_seqnum);
    state.data.device = report.device;
    state.ready.is_some() && state.data.device.is_some()
}

fn parse_report(text: &str) -> Report {
    let first = text.lines().next().unwrap_or_default();
    let word = |name: &str| first.split(' ').find_map(|w| w.strip_prefix(name));
    let device = word("data=").filter(|d| d.starts_with("/dev/"));
    let seen_seqnum = first
        .rsplit(' ')
        .next()
        .and_then(|w| w.strip_prefix("seq="));
    Report {
        device: device.map(str::to_owned),
        seen_seqnum: seen_seqnum.and_then(|n| n.parse().ok()).unwrap_or(0),
    }
}

/// A disk or partition is gone. What is on it cannot be reached, and the machine
/// lives on: its root is RAM.
pub fn on_removed(state: &mut SystemState, name: &str) {
    let device = state.data.device.as_deref();
    if device.and_then(|d| d.strip_prefix("/dev/")) != Some(name) {
        return;
    }
    let why = format!(
        "/dev/{name} has vanished, with the containers and the settings on it; what is written now is lost; power off, attach it, start again"
    );
    ready::update_degraded(state, names::DATA, Some(&why));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_on_a_disk_and_one_without() {
        let report = parse_report("data=/dev/vda1 fs=ext4 size=7 seq=812\n");
        assert_eq!(report.device.as_deref(), Some("/dev/vda1"));
        assert_eq!(report.seen_seqnum, 812);
        let report = parse_report("data=ram why=seq=3 data=/dev/sda no data disk seq=9\n");
        assert_eq!((report.device, report.seen_seqnum), (None, 9));
        for nothing in ["", "\n", "data=", "seq=x", "data=vda", "\u{fffd}"] {
            assert_eq!(parse_report(nothing).device, None, "{nothing}");
            assert_eq!(parse_report(nothing).seen_seqnum, 0, "{nothing}");
        }
    }

    #[test]
    fn only_the_data_disk_is_missed() {
        let mut state = SystemState::default();
        on_removed(&mut state, "vda1");
        state.data.device = Some("/dev/vda1".into());
        on_removed(&mut state, "vda");
        assert!(state.degraded.is_empty());
        on_removed(&mut state, "vda1");
        assert!(
            state
                .degraded
                .first()
                .is_some_and(|d| d.what == names::DATA)
        );
    }
}
