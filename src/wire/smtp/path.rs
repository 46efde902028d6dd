//! Mailboxes, as reverse-paths and forward-paths carry them (RFC 5321 §4.1.2, RFC 6531 §3.3).

mod envelope;

use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use unicode_normalization::char::is_combining_mark;

use super::reply::is_unprintable;
pub use envelope::{ForwardPath, ReversePath};

/// A mailbox `local-part@domain` that may stand between the angle brackets of MAIL and RCPT as it is.
///
/// Local part at most 64 octets, a dot-string or a quoted string; domain at most 255, host labels or an address
/// literal (`[192.0.2.1]`, `[IPv6:2001:db8::1]`); 254 in all, so that the path with its brackets keeps to 256
/// (§4.5.3.1). No controls and no angle brackets, not even inside quotes, where the standard would allow the latter.
/// Letters outside ASCII are allowed on both sides and then need SMTPUTF8.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Mailbox {
    text: String,
    at: usize,
}

impl Mailbox {
    /// Checks and takes a mailbox.
    ///
    /// # Errors
    /// [`PathError`] with the cause; [`PathError::fix`] says what to write.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        match check(text) {
            Ok(at) => Ok(Self { text: text.to_owned(), at }),
            Err(fault) => Err(PathError { address: text.to_owned(), fault }),
        }
    }

    /// Checks and takes a mailbox that every next hop can take and every header can name as it is: [`Self::parse`], and
    /// nothing outside ASCII. Notices go only to and from these, since they are composed in 7 bits.
    ///
    /// # Errors
    /// [`PathError`] with the cause; [`PathError::fix`] says what to write.
    pub fn parse_ascii(text: &str) -> Result<Self, PathError> {
        let mailbox = Self::parse(text)?;
        match text.chars().find(|character| !character.is_ascii()) {
            Some(found) => Err(PathError { address: mailbox.text, fault: PathFault::NotAscii(found) }),
            None => Ok(mailbox),
        }
    }

    /// The whole mailbox.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What is before the `@`, with its quotes if it has any.
    #[must_use]
    pub fn local_part(&self) -> &str {
        self.text.get(..self.at).unwrap_or_default()
    }

    /// What is before the `@`; without its quotes where it needs none, since both spellings are one mailbox (§4.1.2).
    #[must_use]
    pub fn bare_local_part(&self) -> Cow<'_, str> {
        let quoted = self.local_part();
        let Some(inner) = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
            return quoted.into();
        };
        let mut bare = String::with_capacity(inner.len());
        let mut characters = inner.chars();
        while let Some(character) = characters.next() {
            bare.extend(if character == '\\' { characters.next() } else { Some(character) });
        }
        // What is a mailbox without quotes needs none.
        match Self::parse(&format!("{bare}@{}", self.domain())) {
            Ok(same) if same.local_part() == bare && !bare.starts_with('"') => bare.into(),
            Ok(_) | Err(_) => quoted.into(),
        }
    }

    /// What is behind the `@`, with the brackets of an address literal.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.text.get(self.at.saturating_add(1)..).unwrap_or_default()
    }

    /// Whether only a next hop with SMTPUTF8 (RFC 6531) can take it.
    #[must_use]
    pub fn needs_smtputf8(&self) -> bool {
        !self.text.is_ascii()
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.text)
    }
}

impl FromStr for Mailbox {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::parse(text)
    }
}

/// A text that is no mailbox; displays as the cause, with the text escaped and cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathError {
    address: String,
    fault: PathFault,
}

/// What is wrong with a text that should be a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathFault {
    /// Nothing is there.
    Empty,
    /// Nothing stands behind the `@`, or there is none.
    NoDomain,
    /// Nothing stands before the `@`.
    NoLocalPart,
    /// The local part is over 64 octets.
    LocalPartTooLong,
    /// The domain is over 255 octets, or one of its labels over 63.
    DomainTooLong,
    /// All together is over 254 octets.
    TooLong,
    /// An angle bracket, a line break or another control character.
    Forbidden(char),
    /// A character that the local part may only have inside quotes, or a dot at its border or doubled.
    LocalPart,
    /// The quotes of the local part do not close before the `@`.
    Quotes,
    /// A label is empty, or has something else than letters, digits and inner hyphens.
    Domain,
    /// What is in the square brackets is no IP address.
    Literal,
    /// A character outside ASCII, where only ASCII can be used.
    NotAscii(char),
    /// In a command, the angle brackets are missing, do not close, or something else than a space follows them.
    Brackets,
    /// In a command, the source route before the mailbox is none.
    SourceRoute,
}

impl PathError {
    /// What is wrong.
    #[must_use]
    pub const fn fault(&self) -> PathFault {
        self.fault
    }

    /// What to write instead, beginning in lower case and without a full stop.
    #[must_use]
    pub const fn fix(&self) -> &'static str {
        match self.fault {
            PathFault::Empty | PathFault::NoDomain | PathFault::NoLocalPart => {
                "write the whole address, for example ops@example.com"
            }
            PathFault::LocalPartTooLong => "at most 64 octets may stand before the @; use a shorter alias",
            PathFault::DomainTooLong => "a domain has at most 255 octets, each label at most 63",
            PathFault::TooLong => "an address has at most 254 octets; use a shorter alias",
            PathFault::Forbidden(_) => {
                "write the bare address, for example ops@example.com, without a display name"
            }
            PathFault::LocalPart => {
                "before the @ use letters, digits, single inner dots and !#$%&'*+-/=?^_`{|}~, or put it in double quotes"
            }
            PathFault::Quotes => "close the quotes before the @, for example \"night shift\"@example.com",
            PathFault::Domain => {
                "behind the @ use letters, digits, hyphens and dots, without a dot at the end"
            }
            PathFault::Literal => "write [192.0.2.1] or [IPv6:2001:db8::1], or a domain name",
            PathFault::NotAscii(_) => "write an alias in ASCII, and a domain in its xn-- form",
            PathFault::Brackets => "write the address between angle brackets, for example <ops@example.com>",
            PathFault::SourceRoute => "leave the source route away: nothing is decided by it",
        }
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for character in self.address.chars().take(80) {
            if is_unprintable(character) {
                write!(f, "{}", character.escape_default())?;
            } else {
                fmt::Write::write_char(f, character)?;
            }
        }
        f.write_str("\" ")?;
        match self.fault {
            PathFault::Empty => f.write_str("is no address"),
            PathFault::NoDomain => f.write_str("has no domain"),
            PathFault::NoLocalPart => f.write_str("has nothing before the @"),
            PathFault::LocalPartTooLong => f.write_str("has more than 64 octets before the @"),
            PathFault::DomainTooLong => f.write_str("has too long a domain"),
            PathFault::TooLong => f.write_str("is longer than 254 octets"),
            PathFault::Forbidden(found) => write!(f, "has {found:?}, which no address may have"),
            PathFault::LocalPart => f.write_str("has something before the @ that needs quotes"),
            PathFault::Quotes => f.write_str("has quotes that do not close"),
            PathFault::Domain => f.write_str("has a domain that cannot exist"),
            PathFault::Literal => f.write_str("has square brackets without an IP address"),
            PathFault::NotAscii(found) => write!(f, "has {found:?}, and notices use addresses in ASCII only"),
            PathFault::Brackets => f.write_str("does not stand between angle brackets"),
            PathFault::SourceRoute => f.write_str("has a source route that is none"),
        }
    }
}

impl std::error::Error for PathError {}

/// The place of the `@` between local part and domain.
fn check(text: &str) -> Result<usize, PathFault> {
    if text.is_empty() {
        return Err(PathFault::Empty);
    }
    if let Some(found) = text.chars().find(|&c| matches!(c, '<' | '>') || is_unprintable(c)) {
        return Err(PathFault::Forbidden(found));
    }
    // A quoted local part may have an @ of its own; a domain never has.
    let Some((local_part, domain)) = text.rsplit_once('@') else {
        return Err(PathFault::NoDomain);
    };
    if domain.is_empty() {
        return Err(PathFault::NoDomain);
    }
    check_local_part(local_part)?;
    check_domain(domain)?;
    if text.len() > MAX_MAILBOX {
        return Err(PathFault::TooLong);
    }
    Ok(local_part.len())
}

fn check_local_part(text: &str) -> Result<(), PathFault> {
    if text.is_empty() {
        Err(PathFault::NoLocalPart)
    } else if text.len() > 64 {
        Err(PathFault::LocalPartTooLong)
    } else if let Some(rest) = text.strip_prefix('"') {
        check_quoted(rest)
    } else if text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext)) {
        Ok(())
    } else {
        Err(PathFault::LocalPart)
    }
}

/// What follows the opening quote up to the end of the local part.
fn check_quoted(rest: &str) -> Result<(), PathFault> {
    let mut characters = rest.chars();
    while let Some(character) = characters.next() {
        match character {
            // quoted-pair: any printable character of ASCII.
            '\\' if characters.next().is_none_or(|next| !next.is_ascii()) => return Err(PathFault::Quotes),
            '"' if characters.next().is_some() => return Err(PathFault::LocalPart),
            '"' => return Ok(()),
            _ => {}
        }
    }
    Err(PathFault::Quotes)
}

fn is_atext(character: char) -> bool {
    character.is_ascii_alphanumeric()
        || "!#$%&'*+-/=?^_`{|}~".contains(character)
        || (!character.is_ascii() && !character.is_whitespace())
}

fn check_domain(text: &str) -> Result<(), PathFault> {
    if let Some(literal) = text.strip_prefix('[') {
        let literal = literal.strip_suffix(']').ok_or(PathFault::Literal)?;
        let valid = match literal.split_at_checked(5) {
            Some((tag, address)) if tag.eq_ignore_ascii_case("IPv6:") => address.parse::<Ipv6Addr>().is_ok(),
            _ => literal.parse::<Ipv4Addr>().is_ok(),
        };
        return if valid { Ok(()) } else { Err(PathFault::Literal) };
    }
    if text.len() > 255 || text.split('.').any(|label| label.len() > 63) {
        return Err(PathFault::DomainTooLong);
    }
    // U-labels roughly: what IDNA refuses beyond this, the next hop refuses.
    let allowed = |c: char| c.is_alphanumeric() || c == '-' || is_combining_mark(c);
    let is_label = |label: &str| {
        !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.chars().all(allowed)
    };
    if text.split('.').all(is_label) { Ok(()) } else { Err(PathFault::Domain) }
}

/// A path has at most 256 octets (§4.5.3.1.3), its brackets included.
const MAX_MAILBOX: usize = 254;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_and_odd_but_lawful_mailboxes_are_taken_as_they_are() {
        for text in [
            "ops@example.com",
            "o'brien+alarm/x@mail-1.example.co",
            "\"night shift\"@example.com",
            "\"a\\\"b@c\"@example.com",
            "ops@[192.0.2.1]",
            "ops@[IPv6:2001:db8::1]",
            "ops@localhost",
        ] {
            let mailbox = Mailbox::parse(text).unwrap();
            assert_eq!(mailbox.as_str(), text);
            assert_eq!(format!("{}@{}", mailbox.local_part(), mailbox.domain()), text);
            assert!(!mailbox.needs_smtputf8());
        }
    }

    #[test]
    fn letters_outside_ascii_need_smtputf8() {
        assert!(Mailbox::parse("störung@example.com").unwrap().needs_smtputf8());
        assert!(Mailbox::parse("ops@例え.example").unwrap().needs_smtputf8());
    }

    #[test]
    fn where_only_ascii_can_be_used_quotes_pass_and_letters_beyond_it_are_named() {
        assert!(Mailbox::parse_ascii("\"night shift\"@example.com").is_ok());
        assert_eq!(Mailbox::parse_ascii("ops@").unwrap_err().fault(), PathFault::NoDomain);
        for (text, letter) in [("störung@example.com", 'ö'), ("ops@例え.example", '例')] {
            let error = Mailbox::parse_ascii(text).unwrap_err();
            assert_eq!(error.fault(), PathFault::NotAscii(letter));
        }
        let error = Mailbox::parse_ascii("jörg@example.com").unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"jörg@example.com\" has 'ö', and notices use addresses in ASCII only"
        );
        assert_eq!(error.fix(), "write an alias in ASCII, and a domain in its xn-- form");
    }

    #[test]
    fn every_refusal_names_its_cause() {
        let long = "a".repeat(65);
        let label = "b".repeat(64);
        let total = format!("{}@{}", "a".repeat(64), ["c".repeat(60).as_str(); 4].join("."));
        let refused: [(&str, PathFault); 21] = [
            ("", PathFault::Empty),
            ("ops", PathFault::NoDomain),
            ("ops@", PathFault::NoDomain),
            ("@example.com", PathFault::NoLocalPart),
            ("Ops <ops@example.com>", PathFault::Forbidden('<')),
            ("\"a>b\"@example.com", PathFault::Forbidden('>')),
            ("ops@example.com\r\nRCPT TO:<x@example.net>", PathFault::Forbidden('\r')),
            ("o\u{2028}ps@example.com", PathFault::Forbidden('\u{2028}')),
            ("night shift@example.com", PathFault::LocalPart),
            (".ops@example.com", PathFault::LocalPart),
            ("o..ps@example.com", PathFault::LocalPart),
            ("\"a\"b@example.com", PathFault::LocalPart),
            ("\"ops@example.com", PathFault::Quotes),
            ("\"ops\\\"@example.com", PathFault::Quotes),
            ("ops@example..com", PathFault::Domain),
            ("ops@example.com.", PathFault::Domain),
            ("ops@-example.com", PathFault::Domain),
            ("ops@[example.com]", PathFault::Literal),
            (&format!("{long}@example.com"), PathFault::LocalPartTooLong),
            (&format!("ops@{label}.example"), PathFault::DomainTooLong),
            (&total, PathFault::TooLong),
        ];
        for (text, fault) in refused {
            assert_eq!(Mailbox::parse(text).unwrap_err().fault(), fault, "{text:?}");
        }
    }

    #[test]
    fn the_operator_reads_cause_and_fix() {
        let error = Mailbox::parse("ops@").unwrap_err();
        assert_eq!(error.to_string(), "\"ops@\" has no domain");
        assert_eq!(error.fix(), "write the whole address, for example ops@example.com");
        let error = Mailbox::parse("a\nb@example.com").unwrap_err();
        assert_eq!(error.to_string(), "\"a\\nb@example.com\" has '\\n', which no address may have");
    }
}
