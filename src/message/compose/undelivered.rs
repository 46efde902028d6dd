//! The mail that tells the operator of a notice that could not be delivered, with all that the notice said.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use mail_builder::MessageBuilder;
use mail_builder::headers::message_id::MessageId;
use mail_builder::headers::raw::Raw;

use super::line::{LINE_LIMIT, line};
use super::{Addressees, ComposeError, HeaderFields, Identity, body, date, from, subject_text, text, to};
use crate::message::id::DestinationName;
use crate::message::mail::{Content, Gathered, Spooled};
use crate::wire::smtp::status::EnhancedStatus;

/// A notice of which copies failed at one destination, for causes of one kind.
#[derive(Debug, Clone, Copy)]
pub struct Undelivered<'a> {
    /// The notice as it lies in the spool.
    pub message: &'a Spooled,
    /// What was heard.
    pub gathered: &'a Gathered,
    /// Where it failed.
    pub destination: &'a DestinationName,
    /// The host that refused it, where one was asked.
    pub host: Option<&'a str>,
    /// The copies; at least one.
    pub copies: &'a [FailedCopy],
    /// How many copies failed there for such causes since the last report without being told.
    pub held_back: u64,
    /// How long no further report on this comes; `None`: each failure is told.
    pub repeat: Option<Duration>,
    /// When it failed.
    pub at: Timestamp,
    /// The Message-ID's left side.
    pub id: &'a str,
}

/// One copy that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedCopy {
    /// Where it would have gone, in the destination's own terms.
    pub to: String,
    /// Why.
    pub failure: Failure,
}

/// Why a copy failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The next hop, or this gateway for it, said that it never will be delivered.
    Refused {
        /// As a code.
        status: EnhancedStatus,
        /// In words; escaped, one line.
        text: String,
    },
    /// It could not be delivered in its time.
    Expired {
        /// What the last attempt met, where there was one; escaped, one line.
        last: Option<String>,
    },
}

impl Undelivered<'_> {
    /// The whole mail with CRLF line ends, 7-bit like every notice; its reverse-path is `<>`.
    ///
    /// # Errors
    /// [`ComposeError`], where the configuration or the clock is at fault.
    pub fn compose(&self, addressees: Addressees<'_>, identity: &Identity) -> Result<Content, ComposeError> {
        let said = subject_text(self.gathered, None, identity);
        let subject = format!("Not delivered by {}: {said}", self.destination);
        let headers: HeaderFields<'_> = vec![
            ("From".into(), from("Mail Delivery System", identity)?),
            ("To".into(), to(addressees)?),
            ("Subject".into(), text(&subject)),
            ("Date".into(), Raw::new(date(self.at, identity)?).into()),
            ("Message-ID".into(), MessageId::new(format!("{}@{}", self.id, identity.hostname)).into()),
            ("Auto-Submitted".into(), Raw::new("auto-generated").into()), // RFC 3834 §5
            ("X-Auto-Response-Suppress".into(), Raw::new("All").into()),  // MS-OXCMAIL §2.1.3.2.21
        ];
        let body = body::body(&self.preface(identity), self.message, self.gathered, identity);
        let mut bytes = Vec::new();
        MessageBuilder { headers, body: Some(body), ..MessageBuilder::new() }.serialize(&mut bytes);
        Ok(Content::Inline(Bytes::from(bytes)))
    }

    /// What happened and what can be done; the text of the notice follows.
    fn preface(&self, identity: &Identity) -> String {
        let Self { message, destination, held_back, .. } = self;
        let mut text = format!(
            "A message that {} heard could not be delivered. Its sender cannot be told.\n\n",
            identity.hostname
        );
        // Writing to a String cannot fail.
        writeln!(text, "Destination {destination}, at {}:", body::clock(self.at, identity))
            .unwrap_or_default();
        for copy in self.copies {
            self.describe(&mut text, copy);
        }
        let id = message.id;
        write!(
            text,
            "\nIt is kept as failed. To look at it, and to try it again:\n\n  mailslotd queue show {id}\n  \
             mailslotd queue retry {id}\n\n"
        )
        .unwrap_or_default();
        if *held_back > 0 {
            let copies = if *held_back == 1 { "copy" } else { "copies" };
            write!(
                text,
                "Since the last report like this, {held_back} more {copies} failed there for such a cause and \
                 were not reported:\n\n  mailslotd queue list --state failed\n\n"
            )
            .unwrap_or_default();
        }
        if let Some(repeat) = self.repeat {
            write!(
                text,
                "What fails there for such a cause in the next {} is not reported; the next report counts it.\n\n",
                in_words(repeat)
            )
            .unwrap_or_default();
        }
        text.push_str("The message:\n\n");
        text
    }

    fn describe(&self, text: &mut String, copy: &FailedCopy) {
        let to = match line(&copy.to, LINE_LIMIT) {
            to if to.is_empty() => "(inbox)".to_owned(),
            to => to,
        };
        let said = |words: &str| match self.host {
            Some(host) => format!("{words} (asked: {host})"),
            None => words.to_owned(),
        };
        let cause = match &copy.failure {
            Failure::Refused { status, text } => format!("refused for good: {status} {}", said(text)),
            Failure::Expired { last: Some(last) } => {
                format!("given up, its time ran out; the last attempt met: {last}")
            }
            Failure::Expired { last: None } => {
                "given up, its time ran out before an attempt could be made".to_owned()
            }
        };
        writeln!(text, "  {to}: {cause}").unwrap_or_default();
    }
}

/// `4 h`, `90 min`, `30 s`: in the greatest unit that divides it.
fn in_words(time: Duration) -> String {
    let seconds = time.as_secs();
    let unit = [("h", 3600), ("min", 60)]
        .into_iter()
        .find(|(_, unit)| seconds >= *unit && seconds.checked_rem(*unit) == Some(0));
    unit.and_then(|(name, unit)| Some(format!("{} {name}", seconds.checked_div(unit)?)))
        .unwrap_or_else(|| format!("{seconds} s"))
}
