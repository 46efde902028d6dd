//! What both ends of an exchange make of a password: its preparation and the keys of SCRAM (RFC 5802) and CRAM-MD5.
//!
//! User and password are prepared by NFKC with spaces outside ASCII made ASCII ones. That is SASLprep (RFC 4013) but
//! for the characters it deletes or forbids: a soft hyphen, for example, stays and counts. A password of ASCII or of
//! plain letters is the same under both.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

/// The text with NFKC and ASCII spaces.
pub(crate) fn prepare(text: &str) -> Zeroizing<String> {
    let spaces = text.chars().map(|c| if c.is_whitespace() && !c.is_ascii() { ' ' } else { c });
    Zeroizing::new(spaces.nfkc().collect())
}

/// `Hi` of RFC 5802 §2.2: PBKDF2 with one block.
pub(crate) fn salted_password(password: &[u8], salt: &[u8], iterations: u32) -> Zeroizing<[u8; 32]> {
    let keyed = keyed(password);
    let mut block: [u8; 32] =
        keyed.clone().chain_update(salt).chain_update([0, 0, 0, 1]).finalize().into_bytes().into();
    let mut sum = Zeroizing::new(block);
    for _ in 1..iterations {
        block = keyed.clone().chain_update(block).finalize().into_bytes().into();
        xor(&mut *sum, &block);
    }
    sum
}

/// `ClientKey` of RFC 5802 §3.
pub(crate) fn client_key(salted_password: &[u8; 32]) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(hmac_sha256(salted_password, b"Client Key"))
}

/// `ServerKey` of RFC 5802 §3.
pub(crate) fn server_key(salted_password: &[u8; 32]) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(hmac_sha256(salted_password, b"Server Key"))
}

/// `StoredKey` of RFC 5802 §3.
pub(crate) fn stored_key(client_key: &[u8; 32]) -> [u8; 32] {
    Sha256::digest(client_key).into()
}

/// HMAC-SHA-256 with a key of any length.
pub(crate) fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    keyed(key).chain_update(message).finalize().into_bytes().into()
}

/// Adds `with` to `to`, bit by bit.
pub(crate) fn xor(to: &mut [u8], with: &[u8]) {
    for (to, with) in to.iter_mut().zip(with) {
        *to ^= with;
    }
}

/// Copies `from` to the front of `to`.
pub(crate) fn fill(to: &mut [u8], from: &[u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}

/// A short key is padded with zeros, a long one hashed (RFC 2104 §2); done here, no length is left to fail.
fn keyed(key: &[u8]) -> Hmac<Sha256> {
    let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
    if key.len() > block.len() {
        fill(&mut block, &Sha256::digest(key));
    } else {
        fill(&mut block, key);
    }
    Hmac::new(&block)
}

/// RFC 7677 §4 asks servers for at least so many.
pub(crate) const MIN_ITERATIONS: u32 = 4096;
