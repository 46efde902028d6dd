//! Replies (RFC 5321 §4.2) with their enhanced status codes (RFC 2034), as this server writes them.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::wire::smtp::reply::is_unprintable;
use crate::wire::smtp::status::EnhancedStatus;

/// A reply that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    code: u16,
    /// Its lines, the enhanced status code of the first included, between line feeds.
    text: Cow<'static, str>,
}

impl Reply {
    const fn fixed(code: u16, text: &'static str) -> Self {
        Self { code, text: Cow::Borrowed(text) }
    }

    /// A reply in several lines, without an enhanced status code.
    pub(super) fn lines(code: u16, lines: &[String]) -> Self {
        Self { code, text: Cow::Owned(lines.join("\n")) }
    }

    /// A reply with this status and text.
    pub(super) fn new(code: u16, status: EnhancedStatus, text: &str) -> Self {
        Self { code, text: Cow::Owned(format!("{status} {}", printable(text))) }
    }

    /// A reply that names an address.
    pub(super) fn about(code: u16, status: EnhancedStatus, address: &str, text: &str) -> Self {
        Self { code, text: Cow::Owned(format!("{status} <{}>: {}", printable(address), printable(text))) }
    }

    pub(super) const fn code(&self) -> u16 {
        self.code
    }

    /// Whether it is a 5yz, which the tar pit holds.
    pub(super) const fn is_refusal(&self) -> bool {
        self.code >= 500
    }

    pub(super) fn octets(&self) -> Vec<u8> {
        let mut octets = String::with_capacity(self.text.len().saturating_add(8));
        let mut lines = self.text.split('\n').peekable();
        while let Some(line) = lines.next() {
            let separator = if lines.peek().is_some() { '-' } else { ' ' };
            let written = write!(octets, "{}{separator}{line}\r\n", self.code);
            debug_assert!(written.is_ok(), "writing to a String cannot fail");
        }
        octets.into_bytes()
    }
}

/// At most so much that a line keeps to 512 octets (RFC 5321 §4.5.3.1.5), and nothing that a terminal would obey.
fn printable(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        if out.len() > MAX_TEXT {
            break;
        }
        out.push(if is_unprintable(character) { '?' } else { character });
    }
    out
}

/// Octets of a text that came from elsewhere.
const MAX_TEXT: usize = 260;

pub(super) const OK: Reply = Reply::fixed(250, "2.0.0 Ok");
pub(super) const SENDER_OK: Reply = Reply::fixed(250, "2.1.0 Sender ok");
pub(super) const RECIPIENT_OK: Reply = Reply::fixed(250, "2.1.5 Recipient ok");
pub(super) const CHUNK_OK: Reply = Reply::fixed(250, "2.0.0 Chunk taken");
pub(super) const CANNOT_VERIFY: Reply =
    Reply::fixed(252, "2.5.0 Cannot verify, but will take a message and try to deliver it");
pub(super) const HELP: Reply = Reply::fixed(214, "2.0.0 See RFC 5321");
pub(super) const BYE: Reply = Reply::fixed(221, "2.0.0 Bye");
pub(super) const READY_FOR_TLS: Reply = Reply::fixed(220, "2.0.0 Ready to start TLS");
pub(super) const START_MAIL_INPUT: Reply = Reply::fixed(354, "End data with <CR><LF>.<CR><LF>");
pub(super) const AUTHENTICATED: Reply = Reply::fixed(235, "2.7.0 Authentication successful");

pub(super) const SHUTTING_DOWN: Reply = Reply::fixed(421, "4.3.2 Shutting down, come back later");
pub(super) const TIMED_OUT: Reply = Reply::fixed(421, "4.4.2 Timed out waiting for input");
pub(super) const TOO_MANY_ERRORS: Reply = Reply::fixed(421, "4.7.0 Too many errors or idle commands");
pub(super) const IN_DEBT: Reply =
    Reply::fixed(421, "4.7.0 Too many refusals to your network, come back later");
pub(super) const TARPIT_FULL: Reply = Reply::fixed(421, "4.7.0 Too many clients wait, come back later");
pub(super) const ACCOUNT_CHANGED: Reply = Reply::fixed(421, "4.7.0 Account changed, authenticate again");
pub(super) const OUT_OF_STEP: Reply = Reply::fixed(421, "4.5.0 Cannot tell where the next command begins");

pub(super) const OVER_RATE: Reply = Reply::fixed(450, "4.7.1 Too many messages, come back later");
pub(super) const LOCAL_ERROR: Reply = Reply::fixed(451, "4.3.0 Local error, try again later");
pub(super) const SPOOL_FULL: Reply = Reply::fixed(452, "4.3.1 Insufficient storage, try again later");
pub(super) const TOO_MANY_RECIPIENTS: Reply = Reply::fixed(452, "4.5.3 Too many recipients");
pub(super) const TLS_UNAVAILABLE: Reply = Reply::fixed(454, "4.7.0 TLS not available");
pub(super) const AUTH_UNAVAILABLE: Reply = Reply::fixed(454, "4.7.0 Temporary authentication failure");

pub(super) const LINE_TOO_LONG: Reply = Reply::fixed(500, "5.5.2 Line too long");
pub(super) const AUTH_LINE_TOO_LONG: Reply = Reply::fixed(500, "5.5.6 Line too long");
pub(super) const BARE_LINE_END: Reply = Reply::fixed(500, "5.5.2 Lines must end with <CR><LF>");
pub(super) const AUTH_CANCELLED: Reply = Reply::fixed(501, "5.7.0 Authentication cancelled");
pub(super) const BAD_BASE64: Reply = Reply::fixed(501, "5.5.2 Cannot decode base64");
pub(super) const NOT_IMPLEMENTED: Reply = Reply::fixed(502, "5.5.1 Command not implemented");
pub(super) const SAY_HELLO: Reply = Reply::fixed(503, "5.5.1 Send EHLO or HELO first");
pub(super) const SAY_EHLO: Reply = Reply::fixed(503, "5.5.1 Send EHLO first");
pub(super) const NEED_MAIL: Reply = Reply::fixed(503, "5.5.1 Send MAIL first");
pub(super) const IN_TRANSACTION: Reply = Reply::fixed(503, "5.5.1 Not while a mail transaction is open");
pub(super) const TLS_ALREADY: Reply = Reply::fixed(503, "5.5.1 TLS is active already");
pub(super) const AUTH_ALREADY: Reply = Reply::fixed(503, "5.5.1 Authenticated already");
pub(super) const UNKNOWN_MECHANISM: Reply = Reply::fixed(504, "5.5.4 Unrecognized authentication mechanism");
pub(super) const AUTH_REFUSED: Reply = Reply::fixed(535, "5.7.8 Authentication credentials invalid");
pub(super) const NEEDS_TLS: Reply =
    Reply::fixed(538, "5.7.11 Encryption required for this authentication mechanism");
pub(super) const TOO_LARGE: Reply = Reply::fixed(552, "5.3.4 Message too large");
pub(super) const HEADER_TOO_LONG: Reply = Reply::fixed(552, "5.3.4 Message header too large");
pub(super) const NEEDS_SMTPUTF8: Reply = Reply::fixed(553, "5.6.7 Address needs SMTPUTF8");
pub(super) const EARLY_TALKER: Reply =
    Reply::fixed(554, "5.5.0 Protocol error: you spoke before it was your turn");
pub(super) const NO_RECIPIENTS: Reply = Reply::fixed(554, "5.5.1 No valid recipients");
pub(super) const LOOP: Reply = Reply::fixed(554, "5.4.6 Too many hops, this message goes round in circles");
pub(super) const CONTENT_BARE: Reply = Reply::fixed(554, "5.6.0 Message has a bare <CR> or <LF>");
pub(super) const CONTENT_NUL: Reply = Reply::fixed(554, "5.6.0 Message has a NUL character");
pub(super) const CONTENT_LINE: Reply = Reply::fixed(554, "5.6.0 Message has a line over 1000 octets");
pub(super) const CONTENT_HEADER: Reply =
    Reply::fixed(554, "5.6.0 Message header has characters outside ASCII");
pub(super) const UNSUPPORTED_PARAMETER: Reply = Reply::fixed(555, "5.5.4 Unsupported parameter");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_but_the_last_go_on() {
        let reply = Reply::lines(250, &["gw.example".to_owned(), "SIZE 10".to_owned()]);
        assert_eq!(reply.octets(), b"250-gw.example\r\n250 SIZE 10\r\n");
    }

    #[test]
    fn what_others_wrote_is_made_harmless() {
        let status = EnhancedStatus::new(5, 7, 1);
        let reply = Reply::new(550, status, &format!("a\r\n250 b\u{1b}{}", "x".repeat(600)));
        let octets = String::from_utf8(reply.octets()).unwrap();
        assert!(octets.starts_with("550 5.7.1 a??250 b?x"));
        assert!(octets.len() < 300 && octets.lines().count() == 1);
    }
}
