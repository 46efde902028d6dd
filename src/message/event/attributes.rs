//! The attributes of an event: who tells, of what, when, and under which id.

use std::borrow::Cow;
use std::fmt::Write as _;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{DATA_MEDIA_TYPE, EventType};
use crate::message::compose::NO_HOSTNAME;
use crate::message::mail::{Body, Priority, Spooled};
use crate::message::recipient::Recipient;

/// Who this gateway is towards readers of its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventIdentity {
    source: String,
    site: String,
}

impl EventIdentity {
    /// The gateway `//HOSTNAME/mailslotd`; without a hostname one that never resolves. `site` may be empty.
    #[must_use]
    pub fn new(hostname: Option<&str>, site: &str) -> Self {
        let source = format!("//{}/mailslotd", hostname.unwrap_or(NO_HOSTNAME));
        Self { source: attribute(&source), site: attribute(site) }
    }
}

/// The attributes, in the order of the specification, extensions last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Attributes {
    /// The version of the specification: `1.0`.
    #[schemars(extend("const" = "1.0"))]
    specversion: &'static str,
    /// Unique for each copy of each message, and the same each time that this copy is sent: an id that was seen before is
    /// a repeat after an answer that was lost. Letters, digits and a dot.
    #[schemars(length(min = 1, max = 128))]
    pub(super) id: String,
    /// The gateway: `//` and its hostname and `/mailslotd`.
    #[schemars(extend("format" = "uri-reference"))]
    source: String,
    #[serde(rename = "type")]
    #[schemars(skip)]
    pub(super) event_type: EventType,
    /// Where this copy went, in the destination's own terms: the subject, routing key, topic or stream that the rule's or
    /// the route's `to` made. Absent where it made none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    subject: Option<String>,
    /// When the message arrived at the gateway.
    #[schemars(with = "String", extend("format" = "date-time"))]
    time: Timestamp,
    /// `application/json`.
    #[schemars(extend("const" = "application/json"))]
    datacontenttype: &'static str,
    /// Extension: the gateway's configured `site`. Absent where none is.
    #[serde(skip_serializing_if = "String::is_empty")]
    site: String,
    /// Extension: the rule that decided. Absent for mail, which routes decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    /// Extension: how urgent the message is against others.
    priority: Priority,
    /// Extension (Expiry Time): when the gateway would have given the message up; what comes later helps nobody.
    #[schemars(with = "String", extend("format" = "date-time"))]
    expirytime: Timestamp,
}

impl Attributes {
    pub(super) fn new(
        event_type: EventType,
        message: &Spooled,
        recipient: &Recipient,
        identity: &EventIdentity,
    ) -> Self {
        let subject = attribute(&recipient.to);
        Self {
            specversion: "1.0",
            id: id(message, recipient),
            source: identity.source.clone(),
            event_type,
            subject: (!subject.is_empty()).then_some(subject),
            time: arrived(message),
            datacontenttype: DATA_MEDIA_TYPE,
            site: identity.site.clone(),
            rule: message.rule.as_ref().map(|rule| rule.as_str().to_owned()),
            priority: message.priority,
            expirytime: message.expires_at,
        }
    }

    pub(super) fn list(&self) -> Vec<(&'static str, String)> {
        let optional = [
            ("subject", self.subject.clone()),
            ("site", Some(self.site.clone()).filter(|site| !site.is_empty())),
            ("rule", self.rule.clone()),
        ];
        let mut all = vec![
            ("specversion", self.specversion.to_owned()),
            ("id", self.id.clone()),
            ("source", self.source.clone()),
            ("type", self.event_type.as_str().to_owned()),
            ("time", self.time.to_string()),
            ("datacontenttype", self.datacontenttype.to_owned()),
            ("priority", self.priority.as_str().to_owned()),
            ("expirytime", self.expirytime.to_string()),
        ];
        all.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value?))));
        all
    }
}

/// A value as CloudEvents' HTTP binding writes it in headers (§3.1.3.2): every octet of UTF-8 outside `!` to `~`, and
/// blank, quote and percent sign, as `%XX`.
#[must_use]
pub fn header_value(value: &str) -> Cow<'_, str> {
    let plain = |octet: &u8| matches!(octet, b'!'..=b'~') && !matches!(octet, b'"' | b'%');
    if value.as_bytes().iter().all(plain) {
        return Cow::Borrowed(value);
    }
    let mut written = String::with_capacity(value.len().saturating_mul(2));
    for octet in value.as_bytes() {
        if plain(octet) {
            written.push(char::from(*octet));
        } else {
            // Writing to a String cannot fail.
            write!(written, "%{octet:02X}").unwrap_or_default();
        }
    }
    Cow::Owned(written)
}

/// When the message arrived: of a legacy message the time of its packet.
pub(super) fn arrived(message: &Spooled) -> Timestamp {
    match &message.body {
        Body::Notice(gathered) => gathered.first.arrival.at,
        Body::Mail { .. } => message.accepted_at,
    }
}

/// The queue id and 96 bits of a hash of what distinguishes this copy of this message from all others, of every gateway.
/// Repeats that are gathered later change nothing of it.
fn id(message: &Spooled, recipient: &Recipient) -> String {
    let mut hash = Sha256::new();
    let mut part = |octets: &[u8]| {
        hash.update(u64::try_from(octets.len()).unwrap_or(u64::MAX).to_le_bytes());
        hash.update(octets);
    };
    part(&message.accepted_at.as_nanosecond().to_le_bytes());
    part(recipient.via.as_str().as_bytes());
    part(recipient.to.as_bytes());
    part(recipient.mailbox.as_deref().unwrap_or_default().as_bytes());
    part(recipient.subject.as_deref().unwrap_or_default().as_bytes());
    match &message.body {
        Body::Notice(gathered) => {
            let notice = &gathered.first;
            part(notice.arrival.source.to_string().as_bytes());
            part(&notice.dgm_id.to_le_bytes());
            part(&notice.data);
        }
        Body::Mail { reverse_path, content, submitted: _ } => {
            part(reverse_path.as_deref().unwrap_or_default().as_bytes());
            part(&content.length().to_le_bytes());
        }
    }
    let mut id = format!("{}.", message.id);
    for octet in hash.finalize().iter().take(12) {
        // Writing to a String cannot fail.
        write!(id, "{octet:02x}").unwrap_or_default();
    }
    id
}

/// A value that CloudEvents' String type takes (§2.1): what has no place in it becomes U+FFFD, and what is over
/// [`MOST_ATTRIBUTE`] characters is left out.
fn attribute(text: &str) -> String {
    let fits = |letter: char| {
        let code = u32::from(letter);
        !letter.is_control() && code & 0xFFFE != 0xFFFE && !(0xFDD0..=0xFDEF).contains(&code)
    };
    text.chars().take(MOST_ATTRIBUTE).map(|letter| if fits(letter) { letter } else { '\u{FFFD}' }).collect()
}

/// Characters of an attribute; nothing that is configured makes a longer one.
const MOST_ATTRIBUTE: usize = 1024;
