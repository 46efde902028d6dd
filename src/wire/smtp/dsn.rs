//! Parameters of MAIL and RCPT for delivery status notifications (RFC 3461 §4).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// When a sender wants a report about one recipient (NOTIFY, RFC 3461 §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Notify {
    /// Under no circumstances.
    Never,
    /// On these events and no others.
    On {
        /// When it was delivered, or passed on to a next hop that cannot report.
        success: bool,
        /// When it was not and will not be.
        failure: bool,
        /// When it is late.
        delay: bool,
    },
}

impl Notify {
    /// What holds when the sender says nothing: RFC 3461 §4.1 leaves delay to the server; only failure is reported.
    pub const DEFAULT: Self = Self::On { success: false, failure: true, delay: false };

    /// Whether a failure is to be reported.
    #[must_use]
    pub const fn wants_failure(self) -> bool {
        matches!(self, Self::On { failure: true, .. })
    }

    /// Whether a delay is to be reported.
    #[must_use]
    pub const fn wants_delay(self) -> bool {
        matches!(self, Self::On { delay: true, .. })
    }

    /// Whether success is to be reported.
    #[must_use]
    pub const fn wants_success(self) -> bool {
        matches!(self, Self::On { success: true, .. })
    }
}

/// As NOTIFY has it: `NEVER`, or `SUCCESS,FAILURE,DELAY` or a part of that.
impl fmt::Display for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::On { success, failure, delay } = *self else { return f.write_str(NEVER) };
        let mut before = "";
        for (wanted, word) in [(success, SUCCESS), (failure, FAILURE), (delay, DELAY)] {
            if wanted {
                write!(f, "{before}{word}")?;
                before = ",";
            }
        }
        // On none of the events is never; NOTIFY has no empty value.
        if before.is_empty() { f.write_str(NEVER) } else { Ok(()) }
    }
}

/// A text that NOTIFY cannot have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("NOTIFY is NEVER, or a list of SUCCESS, FAILURE and DELAY without spaces")]
pub struct NotANotify;

/// The value of NOTIFY, in any case.
impl FromStr for Notify {
    type Err = NotANotify;

    fn from_str(text: &str) -> Result<Self, NotANotify> {
        if text.eq_ignore_ascii_case(NEVER) {
            return Ok(Self::Never);
        }
        let (mut success, mut failure, mut delay) = (false, false, false);
        for word in text.split(',') {
            let wanted = [(SUCCESS, &mut success), (FAILURE, &mut failure), (DELAY, &mut delay)]
                .into_iter()
                .find_map(|(name, wanted)| word.eq_ignore_ascii_case(name).then_some(wanted));
            *wanted.ok_or(NotANotify)? = true;
        }
        Ok(Self::On { success, failure, delay })
    }
}

/// What of the message a report carries (RET, RFC 3461 §4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ret {
    /// All of it.
    Full,
    /// Its header.
    Headers,
}

/// What a sender wants reported about one recipient, as RCPT brought it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RecipientDsn {
    /// NOTIFY; `None` when it was not given, which means [`Notify::DEFAULT`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<Notify>,
    /// ORCPT as it came, still in xtext: `rfc822;user@example.com` (RFC 3461 §4.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orcpt: Option<String>,
}

impl RecipientDsn {
    /// When a report is wanted; [`Notify::DEFAULT`] where RCPT did not say.
    #[must_use]
    pub fn notify(&self) -> Notify {
        self.notify.unwrap_or(Notify::DEFAULT)
    }
}

const NEVER: &str = "NEVER";
const SUCCESS: &str = "SUCCESS";
const FAILURE: &str = "FAILURE";
const DELAY: &str = "DELAY";

/// Whether a text is xtext (RFC 3461 §4): printable ASCII without `=`, and `+` only before two hexadecimal digits in
/// upper case.
#[must_use]
pub fn is_xtext(text: &str) -> bool {
    let mut octets = text.bytes();
    while let Some(octet) = octets.next() {
        let is_hex = |octet: Option<u8>| octet.is_some_and(|o| matches!(o, b'0'..=b'9' | b'A'..=b'F'));
        let fits = match octet {
            b'+' => is_hex(octets.next()) && is_hex(octets.next()),
            b'=' => false,
            _ => octet.is_ascii_graphic(),
        };
        if !fits {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notify_reads_back_as_written_and_in_any_case() {
        for text in ["NEVER", "SUCCESS", "FAILURE,DELAY", "SUCCESS,FAILURE,DELAY"] {
            assert_eq!(text.parse::<Notify>().unwrap().to_string(), text);
        }
        assert_eq!("delay,Success".parse::<Notify>().unwrap().to_string(), "SUCCESS,DELAY");
        for text in ["", "NEVER,FAILURE", "FAILURE,", "FAILURE DELAY", "SOMETIMES"] {
            assert_eq!(text.parse::<Notify>(), Err(NotANotify), "{text:?}");
        }
    }

    #[test]
    fn without_a_word_only_failure_is_reported() {
        let notify = RecipientDsn::default().notify();
        assert!(notify.wants_failure() && !notify.wants_delay() && !notify.wants_success());
    }

    #[test]
    fn xtext_has_no_spaces_and_no_broken_escapes() {
        for text in ["", "QQ314159", "a+2Bb@example.com", "+3D+3d".get(..3).unwrap()] {
            assert!(is_xtext(text), "{text:?}");
        }
        for text in ["a b", "a=b", "+", "+2", "+2b", "+GG", "a\u{7f}", "ü"] {
            assert!(!is_xtext(text), "{text:?}");
        }
    }
}
