// SPDX-License-Identifier: Apache-2.0
//! The ready line, which reports on every console that the machine is ready, and the degraded lines that follow from
//! the states of services and their files of degraded lines. A gate is a service that the ready line waits for.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use config::Config;
use log::{error, warn};
use services::state::Change;
use services::{Manager, Readiness, ServiceDef, ServiceId, State, Supervisor};
use sys::clock::now;
use sys::files::{read_bounded, replace};
use sys::paths::{PODMAN_SOCKET, READY, RUNTIME_DIR};
use sys::{image, kmsg, net, ssh_ports, syscall};

use crate::bounded::bounded_output;
use crate::context::Context;
use crate::data_disk;
use crate::event_sources::Event;
use crate::service_table::{self, names};
use crate::state::SystemState;

/// Number of bytes of a service's degraded file that are read.
const MAX_DEGRADED_BYTES: u64 = 16 * 1024;
/// Time limit for the addresses of the interfaces, in milliseconds.
const ADDRESS_MS: i32 = 500;
/// Console log level after the boot (sysctl kernel.printk): warnings still interrupt the input line
/// of a terminal; notices (each sudo is one) and less are in the log alone.
const CONSOLE_LEVEL: u8 = 5;

/// Returns true if every gate of the ready line is ready, has failed, or is late.
#[must_use]
pub fn no_gate_pending(manager: &Manager) -> bool {
    let s = manager.supervisor();
    s.ids().all(|id| s.readiness(id) != Readiness::Pending)
}

/// Starts the services of the boot, or the services that follow the ready line.
pub fn start_services(manager: &mut Manager, state: &SystemState, after_ready: bool) {
    for id in manager.supervisor().ids() {
        let def = manager.supervisor().definition(id);
        let starts =
            |def: &ServiceDef| def.after_ready == after_ready && state.starts_at_boot(def.name);
        if def.is_some_and(starts) {
            manager.note(now(), services::Input::Start(id));
        }
    }
}

/// Starts the services that follow the ready line.
pub fn start_after_ready(context: &mut Context<'_>, _: &Event) {
    start_services(context.manager, context.state, true);
}

/// Updates the degraded lines of all services.
pub fn update_all_degraded_lines(context: &mut Context<'_>, _: &Event) {
    for id in context.manager.supervisor().ids() {
        update_degraded_lines(context, id);
    }
}

/// Updates the degraded lines of a service whose state has changed; removes them if the service is off.
pub fn update_degraded_lines_of_service(context: &mut Context<'_>, event: &Event) {
    let Event::Service(change) = event else {
        return;
    };
    match *change {
        Change::Ended(id, _) | Change::NotStarted(id) | Change::Cancelled(id)
            if context.manager.supervisor().state(id) == State::Off =>
        {
            let def = context.manager.supervisor().definition(id);
            let name = def.map_or("", |def| def.name);
            context.state.degraded.set(name, []);
        }
        Change::Ready(id)
        | Change::Late(id)
        | Change::Ended(id, _)
        | Change::NotStarted(id)
        | Change::DegradedWritten(id) => update_degraded_lines(context, id),
        Change::AutoRestart { id, .. } | Change::StartDelayed { id, .. } => {
            report_failed_start(context, id)
        }
        Change::PlannedRestart(..) | Change::Looping { .. } | Change::Cancelled(_) => {}
    }
}

/// Replaces the degraded lines of a service that is about to restart by those of its degraded file, unless that is
/// empty: a service whose every start fails shows its reason.
fn report_failed_start(context: &mut Context<'_>, id: ServiceId) {
    let Some(def) = context.manager.supervisor().definition(id) else {
        return;
    };
    let text = read_degraded_file(def.name);
    let mut lines = parse_degraded_file(&text).peekable();
    if lines.peek().is_some() {
        context.state.degraded.set(def.name, lines);
    }
}

/// Replaces the degraded lines of a service by those of its degraded file. If the file has none and the service has
/// failed or is late, one line with the reason is listed. A service that is not ready and has no line keeps its earlier
/// lines.
pub fn update_degraded_lines(context: &mut Context<'_>, id: ServiceId) {
    let s = context.manager.supervisor();
    let state = s.state(id);
    let Some(def) = s.definition(id).filter(|_| state != State::Off) else {
        return;
    };
    let text = read_degraded_file(def.name);
    let is_data = def.name == names::DATA;
    let lost = is_data.then(|| data_disk::loss_of_data_disk(context.state));
    let lost = lost.flatten();
    let mut lines: Vec<_> = parse_degraded_file(&text).collect();
    lines.extend(lost.as_deref().map(|why| (names::DATA, why)));
    let why = failure_reason(s, id, def);
    let reason = is_degraded(s, id).then_some((def.name, why.as_str()));
    if let Some(lines) = lines_to_list(state, lines, reason) {
        context.state.degraded.set(def.name, lines);
    }
}

/// A part of the machine, and the reason why it is degraded.
type Line<'a> = (&'a str, &'a str);

/// Returns the degraded lines of a service in `state`: the lines that it has written, or else the `reason` why it is
/// degraded. Returns `None` for a service that keeps its earlier lines: it is not ready, and has neither.
fn lines_to_list<'a>(
    state: State,
    mut written: Vec<Line<'a>>,
    reason: Option<Line<'a>>,
) -> Option<Vec<Line<'a>>> {
    if written.is_empty() {
        written.extend(reason);
    }
    (state.satisfies_dependents() || !written.is_empty()).then_some(written)
}

/// Returns true if the service counts as degraded: a gate of the ready line is not ready and no longer awaited, or a
/// user service has failed. A user service that is late does not count, because it may be pulling an image.
fn is_degraded(s: &Supervisor, id: ServiceId) -> bool {
    s.readiness(id) == Readiness::NotReady || s.state(id) == State::Failed && s.is_user_service(id)
}

/// Returns the text of a service's degraded file, `<name>.degraded`, which has lines `degraded <what>: <why>`.
fn read_degraded_file(name: &str) -> String {
    let path = Path::new(RUNTIME_DIR).join(name).with_extension("degraded");
    let text = read_bounded(&path, MAX_DEGRADED_BYTES).unwrap_or_default();
    String::from_utf8_lossy(&text).into_owned()
}

fn parse_degraded_file(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = text.lines();
    lines.filter_map(|line| line.strip_prefix("degraded ")?.split_once(": "))
}

fn failure_reason(s: &Supervisor, id: ServiceId, def: &ServiceDef) -> String {
    let is_missing = |need: &&&str| {
        !s.find(need)
            .is_some_and(|id| s.state(id).satisfies_dependents())
    };
    let missing: Vec<&str> = def.needs.iter().filter(is_missing).copied().collect();
    match (s.state(id), s.last_exit(id)) {
        (State::Waiting, _) if !missing.is_empty() => {
            format!("waits for {}: not running", missing.join(", "))
        }
        // The status of a service that runs is that of its earlier run.
        (State::Failed | State::Delayed { .. }, Some(status)) => {
            format!("{status}; the kernel log says more")
        }
        (State::Failed | State::Delayed { .. }, None) => {
            "not started; the kernel log says more".to_owned()
        }
        _ => def.late_reason(),
    }
}

/// Updates the degraded lines of flags that name a service which neither the table nor a file defines.
pub fn report_unknown_services(context: &mut Context<'_>, _: &Event) {
    let supervisor = context.manager.supervisor();
    let defs = || supervisor.ids().filter_map(|id| supervisor.definition(id));
    let known: Vec<&str> = defs().map(|def| def.name).collect();
    let lines = unknown_services(&context.state.config, &known);
    let lines = lines.iter().map(|(flag, why)| (*flag, why.as_str()));
    context.state.degraded.set("b2p.off", lines);
}

/// Returns the flag and a message for each service that a flag names, that is not `known` and that the table
/// does not have on another machine or with other flags either.
fn unknown_services(config: &Config, known: &[&str]) -> Vec<(&'static str, String)> {
    let is_unknown = |name: &str| !known.contains(&name) && !service_table::is_reserved(name);
    let named = config.services.iter();
    let message = |(name, on): &(String, bool)| {
        let similar = config::suggest(name, &mut known.iter().copied());
        let advice = similar.map_or(String::new(), |name| format!("; did you mean {name}?"));
        let flag = if *on { "b2p.on" } else { "b2p.off" };
        (flag, format!("{name}: no such service{advice}"))
    };
    named
        .filter(|(name, _)| is_unknown(name))
        .map(message)
        .collect()
}

/// Writes the ready line to the kernel log, on every console, and to a file.
pub fn announce(context: &mut Context<'_>, _: &Event) {
    let line = ready_line(context.state, context.manager.supervisor());
    kmsg::write(kmsg::ensure_console_priority(kmsg::NOTICE), &line);
    let written = replace(Path::new(READY), format!("{line}\n").as_bytes(), 0o644);
    written.unwrap_or_else(|e| error!("{e}"));
    context.state.degraded.publish();
    context.state.ready = Some(now());
}

/// Returns the first address of the interfaces. A child asks the kernel, whose answer waits for the lock of all
/// interfaces (net/core/rtnetlink.c, `rtnl_lock`): a driver that brings a card up and waits for its hardware
/// holds the lock.
fn first_address() -> Option<IpAddr> {
    let ask = || {
        let addresses = net::interface_addresses().into_iter();
        let texts = addresses.take(1).map(|(_, address)| address.to_string());
        Ok(texts.collect::<String>().into_bytes())
    };
    let text = bounded_output(ADDRESS_MS, ask)
        .inspect_err(|e| warn!("addresses of the interfaces: {e}"))
        .ok()?;
    String::from_utf8(text).ok()?.parse().ok()
}

/// Returns `ready ssh=… api=… data=… init=… boot=…`, a line that programs parse; the times are
/// milliseconds since the start of PID 1 and of the kernel.
fn ready_line(state: &mut SystemState, supervisor: &Supervisor) -> String {
    let is_ready = |name: &str| {
        let id = supervisor.find(name);
        id.is_some_and(|id| supervisor.readiness(id) == Readiness::Ready)
    };
    let ssh = match is_ready(names::SSHD).then(first_address).flatten() {
        Some(address) => SocketAddr::new(address, ssh_ports::first()).to_string(),
        None => "none".to_owned(),
    };
    let api = match is_ready(names::PODMAN) {
        true => PODMAN_SOCKET,
        false => "none",
    };
    let data = data_disk::place(state);
    let boot = now();
    let init = boot.saturating_sub(state.started);
    format!("ready ssh={ssh} api={api} data={data} init={init} boot={boot}")
}

/// Switches from boot to normal operation: RCU grace periods are no longer expedited, which interrupts
/// every processor; the console shows warnings alone; files are read further ahead, because podman reads
/// most of its libraries.
pub fn end_boot_settings(_: &mut Context<'_>, _: &Event) {
    kmsg::set_console_level(CONSOLE_LEVEL);
    syscall::expedite_rcu(false);
    image::raise_read_ahead();
}

#[cfg(test)]
mod tests {
    use services::{ExitStatus, Input, Manager, Restart};

    use super::*;

    #[test]
    fn only_the_needs_that_are_missing_are_named() {
        let def = |name, needs| ServiceDef {
            name,
            needs,
            restart: Restart::Never,
            ..ServiceDef::ONE_SHOT
        };
        let defs = vec![
            def("here", &[]),
            def("gone", &[]),
            def("web", &["here", "gone"]),
        ];
        let mut manager = Manager::new(defs, None, |_, _| {});
        let ids: Vec<ServiceId> = manager.supervisor().ids().collect();
        let reason = |manager: &Manager| {
            let s = manager.supervisor();
            s.definition(ids[2])
                .map(|def| failure_reason(s, ids[2], def))
        };
        manager.note(0, Input::Start(ids[2]));
        let _ = manager.decide(0);
        let both = reason(&manager);
        assert_eq!(both.as_deref(), Some("waits for here, gone: not running"));
        for (id, pid) in ids.iter().zip(100..).take(2) {
            manager.note(0, Input::Spawned(*id, pid));
            let status = ExitStatus::Exited(pid - 100);
            manager.note(1, Input::Exited(pid, status));
        }
        let one = reason(&manager);
        assert_eq!(one.as_deref(), Some("waits for gone: not running"));
    }

    #[test]
    fn a_failed_user_service_is_degraded_and_a_late_one_is_not() {
        let own = ServiceDef {
            name: "own",
            restart: Restart::Never,
            ..ServiceDef::ONE_SHOT
        };
        let mut manager = Manager::new(vec![own], None, |_, _| {});
        let web = manager.load("web", b"exec /bin/web\nrestart never\nlate 1s\n", "", "");
        assert!(web.is_ok(), "{web:?}");
        let ids: Vec<ServiceId> = manager.supervisor().ids().collect();
        let lacking = |manager: &Manager| -> Vec<bool> {
            let s = manager.supervisor();
            ids.iter().map(|id| is_degraded(s, *id)).collect()
        };
        for (id, pid) in ids.iter().zip(100..) {
            manager.note(0, Input::Start(*id));
            let _ = manager.decide(0);
            manager.note(0, Input::Spawned(*id, pid));
        }
        manager.note(10_000, Input::Tick);
        assert_eq!(lacking(&manager), [false, false]);
        for pid in [100, 101] {
            manager.note(20_000, Input::Exited(pid, ExitStatus::Exited(3)));
        }
        assert_eq!(lacking(&manager), [false, true]);
        manager.note(30_000, Input::ResetFailed(ids[1]));
        assert_eq!(lacking(&manager), [false, false]);
    }

    #[test]
    fn the_reason_of_a_late_second_run_is_not_the_end_of_the_first() {
        let once = ServiceDef {
            name: "once",
            late_ms: 1_000,
            late_text: "still at it after {} s",
            ..ServiceDef::ONE_SHOT
        };
        let mut manager = Manager::new(vec![once], None, |_, _| {});
        let id = manager.supervisor().ids().next().expect("a service");
        let reason = |manager: &Manager| {
            let s = manager.supervisor();
            s.definition(id).map(|def| failure_reason(s, id, def))
        };
        manager.note(0, Input::Start(id));
        let _ = manager.decide(0);
        manager.note(0, Input::Spawned(id, 100));
        manager.note(1, Input::Exited(100, ExitStatus::Exited(3)));
        let _ = manager.decide(1);
        let failed = reason(&manager).unwrap_or_default();
        assert!(failed.contains("status 3"), "{failed}");
        manager.note(2, Input::Start(id));
        let _ = manager.decide(2);
        manager.note(2, Input::Spawned(id, 101));
        assert_eq!(reason(&manager).as_deref(), Some("still at it after 1 s"));
    }

    #[test]
    fn a_flag_with_a_name_of_no_service_is_reported() {
        let line = b"b2p.off=web,sshd,swap,console-ttyS9,netz b2p.on=timer";
        let config = config::parse(line, &[]).0;
        let known = ["sshd", "net", "web", "timers"];
        let expected = [
            ("b2p.off", "netz: no such service; did you mean net?"),
            ("b2p.on", "timer: no such service; did you mean timers?"),
        ];
        let lines = unknown_services(&config, &known);
        let lines: Vec<_> = lines.iter().map(|(f, why)| (*f, why.as_str())).collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn written_lines_replace_the_reason_and_a_service_without_either_keeps_its_lines() {
        let (line, reason) = (("swap", "no area"), ("swap", "status 1"));
        for (state, written, reason, listed) in [
            (State::Done, vec![], None, Some(vec![])),
            (State::Done, vec![line], None, Some(vec![line])),
            (State::Failed, vec![], Some(reason), Some(vec![reason])),
            (State::Failed, vec![line], Some(reason), Some(vec![line])),
            (State::Waiting, vec![], None, None),
        ] {
            assert_eq!(lines_to_list(state, written, reason), listed, "{state:?}");
        }
    }

    #[test]
    fn only_whole_lines_of_a_degraded_file_count() {
        let text =
            "degraded swap: /dev/vdb: it is not swap\nnoise: x\ndegraded swap\n\ndegraded data: y";
        let lines: Vec<_> = parse_degraded_file(text).collect();
        let expected = [("swap", "/dev/vdb: it is not swap"), ("data", "y")];
        assert_eq!(lines, expected);
    }
}
