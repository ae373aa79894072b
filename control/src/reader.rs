//! The report out of text: the clients' side. What is not known is passed over,
//! so that an older client reads what a newer PID 1 says.

use crate::ShutdownKind;
use crate::report::{Degraded, Last, Machine, Phase, Report, Service, Shutdown, State};

impl<'a> Report<'a> {
    /// Reads what follows the `ok` of a `status`. Any text has an answer.
    #[must_use]
    pub fn parse(text: &'a str) -> Report<'a> {
        let mut report = Report::default();
        for line in text.lines() {
            let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
            match kind {
                "machine" => report.machine = machine(rest),
                "phase" => report.phases.extend(phase(rest)),
                "service" => report.services.extend(service(rest)),
                "degraded" => report.degraded.extend(degraded(rest)),
                "shutdown" => report.shutdown = shutdown(rest).or(report.shutdown),
                "cut" => report.cut = true,
                _ => {}
            }
        }
        report
    }
}

/// The `key=value` words of a line.
fn fields(rest: &str) -> impl Iterator<Item = (&str, &str)> {
    rest.split(' ').filter_map(|word| word.split_once('='))
}

fn machine(rest: &str) -> Machine<'_> {
    let mut machine = Machine::default();
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
    let mut words = rest.split(' ');
    Some(Phase {
        name: words.next().filter(|name| !name.is_empty())?,
        start_us: words.next()?.parse().ok()?,
        took_us: words.next()?.parse().ok()?,
    })
}

fn service(rest: &str) -> Option<Service<'_>> {
    let mut words = rest.splitn(3, ' ');
    let name = words.next().filter(|name| !name.is_empty())?;
    let word = words.next()?;
    let state = State::ALL.into_iter().find(|s| s.word() == word)?;
    let mut service = Service::new(name, state);
    for (key, value) in fields(words.next().unwrap_or_default()) {
        let field = match key {
            "since" => &mut service.since,
            "pid" => &mut service.pid,
            "restarts" => &mut service.restarts,
            "asked" => &mut service.asked,
            "spawned" => &mut service.spawned,
            "ready" => &mut service.ready,
            "next" => &mut service.next,
            "late" => &mut service.late,
            "grace" => &mut service.grace,
            "last" => {
                service.last = last(value);
                continue;
            }
            "own" => {
                service.own = value == "1";
                continue;
            }
            _ => continue,
        };
        *field = value.parse().ok();
    }
    Some(service)
}

fn last(value: &str) -> Option<Last> {
    let (how, number) = value.split_once(':')?;
    let number = number.parse().ok()?;
    match how {
        "exited" => Some(Last::Exited(number)),
        "killed" => Some(Last::Killed(number)),
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
