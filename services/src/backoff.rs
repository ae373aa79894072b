//! The delay before a service is started again.

use crate::Millis;

/// The first delay: long enough not to spin, short enough not to be noticed.
const FIRST_MS: Millis = 100;
/// After a healthy run: it cannot spin at that pace, and somebody may wait for it.
/// (0 would be what a service has that leaves when all is well: slot.rs.)
const AT_ONCE_MS: Millis = 1;
/// The longest: a machine left alone for a night still comes back by itself.
const LONGEST_MS: Millis = 30_000;
/// Having run this long, a service is taken as healthy: it is started again at once.
const HEALTHY_MS: Millis = 10_000;

/// So many ends in a row without a healthy run are a loop, which is said.
const LOOP: u32 = 5;

/// Next to none after 10 s of healthy running; else it doubles from 0.1 s to 30 s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The delay after a run of `ran` milliseconds.
    pub fn next(&mut self, ran: Millis) -> Millis {
        if ran >= HEALTHY_MS {
            self.failures = 1;
            return AT_ONCE_MS;
        }
        let delay = FIRST_MS << self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        delay.min(LONGEST_MS)
    }

    /// How often in a row it has ended before it was healthy.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether that is to be said: at 5, 10, 20, 40, … in a row, so that a night
    /// of it is a few lines.
    #[must_use]
    pub fn looping(&self) -> bool {
        let times = self.failures / LOOP;
        self.failures.is_multiple_of(LOOP) && times.is_power_of_two()
    }

    /// Forgets all failures.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_a_bound() {
        let mut b = Backoff::default();
        let delays: Vec<_> = (0..12).map(|_| b.next(5)).collect();
        assert_eq!(&delays[..4], &[100, 200, 400, 800]);
        assert_eq!(delays[11], LONGEST_MS);
        for _ in 0..100_000 {
            assert_eq!(b.next(0), LONGEST_MS);
        }
    }

    #[test]
    fn a_loop_is_said_at_each_doubling() {
        let mut b = Backoff::default();
        let said: Vec<u32> = (0..100)
            .filter_map(|_| {
                b.next(0);
                b.looping().then_some(b.failures())
            })
            .collect();
        assert_eq!(said, [5, 10, 20, 40, 80]);
        assert!(!Backoff::default().looping());
    }

    #[test]
    fn a_healthy_run_starts_over() {
        let mut b = Backoff::default();
        for _ in 0..8 {
            b.next(0);
        }
        assert_eq!(b.next(HEALTHY_MS), AT_ONCE_MS);
        assert_eq!((b.failures(), b.next(5)), (1, 2 * FIRST_MS));
    }
}
