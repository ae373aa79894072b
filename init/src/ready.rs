//! The moment the machine is ready, and the one line that says so.

use std::net::SocketAddr;
use std::path::Path;

use config::Config;
use log::error;
use services::{
    Event, Manager, Millis, Readiness, ReadyWhen, Restart, ServiceDef, ServiceId, State, Supervisor,
};

use crate::service_table::names;
use crate::state::{Degraded, SystemState};
use sys::clock::now;
use sys::files::{read_bounded, replace};
use sys::paths::{PODMAN_SOCKET, READY, RUNTIME_DIR};
use sys::service_names::starts_at_boot;
use sys::{image, kmsg, net, syscall};

/// More of such a file is not read.
const MAX_REPORT_BYTES: u64 = 16 * 1024;
/// The console log level after the boot: warnings still break into what a
/// person types, notices (each sudo is one) and less are in the log (sysctl kernel.printk).
const CONSOLE_LEVEL: u8 = 5;

/// Whether everything that was asked for is up, or known not to come.
#[must_use]
pub fn settled(manager: &Manager) -> bool {
    let s = &manager.supervisor;
    s.ids().all(|id| s.readiness(id) != Readiness::Pending)
}

/// Says it, and starts what comes after.
pub fn announce(state: &mut SystemState, manager: &mut Manager) {
    for (name, why) in failed_gates(manager) {
        if !read_report(state, name) {
            state.degraded(name, &why);
        }
    }
    for name in finished_gates(manager) {
        read_report(state, name);
    }
    let line = ready_line(state, manager);
    kmsg::write(kmsg::console_visible(5), &line);
    write(READY, &format!("{line}\n"));
    write_degraded(state);
    kmsg::set_console_level(CONSOLE_LEVEL);
    syscall::expedite_rcu(false);
    image::raise_read_ahead();
    state.ready = Some(now());
    state.reported = finished_oneshots(&manager.supervisor);
    start(manager, &state.config, true);
}

fn write(path: &str, text: &str) {
    replace(Path::new(path), text.as_bytes(), 0o644).unwrap_or_else(|e| error!("{e}"));
}

/// Writes what is not as asked to where everybody finds it.
fn write_degraded(state: &SystemState) {
    let line = |d: &Degraded| format!("{}: {}\n", d.what, d.why);
    let text: String = state.degraded.iter().map(line).collect();
    write(sys::paths::DEGRADED, &text);
}

/// Something was asked for while the machine runs, and is there, or is not: what
/// was said of it before no longer holds.
pub fn update_degraded(state: &mut SystemState, what: &str, why: Option<&String>) {
    state.degraded.retain(|d| d.what != what);
    if let Some(why) = why {
        state.degraded(what, why);
    }
    write_degraded(state);
}

/// Starts the services of the boot, or those that come after it.
pub fn start(manager: &mut Manager, config: &Config, after_ready: bool) {
    for id in manager.supervisor.ids() {
        let row = manager.supervisor.definition(id);
        let is = |r: &ServiceDef| r.after_ready == after_ready && starts_at_boot(config, r.name);
        if row.is_some_and(is) {
            manager.note(now(), Event::Start(id));
        }
    }
}

/// Starts every service there is.
pub fn start_all(manager: &mut Manager) {
    for id in manager.supervisor.ids() {
        manager.note(now(), Event::Start(id));
    }
}

/// Name and reason of every service that the ready line waited for in vain.
fn failed_gates(manager: &Manager) -> Vec<(&'static str, String)> {
    let s = &manager.supervisor;
    let bad = s.ids().filter(|id| s.readiness(*id) == Readiness::Failed);
    bad.filter_map(|id| {
        s.definition(id)
            .map(|r| (r.name, reason(s.state(id), s.last_exit(id), r)))
    })
    .collect()
}

/// Those that have done what they could of what the ready line waited for.
fn finished_gates(manager: &Manager) -> Vec<&'static str> {
    let s = &manager.supervisor;
    let good = s.ids().filter(|id| s.readiness(*id) == Readiness::Ready);
    let rows = good.filter_map(|id| s.definition(id));
    rows.filter(|r| r.ready == ReadyWhen::Exit)
        .map(|r| r.name)
        .collect()
}

/// Takes what the helper of this service could not do; whether it says anything.
fn read_report(state: &mut SystemState, name: &str) -> bool {
    let path = Path::new(RUNTIME_DIR).join(name).with_extension("degraded");
    let text = read_bounded(&path, MAX_REPORT_BYTES).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    for (what, why) in parse_report(&text) {
        state.degraded(what, why);
    }
    parse_report(&text).next().is_some()
}

/// After each turn of the loop of a machine that is ready: what the one-shots that
/// have done their work since could not do. What they said before no longer holds.
pub fn follow(state: &mut SystemState, manager: &Manager) {
    if state.ready.is_none() {
        return;
    }
    // Not by who was at work before: one may begin and end within a turn.
    let over = finished_oneshots(&manager.supervisor);
    let before = std::mem::replace(&mut state.reported, over.clone());
    for (id, _) in over.into_iter().filter(|one| !before.contains(one)) {
        if let Some(row) = manager.supervisor.definition(id) {
            state.degraded.retain(|d| d.what != row.name);
            read_report(state, row.name);
            write_degraded(state);
        }
    }
}

/// The one-shots whose work is done, and since when.
fn finished_oneshots(s: &Supervisor) -> Vec<(ServiceId, Millis)> {
    let is = |id: &ServiceId| s.state(*id) == State::Done;
    let one = |row: &ServiceDef| row.ready == ReadyWhen::Exit || row.restart == Restart::Never;
    let once = |id: &ServiceId| s.definition(*id).is_some_and(one);
    let all = s.ids().filter(|id| is(id) && once(id));
    all.map(|id| (id, s.since(id))).collect()
}

/// What and why of each line that is one.
fn parse_report(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = text.lines();
    lines.filter_map(|l| l.strip_prefix("degraded ")?.split_once(": "))
}

fn reason(state: State, last: Option<services::ExitStatus>, row: &services::ServiceDef) -> String {
    match (state, last) {
        (State::Waiting, _) => format!("waits for {}, which is not there", row.needs.join(", ")),
        (_, Some(status)) => format!("{status}; the kernel log says more"),
        (State::Failed, _) => "it cannot be started; the kernel log says more".to_owned(),
        _ => row.late_reason(),
    }
}

/// `ready ssh=… api=… data=… init=… boot=…`, the contract's line.
fn ready_line(state: &SystemState, manager: &Manager) -> String {
    let good = |name: &str| {
        let s = &manager.supervisor;
        s.find(name)
            .is_some_and(|id| s.readiness(id) == Readiness::Ready)
    };
    let ssh = net::interface_addresses()
        .first()
        .filter(|_| good(names::SSHD))
        .map_or_else(
            || "none".to_owned(),
            |(_, addr)| SocketAddr::new(*addr, 22).to_string(),
        );
    let api = if good(names::PODMAN) {
        PODMAN_SOCKET
    } else {
        "none"
    };
    let data = state.data.device.as_deref().unwrap_or("ram");
    let init = now().saturating_sub(state.started);
    format!(
        "ready ssh={ssh} api={api} data={data} init={init} boot={}",
        now()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_lines_tell() {
        let text =
            "degraded swap: /dev/vdb: it is not swap\nnoise: x\ndegraded swap\n\ndegraded data: y";
        let all: Vec<_> = parse_report(text).collect();
        assert_eq!(all, [("swap", "/dev/vdb: it is not swap"), ("data", "y")]);
    }

    #[test]
    fn a_one_shot_that_begins_and_ends_within_a_turn_is_heard() {
        let once = ServiceDef {
            ready: ReadyWhen::Exit,
            restart: services::Restart::Never,
            ..ServiceDef::DEFAULT
        };
        let mut s = Supervisor::new(vec![once, ServiceDef::DEFAULT]);
        assert_eq!(finished_oneshots(&s), []);
        let mut before = Vec::new();
        for (at, pid) in [(1, 10), (5, 20)] {
            for id in s.ids() {
                s.handle(at, Event::Start(id));
                s.handle(
                    at,
                    Event::Spawned(id, pid + services::Pid::from(id.index() as u8)),
                );
            }
            s.handle(at + 1, Event::Exited(pid, services::ExitStatus::Exited(0)));
            let now = finished_oneshots(&s);
            assert!(now.len() == 1 && now != before, "{before:?} {now:?}");
            before = now;
        }
    }
}
