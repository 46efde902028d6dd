//! A message as bytes: what the stream carries until it is delivered or carried on in the queue bucket.
//!
//! One line of JSON each for what a gateway decides by, for the checksum and for the body, and then the content as it
//! is: a person can read it with `nats stream get`.

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::record::Record;
use crate::message::id::QueueId;
use crate::message::mail::Group;
use crate::spool::rows::{self, StoredBody, hex};

/// A message of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Carried {
    pub(super) id: QueueId,
    pub(super) record: Record,
    pub(super) group: Option<Group>,
    pub(super) text: Text,
}

/// Body and content: what of a message never changes, but for the count of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text {
    /// JSON of [`StoredBody`].
    pub(super) body: String,
    /// Where it is not in the Object Store.
    pub(super) content: Option<Bytes>,
}

/// Bytes that this program did not write, or not whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    /// A line is missing, or is no JSON of the kind that belongs there.
    #[error("its {line} is not what this version writes: {what}")]
    Line {
        /// Which.
        line: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// A later version wrote it.
    #[error(
        "it has format {found}, this program knows up to {FORMAT}; run the version that wrote it, or a later one"
    )]
    Newer {
        /// Its format.
        found: u32,
    },
    /// A part was changed on the way.
    #[error("it differs from its checksum")]
    Checksum,
}

#[derive(Serialize, Deserialize)]
struct Head {
    format: u32,
    id: QueueId,
    record: Record,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<GroupHead>,
}

#[derive(Serialize, Deserialize)]
struct GroupHead {
    key: [u8; 16],
    wait: Duration,
    repeat_after: Duration,
}

#[derive(Serialize, Deserialize)]
struct Seal {
    format: u32,
    sha256: String,
    /// Whether content follows; an empty one is content too.
    content: bool,
}

impl Carried {
    /// As bytes.
    pub(super) fn emit(&self) -> Bytes {
        let group = self.group.as_ref().map(|group| GroupHead {
            key: group.key,
            wait: group.wait,
            repeat_after: group.repeat_after,
        });
        let head = Head { format: FORMAT, id: self.id, record: self.record.clone(), group };
        let mut bytes = BytesMut::new();
        put_line(&mut bytes, &head);
        self.text.put(&mut bytes);
        bytes.freeze()
    }

    /// From bytes.
    pub(super) fn parse(bytes: &Bytes) -> Result<Self, Unreadable> {
        let (head, rest) = line::<Head>(bytes, "first line")?;
        if head.format > FORMAT {
            return Err(Unreadable::Newer { found: head.format });
        }
        let group = head.group.map(|group| Group {
            key: group.key,
            wait: group.wait,
            repeat_after: group.repeat_after,
        });
        Ok(Self { id: head.id, record: head.record, group, text: Text::parse(&rest)? })
    }
}

impl Text {
    /// As bytes.
    pub(super) fn emit(&self) -> Bytes {
        let mut bytes = BytesMut::new();
        self.put(&mut bytes);
        bytes.freeze()
    }

    /// From bytes, verified against their checksum.
    pub(super) fn parse(bytes: &Bytes) -> Result<Self, Unreadable> {
        let (seal, rest) = line::<Seal>(bytes, "checksum")?;
        if seal.format > FORMAT {
            return Err(Unreadable::Newer { found: seal.format });
        }
        let (body, content) = split(&rest, "body")?;
        let body = String::from_utf8(body.to_vec())
            .map_err(|error| Unreadable::Line { line: "body", what: error.to_string() })?;
        let content = seal.content.then_some(content);
        if hex(&rows::checksum(&body, content.as_deref())) != seal.sha256 {
            return Err(Unreadable::Checksum);
        }
        Ok(Self { body, content })
    }

    /// The body.
    pub(super) fn decode(&self) -> Result<StoredBody<'static>, Unreadable> {
        serde_json::from_str(&self.body)
            .map_err(|error| Unreadable::Line { line: "body", what: error.to_string() })
    }

    fn put(&self, bytes: &mut BytesMut) {
        let sha256 = hex(&rows::checksum(&self.body, self.content.as_deref()));
        put_line(bytes, &Seal { format: FORMAT, sha256, content: self.content.is_some() });
        bytes.put_slice(self.body.as_bytes());
        bytes.put_u8(b'\n');
        bytes.put_slice(self.content.as_deref().unwrap_or_default());
    }
}

/// As JSON.
pub(super) fn json(value: &impl Serialize) -> Bytes {
    // Every key is a string and no part can fail to serialize.
    serde_json::to_vec(value).unwrap_or_default().into()
}

fn put_line(bytes: &mut BytesMut, value: &impl Serialize) {
    // Every key is a string and no part can fail to serialize; an empty line would be found out when it is read.
    bytes.put_slice(&serde_json::to_vec(value).unwrap_or_default());
    bytes.put_u8(b'\n');
}

fn line<T: for<'de> Deserialize<'de>>(bytes: &Bytes, name: &'static str) -> Result<(T, Bytes), Unreadable> {
    let (line, rest) = split(bytes, name)?;
    let value = serde_json::from_slice(&line)
        .map_err(|error| Unreadable::Line { line: name, what: error.to_string() })?;
    Ok((value, rest))
}

fn split(bytes: &Bytes, line: &'static str) -> Result<(Bytes, Bytes), Unreadable> {
    let end = memchr::memchr(b'\n', bytes)
        .ok_or_else(|| Unreadable::Line { line, what: "it has no end".to_owned() })?;
    Ok((bytes.slice(..end), bytes.slice(end.saturating_add(1)..)))
}

/// What this version writes; a change that an earlier one cannot read raises it.
const FORMAT: u32 = 1;

#[cfg(test)]
mod tests {
    use super::super::tests::{alarm, at, carried, mail};
    use super::*;

    #[test]
    fn a_notice_and_a_mail_with_line_breaks_read_back_as_written() {
        let mut grouped = alarm("on\nbattery", at(0));
        grouped.group = Some(Group {
            key: [7; 16],
            wait: Duration::from_secs(20),
            repeat_after: Duration::from_secs(600),
        });
        for message in [grouped, mail("Subject: x\r\n\r\none\ntwo\r\n", at(0)), mail("", at(0))] {
            let carried = carried(message);
            assert_eq!(Carried::parse(&carried.emit()), Ok(carried));
        }
    }

    #[test]
    fn what_was_changed_on_the_way_or_cut_short_is_found_out() {
        let whole = carried(mail("Subject: x\r\n\r\ntext\r\n", at(0))).emit();
        let cut = whole.slice(..whole.len() - 1);
        assert_eq!(Carried::parse(&cut), Err(Unreadable::Checksum));
        for length in 0..whole.len() {
            assert!(Carried::parse(&whole.slice(..length)).is_err(), "{length}");
        }
    }

    #[test]
    fn what_a_later_version_wrote_is_left_to_it() {
        let text = String::from_utf8(carried(alarm("x", at(0))).emit().to_vec()).unwrap();
        let later = Bytes::from(text.replacen("\"format\":1", "\"format\":2", 1));
        assert_eq!(Carried::parse(&later), Err(Unreadable::Newer { found: 2 }));
    }
}
