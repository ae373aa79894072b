// SPDX-License-Identifier: Apache-2.0
//! Limit on a rate: a burst, then a steady number per second.

/// A bucket of tokens that fills with time.
#[derive(Debug)]
pub struct TokenBucket {
    /// Size of the bucket, in thousandths of a token.
    capacity: u64,
    per_second: u64,
    /// Content, in thousandths of a token.
    content: u64,
    /// Time up to which the bucket was filled, in milliseconds.
    filled_at: u64,
}

impl TokenBucket {
    /// Returns a full bucket of `burst` tokens.
    #[must_use]
    pub const fn new(burst: u64, per_second: u64) -> TokenBucket {
        TokenBucket {
            capacity: burst * 1000,
            per_second,
            content: burst * 1000,
            filled_at: 0,
        }
    }

    /// Takes a token at `now`, in milliseconds; returns false if there is none.
    pub fn take(&mut self, now: u64) -> bool {
        let enough = self.has_token(now);
        if enough {
            self.content -= 1000;
        }
        enough
    }

    /// Returns true if there is a token at `now`, in milliseconds.
    pub fn has_token(&mut self, now: u64) -> bool {
        let since = now.saturating_sub(self.filled_at).min(self.capacity);
        self.filled_at = self.filled_at.max(now);
        self.content = (self.content + since * self.per_second).min(self.capacity);
        self.content >= 1000
    }

    /// Returns the time until there is a token, in milliseconds.
    #[must_use]
    pub fn wait(&self) -> u64 {
        let missing = 1000_u64.saturating_sub(self.content);
        missing.div_ceil(self.per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(bucket: &mut TokenBucket, now: u64, asked: usize) -> usize {
        (0..asked).filter(|_| bucket.take(now)).count()
    }

    #[test]
    fn a_bucket_allows_a_burst_and_then_its_rate() {
        let mut bucket = TokenBucket::new(500, 100);
        assert_eq!((bucket.wait(), taken(&mut bucket, 5_000, 10_000)), (0, 500));
        assert_eq!((bucket.wait(), taken(&mut bucket, 5_009, 10)), (10, 0));
        assert_eq!((bucket.wait(), taken(&mut bucket, 5_010, 10)), (1, 1));
        assert_eq!(taken(&mut bucket, 6_010, 1_000), 100);
        assert_eq!(taken(&mut bucket, 90_000, 1_000), 500);
    }

    #[test]
    fn a_clock_that_goes_back_gives_no_tokens() {
        let mut bucket = TokenBucket::new(2, 1);
        assert_eq!(taken(&mut bucket, u64::MAX, 5), 2);
        assert_eq!(taken(&mut bucket, 0, 5), 0, "time that goes back");
        assert_eq!(taken(&mut bucket, u64::MAX, 5), 0);
    }
}
