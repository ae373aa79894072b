//! How much may be said: a burst, then so many a second.

/// A bucket of permissions that fills with time.
#[derive(Debug)]
pub struct Rate {
    burst: u64,
    per_second: u64,
    /// Thousandths of a permission.
    left: u64,
    /// Milliseconds, of the last look.
    at: u64,
}

impl Rate {
    /// A full bucket.
    #[must_use]
    pub const fn new(burst: u64, per_second: u64) -> Rate {
        Rate {
            burst: burst * 1000,
            per_second,
            left: burst * 1000,
            at: 0,
        }
    }

    /// Whether one more may be said at `now` (milliseconds).
    pub fn allows(&mut self, now: u64) -> bool {
        let since = now.saturating_sub(self.at).min(self.burst);
        self.at = self.at.max(now);
        self.left = (self.left + since * self.per_second).min(self.burst);
        let allowed = self.left >= 1000;
        if allowed {
            self.left -= 1000;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(rate: &mut Rate, now: u64, asked: usize) -> usize {
        (0..asked).filter(|_| rate.allows(now)).count()
    }

    #[test]
    fn a_burst_then_so_many_a_second() {
        let mut rate = Rate::new(500, 100);
        assert_eq!(allowed(&mut rate, 5_000, 10_000), 500);
        assert_eq!(allowed(&mut rate, 5_009, 10), 0);
        assert_eq!(allowed(&mut rate, 5_010, 10), 1);
        assert_eq!(allowed(&mut rate, 6_010, 1_000), 100);
        assert_eq!(allowed(&mut rate, 90_000, 1_000), 500);
    }

    #[test]
    fn no_time_gives_nothing_away() {
        let mut rate = Rate::new(2, 1);
        assert_eq!(allowed(&mut rate, u64::MAX, 5), 2);
        assert_eq!(allowed(&mut rate, 0, 5), 0, "time that goes back");
        assert_eq!(allowed(&mut rate, u64::MAX, 5), 0);
    }
}
