//! Names that the configuration gives and numbers that the spool gives.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The number of a message in the spool: rises with the order of acceptance, never used twice.
///
/// Written as 13 letters and digits (Crockford's base 32: no I, L, O, U), read in either case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueId(i64);

const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

impl QueueId {
    /// The id with this positive number, as SQLite's rowid holds it.
    #[must_use]
    pub const fn from_row(number: i64) -> Option<Self> {
        if number > 0 { Some(Self(number)) } else { None }
    }

    /// The number, as SQLite's rowid holds it.
    #[must_use]
    pub const fn as_row(self) -> i64 {
        self.0
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in (0..13).rev() {
            let digit = usize::try_from(self.0 >> (5 * place) & 31).unwrap_or_default();
            write!(f, "{}", char::from(CROCKFORD.get(digit).copied().unwrap_or(b'?')))?;
        }
        Ok(())
    }
}

impl fmt::Debug for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no queue id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a queue id has 13 letters and digits, for example 01K8Z4Q3M7T2W; `mailslotd queue list` shows them")]
pub struct NotAQueueId;

impl FromStr for QueueId {
    type Err = NotAQueueId;

    fn from_str(text: &str) -> Result<Self, NotAQueueId> {
        if text.len() != 13 {
            return Err(NotAQueueId);
        }
        let mut number: i64 = 0;
        for letter in text.bytes() {
            let digit =
                CROCKFORD.iter().position(|&c| c == letter.to_ascii_uppercase()).ok_or(NotAQueueId)?;
            let digit = i64::try_from(digit).map_err(|_| NotAQueueId)?;
            number = number.checked_mul(32).and_then(|n| n.checked_add(digit)).ok_or(NotAQueueId)?;
        }
        Self::from_row(number).ok_or(NotAQueueId)
    }
}

impl Serialize for QueueId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for QueueId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A name that is empty, too long, or has a character that would need escaping somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name has 1 to 64 letters, digits, `-`, `_` or `.`, and begins with a letter or digit")]
pub struct NotAName;

macro_rules! configured_name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// 1 to 64 letters, digits, `-`, `_` or `.`, so it may be a metric label, a file name and a word in a log as
        /// it is. Cloning is cheap.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks and takes a name.
            ///
            /// # Errors
            /// [`NotAName`] for anything but 1 to 64 letters, digits, `-`, `_` or `.`.
            pub fn new(text: &str) -> Result<Self, NotAName> {
                let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
                let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
                if begins && text.len() <= 64 && text.chars().all(allowed) {
                    Ok(Self(text.into()))
                } else {
                    Err(NotAName)
                }
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NotAName;
            fn from_str(text: &str) -> Result<Self, NotAName> {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

configured_name! {
    /// The name of a rule, as written in the configuration.
    RuleName
}
configured_name! {
    /// The name of a destination, as written in the configuration.
    DestinationName
}
configured_name! {
    /// The name of an SMTP listener, as written in the configuration.
    ListenerName
}
configured_name! {
    /// The reason under which a rule's discarded messages are counted, as written in the configuration.
    DiscardReason
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_id_reads_back_as_written_in_either_case() {
        let id = QueueId::from_row(0x0123_4567_89AB_CDEF).unwrap();
        assert_eq!(id.to_string().len(), 13);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().to_lowercase().parse(), Ok(id));
        assert!("01K8Z4Q3M7T2U".parse::<QueueId>().is_err(), "U is no digit");
    }

    #[test]
    fn ids_sort_as_their_text_does() {
        let [early, late] = [7, 1 << 40].map(|n| QueueId::from_row(n).unwrap());
        assert!(early < late && early.to_string() < late.to_string());
    }

    #[test]
    fn names_that_would_need_escaping_are_refused() {
        for text in ["", "a b", "../up", "-x", "naïve", &"x".repeat(65)] {
            assert!(RuleName::new(text).is_err(), "{text:?}");
        }
        assert_eq!(RuleName::new("ups-alarms.2").unwrap().as_str(), "ups-alarms.2");
    }
}
