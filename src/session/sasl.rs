//! SASL (RFC 4422): proving who one is, towards the next hop ([`client`]) and by clients ([`server`]).

pub mod client;
pub mod server;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::policy::account::keys::hmac_sha256;

/// One side's part of what makes an exchange unrepeatable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nonce(String);

impl Nonce {
    /// A nonce with this text: printable ASCII without a comma, at least one character.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b',';
        (!text.is_empty() && text.bytes().all(allowed)).then(|| Self(text.to_owned()))
    }

    /// A nonce of 144 random bits.
    #[must_use]
    pub fn from_random(bytes: [u8; 18]) -> Self {
        Self(STANDARD.encode(bytes))
    }
}

/// Fresh nonces for one session's exchanges, made of one random key.
#[derive(Clone)]
pub struct Nonces {
    key: Zeroizing<[u8; 32]>,
    made: u64,
}

impl Nonces {
    /// `key` must be random, and another one for each session.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self { key: Zeroizing::new(key), made: 0 }
    }

    /// The next one; none comes twice.
    pub fn fresh(&mut self) -> Nonce {
        self.made = self.made.wrapping_add(1);
        let bytes = hmac_sha256(&*self.key, &self.made.to_be_bytes());
        Nonce::from_random(std::array::from_fn(|at| bytes.get(at).copied().unwrap_or_default()))
    }
}

/// Shows no key.
impl std::fmt::Debug for Nonces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nonces").field("made", &self.made).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_printable_and_has_no_comma() {
        assert_eq!(Nonce::new("a,b"), None);
        assert_eq!(Nonce::new(""), None);
        assert!(Nonce::new(&Nonce::from_random([0xFF; 18]).0).is_some());
    }

    #[test]
    fn no_nonce_of_a_session_comes_twice_and_none_in_another_session() {
        let (mut one, mut other) = (Nonces::new([1; 32]), Nonces::new([2; 32]));
        let nonces = [one.fresh(), one.fresh(), other.fresh(), other.fresh()];
        for (number, nonce) in nonces.iter().enumerate() {
            assert!(!nonces[..number].contains(nonce), "{nonce:?}");
        }
    }
}
