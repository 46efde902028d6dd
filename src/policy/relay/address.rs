//! Patterns for whole addresses, and what a local part may hide.

use std::borrow::Cow;
use std::fmt;

use unicode_normalization::UnicodeNormalization as _;

use super::domain::{DomainName, DomainPattern, NotADomain};
use crate::wire::smtp::path::{Mailbox, PathError, ReversePath};

/// A pattern for a reverse-path: an address, `*@domain` (any local part of exactly this domain), `*@.domain` (of the
/// domains below it), `<>` (the null reverse-path of reports), or `*` (anything, the null reverse-path included).
///
/// Domains match label by label without regard to case; local parts without regard to case too, since these are the
/// operator's own addresses.
#[derive(Clone, PartialEq, Eq)]
pub struct AddressPattern {
    text: String,
    form: Form,
}

#[derive(Clone, PartialEq, Eq)]
enum Form {
    Anything,
    Null,
    OfDomain(DomainPattern),
    One { local_part: String, domain: DomainName },
}

impl AddressPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`NotAPattern`] with the cause; [`NotAPattern::fix`] says what to write.
    pub fn parse(text: &str) -> Result<Self, NotAPattern> {
        let form = match text {
            "*" => Form::Anything,
            "<>" => Form::Null,
            _ => match text.strip_prefix("*@") {
                Some(domain) => Form::OfDomain(DomainPattern::parse(domain).map_err(NotAPattern::Domain)?),
                None if text.contains('*') => return Err(NotAPattern::Wildcard(text.to_owned())),
                None => {
                    let mailbox = Mailbox::parse(text).map_err(NotAPattern::Mailbox)?;
                    Form::One {
                        local_part: comparable(mailbox.local_part()),
                        domain: DomainName::parse(mailbox.domain()).map_err(NotAPattern::Domain)?,
                    }
                }
            },
        };
        Ok(Self { text: text.to_owned(), form })
    }

    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether this reverse-path may be used where the pattern stands.
    #[must_use]
    pub fn matches(&self, reverse_path: &ReversePath) -> bool {
        let mailbox = match (&self.form, reverse_path) {
            (Form::Anything, _) | (Form::Null, ReversePath::Null) => return true,
            (_, ReversePath::Null) => return false,
            (_, ReversePath::Mailbox(mailbox)) => mailbox,
        };
        let Ok(of) = DomainName::parse(mailbox.domain()) else { return false };
        match &self.form {
            Form::Anything => true,
            Form::Null => false,
            Form::OfDomain(pattern) => pattern.matches(&of),
            Form::One { local_part, domain } => {
                *domain == of && *local_part == comparable(mailbox.local_part())
            }
        }
    }
}

impl fmt::Debug for AddressPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for AddressPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A text that is no pattern for addresses; displays as the cause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAPattern {
    /// A star that stands for something else than a whole local part.
    #[error("{0:?} has a * in a place where it means nothing")]
    Wildcard(String),
    /// It is no address.
    #[error(transparent)]
    Mailbox(PathError),
    /// Its domain is none.
    #[error(transparent)]
    Domain(NotADomain),
}

impl NotAPattern {
    /// What to write instead, beginning in lower case and without a full stop.
    #[must_use]
    pub const fn fix(&self) -> &'static str {
        match self {
            Self::Wildcard(_) => {
                "write an address, *@corp.example, *@.corp.example, <> for reports, or * for anything"
            }
            Self::Mailbox(error) => error.fix(),
            Self::Domain(error) => error.fix(),
        }
    }
}

/// A sign in a local part that a next hop might read as the way to somewhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteSign {
    /// `user%elsewhere.example@corp.example`.
    Percent,
    /// `elsewhere.example!user@corp.example`.
    Bang,
    /// `"user@elsewhere.example"@corp.example`, and source routes inside quotes.
    At,
}

impl RouteSign {
    /// The first one in a local part, whatever quotes or look-alikes (`％`, `﹫`) it hides behind.
    #[must_use]
    pub fn find(local_part: &str) -> Option<Self> {
        unquoted(local_part).nfkc().find_map(|character| match character {
            '%' => Some(Self::Percent),
            '!' => Some(Self::Bang),
            '@' => Some(Self::At),
            _ => None,
        })
    }
}

impl fmt::Display for RouteSign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Percent => "%",
            Self::Bang => "!",
            Self::At => "@",
        })
    }
}

/// What a local part says, without quotes and backslashes: `"a\b"` and `ab` are one (RFC 5321 §4.1.2).
fn unquoted(local_part: &str) -> Cow<'_, str> {
    let Some(inner) = local_part.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return Cow::Borrowed(local_part);
    };
    let mut text = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => text.extend(characters.next()),
            other => text.push(other),
        }
    }
    Cow::Owned(text)
}

fn comparable(local_part: &str) -> String {
    unquoted(local_part).chars().flat_map(char::to_lowercase).nfc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> ReversePath {
        if text.is_empty() { ReversePath::Null } else { ReversePath::Mailbox(Mailbox::parse(text).unwrap()) }
    }

    #[test]
    fn patterns_match_whole_addresses_and_nothing_that_resembles_them() {
        for (pattern, address, matches) in [
            ("*", "anyone@anywhere.example", true),
            ("*", "anyone@[192.0.2.1]", true),
            ("*", "", true),
            ("<>", "", true),
            ("<>", "a@corp.example", false),
            ("*@corp.example", "Scanner@CORP.example", true),
            ("*@corp.example", "", false),
            ("*@corp.example", "a@evilcorp.example", false),
            ("*@corp.example", "a@mail.corp.example", false),
            ("*@corp.example", "\"x@corp.example\"@elsewhere.example", false),
            ("*@.corp.example", "a@mail.corp.example", true),
            ("*@.corp.example", "a@corp.example", false),
            ("*@bücher.example", "a@xn--bcher-kva.example", true),
            ("ops@corp.example", "OPS@corp.example", true),
            ("ops@corp.example", "\"ops\"@corp.example", true),
            ("ops@corp.example", "ops+1@corp.example", false),
            ("ops@corp.example", "ops@[192.0.2.1]", false),
        ] {
            let parsed = AddressPattern::parse(pattern).unwrap();
            assert_eq!(parsed.matches(&path(address)), matches, "{pattern} {address}");
            assert_eq!(parsed.as_str(), pattern);
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_cause_and_fix() {
        for (text, cause) in [
            ("ops*@corp.example", "\"ops*@corp.example\" has a * in a place where it means nothing"),
            ("*@*.corp.example", "\"*.corp.example\" has a wildcard, which domains do not take"),
            ("*@", "\"\" is no domain"),
            ("corp.example", "\"corp.example\" has no domain"),
            ("ops@[192.0.2.1]", "\"[192.0.2.1]\" is an IP address, not a domain"),
        ] {
            assert_eq!(AddressPattern::parse(text).unwrap_err().to_string(), cause);
        }
    }

    #[test]
    fn a_way_to_elsewhere_is_seen_through_quotes_and_look_alikes() {
        for (local_part, sign) in [
            ("ops", None),
            ("o'brien+alarm/x=y", None),
            ("user%elsewhere.example", Some(RouteSign::Percent)),
            ("elsewhere.example!user", Some(RouteSign::Bang)),
            ("\"user@elsewhere.example\"", Some(RouteSign::At)),
            ("\"user\\@elsewhere.example\"", Some(RouteSign::At)),
            ("\"user\\%elsewhere.example\"", Some(RouteSign::Percent)),
            ("\"@a.example,@b.example:user\"", Some(RouteSign::At)),
            ("user％elsewhere.example", Some(RouteSign::Percent)),
            ("user﹪elsewhere.example", Some(RouteSign::Percent)),
            ("elsewhere.example！user", Some(RouteSign::Bang)),
            ("user＠elsewhere.example", Some(RouteSign::At)),
            ("user﹫elsewhere.example", Some(RouteSign::At)),
        ] {
            assert_eq!(RouteSign::find(local_part), sign, "{local_part}");
        }
    }
}
