//! Signatures by which a receiver knows who sent a request, that nobody changed it, and when (Standard Webhooks 1.0.0,
//! symmetric scheme): HMAC-SHA256 over `id.timestamp.body`, written `v1,` and base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use sha2::Sha256;
use zeroize::Zeroizing;

/// A secret that sender and receiver share. Wiped when dropped; never shown.
#[derive(Clone)]
pub struct Key(Zeroizing<Vec<u8>>);

impl Key {
    /// The key of a secret: behind `whsec_` as base64, anything else octet by octet.
    #[must_use]
    pub fn of(secret: &str) -> Self {
        let decoded = secret.strip_prefix("whsec_").and_then(|encoded| STANDARD.decode(encoded).ok());
        Self(Zeroizing::new(decoded.unwrap_or_else(|| secret.as_bytes().to_vec())))
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

/// The value of `webhook-signature` for a request with this `webhook-id`, `webhook-timestamp` (whole seconds) and body.
#[must_use]
pub fn signature(key: &Key, id: &str, at: Timestamp, body: &[u8]) -> String {
    // HMAC takes keys of any length (RFC 2104 §2).
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key.0) else { return String::new() };
    mac.update(format!("{id}.{}.", at.as_second()).as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference libraries.
    #[test]
    fn the_example_of_the_standard_has_its_signature() {
        let key = Key::of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let at = Timestamp::from_second(1_614_265_330).unwrap();
        let signed = signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn another_secret_is_taken_octet_by_octet() {
        let at = Timestamp::from_second(1).unwrap();
        assert_ne!(signature(&Key::of("a"), "i", at, b""), signature(&Key::of("b"), "i", at, b""));
        assert_eq!(format!("{:?}", Key::of("secret")), "Key(…)");
    }
}
