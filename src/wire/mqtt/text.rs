//! Strings and topic names (§1.5.4, §4.7).

use std::fmt;

/// At most 65,535 octets of UTF-8 that every server takes: no control characters and no noncharacters, over which a
/// server may end the connection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MqttString(String);

/// The name of a topic that may be published to: an [`MqttString`] with at least one character and no wildcard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicName(MqttString);

/// Why a text is no name of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicFault {
    /// It is empty.
    Empty,
    /// It has `+` or `#` in it.
    Wildcard,
    /// It has a control character or a noncharacter in it.
    Forbidden,
    /// It has more than 65,535 octets.
    TooLong,
}

impl MqttString {
    /// The text with what is forbidden made U+FFFD, cut where it is too long.
    #[must_use]
    pub fn lossy(text: &str) -> Self {
        let mut out = String::with_capacity(text.len());
        for letter in text.chars() {
            let letter = if is_forbidden(letter) { char::REPLACEMENT_CHARACTER } else { letter };
            if out.len().saturating_add(letter.len_utf8()) > LONGEST_STRING {
                break;
            }
            out.push(letter);
        }
        Self(out)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TopicName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`TopicFault`].
    pub fn new(text: impl Into<String>) -> Result<Self, TopicFault> {
        let text = text.into();
        if text.is_empty() {
            Err(TopicFault::Empty)
        } else if text.contains(['+', '#']) {
            Err(TopicFault::Wildcard)
        } else if text.contains(is_forbidden) {
            Err(TopicFault::Forbidden)
        } else if text.len() > LONGEST_STRING {
            Err(TopicFault::TooLong)
        } else {
            Ok(Self(MqttString(text)))
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.0
    }

    pub(super) const fn as_string(&self) -> &MqttString {
        &self.0
    }
}

impl fmt::Display for TopicFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "is empty",
            Self::Wildcard => "has a wildcard, `+` or `#`, in it",
            Self::Forbidden => "has a control character in it",
            Self::TooLong => "has more than 65,535 octets",
        })
    }
}

impl std::error::Error for TopicFault {}

/// Controls and noncharacters: a server may take them for a malformed packet (§1.5.4).
const fn is_forbidden(letter: char) -> bool {
    matches!(letter, '\0'..='\u{1F}' | '\u{7F}'..='\u{9F}' | '\u{FDD0}'..='\u{FDEF}')
        || matches!(letter, '\u{FFFE}' | '\u{FFFF}' | '\u{1FFFE}' | '\u{1FFFF}' | '\u{2FFFE}' | '\u{2FFFF}')
        || matches!(letter, '\u{3FFFE}' | '\u{3FFFF}' | '\u{4FFFE}' | '\u{4FFFF}' | '\u{5FFFE}' | '\u{5FFFF}')
        || matches!(letter, '\u{6FFFE}' | '\u{6FFFF}' | '\u{7FFFE}' | '\u{7FFFF}' | '\u{8FFFE}' | '\u{8FFFF}')
        || matches!(letter, '\u{9FFFE}' | '\u{9FFFF}' | '\u{AFFFE}' | '\u{AFFFF}' | '\u{BFFFE}' | '\u{BFFFF}')
        || matches!(letter, '\u{CFFFE}' | '\u{CFFFF}' | '\u{DFFFE}' | '\u{DFFFF}' | '\u{EFFFE}' | '\u{EFFFF}')
        || matches!(letter, '\u{FFFFE}' | '\u{FFFFF}' | '\u{10FFFE}' | '\u{10FFFF}')
}

/// In octets (§1.5.4).
pub const LONGEST_STRING: usize = 65_535;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_has_no_wildcard_and_nothing_that_ends_a_connection() {
        assert!(TopicName::new("plant/UPS-1/alarm").is_ok());
        assert!(TopicName::new("工場/警報").is_ok());
        for (text, fault) in [
            ("", TopicFault::Empty),
            ("plant/+/alarm", TopicFault::Wildcard),
            ("plant/#", TopicFault::Wildcard),
            ("plant/\0", TopicFault::Forbidden),
            ("plant/\u{1b}[m", TopicFault::Forbidden),
            ("plant/\u{FFFF}", TopicFault::Forbidden),
        ] {
            assert_eq!(TopicName::new(text), Err(fault), "{text:?}");
        }
        assert_eq!(TopicName::new("x".repeat(65_536)), Err(TopicFault::TooLong));
    }

    #[test]
    fn other_texts_lose_what_is_forbidden_and_what_is_too_much() {
        assert_eq!(MqttString::lossy("a\u{7}b\u{FDD0}c").as_str(), "a\u{FFFD}b\u{FFFD}c");
        assert_eq!(MqttString::lossy(&"電".repeat(30_000)).as_str().len(), 65_535);
    }
}
