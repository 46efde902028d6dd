//! The JWTs that are signed here (RFC 7519): a client's proof of itself (RFC 7523 §2.2), and a service account's request
//! for a token (§2.1). What signs stands elsewhere.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::wire::oauth::Algorithm;

/// A client that proves itself by the key of a certificate.
#[derive(Debug, Clone, Copy)]
pub struct ClientAssertion<'a> {
    /// The client, which is issuer and subject.
    pub client_id: &'a str,
    /// The token endpoint, which is the audience.
    pub token_url: &'a str,
    /// The certificate in DER; the provider finds it by its SHA-256 thumbprint.
    pub certificate: &'a [u8],
    /// What signs.
    pub algorithm: Algorithm,
}

/// A service account that asks for a token.
#[derive(Debug, Clone, Copy)]
pub struct ServiceAssertion<'a> {
    /// `client_email`, the issuer.
    pub client_email: &'a str,
    /// Which of its keys signs.
    pub key_id: Option<&'a str>,
    /// The user it acts for; `None`: for itself.
    pub subject: Option<&'a str>,
    /// For what.
    pub scope: &'a str,
    /// The token endpoint, which is the audience.
    pub token_url: &'a str,
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    typ: &'static str,
    #[serde(rename = "x5t#S256", skip_serializing_if = "Option::is_none")]
    thumbprint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<&'a str>,
    aud: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<String>,
    iat: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    exp: i64,
}

impl ClientAssertion<'_> {
    /// What is to be signed. `unique` must never have been used before; `now` is the provider's time.
    #[must_use]
    pub fn to_be_signed(&self, unique: [u8; 16], now: Timestamp) -> String {
        let thumbprint = URL_SAFE_NO_PAD.encode(Sha256::digest(self.certificate));
        let header =
            Header { alg: self.algorithm.as_str(), typ: "JWT", thumbprint: Some(thumbprint), kid: None };
        let second = now.as_second();
        let claims = Claims {
            iss: self.client_id,
            sub: Some(self.client_id),
            aud: self.token_url,
            scope: None,
            jti: Some(unique.iter().map(|byte| format!("{byte:02x}")).collect()),
            iat: second,
            nbf: Some(second),
            exp: second.saturating_add(CLIENT_LIFETIME),
        };
        joined(&header, &claims)
    }
}

impl ServiceAssertion<'_> {
    /// What is to be signed by [`Algorithm::Rs256`]. `now` is the provider's time.
    #[must_use]
    pub fn to_be_signed(&self, now: Timestamp) -> String {
        let header =
            Header { alg: Algorithm::Rs256.as_str(), typ: "JWT", thumbprint: None, kid: self.key_id };
        let second = now.as_second();
        let claims = Claims {
            iss: self.client_email,
            sub: self.subject,
            aud: self.token_url,
            scope: Some(self.scope),
            jti: None,
            iat: second,
            nbf: None,
            exp: second.saturating_add(SERVICE_LIFETIME),
        };
        joined(&header, &claims)
    }
}

/// The JWT of what was signed and its signature: whoever has it is who it says while it is good.
#[must_use]
pub fn signed(to_be_signed: &str, signature: &[u8]) -> Zeroizing<String> {
    // Room for all of it, so that no part is left behind when it grows; base64 makes four of three.
    let room = to_be_signed.len().saturating_add(signature.len().saturating_mul(2)).saturating_add(8);
    let mut jwt = Zeroizing::new(String::with_capacity(room));
    jwt.push_str(to_be_signed);
    jwt.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut jwt);
    jwt
}

fn joined(header: &Header<'_>, claims: &Claims<'_>) -> String {
    let part = |json: Result<Vec<u8>, serde_json::Error>| URL_SAFE_NO_PAD.encode(json.unwrap_or_default());
    format!("{}.{}", part(serde_json::to_vec(header)), part(serde_json::to_vec(claims)))
}

/// Seconds: a request is sent at once, and Microsoft advises five to ten minutes.
const CLIENT_LIFETIME: i64 = 5 * 60;
/// Seconds; Google takes at most an hour.
const SERVICE_LIFETIME: i64 = 5 * 60;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parts(jwt: &str) -> Vec<Value> {
        let decode = |part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
        jwt.split('.').map(decode).collect()
    }

    #[test]
    fn a_client_names_its_certificate_and_itself() {
        let assertion = ClientAssertion {
            client_id: "id",
            token_url: "https://login.example/token",
            certificate: b"der",
            algorithm: Algorithm::Ps256,
        };
        let now = Timestamp::from_second(1_000).unwrap();
        let [header, claims] = parts(&assertion.to_be_signed([0xAB; 16], now)).try_into().unwrap();
        let thumbprint = "r-xLCHAfCf-DsBbRsOlJcWFbaxK8-4dWC6fZrjLfBeg";
        assert_eq!(header["alg"], "PS256");
        assert_eq!(header["x5t#S256"].as_str().unwrap().len(), thumbprint.len());
        assert_eq!(
            claims,
            json!({
                "iss": "id", "sub": "id", "aud": "https://login.example/token",
                "jti": "abababababababababababababababab", "iat": 1000, "nbf": 1000, "exp": 1300,
            })
        );
    }

    #[test]
    fn a_service_account_names_its_key_the_scope_and_whom_it_acts_for() {
        let assertion = ServiceAssertion {
            client_email: "gw@project.iam.example",
            key_id: Some("k1"),
            subject: Some("alerts@corp.example"),
            scope: "https://mail.google.com/",
            token_url: "https://oauth2.googleapis.com/token",
        };
        let now = Timestamp::from_second(1_000).unwrap();
        let [header, claims] = parts(&assertion.to_be_signed(now)).try_into().unwrap();
        assert_eq!(header, json!({ "alg": "RS256", "typ": "JWT", "kid": "k1" }));
        assert_eq!(claims["sub"], "alerts@corp.example");
        assert_eq!(claims["exp"], 1300);
        assert_eq!(*signed("a.b", &[0xFF, 0xEE]), "a.b._-4");
    }
}
