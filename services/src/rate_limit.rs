//! How much a service may say: a budget of lines, so that one that floods fills
//! neither the log nor PID 1's time.

use crate::Millis;

/// So many lines at once are a burst that anyone may have.
const BURST: u64 = 500;
/// And so many a second from then on.
const EACH_SECOND: u64 = 50;
/// Having dropped some, it hears nothing more before there is room for so many
/// again: or there would be a report for every line.
const ROOM: u64 = EACH_SECOND;
/// Milliseconds that a line costs.
const COST: Millis = 1_000 / EACH_SECOND;

/// The budget of one service. Idle it costs nothing: it is kept as the moment at
/// which it is full again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    full_at: Millis,
    dropped: u64,
}

impl Rate {
    /// Whether one more line may pass; one that may not is counted.
    pub fn pass(&mut self, now: Millis) -> bool {
        let spent = self.full_at.saturating_sub(now) / COST;
        if self.dropped > 0 || spent >= BURST {
            self.dropped = self.dropped.saturating_add(1);
            return false;
        }
        self.full_at = self.full_at.max(now).saturating_add(COST);
        true
    }

    /// Whether lines are being dropped.
    #[must_use]
    pub fn over(&self) -> bool {
        self.dropped > 0
    }

    /// When [`Rate::report`] has something to say, where it will.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        let room_at = self.full_at.saturating_sub((BURST - ROOM) * COST);
        self.over().then_some(room_at)
    }

    /// How many lines were dropped, once there is room again.
    pub fn report(&mut self, now: Millis) -> Option<u64> {
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
        let mut rate = Rate::default();
        let (mut passed, mut said, mut reports) = (0u64, 0, 0);
        // A hundred lines each millisecond for a minute.
        for now in 1_000..61_000 {
            if let Some(n) = rate.report(now) {
                (said, reports) = (said + n, reports + 1);
            }
            passed += (0..100).filter(|_| rate.pass(now)).count() as u64;
        }
        assert!((3_300..=3_500).contains(&passed), "{passed}");
        assert!(reports <= 61, "{reports}");
        let at = rate.deadline().expect("some were dropped last");
        said += rate.report(at).unwrap_or(0);
        assert_eq!(passed + said, 6_000_000, "each line is passed or counted");
    }

    #[test]
    fn who_says_little_has_no_deadline() {
        let mut rate = Rate::default();
        for now in (0..100_000).step_by(20) {
            assert!(rate.pass(now));
            assert_eq!((rate.deadline(), rate.report(now)), (None, None));
        }
        let mut burst = Rate::default();
        assert!((0..BURST).all(|_| burst.pass(7)));
        assert!(!burst.over() && !burst.pass(7) && burst.over());
        assert_eq!(burst.deadline(), Some(7 + ROOM * COST));
        assert_eq!(burst.report(7 + ROOM * COST - 1), None);
        assert_eq!(burst.report(7 + ROOM * COST), Some(1));
        assert_eq!(burst.deadline(), None);
    }

    proptest! {
        /// However it comes: no more than the burst and the rate, and every line
        /// is passed, or counted and reported.
        #[test]
        fn never_more_than_the_budget(steps in prop::collection::vec((0u64..3_000, 0u64..2_000), 1..60)) {
            let (mut rate, mut now) = (Rate::default(), 0);
            let (mut lines, mut passed, mut said) = (0, 0, 0);
            for (wait, count) in steps {
                now += wait;
                said += rate.report(now).unwrap_or(0);
                prop_assert!(rate.deadline().is_none_or(|at| at > now));
                lines += count;
                passed += (0..count).filter(|_| rate.pass(now)).count() as u64;
                prop_assert!(passed <= BURST + now / COST + 1);
            }
            said += rate.deadline().and_then(|at| rate.report(at)).unwrap_or(0);
            prop_assert_eq!(lines, passed + said);
        }
    }
}
