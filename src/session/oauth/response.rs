//! What a token endpoint answers (RFC 6749 §5).

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::refusal::{Refusal, Remedy};
use super::{AccessToken, shown, wiped};

/// A token and what came with it.
#[derive(Clone, PartialEq, Eq)]
pub struct Granted {
    /// The token.
    pub token: AccessToken,
    /// How long it is good for from now on; [`UNTOLD`] where the provider does not say.
    pub lifetime: Duration,
    /// The refresh token that replaces the one used, where the provider gives another.
    pub refresh_token: Option<Zeroizing<String>>,
    /// What it is good for, where the provider says.
    pub scope: Option<String>,
}

/// Shows no token.
impl fmt::Debug for Granted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rotated = self.refresh_token.is_some();
        f.debug_struct("Granted")
            .field("lifetime", &self.lifetime)
            .field("rotated", &rotated)
            .finish_non_exhaustive()
    }
}

/// What the answer was besides its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The HTTP status code.
    pub status: u16,
    /// Retry-After, where it was given.
    pub retry_after: Option<Duration>,
}

#[derive(Deserialize)]
struct Body {
    #[serde(default, deserialize_with = "wiped")]
    access_token: Option<Zeroizing<String>>,
    token_type: Option<String>,
    expires_in: Option<serde_json::Value>,
    #[serde(default, deserialize_with = "wiped")]
    refresh_token: Option<Zeroizing<String>>,
    scope: Option<serde_json::Value>,
    error: Option<serde_json::Value>,
    error_description: Option<String>,
}

/// What an answer means.
///
/// # Errors
/// [`Refusal`] when it brings no token: with what the provider said, and what to do about it.
pub fn parse(head: Head, body: &[u8]) -> Result<Granted, Refusal> {
    let Ok(answer) = serde_json::from_slice::<Body>(body) else { return Err(no_json(head, body)) };
    if let Some(error) = &answer.error {
        let description = answer.error_description.as_deref().unwrap_or_default();
        return Err(Refusal::of(head, error.as_str().unwrap_or("error"), description));
    }
    match head.status {
        200..=299 => granted(answer),
        _ => Err(no_json(head, body)),
    }
}

fn granted(answer: Body) -> Result<Granted, Refusal> {
    let broken = |said: String| Refusal {
        said,
        remedy: Remedy::Operator,
        cause: "this is no answer of a token endpoint",
        fix: "check token_url".into(),
    };
    let Some(token) = answer.access_token else {
        return Err(broken("an answer without access_token".to_owned()));
    };
    if answer.token_type.as_ref().is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        let kind = shown(&answer.token_type.unwrap_or_default(), 40);
        return Err(broken(format!("a token of the type {kind}, not Bearer")));
    }
    let token = AccessToken::new(&token).map_err(|error| broken(format!("a token: {error}")))?;
    let lifetime = answer.expires_in.and_then(|seconds| {
        // Some send the number as a text.
        seconds.as_u64().or_else(|| seconds.as_str().and_then(|text| text.parse().ok()))
    });
    Ok(Granted {
        token,
        lifetime: lifetime.map_or(UNTOLD, |seconds| Duration::from_secs(seconds.min(MAX_LIFETIME))),
        refresh_token: answer.refresh_token.filter(|token| !token.is_empty() && token.len() <= MAX_REFRESH),
        scope: answer.scope.and_then(|scope| words(&scope)).map(|scope| shown(&scope, 500)),
    })
}

/// A scope as text. Some send a list.
fn words(scope: &serde_json::Value) -> Option<String> {
    match scope.as_array() {
        Some(list) => {
            Some(list.iter().filter_map(serde_json::Value::as_str).collect::<Vec<&str>>().join(" "))
        }
        None => scope.as_str().map(str::to_owned),
    }
}

/// An answer of something that is no token endpoint, or of one that is not well.
fn no_json(head: Head, body: &[u8]) -> Refusal {
    // A success in a form that is not understood may have a token in it; a portal's page has none.
    let is_page = body.trim_ascii_start().starts_with(b"<");
    let quotable = if is_page || !matches!(head.status, 200..=299) { body } else { b"" };
    let excerpt = shown(&String::from_utf8_lossy(quotable.get(..MAX_EXCERPT).unwrap_or(quotable)), 120);
    let said = match &*excerpt {
        "" => format!("HTTP {}", head.status),
        excerpt => format!("HTTP {}: {excerpt}", head.status),
    };
    let (remedy, cause, fix) = match head.status {
        429 => (
            Remedy::Wait(head.retry_after),
            "it wants no more requests for now",
            "it is tried again by itself",
        ),
        500..=599 => (Remedy::Later, "the provider is not well", "it is tried again by itself"),
        407 => (Remedy::Operator, "the proxy wants a login", "check outbound_proxy"),
        300..=399 => (Remedy::Operator, "it points elsewhere, which is not followed", "check token_url"),
        404 | 405 => (Remedy::Operator, "there is no token endpoint", "check token_url and the tenant in it"),
        200..=299 => (
            Remedy::Operator,
            "this is no answer of a token endpoint",
            "check token_url, and that no proxy or portal answers in its place",
        ),
        _ => {
            (Remedy::Operator, "it refuses the request", "check token_url, and what a proxy on the way says")
        }
    };
    Refusal { said, remedy, cause, fix: fix.into() }
}

/// Where the provider does not say how long a token is good for (RFC 6749 §5.1 only recommends it): long enough to be
/// of use, and a 535 renews it in any case.
pub const UNTOLD: Duration = Duration::from_secs(10 * 60);
/// A day, in seconds; longer lives are asked anew daily.
const MAX_LIFETIME: u64 = 24 * 60 * 60;
/// Octets of a refresh token; Microsoft's have about 1 500.
const MAX_REFRESH: usize = 8 * 1024;
/// Octets of a foreign answer that are looked at for what to show.
const MAX_EXCERPT: usize = 400;

#[cfg(test)]
mod tests {
    use super::*;

    const OK: Head = Head { status: 200, retry_after: None };

    #[test]
    fn a_token_comes_with_its_lifetime_as_number_or_text_or_without() {
        for (expires, seconds) in [
            (r#","expires_in":3599"#, 3599),
            (r#","expires_in":"3599""#, 3599),
            ("", 600),
            (r#","expires_in":9e9"#, 600),
        ] {
            let body = format!(r#"{{"token_type":"bearer","access_token":"t"{expires},"ext_expires_in":1}}"#);
            let granted = parse(OK, body.as_bytes()).unwrap();
            assert_eq!(granted.lifetime.as_secs(), seconds, "{body}");
            assert_eq!(granted.refresh_token, None);
        }
    }

    #[test]
    fn a_refresh_token_that_rotates_is_handed_on_and_not_shown() {
        let body =
            br#"{"token_type":"Bearer","access_token":"sesame","refresh_token":"open","scope":"mail"}"#;
        let granted = parse(OK, body).unwrap();
        assert_eq!(granted.refresh_token.as_ref().unwrap().as_str(), "open");
        let shown = format!("{granted:?}");
        assert!(!shown.contains("sesame") && !shown.contains("open"), "{shown}");
    }

    #[test]
    fn what_is_no_token_is_said_and_its_text_is_harmless() {
        for (status, body, said, remedy) in [
            (
                200,
                "<html>Log in to\x1b[2J the hotel</html>",
                "HTTP 200: <html>Log in to [2J the hotel</html>",
                Remedy::Operator,
            ),
            (200, "{}", "an answer without access_token", Remedy::Operator),
            (
                200,
                r#"{"access_token":"t","token_type":"mac"}"#,
                "a token of the type mac, not Bearer",
                Remedy::Operator,
            ),
            (200, r#"{"access_token":"a b"}"#, "a token: it has characters", Remedy::Operator),
            (503, "", "HTTP 503", Remedy::Later),
            (302, "", "HTTP 302", Remedy::Operator),
            (404, "nothing", "HTTP 404: nothing", Remedy::Operator),
            (429, "slow", "HTTP 429: slow", Remedy::Wait(Some(Duration::from_secs(7)))),
        ] {
            let head = Head { status, retry_after: Some(Duration::from_secs(7)) };
            let refusal = parse(head, body.as_bytes()).unwrap_err();
            assert!(refusal.said.starts_with(said), "{refusal:?}");
            assert_eq!(refusal.remedy, remedy, "{refusal:?}");
        }
    }

    #[test]
    fn an_answer_that_cannot_be_read_may_hold_a_token_and_is_not_shown() {
        for body in [
            "access_token=sesame&token_type=bearer",
            r#"{"access_token":"sesame","token_type":7}"#,
            r#"{"access_token":"sesame","expires_in":3600"#,
        ] {
            let refusal = parse(OK, body.as_bytes()).unwrap_err();
            assert!(!refusal.to_string().contains("sesame"), "{refusal}");
        }
    }

    #[test]
    fn a_scope_may_be_a_list() {
        let granted = parse(OK, br#"{"access_token":"t","scope":["mail","profile"]}"#).unwrap();
        assert_eq!(granted.scope.as_deref(), Some("mail profile"));
    }

    #[test]
    fn a_token_in_a_refusal_is_none() {
        let body = br#"{"access_token":"t","error":"invalid_grant"}"#;
        assert!(parse(OK, body).unwrap_err().said.starts_with("invalid_grant"));
    }
}
