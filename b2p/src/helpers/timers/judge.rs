// SPDX-License-Identifier: Apache-2.0
//! Decision when a service is due, from its calendar and its last run.

use services::calendar::{Calendar, Seconds};

use crate::common::spread::spread_over;

/// Seconds of a day. A last run that is later than now by more was noted by a clock that was wrong.
const DAY: Seconds = 86_400;
/// Seconds of an hour, over which machines spread their runs.
const HOUR: Seconds = 3_600;

/// Result of the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The service is due now.
    Run,
    /// The service is due at this time.
    Wait(Seconds),
    /// The service is never due.
    Never,
}

/// Decides whether a service is due at `now`. A service is due if the calendar has a time, later by `offset`,
/// after the last run. One run makes up for any number of such times. A service that has never run waits for its
/// next time. `local` returns the local time for a time in UTC.
pub fn judge(
    calendar: &Calendar,
    offset: Seconds,
    last: Option<Seconds>,
    now: Seconds,
    local: impl Fn(Seconds) -> Seconds,
) -> Verdict {
    let last = last.filter(|last| *last <= now + DAY).unwrap_or(now);
    match calendar.next(last - offset, local) {
        Some(at) if at + offset <= now => Verdict::Run,
        Some(at) => Verdict::Wait(at + offset),
        None => Verdict::Never,
    }
}

/// Returns a number of seconds within an hour that is always the same for one machine.
pub fn spread(machine_id: &str) -> Seconds {
    spread_over(machine_id.trim(), HOUR)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// 2026-11-29 00:00 in UTC.
    const MIDNIGHT: Seconds = 1_795_910_400;
    const H: Seconds = 3_600;

    /// A service that runs at 03:00.
    fn at_three(last: Option<Seconds>, now: Seconds) -> Verdict {
        let calendar = Calendar::parse(&["03:00"]).unwrap();
        judge(&calendar, 0, last, now, |utc| utc)
    }

    #[test]
    fn judge_runs_a_service_at_its_time() {
        let three = MIDNIGHT + 3 * H;
        let ran = Some(three - DAY);
        assert_eq!(at_three(ran, three - 1), Verdict::Wait(three));
        assert_eq!(at_three(ran, three), Verdict::Run);
        assert_eq!(at_three(Some(three), three), Verdict::Wait(three + DAY));
    }

    #[test]
    fn runs_that_were_missed_are_made_up_for_once() {
        let three = MIDNIGHT + 3 * H;
        // The machine was off, paused, or without a clock for a week: the clock shows the time at
        // once, or is set later.
        let now = MIDNIGHT + 12 * H;
        assert_eq!(at_three(Some(three - 7 * DAY), now), Verdict::Run);
        assert_eq!(at_three(Some(now), now), Verdict::Wait(three + DAY));
    }

    #[test]
    fn a_service_that_never_ran_waits() {
        let now = MIDNIGHT + 12 * H;
        assert_eq!(at_three(None, now), Verdict::Wait(MIDNIGHT + 27 * H));
    }

    #[test]
    fn a_clock_that_is_set_back_repeats_no_run() {
        let three = MIDNIGHT + 3 * H;
        // By seconds, after the run: there is no second one.
        assert_eq!(at_three(Some(three), three - 5), Verdict::Wait(three + DAY));
        // The last run was noted by a clock that was a year ahead.
        let wrong = Some(three + 365 * DAY);
        assert_eq!(at_three(wrong, three - 5), Verdict::Wait(three));
    }

    #[test]
    fn an_offset_moves_each_run() {
        let calendar = Calendar::parse(&["daily"]).unwrap();
        let verdict = |last, now| judge(&calendar, 1_200, Some(last), now, |utc| utc);
        let due = MIDNIGHT + 1_200;
        assert_eq!(verdict(due - DAY, due - 1), Verdict::Wait(due));
        assert_eq!(verdict(due - DAY, due), Verdict::Run);
        assert_eq!(verdict(due, due), Verdict::Wait(due + DAY));
        let all: Vec<Seconds> = (0..200).map(|n| spread(&n.to_string())).collect();
        assert!(all.iter().all(|n| (0..3_600).contains(n)));
        assert!(all.iter().any(|n| *n < 600) && all.iter().any(|n| *n > 3_000));
        assert_eq!(spread("abc\n"), spread("abc"));
    }
}
