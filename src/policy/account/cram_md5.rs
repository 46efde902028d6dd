//! Stored secrets of CRAM-MD5 (RFC 2195): the two states of MD5 after the padded key, instead of the password.
//!
//! Whoever reads one can log in by CRAM-MD5 with it, but not by another mechanism, nor elsewhere if the password is
//! used there.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::digest::Digest as _;
use md5::Md5;
use md5::block_api::compress;
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, ZeroizeOnDrop, Zeroizing};

use super::keys::{fill, prepare, xor};

/// What CRAM-MD5 stores: `CRAM-MD5$<inner and outer state>`, 32 octets in base64.
#[derive(Clone, PartialEq, Eq)]
pub struct CramMd5Secret {
    inner: [u32; 4],
    outer: [u32; 4],
}

/// Why a text is no such secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CramMd5Fault {
    /// A password itself, for example.
    #[error("it does not begin with CRAM-MD5$")]
    Kind,
    /// Not 32 octets in base64.
    #[error("it is cut off or has letters that do not belong there")]
    Malformed,
}

impl CramMd5Secret {
    /// Of this password, after NFKC.
    #[must_use]
    pub fn of(password: &str) -> Self {
        let password = prepare(password);
        let mut key = Zeroizing::new([0; BLOCK]);
        // RFC 2104 §2: a short key is padded, a long one hashed.
        if password.len() > BLOCK {
            fill(&mut *key, &Md5::digest(password.as_bytes()));
        } else {
            fill(&mut *key, password.as_bytes());
        }
        let state = |pad: u8| {
            let mut block = key.clone();
            xor(&mut *block, &[pad; BLOCK]);
            let mut state = INITIAL;
            compress(&mut state, &[*block]);
            state
        };
        Self { inner: state(0x36), outer: state(0x5C) }
    }

    /// Reads what [`fmt::Display`] writes.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, CramMd5Fault> {
        let text = text.strip_prefix(PREFIX).ok_or(CramMd5Fault::Kind)?;
        let octets = Zeroizing::new(STANDARD.decode(text).map_err(|_| CramMd5Fault::Malformed)?);
        let (inner, outer) = octets.split_at_checked(16).ok_or(CramMd5Fault::Malformed)?;
        let state = |octets| words(octets).ok_or(CramMd5Fault::Malformed);
        Ok(Self { inner: state(inner)?, outer: state(outer)? })
    }

    /// One that no password is known for.
    pub(super) const fn decoy() -> Self {
        Self { inner: INITIAL, outer: INITIAL }
    }

    /// Whether this is HMAC-MD5 of the challenge. Takes the same time either way.
    pub(super) fn check(&self, challenge: &str, digest: &[u8; 16]) -> bool {
        let inner = finish(self.inner, challenge.as_bytes());
        bool::from(finish(self.outer, &inner).ct_eq(digest))
    }
}

impl fmt::Display for CramMd5Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.inner.iter().chain(&self.outer);
        let octets: Zeroizing<Vec<u8>> = Zeroizing::new(words.flat_map(|word| word.to_le_bytes()).collect());
        write!(f, "{PREFIX}{}", STANDARD.encode(octets.as_slice()))
    }
}

/// Shows nothing.
impl fmt::Debug for CramMd5Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CramMd5Secret")
    }
}

impl Drop for CramMd5Secret {
    fn drop(&mut self) {
        self.inner.zeroize();
        self.outer.zeroize();
    }
}

impl ZeroizeOnDrop for CramMd5Secret {}

/// MD5 of one block that led to `state`, and of `message` after it (RFC 1321 §3).
fn finish(mut state: [u32; 4], message: &[u8]) -> [u8; 16] {
    let (whole, rest) = message.as_chunks::<BLOCK>();
    compress(&mut state, whole);
    let length = u64::try_from(message.len().saturating_add(BLOCK)).unwrap_or(u64::MAX);
    let mut last = [[0; BLOCK]; 2];
    let end = last.as_flattened_mut();
    fill(end, rest);
    fill(end.get_mut(rest.len()..).unwrap_or_default(), &[0x80]);
    // The length in bits stands in the last eight octets of the one block, or of the second where the first is full.
    let blocks = if rest.len() < 56 { 1 } else { 2 };
    let place = if blocks == 1 { 56.. } else { 120.. };
    fill(end.get_mut(place).unwrap_or_default(), &length.wrapping_mul(8).to_le_bytes());
    compress(&mut state, last.get(..blocks).unwrap_or_default());
    let mut digest = [0; 16];
    for (to, word) in digest.chunks_mut(4).zip(state) {
        to.copy_from_slice(&word.to_le_bytes());
    }
    digest
}

fn words(octets: &[u8]) -> Option<[u32; 4]> {
    let (words, rest) = octets.as_chunks::<4>();
    let words: Vec<u32> = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
    if rest.is_empty() { words.try_into().ok() } else { None }
}

const PREFIX: &str = "CRAM-MD5$";
const BLOCK: usize = 64;
/// RFC 1321 §3.3.
const INITIAL: [u32; 4] = [0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476];

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit as _, Mac as _};

    use super::*;

    #[test]
    fn the_digest_is_that_of_rfc_2195() {
        let secret = CramMd5Secret::of("tanstaaftanstaaf");
        let challenge = "<1896.697170952@postoffice.reston.mci.net>";
        let mut digest = 0xb913_a602_c7ed_a7a4_95b4_e6e7_334d_3890_u128.to_be_bytes();
        assert!(secret.check(challenge, &digest));
        digest[0] ^= 1;
        assert!(!secret.check(challenge, &digest));
    }

    #[test]
    fn keys_and_challenges_of_every_length_give_what_hmac_gives() {
        for key in [0, 1, 63, 64, 65, 200] {
            let password = "k".repeat(key);
            for length in [0, 1, 55, 56, 57, 63, 64, 65, 119, 120, 128, 300] {
                let challenge = "c".repeat(length);
                let mac = Hmac::<Md5>::new_from_slice(password.as_bytes()).unwrap();
                let expected = mac.chain_update(&challenge).finalize().into_bytes().into();
                assert!(CramMd5Secret::of(&password).check(&challenge, &expected), "{key} {length}");
            }
        }
    }

    #[test]
    fn a_secret_is_read_as_it_is_written_and_shows_no_password() {
        let secret = CramMd5Secret::of("tanstaaftanstaaf");
        let text = secret.to_string();
        assert!(!text.contains("tanst") && !text.contains(&STANDARD.encode("tanst")), "{text}");
        assert_eq!(CramMd5Secret::parse(&text), Ok(secret));
        assert_eq!(CramMd5Secret::parse("tanstaaftanstaaf"), Err(CramMd5Fault::Kind));
        for text in ["CRAM-MD5$", "CRAM-MD5$?", "CRAM-MD5$AAAA", &format!("{text}AAAA")] {
            assert_eq!(CramMd5Secret::parse(text), Err(CramMd5Fault::Malformed), "{text}");
        }
    }
}
