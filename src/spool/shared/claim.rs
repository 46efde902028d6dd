//! Which message of the stream is delivered, where it has several with one key.
//!
//! The stream keeps one of those that come within its duplicate window, as long as it knows their keys. A server that is
//! started reads them back from what lies there, and a message that was delivered at once lies there no more: when that
//! server leads the stream a moment later, it takes what another gateway heard as well and could not offer before. So
//! whoever pulls a notice claims it first, in the bucket of ids: under a name that only one can create.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Shared;
use super::carried::json;
use super::commit::now;
use super::fault::Fault;
use super::ids::{Sightings, is_same};
use super::key::Key;
use super::link::{SHORTEST_WINDOW, Session};
use super::position::Position;
use super::record::Record;
use crate::message::mail::Class;

/// What is to be done with a message that was pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claimed {
    /// It is the one to deliver, by whoever has it.
    First,
    /// It was dealt with before: its acknowledgement was lost, or a server that had not heard of it leads the stream.
    DealtWith,
    /// Another message of the stream is the same, heard by another gateway: that one is delivered, or was.
    Double,
}

/// One message of the stream, as it claims a key for its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claim {
    arrival: Timestamp,
    position: Position,
}

/// How the claim that stands is related to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    /// It is the same, made before.
    Own,
    /// It is that of the same datagram, heard elsewhere.
    Same,
    /// It is that of another time: a device said the same again.
    Apart,
}

impl Claim {
    fn relation(self, other: Self, window: Duration) -> Relation {
        if self.position == other.position {
            Relation::Own
        } else if is_same(self.arrival, other.arrival, window) {
            Relation::Same
        } else {
            Relation::Apart
        }
    }

    /// What is known already of this message; `None` when it may claim its key.
    fn known(self, seen: Option<&Sightings>, window: Duration) -> Option<Claimed> {
        let seen = seen?;
        if seen.has(self.position) {
            return Some(Claimed::DealtWith);
        }
        seen.include(self.arrival, window).then_some(Claimed::Double)
    }
}

impl Shared {
    /// Claims a message that was pulled at `pulled`. Where the bucket of ids has no room or does not answer in time, the
    /// message is delivered: better twice than not at all.
    pub(super) async fn claim(
        &self,
        session: &Session,
        record: &Record,
        position: Position,
        pulled: Instant,
    ) -> Claimed {
        loop {
            let fault = match self.try_to_claim(session, record, position).await {
                Ok(claimed) => return claimed,
                Err(fault) => fault,
            };
            let late = now().saturating_duration_since(pulled) >= WITHIN;
            if late || !matches!(fault, Fault::Lost(_)) {
                tracing::debug!(key = %record.key, %fault, "A message of the stream is delivered without a claim.");
                return Claimed::First;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn try_to_claim(
        &self,
        session: &Session,
        record: &Record,
        position: Position,
    ) -> Result<Claimed, Fault> {
        let mine = Claim { arrival: record.accepted_at, position };
        let window = self.0.plan.dedup_window.max(SHORTEST_WINDOW);
        let mut after = None;
        for _ in 0..MOST {
            let seen = session.sightings(record.key).await?;
            if let Some(known) = mine.known(seen.as_ref(), window) {
                return Ok(known);
            }
            if record.class == Class::Mail {
                // Nobody else heard it.
                return Ok(Claimed::First);
            }
            let latest = after.or_else(|| seen.as_ref().and_then(Sightings::latest));
            let holder = session.put_claim(record.key, latest, mine).await?;
            match holder.relation(mine, window) {
                Relation::Own => return Ok(Claimed::First),
                Relation::Same if session.has(holder.position).await? => return Ok(Claimed::Double),
                // It left the stream: noted, which the next look tells, or lost with a stream that was set back.
                Relation::Same | Relation::Apart => after = Some(holder.position),
            }
        }
        Err(Fault::Conflict)
    }
}

impl Session {
    /// Makes a claim, the first of its key or the one after a message that is known; the one that stands then.
    async fn put_claim(&self, key: Key, after: Option<Position>, mine: Claim) -> Result<Claim, Fault> {
        let name = name(key, after);
        match self.create(&self.ids, &name, json(&mine)).await {
            Ok(_) => Ok(mine),
            Err(Fault::Conflict) => match self.entry(&self.ids, &name).await? {
                Some((value, _)) => serde_json::from_slice(&value).map_err(Fault::lost),
                None => Err(Fault::lost("a claim was forgotten at this moment")),
            },
            Err(fault) => Err(fault),
        }
    }
}

/// Of a claim in the bucket: each is followed by one other.
fn name(key: Key, after: Option<Position>) -> String {
    after.map_or_else(|| format!("{key}.0"), |after| format!("{key}.{after}"))
}

/// Since it was pulled: enough is left then of the time in which the stream gives it to nobody else.
const WITHIN: Duration = Duration::from_secs(12);
/// Between two tries.
const AGAIN: Duration = Duration::from_millis(250);
/// Claims of one key that are looked at: messages with one key that wait in the stream.
const MOST: usize = 64;

#[cfg(test)]
mod tests {
    use super::super::tests::{alarm, at, record};
    use super::*;

    const WINDOW: Duration = Duration::from_secs(5);

    fn claim(second: i64, sequence: u64) -> Claim {
        Claim { arrival: at(second), position: Position::new(sequence, at(second).as_nanosecond()) }
    }

    fn seen(claim: Claim) -> Sightings {
        Sightings::one(claim.arrival, claim.position)
    }

    #[test]
    fn a_message_that_comes_again_after_a_gateway_died_is_no_double_of_itself() {
        assert_eq!(claim(0, 7).relation(claim(0, 7), WINDOW), Relation::Own);
        assert_eq!(claim(0, 7).known(None, WINDOW), None);
    }

    #[test]
    fn what_another_gateway_heard_at_the_same_time_is_the_same_and_a_later_repeat_is_not() {
        for (second, relation) in [(-5, Relation::Same), (3, Relation::Same), (6, Relation::Apart)] {
            assert_eq!(claim(0, 7).relation(claim(second, 9), WINDOW), relation, "{second}");
        }
    }

    #[test]
    fn what_was_dealt_with_is_told_from_its_double_and_from_a_later_repeat() {
        let seen = seen(claim(0, 7));
        for (mine, known) in [
            (claim(0, 7), Some(Claimed::DealtWith)),
            (claim(1, 9), Some(Claimed::Double)),
            (claim(6, 9), None),
        ] {
            assert_eq!(mine.known(Some(&seen), WINDOW), known, "{mine:?}");
        }
    }

    #[test]
    fn a_repeat_claims_another_name_and_its_double_the_same() {
        let key = record(alarm("fire", at(0))).key;
        let names =
            [None, seen(claim(0, 7)).latest(), seen(claim(9, 8)).latest()].map(|after| name(key, after));
        assert_eq!(names[0], format!("{key}.0"));
        assert!(names[0] != names[1] && names[1] != names[2]);
        assert!(
            names
                .iter()
                .all(|name| name.bytes().all(|byte| byte.is_ascii_hexdigit() || b".-".contains(&byte)))
        );
    }

    #[test]
    fn a_claim_reads_back_as_written() {
        assert_eq!(serde_json::from_slice::<Claim>(&json(&claim(0, 7))).unwrap(), claim(0, 7));
    }
}
