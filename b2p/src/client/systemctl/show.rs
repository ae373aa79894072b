// SPDX-License-Identifier: Apache-2.0
//! `systemctl show` and `status`: the properties of units.

use std::path::Path;

use control::{LastExit, Report, Service, State};
use sys::paths::SERVICE_CGROUPS;

use super::enable;
use super::options::Options;
use super::query::{NO_SUCH_UNIT, NOT_RUNNING};
use super::units::{self, View};
use crate::common::log::log_time;
use crate::common::terminal::{print_plain as print, print_plain_error as print_error};
use crate::common::units as amounts;
use crate::common::usage;
use crate::helpers::quadlet::specifiers::Owner;

/// Keys of a unit that are shown unchanged.
const UNIT_KEYS: &[(&str, &str)] = &[
    ("Unit", "Requires"),
    ("Unit", "Wants"),
    ("Unit", "BindsTo"),
    ("Unit", "PartOf"),
    ("Unit", "Before"),
    ("Unit", "After"),
    ("Unit", "SourcePath"),
    ("Install", "WantedBy"),
    ("Unit", "OnFailure"),
    ("Unit", "Documentation"),
    ("Install", "RequiredBy"),
    ("Service", "NotifyAccess"),
    ("Service", "Environment"),
    ("Service", "WorkingDirectory"),
];
/// Properties that a unit may be without.
const UNSET: &[&str] = &[
    "ActiveEnterTimestamp",
    "InactiveEnterTimestamp",
    "ExecMainStartTimestamp",
    "ExecMainExitTimestamp",
    "DropInPaths",
    "InvocationID",
    "TriggeredBy",
    "LoadError",
];
/// Keys of a service with the value that a unit without the key has.
const DEFAULTS: &[(&str, &str)] = &[
    ("Restart", "no"),
    ("KillMode", "control-group"),
    ("Slice", "system.slice"),
    ("User", ""),
    ("ExecStart", ""),
    ("ExecReload", ""),
    ("ExecStop", ""),
];
/// Lines of the log that `status` shows.
const LOG_LINES: &str = "10";

/// Runs `show`: prints properties of units, or of the machine.
pub fn show(report: &Report<'_>, owner: &Owner, options: &Options) -> i32 {
    if options.names.is_empty() {
        let version = crate::client::version::AS_SYSTEMD.to_owned();
        let state = crate::common::control_client::machine_state(report).to_owned();
        let properties = vec![("Version", version), ("SystemState", state)];
        print(&text(&properties, options));
        return 0;
    }
    let views = options
        .names
        .iter()
        .map(|name| units::find(report, owner, name));
    let texts: Vec<String> = views
        .map(|view| text(&properties(report, &view), options))
        .collect();
    print(&texts.join("\n"));
    0
}

/// Returns the requested properties, or all.
fn text(properties: &[(&'static str, String)], options: &Options) -> String {
    let names = options.list("property");
    let mut out = String::new();
    let mut line = |(key, value): &(&str, String)| match options.has("value") {
        true => out.push_str(&format!("{value}\n")),
        false => out.push_str(&format!("{key}={value}\n")),
    };
    if names.is_empty() {
        properties.iter().for_each(line);
    } else {
        let asked = names
            .iter()
            .filter_map(|name| properties.iter().find(|(key, _)| key == name));
        asked.for_each(&mut line);
    }
    out
}

/// Returns all properties of a unit.
fn properties(report: &Report<'_>, view: &View<'_>) -> Vec<(&'static str, String)> {
    let mut all = match view.timer {
        Some(_) => super::timers::properties(view),
        None => process_properties(view),
    };
    all.extend(unit_properties(view));
    all.extend(times(report, view));
    let key = |(section, key): &(&'static str, &'static str)| {
        let unit = view.unit.as_ref()?;
        Some((*key, unit.all(section, key).join(" ")))
    };
    all.extend(UNIT_KEYS.iter().filter_map(key));
    let value = |(key, default): &(&'static str, &str)| {
        let unit = view.unit.as_ref();
        let value = unit.and_then(|unit| unit.last("Service", key));
        (*key, value.unwrap_or(default).to_owned())
    };
    all.extend(DEFAULTS.iter().filter(|_| view.timer.is_none()).map(value));
    // Properties that have a name here and no value are empty, as those of systemd are.
    for key in UNSET
        .iter()
        .copied()
        .chain(UNIT_KEYS.iter().map(|(_, key)| *key))
    {
        if !all.iter().any(|(known, _)| *known == key) {
            all.push((key, String::new()));
        }
    }
    all
}

/// Returns the properties of a unit's processes.
fn process_properties(view: &View<'_>) -> Vec<(&'static str, String)> {
    let service = view.service;
    let number = |n: Option<u64>| n.map_or("[not set]".to_owned(), |n| n.to_string());
    let usage = service.map(|s| usage::of(Path::new(SERVICE_CGROUPS), &s));
    let usage = usage.unwrap_or_default();
    let cpu_ns = usage.cpu_us.map(|us| us.saturating_mul(1_000));
    let main = main_pid(view);
    let (code, status) = match service.and_then(|s| s.last) {
        None => (0, 0),
        Some(LastExit::Exited(status)) => (1, status),
        Some(LastExit::Killed(signal)) => (2, signal),
    };
    let kind = view.key("Service", "Type").unwrap_or("simple");
    let restarts = service.and_then(|s| s.restarts).unwrap_or(0);
    vec![
        ("Type", kind.to_owned()),
        ("MainPID", main.to_string()),
        ("ExecMainPID", main.to_string()),
        ("ExecMainCode", code.to_string()),
        ("ExecMainStatus", status.to_string()),
        ("Result", result(view)),
        ("NRestarts", restarts.to_string()),
        ("StatusText", view.told().status.clone()),
        ("MemoryCurrent", number(usage.memory)),
        ("CPUUsageNSec", number(cpu_ns)),
        (
            "ControlGroup",
            service.map(|s| cgroup(&s)).unwrap_or_default(),
        ),
    ]
}

/// Returns the properties of a unit itself.
fn unit_properties(view: &View<'_>) -> Vec<(&'static str, String)> {
    let (active, sub) = view.states();
    let is_service = view.service.is_some() || view.timer.is_some();
    let can_reload = view.can_reload();
    vec![
        ("Id", view.name.clone()),
        ("Names", view.name.clone()),
        ("Description", view.description().to_owned()),
        ("LoadState", load_state(view).to_owned()),
        ("ActiveState", active.to_owned()),
        ("SubState", sub.to_owned()),
        ("FragmentPath", view.fragment()),
        ("UnitFileState", unit_file_state(view)),
        ("ConditionResult", yes(view.told().result != "condition")),
        ("CanStart", yes(is_service)),
        ("CanStop", yes(is_service)),
        ("CanReload", yes(can_reload)),
        ("NeedDaemonReload", yes(false)),
    ]
}

fn yes(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

/// Returns `loaded`, or `not-found`.
pub fn load_state(view: &View<'_>) -> &'static str {
    match &view.not_loaded {
        Some(why) => why.word(),
        None if view.exists() => "loaded",
        None => "not-found",
    }
}

fn unit_file_state(view: &View<'_>) -> String {
    Some(enable::word(view))
        .filter(|word| *word != "not-found")
        .unwrap_or_default()
        .to_owned()
}

fn result(view: &View<'_>) -> String {
    let told = view.told().result;
    let last = view.service.and_then(|s| s.last);
    let failed = view
        .service
        .is_some_and(|s| matches!(s.state, State::Failed | State::Delayed));
    match last {
        _ if !failed => "success".to_owned(),
        _ if !told.is_empty() && told != "success" => told,
        Some(LastExit::Killed(_)) => "signal".to_owned(),
        Some(LastExit::Exited(128..)) => "signal".to_owned(),
        _ => "exit-code".to_owned(),
    }
}

/// Returns the main process; 0 without one.
fn main_pid(view: &View<'_>) -> u64 {
    let told = u64::try_from(view.told().main).unwrap_or(0);
    let pid = view.service.and_then(|s| s.pid);
    match view.unit {
        Some(_) if pid.is_some() => told,
        Some(_) => 0,
        None => pid.unwrap_or(0),
    }
}

/// Returns the cgroup of a service below the root of all.
pub fn cgroup(service: &Service<'_>) -> String {
    match service.user.filter(|uid| *uid != 0) {
        Some(uid) => format!("/user/{uid}/{}", service.name),
        None => format!("/system/{}", service.name),
    }
}

/// Returns the time when the unit entered its state, by the present clock.
fn times(report: &Report<'_>, view: &View<'_>) -> Vec<(&'static str, String)> {
    let since = view.service.and_then(|s| s.since).filter(|at| *at > 0);
    let (Some(since), Some(now)) = (since, report.machine.now) else {
        return Vec::new();
    };
    let text = log_time::format_systemd(real(since, now));
    let monotonic = since.saturating_mul(1_000).to_string();
    let (at, monotonic_at, main) = match view.states().0 {
        "active" | "reloading" => (
            "ActiveEnterTimestamp",
            "ActiveEnterTimestampMonotonic",
            "ExecMainStartTimestamp",
        ),
        _ => (
            "InactiveEnterTimestamp",
            "InactiveEnterTimestampMonotonic",
            "ExecMainExitTimestamp",
        ),
    };
    vec![
        (main, text.clone()),
        ("StateChangeTimestamp", text.clone()),
        ("StateChangeTimestampMonotonic", monotonic.clone()),
        (at, text),
        (monotonic_at, monotonic),
    ]
}

/// Returns the microseconds since 1970 of a time of the report.
fn real(at: u64, now: u64) -> i64 {
    let ago = i64::try_from(now.saturating_sub(at)).unwrap_or(0);
    log_time::realtime_offset_us()
        .saturating_add(i64::try_from(log_time::monotonic_us()).unwrap_or(0))
        .saturating_sub(ago.saturating_mul(1_000))
}

/// Runs `status` for units: prints the state of each with the end of its log.
pub fn status(report: &Report<'_>, owner: &Owner, options: &Options) -> i32 {
    let mut status = 0;
    for (n, name) in options.names.iter().enumerate() {
        let view = units::find(report, owner, name);
        let of_unit = match view.states().0 {
            _ if !view.exists() && view.not_loaded.is_none() => {
                print_error(&format!("Unit {} could not be found.", view.name));
                status = status.max(NO_SUCH_UNIT);
                continue;
            }
            "active" | "reloading" => 0,
            _ => NOT_RUNNING,
        };
        status = status.max(of_unit);
        print(if n > 0 { "\n" } else { "" });
        print(&details(report, &view));
        let lines = options.value("lines").unwrap_or(LOG_LINES);
        if let Some(service) = view.service.filter(|_| lines != "0") {
            print("\n");
            let args = ["-n", lines, "-o", "short", "-q", "-u", service.name];
            let _ = crate::client::log::journalctl(&args.map(str::to_owned));
        }
    }
    status
}

/// Returns the state of a unit in the form of `systemctl status`.
fn details(report: &Report<'_>, view: &View<'_>) -> String {
    let (active, _) = view.states();
    let mark = match active {
        "failed" => "\u{d7}",
        "inactive" => "\u{25cb}",
        _ => "\u{25cf}",
    };
    let mut out = format!("{mark} {}", view.name);
    if view.description() != view.name {
        out.push_str(&format!(" - {}", view.description()));
    }
    out.push('\n');
    let of_service = view.service.map(|service| service_lines(view, &service));
    let mut lines = unit_lines(report, view);
    lines.extend(super::timers::lines(view));
    for (key, value) in lines.into_iter().chain(of_service.unwrap_or_default()) {
        out.push_str(&format!("{key:>11}: {value}\n"));
    }
    out
}

/// Returns the lines that each unit has.
fn unit_lines(report: &Report<'_>, view: &View<'_>) -> Vec<(&'static str, String)> {
    let (active, sub) = view.states();
    let fragment = view.fragment();
    let loaded = [fragment.as_str(), enable::word(view)];
    let loaded: Vec<&str> = loaded.into_iter().filter(|t| !t.is_empty()).collect();
    let since = view.service.and_then(|s| s.since).filter(|at| *at > 0);
    let since = since.zip(report.machine.now).map(|(at, now)| {
        let ago = amounts::span(now.saturating_sub(at));
        format!(
            " since {}; {ago} ago",
            log_time::format_systemd(real(at, now))
        )
    });
    let since = since.unwrap_or_default();
    let load = match &view.not_loaded {
        Some(why) => format!("(Reason: Unit {} {})", view.name, why.reason()),
        None => format!("({})", loaded.join("; ")),
    };
    vec![
        ("Loaded", format!("{} {load}", load_state(view))),
        ("Active", format!("{active} ({sub}){since}")),
    ]
}

/// Returns the lines of a unit that is a service.
fn service_lines(view: &View<'_>, service: &Service<'_>) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    let main = main_pid(view);
    if main > 0 {
        let name = sys::files::read_text(format!("/proc/{main}/comm")).unwrap_or_default();
        lines.push(("Main PID", format!("{main} ({})", name.trim())));
    } else if let Some(last) = service.last {
        lines.push(("Process", crate::common::status::describe_end(last)));
    }
    let told = view.told();
    if !told.status.is_empty() {
        lines.push(("Status", format!("\"{}\"", told.status)));
    }
    let usage = usage::of(Path::new(SERVICE_CGROUPS), service);
    let memory = usage.memory.map(|bytes| ("Memory", amounts::bytes(bytes)));
    let cpu = usage.cpu_us.map(|us| ("CPU", amounts::span(us / 1_000)));
    lines.extend(memory.into_iter().chain(cpu));
    lines.push(("CGroup", cgroup(service)));
    lines
}
