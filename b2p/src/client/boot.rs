//! `b2p boot`: where the time of the boot went, as a waterfall. The kernel's own
//! time is a number; the picture begins where PID 1 does.

use control::{Report, Request, Service, State};

use crate::client::gantt::{Chart, MARKS, Stretch};
use crate::client::help::options_known;
use crate::client::json::Json;
use crate::common::control_client::{self, ControlClient};
use crate::common::terminal::{Colour, Screen, print, print_error};

/// A picture in a file is so wide.
const FILE_WIDTH: usize = 100;
/// What goes on after the machine is ready is shown for half as long again.
const AFTER: u64 = 2;

/// `b2p boot [--json]`.
pub fn main(link: &ControlClient, words: &[String]) -> i32 {
    if !options_known("boot", words) {
        return 2;
    }
    let text = match link.ask(&Request::Status) {
        Ok(text) => text,
        Err(failure) => {
            print_error(&control_client::line(&failure, "b2p boot"));
            return 1;
        }
    };
    let report = Report::parse(&text);
    if words.iter().any(|w| w == "--json") {
        print(&object(&report).line());
    } else {
        print(&picture(&report, &Screen::stdout()));
    }
    0
}

/// What a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Phase,
    Service,
}

/// How a row ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// It was done, or ready.
    Well,
    /// It is not yet.
    NotYet,
    /// It never was.
    Never,
}

/// A row: moments in microseconds since the kernel started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row<'a> {
    name: &'a str,
    kind: Kind,
    /// From then on it was wanted, and waited for others.
    asked: u64,
    start: u64,
    end: u64,
    ended: Ended,
    state: Option<State>,
}

/// Every row, in the order in which they began.
fn rows<'a>(report: &Report<'a>) -> Vec<Row<'a>> {
    let phases = report.phases.iter().map(|p| Row {
        name: p.name,
        kind: Kind::Phase,
        asked: p.start_us,
        start: p.start_us,
        end: p.start_us.saturating_add(p.took_us),
        ended: Ended::Well,
        state: None,
    });
    let now = report.machine.now.unwrap_or(0);
    let services = report.services.iter().filter_map(|s| service(s, now));
    let mut all: Vec<Row<'a>> = phases.chain(services).collect();
    all.sort_by_key(|row| row.start);
    all
}

fn service<'a>(s: &Service<'a>, now: u64) -> Option<Row<'a>> {
    let asked = s.asked?;
    let start = s.spawned.or(s.ready).unwrap_or(now).max(asked);
    let (end, ended) = match s.ready {
        Some(ready) => (ready, Ended::Well),
        None if s.state == State::Failed => (s.since.unwrap_or(now), Ended::Never),
        None => (now, Ended::NotYet),
    };
    let us = |ms: u64| ms.saturating_mul(1000);
    Some(Row {
        name: s.name,
        kind: Kind::Service,
        asked: us(asked),
        start: us(start),
        end: us(end.max(start)),
        ended,
        state: Some(s.state),
    })
}

/// The waterfall.
fn picture(report: &Report<'_>, screen: &Screen) -> String {
    let Some(zero) = report.machine.started.map(|ms| ms.saturating_mul(1000)) else {
        return "nothing is known of this boot\n".to_owned();
    };
    let rows = rows(report);
    let ready = report.machine.ready.map(|ms| ms.saturating_mul(1000));
    let last = rows.iter().map(|r| r.end).max().unwrap_or(zero);
    let end = match ready {
        Some(ready) => last.clamp(ready, ready + ready.saturating_sub(zero) / AFTER),
        None => last,
    };
    let seen: Vec<&Row<'_>> = rows.iter().filter(|r| r.asked <= end).collect();
    let names = seen.iter().map(|r| r.name.len()).max().unwrap_or(0).max(6);
    let numbers = names + 2 + 8 + 1 + 8 + 2;
    let width = screen
        .width
        .unwrap_or(FILE_WIDTH)
        .saturating_sub(numbers + 1);
    let chart = Chart::new(zero, end, ready, width, screen.glyphs);
    let mut out = head(report);
    let line = |name: &str, start: &str, took: &str, bar: &str| {
        format!("{name:<names$}  {start:>8} {took:>8}  {bar}")
            .trim_end()
            .to_owned()
            + "\n"
    };
    out.push_str(&line("", "START  ", "TOOK  ", &chart.scale()));
    let kernel = millis(zero, false);
    let before = screen.paint(Colour::Dim, "before PID 1; the scale begins after it");
    let before = if width < 40 { String::new() } else { before };
    out.push_str(&line("kernel", &format!("-{kernel}"), &kernel, &before));
    for row in seen {
        let precise = row.kind == Kind::Phase;
        let start = millis(row.start.saturating_sub(zero), precise);
        let waits = row.ended == Ended::NotYet && row.start == row.end;
        let bar = chart.bar(&Stretch {
            asked: row.asked,
            start: row.start + u64::from(waits),
            end: row.end,
        });
        out.push_str(&line(
            row.name,
            &start,
            &took(row),
            &painted(&bar, tint(row), screen),
        ));
    }
    out
}

/// The bar in its colour, the mark after it in none.
fn painted(bar: &str, tint: Colour, screen: &Screen) -> String {
    let bar = bar.trim_end();
    let body = bar.trim_end_matches(MARKS);
    let mark = bar.strip_prefix(body).unwrap_or_default();
    [screen.paint(tint, body), screen.paint(Colour::Dim, mark)].concat()
}

/// `ready 190 ms after PID 1 started, 1980 ms after the kernel did`.
fn head(report: &Report<'_>) -> String {
    let m = &report.machine;
    match (m.started, m.ready) {
        (Some(started), Some(ready)) => format!(
            "ready {} ms after PID 1 started, {ready} ms after the kernel did\n\n",
            ready.saturating_sub(started)
        ),
        _ => "not ready yet\n\n".to_owned(),
    }
}

fn tint(row: &Row<'_>) -> Colour {
    match (row.ended, row.kind) {
        (Ended::Never, _) => Colour::Red,
        (Ended::NotYet, _) => Colour::Yellow,
        (Ended::Well, Kind::Phase) => Colour::Blue,
        (Ended::Well, Kind::Service) => Colour::Green,
    }
}

fn took(row: &Row<'_>) -> String {
    let time = millis(row.end.saturating_sub(row.start), row.kind == Kind::Phase);
    match (row.ended, row.state) {
        (Ended::Never, _) => "failed".to_owned(),
        (Ended::NotYet, Some(state)) if row.start == row.end => state.word().to_owned(),
        (Ended::NotYet, _) => format!("{}+ ", time.trim_end()),
        (Ended::Well, _) => time,
    }
}

/// Milliseconds; those without tenths keep the room for them, so that all stand
/// under each other.
fn millis(us: u64, precise: bool) -> String {
    let tenths = us.saturating_add(50) / 100;
    if precise {
        format!("{}.{}", tenths / 10, tenths % 10)
    } else {
        format!("{}  ", us / 1000)
    }
}

/// `b2p boot --json`; docs/reference/control.md has the keys.
fn object(report: &Report<'_>) -> Json {
    let us = |ms: Option<u64>| Json::from(ms.map(|ms| ms.saturating_mul(1000)));
    let row = |r: &Row<'_>| {
        let kind = match r.kind {
            Kind::Phase => "phase",
            Kind::Service => "service",
        };
        let end = Some(r.end).filter(|_| r.ended == Ended::Well);
        Json::Object(vec![
            ("name", Json::text(r.name)),
            ("kind", Json::text(kind)),
            ("asked_us", r.asked.into()),
            ("start_us", r.start.into()),
            ("end_us", end.into()),
        ])
    };
    Json::Object(vec![
        ("started_us", us(report.machine.started)),
        ("ready_us", us(report.machine.ready)),
        ("rows", rows(report).iter().map(row).collect()),
    ])
}

#[cfg(test)]
mod tests;
