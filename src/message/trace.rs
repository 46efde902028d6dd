//! The trace header `Received:` (RFC 5321 §4.4): who brought a message, how, to whom and when.

use std::fmt::Write as _;
use std::net::IpAddr;

use jiff::Zoned;

use super::compose::encoded_words;
use crate::wire::smtp::path::ForwardPath;

/// What the trace header of one message says.
///
/// Nothing in it can end its line or add another field: what a client chose is escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// Who brought it.
    pub origin: Origin,
    /// Our own name.
    pub hostname: String,
    /// Letters, digits, `.`, `-` and `_`: what the log knows the transaction by, and never two of them. The Message-ID of
    /// a message that has none is made of it.
    pub id: String,
    /// The recipient, when there is one only: with several, each would learn of the others.
    pub single_recipient: Option<ForwardPath>,
    /// When the content began to come, in the zone that dates are written in.
    pub at: Zoned,
}

/// Who brought a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A client, by SMTP.
    Smtp {
        /// As it named itself with EHLO or HELO; may be anything, or empty.
        name: String,
        /// Where it is.
        address: IpAddr,
        /// SMTP, ESMTP, ESMTPS, ESMTPA, ESMTPSA, or their UTF8 forms (RFC 3848, RFC 6531 §3.7.3).
        protocol: &'static str,
        /// Version and cipher suite, where there is TLS: `TLSv1.3`, `TLS_AES_256_GCM_SHA384`.
        tls: Option<(&'static str, &'static str)>,
        /// The account that it proved, where it did.
        principal: Option<String>,
    },
    /// A program on this host, by the pickup directory or `mailslotd sendmail`.
    Local {
        /// The user that it runs as.
        user: String,
    },
}

impl Trace {
    /// The whole field, folded, with its line ends.
    #[must_use]
    pub fn header(&self) -> String {
        let mut header = String::from("Received: ");
        let by = format!("by {}", comment_safe(&self.hostname));
        match &self.origin {
            Origin::Smtp { name, address, protocol, tls, principal } => {
                header.push_str(&from(name, *address));
                if let Some(principal) = principal {
                    fold(&mut header, &format!("(authenticated as {})", comment(principal)));
                }
                let tls = tls.map(|(version, cipher)| format!(" ({version} {cipher})")).unwrap_or_default();
                fold(&mut header, &format!("{by} with {protocol}{tls}"));
            }
            Origin::Local { user } => header.push_str(&format!("{by} (from user {})", comment(user))),
        }
        fold(&mut header, &format!("id {}", comment_safe(&self.id)));
        if let Some(recipient) = self.single_recipient.as_ref().filter(|path| self.may_name(path)) {
            fold(&mut header, &format!("for <{recipient}>"));
        }
        header.push(';');
        fold(&mut header, &self.date());
        header.push_str("\r\n");
        header
    }

    /// The time as RFC 5322 §3.3 writes it.
    #[must_use]
    pub fn date(&self) -> String {
        // Only years before 1 have no form.
        jiff::fmt::rfc2822::to_string(&self.at)
            .unwrap_or_else(|_| "Thu, 1 Jan 1970 00:00:00 +0000".to_owned())
    }

    /// A Message-ID for a message that has none, with its angle brackets.
    #[must_use]
    pub fn message_id(&self) -> String {
        let seconds = self.at.timestamp().as_second();
        format!("<{seconds}.{}@{}>", comment_safe(&self.id), comment_safe(&self.hostname))
    }

    /// Letters outside ASCII may stand in a trace header only where the whole message needs SMTPUTF8 (RFC 6531 §3.7.3).
    fn may_name(&self, path: &ForwardPath) -> bool {
        let utf8 = matches!(&self.origin, Origin::Smtp { protocol, .. } if protocol.starts_with("UTF8"));
        match path {
            ForwardPath::Postmaster => true,
            ForwardPath::Mailbox(mailbox) => utf8 || !mailbox.needs_smtputf8(),
        }
    }
}

/// `from NAME ([ADDRESS])`; a name that is no domain goes into a comment behind the address.
fn from(name: &str, address: IpAddr) -> String {
    let literal = match address.to_canonical() {
        IpAddr::V4(address) => format!("[{address}]"),
        IpAddr::V6(address) => format!("[IPv6:{address}]"),
    };
    if is_domain(name) {
        format!("from {name} ({literal})")
    } else if name.is_empty() {
        format!("from {literal} ({literal})")
    } else {
        format!("from {literal} ({literal} helo={})", comment(name))
    }
}

/// What may stand there as it is: a domain (with the underscores of Windows' names) or an address literal.
fn is_domain(name: &str) -> bool {
    let inner = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    match inner {
        Some(literal) => {
            !literal.is_empty() && literal.chars().all(|c| allowed(c) || c == ':') && name.len() <= 255
        }
        None => !name.is_empty() && name.chars().all(allowed) && name.len() <= 255,
    }
}

/// Text for the inside of a comment (RFC 5322 §3.2.2): controls become `?`, what would end it is quoted, letters outside
/// ASCII become encoded-words (RFC 2047 §5).
fn comment(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { '?' } else { c }).take(MAX_TEXT).collect();
    if !text.is_ascii() || text.contains("=?") {
        return encoded_words(&text);
    }
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '(' | ')' | '\\') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// Our own words, which the configuration checked; whatever else got in cannot do harm.
fn comment_safe(text: &str) -> String {
    let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    text.chars().filter(allowed).collect()
}

fn fold(header: &mut String, clause: &str) {
    let written = write!(header, "\r\n\t{clause}");
    debug_assert!(written.is_ok(), "writing to a String cannot fail");
}

/// Characters of a name that a client chose; its line stays within 998 octets even as encoded-words.
const MAX_TEXT: usize = 128;

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn trace() -> Trace {
        Trace {
            origin: Origin::Smtp {
                name: "scanner7.plant.example".to_owned(),
                address: "192.0.2.31".parse().unwrap(),
                protocol: "ESMTP",
                tls: None,
                principal: None,
            },
            hostname: "gw1.plant.example".to_owned(),
            id: "S7Q2.1".to_owned(),
            single_recipient: Some(ForwardPath::Mailbox("a@corp.example".parse().unwrap())),
            at: "2026-03-05T08:30:00+09:00[Asia/Tokyo]".parse().unwrap(),
        }
    }

    fn named(name: &str) -> Trace {
        let mut trace = trace();
        if let Origin::Smtp { name: old, .. } = &mut trace.origin {
            name.clone_into(old);
        }
        trace
    }

    #[test]
    fn a_device_in_the_clear() {
        assert_eq!(
            trace().header(),
            "Received: from scanner7.plant.example ([192.0.2.31])\r\n\
             \tby gw1.plant.example with ESMTP\r\n\
             \tid S7Q2.1\r\n\
             \tfor <a@corp.example>;\r\n\
             \tThu, 5 Mar 2026 08:30:00 +0900\r\n"
        );
    }

    #[test]
    fn an_authenticated_client_under_tls_with_several_recipients() {
        let trace = Trace {
            origin: Origin::Smtp {
                name: "[IPv6:2001:db8::7]".to_owned(),
                address: "2001:db8::7".parse().unwrap(),
                protocol: "ESMTPSA",
                tls: Some(("TLSv1.3", "TLS_AES_256_GCM_SHA384")),
                principal: Some("night (shift)\\".to_owned()),
            },
            single_recipient: None,
            ..trace()
        };
        assert_eq!(
            trace.header(),
            "Received: from [IPv6:2001:db8::7] ([IPv6:2001:db8::7])\r\n\
             \t(authenticated as night \\(shift\\)\\\\)\r\n\
             \tby gw1.plant.example with ESMTPSA (TLSv1.3 TLS_AES_256_GCM_SHA384)\r\n\
             \tid S7Q2.1;\r\n\
             \tThu, 5 Mar 2026 08:30:00 +0900\r\n"
        );
    }

    #[test]
    fn a_program_on_this_host() {
        let trace = Trace { origin: Origin::Local { user: "backup".to_owned() }, ..trace() };
        assert!(trace.header().starts_with("Received: by gw1.plant.example (from user backup)\r\n\tid "));
    }

    #[test]
    fn no_name_of_a_client_gets_out_of_its_place() {
        for (name, from) in [
            ("", "from [192.0.2.31] ([192.0.2.31])"),
            ("EPSON 1234", "from [192.0.2.31] ([192.0.2.31] helo=EPSON 1234)"),
            ("a) by evil (x", "from [192.0.2.31] ([192.0.2.31] helo=a\\) by evil \\(x)"),
            ("x\r\nBcc: y@z", "from [192.0.2.31] ([192.0.2.31] helo=x??Bcc: y@z)"),
            ("プリンタ", "from [192.0.2.31] ([192.0.2.31] helo=?UTF-8?B?44OX44Oq44Oz44K/?=)"),
        ] {
            let header = named(name).header();
            let line = header.split("\r\n").next().unwrap();
            assert_eq!(line, format!("Received: {}", from.replace("helo=?", "helo==?")), "{name:?}");
        }
        let long = named(&"ü(".repeat(400)).header();
        assert!(long.split("\r\n").all(|line| line.len() <= 998), "{long}");
    }

    #[test]
    fn an_address_outside_ascii_is_named_only_where_the_message_needs_smtputf8() {
        let to = |protocol: &'static str| {
            let mut trace = trace();
            trace.single_recipient = Some(ForwardPath::Mailbox("jörg@corp.example".parse().unwrap()));
            if let Origin::Smtp { protocol: old, .. } = &mut trace.origin {
                *old = protocol;
            }
            trace.header()
        };
        assert!(!to("ESMTP").contains("for <"));
        assert!(to("UTF8SMTP").contains("for <jörg@corp.example>"));
    }
}
