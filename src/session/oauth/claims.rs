//! What a token says of itself, for `mailslotd oauth test`.
//!
//! Only its receiver may rely on a token, and some providers make theirs unreadable. Where it is a JWT, its claims show at
//! a glance why a server refuses it: another audience, a missing role.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{AccessToken, shown};

/// The claims that say for what and for whom a token is; none of them is a secret.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenClaims {
    /// `aud`: whom it is for.
    pub audience: Option<String>,
    /// `iss`: who made it.
    pub issuer: Option<String>,
    /// `roles`: what an application may do (Microsoft).
    pub roles: Vec<String>,
    /// `scp`: what a user lets it do (Microsoft).
    pub scopes: Vec<String>,
    /// The user or the application that it stands for.
    pub principal: Option<String>,
    /// `exp`.
    pub expires_at: Option<Timestamp>,
}

impl TokenClaims {
    /// The claims, not verified; `None` for a token that is no JWT.
    #[must_use]
    pub fn of(token: &AccessToken) -> Option<Self> {
        let mut parts = token.expose().split('.');
        let (Some(_), Some(claims), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        let claims: Map<String, Value> =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
        let text = |name: &str| claims.get(name).and_then(Value::as_str).map(|text| shown(text, 200));
        let words = |name: &str| -> Vec<String> {
            match claims.get(name) {
                Some(Value::Array(items)) => {
                    items.iter().filter_map(Value::as_str).map(|item| shown(item, 80)).take(20).collect()
                }
                Some(Value::String(words)) => {
                    words.split_whitespace().map(|word| shown(word, 80)).take(20).collect()
                }
                _ => Vec::new(),
            }
        };
        let principal = ["upn", "unique_name", "email", "app_displayname", "appid", "azp", "sub"]
            .into_iter()
            .find_map(text);
        Some(Self {
            audience: text("aud").or_else(|| words("aud").into_iter().next()),
            issuer: text("iss"),
            roles: words("roles"),
            scopes: if claims.contains_key("scp") { words("scp") } else { words("scope") },
            principal,
            expires_at: claims
                .get("exp")
                .and_then(Value::as_i64)
                .and_then(|second| Timestamp::from_second(second).ok()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> AccessToken {
        AccessToken::new(&format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))).unwrap()
    }

    #[test]
    fn audience_roles_and_end_of_a_microsoft_token_are_read() {
        let claims = TokenClaims::of(&token(
            r#"{"aud":"https://outlook.office365.com","iss":"https://sts.example/","roles":["SMTP.SendAsApp"],"appid":"id","exp":1000}"#,
        ))
        .unwrap();
        assert_eq!(claims.audience.as_deref(), Some("https://outlook.office365.com"));
        assert_eq!(claims.roles, ["SMTP.SendAsApp"]);
        assert_eq!(claims.principal.as_deref(), Some("id"));
        assert_eq!(claims.expires_at.unwrap().as_second(), 1000);
    }

    #[test]
    fn a_token_that_nobody_can_read_has_no_claims_and_a_hostile_one_no_power() {
        assert_eq!(TokenClaims::of(&AccessToken::new("ya29.opaque").unwrap()), None);
        assert_eq!(TokenClaims::of(&AccessToken::new("a.b.c").unwrap()), None);
        let odd =
            TokenClaims::of(&token(r#"{"aud":["x\u001b[2J"],"scp":"a b","roles":7,"exp":"x"}"#)).unwrap();
        assert_eq!(odd.audience.as_deref(), Some("x [2J"));
        assert_eq!(odd.scopes, ["a", "b"]);
        assert_eq!((odd.roles, odd.expires_at), (Vec::new(), None));
    }
}
