//! The names of what lies in JetStream: one place, so that an operator finds them with `nats stream ls`.

use std::fmt;

use super::key::Key;
use super::position::Life;
use crate::message::id::{DestinationName, QueueId};

/// The stream of accepted messages.
pub(super) const STREAM: &str = "MAILSLOTD_SPOOL";
/// The bucket of what was carried on: the fates of copies, bodies, pauses.
pub(super) const QUEUE: &str = "MAILSLOTD_QUEUE";
/// The bucket of keys and arrival times.
pub(super) const IDS: &str = "MAILSLOTD_IDS";
/// The bucket of who lives and who holds what.
pub(super) const GROUP: &str = "MAILSLOTD_GROUP";
/// The bucket of content above 64 KiB.
pub(super) const CONTENT: &str = "MAILSLOTD_CONTENT";

/// The streams that buckets are in the servers.
pub(super) const BUCKETS: [&str; 4] =
    ["KV_MAILSLOTD_QUEUE", "KV_MAILSLOTD_IDS", "KV_MAILSLOTD_GROUP", "OBJ_MAILSLOTD_CONTENT"];

/// All subjects of the stream.
pub(super) const ALL: &str = "mailslotd.spool.>";

/// Whose copies a message of the stream has.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Lane {
    /// Those of one destination.
    One(DestinationName),
    /// Those of several: whoever takes it sets them side by side, so that acceptance is one acknowledgement.
    Several,
}

/// The second last token of [`Lane::Several`]; no destination's name begins so.
const SEVERAL: &str = "_several";

impl Lane {
    /// The subject of one message: `mailslotd.spool.<destination>.<rank>.<queue id>.<key>`.
    pub(super) fn subject(&self, rank: i64, id: QueueId, key: Key) -> String {
        format!("mailslotd.spool.{self}.{rank}.{id}.{key}")
    }

    /// All subjects of this lane.
    pub(super) fn filter(&self) -> String {
        format!("mailslotd.spool.{self}.>")
    }

    /// The durable consumer of this lane, `to-<destination>@<life of the stream>`: an acknowledgement names its consumer
    /// and a number, and so one that is meant for a stream of before reaches nobody.
    pub(super) fn consumer(&self, life: Life) -> String {
        format!("to-{self}@{life}")
    }

    /// The lane of such a consumer, whichever the life.
    pub(super) fn of_consumer(name: &str) -> Option<Self> {
        let name = name.strip_prefix("to-")?;
        Self::of_token(name.split_once('@').map_or(name, |(lane, _)| lane))
    }

    /// The lane of such a subject.
    pub(super) fn of_subject(subject: &str) -> Option<Self> {
        Self::of_token(subject.strip_prefix("mailslotd.spool.")?.split('.').next()?)
    }

    fn of_token(token: &str) -> Option<Self> {
        match token {
            SEVERAL => Some(Self::Several),
            token => DestinationName::new(&token.replace('=', ".")).ok().map(Self::One),
        }
    }
}

/// As a token of subjects: a full stop would begin another.
impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(destination) => f.write_str(&destination.as_str().replace('.', "=")),
            Self::Several => f.write_str(SEVERAL),
        }
    }
}

/// The number of the message that has such a subject.
pub(super) fn id_of(subject: &str) -> Option<QueueId> {
    subject.strip_prefix("mailslotd.spool.")?.split('.').nth(2)?.parse().ok()
}

/// The one message with this number, if it is there.
pub(super) fn by_id(id: QueueId) -> String {
    format!("mailslotd.spool.*.*.{id}.*")
}

/// The one message with this key, if it is there.
pub(super) fn by_key(key: Key) -> String {
    format!("mailslotd.spool.*.*.*.{key}")
}

/// What the bucket [`QUEUE`] holds under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// The fates of a message's copies.
    Copies(QueueId),
    /// Its body and content.
    Message(QueueId),
    /// A destination that the operator stopped.
    Pause(DestinationName),
    /// A group of messages that are counted into one, by the hexadecimal digits of its key.
    Group(String),
    /// When the operator was told last of failures of this destination and cause.
    Told(DestinationName, String),
}

impl Entry {
    /// All of [`Self::Copies`].
    pub(super) const COPIES: &str = "copies.*";
    /// All of [`Self::Pause`].
    pub(super) const PAUSES: &str = "pause.*";
    /// Stands for nothing: a watch of the copies has it after what was there when it began.
    pub(super) const COPIES_MARK: &str = "copies.mark";
    /// The same for the pauses; no destination's name begins so.
    pub(super) const PAUSES_MARK: &str = "pause._mark";

    /// What a key stands for; `None` for what this version does not know.
    pub(super) fn parse(key: &str) -> Option<Self> {
        let (kind, rest) = key.split_once('.')?;
        match kind {
            "copies" => rest.parse().ok().map(Self::Copies),
            "message" => rest.parse().ok().map(Self::Message),
            "pause" => DestinationName::new(&rest.replace('=', ".")).ok().map(Self::Pause),
            "group" => Some(Self::Group(rest.to_owned())),
            "told" => {
                let (destination, cause) = rest.rsplit_once('.')?;
                let destination = DestinationName::new(&destination.replace('=', ".")).ok()?;
                Some(Self::Told(destination, cause.to_owned()))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = |name: &DestinationName| name.as_str().replace('.', "=");
        match self {
            Self::Copies(id) => write!(f, "copies.{id}"),
            Self::Message(id) => write!(f, "message.{id}"),
            Self::Pause(destination) => write!(f, "pause.{}", token(destination)),
            Self::Group(key) => write!(f, "group.{key}"),
            Self::Told(destination, cause) => write!(f, "told.{}.{cause}", token(destination)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_with_full_stops_is_one_token_and_reads_back() {
        let lane = Lane::One(DestinationName::new("smart.host").unwrap());
        let key: Key = "0123456789abcdef0123456789abcdef".parse().unwrap();
        let subject = lane.subject(3, QueueId::from_row(7).unwrap(), key);
        assert_eq!(subject, format!("mailslotd.spool.smart=host.3.0000000000007.{key}"));
        assert_eq!(subject.split('.').count(), by_id(QueueId::from_row(7).unwrap()).split('.').count());
        assert_eq!(id_of(&subject), QueueId::from_row(7));
        for lane in [lane, Lane::Several] {
            assert_eq!(Lane::of_subject(&lane.filter()), Some(lane.clone()));
            let (one, other) = (lane.consumer(Life::since(1)), lane.consumer(Life::since(2)));
            assert_ne!(one, other);
            assert_eq!(Lane::of_consumer(&one), Some(lane));
        }
    }

    #[test]
    fn what_a_key_stands_for_reads_back() {
        let destination = DestinationName::new("smart.host").unwrap();
        let id = QueueId::from_row(7).unwrap();
        for entry in [
            Entry::Copies(id),
            Entry::Message(id),
            Entry::Pause(destination.clone()),
            Entry::Group("00ff".to_owned()),
            Entry::Told(destination, "network".to_owned()),
        ] {
            assert_eq!(Entry::parse(&entry.to_string()), Some(entry));
        }
        assert_eq!(Entry::parse("later.format"), None);
    }
}
