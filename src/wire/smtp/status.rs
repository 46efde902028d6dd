//! Enhanced status codes (RFC 3463).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A code `class.subject.detail`; the class is 2, 4 or 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EnhancedStatus {
    /// 2 success, 4 persistent transient failure, 5 permanent failure.
    pub class: u8,
    /// 0 to 7: address, mailbox, mail system, network, delivery protocol, content, security.
    pub subject: u16,
    /// Meaning depends on the subject.
    pub detail: u16,
}

impl EnhancedStatus {
    /// The code of these three numbers.
    #[must_use]
    pub const fn new(class: u8, subject: u16, detail: u16) -> Self {
        Self { class, subject, detail }
    }

    /// The code that a reply's text begins with (RFC 2034 §4), and the text after it.
    ///
    /// `None` when the first word is none: many servers write plain text there.
    #[must_use]
    pub fn leading(text: &str) -> Option<(Self, &str)> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        Some((word.parse().ok()?, rest.trim_start_matches(' ')))
    }
}

impl fmt::Display for EnhancedStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

/// A text that is no enhanced status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an enhanced status code is 2, 4 or 5 and two numbers of one to three digits, for example 5.1.1")]
pub struct NotAStatus;

impl FromStr for EnhancedStatus {
    type Err = NotAStatus;

    fn from_str(text: &str) -> Result<Self, NotAStatus> {
        let mut parts = text.split('.');
        let (Some(class), Some(subject), Some(detail), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NotAStatus);
        };
        let class = match class {
            "2" => 2,
            "4" => 4,
            "5" => 5,
            _ => return Err(NotAStatus),
        };
        Ok(Self::new(class, up_to_three_digits(subject)?, up_to_three_digits(detail)?))
    }
}

fn up_to_three_digits(text: &str) -> Result<u16, NotAStatus> {
    if (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().map_err(|_| NotAStatus)
    } else {
        Err(NotAStatus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_reads_back_as_written() {
        for text in ["2.0.0", "4.4.2", "5.7.139"] {
            assert_eq!(text.parse::<EnhancedStatus>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_only_looks_like_a_status_is_none() {
        for text in ["", "5", "5.1", "3.1.1", "5.1.1.1", "5.1234.1", "5..1", "5.+1.1", "192.0.2", "5.1.1:"] {
            assert_eq!(text.parse::<EnhancedStatus>(), Err(NotAStatus), "{text:?}");
        }
    }

    #[test]
    fn a_reply_text_is_split_behind_its_status() {
        let status = EnhancedStatus::new(5, 1, 1);
        assert_eq!(EnhancedStatus::leading("5.1.1  no such user"), Some((status, "no such user")));
        assert_eq!(EnhancedStatus::leading("5.1.1"), Some((status, "")));
        assert_eq!(EnhancedStatus::leading("no such user 5.1.1"), None);
    }
}
