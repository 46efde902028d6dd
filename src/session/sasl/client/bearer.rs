//! XOAUTH2 and OAUTHBEARER (RFC 7628): a token instead of a password.
//!
//! Google's and Microsoft's documents describe XOAUTH2; it differs from the standard in its message, and in what ends the
//! dialogue after an error. Either way the server says what is wrong in a challenge and then waits: a client that does not
//! answer hangs.

use std::fmt;

use zeroize::Zeroizing;

use super::SaslFault;
use crate::session::oauth::AccessToken;
use crate::wire::smtp::mechanism::BearerMechanism;

/// Who logs in by a token.
#[derive(Clone)]
pub struct BearerIdentity {
    /// The mailbox that the token may send for.
    pub user: String,
    /// The token; wiped when dropped.
    pub token: AccessToken,
    /// Mechanisms that the operator allows, the preferred one first.
    pub mechanisms: Vec<BearerMechanism>,
    /// The server as we reach it; OAUTHBEARER names it (RFC 7628 §3.1).
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// Shows neither user nor token.
impl fmt::Debug for BearerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BearerIdentity").field("mechanisms", &self.mechanisms).finish_non_exhaustive()
    }
}

/// What the server says is wrong with a token (RFC 7628 §3.2.2), as far as anyone sends it; each part cut to
/// 200 characters, none of them a control character.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BearerError {
    /// `invalid_token`, `insufficient_scope`; with XOAUTH2 an HTTP status such as `400`.
    pub status: String,
    /// The scope that a token would need.
    pub scope: Option<String>,
}

/// To follow the server's reply: "the server said invalid_token, and wants the scope mail".
impl fmt::Display for BearerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server said {}", self.status)?;
        match &self.scope {
            Some(scope) => write!(f, ", and wants the scope {scope}"),
            None => Ok(()),
        }
    }
}

/// What is still to be said.
pub struct Bearer {
    mechanism: BearerMechanism,
    step: Step,
}

enum Step {
    /// The token has not been shown.
    Start(Zeroizing<Vec<u8>>),
    /// The server decides.
    Shown,
    /// The server said that it refuses, and got its answer.
    Refused(BearerError),
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bearer").field("mechanism", &self.mechanism).finish_non_exhaustive()
    }
}

impl Bearer {
    pub(super) fn new(mechanism: BearerMechanism, identity: &BearerIdentity) -> Self {
        Self { mechanism, step: Step::Start(message(mechanism, identity)) }
    }

    pub(super) fn initial_response(&mut self, room: usize) -> Option<Zeroizing<Vec<u8>>> {
        match &self.step {
            Step::Start(message) if message.len() <= room => self.show(),
            Step::Start(_) | Step::Shown | Step::Refused(_) => None,
        }
    }

    fn show(&mut self) -> Option<Zeroizing<Vec<u8>>> {
        match std::mem::replace(&mut self.step, Step::Shown) {
            Step::Start(message) => Some(message),
            other @ (Step::Shown | Step::Refused(_)) => {
                self.step = other;
                None
            }
        }
    }

    /// The token where it has not been shown; else the challenge is an error, and this the answer that ends the dialogue.
    pub(super) fn handle_challenge(&mut self, challenge: &[u8]) -> Result<Zeroizing<Vec<u8>>, SaslFault> {
        if let Some(message) = self.show() {
            return Ok(message);
        }
        match self.step {
            Step::Shown => {
                self.step = Step::Refused(BearerError::parse(challenge));
                Ok(Zeroizing::new(match self.mechanism {
                    BearerMechanism::Xoauth2 => Vec::new(),
                    BearerMechanism::OauthBearer => vec![SEPARATOR],
                }))
            }
            Step::Start(_) | Step::Refused(_) => Err(SaslFault::TooManyChallenges),
        }
    }

    /// What the server said is wrong, where it did.
    #[must_use]
    pub fn into_error(self) -> Option<BearerError> {
        match self.step {
            Step::Refused(error) => Some(error),
            Step::Start(_) | Step::Shown => None,
        }
    }
}

impl BearerError {
    /// Whatever of it is there: the refusal follows in any case.
    fn parse(challenge: &[u8]) -> Self {
        let error: serde_json::Value = serde_json::from_slice(challenge).unwrap_or_default();
        let part = |name| error.get(name).and_then(serde_json::Value::as_str).map(shown);
        let part = |name| part(name).filter(|text| !text.is_empty());
        Self { status: part("status").unwrap_or_else(|| "nothing more".to_owned()), scope: part("scope") }
    }
}

fn shown(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(MAX_PART).collect()
}

fn message(mechanism: BearerMechanism, identity: &BearerIdentity) -> Zeroizing<Vec<u8>> {
    let BearerIdentity { user, token, host, port, .. } = identity;
    let begin = match mechanism {
        BearerMechanism::Xoauth2 => format!("user={user}\x01"),
        BearerMechanism::OauthBearer => {
            // RFC 5801 §4: a saslname.
            let user = user.replace('=', "=3D").replace(',', "=2C");
            format!("n,a={user},\x01host={host}\x01port={port}\x01")
        }
    };
    let parts = [begin.as_bytes(), b"auth=Bearer ", token.expose().as_bytes(), b"\x01\x01"];
    // Room for all of it, so that no copy of the token is left behind when it grows.
    let mut message = Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len()).sum()));
    parts.iter().for_each(|part| message.extend_from_slice(part));
    message
}

/// `kvsep` (RFC 7628 §3.1).
const SEPARATOR: u8 = 1;
/// Characters of one part of an error that the operator is shown.
const MAX_PART: usize = 200;

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn bearer(mechanism: BearerMechanism, user: &str, token: &str) -> Bearer {
        let identity = BearerIdentity {
            user: user.to_owned(),
            token: AccessToken::new(token).unwrap(),
            mechanisms: vec![mechanism],
            host: "server.example.com".to_owned(),
            port: 587,
        };
        Bearer::new(mechanism, &identity)
    }

    #[test]
    fn oauthbearer_says_what_rfc_7628_has_as_its_example() {
        let token = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==";
        let mut bearer = bearer(BearerMechanism::OauthBearer, "user@example.com", token);
        assert_eq!(
            STANDARD.encode(&*bearer.initial_response(500).unwrap()),
            "bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9NTg3AWF1dGg9QmVhcmVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB"
        );
    }

    #[test]
    fn xoauth2_says_what_its_documents_have_as_example() {
        let mut bearer = bearer(
            BearerMechanism::Xoauth2,
            "someuser@example.com",
            "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg",
        );
        assert_eq!(
            STANDARD.encode(&*bearer.initial_response(500).unwrap()),
            "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ=="
        );
    }

    #[test]
    fn a_comma_in_the_user_does_not_end_the_authorization_identity() {
        let mut bearer = bearer(BearerMechanism::OauthBearer, "a,b=c@d.example", "t");
        let said = bearer.initial_response(500).unwrap();
        assert!(said.starts_with(b"n,a=a=2Cb=3Dc@d.example,\x01"), "{}", String::from_utf8_lossy(&said));
    }

    #[test]
    fn an_error_is_answered_as_each_mechanism_wants_and_no_second_challenge_is() {
        let error = br#"{"status":"invalid_token","scope":"mail\u0007","schemes":"Bearer"}"#;
        for (mechanism, answer) in
            [(BearerMechanism::Xoauth2, &b""[..]), (BearerMechanism::OauthBearer, b"\x01")]
        {
            let mut bearer = bearer(mechanism, "u@d.example", "t");
            bearer.initial_response(500).unwrap();
            assert_eq!(bearer.handle_challenge(error).unwrap().as_slice(), answer);
            assert_eq!(bearer.handle_challenge(b""), Err(SaslFault::TooManyChallenges));
            let said = bearer.into_error().unwrap().to_string();
            assert_eq!(said, "the server said invalid_token, and wants the scope mail");
        }
    }

    #[test]
    fn an_error_without_json_is_an_error_all_the_same() {
        let mut bearer = bearer(BearerMechanism::Xoauth2, "u@d.example", "t");
        assert!(bearer.initial_response(3).is_none(), "no room");
        assert!(bearer.handle_challenge(b"").unwrap().ends_with(b"auth=Bearer t\x01\x01"));
        bearer.handle_challenge(b"go away").unwrap();
        assert_eq!(bearer.into_error().unwrap().to_string(), "the server said nothing more");
    }

    #[test]
    fn a_token_does_not_show_in_debug_output() {
        let bearer = bearer(BearerMechanism::Xoauth2, "u@d.example", "sesame");
        assert!(!format!("{bearer:?}").contains("sesame"));
    }
}
