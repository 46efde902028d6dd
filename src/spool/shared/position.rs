//! Where a message is in the stream, and in which stream: one that is made anew counts from 1 again.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use async_nats::jetstream::Message;
use async_nats::jetstream::message::StreamMessage;
use serde::{Deserialize, Serialize};

use super::fault::Fault;

/// One life of the stream: from when it is made until it is deleted. In nanoseconds since 1970, by its servers' clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Life(i64);

impl Life {
    /// From when it was made.
    pub(super) fn since(nanoseconds: i128) -> Self {
        Self(narrow(nanoseconds))
    }
}

/// As it stands in the names of consumers.
impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// Where a message is in the stream. Two messages never have the same, not even after the stream was made anew or set
/// back to an older copy, as the time is with it. The later is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Position {
    /// When the stream took it, in nanoseconds since 1970, by the clock of the server that did.
    kept_at: i64,
    sequence: u64,
}

impl Position {
    pub(super) fn new(sequence: u64, nanoseconds: i128) -> Self {
        Self { kept_at: narrow(nanoseconds), sequence }
    }

    /// Of a message that was pulled.
    pub(super) fn of_pulled(message: &Message) -> Result<Self, Fault> {
        let info = message.info().map_err(Fault::lost)?;
        Ok(Self::new(info.stream_sequence, info.published.unix_timestamp_nanos()))
    }

    /// Of a message that was looked up.
    pub(super) fn of_found(message: &StreamMessage) -> Self {
        Self::new(message.sequence, message.time.unix_timestamp_nanos())
    }

    /// Its number in its stream.
    pub(super) const fn sequence(self) -> u64 {
        self.sequence
    }
}

/// As it stands in keys of buckets.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}", self.kept_at, self.sequence)
    }
}

/// The highest number that a stream was seen to have given out. It never goes back, unless it is another stream.
#[derive(Debug, Default)]
pub(super) struct Counted(AtomicU64);

impl Counted {
    /// As of now, to ask the stream how far it is.
    pub(super) fn so_far(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// The stream is at `last`; whether it is no less far than it was `before` it was asked. It may well be less far than
    /// it is known to be now, as others ask too and their answers overtake each other.
    pub(super) fn goes_on(&self, before: u64, last: u64) -> bool {
        self.0.fetch_max(last, Ordering::Relaxed);
        last >= before
    }
}

fn narrow(nanoseconds: i128) -> i64 {
    i64::try_from(nanoseconds).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_overtake_each_other_are_not_those_of_a_stream_that_was_set_back() {
        let counted = Counted::default();
        let (one, other) = (counted.so_far(), counted.so_far());
        assert!(counted.goes_on(other, 12));
        assert!(counted.goes_on(one, 10));
        let next = counted.so_far();
        assert!(!counted.goes_on(next, 11), "it had given out 12 before");
    }

    #[test]
    fn the_first_message_of_a_stream_that_was_made_anew_is_another_and_later_one() {
        let (old, new) = (Position::new(7, 1_000), Position::new(1, 2_000));
        assert_ne!(old, Position::new(7, 2_000));
        assert!(new > old);
        assert_ne!(Life::since(1_000).to_string(), Life::since(2_000).to_string());
    }
}
