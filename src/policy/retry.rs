//! When a delayed delivery is tried again, and when it is given up.

use std::time::Duration;

/// Back-off between attempts: `first`, then doubled each time up to `max`; given up `expire` after acceptance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// After the first attempt.
    pub first: Duration,
    /// Never longer than this.
    pub max: Duration,
    /// Counted from acceptance.
    pub expire: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(30),
            max: Duration::from_secs(30 * 60),
            expire: Duration::from_secs(5 * 24 * 60 * 60),
        }
    }
}

impl Retry {
    /// How long to wait after attempt number `attempts` (from 1) was delayed; what the next hop asked for, if it is
    /// longer, but never more than `max`.
    #[must_use]
    pub fn delay(&self, attempts: u32, asked: Option<Duration>) -> Duration {
        let doubled = self.first.saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1)));
        doubled.max(asked.unwrap_or_default()).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_greatest_and_never_overflow() {
        let retry = Retry::default();
        let seconds = |attempts| retry.delay(attempts, None).as_secs();
        assert_eq!([1, 2, 3, 7, 8, u32::MAX].map(seconds), [30, 60, 120, 1800, 1800, 1800]);
    }

    #[test]
    fn what_the_next_hop_asks_for_is_honoured_up_to_the_greatest() {
        let retry = Retry::default();
        assert_eq!(retry.delay(1, Some(Duration::from_secs(300))).as_secs(), 300);
        assert_eq!(retry.delay(1, Some(Duration::from_secs(86_400))).as_secs(), 1800);
    }
}
