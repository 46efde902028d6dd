//! The data of mail.

use std::fmt::Write as _;
use std::net::IpAddr;

use bytes::Bytes;
use jiff::Timestamp;
use mail_parser::{Address, Message, MessageParser, MessagePart, MimeHeaders as _};
use schemars::JsonSchema;
use serde::Serialize;

use super::values::{Base64, cut, json};
use crate::message::compose::line;
use crate::message::mail::{Spooled, Submitted};
use crate::message::mail_text::body_text;
use crate::message::recipient::Recipient;

/// What of a mail goes into its event.
#[derive(Debug, Clone, Copy)]
pub struct MailContent<'a> {
    /// The envelope's sender; `None` is the null reverse-path.
    pub reverse_path: Option<&'a str>,
    /// What its submission said besides.
    pub submitted: &'a Submitted,
    /// Header and body: all of it where the event shall hold the original, else at least [`BEGINNING`] of it.
    pub octets: &'a [u8],
    /// The length of all of it.
    pub length: u64,
    /// The hash of all of it.
    pub sha256: [u8; 32],
}

/// Octets of a mail in which its header, its text and the names of its attachments are looked for where the original does
/// not fit into the event.
pub const BEGINNING: u64 = 1 << 20;

/// A mail, for one of its recipients.
#[derive(Serialize, JsonSchema)]
pub(super) struct MailData<'a> {
    /// The message's number in the gateway's queue; the events for all its recipients have the same.
    queue_id: String,
    /// The addresses of its submission, which alone decided where it goes.
    envelope: EnvelopeData<'a>,
    /// What its header says, decoded. Anyone can write anything into it.
    header: HeaderData,
    /// The text, with `\n` line ends; of HTML without a plain alternative, that made plain. Empty where there is none.
    text: &'a str,
    /// Only the beginning of the text is here: the destination takes no more, or it is over 64 KiB.
    #[serde(skip_serializing_if = "is_false")]
    #[schemars(default)]
    truncated: bool,
    /// Its attachments, at most 32.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default, length(max = 32))]
    attachments: Vec<AttachmentData>,
    /// The whole mail, header and body, as base64. Absent where the destination takes no event of that size.
    #[serde(skip_serializing_if = "Option::is_none")]
    original: Option<Base64<'a>>,
    /// Octets of the whole mail.
    original_length: u64,
    /// SHA-256 of the whole mail, in hexadecimal.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    original_sha256: String,
    /// Who brought it. Absent for a report of the gateway's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<ClientData<'a>>,
}

/// The envelope (RFC 5321 §2.3.1).
#[derive(Serialize, JsonSchema)]
struct EnvelopeData<'a> {
    /// Who is told of failures. Absent for the null reverse-path `<>`: nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    reverse_path: Option<&'a str>,
    /// The recipient that this event is for; each has an event of its own. Absent for a report of the gateway's own to
    /// its operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient: Option<&'a str>,
}

/// Fields of the header, decoded (RFC 2047) and each cut to one bounded line. Absent where the mail has none.
#[derive(Serialize, JsonSchema, Default)]
struct HeaderData {
    /// From, at most 2 KiB of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    from: Vec<MailboxData>,
    /// Reply-To, likewise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    reply_to: Vec<MailboxData>,
    /// To, likewise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    to: Vec<MailboxData>,
    /// Cc, likewise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    cc: Vec<MailboxData>,
    /// Subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    /// Date, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    date: Option<String>,
    /// Message-ID without its angle brackets.
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
}

/// One address of a header field.
#[derive(Serialize, JsonSchema)]
struct MailboxData {
    /// The display name.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// The address.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
}

/// One attachment.
#[derive(Serialize, JsonSchema)]
struct AttachmentData {
    /// Its file name, as the sender wrote it: not fit to be one as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Its media type, by the sender's word.
    media_type: String,
    /// Octets of it, decoded; where `original` is absent, of what was looked at.
    length: u64,
}

/// Who brought a mail.
#[derive(Serialize, JsonSchema)]
struct ClientData<'a> {
    /// The client's address.
    #[schemars(with = "String")]
    address: IpAddr,
    /// The configured name of the listener.
    listener: &'a str,
    /// The account that it proved, where it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<&'a str>,
}

/// The data in JSON, of at most `room` octets where it can be brought down to that.
pub(super) fn data(
    message: &Spooled,
    content: &MailContent<'_>,
    recipient: &Recipient,
    room: usize,
) -> Bytes {
    let mail = MessageParser::default().parse(content.octets);
    let text = mail.as_ref().map(body_text).unwrap_or_default();
    let mut data = MailData {
        queue_id: message.id.to_string(),
        envelope: EnvelopeData { reverse_path: content.reverse_path, recipient: recipient.mailbox() },
        header: mail.as_ref().map(HeaderData::of).unwrap_or_default(),
        text: "",
        truncated: true,
        attachments: mail.as_ref().map(attachments).unwrap_or_default(),
        original: None,
        original_length: content.length,
        original_sha256: hexadecimal(&content.sha256),
        client: content.submitted.client.as_ref().map(|client| ClientData {
            address: client.address.to_canonical(),
            listener: client.listener.as_str(),
            principal: client.principal.as_deref(),
        }),
    };
    let mut room = room.saturating_sub(json(&data).len());
    let is_whole = usize::try_from(content.length).is_ok_and(|length| length == content.octets.len());
    let original = Base64::json_length(content.octets.len()).saturating_add(r#""original":,"#.len());
    if is_whole && original <= room {
        data.original = Some(Base64(content.octets));
        room = room.saturating_sub(original);
    }
    data.text = cut(&text, room.min(MOST_TEXT)).0;
    data.truncated = data.text.len() < text.len();
    json(&data)
}

impl HeaderData {
    fn of(mail: &Message<'_>) -> Self {
        let is_date = |date: &String| date.parse::<Timestamp>().is_ok();
        Self {
            from: mailboxes(mail.from()),
            reply_to: mailboxes(mail.reply_to()),
            to: mailboxes(mail.to()),
            cc: mailboxes(mail.cc()),
            subject: mail.subject().map(|subject| line(subject, MOST_SUBJECT)),
            date: mail
                .date()
                .filter(|date| date.is_valid())
                .map(mail_parser::DateTime::to_rfc3339)
                .filter(is_date),
            message_id: mail.message_id().map(|id| line(id, MOST_WORD)),
        }
    }
}

fn mailboxes(field: Option<&Address<'_>>) -> Vec<MailboxData> {
    let all = field.into_iter().flat_map(Address::iter).map(|each| MailboxData {
        name: each.name().map(|name| line(name, MOST_WORD)),
        address: each.address().map(|address| line(address, MOST_WORD)),
    });
    let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    bounded(all, |each| length(&each.name).saturating_add(length(&each.address)))
}

fn attachments(mail: &Message<'_>) -> Vec<AttachmentData> {
    let all = mail.attachments().map(|part| AttachmentData {
        name: part.attachment_name().map(|name| line(name, MOST_WORD)),
        media_type: media_type(part),
        length: u64::try_from(part.len()).unwrap_or(u64::MAX),
    });
    let length = |each: &AttachmentData| each.name.as_ref().map_or(0, String::len);
    bounded(all, |each| length(each).saturating_add(each.media_type.len()))
}

fn media_type(part: &MessagePart<'_>) -> String {
    let Some(written) = part.content_type() else {
        return if part.is_message() { "message/rfc822" } else { "application/octet-stream" }.to_owned();
    };
    let subtype = written.subtype().unwrap_or("octet-stream");
    line(&format!("{}/{subtype}", written.ctype()), MOST_WORD)
}

/// As many of the first as have at most [`MOST_OCTETS`] in all, and never more than [`MOST_ENTRIES`].
fn bounded<T>(all: impl Iterator<Item = T>, length: impl Fn(&T) -> usize) -> Vec<T> {
    let mut octets: usize = 0;
    all.take(MOST_ENTRIES)
        .take_while(|each| {
            octets = octets.saturating_add(length(each));
            octets <= MOST_OCTETS
        })
        .collect()
}

fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        // Writing to a String cannot fail.
        write!(text, "{octet:02x}").unwrap_or_default();
        text
    })
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// Octets of the text in JSON.
const MOST_TEXT: usize = 64 << 10;

/// Characters of a subject, as of one line (RFC 5322 §2.1.1).
const MOST_SUBJECT: usize = 998;

/// Characters of a name, an address or another word.
const MOST_WORD: usize = 320;

/// Addresses of a header field, attachments of a mail.
const MOST_ENTRIES: usize = 32;

/// Octets of all entries of a list together.
const MOST_OCTETS: usize = 2 << 10;
