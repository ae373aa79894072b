// SPDX-License-Identifier: Apache-2.0
//! Reading a report from text, as clients do. Unknown lines, keys and values are skipped, so that
//! an older client reads the report of a newer PID 1.

use crate::ShutdownKind;
use crate::report::{Degraded, LastExit, MachineInfo, Phase, Report, Service, Shutdown, State};

impl<'a> Report<'a> {
    /// Reads the text that follows the `ok` line of a `status` answer. Any text gives a report.
    #[must_use]
    pub fn parse(text: &'a str) -> Report<'a> {
        let mut report = Report::default();
        for line in text.lines() {
            let (keyword, rest) = line.split_once(' ').unwrap_or((line, ""));
            match keyword {
                "machine" => report.machine = machine(rest),
                "phase" => report.phases.extend(phase(rest)),
                "service" => report.services.extend(service(rest)),
                "degraded" => report.degraded.extend(degraded(rest)),
                "shutdown" => report.shutdown = shutdown(rest).or(report.shutdown),
                "cut" => report.truncated = true,
                _ => {}
            }
        }
        report
    }
}

/// Returns the `key=value` fields of a line.
fn fields(rest: &str) -> impl Iterator<Item = (&str, &str)> {
    rest.split(' ').filter_map(|field| field.split_once('='))
}

fn machine(rest: &str) -> MachineInfo<'_> {
    let mut machine = MachineInfo::default();
    for (key, value) in fields(rest) {
        match key {
            "version" => machine.version = value,
            "data" => machine.data = value,
            "now" => machine.now = value.parse().ok(),
            "started" => machine.started = value.parse().ok(),
            "ready" => machine.ready = value.parse().ok(),
            _ => {}
        }
    }
    machine
}

fn phase(rest: &str) -> Option<Phase<'_>> {
    let mut fields = rest.split(' ');
    Some(Phase {
        name: fields.next().filter(|name| !name.is_empty())?,
        start_us: fields.next()?.parse().ok()?,
        took_us: fields.next()?.parse().ok()?,
    })
}

fn service(rest: &str) -> Option<Service<'_>> {
    let mut parts = rest.splitn(3, ' ');
    let name = parts.next().filter(|name| !name.is_empty())?;
    let state = State::from_word(parts.next()?)?;
    let mut service = Service::new(name, state);
    for (key, value) in fields(parts.next().unwrap_or_default()) {
        let number = match key {
            "since" => &mut service.since,
            "pid" => &mut service.pid,
            "restarts" => &mut service.restarts,
            "asked" => &mut service.asked,
            "spawned" => &mut service.spawned,
            "ready" => &mut service.ready,
            "next" => &mut service.next,
            "late" => &mut service.late,
            "grace" => &mut service.grace,
            "user" => &mut service.user,
            "last" => {
                service.last = last_exit(value);
                continue;
            }
            "own" => {
                service.is_user_service = value == "1";
                continue;
            }
            _ => continue,
        };
        *number = value.parse().ok();
    }
    Some(service)
}

fn last_exit(value: &str) -> Option<LastExit> {
    let (cause, number) = value.split_once(':')?;
    let number = number.parse().ok()?;
    match cause {
        "exited" => Some(LastExit::Exited(number)),
        "killed" => Some(LastExit::Killed(number)),
        _ => None,
    }
}

fn degraded(rest: &str) -> Option<Degraded<'_>> {
    let (what, why) = rest.split_once(": ")?;
    Some(Degraded { what, why })
}

fn shutdown(rest: &str) -> Option<Shutdown> {
    let (word, rest) = rest.split_once(' ')?;
    let kind = ShutdownKind::from_word(word)?;
    let at = fields(rest).find(|(key, _)| *key == "at")?.1.parse().ok()?;
    Some(Shutdown { kind, at })
}
