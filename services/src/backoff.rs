// SPDX-License-Identifier: Apache-2.0
//! Delay before a service that ended by itself is started again.

use crate::Millis;

/// First delay in milliseconds. The delay doubles with each end, so a loop has eleven restarts in its first 31 s.
const FIRST_DELAY_MS: Millis = 15;
/// Delay in milliseconds after a healthy run. Restarts are then at least [`HEALTHY_RUN_MS`] apart, so the service
/// cannot spin, and a client may be waiting for the service.
const HEALTHY_DELAY_MS: Millis = 0;
/// Maximum delay in milliseconds: a machine that is left alone for a night recovers by itself.
const MAX_DELAY_MS: Millis = 30_000;
/// Duration in milliseconds after which a run counts as healthy.
const HEALTHY_RUN_MS: Millis = 10_000;

/// Number of ends in a row without a healthy run after which a loop is reported. With the delays above, the eighth end
/// is at least 1.9 s after the first start.
const ENDS_OF_A_LOOP: u32 = 8;

/// Delay that doubles from 15 ms to 30 s with each end, until a run of 10 s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    ends: u32,
}

impl Backoff {
    /// Returns the delay in milliseconds after a run of `ran` milliseconds.
    pub fn next(&mut self, ran: Millis) -> Millis {
        if ran >= HEALTHY_RUN_MS {
            self.ends = 1;
            return HEALTHY_DELAY_MS;
        }
        let delay = FIRST_DELAY_MS << self.ends.min(16);
        self.ends = self.ends.saturating_add(1);
        delay.min(MAX_DELAY_MS)
    }

    /// Number of ends since the last healthy run, the end of that run included: after a healthy run the delays are 0,
    /// 30, 60, … ms. Successful ends and starts without a process count as well.
    #[must_use]
    pub fn ends(&self) -> u32 {
        self.ends
    }

    /// Returns true if the loop is to be reported: after 8, 16, 32, 64, … ends in a row, so that a
    /// night of restarts is a few lines in the log.
    #[must_use]
    pub fn looping(&self) -> bool {
        let times = self.ends / ENDS_OF_A_LOOP;
        self.ends.is_multiple_of(ENDS_OF_A_LOOP) && times.is_power_of_two()
    }

    /// Forgets all ends, as after a request.
    pub fn reset(&mut self) {
        self.ends = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_a_bound() {
        let mut b = Backoff::default();
        let delays: Vec<_> = (0..12).map(|_| b.next(5)).collect();
        assert_eq!(&delays[..4], &[15, 30, 60, 120]);
        assert_eq!(delays[11], MAX_DELAY_MS);
        for _ in 0..100_000 {
            assert_eq!(b.next(0), MAX_DELAY_MS);
        }
    }

    #[test]
    fn a_loop_is_reported_at_each_doubling() {
        let mut b = Backoff::default();
        let reports: Vec<u32> = (0..100)
            .filter_map(|_| {
                b.next(0);
                b.looping().then_some(b.ends())
            })
            .collect();
        assert_eq!(reports, [8, 16, 32, 64]);
        assert!(!Backoff::default().looping());
    }

    #[test]
    fn a_healthy_run_starts_over() {
        let mut b = Backoff::default();
        for _ in 0..8 {
            b.next(0);
        }
        assert_eq!(b.next(HEALTHY_RUN_MS), HEALTHY_DELAY_MS);
        assert_eq!((b.ends(), b.next(5)), (1, 2 * FIRST_DELAY_MS));
    }
}
