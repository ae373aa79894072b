//! The delay before a service is started again.

use crate::Millis;

/// The first delay: long enough not to spin, short enough not to be noticed.
const FIRST_MS: Millis = 100;
/// The longest: a machine left alone for a night still comes back by itself.
const LONGEST_MS: Millis = 30_000;
/// Having run this long, a service is taken as healthy and the delay starts over.
const HEALTHY_MS: Millis = 10_000;

/// Doubles from 0.1 s to 30 s and starts over after 10 s of healthy running.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The delay after a run of `ran` milliseconds.
    pub fn next(&mut self, ran: Millis) -> Millis {
        if ran >= HEALTHY_MS {
            self.failures = 0;
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
    fn a_healthy_run_starts_over() {
        let mut b = Backoff::default();
        for _ in 0..8 {
            b.next(0);
        }
        assert_eq!(b.next(HEALTHY_MS), FIRST_MS);
    }
}
