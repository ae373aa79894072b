//! `b2p status`: the machine in a line, what is wrong with it, and a table of
//! its services; or all that is known of one of them.

use std::path::Path;

use control::{LastExit, Report, Request, Service, State};
use sys::paths::SERVICE_CGROUPS;

use crate::client::help::options_known;
use crate::client::json::Json;
use crate::client::usage::{self, Usage};
use crate::common::control_client::{self, ControlClient, machine_state};
use crate::common::table::{Cell, Column, render};
use crate::common::terminal::{Colour, Screen, print, print_error};
use crate::common::units;

/// What is over the table, and which column goes first where room is short.
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

/// `b2p status [--json] [NAME...]`.
pub fn main(link: &ControlClient, words: &[String]) -> i32 {
    if !options_known("status", words) {
        return 2;
    }
    let json = words.iter().any(|w| w == "--json");
    let text = match link.ask(&Request::Status) {
        Ok(text) => text,
        Err(failure) => {
            print_error(&control_client::line(&failure, "b2p status"));
            return 1;
        }
    };
    let report = Report::parse(&text);
    let usage = |name: &str| usage::of(Path::new(SERVICE_CGROUPS), name);
    let names = words.iter().filter(|w| !w.starts_with('-'));
    let one = |name: &String| one(&report, name, json, &usage);
    if let Some(code) = names.map(one).max() {
        return code;
    }
    let hostname = hostname();
    print(&if json {
        object(&report, &hostname, &usage).line()
    } else {
        all(&report, &hostname, &usage, &Screen::stdout())
    });
    0
}

/// Prints what is known of one; 0 if it does what it is there for.
fn one(report: &Report<'_>, name: &str, json: bool, usage: &dyn Fn(&str) -> Usage) -> i32 {
    let name = config::canonical_service_name(name);
    let Some(service) = report.services.iter().find(|s| s.name == name) else {
        print_error(&unknown(report, name));
        return 1;
    };
    print(&if json {
        service_object(service, usage(name)).line()
    } else {
        details(report, service, usage(name), &Screen::stdout())
    });
    i32::from(!control_client::good(service.state))
}

/// The line for a name that no service has.
pub fn unknown(report: &Report<'_>, name: &str) -> String {
    let mut names = report.services.iter().map(|s| s.name);
    let near = config::suggest(name, &mut names);
    let near = near.map_or(String::new(), |n| format!("; did you mean {n}?"));
    format!("b2p: {name}: no such service{near}")
}

fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim_ascii().to_owned()
}

fn all(
    report: &Report<'_>,
    hostname: &str,
    usage: &dyn Fn(&str) -> Usage,
    screen: &Screen,
) -> String {
    let mut out = head(report, hostname, screen);
    for d in &report.degraded {
        let what = screen.paint(Colour::Yellow, &format!("degraded {}:", d.what));
        out.push_str(&format!("  {what} {}\n", d.why));
    }
    out.extend(shutdown(report).map(|line| format!("  {}\n", screen.paint(Colour::Yellow, &line))));
    let now = report.machine.now.unwrap_or(0);
    let row = |s: &Service<'_>| row(s, now, usage(s.name));
    let rows: Vec<Vec<Cell>> = report.services.iter().map(row).collect();
    if !rows.is_empty() {
        out.push('\n');
        out.push_str(&render(COLUMNS, &rows, screen));
    }
    if report.truncated {
        out.push_str("... there are more than fit an answer\n");
    }
    out
}

/// `boot2podman 0.1.0 on box: running, up 3 min, data in RAM`.
fn head(report: &Report<'_>, hostname: &str, screen: &Screen) -> String {
    let state = machine_state(report);
    let colour = match state {
        "running" => Colour::Green,
        _ => Colour::Yellow,
    };
    let m = &report.machine;
    let mut out = format!("boot2podman {} on {hostname}: ", m.version);
    out.push_str(&screen.paint(colour, state));
    if let (Some(now), Some(started)) = (m.now, m.started) {
        out.push_str(&format!(
            ", up {}",
            units::span(now.saturating_sub(started))
        ));
    }
    match m.data {
        "" => {}
        "ram" => out.push_str(", data in RAM"),
        device => out.push_str(&format!(", data on {device}")),
    }
    out.push('\n');
    out
}

fn shutdown(report: &Report<'_>) -> Option<String> {
    let s = report.shutdown?;
    let left = s.at.saturating_sub(report.machine.now.unwrap_or(0));
    Some(match left {
        0 => format!("{} has begun", s.kind.word()),
        left => format!(
            "{} in {}; `b2p cancel` cancels it",
            s.kind.word(),
            units::span(left)
        ),
    })
}

/// The colour of a state.
pub fn colour(state: State) -> Colour {
    match state {
        State::Up | State::Armed | State::Done => Colour::Green,
        State::Failed => Colour::Red,
        State::Off => Colour::Dim,
        _ => Colour::Yellow,
    }
}

fn row(s: &Service<'_>, now: u64, usage: Usage) -> Vec<Cell> {
    let number = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let state = match s.next.filter(|_| s.state == State::Delayed) {
        Some(next) => format!("delayed {}", units::span(next.saturating_sub(now))),
        None => s.state.word().to_owned(),
    };
    let since = s.since.map(|since| units::span(now.saturating_sub(since)));
    let plain = |text: Option<String>| (text.unwrap_or_else(|| "-".to_owned()), None);
    let bad = s.last.is_some_and(|l| l != LastExit::Exited(0));
    vec![
        (s.name.to_owned(), None),
        (state, Some(colour(s.state))),
        (number(s.pid), None),
        plain(since),
        (number(s.restarts), None),
        (
            s.last.map_or_else(|| "-".to_owned(), short),
            bad.then_some(Colour::Yellow),
        ),
        plain(usage.memory.map(units::bytes)),
        plain(usage.cpu_us.map(|us| units::span(us / 1000))),
    ]
}

/// `exit 1`, `SIGKILL`.
fn short(last: LastExit) -> String {
    match last {
        LastExit::Exited(code) => format!("exit {code}"),
        LastExit::Killed(_) => long(last).replace("killed by ", ""),
    }
}

/// `exited with status 1`, `killed by SIGKILL`.
pub fn long(last: LastExit) -> String {
    match last {
        LastExit::Exited(code) => services::ExitStatus::Exited(code).to_string(),
        LastExit::Killed(signal) => services::ExitStatus::Killed(signal).to_string(),
    }
}

/// All that is known of a service, a line each.
fn details(report: &Report<'_>, s: &Service<'_>, usage: Usage, screen: &Screen) -> String {
    let now = report.machine.now.unwrap_or(0);
    let ago = |at: u64| format!("{} ago", units::span(now.saturating_sub(at)));
    let boot = |at: u64| {
        let after = at.saturating_sub(report.machine.started.unwrap_or(0));
        format!("{} after PID 1 started", units::span(after))
    };
    let state = screen.paint(colour(s.state), s.state.word());
    let lines = [
        ("state", Some(state)),
        ("since", s.since.map(ago)),
        ("pid", s.pid.map(|n| n.to_string())),
        ("restarts", s.restarts.map(|n| n.to_string())),
        ("last end", s.last.map(long)),
        (
            "next",
            s.next
                .map(|at| format!("in {}", units::span(at.saturating_sub(now)))),
        ),
        ("memory", usage.memory.map(units::bytes)),
        ("cpu", usage.cpu_us.map(|us| units::span(us / 1000))),
        ("first asked", s.asked.map(boot)),
        ("spawned", s.spawned.map(boot)),
        ("ready", s.ready.map(boot)),
    ];
    let known = lines
        .into_iter()
        .filter_map(|(key, value)| value.map(|v| (key, v)));
    let text: String = known
        .map(|(key, value)| format!("  {key:<12} {value}\n"))
        .collect();
    format!("{}\n{text}", s.name)
}

/// `b2p status --json`; docs/reference/control.md has the keys.
fn object(report: &Report<'_>, hostname: &str, usage: &dyn Fn(&str) -> Usage) -> Json {
    let m = &report.machine;
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
    let service = |s: &Service<'_>| service_object(s, usage(s.name));
    Json::Object(vec![
        ("version", Json::text(m.version)),
        ("hostname", Json::text(hostname)),
        ("state", Json::text(machine_state(report))),
        ("data", Json::text(m.data)),
        ("now_ms", m.now.into()),
        ("started_ms", m.started.into()),
        ("ready_ms", m.ready.into()),
        ("degraded", report.degraded.iter().map(degraded).collect()),
        ("shutdown", shutdown),
        ("services", report.services.iter().map(service).collect()),
    ])
}

fn service_object(s: &Service<'_>, usage: Usage) -> Json {
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
