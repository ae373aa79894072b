// SPDX-License-Identifier: Apache-2.0
//! Timer units in systemctl(1): those of files, and `podman-auto-update.timer`.

use control::Report;
use sys::error::{Error, Result};

use super::options::Options;
use super::timer_units::{Timer, of};
use super::units::{self, View};
use crate::common::control_client::ControlClient;
use crate::common::log::log_time;
use crate::common::pattern::matches;
use crate::common::service_env::Environment;
use crate::common::service_loading::start_timers;
use crate::common::terminal::print_plain as print;
use crate::common::units::span;
use crate::helpers::quadlet::specifiers::Owner;
use crate::helpers::quadlet::timer::{SUFFIX, progress, set_active, started_unit};
use crate::helpers::timers::update_timer::UNIT;
use crate::helpers::timers::{Listed, list as listed};

/// Microseconds in a second.
const SECOND: i64 = 1_000_000;

/// Changes a timer.
///
/// # Errors
/// The change is not possible, or its file cannot be written.
pub fn change(env: &Environment, view: &View<'_>, timer: &Timer, verb: &str) -> Result<()> {
    let name = &view.name;
    let refused = |why: &str| Err(Error::invalid(format!("Failed to {verb} {name}: {why}")));
    let Some(unit) = &timer.unit else {
        return match (verb, timer.is_active) {
            ("stop", false) => Ok(()),
            ("stop", true) => refused(&format!("`systemctl disable {name}` ends it")),
            (verb, false) if !verb.starts_with("try") => {
                refused(&format!("`systemctl enable {name}` starts it"))
            }
            _ => Ok(()),
        };
    };
    let starts = match verb {
        "start" | "restart" | "reload-or-restart" => true,
        "stop" => false,
        _ => timer.is_active,
    };
    if verb != "start" {
        set_active(unit, false)?;
    }
    if starts {
        set_active(unit, true)?;
        start_timers(env);
    }
    Ok(())
}

/// Returns the properties that only timers have.
pub fn properties(view: &View<'_>) -> Vec<(&'static str, String)> {
    let Some(timer) = &view.timer else {
        return Vec::new();
    };
    let row = row(&ControlClient::default(), view);
    let time =
        |at: Option<i64>| at.map_or_else(String::new, |at| log_time::format_systemd(at * SECOND));
    let is_persistent = timer.unit.as_ref().is_none_or(|unit| unit.is_persistent);
    let activates = activates(view);
    vec![
        ("Unit", activates.clone()),
        ("Triggers", activates),
        (
            "Persistent",
            if is_persistent { "yes" } else { "no" }.to_owned(),
        ),
        (
            "NextElapseUSecRealtime",
            time(row.as_ref().and_then(|row| row.next)),
        ),
        ("LastTriggerUSec", time(row.and_then(|row| row.last))),
    ]
}

/// Returns the lines of `systemctl status` that only timers have.
pub fn lines(view: &View<'_>) -> Vec<(&'static str, String)> {
    if view.timer.is_none() {
        return Vec::new();
    }
    let next = row(&ControlClient::default(), view).and_then(|row| row.next);
    let now = crate::common::clock::seconds();
    let trigger = next.map_or_else(
        || "n/a".to_owned(),
        |at| {
            format!(
                "{}; {} left",
                log_time::format_systemd(at * SECOND),
                length(at - now)
            )
        },
    );
    vec![("Trigger", trigger), ("Triggers", activates(view))]
}

fn activates(view: &View<'_>) -> String {
    let unit = view.timer.as_ref().and_then(|timer| timer.unit.as_ref());
    let text = view.unit.as_ref();
    match unit.zip(text) {
        Some((timer, text)) => started_unit(&timer.unit, text),
        None => UNIT.replace(SUFFIX, ".service"),
    }
}

fn row(control: &ControlClient, view: &View<'_>) -> Option<Listed> {
    let uid = view
        .timer
        .as_ref()?
        .unit
        .as_ref()
        .map_or(0, |unit| unit.uid);
    let mut rows = listed(control).into_iter();
    rows.find(|row| row.unit == view.name && row.uid == uid)
}

fn length(seconds: i64) -> String {
    span(u64::try_from(seconds).unwrap_or(0).saturating_mul(1_000))
}

/// Runs `list-timers`: a line for each timer that is active, and for each service file with `at`; with `--all` also
/// for timers that are not active.
pub fn list(control: &ControlClient, report: &Report<'_>, owner: &Owner, options: &Options) -> i32 {
    let mut rows = listed(control);
    rows.retain(|row| row.uid == owner.uid);
    if options.has("all") {
        let inactive = of(owner).into_iter().map(|(timer, _)| timer);
        let inactive = inactive.filter(|timer| progress(timer).is_none());
        rows.extend(inactive.map(|timer| Listed {
            uid: timer.uid,
            service: timer.service.to_string(),
            unit: timer.unit,
            next: None,
            last: None,
        }));
    }
    let is_wanted = |row: &Listed| {
        let mut patterns = options.names.iter();
        options.names.is_empty()
            || patterns.any(|p| matches(p, &row.unit) || units::full_name(p) == row.unit)
    };
    rows.retain(is_wanted);
    sys::sort::sort_by(&mut rows, |a, b| {
        let key = |row: &Listed| row.next.unwrap_or(i64::MAX);
        key(a).cmp(&key(b))
    });
    let now = crate::common::clock::seconds();
    print(&text(
        &rows,
        now,
        |service| name_of(report, owner, service),
        options,
    ));
    0
}

fn name_of(report: &Report<'_>, owner: &Owner, service: &str) -> String {
    let views = units::all(report, owner);
    let view = views
        .iter()
        .find(|view| view.service.is_some_and(|s| s.name == service));
    view.map_or_else(|| format!("{service}.service"), |view| view.name.clone())
}

/// Returns the table of timers.
fn text(rows: &[Listed], now: i64, name_of: impl Fn(&str) -> String, options: &Options) -> String {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let time = |at: Option<i64>| or_none(at.map(|at| log_time::format_systemd(at * SECOND)));
    let row = |row: &Listed| {
        let unit = Some(row.unit.clone()).filter(|unit| !unit.is_empty());
        [
            time(row.next),
            or_none(row.next.map(|at| length(at - now))),
            time(row.last),
            or_none(row.last.map(|at| format!("{} ago", length(now - at)))),
            or_none(unit),
            name_of(&row.service),
        ]
    };
    let cells: Vec<[String; 6]> = rows.iter().map(row).collect();
    let titles = ["NEXT", "LEFT", "LAST", "PASSED", "UNIT", "ACTIVATES"];
    let mut out = super::list::table(titles, &cells, options, |_| "");
    if !options.has("no-legend") {
        out.push_str(&format!("\n{} timers listed.\n", rows.len()));
        if !options.has("all") {
            out.push_str("Pass --all to see loaded but inactive timers, too.\n");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_each_timer() {
        let rows = [
            Listed {
                unit: "backup.timer".to_owned(),
                uid: 0,
                service: "backup".to_owned(),
                next: Some(1_795_465_838 + 3_600),
                last: Some(1_795_465_838 - 120),
            },
            Listed {
                unit: String::new(),
                uid: 0,
                service: "at".to_owned(),
                next: None,
                last: None,
            },
        ];
        let words = ["list-timers".to_owned(), "--no-legend".to_owned()];
        let options = Options::parse(&words);
        let name = |service: &str| format!("{service}.service");
        let text = text(&rows, 1_795_465_838, name, &options);
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert!(
            lines[0].ends_with(&["ago", "backup.timer", "backup.service"]),
            "{text}"
        );
        assert_eq!(lines[1], ["-", "-", "-", "-", "-", "at.service"]);
    }
}
