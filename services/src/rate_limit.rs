// SPDX-License-Identifier: Apache-2.0
//! Rate limit on the lines that a service logs: a service that floods must neither fill the log nor take all of PID 1's
//! processor time.

use crate::Millis;

/// Number of lines that a service may log at once.
const BURST: u64 = 500;
/// Number of lines per second that a service may log after a burst.
const LINES_PER_SECOND: u64 = 50;
/// Number of lines for which the budget must have room before lines pass again after a drop. With less room, PID 1
/// would log the number of dropped lines after nearly every line.
const RESUME_LINES: u64 = LINES_PER_SECOND;
/// Milliseconds of the budget that a line costs.
const COST: Millis = 1_000 / LINES_PER_SECOND;

/// Budget of one service, stored as the moment at which the budget is full again: an idle service
/// needs no timer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimit {
    full_at: Millis,
    dropped: u64,
}

impl RateLimit {
    /// Returns true if one more line may pass; otherwise counts the line as dropped.
    pub fn pass(&mut self, now: Millis) -> bool {
        let spent = self.full_at.saturating_sub(now) / COST;
        if self.dropped > 0 || spent >= BURST {
            self.dropped = self.dropped.saturating_add(1);
            return false;
        }
        self.full_at = self.full_at.max(now).saturating_add(COST);
        true
    }

    /// Returns true while lines are dropped.
    #[must_use]
    pub fn exceeded(&self) -> bool {
        self.dropped > 0
    }

    /// Time at which [`RateLimit::take_dropped`] returns a number, if lines were dropped.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        let room_at = self.full_at.saturating_sub((BURST - RESUME_LINES) * COST);
        self.exceeded().then_some(room_at)
    }

    /// Returns the number of dropped lines and resets the number, once the budget has room for [`RESUME_LINES`].
    pub fn take_dropped(&mut self, now: Millis) -> Option<u64> {
        self.deadline().filter(|at| *at <= now)?;
        // The report is a line as well.
        self.full_at = self.full_at.max(now).saturating_add(COST);
        Some(std::mem::take(&mut self.dropped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_burst_passes_and_then_so_many_a_second() {
        let mut rate = RateLimit::default();
        let (mut passed, mut reported, mut reports) = (0u64, 0, 0);
        // A hundred lines each millisecond for a minute.
        for now in 1_000..61_000 {
            if let Some(n) = rate.take_dropped(now) {
                (reported, reports) = (reported + n, reports + 1);
            }
            passed += (0..100).filter(|_| rate.pass(now)).count() as u64;
        }
        assert!((3_300..=3_500).contains(&passed), "{passed}");
        assert!(reports <= 61, "{reports}");
        let at = rate.deadline().expect("some were dropped last");
        reported += rate.take_dropped(at).unwrap_or(0);
        assert_eq!(
            passed + reported,
            6_000_000,
            "each line is passed or counted"
        );
    }

    #[test]
    fn a_quiet_service_has_no_deadline() {
        let mut rate = RateLimit::default();
        for now in (0..100_000).step_by(20) {
            assert!(rate.pass(now));
            assert_eq!((rate.deadline(), rate.take_dropped(now)), (None, None));
        }
        let mut burst = RateLimit::default();
        assert!((0..BURST).all(|_| burst.pass(7)));
        assert!(!burst.exceeded() && !burst.pass(7) && burst.exceeded());
        assert_eq!(burst.deadline(), Some(7 + RESUME_LINES * COST));
        assert_eq!(burst.take_dropped(7 + RESUME_LINES * COST - 1), None);
        assert_eq!(burst.take_dropped(7 + RESUME_LINES * COST), Some(1));
        assert_eq!(burst.deadline(), None);
    }

    proptest! {
        /// For any sequence of lines, no more pass than the burst and the rate allow, and every
        /// line is passed, or counted and reported.
        #[test]
        fn never_more_than_the_budget(steps in prop::collection::vec((0u64..3_000, 0u64..2_000), 1..60)) {
            let (mut rate, mut now) = (RateLimit::default(), 0);
            let (mut lines, mut passed, mut reported) = (0, 0, 0);
            for (wait, count) in steps {
                now += wait;
                reported += rate.take_dropped(now).unwrap_or(0);
                prop_assert!(rate.deadline().is_none_or(|at| at > now));
                lines += count;
                passed += (0..count).filter(|_| rate.pass(now)).count() as u64;
                prop_assert!(passed <= BURST + now / COST + 1);
            }
            reported += rate.deadline().and_then(|at| rate.take_dropped(at)).unwrap_or(0);
            prop_assert_eq!(lines, passed + reported);
        }
    }
}
