//! A message as an event for queues and webhooks: CloudEvents 1.0.2, whose data is JSON.
//!
//! Pure: the same copy of the same message gives the same event, so an attempt whose answer was lost is repeated under
//! the same id and the receiver can tell. `source` and `id` together are unique, as CloudEvents wants, and `id` alone is
//! already unlikely to repeat between gateways, since a hash of what came is in it.
//!
//! What others wrote stands in the data as it is, where JSON escapes it; in attributes, which become headers and
//! properties, no control character does.

mod attributes;
mod mail;
mod notice;
mod sizes;
#[cfg(test)]
mod tests;
mod values;

use bytes::{BufMut as _, Bytes, BytesMut};
use schemars::JsonSchema;
use serde::Serialize;

pub use attributes::{EventIdentity, header_value};
pub use mail::{BEGINNING, MailContent};
pub use sizes::{LARGEST_EVENT, mail_capacity};

use super::mail::{Gathered, Spooled};
use super::recipient::Recipient;
use attributes::Attributes;

/// One copy of one message, ready for a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    attributes: Attributes,
    data: Bytes,
}

/// The media type of [`Event::structured`] (CloudEvents JSON Event Format §3).
pub const STRUCTURED_MEDIA_TYPE: &str = "application/cloudevents+json";

/// The media type of [`Event::data`], which is the attribute `datacontenttype` too.
pub const DATA_MEDIA_TYPE: &str = "application/json";

impl Event {
    /// The event of a legacy message.
    ///
    /// Its structured form has at most `limit` octets, as far as the text and the data can be left out: first goes the
    /// text of the last repeat, then the data, and at last the text is cut, which `truncated` says.
    #[must_use]
    pub fn of_notice(
        message: &Spooled,
        gathered: &Gathered,
        recipient: &Recipient,
        identity: &EventIdentity,
        limit: u64,
    ) -> Self {
        let attributes =
            Attributes::new(notice::event_type(gathered.first.kind), message, recipient, identity);
        let room = sizes::room_for_data(&attributes, limit);
        let data = notice::data(message, gathered, recipient, room);
        Self { attributes, data }
    }

    /// The event of a mail.
    ///
    /// Its structured form has at most `limit` octets, as far as the original and the text can be left out. The original
    /// is there if it was read whole and fits; then as much of the text as fits beside it.
    #[must_use]
    pub fn of_mail(
        message: &Spooled,
        content: &MailContent<'_>,
        recipient: &Recipient,
        identity: &EventIdentity,
        limit: u64,
    ) -> Self {
        let attributes = Attributes::new(EventType::Mail, message, recipient, identity);
        let room = sizes::room_for_data(&attributes, limit);
        let data = mail::data(message, content, recipient, room);
        Self { attributes, data }
    }

    /// At most 128 printable ASCII characters: the same in every attempt, and no other copy of any message has it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.attributes.id
    }

    /// What it is.
    #[must_use]
    pub const fn event_type(&self) -> EventType {
        self.attributes.event_type
    }

    /// Attributes and data in one JSON object (JSON Event Format §3), of the type [`STRUCTURED_MEDIA_TYPE`].
    #[must_use]
    pub fn structured(&self) -> Bytes {
        let attributes = values::json(&self.attributes);
        let head = attributes.strip_suffix(b"}").unwrap_or(&attributes);
        let mut whole = BytesMut::with_capacity(
            head.len().saturating_add(self.data.len()).saturating_add(sizes::AROUND_DATA),
        );
        whole.put_slice(head);
        whole.put_slice(br#","data":"#);
        whole.put_slice(&self.data);
        whole.put_slice(b"}");
        whole.freeze()
    }

    /// For binary mode: name and value of each attribute that there is, `datacontenttype` included. Names are lower-case
    /// letters and digits; values hold no control characters but may hold any other Unicode, for which
    /// [`header_value`] is the form in HTTP headers.
    #[must_use]
    pub fn attributes(&self) -> Vec<(&'static str, String)> {
        self.attributes.list()
    }

    /// For binary mode: the data alone, of the type [`DATA_MEDIA_TYPE`].
    #[must_use]
    pub fn data(&self) -> Bytes {
        self.data.clone()
    }
}

/// What an event tells of. A later form of the data that its readers could not read has another `v`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum EventType {
    /// A text for a person: `net send`, WinPopup, an alarm of a UPS.
    #[serde(rename = "mailslotd.messenger.v1")]
    Messenger,
    /// A host tells of itself or looks for others.
    #[serde(rename = "mailslotd.announcement.v1")]
    Announcement,
    /// A write to a mailslot of some vendor.
    #[serde(rename = "mailslotd.mailslot.v1")]
    Mailslot,
    /// A mail from a device or an application.
    #[serde(rename = "mailslotd.mail.v1")]
    Mail,
}

impl EventType {
    /// The attribute `type`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Messenger => "mailslotd.messenger.v1",
            Self::Announcement => "mailslotd.announcement.v1",
            Self::Mailslot => "mailslotd.mailslot.v1",
            Self::Mail => "mailslotd.mail.v1",
        }
    }
}

/// One event of mailslotd in structured mode (CloudEvents 1.0.2, JSON Event Format).
///
/// Fields may be added: readers must pass over those that they do not know. Everything that a sender wrote is a claim,
/// since NetBIOS authenticates nobody.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it is the schema of what is put together from its parts")]
#[schemars(title = "Event of mailslotd")]
struct Structured<'a> {
    #[serde(flatten)]
    attributes: Attributes,
    #[serde(flatten)]
    data: Data<'a>,
}

/// The data, by the event's `type`.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "as above")]
#[serde(tag = "type", content = "data")]
enum Data<'a> {
    /// A text for a person, written to `\MAILSLOT\MESSNGR` or sent in a session of `net send`.
    #[serde(rename = "mailslotd.messenger.v1")]
    Messenger(notice::NoticeData<'a>),
    /// A host tells of itself or looks for others, through `BROWSE`, `LANMAN` or `NET\NETLOGON`.
    #[serde(rename = "mailslotd.announcement.v1")]
    Announcement(notice::AnnouncementData<'a>),
    /// A write to a mailslot of some vendor.
    #[serde(rename = "mailslotd.mailslot.v1")]
    Mailslot(notice::NoticeData<'a>),
    /// A mail from a device or an application, once for each of its recipients.
    #[serde(rename = "mailslotd.mail.v1")]
    Mail(mail::MailData<'a>),
}

/// The JSON Schema (draft 2020-12) of every event in structured mode.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Structured<'_>).to_value()
}
