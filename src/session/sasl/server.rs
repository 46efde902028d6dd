//! Server side of PLAIN, LOGIN, CRAM-MD5 and SCRAM-SHA-256, as SMTP carries them (RFC 4954): base64 in lines.
//!
//! An exchange knows no account. It asks with [`Step::Check`] and goes on with the answer; what it cannot read it
//! refuses, as if a password were wrong.

mod scram;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use self::scram::Scram;
use super::Nonce;
use crate::policy::account::{Check, CheckAnswer, PasswordMechanism, Principal};
use crate::wire::smtp::mechanism::Mechanism;

/// One AUTH of a client.
pub struct Exchange(State);

/// What the server does next.
#[derive(Debug)]
pub enum Step {
    /// Send `334 ` and this base64 text, which may be empty; hand the client's line to [`Exchange::respond`].
    Challenge(String),
    /// Hand the answer to this to [`Exchange::answer`].
    Check(Check),
    /// The exchange is over.
    Done(Outcome),
}

/// How an exchange ended.
#[derive(Debug)]
pub enum Outcome {
    /// The client is this account: 235 2.7.0.
    Proved(Principal),
    /// It is not, or what it said has not the mechanism's grammar: 535 5.7.8.
    Refused,
    /// It could not be checked: 454 4.7.0.
    Unavailable,
    /// The client sent `*`: 501 5.0.0.
    Cancelled,
    /// The client's line is no base64: 501 5.5.2.
    BadBase64,
    /// The client's line has more than [`MAX_LINE`] octets: 500 5.5.6.
    TooLong,
}

enum State {
    /// The message has not come.
    Plain,
    /// The user has not come.
    Login,
    /// The password has not come.
    LoginPassword {
        user: String,
    },
    /// The digest of this has not come.
    CramMd5 {
        challenge: String,
    },
    ScramSha256(Box<Scram>),
    /// A check that is the last step is open.
    Asked,
    Over,
}

/// Shows nothing that the client said.
impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            State::Plain => "Plain",
            State::Login | State::LoginPassword { .. } => "Login",
            State::CramMd5 { .. } => "CramMd5",
            State::ScramSha256(_) => "ScramSha256",
            State::Asked => "Asked",
            State::Over => "Over",
        })
    }
}

impl Exchange {
    /// The client said `AUTH mechanism [initial-response]`. `nonce` must be fresh; `hostname` is ours, for the
    /// challenge of CRAM-MD5.
    #[must_use]
    pub fn begin(
        mechanism: Mechanism,
        initial_response: Option<&str>,
        nonce: Nonce,
        hostname: &str,
    ) -> (Self, Step) {
        let (state, prompt) = match mechanism {
            Mechanism::Plain => (State::Plain, String::new()),
            Mechanism::Login => (State::Login, USERNAME.to_owned()),
            Mechanism::CramMd5 => {
                let challenge = format!("<{}@{hostname}>", nonce.0);
                let prompt = STANDARD.encode(&challenge);
                (State::CramMd5 { challenge }, prompt)
            }
            Mechanism::ScramSha256 => (State::ScramSha256(Box::new(Scram::new(nonce))), String::new()),
        };
        match (initial_response, mechanism) {
            (None, _) => (Self(state), Step::Challenge(prompt)),
            // RFC 4954 §4: where the server speaks first, 535.
            (Some(_), Mechanism::CramMd5) => over(Outcome::Refused),
            // RFC 4954 §4: an empty one is written so.
            (Some("="), _) => step(state, Zeroizing::default()),
            (Some(text), _) => Self(state).respond(text),
        }
    }

    /// The client sent this line, without its line end, in response to the last challenge.
    #[must_use]
    pub fn respond(self, line: &str) -> (Self, Step) {
        if line.len() > MAX_LINE {
            return over(Outcome::TooLong);
        }
        if line == "*" {
            return over(Outcome::Cancelled);
        }
        match STANDARD.decode(line) {
            Ok(response) => step(self.0, Zeroizing::new(response)),
            Err(_) => over(Outcome::BadBase64),
        }
    }

    /// The answer to the open check.
    #[must_use]
    pub fn answer(self, answer: CheckAnswer) -> (Self, Step) {
        let state = match (self.0, answer) {
            (State::Asked, CheckAnswer::Proved(principal)) => return over(Outcome::Proved(principal)),
            (_, CheckAnswer::Unavailable) => return over(Outcome::Unavailable),
            (State::ScramSha256(scram), answer) => scram.answer(answer),
            // Refused, or an answer to another question.
            (
                State::Plain
                | State::Login
                | State::LoginPassword { .. }
                | State::CramMd5 { .. }
                | State::Asked
                | State::Over,
                CheckAnswer::Proved(_)
                | CheckAnswer::ProvedWithSignature(..)
                | CheckAnswer::Scram(_)
                | CheckAnswer::Refused(_),
            ) => None,
        };
        scram_step(state)
    }
}

/// The client said this, without base64.
fn step(state: State, response: Zeroizing<Vec<u8>>) -> (Exchange, Step) {
    let Ok(text) = std::str::from_utf8(&response) else { return over(Outcome::Refused) };
    let check = match state {
        State::Plain => plain(text),
        State::Login => {
            let state = State::LoginPassword { user: text.to_owned() };
            return (Exchange(state), Step::Challenge(PASSWORD.to_owned()));
        }
        State::LoginPassword { user } => Some(Check::Password {
            mechanism: PasswordMechanism::Login,
            user,
            authorize_as: None,
            password: Zeroizing::new(text.to_owned()),
        }),
        State::CramMd5 { challenge } => cram_md5(challenge, text),
        State::ScramSha256(scram) => return scram_step(scram.respond(text)),
        State::Asked | State::Over => None,
    };
    match check {
        Some(check) => (Exchange(State::Asked), Step::Check(check)),
        None => over(Outcome::Refused),
    }
}

fn scram_step(next: Option<(Scram, Step)>) -> (Exchange, Step) {
    match next {
        Some((scram, step)) => (Exchange(State::ScramSha256(Box::new(scram))), step),
        None => over(Outcome::Refused),
    }
}

fn over(outcome: Outcome) -> (Exchange, Step) {
    (Exchange(State::Over), Step::Done(outcome))
}

/// `[authzid] NUL authcid NUL passwd` (RFC 4616 §2).
fn plain(message: &str) -> Option<Check> {
    let mut parts = message.split('\0');
    let (authorize_as, user, password) = (parts.next()?, parts.next()?, parts.next()?);
    parts.next().is_none().then(|| Check::Password {
        mechanism: PasswordMechanism::Plain,
        user: user.to_owned(),
        authorize_as: (!authorize_as.is_empty()).then(|| authorize_as.to_owned()),
        password: Zeroizing::new(password.to_owned()),
    })
}

/// The user, a space, and the digest in hexadecimal (RFC 2195 §2).
fn cram_md5(challenge: String, response: &str) -> Option<Check> {
    let (user, digest) = response.rsplit_once(' ')?;
    Some(Check::CramMd5 { user: user.to_owned(), challenge, digest: hexadecimal(digest)? })
}

fn hexadecimal(text: &str) -> Option<[u8; 16]> {
    let digits: Vec<u8> = text.chars().map(|c| c.to_digit(16)?.try_into().ok()).collect::<Option<_>>()?;
    let octets: Vec<u8> =
        digits.chunks(2).filter_map(|pair| Some(pair.first()? << 4 | pair.get(1)?)).collect();
    (digits.len() == 32).then_some(())?;
    octets.try_into().ok()
}

/// Octets of one line of an exchange, without its end: enough for every mechanism. With the end 12 288 (RFC 4954 §4).
pub const MAX_LINE: usize = 12_286;

/// `Username:`. Some scanners stop at anything else.
const USERNAME: &str = "VXNlcm5hbWU6";
/// `Password:`. Some scanners stop at anything else.
const PASSWORD: &str = "UGFzc3dvcmQ6";

#[cfg(test)]
mod tests;
