//! When a server that could not be reached is tried again.

use std::time::{Duration, Instant};

use crate::policy::retry::Retry;

/// After each failure a longer pause, from [`FIRST`] doubled up to [`LONGEST`]; meanwhile every question is answered at
/// once with "not available", so that nobody waits for a server that is known to be away.
#[derive(Debug, Default)]
pub(super) struct BackOff {
    failures: u32,
    until: Option<Instant>,
}

impl BackOff {
    /// Whether the server may be tried now.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| until <= now)
    }

    pub(super) fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        let retry = Retry { first: FIRST, max: LONGEST, expire: Duration::MAX };
        self.until = now.checked_add(retry.delay(self.failures, None));
    }

    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }
}

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        Instant::now()
    }

    #[test]
    fn pauses_grow_with_each_failure_and_end_with_success() {
        let start = start();
        let mut back_off = BackOff::default();
        assert!(back_off.is_over(start));
        for (failure, pause) in [1, 2, 4, 8, 16, 30, 30].into_iter().enumerate() {
            back_off.failed(start);
            let pause = Duration::from_secs(pause);
            assert!(!back_off.is_over(start + pause - Duration::from_millis(1)), "failure {failure}");
            assert!(back_off.is_over(start + pause), "failure {failure}");
        }
        back_off.succeeded();
        assert!(back_off.is_over(start));
    }
}
