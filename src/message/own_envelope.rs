//! The envelope of a message that brings none of its own: read from its header, as a pickup directory and `sendmail -t`
//! need it.
//!
//! The fields X-Sender and X-Receiver are the envelope where they stand before all others, as the pickup directory of
//! Windows' SMTP service reads them; further down they are ordinary fields. Without X-Sender the sender is the one of
//! Sender, else the first of From; without X-Receiver the recipients are all of To, Cc and Bcc (RFC 5322 §3.6.2–3).
//! Bcc always goes, and so do the envelope's fields.
//!
//! Nothing is guessed: one address that cannot be one, and there is no envelope.

use std::collections::HashSet;

use super::rewrite::{Field, fields};
use crate::wire::smtp::path::{ForwardPath, Mailbox, PathError, ReversePath};

/// An envelope, and the header without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnEnvelope {
    /// Who sends it.
    pub reverse_path: ReversePath,
    /// Who gets it: at least one, none twice.
    pub recipients: Vec<ForwardPath>,
    /// The header that is left, with the empty line at its end if it had one.
    pub header: Vec<u8>,
}

/// Why a header gives no envelope. Displays as the cause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeFault {
    /// Nobody is named as the sender.
    #[error("the message names no sender")]
    NoSender,
    /// Nobody is named as a recipient.
    #[error("the message names no recipient")]
    NoRecipient,
    /// What stands in a field is no address.
    #[error("{field}: {error}")]
    Address {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        error: PathError,
    },
    /// An address has octets that are no UTF-8.
    #[error("{field}: an address has octets that are no UTF-8")]
    NotUtf8 {
        /// The field.
        field: &'static str,
    },
}

impl EnvelopeFault {
    /// What to write instead.
    #[must_use]
    pub const fn fix(&self) -> &'static str {
        match self {
            Self::NoSender => "put the line `X-Sender: you@example.com` before the header, or write a From",
            Self::NoRecipient => {
                "put a line `X-Receiver: ops@example.com` before the header, or write a To, Cc or Bcc"
            }
            Self::Address { error, .. } => error.fix(),
            Self::NotUtf8 { .. } => "write addresses in ASCII or in UTF-8",
        }
    }
}

/// Reads the envelope from a header block with its line ends, CRLF or LF.
///
/// # Errors
/// [`EnvelopeFault`].
pub fn envelope_of(header: &[u8]) -> Result<OwnEnvelope, EnvelopeFault> {
    let all: Vec<Field<'_>> = fields(header).collect();
    let leading = all.iter().take_while(|field| field.is(SENDER) || field.is(RECEIVER)).count();
    let (envelope, rest) = all.split_at(leading);
    let kept = rest.iter().filter(|field| !field.is("Bcc")).flat_map(|field| field.whole());
    Ok(OwnEnvelope {
        reverse_path: sender(envelope, rest)?,
        recipients: recipients(envelope, rest)?,
        header: kept.copied().collect(),
    })
}

/// How many octets of a header are X-Sender and X-Receiver lines at its front.
#[must_use]
pub fn leading_envelope_length(header: &[u8]) -> usize {
    let envelope = fields(header).take_while(|field| field.is(SENDER) || field.is(RECEIVER));
    envelope.map(|field| field.whole().len()).sum()
}

/// Whom To, Cc and Bcc name, as it is written there; not checked.
#[must_use]
pub fn header_recipients(header: &[u8]) -> Vec<String> {
    let named = fields(header).filter(|field| ["To", "Cc", "Bcc"].iter().any(|name| field.is(name)));
    named.flat_map(|field| addresses(&text_of(&field))).collect()
}

/// Whom Sender names, else From; not checked. `None`: neither names anybody.
#[must_use]
pub fn header_sender(header: &[u8]) -> Option<String> {
    let of = |name: &str| {
        let named = fields(header).filter(|field| field.is(name));
        named.flat_map(|field| addresses(&text_of(&field))).next()
    };
    of("Sender").or_else(|| of("From"))
}

fn sender(envelope: &[Field<'_>], rest: &[Field<'_>]) -> Result<ReversePath, EnvelopeFault> {
    if let Some(field) = envelope.iter().find(|field| field.is(SENDER)) {
        return match addresses(&text_of(field)).first() {
            None => Ok(ReversePath::Null),
            Some(address) => mailbox(SENDER, address).map(ReversePath::Mailbox),
        };
    }
    for name in ["Sender", "From"] {
        let named = rest.iter().filter(|field| field.is(name)).flat_map(|field| addresses(&text_of(field)));
        if let Some(address) = named.into_iter().next() {
            return mailbox(name, &address).map(ReversePath::Mailbox);
        }
    }
    Err(EnvelopeFault::NoSender)
}

fn recipients(envelope: &[Field<'_>], rest: &[Field<'_>]) -> Result<Vec<ForwardPath>, EnvelopeFault> {
    let mut seen = HashSet::new();
    let mut all = Vec::new();
    let mut add = |name: &'static str, fields: &[Field<'_>]| {
        for field in fields.iter().filter(|field| field.is(name)) {
            for address in addresses(&text_of(field)) {
                let path = forward_path(name, &address)?;
                if seen.insert(path.clone()) {
                    all.push(path);
                }
            }
        }
        Ok(())
    };
    if envelope.iter().any(|field| field.is(RECEIVER)) {
        add(RECEIVER, envelope)?;
    } else {
        ["To", "Cc", "Bcc"].into_iter().try_for_each(|name| add(name, rest))?;
    }
    if all.is_empty() { Err(EnvelopeFault::NoRecipient) } else { Ok(all) }
}

fn forward_path(field: &'static str, address: &str) -> Result<ForwardPath, EnvelopeFault> {
    if address.eq_ignore_ascii_case("postmaster") {
        return Ok(ForwardPath::Postmaster);
    }
    mailbox(field, address).map(ForwardPath::Mailbox)
}

fn mailbox(field: &'static str, address: &str) -> Result<Mailbox, EnvelopeFault> {
    // What stands for octets that are no text would be taken for a letter.
    if address.contains(char::REPLACEMENT_CHARACTER) {
        return Err(EnvelopeFault::NotUtf8 { field });
    }
    Mailbox::parse(address).map_err(|error| EnvelopeFault::Address { field, error })
}

fn text_of(field: &Field<'_>) -> String {
    let text = String::from_utf8_lossy(field.value());
    text.chars().map(|c| if matches!(c, '\r' | '\n' | '\t') { ' ' } else { c }).collect()
}

/// The addresses of an address list (RFC 5322 §3.4), as they are written: display names, comments and the names of
/// groups left out, empty places passed over.
#[must_use]
pub fn addresses(list: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut part = Part::default();
    let mut place = Place::Plain;
    let mut characters = list.chars();
    while let Some(c) = characters.next() {
        match (place, c) {
            (Place::Comment(1), ')') => place = Place::Plain,
            (Place::Comment(depth), ')') => place = Place::Comment(depth.saturating_sub(1)),
            (Place::Comment(depth), '(') => place = Place::Comment(depth.saturating_add(1)),
            (Place::Comment(_), '\\') => drop(characters.next()),
            (Place::Comment(_), _) => {}
            (Place::Quotes, '"') => {
                part.push(c);
                place = Place::Plain;
            }
            (Place::Quotes, '\\') => {
                part.push(c);
                characters.next().into_iter().for_each(|c| part.push(c));
            }
            (Place::Literal, ']') => {
                part.push(c);
                place = Place::Plain;
            }
            (Place::Plain, '"' | '[') => {
                part.push(c);
                place = if c == '"' { Place::Quotes } else { Place::Literal };
            }
            (Place::Plain, '(') => place = Place::Comment(1),
            (Place::Plain, '<') => part.begin_angle(),
            (Place::Plain, '>') => part.end_angle(),
            (Place::Plain, ',' | ';') if !part.is_in_angle() => all.extend(part.take()),
            // What came before is the name of a group.
            (Place::Plain, ':') if !part.is_in_angle() => drop(part.take()),
            (Place::Plain | Place::Quotes | Place::Literal, _) => part.push(c),
        }
    }
    all.extend(part.take());
    all
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Plain,
    Quotes,
    /// Between square brackets.
    Literal,
    /// In so many round brackets.
    Comment(u32),
}

/// One place of a list so far.
#[derive(Debug, Default)]
struct Part {
    bare: String,
    angle: Option<String>,
    state: Angle,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Angle {
    #[default]
    Outside,
    Inside,
}

impl Part {
    fn push(&mut self, c: char) {
        match (self.state, &mut self.angle) {
            (Angle::Inside, Some(angle)) => angle.push(c),
            (Angle::Inside | Angle::Outside, _) => self.bare.push(c),
        }
    }

    fn begin_angle(&mut self) {
        self.state = Angle::Inside;
        match &mut self.angle {
            // Two in one place are none that anybody could choose from.
            Some(angle) => angle.push('<'),
            None => self.angle = Some(String::new()),
        }
    }

    const fn end_angle(&mut self) {
        self.state = Angle::Outside;
    }

    fn is_in_angle(&self) -> bool {
        self.state == Angle::Inside
    }

    fn take(&mut self) -> Option<String> {
        let Self { bare, angle, .. } = std::mem::take(self);
        let address = angle.unwrap_or(bare).trim().to_owned();
        (!address.is_empty()).then_some(address)
    }
}

const SENDER: &str = "X-Sender";
const RECEIVER: &str = "X-Receiver";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(header: &str) -> Result<(String, Vec<String>, String), EnvelopeFault> {
        let envelope = envelope_of(header.as_bytes())?;
        let recipients = envelope.recipients.iter().map(ToString::to_string).collect();
        Ok((envelope.reverse_path.to_string(), recipients, String::from_utf8(envelope.header).unwrap()))
    }

    #[test]
    fn the_lines_of_windows_pickup_are_the_envelope_and_go() {
        let header = "X-Sender: app@corp.example\r\nx-receiver: <a@corp.example>\r\nX-Receiver: b@corp.example\r\n\
                      From: Boss <boss@corp.example>\r\nTo: all@corp.example\r\nBcc: c@corp.example,\r\n d@corp.example\r\n\r\n";
        let (sender, recipients, rest) = read(header).unwrap();
        assert_eq!(sender, "app@corp.example");
        assert_eq!(recipients, ["a@corp.example", "b@corp.example"]);
        assert_eq!(rest, "From: Boss <boss@corp.example>\r\nTo: all@corp.example\r\n\r\n");
    }

    #[test]
    fn without_them_the_header_is_and_bcc_goes() {
        let header = "From: App <app@corp.example>\nTo: \"Ops, night\" <a@corp.example>, b@corp.example\n\
                      Cc: A@corp.example, a@corp.example\nBCC : hidden@corp.example\nX-Receiver: no@corp.example\n\n";
        let (sender, recipients, rest) = read(header).unwrap();
        assert_eq!(sender, "app@corp.example");
        assert_eq!(recipients, ["a@corp.example", "b@corp.example", "A@corp.example", "hidden@corp.example"]);
        assert!(!rest.contains("hidden") && rest.contains("X-Receiver: no@"), "{rest}");
    }

    #[test]
    fn a_null_sender_and_the_postmaster_are_understood_and_sender_goes_before_from() {
        for null in ["X-Sender:\r\n", "X-Sender: <>\r\n"] {
            let (sender, recipients, _) = read(&format!("{null}X-Receiver: Postmaster\r\n\r\n")).unwrap();
            assert_eq!((sender.as_str(), recipients), ("", vec!["postmaster".to_owned()]));
        }
        let (sender, ..) =
            read("From: a@x.example, b@x.example\nSender: c@x.example\nTo: d@x.example\n").unwrap();
        assert_eq!(sender, "c@x.example");
    }

    #[test]
    fn address_lists_are_taken_apart_as_rfc_5322_says() {
        for (list, expected) in [
            ("a@x.example", vec!["a@x.example"]),
            ("\"b, c\" <a@x.example>,, d@x.example (see e@x.example)", vec!["a@x.example", "d@x.example"]),
            (
                "team: a@x.example, Bob <b@x.example>; c@x.example",
                vec!["a@x.example", "b@x.example", "c@x.example"],
            ),
            ("undisclosed-recipients:;", vec![]),
            ("\"a@b\\\"c\"@x.example", vec!["\"a@b\\\"c\"@x.example"]),
            (
                "x <a@[IPv6:2001:db8::1]>, b@[IPv6:2001:db8::2]",
                vec!["a@[IPv6:2001:db8::1]", "b@[IPv6:2001:db8::2]"],
            ),
            ("(a (nested) \\) one) a@x.example", vec!["a@x.example"]),
            ("<a@x.example> <b@x.example>", vec!["a@x.example<b@x.example"]),
            ("<a@x.example, b@x.example", vec!["a@x.example, b@x.example"]),
        ] {
            assert_eq!(addresses(list), expected, "{list}");
        }
    }

    #[test]
    fn one_address_that_is_none_leaves_no_envelope() {
        let fault = read("From: a@x.example\nTo: b@x.example, nobody\n\n").unwrap_err();
        assert_eq!(fault.to_string(), "To: \"nobody\" has no domain");
        assert_eq!(read("To: b@x.example\n\n"), Err(EnvelopeFault::NoSender));
        assert_eq!(
            read("From: a@x.example\nTo: undisclosed-recipients:;\n\n"),
            Err(EnvelopeFault::NoRecipient)
        );
        let latin1 = b"From: J\xf6rg <a@x.example>\nTo: j\xf6rg@x.example\n\n";
        assert_eq!(envelope_of(latin1), Err(EnvelopeFault::NotUtf8 { field: "To" }));
        assert!(envelope_of(b"From: J\xf6rg <a@x.example>\nTo: b@x.example\n\n").is_ok());
    }

    proptest::proptest! {
        #[test]
        fn no_octets_are_too_odd_and_bcc_never_stays(octets in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let header = [b"X-Sender:\r\nX-Receiver: a@x.example\r\nBcc: b@x.example\r\nTo: ", octets.as_slice()].concat();
            let envelope = envelope_of(&header).unwrap();
            proptest::prop_assert_eq!(envelope.recipients.len(), 1);
            proptest::prop_assert!(!envelope.header.starts_with(b"Bcc"));
            proptest::prop_assert!(header_recipients(&header).len() <= header.len());
        }
    }
}
