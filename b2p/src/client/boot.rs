// SPDX-License-Identifier: Apache-2.0
//! `b2p boot`: a chart of the boot, with a bar for each phase and service. The kernel's own time is one
//! number; the bars begin at the start of PID 1.

use control::{Report, Request, Service, State};

use crate::client::gantt::{Bar, Chart, MARKS};
use crate::common::args::only_json_option;
use crate::common::control_client::{self, ControlClient};
use crate::common::json::Json;
use crate::common::terminal::{Colour, Terminal, print, print_error};

/// Width of the chart in a file or a pipe, in columns.
const FILE_WIDTH: usize = 100;
/// Narrowest width of the bars that has room for the remark about the kernel, in columns.
const REMARK_WIDTH: usize = 40;
/// Divisor: after the ready line the scale continues for the time until ready, divided by this number.
const AFTER_READY_DIVISOR: u64 = 2;

/// Runs `b2p boot [--json]` and returns the exit status.
pub fn main(control: &ControlClient, args: &[String]) -> i32 {
    if !only_json_option("boot", args) {
        return 2;
    }
    let text = match control.ask(&Request::Status) {
        Ok(text) => text,
        Err(error) => {
            let error = control_client::explain(&error, "b2p boot");
            print_error(&format!("b2p: {error}"));
            return 1;
        }
    };
    let report = Report::parse(&text);
    if args.iter().any(|arg| arg == "--json") {
        print(&boot_json(&report).line());
    } else {
        print(&chart(&report, &Terminal::stdout()));
    }
    0
}

/// Kind of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RowKind {
    /// Phase of PID 1.
    Phase,
    /// Service.
    Service,
}

/// Result of a row. A phase is always `Done`, because the report of PID 1 has no outcome of phases; `b2p status` lists
/// failed phases as degraded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RowResult {
    /// Done, or ready.
    Done,
    /// Neither ready nor failed.
    Pending,
    /// Failed before the service was ready.
    Failed,
}

/// One row. Times are in microseconds since the kernel started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row<'a> {
    name: &'a str,
    kind: RowKind,
    /// Time at which the start was requested; the row shows dots from here to `start`. A phase has its start here.
    asked: u64,
    start: u64,
    end: u64,
    result: RowResult,
    /// State of a service.
    state: Option<State>,
}

impl Row<'_> {
    /// Returns true for a service that still waits for others.
    fn waits(&self) -> bool {
        self.result == RowResult::Pending && self.start == self.end
    }

    fn colour(&self) -> Colour {
        match (self.result, self.kind) {
            (RowResult::Failed, _) => Colour::Red,
            (RowResult::Pending, _) => Colour::Yellow,
            (RowResult::Done, RowKind::Phase) => Colour::Blue,
            (RowResult::Done, RowKind::Service) => Colour::Green,
        }
    }

    /// Returns the duration, or the state of a row without one.
    fn took(&self) -> String {
        let took = self.end.saturating_sub(self.start);
        let time = millis(took, self.kind == RowKind::Phase);
        match (self.result, self.state) {
            (RowResult::Failed, _) => "failed".to_owned(),
            (RowResult::Pending, Some(state)) if self.waits() => state.word().to_owned(),
            (RowResult::Pending, _) => format!("{}+ ", time.trim_end()),
            (RowResult::Done, _) => time,
        }
    }
}

fn micros(ms: u64) -> u64 {
    ms.saturating_mul(1000)
}

/// Returns all rows, sorted by their start.
fn rows<'a>(report: &Report<'a>) -> Vec<Row<'a>> {
    let phases = report.phases.iter().map(|phase| Row {
        name: phase.name,
        kind: RowKind::Phase,
        asked: phase.start_us,
        start: phase.start_us,
        end: phase.start_us.saturating_add(phase.took_us),
        result: RowResult::Done,
        state: None,
    });
    let now = report.machine.now.unwrap_or(0);
    let services = report.services.iter();
    let services = services.filter_map(|service| service_row(service, now));
    let mut rows: Vec<Row<'a>> = phases.chain(services).collect();
    sys::sort::sort_by(&mut rows, |a, b| a.start.cmp(&b.start));
    rows
}

/// Returns the row of a service, or `None` if the service was never requested.
fn service_row<'a>(service: &Service<'a>, now: u64) -> Option<Row<'a>> {
    let asked = service.asked?;
    let start = service.spawned.or(service.ready);
    let start = start.unwrap_or(now).max(asked);
    let (end, result) = match service.ready {
        Some(ready) => (ready, RowResult::Done),
        None if service.state == State::Failed => (service.since.unwrap_or(now), RowResult::Failed),
        None => (now, RowResult::Pending),
    };
    Some(Row {
        name: service.name,
        kind: RowKind::Service,
        asked: micros(asked),
        start: micros(start),
        end: micros(end.max(start)),
        result,
        state: Some(service.state),
    })
}

/// Returns the chart as text.
fn chart(report: &Report<'_>, terminal: &Terminal) -> String {
    let Some(zero) = report.machine.started.map(micros) else {
        return "PID 1 reports no start time\n".to_owned();
    };
    let rows = rows(report);
    let ready = report.machine.ready.map(micros);
    let end = scale_end(&rows, zero, ready);
    let shown: Vec<&Row<'_>> = rows.iter().filter(|row| row.asked <= end).collect();
    let name_width = shown.iter().map(|row| row.name.len()).max();
    let name_width = name_width.unwrap_or(0).max("kernel".len());
    let line = |name: &str, start: &str, took: &str, bar: &str| {
        let line = format!("{name:<name_width$}  {start:>8} {took:>8}  {bar}");
        format!("{}\n", line.trim_end())
    };
    let width = chart_width(name_width, terminal);
    let chart = Chart::new(zero, end, ready, width, terminal.glyphs);
    let kernel = millis(zero, false);
    let remark = match width {
        ..REMARK_WIDTH => String::new(),
        _ => terminal.paint(Colour::Dim, "before PID 1; the scale starts at PID 1"),
    };
    let mut out = head(report);
    out.push_str(&line("", "START  ", "TOOK  ", &chart.scale()));
    out.push_str(&line("kernel", &format!("-{kernel}"), &kernel, &remark));
    for row in shown {
        let start = millis(row.start.saturating_sub(zero), row.kind == RowKind::Phase);
        let bar = chart.bar(&Bar {
            asked: row.asked,
            // A start after the end tells the chart that the service has not started.
            start: row.start + u64::from(row.waits()),
            end: row.end,
        });
        let bar = paint_bar(&bar, row.colour(), terminal);
        out.push_str(&line(row.name, &start, &row.took(), &bar));
    }
    out
}

/// Returns the end of the scale: the end of the last row, but not long after the ready line.
fn scale_end(rows: &[Row<'_>], zero: u64, ready: Option<u64>) -> u64 {
    let last = rows.iter().map(|row| row.end).max().unwrap_or(zero);
    match ready {
        Some(ready) => {
            let longest = ready.saturating_sub(zero) / AFTER_READY_DIVISOR;
            last.clamp(ready, ready + longest)
        }
        None => last,
    }
}

/// Returns the columns that names of `name_width` and the two numbers leave for the chart.
fn chart_width(name_width: usize, terminal: &Terminal) -> usize {
    let numbers_width = name_width + 2 + 8 + 1 + 8 + 2;
    let width = terminal.width.unwrap_or(FILE_WIDTH);
    width.saturating_sub(numbers_width + 1)
}

/// Returns the bar in its colour, and the mark after the bar dimmed.
fn paint_bar(bar: &str, colour: Colour, terminal: &Terminal) -> String {
    let bar = bar.trim_end();
    let body = bar.trim_end_matches(MARKS);
    let mark = bar.strip_prefix(body).unwrap_or_default();
    [
        terminal.paint(colour, body),
        terminal.paint(Colour::Dim, mark),
    ]
    .concat()
}

/// Returns the first line: the time of the ready line since PID 1 and since the kernel, or `not ready yet`.
fn head(report: &Report<'_>) -> String {
    match (report.machine.started, report.machine.ready) {
        (Some(started), Some(ready)) => format!(
            "ready {} ms after PID 1 started, {ready} ms after the kernel did\n\n",
            ready.saturating_sub(started)
        ),
        _ => "not ready yet\n\n".to_owned(),
    }
}

/// Returns microseconds as milliseconds. Without tenths, two blanks take their place, so that right-aligned columns line
/// up.
fn millis(us: u64, with_tenths: bool) -> String {
    let tenths = us.saturating_add(50) / 100;
    match with_tenths {
        true => format!("{}.{}", tenths / 10, tenths % 10),
        false => format!("{}  ", us / 1000),
    }
}

/// Returns the object of `b2p boot --json`; docs/reference/control.md lists its keys.
fn boot_json(report: &Report<'_>) -> Json {
    let row = |row: &Row<'_>| {
        let kind = match row.kind {
            RowKind::Phase => "phase",
            RowKind::Service => "service",
        };
        let end = (row.result == RowResult::Done).then_some(row.end);
        Json::Object(vec![
            ("name", Json::text(row.name)),
            ("kind", Json::text(kind)),
            ("asked_us", row.asked.into()),
            ("start_us", row.start.into()),
            ("end_us", end.into()),
        ])
    };
    Json::Object(vec![
        ("started_us", report.machine.started.map(micros).into()),
        ("ready_us", report.machine.ready.map(micros).into()),
        ("rows", rows(report).iter().map(row).collect()),
    ])
}

#[cfg(test)]
mod tests;
