//! OAuth 2.0 (RFC 6749) from the side of a client that nobody watches: what is asked of the token endpoint, what its
//! answers mean, and how long a token is good for.
//!
//! Nothing here connects or signs: [`request`] makes the form that is sent, [`response`] reads what comes back, and
//! [`refusal`] says what an administrator of the provider does about an error.

pub mod assertion;
pub mod cache;
pub mod claims;
pub mod device;
mod form;
pub mod refusal;
pub mod request;
pub mod response;

use std::fmt;

use serde::{Deserialize as _, Deserializer};
use zeroize::Zeroizing;

/// A token that a mail server or an API takes instead of a password (RFC 6750); wiped when dropped, never logged.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken(Zeroizing<String>);

impl AccessToken {
    /// A token with this text.
    ///
    /// # Errors
    /// When it has something else than visible ASCII, which would end a header or a SASL message, or is too long.
    pub fn new(text: &str) -> Result<Self, NotAToken> {
        if text.is_empty() {
            Err(NotAToken::Empty)
        } else if text.len() > MAX_TOKEN {
            Err(NotAToken::TooLong)
        } else if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Err(NotAToken::Letters)
        } else {
            Ok(Self(Zeroizing::new(text.to_owned())))
        }
    }

    /// The secret, for whoever sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Shows nothing of it.
impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken")
    }
}

/// Why a text is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAToken {
    /// There is nothing.
    #[error("it is empty")]
    Empty,
    /// A mail server need not take it (RFC 4954 §4: 12 288 octets in base64, with all that goes around it).
    #[error("it is longer than the {MAX_TOKEN} octets that AUTH can carry")]
    TooLong,
    /// It has spaces, control characters or letters outside ASCII.
    #[error("it has characters that no token has (RFC 6750 §2.1)")]
    Letters,
}

/// A secret of an answer, which is wiped wherever the answer is given up.
fn wiped<'de, D: Deserializer<'de>>(answer: D) -> Result<Option<Zeroizing<String>>, D::Error> {
    Ok(Option::<String>::deserialize(answer)?.map(Zeroizing::new))
}

/// What a provider wrote, for a message to the operator: no control characters, cut.
fn shown(text: &str, most: usize) -> String {
    let mut shown: String = text
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .filter(|letter| !is_format(*letter))
        .take(most)
        .collect();
    if text.chars().count() > most {
        shown.push('…');
    }
    shown.trim().to_owned()
}

/// Characters that reorder or hide others in a terminal.
const fn is_format(letter: char) -> bool {
    matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// In base64, and with user and host around it, it fits the 12 288 octets of RFC 4954 §4.
pub const MAX_TOKEN: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_could_end_the_message_around_it_is_none() {
        assert_eq!(AccessToken::new("a\x01b"), Err(NotAToken::Letters));
        assert_eq!(AccessToken::new("a\r\nb"), Err(NotAToken::Letters));
        assert_eq!(AccessToken::new(""), Err(NotAToken::Empty));
        assert_eq!(AccessToken::new(&"a".repeat(MAX_TOKEN + 1)), Err(NotAToken::TooLong));
        assert_eq!(format!("{:?}", AccessToken::new("sesame").unwrap()), "AccessToken");
    }

    #[test]
    fn what_a_provider_says_moves_no_terminal() {
        assert_eq!(shown("a\x1b[2Jb\u{202e}c\n", 100), "a [2Jbc");
        assert_eq!(shown("abcdef", 3), "abc…");
    }
}
