//! Delivery status notifications: what the sender of a mail is told of its recipients (RFC 3461, RFC 3464, RFC 6522).
//!
//! Pure. A report has three parts: an explanation for a person, the same for programs, and the message itself or its
//! header. Where the sender's own mail needed SMTPUTF8, so does the report (RFC 6533); else all of it but the returned
//! message is in ASCII, and addresses outside it are written as RFC 6533 §3 has it.

mod explain;
mod fields;

use bytes::Bytes;
use jiff::Zoned;

pub use super::mail::Ret;
use super::recipient::EnhancedStatus;
use crate::wire::smtp::path::Mailbox;

/// One report about some recipients of one message.
#[derive(Debug)]
pub struct Notification<'a> {
    /// Our own name.
    pub hostname: &'a str,
    /// Who answers for this mail system; without one, it is `MAILER-DAEMON` at its name.
    pub postmaster: Option<&'a Mailbox>,
    /// Whom it is for: the message's reverse-path.
    pub sender: &'a Mailbox,
    /// Unique to this report, letters, digits, `.` and `-` only: its Message-ID and its boundary are made of it.
    pub id: &'a str,
    /// When it is made, in the zone that dates are written in.
    pub at: &'a Zoned,
    /// When the message was accepted, likewise.
    pub accepted_at: &'a Zoned,
    /// What the sender knows the message by, in xtext (ENVID).
    pub envid: Option<&'a str>,
    /// Whether the sender's next hops must take letters outside ASCII in header fields.
    pub alphabet: Alphabet,
    /// What happened; at least one.
    pub recipients: &'a [RecipientStatus],
    /// What of the message goes back.
    pub returned: Returned,
}

/// Which letters a report may have in its own fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alphabet {
    /// ASCII.
    Ascii,
    /// Any: the sender's own mail needed SMTPUTF8.
    Utf8,
}

/// What of a message goes back with a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Returned {
    /// All of it.
    Message(Bytes),
    /// Its header, up to the empty line or a limit.
    Header(Bytes),
}

/// What became of one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipientStatus {
    /// The address that it was sent to.
    pub address: String,
    /// ORCPT as it came, in xtext.
    pub orcpt: Option<String>,
    /// What happened.
    pub action: Action,
    /// Why, as a code; 2.y.z where all went well.
    pub status: EnhancedStatus,
    /// The host that said so, where one did.
    pub remote_mta: Option<String>,
    /// What it said, or what happened instead, in a line.
    pub diagnostic: String,
    /// When that was.
    pub last_attempt: Zoned,
}

/// What happened to one recipient (RFC 3464 §2.3.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// It was not delivered and will not be.
    Failed,
    /// It is late, and is tried until then.
    Delayed {
        /// When it is given up.
        until: Zoned,
    },
    /// It lies where its recipient reads it.
    Delivered,
    /// A next hop has it that gives no reports.
    Relayed,
}

impl Action {
    /// As the field `Action` has it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Delayed { .. } => "delayed",
            Self::Delivered => "delivered",
            Self::Relayed => "relayed",
        }
    }
}

/// Octets of a message that is returned whole, if its sender wants it whole (RET=FULL); of a longer one its header is.
pub const MAX_RETURNED: u64 = 50 * 1024;

/// Octets of a header that is returned; the rest of a longer one is left out.
pub const MAX_RETURNED_HEADER: usize = 32 * 1024;

impl Notification<'_> {
    /// The whole report as a message with CRLF line ends; its own reverse-path is `<>`.
    #[must_use]
    pub fn compose(&self) -> Bytes {
        let boundary = self.boundary();
        let mut out = self.header(&boundary).into_bytes();
        let charset = match self.alphabet {
            Alphabet::Ascii => "us-ascii",
            Alphabet::Utf8 => "utf-8",
        };
        let explanation = self.for_people();
        part(
            &mut out,
            &boundary,
            &format!("text/plain; charset={charset}"),
            "Notification",
            explanation.as_bytes(),
        );
        let status = match self.alphabet {
            Alphabet::Ascii => "message/delivery-status",
            Alphabet::Utf8 => "message/global-delivery-status",
        };
        part(&mut out, &boundary, status, "Delivery report", self.for_programs().as_bytes());
        let (kind, description, bytes) = match (&self.returned, self.alphabet) {
            (Returned::Message(bytes), Alphabet::Ascii) => ("message/rfc822", "Undelivered message", bytes),
            (Returned::Message(bytes), Alphabet::Utf8) => ("message/global", "Undelivered message", bytes),
            (Returned::Header(bytes), Alphabet::Ascii) => ("text/rfc822-headers", "Message header", bytes),
            (Returned::Header(bytes), Alphabet::Utf8) => ("message/global-headers", "Message header", bytes),
        };
        part(&mut out, &boundary, kind, description, bytes);
        out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        out.into()
    }

    fn header(&self, boundary: &str) -> String {
        let daemon = format!("MAILER-DAEMON@{}", self.hostname);
        let from = self.postmaster.map_or(daemon.as_str(), Mailbox::as_str);
        format!(
            "From: Mail Delivery System <{from}>\r\n\
             To: <{to}>\r\n\
             Subject: {subject}\r\n\
             Date: {date}\r\n\
             Message-ID: <{id}@{hostname}>\r\n\
             Auto-Submitted: auto-replied\r\n\
             MIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type={kind};\r\n\
             \tboundary=\"{boundary}\"\r\n\
             \r\n\
             This is a report in MIME format (RFC 3464).\r\n\
             \r\n",
            to = self.sender,
            subject = self.subject(),
            date = fields::date(self.at),
            id = self.id,
            hostname = self.hostname,
            kind = match self.alphabet {
                Alphabet::Ascii => "delivery-status",
                Alphabet::Utf8 => "global-delivery-status",
            },
        )
    }

    /// One that the returned message does not have in it; who sent that could not know it either.
    fn boundary(&self) -> String {
        let (Returned::Message(bytes) | Returned::Header(bytes)) = &self.returned;
        let mut boundary = format!("=_{}", self.id);
        boundary.truncate(60);
        while memchr_of(bytes, boundary.as_bytes()) {
            boundary.push('=');
        }
        boundary
    }
}

fn memchr_of(hay: &[u8], needle: &[u8]) -> bool {
    hay.windows(needle.len().max(1)).any(|window| window == needle)
}

/// One part with its boundary before it; its content ends with a line end.
fn part(out: &mut Vec<u8>, boundary: &str, kind: &str, description: &str, content: &[u8]) {
    let coding = if content.is_ascii() { "" } else { "Content-Transfer-Encoding: 8bit\r\n" };
    let head =
        format!("--{boundary}\r\nContent-Type: {kind}\r\nContent-Description: {description}\r\n{coding}\r\n");
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(content);
    if !content.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests;
