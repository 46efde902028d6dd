//! SCRAM-SHA-256 (RFC 5802, RFC 7677) without channel binding.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{MAX_ITERATIONS, SaslFault};
use crate::policy::account::keys::{self, MIN_ITERATIONS};
use crate::session::sasl::Nonce;

/// The client's side of one exchange.
pub struct Scram {
    password: Zeroizing<String>,
    /// `client-first-message-bare`.
    first_bare: String,
    nonce: Nonce,
    step: Step,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Nothing said.
    Start,
    /// Our first message is out.
    First,
    /// Our proof is out; the server's must be this.
    Proof { server_signature: [u8; 32] },
    /// The server proved itself.
    Proven,
    /// Broken off.
    Failed,
}

impl fmt::Debug for Scram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scram").finish_non_exhaustive()
    }
}

impl Scram {
    pub(super) fn new(user: &str, password: Zeroizing<String>, nonce: Nonce) -> Self {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        let first_bare = format!("n={user},r={}", nonce.0);
        Self { password, first_bare, nonce, step: Step::Start }
    }

    pub(super) fn client_first(&mut self, room: usize) -> Option<Zeroizing<Vec<u8>>> {
        let message = format!("{GS2_HEADER}{}", self.first_bare);
        (self.step == Step::Start && message.len() <= room).then(|| {
            self.step = Step::First;
            Zeroizing::new(message.into_bytes())
        })
    }

    pub(super) fn handle_challenge(&mut self, challenge: &[u8]) -> Result<Zeroizing<Vec<u8>>, SaslFault> {
        match std::mem::replace(&mut self.step, Step::Failed) {
            Step::Start => {
                self.step = Step::Start;
                self.client_first(usize::MAX).ok_or(SaslFault::TooManyChallenges)
            }
            Step::First => {
                let (message, server_signature) = self.client_final(text(challenge)?)?;
                self.step = Step::Proof { server_signature };
                Ok(message)
            }
            Step::Proof { server_signature } => {
                check_server_final(text(challenge)?, &server_signature)?;
                self.step = Step::Proven;
                Ok(Zeroizing::default())
            }
            Step::Proven | Step::Failed => Err(SaslFault::TooManyChallenges),
        }
    }

    pub(super) const fn is_proven(&self) -> bool {
        matches!(self.step, Step::Proven)
    }

    /// `client-final-message` and the signature that the server must answer with (RFC 5802 §3).
    fn client_final(&self, server_first: &str) -> Result<(Zeroizing<Vec<u8>>, [u8; 32]), SaslFault> {
        let ServerFirst { nonce, salt, iterations } = ServerFirst::parse(server_first)?;
        if nonce.strip_prefix(&self.nonce.0).is_none_or(str::is_empty) {
            return Err(SaslFault::Nonce);
        }
        let without_proof = format!("c={},r={nonce}", STANDARD.encode(GS2_HEADER));
        let auth_message = format!("{},{server_first},{without_proof}", self.first_bare);

        let salted_password = keys::salted_password(self.password.as_bytes(), &salt, iterations);
        let client_key = keys::client_key(&salted_password);
        let client_signature = keys::hmac_sha256(&keys::stored_key(&client_key), auth_message.as_bytes());
        let mut proof = client_key;
        keys::xor(&mut *proof, &client_signature);
        let server_key = keys::server_key(&salted_password);
        let message = format!("{without_proof},p={}", STANDARD.encode(proof.as_slice()));
        Ok((Zeroizing::new(message.into_bytes()), keys::hmac_sha256(&*server_key, auth_message.as_bytes())))
    }
}

/// `r=…,s=…,i=…`, and extensions after that which may be ignored.
struct ServerFirst<'a> {
    nonce: &'a str,
    salt: Vec<u8>,
    iterations: u32,
}

impl<'a> ServerFirst<'a> {
    fn parse(message: &'a str) -> Result<Self, SaslFault> {
        let mut parts = message.split(',');
        let mut attribute = |name: &str, missing| {
            parts.next().and_then(|part| part.strip_prefix(name)).ok_or(SaslFault::Malformed(missing))
        };
        let nonce = attribute("r=", "no nonce")?;
        let salt = attribute("s=", "no salt")?;
        let iterations = attribute("i=", "no iteration count")?;
        let salt = STANDARD.decode(salt).map_err(|_| SaslFault::Malformed("the salt is no base64"))?;
        let iterations =
            iterations.parse().map_err(|_| SaslFault::Malformed("the iteration count is no number"))?;
        if !(MIN_ITERATIONS..=MAX_ITERATIONS).contains(&iterations) {
            return Err(SaslFault::Iterations(iterations));
        }
        Ok(Self { nonce, salt, iterations })
    }
}

fn text(challenge: &[u8]) -> Result<&str, SaslFault> {
    std::str::from_utf8(challenge).map_err(|_| SaslFault::Malformed("no UTF-8"))
}

/// `v=<signature>` or `e=<error>`.
fn check_server_final(message: &str, expected: &[u8; 32]) -> Result<(), SaslFault> {
    if message.starts_with("e=") {
        return Err(SaslFault::Refused);
    }
    let signature = message.strip_prefix("v=").ok_or(SaslFault::Malformed("no signature"))?;
    let signature = signature.split(',').next().unwrap_or_default();
    let signature =
        STANDARD.decode(signature).map_err(|_| SaslFault::Malformed("the signature is no base64"))?;
    // No secret hangs on the time of this comparison: the value is used once.
    if signature == expected { Ok(()) } else { Err(SaslFault::Signature) }
}

/// No channel binding, no authorization identity.
const GS2_HEADER: &str = "n,,";

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 7677 §3.
    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const SERVER_FIRST: &str =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const CLIENT_FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                                p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    fn begun() -> Scram {
        let nonce = Nonce::new(NONCE).unwrap();
        let mut scram = Scram::new("user", Zeroizing::new("pencil".to_owned()), nonce);
        let first = scram.client_first(300).unwrap();
        assert_eq!(first.as_slice(), b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        scram
    }

    #[test]
    fn the_exchange_is_that_of_rfc_7677() {
        let mut scram = begun();
        let answer = scram.handle_challenge(SERVER_FIRST.as_bytes()).unwrap();
        assert_eq!(std::str::from_utf8(&answer).unwrap(), CLIENT_FINAL);
        assert!(!scram.is_proven());
        assert!(scram.handle_challenge(SERVER_FINAL.as_bytes()).unwrap().is_empty());
        assert!(scram.is_proven());
    }

    #[test]
    fn a_server_that_cannot_sign_is_not_the_server() {
        let tampered = SERVER_FINAL.replace("6rri", "7rri");
        for (last, fault) in [
            (tampered.as_str(), SaslFault::Signature),
            ("v=", SaslFault::Signature),
            ("e=invalid-proof", SaslFault::Refused),
            ("ok", SaslFault::Malformed("no signature")),
        ] {
            let mut scram = begun();
            scram.handle_challenge(SERVER_FIRST.as_bytes()).unwrap();
            assert_eq!(scram.handle_challenge(last.as_bytes()), Err(fault), "{last}");
            assert!(!scram.is_proven());
            assert_eq!(scram.handle_challenge(SERVER_FINAL.as_bytes()), Err(SaslFault::TooManyChallenges));
        }
    }

    #[test]
    fn a_hostile_first_message_is_refused_before_any_work() {
        for (first, fault) in [
            (SERVER_FIRST.replace("i=4096", "i=4095"), SaslFault::Iterations(4095)),
            (SERVER_FIRST.replace("i=4096", "i=4000000000"), SaslFault::Iterations(4_000_000_000)),
            (
                SERVER_FIRST.replace("i=4096", "i=-1"),
                SaslFault::Malformed("the iteration count is no number"),
            ),
            (SERVER_FIRST.replace("r=rO", "r=rX"), SaslFault::Nonce),
            (format!("r={NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"), SaslFault::Nonce),
            (SERVER_FIRST.replace("s=W", "s=?"), SaslFault::Malformed("the salt is no base64")),
            (format!("m=ext,{SERVER_FIRST}"), SaslFault::Malformed("no nonce")),
        ] {
            assert_eq!(begun().handle_challenge(first.as_bytes()), Err(fault), "{first}");
        }
    }

    #[test]
    fn commas_and_equals_signs_in_the_user_are_escaped() {
        let nonce = Nonce::new("n").unwrap();
        let mut scram = Scram::new("a=b,c", Zeroizing::default(), nonce);
        assert_eq!(scram.client_first(300).unwrap().as_slice(), b"n,,n=a=3Db=2Cc,r=n");
    }
}
