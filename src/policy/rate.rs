//! How often something may happen: a token bucket without a clock of its own.

use std::time::{Duration, Instant};

/// So many in a time: `30/min`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many; at least 1.
    pub count: u32,
    /// In how long; more than zero.
    pub period: Duration,
}

/// A bucket that holds `count` tokens and refills evenly over `period`.
#[derive(Debug, Clone)]
pub struct TokenBucket {
    rate: Rate,
    tokens: f64,
    filled_at: Instant,
}

impl TokenBucket {
    /// A full bucket.
    #[must_use]
    pub fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, tokens: f64::from(rate.count), filled_at: now }
    }

    /// Takes one token.
    ///
    /// # Errors
    /// When none is there: how long until one is.
    pub fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let per_second = f64::from(self.rate.count) / self.rate.period.as_secs_f64();
        let elapsed = now.saturating_duration_since(self.filled_at).as_secs_f64();
        self.tokens = elapsed.mul_add(per_second, self.tokens).min(f64::from(self.rate.count));
        self.filled_at = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            Ok(())
        } else {
            Err(Duration::try_from_secs_f64((1.0 - self.tokens) / per_second).unwrap_or(self.rate.period))
        }
    }

    /// Gives back a token that was taken for something that did not happen.
    pub fn put_back(&mut self) {
        self.tokens = (self.tokens + 1.0).min(f64::from(self.rate.count));
    }

    /// When it is full again, if nothing more is taken: from then on it is no different from a new one.
    #[must_use]
    pub fn full_at(&self) -> Instant {
        let missing = (f64::from(self.rate.count) - self.tokens) / f64::from(self.rate.count);
        let wait = self.rate.period.mul_f64(missing.clamp(0.0, 1.0));
        self.filled_at.checked_add(wait).unwrap_or(self.filled_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_the_whole_count_passes_and_the_next_waits_its_share_of_the_period() {
        // The epoch of this test: any instant will do.
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        let start = Instant::now();
        let mut bucket = TokenBucket::new(Rate { count: 30, period: Duration::from_secs(60) }, start);
        for _ in 0..30 {
            assert_eq!(bucket.take(start), Ok(()));
        }
        let wait = bucket.take(start).unwrap_err();
        assert!((wait.as_secs_f64() - 2.0).abs() < 0.01, "{wait:?}");
        assert_eq!(bucket.take(start + Duration::from_millis(2001)), Ok(()));
        assert!(bucket.take(start + Duration::from_millis(2002)).is_err());
        bucket.put_back();
        assert_eq!(bucket.take(start + Duration::from_millis(2002)), Ok(()));
    }
}
