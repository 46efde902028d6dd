//! The clock of a capture, for machines that want an [`Instant`].

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// Counts on from the first packet; it never goes back, whatever the capture says.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// The time of the first packet, on both clocks.
    origin: Option<(Timestamp, Instant)>,
    now: Instant,
}

impl Clock {
    /// A clock that stands until the first packet.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "an origin for the capture's own clock")]
    pub fn new() -> Self {
        Self { origin: None, now: Instant::now() }
    }

    /// Moves on to a packet's time.
    pub fn advance_to(&mut self, at: Timestamp) -> Instant {
        let (first, begin) = *self.origin.get_or_insert((at, self.now));
        let since = Duration::try_from(at.duration_since(first)).unwrap_or_default();
        if let Some(now) = begin.checked_add(since) {
            self.now = self.now.max(now);
        }
        self.now
    }

    /// The time of the last packet.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}
