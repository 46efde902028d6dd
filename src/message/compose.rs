//! A notice as a complete RFC 5322 message.
//!
//! Pure: the same message composed twice gives the same bytes, so an attempt whose answer was lost is repeated under
//! the same Message-ID and the receiver can tell. The whole is 7-bit (RFC 2045 §2.7) with lines within RFC 5322
//! §2.1.1, so every next hop takes it.
//!
//! Every name and text in a notice is what some host on the network claims. None of it may add a header, an address
//! or a recipient: values pass `line` before they reach a header, and addresses come from the configuration alone.

mod body;
pub mod ending;
mod line;
pub mod undelivered;

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use bytes::Bytes;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use mail_builder::MessageBuilder;
use mail_builder::headers::HeaderType;
use mail_builder::headers::address::{Address, EmailAddress};
use mail_builder::headers::message_id::MessageId;
use mail_builder::headers::raw::Raw;
use mail_builder::headers::text::Text;
use serde::Serialize as _;
use sha2::{Digest as _, Sha256};

use super::id::QueueId;
use super::mail::{Body, Content, Gathered, Priority, Spooled};
use crate::wire::oem_text::CodePage;
use crate::wire::smtp::path::Mailbox;
use crate::wire::smtp::status::EnhancedStatus;
use line::LINE_LIMIT;
pub(super) use line::{DISPLAY_LIMIT, encoded_words, line};

/// The domain of addresses and Message-IDs where no hostname is configured (RFC 2606 §2: never resolves).
pub const NO_HOSTNAME: &str = "localhost.invalid";

/// Who this gateway is towards the readers of its mail.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Domain of Message-IDs and name in EHLO; [`NO_HOSTNAME`] where none is configured.
    pub hostname: String,
    /// The operator's label of this place; may be empty.
    pub site: String,
    /// The one address that notices come from.
    pub from: String,
    /// Of the times in header and body.
    pub timezone: TimeZone,
}

impl Identity {
    /// The identity for one destination; without `from` it is `mailslotd` at the hostname.
    #[must_use]
    pub fn new(hostname: Option<&str>, site: &str, from: Option<&str>, timezone: TimeZone) -> Self {
        let hostname = hostname.unwrap_or(NO_HOSTNAME).to_owned();
        let from = from.map_or_else(|| format!("mailslotd@{hostname}"), str::to_owned);
        Self { hostname, site: site.to_owned(), from, timezone }
    }
}

/// Whom the To header names.
#[derive(Debug, Clone, Copy)]
pub enum Addressees<'a> {
    /// Mailboxes; those that [`Mailbox::parse_ascii`] refuses are left out of the header, and refused when they are
    /// delivered to. The check of the configuration refuses them by the same measure.
    Mailboxes(&'a [&'a str]),
    /// A folder of a Maildir, empty for its inbox; named by an address that never resolves.
    Folder(&'a str),
}

/// Why a notice did not become a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// None of the recipients is a mailbox.
    #[error("no recipient is a mailbox such as ops@example.com in ASCII; correct `to` in the rule")]
    NoMailbox,
    /// The configured From is no mailbox.
    #[error(
        "the address in From is no mailbox such as alerts@example.com in ASCII; correct `from` of the destination"
    )]
    BadFrom,
    /// RFC 5322 §3.3 writes years from 1900 to 9999.
    #[error("the time of arrival has no date in RFC 5322's form; set the clock of this host")]
    DateOutOfRange,
}

impl ComposeError {
    /// The code for the queue view (RFC 3463 §3.2, §3.7).
    #[must_use]
    pub const fn status(self) -> EnhancedStatus {
        match self {
            Self::NoMailbox => EnhancedStatus::new(5, 1, 3),
            Self::BadFrom => EnhancedStatus::new(5, 1, 7),
            Self::DateOutOfRange => EnhancedStatus::new(5, 6, 0),
        }
    }
}

/// The mail that `message` is for these addressees, with CRLF line ends.
///
/// A notice is composed; `subject` is the rule's, and without one `[site] originator: first line`. A mail is passed on
/// as it is. The result depends on the arguments alone.
///
/// # Errors
/// [`ComposeError`], for notices only; it is the configuration's fault and not the sender's.
pub fn compose(
    message: &Spooled,
    addressees: Addressees<'_>,
    subject: Option<&str>,
    identity: &Identity,
) -> Result<Content, ComposeError> {
    match &message.body {
        Body::Mail { content, .. } => Ok(content.clone()),
        Body::Notice(gathered) => {
            let headers = headers(message, gathered, addressees, subject, identity)?;
            let body = body::body("", message, gathered, identity);
            let mut bytes = Vec::new();
            MessageBuilder { headers, body: Some(body), ..MessageBuilder::new() }.serialize(&mut bytes);
            Ok(Content::Inline(Bytes::from(bytes)))
        }
    }
}

/// The Message-ID of a notice without its angle brackets: `QUEUEID.notice@hostname`, with a hash of the subject where
/// a rule sets one, since copies with different subjects are different mails.
#[must_use]
pub fn message_id(id: QueueId, subject: Option<&str>, identity: &Identity) -> String {
    let hash = subject.map(|subject| format!(".{}", hash_text(&[subject.as_bytes()]))).unwrap_or_default();
    format!("{id}{hash}.notice@{}", identity.hostname)
}

/// A code page as the configuration writes it: `cp932`.
struct AsConfigured(CodePage);

impl fmt::Display for AsConfigured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.serialize(f)
    }
}

type HeaderFields<'a> = Vec<(Cow<'a, str>, HeaderType<'a>)>;

fn headers<'a>(
    message: &'a Spooled,
    gathered: &'a Gathered,
    addressees: Addressees<'a>,
    subject: Option<&str>,
    identity: &'a Identity,
) -> Result<HeaderFields<'a>, ComposeError> {
    let notice = &gathered.first;
    let doubt = match (notice.encoding.lossy, notice.encoding.is_recognised()) {
        (true, _) => " (lossy)",
        (false, true) => " (recognised)",
        (false, false) => "",
    };
    let code_page = format!("{}{doubt}", AsConfigured(notice.encoding.code_page));
    let mut fields: HeaderFields<'a> = vec![
        ("From".into(), from(&notice.originator, identity)?),
        ("To".into(), to(addressees)?),
        ("Subject".into(), text(&subject_text(gathered, subject, identity))),
        ("Date".into(), Raw::new(date(notice.arrival.at, identity)?).into()),
        ("Message-ID".into(), MessageId::new(message_id(message.id, subject, identity)).into()),
        ("Auto-Submitted".into(), Raw::new("auto-generated").into()), // RFC 3834 §5
        ("X-Auto-Response-Suppress".into(), Raw::new("All").into()),  // MS-OXCMAIL §2.1.3.2.21
        ("X-Mailslot-Originator".into(), text(&line(&notice.originator, LINE_LIMIT))),
        ("X-Mailslot-Destination".into(), text(&line(&notice.to, LINE_LIMIT))),
        ("X-Mailslot-Mailslot".into(), text(&line(&notice.mailslot, LINE_LIMIT))),
        ("X-Mailslot-Source".into(), Raw::new(notice.arrival.source.ip().to_string()).into()),
        ("X-Mailslot-Code-Page".into(), Raw::new(code_page).into()),
    ];
    if let Some(rule) = &message.rule {
        fields.push(("X-Mailslot-Rule".into(), Raw::new(rule.as_str()).into()));
    }
    if gathered.count > 1 {
        fields.push(("X-Mailslot-Count".into(), Raw::new(gathered.count.to_string()).into()));
    }
    if gathered.held_back > 0 {
        fields.push(("X-Mailslot-Held-Back".into(), Raw::new(gathered.held_back.to_string()).into()));
    }
    match message.priority {
        Priority::Urgent => fields.push(("Importance".into(), Raw::new("high").into())), // RFC 2156 §5.3.6
        Priority::Normal => {}
        Priority::Bulk => fields.push(("Precedence".into(), Raw::new("bulk").into())),
    }
    Ok(fields)
}

/// The originator as the display name, our own address behind it.
fn from<'a>(originator: &str, identity: &'a Identity) -> Result<HeaderType<'a>, ComposeError> {
    if !is_mailbox(&identity.from) {
        return Err(ComposeError::BadFrom);
    }
    let name = line(originator, DISPLAY_LIMIT);
    Ok(match name.as_str() {
        "" => Address::from(identity.from.as_str()).into(),
        // In quotes it is no encoded-word (RFC 2047 §5), but many readers decode it there all the same.
        name if name.contains("=?") => {
            Raw::new(format!("{} <{}>", encoded_words(name), identity.from)).into()
        }
        _ => Address::new_address(Some(name), identity.from.as_str()).into(),
    })
}

fn to(addressees: Addressees<'_>) -> Result<HeaderType<'_>, ComposeError> {
    let mailboxes: Vec<Address<'_>> = match addressees {
        Addressees::Mailboxes(mailboxes) => {
            mailboxes.iter().filter(|text| is_mailbox(text)).map(|&text| mailbox(text.into())).collect()
        }
        Addressees::Folder(folder) => {
            let local = format!("{folder}@{NO_HOSTNAME}");
            vec![mailbox(if is_mailbox(&local) {
                local.into()
            } else {
                format!("inbox@{NO_HOSTNAME}").into()
            })]
        }
    };
    if mailboxes.is_empty() {
        return Err(ComposeError::NoMailbox);
    }
    Ok(Address::new_list(mailboxes).into())
}

/// What the configuration's check takes, so that no address it passed fails here. Quoted local parts stand in a
/// header as they are (RFC 5322 §3.4.1).
fn is_mailbox(text: &str) -> bool {
    Mailbox::parse_ascii(text).is_ok()
}

const fn mailbox(email: Cow<'_, str>) -> Address<'_> {
    Address::Address(EmailAddress { name: None, email })
}

fn subject_text(gathered: &Gathered, subject: Option<&str>, identity: &Identity) -> String {
    if let Some(subject) = subject {
        return line(subject, LINE_LIMIT);
    }
    let notice = &gathered.first;
    let mut text = String::new();
    if !identity.site.is_empty() {
        text = format!("[{}] ", identity.site);
    }
    text.push_str(match line(&notice.originator, DISPLAY_LIMIT).as_str() {
        "" => "(no name)",
        originator => originator,
    });
    text.push_str(": ");
    text.push_str(match notice.first_line() {
        "" => body::NO_TEXT,
        first_line => first_line,
    });
    let mut text = line(&text, LINE_LIMIT);
    if gathered.count > 1 {
        // Writing to a String cannot fail.
        write!(text, " ({} times)", gathered.count).unwrap_or_default();
    }
    text
}

/// An unstructured value that already passed [`line`].
fn text<'a>(value: &str) -> HeaderType<'a> {
    if value.is_ascii() && value.contains("=?") {
        // Written as it is, a reader would decode it, and what comes out never passed `line`.
        Raw::new(encoded_words(value)).into()
    } else {
        Text::new(value.to_owned()).into()
    }
}

fn date(at: Timestamp, identity: &Identity) -> Result<String, ComposeError> {
    jiff::fmt::rfc2822::to_string(&at.to_zoned(identity.timezone.clone()))
        .map_err(|_| ComposeError::DateOutOfRange)
}

/// The first 96 bits of SHA-256 in hexadecimal: no sender can aim at a value that depends on what it sends.
fn hash_text(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().iter().take(12).fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap_or_default();
        text
    })
}

#[cfg(test)]
mod tests;
