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
    /// Of the rate; the rest is others'.
    share: f64,
    tokens: f64,
    filled_at: Instant,
}

impl TokenBucket {
    /// A full bucket.
    #[must_use]
    pub fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, share: 1.0, tokens: f64::from(rate.count), filled_at: now }
    }

    /// Takes one token.
    ///
    /// # Errors
    /// When none is there: how long until one is.
    pub fn take(&mut self, now: Instant) -> Result<(), Duration> {
        self.fill(now);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            Ok(())
        } else {
            Err(Duration::try_from_secs_f64((1.0 - self.tokens) / self.per_second())
                .unwrap_or(self.rate.period))
        }
    }

    /// From now on this bucket has `part` of `whole` of the rate, as others have the rest. A larger part fills slowly, so
    /// that what others took before is not taken a second time.
    pub fn set_share(&mut self, now: Instant, part: usize, whole: usize) {
        let count = |number: usize| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
        let share = (count(part) / count(whole.max(1))).clamp(0.0, 1.0);
        if (share - self.share).abs() > f64::EPSILON {
            self.fill(now);
            self.share = share;
            self.tokens = self.tokens.min(self.capacity());
        }
    }

    fn fill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.filled_at).as_secs_f64();
        self.tokens = elapsed.mul_add(self.per_second(), self.tokens).min(self.capacity());
        self.filled_at = now;
    }

    fn per_second(&self) -> f64 {
        self.share * f64::from(self.rate.count) / self.rate.period.as_secs_f64()
    }

    /// Whole tokens only can be taken, so it holds one at least.
    fn capacity(&self) -> f64 {
        (self.share * f64::from(self.rate.count)).max(1.0)
    }

    /// Gives back a token that was taken for something that did not happen.
    pub fn put_back(&mut self) {
        self.tokens = (self.tokens + 1.0).min(self.capacity());
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

    #[test]
    fn a_part_of_a_rate_is_a_part_and_gaining_the_rest_gives_no_second_burst() {
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        let start = Instant::now();
        let mut bucket = TokenBucket::new(Rate { count: 30, period: Duration::from_secs(60) }, start);
        bucket.set_share(start, 1, 3);
        let taken = (0..30).filter(|_| bucket.take(start).is_ok()).count();
        assert_eq!(taken, 10);
        let wait = bucket.take(start).unwrap_err();
        assert!((wait.as_secs_f64() - 6.0).abs() < 0.01, "{wait:?}");
        bucket.set_share(start, 3, 3);
        assert!(bucket.take(start).is_err());
        assert_eq!(bucket.take(start + Duration::from_millis(2001)), Ok(()));
    }
}
