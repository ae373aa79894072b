// SPDX-License-Identifier: Apache-2.0
//! Runs of timer units: which are due, and the start of their services.

use control::{Report, Request, State};
use log::{info, warn};
use services::calendar::Seconds;

use super::judge::{Verdict, judge};
use super::{LastRuns, Listed, RETRY};
use crate::common::clock;
use crate::common::control_client::{ControlClient, is_at_rest};
use crate::helpers::quadlet::dependents;
use crate::helpers::quadlet::timer::{self as units, Event, Progress, UnitTimer};
use crate::helpers::time::is_clock_set;

/// Seconds until the next look at a service whose end a timer waits for.
const LOOK: Seconds = 10;

/// Present times: since 1970, if the clock is set, and since the boot.
#[derive(Clone, Copy, Debug)]
struct Now {
    clock: Option<Seconds>,
    boot: Seconds,
}

impl Now {
    fn read() -> Now {
        Now {
            clock: is_clock_set().then(clock::seconds),
            boot: units::since_boot(),
        }
    }
}

/// Starts the services whose timers are due, and returns the time, since 1970, of the next look.
pub(super) fn start_due(runs: &mut LastRuns, control: &ControlClient) -> Option<Seconds> {
    let now = Now::read();
    let waits: Vec<Seconds> = units::all()
        .into_iter()
        .filter_map(|(timer, _)| wait(&timer, runs, control, now))
        .collect();
    let least = waits.into_iter().min()?;
    Some(clock::seconds().saturating_add(least))
}

/// Starts the service of a timer that is due, and returns the seconds until the next look.
fn wait(
    timer: &UnitTimer,
    runs: &mut LastRuns,
    control: &ControlClient,
    now: Now,
) -> Option<Seconds> {
    let progress = units::progress(timer)?;
    if timer.is_persistent
        && let Some(clock) = now.clock
        && runs.last(&timer.key()).is_none()
    {
        runs.note(&timer.key(), clock);
    }
    let text = control.ask(&Request::Status).unwrap_or_default();
    let report = Report::parse(&text);
    match next(timer, progress, runs, &report, now) {
        Some(0) if !start(timer, control, &report) => Some(RETRY),
        Some(0) => {
            units::note_run(timer, progress);
            if let Some(clock) = now.clock {
                runs.note(&timer.key(), clock);
            }
            // The new file of the run is a reason for the next look.
            Some(LOOK)
        }
        other => other,
    }
}

/// Returns the seconds until a timer is due: 0 if it is.
fn next(
    timer: &UnitTimer,
    progress: Progress,
    runs: &LastRuns,
    report: &Report<'_>,
    now: Now,
) -> Option<Seconds> {
    let last = runs.last(&timer.key()).filter(|_| timer.is_persistent);
    let by_calendar = now.clock.and_then(|clock| {
        let since = progress.last.unwrap_or(progress.since);
        let last = last.unwrap_or(clock - (now.boot - since).max(0));
        by_calendar(timer, last, clock, clock::local)
    });
    let (times, rests) = unit_times(report, timer.service.as_str());
    let by_span = units::next_of_spans(timer, progress, times);
    let by_span = by_span.map(|at| (at - now.boot).max(0));
    let waits_for_end = timer
        .spans
        .iter()
        .any(|(event, _)| *event == Event::UnitInactive);
    let look = (waits_for_end && !rests).then_some(LOOK);
    [by_calendar, by_span, look].into_iter().flatten().min()
}

fn by_calendar(
    timer: &UnitTimer,
    last: Seconds,
    now: Seconds,
    local: impl Fn(Seconds) -> Seconds + Copy,
) -> Option<Seconds> {
    let wait = |calendar| match judge(calendar, timer.delay, Some(last), now, local) {
        Verdict::Run => Some(0),
        Verdict::Wait(at) => Some((at - now).max(1)),
        Verdict::Never => None,
    };
    timer.calendars.iter().filter_map(wait).min()
}

/// Returns the times since the boot of a service's last start, while the service runs, and of its last end, and true
/// for a service at rest.
fn unit_times(report: &Report<'_>, service: &str) -> ((Option<Seconds>, Option<Seconds>), bool) {
    let Some(service) = report.services.iter().find(|s| s.name == service) else {
        return ((None, None), true);
    };
    let since = service.since.filter(|at| *at > 0);
    let since = since.and_then(|ms| Seconds::try_from(ms / 1_000).ok());
    match service.state {
        state if is_at_rest(state) => ((None, since), true),
        State::Up => ((since, None), false),
        _ => ((None, None), false),
    }
}

/// Starts the service of a timer, with what it needs and wants, as `systemctl start` does. Returns false if PID 1
/// refuses.
fn start(timer: &UnitTimer, control: &ControlClient, report: &Report<'_>) -> bool {
    let name = &timer.service;
    info!("timers: {}: {name} is due", timer.unit);
    // The name of a service of root may be that of a user's.
    let is_own = |uid: u64| timer.uid == 0 || uid == u64::from(timer.uid);
    let mut services = report.services.iter();
    let service = services.find(|s| s.name == name.as_str());
    if !service.is_some_and(|service| is_own(service.user.unwrap_or(0))) {
        warn!(
            "timers: {}: there is no unit for the service {name}",
            timer.unit
        );
        return false;
    }
    let pulled = dependents::pulled(report, &[name.to_string()]);
    let ask = |name| control.ask(&Request::Start(name));
    let others = |names: Vec<String>| {
        names
            .into_iter()
            .filter_map(|name| control::Name::new(&name))
    };
    others(pulled.before).for_each(|name| drop(ask(name)));
    let answer = ask(name.clone());
    others(pulled.after).for_each(|name| drop(ask(name)));
    answer
        .inspect_err(|why| warn!("timers: {}: {name}: {why}", timer.unit))
        .is_ok()
}

/// Returns the timer units that are active.
pub(super) fn list(runs: &LastRuns, control: &ControlClient) -> Vec<Listed> {
    let text = control.ask(&Request::Status).unwrap_or_default();
    let report = Report::parse(&text);
    let now = Now::read();
    let listed = |(timer, _): (UnitTimer, _)| {
        let progress = units::progress(&timer)?;
        let real = |boot: Seconds| clock::seconds() - (now.boot - boot);
        let last = runs.last(&timer.key()).filter(|_| timer.is_persistent);
        let next = next(&timer, progress, runs, &report, now);
        Some(Listed {
            uid: timer.uid,
            next: next.map(|wait| clock::seconds().saturating_add(wait)),
            last: progress.last.map(real).or(last),
            service: timer.service.to_string(),
            unit: timer.unit,
        })
    };
    units::all().into_iter().filter_map(listed).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;
    use crate::helpers::quadlet::specifiers::Owner;
    use crate::helpers::quadlet::unit::Unit;

    /// 2026-11-29 00:00 in UTC.
    const MIDNIGHT: Seconds = 1_795_910_400;

    fn timer(text: &str) -> UnitTimer {
        let unit = Unit::parse(&format!("[Timer]\n{text}\n"));
        UnitTimer::of(&unit, "backup.timer", &Owner::default(), "id").unwrap()
    }

    #[test]
    fn the_earliest_of_all_times_counts() {
        let timer = timer("OnCalendar=*:0/30\nOnCalendar=00:10");
        let wait = |last: Seconds, now: Seconds| {
            by_calendar(&timer, MIDNIGHT + last, MIDNIGHT + now, |utc| utc)
        };
        assert_eq!(wait(0, 1), Some(599));
        assert_eq!(wait(0, 600), Some(0));
        assert_eq!(wait(600, 600), Some(1_200));
        // Missed runs are made up for once.
        assert_eq!(wait(0, 86_000), Some(0));
        assert_eq!(wait(86_000, 86_000), Some(400));
    }

    #[test]
    fn only_a_persistent_timer_makes_up_for_the_time_before_its_start() {
        let temp = Temp::new();
        let mut runs = LastRuns::new(temp.dir());
        let now = Now {
            clock: Some(MIDNIGHT + 60),
            boot: 100,
        };
        let progress = |since, last| Progress { since, last };
        let report = Report::parse("");
        let plain = timer("OnCalendar=daily");
        let kept = timer("OnCalendar=daily\nPersistent=yes");
        runs.note(&kept.key(), MIDNIGHT - 5 * 86_400);
        let next = |timer, progress| next(timer, progress, &runs, &report, now);
        // The timer of this boot began at 23:59:20 or at 00:00:10.
        assert_eq!(next(&plain, progress(0, None)), Some(0));
        assert!(next(&plain, progress(50, None)).is_some_and(|wait| wait > 3_600));
        assert!(next(&plain, progress(0, Some(45))).is_some_and(|wait| wait > 3_600));
        assert_eq!(next(&kept, progress(50, None)), Some(0));
        let unset = Now { clock: None, ..now };
        let alone = |timer| super::next(timer, progress(50, None), &runs, &report, unset);
        assert_eq!(alone(&kept), None);
        assert_eq!(
            alone(&self::timer("OnCalendar=daily\nOnBootSec=130")),
            Some(30)
        );
    }

    #[test]
    fn the_times_of_a_service() {
        let report = Report::parse(
            "machine now=9 ready=5 version=1\nservice a up pid=7 since=6000\n\
             service b done since=8000\nservice c failed since=9000 last=exited:1\nservice d off\n",
        );
        let times = |name| unit_times(&report, name);
        assert_eq!(times("a"), ((Some(6), None), false));
        assert_eq!(times("b"), ((None, Some(8)), true));
        assert_eq!(times("c"), ((None, Some(9)), true));
        assert_eq!(times("d"), ((None, None), true));
        assert_eq!(times("none"), ((None, None), true));
    }
}
