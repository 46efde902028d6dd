//! Stored verifiers of SCRAM-SHA-256 (RFC 5803).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::ScramParameters;
use super::keys::{
    MIN_ITERATIONS, client_key, hmac_sha256, prepare, salted_password, server_key, stored_key, xor,
};

/// What SCRAM-SHA-256 stores: `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramVerifier {
    parameters: ScramParameters,
    stored_key: [u8; 32],
    server_key: Zeroizing<[u8; 32]>,
}

/// Why a text is no verifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScramFault {
    /// SCRAM-SHA-1, for example.
    #[error("it does not begin with SCRAM-SHA-256$")]
    Kind,
    /// The parts of it are not there, or are no numbers or base64.
    #[error("it is cut off or has letters that do not belong there")]
    Malformed,
    /// Too few protect nothing (RFC 7677 §4), too many stop the clients.
    #[error("its iteration count {0} is not between {MIN_ITERATIONS} and {MAX_ITERATIONS}")]
    Iterations(u32),
}

impl ScramVerifier {
    /// Rounds for new verifiers: the client's work, not ours.
    pub const DEFAULT_ITERATIONS: u32 = 65_536;

    /// Of this password, after NFKC. `salt` must be random.
    #[must_use]
    pub fn of(password: &str, salt: [u8; 16]) -> Self {
        Self::with_iterations(password, &salt, Self::DEFAULT_ITERATIONS)
    }

    pub(super) fn with_iterations(password: &str, salt: &[u8], iterations: u32) -> Self {
        let salted = salted_password(prepare(password).as_bytes(), salt, iterations);
        Self {
            parameters: ScramParameters { salt: salt.to_vec(), iterations },
            stored_key: stored_key(&client_key(&salted)),
            server_key: server_key(&salted),
        }
    }

    /// Reads the form of RFC 5803 §3.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, ScramFault> {
        let rest = text.strip_prefix(PREFIX).ok_or(ScramFault::Kind)?;
        let (info, value) = rest.split_once('$').ok_or(ScramFault::Malformed)?;
        let (iterations, salt) = info.split_once(':').ok_or(ScramFault::Malformed)?;
        let (stored, server) = value.split_once(':').ok_or(ScramFault::Malformed)?;
        let decode = |text: &str| STANDARD.decode(text).map_err(|_| ScramFault::Malformed);
        let key = |text: &str| decode(text)?.try_into().map_err(|_| ScramFault::Malformed);
        let (salt, stored_key, server_key) = (decode(salt)?, key(stored)?, Zeroizing::new(key(server)?));
        let iterations = iterations.parse().map_err(|_| ScramFault::Malformed)?;
        if !SALT.contains(&salt.len()) {
            return Err(ScramFault::Malformed);
        }
        if !(MIN_ITERATIONS..=MAX_ITERATIONS).contains(&iterations) {
            return Err(ScramFault::Iterations(iterations));
        }
        Ok(Self { parameters: ScramParameters { salt, iterations }, stored_key, server_key })
    }

    /// One that looks like this one from outside, and that no password is known for. `salt` makes so many octets.
    pub(super) fn decoy_like(&self, salt: impl Fn(usize) -> Vec<u8>) -> Self {
        let ScramParameters { salt: like, iterations } = &self.parameters;
        Self::without_password(salt(like.len()), *iterations)
    }

    /// As [`Self::decoy_like`] where there is nothing to be like.
    pub(super) fn decoy(salt: impl Fn(usize) -> Vec<u8>) -> Self {
        Self::without_password(salt(16), Self::DEFAULT_ITERATIONS)
    }

    fn without_password(salt: Vec<u8>, iterations: u32) -> Self {
        let parameters = ScramParameters { salt, iterations };
        Self { parameters, stored_key: [0; 32], server_key: Zeroizing::default() }
    }

    /// What the client is to compute with.
    pub(super) const fn parameters(&self) -> &ScramParameters {
        &self.parameters
    }

    /// `ServerSignature`, where the client's proof is right (RFC 5802 §3). Takes the same time either way.
    pub(super) fn check(&self, auth_message: &str, proof: &[u8; 32]) -> Option<[u8; 32]> {
        let mut client_key = Zeroizing::new(*proof);
        xor(&mut *client_key, &hmac_sha256(&self.stored_key, auth_message.as_bytes()));
        let right = stored_key(&client_key).ct_eq(&self.stored_key);
        let signature = hmac_sha256(&*self.server_key, auth_message.as_bytes());
        bool::from(right).then_some(signature)
    }
}

/// The form of RFC 5803 §3.
impl fmt::Display for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ScramParameters { salt, iterations } = &self.parameters;
        let (salt, stored) = (STANDARD.encode(salt), STANDARD.encode(self.stored_key));
        write!(f, "{PREFIX}{iterations}:{salt}${stored}:{}", STANDARD.encode(*self.server_key))
    }
}

/// Shows no key: with ServerKey anybody can play the server.
impl fmt::Debug for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScramVerifier({} iterations)", self.parameters.iterations)
    }
}

const PREFIX: &str = "SCRAM-SHA-256$";
/// As much as the client of this program is willing to compute.
const MAX_ITERATIONS: u32 = 600_000;
/// Octets of salt.
const SALT: std::ops::RangeInclusive<usize> = 8..=64;

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 7677 §3.
    const PROOF: &str = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    const SIGNATURE: &str = "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
    const AUTH_MESSAGE: &str = "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
        s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";

    fn rfc_7677() -> ScramVerifier {
        ScramVerifier::with_iterations("pencil", &STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap(), 4096)
    }

    #[test]
    fn the_proof_and_the_signature_are_those_of_rfc_7677() {
        let mut proof: [u8; 32] = STANDARD.decode(PROOF).unwrap().try_into().unwrap();
        let signature = rfc_7677().check(AUTH_MESSAGE, &proof).unwrap();
        assert_eq!(STANDARD.encode(signature), SIGNATURE);
        assert_eq!(rfc_7677().check(&AUTH_MESSAGE.replace("n=user", "n=root"), &proof), None);
        proof[31] ^= 1;
        assert_eq!(rfc_7677().check(AUTH_MESSAGE, &proof), None);
    }

    #[test]
    fn a_verifier_is_read_and_written_as_rfc_5803_says() {
        let text = rfc_7677().to_string();
        assert_eq!(
            text,
            "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
        assert_eq!(ScramVerifier::parse(&text), Ok(rfc_7677()));
        for (text, fault) in [
            (text.replace("4096", "4095"), ScramFault::Iterations(4095)),
            (text.replace("4096", "4000000000"), ScramFault::Iterations(4_000_000_000)),
            (text.replace("4096", "many"), ScramFault::Malformed),
            (text.replace("SHA-256", "SHA-1"), ScramFault::Kind),
            (text.replace("W22ZaJ0SNY7soEsUEjb6gQ==", "W22Z"), ScramFault::Malformed),
            (text.replace("WG5d", ""), ScramFault::Malformed),
            (text.replace("=:wf", "=;wf"), ScramFault::Malformed),
        ] {
            assert_eq!(ScramVerifier::parse(&text), Err(fault), "{text}");
        }
    }
}
