//! What an error of a token endpoint means, and what an administrator of the provider does about it: a table of RFC 6749
//! §5.2 and RFC 8628 §3.5, Microsoft's AADSTS codes, and Google's descriptions.

mod known;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use super::response::Head;
use super::shown;
use known::{AGAIN, KNOWN};

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What the provider said, fit to be shown.
    pub said: String,
    /// Who can mend it.
    pub remedy: Remedy,
    /// What that means.
    pub cause: &'static str,
    /// What to do about it.
    pub fix: Cow<'static, str>,
}

/// Who can mend it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Nobody need: it passes, and is tried again.
    Later,
    /// Time: no request before so long.
    Wait(Option<Duration>),
    /// The operator, or the provider's administrator.
    Operator,
    /// The clock of this machine.
    Clock,
    /// RFC 8628 §3.5: the user has not typed the code yet.
    Pending,
    /// RFC 8628 §3.5: the same, and it was asked for too often.
    SlowDown,
}

/// "invalid_client: AADSTS7000222: … expired: the client secret has expired; make another …"
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}); {}", self.said, self.cause, self.fix)
    }
}

impl Refusal {
    /// What `error` with its description means.
    #[must_use]
    pub fn of(head: Head, error: &str, description: &str) -> Self {
        // Microsoft adds "Trace ID: … Correlation ID: … Timestamp: …" of the request, for its own support.
        let brief = description.split(['\r', '\n']).next().unwrap_or_default();
        let brief = brief.split(" Trace ID:").next().unwrap_or_default();
        let (error, brief) = (shown(error, 60), shown(brief, 300));
        let lower = brief.to_ascii_lowercase();
        let row = KNOWN.iter().find(|row| {
            (row.error.is_empty() || row.error.eq_ignore_ascii_case(&error)) && mentions(&lower, row.words)
        });
        let said = if brief.is_empty() { error } else { format!("{error}: {brief}") };
        let (remedy, cause, fix) = match (row, head.status) {
            (Some(row), _) => (row.remedy, row.cause, row.fix),
            (None, 429) => (Remedy::Wait(None), "it wants no more requests for now", AGAIN),
            (None, 500..=599) => (Remedy::Later, "the provider is not well", AGAIN),
            (None, _) => (
                Remedy::Operator,
                "this program does not know that error",
                "look it up in the provider's documents, and check the keys of auth.oauth",
            ),
        };
        let remedy = if matches!(remedy, Remedy::Wait(_)) { Remedy::Wait(head.retry_after) } else { remedy };
        Self { said, remedy, cause, fix: Cow::Borrowed(fix) }
    }
}

/// Whether the text has the words; a code such as `aadsts70011` not where it only begins a longer one.
fn mentions(text: &str, words: &str) -> bool {
    words.is_empty()
        || text.match_indices(words).any(|(at, found)| {
            let behind = text.get(at.saturating_add(found.len())..).and_then(|rest| rest.chars().next());
            !(words.starts_with("aadsts") && behind.is_some_and(|letter| letter.is_ascii_digit()))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAD: Head = Head { status: 401, retry_after: None };

    #[test]
    fn the_providers_errors_are_told_in_the_words_of_their_administrators() {
        for (error, description, remedy, fix) in [
            (
                "invalid_client",
                "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request is the client secret \
                 value, not the client secret ID, for a secret added to app 'x'. Trace ID: 1 Correlation ID: 2",
                Remedy::Operator,
                "its Value (not its Secret ID)",
            ),
            (
                "invalid_client",
                "AADSTS7000222: The provided client secret keys for app 'x' are expired.",
                Remedy::Operator,
                "make another",
            ),
            (
                "invalid_client",
                "AADSTS700024: Client assertion is not within its valid time range.",
                Remedy::Clock,
                "clock",
            ),
            (
                "unauthorized_client",
                "AADSTS700016: Application with identifier 'x' was not found",
                Remedy::Operator,
                "client_id",
            ),
            (
                "invalid_grant",
                "AADSTS700082: The refresh token has expired due to inactivity.",
                Remedy::Operator,
                "oauth login",
            ),
            (
                "invalid_scope",
                "AADSTS70011: The provided request must include a 'scope' input parameter.",
                Remedy::Operator,
                ".default",
            ),
            ("invalid_grant", "Invalid JWT Signature.", Remedy::Operator, "another key"),
            ("invalid_grant", "Token has been expired or revoked.", Remedy::Operator, "oauth login"),
            (
                "unauthorized_client",
                "Client is unauthorized to retrieve access tokens using this method, or client not authorized",
                Remedy::Operator,
                "Domain-wide delegation",
            ),
            ("temporarily_unavailable", "", Remedy::Later, "by itself"),
            ("invalid_client", "", Remedy::Operator, "client_secret_file"),
            ("weird_thing", "", Remedy::Operator, "provider's documents"),
        ] {
            let refusal = Refusal::of(BAD, error, description);
            assert_eq!(refusal.remedy, remedy, "{error} {description}");
            assert!(refusal.fix.contains(fix), "{refusal}");
            assert!(!refusal.said.contains("Trace ID"), "{refusal}");
        }
    }

    #[test]
    fn a_code_is_not_mistaken_for_a_longer_one_that_begins_with_it() {
        let refusal = Refusal::of(BAD, "invalid_grant", "AADSTS700082: expired");
        assert!(refusal.cause.contains("not used for too long"), "{refusal}");
        let refusal = Refusal::of(BAD, "invalid_grant", "AADSTS7000820: something new");
        assert_eq!(refusal.cause, "the refresh token or assertion is not valid any more");
    }

    #[test]
    fn a_status_speaks_where_the_error_is_unknown_and_how_long_to_wait_is_kept() {
        let wait = Some(Duration::from_secs(9));
        let refusal = Refusal::of(Head { status: 429, retry_after: wait }, "odd", "");
        assert_eq!(refusal.remedy, Remedy::Wait(wait));
        assert_eq!(Refusal::of(Head { status: 503, retry_after: None }, "odd", "").remedy, Remedy::Later);
    }

    #[test]
    fn every_row_is_reached_by_some_error() {
        for (number, row) in KNOWN.iter().enumerate() {
            let refusal = Refusal::of(BAD, row.error, row.words);
            assert_eq!(
                (refusal.cause, &*refusal.fix),
                (row.cause, row.fix),
                "row {number} {} {}",
                row.error,
                row.words
            );
        }
    }
}
