// SPDX-License-Identifier: Apache-2.0
//! `b2p status`: the machine in one line, its degraded parts, and a table of its services; or
//! all details of one service.

use std::path::Path;

use control::{LastExit, Report, Request, Service, State};
use sys::paths::SERVICE_CGROUPS;

use crate::common::args::only_json_option;
use crate::common::control_client::{self, ControlClient, machine_state};
use crate::common::json::Json;
use crate::common::status::{describe_end, find, hostname, unknown_service};
use crate::common::table::{Cell, Column, render};
use crate::common::terminal::{Colour, Terminal, print, print_error};
use crate::common::units;
use crate::common::usage::{self, Usage};

/// Columns of the table of services.
#[rustfmt::skip]
const COLUMNS: &[Column] = &[
    Column { title: "SERVICE",  right: false, keep: 0 },
    Column { title: "STATE",    right: false, keep: 0 },
    Column { title: "PID",      right: true,  keep: 5 },
    Column { title: "FOR",      right: true,  keep: 6 },
    Column { title: "RESTARTS", right: true,  keep: 2 },
    Column { title: "LAST",     right: false, keep: 4 },
    Column { title: "MEMORY",   right: true,  keep: 3 },
    Column { title: "CPU",      right: true,  keep: 1 },
];

/// Runs `b2p status [--json] [NAME...]` and returns the exit status.
pub fn main(control: &ControlClient, args: &[String]) -> i32 {
    if !only_json_option("status", args) {
        return 2;
    }
    let text = match control.ask(&Request::Status) {
        Ok(text) => text,
        Err(error) => {
            let error = control_client::explain(&error, "b2p status");
            print_error(&format!("b2p: {error}"));
            return 1;
        }
    };
    let report = Report::parse(&text);
    let is_json = args.iter().any(|arg| arg == "--json");
    let usage = |s: &Service<'_>| usage::of(Path::new(SERVICE_CGROUPS), s);
    let names = args.iter().filter(|arg| !arg.starts_with('-'));
    let statuses = names.map(|name| show_service(&report, name, is_json, &usage));
    if let Some(status) = statuses.max() {
        return status;
    }
    let hostname = hostname();
    print(&match is_json {
        true => machine_json(&report, &hostname, &usage).line(),
        false => machine_text(&report, &hostname, &usage, &Terminal::stdout()),
    });
    0
}

/// Prints the details of one service and returns the exit status: 0 if the service works or has
/// done its work.
fn show_service(
    report: &Report<'_>,
    name: &str,
    is_json: bool,
    usage: &dyn Fn(&Service<'_>) -> Usage,
) -> i32 {
    let Some(service) = find(report, name) else {
        print_error(&format!("b2p: {}", unknown_service(report, name)));
        return 1;
    };
    let usage = usage(service);
    print(&match is_json {
        true => service_json(service, usage).line(),
        false => service_text(report, service, usage, &Terminal::stdout()),
    });
    i32::from(!control_client::is_good(service.state))
}

fn machine_text(
    report: &Report<'_>,
    hostname: &str,
    usage: &dyn Fn(&Service<'_>) -> Usage,
    terminal: &Terminal,
) -> String {
    let mut out = head(report, hostname, terminal);
    for degraded in &report.degraded {
        let what = terminal.paint(Colour::Yellow, &format!("degraded {}:", degraded.what));
        out.push_str(&format!("  {what} {}\n", degraded.why));
    }
    if let Some(line) = shutdown(report) {
        out.push_str(&format!("  {}\n", terminal.paint(Colour::Yellow, &line)));
    }
    let now = report.machine.now.unwrap_or(0);
    let row = |s: &Service<'_>| row(s, now, usage(s));
    let rows: Vec<Vec<Cell>> = report.services.iter().map(row).collect();
    if !rows.is_empty() {
        out.push('\n');
        out.push_str(&render(COLUMNS, &rows, terminal));
    }
    if report.truncated {
        out.push_str("... there are more than fit an answer\n");
    }
    out
}

/// Returns the first line: `boot2podman 0.1.0 on box: running, up 3 min, data in RAM`.
fn head(report: &Report<'_>, hostname: &str, terminal: &Terminal) -> String {
    let machine = &report.machine;
    let state = machine_state(report);
    let colour = match state {
        "running" => Colour::Green,
        _ => Colour::Yellow,
    };
    let state = terminal.paint(colour, state);
    let mut out = format!("boot2podman {} on {hostname}: {state}", machine.version);
    if let (Some(now), Some(started)) = (machine.now, machine.started) {
        let up = units::span(now.saturating_sub(started));
        out.push_str(&format!(", up {up}"));
    }
    match machine.data {
        "" => {}
        "ram" => out.push_str(", data in RAM"),
        device => out.push_str(&format!(", data on {device}")),
    }
    out.push('\n');
    out
}

/// Returns the line about a shutdown that is scheduled or has begun.
fn shutdown(report: &Report<'_>) -> Option<String> {
    let shutdown = report.shutdown?;
    let kind = shutdown.kind.word();
    let left = shutdown.at.saturating_sub(report.machine.now.unwrap_or(0));
    Some(match left {
        0 => format!("{kind} has begun"),
        left => format!("{kind} in {}; `b2p cancel` cancels it", units::span(left)),
    })
}

fn state_colour(state: State) -> Colour {
    match state {
        State::Up | State::Armed | State::Done => Colour::Green,
        State::Failed => Colour::Red,
        State::Off => Colour::Dim,
        _ => Colour::Yellow,
    }
}

/// Returns the cells of one service, in the order of [`COLUMNS`].
fn row(s: &Service<'_>, now: u64, usage: Usage) -> Vec<Cell> {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let plain = |text: Option<String>| (or_dash(text), None);
    let state = match s.next.filter(|_| s.state == State::Delayed) {
        Some(next) => format!("delayed {}", units::span(next.saturating_sub(now))),
        None => s.state.word().to_owned(),
    };
    let since = s.since.map(|since| units::span(now.saturating_sub(since)));
    let ended_badly = s.last.is_some_and(|last| last != LastExit::Exited(0));
    vec![
        (s.name.to_owned(), None),
        (state, Some(state_colour(s.state))),
        plain(s.pid.map(|pid| pid.to_string())),
        plain(since),
        plain(s.restarts.map(|count| count.to_string())),
        (
            or_dash(s.last.map(abbreviate_end)),
            ended_badly.then_some(Colour::Yellow),
        ),
        plain(usage.memory.map(units::bytes)),
        plain(usage.cpu_us.map(|us| units::span(us / 1000))),
    ]
}

/// Returns `exit 1` or `SIGKILL`.
fn abbreviate_end(last: LastExit) -> String {
    match last {
        LastExit::Exited(code) => format!("exit {code}"),
        LastExit::Killed(_) => describe_end(last).replace("killed by ", ""),
    }
}

/// Returns all details of a service, one per line.
fn service_text(report: &Report<'_>, s: &Service<'_>, usage: Usage, terminal: &Terminal) -> String {
    let now = report.machine.now.unwrap_or(0);
    let started = report.machine.started.unwrap_or(0);
    let ago = |at: u64| format!("{} ago", units::span(now.saturating_sub(at)));
    let ahead = |at: u64| format!("in {}", units::span(at.saturating_sub(now)));
    let after_boot = |at: u64| {
        let after = units::span(at.saturating_sub(started));
        format!("{after} after PID 1 started")
    };
    let state = terminal.paint(state_colour(s.state), s.state.word());
    let lines = [
        ("state", Some(state)),
        ("user", s.user.map(|uid| uid.to_string())),
        ("since", s.since.map(ago)),
        ("pid", s.pid.map(|pid| pid.to_string())),
        ("restarts", s.restarts.map(|count| count.to_string())),
        ("last end", s.last.map(describe_end)),
        ("next", s.next.map(ahead)),
        ("memory", usage.memory.map(units::bytes)),
        ("cpu", usage.cpu_us.map(|us| units::span(us / 1000))),
        ("first asked", s.asked.map(after_boot)),
        ("spawned", s.spawned.map(after_boot)),
        ("ready", s.ready.map(after_boot)),
    ];
    let line = |(key, value)| value_line(key, value);
    let text: String = lines.into_iter().filter_map(line).collect();
    format!("{}\n{text}", s.name)
}

fn value_line(key: &str, value: Option<String>) -> Option<String> {
    Some(format!("  {key:<12} {}\n", value?))
}

/// Returns the object of `b2p status --json`; docs/reference/control.md lists its keys.
fn machine_json(
    report: &Report<'_>,
    hostname: &str,
    usage: &dyn Fn(&Service<'_>) -> Usage,
) -> Json {
    let machine = &report.machine;
    let degraded = |d: &control::Degraded<'_>| {
        Json::Object(vec![
            ("what", Json::text(d.what)),
            ("why", Json::text(d.why)),
        ])
    };
    let shutdown = report.shutdown.map_or(Json::Null, |s| {
        Json::Object(vec![
            ("how", Json::text(s.kind.word())),
            ("at_ms", s.at.into()),
        ])
    });
    let service = |s: &Service<'_>| service_json(s, usage(s));
    Json::Object(vec![
        ("version", Json::text(machine.version)),
        ("hostname", Json::text(hostname)),
        ("state", Json::text(machine_state(report))),
        ("data", Json::text(machine.data)),
        ("now_ms", machine.now.into()),
        ("started_ms", machine.started.into()),
        ("ready_ms", machine.ready.into()),
        ("degraded", report.degraded.iter().map(degraded).collect()),
        ("shutdown", shutdown),
        ("services", report.services.iter().map(service).collect()),
    ])
}

fn service_json(s: &Service<'_>, usage: Usage) -> Json {
    let last = s.last.map_or(Json::Null, |last| {
        let (how, number) = match last {
            LastExit::Exited(code) => ("exited", code),
            LastExit::Killed(signal) => ("killed", signal),
        };
        Json::Object(vec![(how, Json::Number(number.into()))])
    });
    Json::Object(vec![
        ("name", Json::text(s.name)),
        ("state", Json::text(s.state.word())),
        ("user", s.user.into()),
        ("since_ms", s.since.into()),
        ("pid", s.pid.into()),
        ("restarts", s.restarts.into()),
        ("last", last),
        ("asked_ms", s.asked.into()),
        ("spawned_ms", s.spawned.into()),
        ("ready_ms", s.ready.into()),
        ("next_ms", s.next.into()),
        ("memory_bytes", usage.memory.into()),
        ("cpu_us", usage.cpu_us.into()),
    ])
}

#[cfg(test)]
mod tests;
