//! What is known of a key beyond the stream's duplicate window.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::position::Position;

/// When messages with one key came, and which messages of the stream they were.
///
/// Written before a message leaves the stream, so that one who looks into the stream and then here finds every message
/// that was ever kept in one or the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sightings {
    /// The latest of them: a device may say the same under the same DGM_ID again and again.
    arrivals: Vec<Timestamp>,
    /// In the stream, the latest of them too.
    #[serde(default)]
    positions: Vec<Position>,
}

impl Sightings {
    /// One message.
    pub(super) fn one(arrival: Timestamp, position: Position) -> Self {
        Self { arrivals: vec![arrival], positions: vec![position] }
    }

    /// With those of another writer, whose messages need not be the later ones.
    pub(super) fn and(self, other: &Self) -> Self {
        Self {
            arrivals: latest(self.arrivals, &other.arrivals),
            positions: latest(self.positions, &other.positions),
        }
    }

    /// Whether this message of the stream was dealt with before: its acknowledgement was lost.
    pub(super) fn has(&self, position: Position) -> bool {
        self.positions.contains(&position)
    }

    /// The latest message of the stream that had this key and was dealt with.
    pub(super) fn latest(&self) -> Option<Position> {
        self.positions.last().copied()
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

/// The latest of both.
fn latest<T: Copy + Ord>(mut one: Vec<T>, other: &[T]) -> Vec<T> {
    one.extend(other);
    one.sort_unstable();
    one.dedup();
    one.drain(..one.len().saturating_sub(KEPT));
    one
}

/// What is kept of one key.
const KEPT: usize = 64;

#[cfg(test)]
mod tests {
    use super::super::tests::at;
    use super::*;

    fn one(second: i64, sequence: u64) -> Sightings {
        Sightings::one(at(second), position(second, sequence))
    }

    fn position(second: i64, sequence: u64) -> Position {
        Position::new(sequence, at(second).as_nanosecond())
    }

    #[test]
    fn what_another_heard_a_moment_apart_is_the_same_and_an_hour_later_is_not() {
        let seen = one(0, 7).and(&one(3600, 9));
        let window = Duration::from_secs(2);
        for (arrival, same) in [(-2, true), (0, true), (3, false), (3601, true), (7200, false)] {
            assert_eq!(seen.include(at(arrival), window), same, "{arrival}");
        }
    }

    #[test]
    fn each_message_of_the_stream_that_was_dealt_with_is_known_whichever_was_first() {
        let seen = one(3600, 9).and(&one(0, 7));
        assert!(seen.has(position(3600, 9)) && seen.has(position(0, 7)));
        assert!(!seen.has(position(0, 9)), "a stream that was made anew has counted as far");
    }

    #[test]
    fn a_device_that_says_the_same_for_days_costs_no_more() {
        let seen = (0..1000).map(|second| one(second, 1)).reduce(|seen, next| seen.and(&next)).unwrap();
        assert_eq!((seen.arrivals.len(), seen.positions.len()), (KEPT, KEPT));
        assert!(seen.include(at(999), Duration::ZERO));
    }

    #[test]
    fn what_a_gateway_hands_over_late_pushes_out_no_later_arrival() {
        let seen = (1000..1064).map(|second| one(second, 1)).reduce(|seen, next| seen.and(&next)).unwrap();
        let seen = seen.and(&one(0, 2));
        assert!(seen.include(at(1000), Duration::ZERO) && !seen.include(at(0), Duration::ZERO));
    }
}
