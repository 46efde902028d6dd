//! What is known of a key beyond the stream's duplicate window.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// When messages with one key came, and which message of the stream was the last of them.
///
/// Written before a message leaves the stream, so that one who looks into the stream and then here finds every message
/// that was ever kept in one or the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sightings {
    /// The latest of them: a device may say the same under the same DGM_ID again and again.
    arrivals: Vec<Timestamp>,
    /// In the stream.
    sequence: u64,
}

impl Sightings {
    /// One message.
    pub(super) fn one(arrival: Timestamp, sequence: u64) -> Self {
        Self { arrivals: vec![arrival], sequence }
    }

    /// With those of a later writer.
    pub(super) fn and(mut self, later: &Self) -> Self {
        self.arrivals.retain(|arrival| !later.arrivals.contains(arrival));
        self.arrivals.extend(&later.arrivals);
        let surplus = self.arrivals.len().saturating_sub(KEPT);
        self.arrivals.drain(..surplus);
        self.sequence = self.sequence.max(later.sequence);
        self
    }

    /// Whether this message of the stream was dealt with before: its acknowledgement was lost.
    pub(super) const fn has(&self, sequence: u64) -> bool {
        self.sequence == sequence
    }

    /// Whether one that came at `arrival` is one of these, as heard by another gateway with a clock of its own.
    pub(super) fn include(&self, arrival: Timestamp, window: Duration) -> bool {
        self.arrivals.iter().any(|each| is_same(*each, arrival, window))
    }
}

/// Whether two arrivals of one key are those of one message.
pub(super) fn is_same(one: Timestamp, other: Timestamp, window: Duration) -> bool {
    let apart = one.duration_since(other).abs();
    apart <= SignedDuration::try_from(window).unwrap_or(SignedDuration::MAX)
}

/// Arrivals that are kept of one key.
const KEPT: usize = 64;

#[cfg(test)]
mod tests {
    use super::super::tests::at;
    use super::*;

    #[test]
    fn what_another_heard_a_moment_apart_is_the_same_and_an_hour_later_is_not() {
        let seen = Sightings::one(at(0), 7).and(&Sightings::one(at(3600), 9));
        let window = Duration::from_secs(2);
        for (arrival, same) in [(-2, true), (0, true), (3, false), (3601, true), (7200, false)] {
            assert_eq!(seen.include(at(arrival), window), same, "{arrival}");
        }
        assert!(seen.has(9) && !seen.has(7));
    }

    #[test]
    fn a_device_that_says_the_same_for_days_costs_no_more() {
        let seen = (0..1000).map(|second| Sightings::one(at(second), 1));
        let seen = seen.reduce(|seen, next| seen.and(&next)).unwrap();
        assert_eq!(seen.arrivals.len(), KEPT);
        assert!(seen.include(at(999), Duration::ZERO));
    }
}
