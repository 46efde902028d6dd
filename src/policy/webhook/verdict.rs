//! What an answer of HTTP says about a message and about its destination (RFC 9110 §15).
//!
//! | status | verdict |
//! |---|---|
//! | 2xx | delivered |
//! | 3xx | operator: nothing is sent to another place than was configured |
//! | 401, 402, 403, 407, 451 | operator: the credential, or what it may do |
//! | 404, 410 | operator: the URL |
//! | 405, 406, 411, 415, 426, 428, 501, 505, 511 | operator: method, headers or body |
//! | 408, 429 | wants no more for now |
//! | 502, 503, 504, 507, 520 to 530 | down; wants no more for now where it says for how long |
//! | 409, 421, 423, 424, 425, other 5xx | this message again later: another may well pass |
//! | 413, 414, 431 | this message never: too large |
//! | other 4xx | this message never |
//!
//! What is the operator's, or down, may still be about one message, where a filter before the service refuses what is in
//! it or the service breaks over it: whether others are taken meanwhile decides [`crate::policy::suspects`].

use std::time::Duration;

use jiff::Timestamp;

use crate::wire::http_date;
use crate::wire::smtp::status::EnhancedStatus;

/// What an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It took responsibility.
    Delivered,
    /// This message again later.
    Delayed,
    /// This message never.
    Failed(EnhancedStatus),
    /// Nothing works at present.
    Down,
    /// It wants no more for a while.
    Throttled,
    /// It sends us elsewhere.
    Redirected,
    /// Someone must act; how, for the operator.
    Operator(&'static str),
}

/// What a status says, where it came with a `Retry-After` or without.
#[must_use]
pub const fn judge(status: u16, retry_after: Option<Duration>) -> Verdict {
    match status {
        200..300 => Verdict::Delivered,
        300..400 => Verdict::Redirected,
        401 | 402 | 403 | 407 | 451 => {
            Verdict::Operator("check the credential in `headers` or `hmac`, and what it may do there")
        }
        404 | 410 => Verdict::Operator("check the URL: the service knows it no longer, or never did"),
        405 | 406 | 411 | 415 | 426 | 428 | 501 | 505 | 511 => {
            Verdict::Operator("check `method`, `headers` and `body` against what the service wants")
        }
        408 | 429 => Verdict::Throttled,
        502..=504 | 507 | 520..=530 => match retry_after {
            Some(_) => Verdict::Throttled,
            None => Verdict::Down,
        },
        409 | 421 | 423..=425 | 500..600 => Verdict::Delayed,
        413 | 414 | 431 => Verdict::Failed(EnhancedStatus::new(5, 3, 4)),
        400..500 => Verdict::Failed(EnhancedStatus::new(5, 6, 0)),
        _ => Verdict::Operator("check the URL: this is no answer of HTTP"),
    }
}

/// How long a field `Retry-After` asks to wait (RFC 9110 §10.2.3): seconds, or a time, of which the server's own clock
/// (its field `Date`) is the measure where it is known. At most [`LONGEST_WAIT`]; nothing for what is neither.
#[must_use]
pub fn retry_after(field: &str, date: Option<&str>, now: Timestamp) -> Option<Duration> {
    let field = field.trim();
    let asked = if !field.is_empty() && field.bytes().all(|octet| octet.is_ascii_digit()) {
        // More digits than fit are very long.
        Duration::from_secs(field.parse().unwrap_or(u64::MAX))
    } else {
        let until = http_date::parse(field)?;
        let their_now = date.and_then(http_date::parse).unwrap_or(now);
        Duration::try_from(until.duration_since(their_now)).unwrap_or_default()
    };
    Some(asked.min(LONGEST_WAIT))
}

/// The beginning of an answer's body as one line, escaped; empty where there is none.
#[must_use]
pub fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body.get(..MOST_READ).unwrap_or(body));
    let line: Vec<&str> = text.split_whitespace().collect();
    let line = line.join(" ");
    let shown: String = line.chars().take(MOST_SHOWN).flat_map(escaped).collect();
    if line.chars().count() > MOST_SHOWN { format!("{shown}…") } else { shown }
}

/// Quotes stay: JSON would not be readable otherwise.
fn escaped(letter: char) -> impl Iterator<Item = char> {
    let quote = matches!(letter, '"' | '\'').then_some(letter);
    let other = quote.is_none().then(|| letter.escape_debug());
    quote.into_iter().chain(other.into_iter().flatten())
}

/// A server that asks for more is asked again after this.
pub const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);
const MOST_READ: usize = 2048;
const MOST_SHOWN: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_its_verdict() {
        let too_large = Verdict::Failed(EnhancedStatus::new(5, 3, 4));
        let never = Verdict::Failed(EnhancedStatus::new(5, 6, 0));
        for (statuses, expected) in [
            (&[200, 201, 202, 204, 299][..], Verdict::Delivered),
            (&[300, 301, 302, 304, 307, 308], Verdict::Redirected),
            (&[408, 429], Verdict::Throttled),
            (&[502, 503, 504, 507, 521, 530], Verdict::Down),
            (&[409, 421, 423, 425, 500, 508, 599], Verdict::Delayed),
            (&[413, 414, 431], too_large),
            (&[400, 418, 422, 499], never),
        ] {
            for status in statuses {
                assert_eq!(judge(*status, None), expected, "{status}");
            }
        }
        for status in [401, 402, 403, 404, 405, 407, 410, 415, 451, 501, 505, 511, 100, 999] {
            assert!(matches!(judge(status, None), Verdict::Operator(_)), "{status}");
        }
        assert_eq!(judge(503, Some(Duration::from_secs(9))), Verdict::Throttled);
    }

    #[test]
    fn retry_after_is_seconds_or_a_time_by_the_servers_clock_and_never_endless() {
        let now = Timestamp::from_second(784_111_777).unwrap();
        let asked = |field, date| retry_after(field, date, now).map(|wait| wait.as_secs());
        assert_eq!(asked("120", None), Some(120));
        assert_eq!(asked(" 0 ", None), Some(0));
        assert_eq!(asked("999999999999999999999999", None), Some(86_400));
        assert_eq!(asked("Sun, 06 Nov 1994 08:50:37 GMT", None), Some(60));
        assert_eq!(asked("Sun, 06 Nov 1994 08:50:37 GMT", Some("Sun, 06 Nov 1994 08:50:07 GMT")), Some(30));
        assert_eq!(asked("Sun, 06 Nov 1993 08:50:37 GMT", None), None, "that was a Saturday");
        assert_eq!(asked("Sat, 06 Nov 1993 08:50:37 GMT", None), Some(0));
        for neither in ["", "-1", "1.5", "soon", "+5"] {
            assert_eq!(asked(neither, None), None, "{neither}");
        }
    }

    #[test]
    fn an_answer_is_shown_as_one_short_escaped_line() {
        assert_eq!(excerpt(b" {\"error\":\r\n  \"no\x1b[31m\"}\n"), "{\"error\": \"no\\u{1b}[31m\"}");
        assert_eq!(excerpt(b""), "");
        let long = excerpt("電".repeat(5000).as_bytes());
        assert_eq!(long.chars().count(), 201);
        assert!(long.ends_with("電…"));
    }
}
