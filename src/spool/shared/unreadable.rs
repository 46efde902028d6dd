//! What of the group's spool this version cannot read: shown to the operator, who may delete it, and left alone otherwise.

use std::fmt;

use jiff::Timestamp;
use serde_json::Value;

use super::subject::{self, Lane};
use crate::message::id::{DestinationName, QueueId};
use crate::message::mail::{Class, Priority};
use crate::message::recipient::{RecipientDsn, RecipientNumber};
use crate::spool::operator::{Copy, Place};
use crate::telemetry::metrics::SpoolState;

/// Bytes that this version did not write, or that were damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unread {
    /// In the queue bucket its revision, in the stream its sequence.
    pub(super) revision: u64,
    /// Of its message, as far as that is known.
    pub(super) bytes: u64,
    at: Timestamp,
    why: String,
    /// Where its copies go, as far as that can be made out.
    to: Vec<(DestinationName, String)>,
}

impl Unread {
    /// Fates in the queue bucket.
    pub(super) fn in_bucket(id: QueueId, value: &[u8], revision: u64, why: &impl fmt::Display) -> Self {
        Self {
            revision,
            bytes: length(value),
            at: Timestamp::from_millisecond(id.as_row() >> 20).unwrap_or_default(),
            why: format!(
                "what became of it (`nats kv get {} copies.{id}`) cannot be read: {why}",
                subject::QUEUE
            ),
            to: made_out(value).unwrap_or_else(|| unknown().into_iter().collect()),
        }
    }

    /// A message of the stream, and the number that it is known by: that of its subject, or where that has none its place.
    pub(super) fn in_stream(
        subject: &str,
        payload: &[u8],
        sequence: u64,
        at: Timestamp,
        why: &impl fmt::Display,
    ) -> (QueueId, Self) {
        let lane = Lane::of_subject(subject);
        let fallback = || match &lane {
            Some(Lane::One(destination)) => vec![(destination.clone(), String::new())],
            Some(Lane::Several) | None => unknown().into_iter().collect(),
        };
        let line = payload.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let unread = Self {
            revision: sequence,
            bytes: length(payload),
            at,
            why: format!("it cannot be read (`nats stream get {} {sequence}`): {why}", subject::STREAM),
            to: made_out(line).unwrap_or_else(fallback),
        };
        let by_place = || i64::try_from(sequence).ok().and_then(QueueId::from_row);
        let id = subject::id_of(subject).or_else(by_place).unwrap_or(FIRST);
        (id, unread)
    }

    /// The destinations of its copies.
    pub(super) fn destinations(&self) -> impl Iterator<Item = &DestinationName> {
        self.to.iter().map(|(destination, _)| destination)
    }

    /// How many copies it seems to have.
    pub(super) fn copies(&self) -> u64 {
        u64::try_from(self.to.len()).unwrap_or(u64::MAX)
    }

    /// As an operator sees it.
    pub(super) fn shown(&self, id: QueueId) -> impl Iterator<Item = Copy> {
        (0_u32..).zip(&self.to).map(move |(number, (destination, address))| Copy {
            id,
            number: RecipientNumber(number),
            destination: destination.clone(),
            address: address.clone(),
            state: SpoolState::Corrupt,
            due: None,
            standby_of: None,
            attempts: 0,
            settled_at: None,
            status: None,
            text: Some(self.why.clone()),
            priority: Priority::Normal,
            class: Class::Notice,
            rule: None,
            accepted_at: self.at,
            expires_at: Timestamp::MAX,
            bytes: self.bytes,
            dsn: RecipientDsn::default(),
            place: Place::Spool,
            mailbox: None,
        })
    }
}

/// The sequence of a message of the stream that is known by its place, as its subject has no number.
pub(super) fn place_of(id: QueueId) -> Option<u64> {
    // Every other number has a time in milliseconds above its last 20 bits.
    u64::try_from(id.as_row()).ok().filter(|number| *number < 1 << 40)
}

/// A destination and an address for each copy, where another version's fates look like ours in that.
fn made_out(json: &[u8]) -> Option<Vec<(DestinationName, String)>> {
    let value: Value = serde_json::from_slice(json).ok()?;
    let record = value.get("record").unwrap_or(&value);
    let recipient = |copy: &Value| {
        let recipient = copy.get("recipient")?;
        let destination = DestinationName::new(recipient.get("via")?.as_str()?).ok()?;
        Some((destination, recipient.get("to")?.as_str()?.to_owned()))
    };
    let found: Option<Vec<_>> = record.get("copies")?.as_array()?.iter().map(recipient).collect();
    found.filter(|found| !found.is_empty())
}

/// What stands where no destination can be made out.
fn unknown() -> Option<(DestinationName, String)> {
    DestinationName::new("unknown").ok().map(|name| (name, String::new()))
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

const FIRST: QueueId = match QueueId::from_row(1) {
    Some(id) => id,
    None => panic!("1 is positive"),
};

#[cfg(test)]
mod tests {
    use super::super::tests::{alarm, at, carried};
    use super::*;

    fn shown(subject: &str, payload: &str) -> (i64, Vec<(String, String)>) {
        let (id, unread) = Unread::in_stream(subject, payload.as_bytes(), 17, at(0), &"it is damaged");
        let copies = unread.shown(id);
        (id.as_row(), copies.map(|copy| (copy.destination.to_string(), copy.address)).collect())
    }

    #[test]
    fn what_another_version_wrote_is_shown_with_its_recipients() {
        let carried = carried(alarm("fire", at(0)));
        let newer =
            String::from_utf8(carried.emit().to_vec()).unwrap().replace("\"format\":1", "\"format\":2");
        let subject = Lane::Several.subject(3, carried.id, carried.record.key);
        let to = ("smarthost".to_owned(), "oncall@corp.example".to_owned());
        assert_eq!(shown(&subject, &newer), (carried.id.as_row(), vec![to]));
    }

    #[test]
    fn bytes_of_any_kind_are_known_by_their_subject_or_else_by_their_place() {
        let id = QueueId::from_row(7 << 40).unwrap();
        let key = "0123456789abcdef0123456789abcdef".parse().unwrap();
        let lane = Lane::One(DestinationName::new("smart.host").unwrap());
        let to = |name: &str| vec![(name.to_owned(), String::new())];
        assert_eq!(shown(&lane.subject(3, id, key), "\n\n"), (7 << 40, to("smart.host")));
        assert_eq!(shown("mailslotd.spool.test", "hello"), (17, to("test")));
        assert_eq!(shown("mailslotd.spool._x.y", "{\"copies\":[]}"), (17, to("unknown")));
        assert_eq!(place_of(QueueId::from_row(17).unwrap()), Some(17));
        assert_eq!(place_of(id), None);
    }
}
