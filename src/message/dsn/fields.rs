//! The part of a report for programs (RFC 3464 §2).

use jiff::Zoned;

use super::{Action, Alphabet, Notification, RecipientStatus};
use crate::wire::smtp::xtext;

impl Notification<'_> {
    /// The fields of the message, and a group of fields for each recipient.
    pub(super) fn for_programs(&self) -> String {
        let mut out = String::new();
        field(&mut out, "Reporting-MTA", &format!("dns; {}", self.hostname));
        if let Some(envid) = self.envid.and_then(xtext::parse) {
            field(&mut out, "Original-Envelope-Id", &self.plain(&envid));
        }
        field(&mut out, "Arrival-Date", &date(self.accepted_at));
        for recipient in self.recipients {
            out.push_str("\r\n");
            self.recipient(&mut out, recipient);
        }
        out
    }

    fn recipient(&self, out: &mut String, recipient: &RecipientStatus) {
        if let Some(original) = recipient.orcpt.as_deref().and_then(|orcpt| self.original(orcpt)) {
            field(out, "Original-Recipient", &original);
        }
        field(out, "Final-Recipient", &self.address(&recipient.address));
        field(out, "Action", recipient.action.as_str());
        field(out, "Status", &recipient.status.to_string());
        if let Some(host) = &recipient.remote_mta {
            field(out, "Remote-MTA", &format!("dns; {}", self.plain(host)));
        }
        if !recipient.diagnostic.is_empty() {
            // Of what no host said the type is ours (RFC 3464 §2.3.6).
            let kind = if is_reply(&recipient.diagnostic) { "smtp" } else { "X-mailslotd" };
            field(out, "Diagnostic-Code", &format!("{kind}; {}", self.plain(&recipient.diagnostic)));
        }
        field(out, "Last-Attempt-Date", &date(&recipient.last_attempt));
        if let Action::Delayed { until } = &recipient.action {
            field(out, "Will-Retry-Until", &date(until));
        }
    }

    /// `rfc822;user@example.com`, in xtext, as the sender gave it.
    fn original(&self, orcpt: &str) -> Option<String> {
        let (kind, address) = orcpt.split_once(';')?;
        let is_type =
            !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let address = xtext::parse(address).filter(|_| is_type)?;
        Some(if kind.eq_ignore_ascii_case("utf-8") || !address.is_ascii() {
            self.address(&address)
        } else {
            format!("{kind}; {}", self.plain(&address))
        })
    }

    fn address(&self, address: &str) -> String {
        match self.alphabet {
            _ if address.is_ascii() => format!("rfc822; {}", self.plain(address)),
            Alphabet::Utf8 => format!("utf-8; {}", self.plain(address)),
            // RFC 6533 §3: utf-8-addr-xtext.
            Alphabet::Ascii => {
                let escaped = address.chars().map(|c| match c {
                    c if c.is_ascii_graphic() && !matches!(c, '\\' | '+' | '=') => c.to_string(),
                    c => format!("\\x{{{:X}}}", u32::from(c)),
                });
                format!("utf-8; {}", escaped.collect::<String>())
            }
        }
    }

    /// A text that a host or a sender chose, fit for a line: no controls, and in ASCII where nothing else may be.
    pub(super) fn plain(&self, text: &str) -> String {
        let fits = |c: char| !c.is_control() && (c.is_ascii() || self.alphabet == Alphabet::Utf8);
        text.chars().take(MAX_TEXT).map(|c| if fits(c) { c } else { '?' }).collect()
    }
}

/// As RFC 5322 §3.3 writes it.
pub(super) fn date(at: &Zoned) -> String {
    jiff::fmt::rfc2822::to_string(at).unwrap_or_else(|_| "Thu, 1 Jan 1970 00:00:00 +0000".to_owned())
}

/// Whether a text begins as a reply does.
pub(super) fn is_reply(text: &str) -> bool {
    let mut bytes = text.bytes();
    let code = bytes.by_ref().take(3).filter(u8::is_ascii_digit).count() == 3;
    code && bytes.next().is_none_or(|next| matches!(next, b' ' | b'-'))
}

/// Appends a field, folded at blanks.
fn field(out: &mut String, name: &str, value: &str) {
    out.push_str(name);
    out.push(':');
    let mut column = name.len().saturating_add(1);
    for word in value.split(' ') {
        if column.saturating_add(word.len()) > FOLD_AT && column > name.len().saturating_add(1) {
            out.push_str("\r\n");
            column = 0;
        }
        out.push(' ');
        out.push_str(word);
        column = column.saturating_add(word.len()).saturating_add(1);
    }
    out.push_str("\r\n");
}

/// RFC 5322 §2.1.1: 78 is better, 998 the end.
const FOLD_AT: usize = 76;

/// Characters of what a host said: a word of so many still fits a line as UTF-8 of four octets each… at most.
const MAX_TEXT: usize = 240;
