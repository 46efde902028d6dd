//! Names of accounts.

use std::fmt;
use std::hash::{Hash, Hasher};

use unicode_normalization::UnicodeNormalization as _;

use super::keys::prepare;

/// The name of an account, as the operator spells it. Never empty.
///
/// Two names are the same account when they are the same letters after NFKC, whatever their case and whatever kind of
/// space they use: `Scanner-3`, `scanner-3` and `ｓｃａｎｎｅｒ-3` are one. Case is that of Unicode, each letter by
/// itself.
#[derive(Debug, Clone)]
pub struct AccountName {
    shown: String,
    key: Key,
}

/// What is compared of a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key(String);

/// Why a text is no name of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameFault {
    /// Nothing, or nothing but blanks.
    #[error("it is empty")]
    Empty,
    /// PLAIN need not carry more (RFC 4616 §2).
    #[error("it has more than 255 octets")]
    TooLong,
    /// NUL separates the parts of PLAIN; others cannot be typed, and some end lines.
    #[error("it has a control character or a line break")]
    Control,
    /// Nobody sees them.
    #[error("it begins or ends with a blank")]
    OuterBlank,
}

impl AccountName {
    /// The name with this text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: &str) -> Result<Self, NameFault> {
        let key = Key::of(text);
        if key.0.trim().is_empty() {
            return Err(NameFault::Empty);
        }
        if text.len().max(key.0.len()) > 255 {
            return Err(NameFault::TooLong);
        }
        if text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')) {
            return Err(NameFault::Control);
        }
        if text.trim() != text {
            return Err(NameFault::OuterBlank);
        }
        Ok(Self { shown: text.to_owned(), key })
    }

    /// As the operator spells it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.shown
    }

    pub(super) const fn key(&self) -> &Key {
        &self.key
    }
}

impl Key {
    /// Of what a client or an operator typed; it need not be a name.
    pub(super) fn of(text: &str) -> Self {
        // Letter by letter: the lower case of a whole word would depend on where in it a sigma stands.
        Self(prepare(text).chars().flat_map(char::to_lowercase).nfkc().collect())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl std::str::FromStr for AccountName {
    type Err = NameFault;

    fn from_str(text: &str) -> Result<Self, NameFault> {
        Self::new(text)
    }
}

impl PartialEq for AccountName {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for AccountName {}

impl Hash for AccountName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_whatever_their_case_and_width() {
        let name = |text| AccountName::new(text).unwrap();
        for other in ["SCANNER 3", "ｓｃａｎｎｅｒ\u{3000}3", "scanner\u{a0}3"] {
            assert_eq!(name("Scanner 3"), name(other), "{other}");
        }
        assert_eq!(name("\u{212a}"), name("k"), "the Kelvin sign");
        assert_eq!(name("ΟΔΟΣ"), name("οδοσ"), "sigma, wherever it stands");
        assert_ne!(name("scanner-3"), name("scanner3"));
        assert_eq!(name("Scanner-3").as_str(), "Scanner-3");
    }

    #[test]
    fn what_nobody_can_type_or_see_is_no_name() {
        for (text, fault) in [
            ("", NameFault::Empty),
            (" \u{a0}", NameFault::Empty),
            ("a\0b", NameFault::Control),
            ("a\n", NameFault::Control),
            ("a\u{2028}b", NameFault::Control),
            (" a", NameFault::OuterBlank),
            (&"a".repeat(256), NameFault::TooLong),
        ] {
            assert_eq!(AccountName::new(text).unwrap_err(), fault, "{text:?}");
        }
        assert!(AccountName::new(&"a".repeat(255)).is_ok());
    }
}
