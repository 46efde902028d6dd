//! A login by a code that a person types into any browser (RFC 8628), for hosts without one.

use std::time::{Duration, Instant};

use serde::Deserialize;
use zeroize::Zeroizing;

use super::refusal::{Refusal, Remedy};
use super::response::{Granted, Head, parse};
use super::{shown, wiped};

/// What the person is told, and what the login is polled with (RFC 8628 §3.2).
#[derive(Debug, Clone)]
pub struct Invitation {
    /// Secret; between us and the provider.
    pub device_code: Zeroizing<String>,
    /// What to type.
    pub user_code: String,
    /// Where to type it.
    pub verification_uri: String,
    /// The same with the code in it, where the provider has it.
    pub complete_uri: Option<String>,
    lifetime: Duration,
    interval: Duration,
}

#[derive(Deserialize)]
struct Body {
    #[serde(default, deserialize_with = "wiped")]
    device_code: Option<Zeroizing<String>>,
    user_code: Option<String>,
    verification_uri: Option<String>,
    /// Google's name for it.
    verification_url: Option<String>,
    verification_uri_complete: Option<String>,
    expires_in: Option<serde_json::Value>,
    interval: Option<serde_json::Value>,
}

impl Invitation {
    /// The answer of a device authorization endpoint.
    ///
    /// # Errors
    /// When it is none: with what the provider said, and what to do about it.
    pub fn parse(head: Head, body: &[u8]) -> Result<Self, Refusal> {
        let answer: Option<Body> = serde_json::from_slice(body).ok();
        if let (200, Some(answer)) = (head.status, answer)
            && let (Some(device_code), Some(user_code)) = (answer.device_code, answer.user_code)
            && let Some(uri) = answer.verification_uri.or(answer.verification_url)
        {
            return Ok(Self {
                device_code,
                user_code: shown(&user_code, 40),
                verification_uri: shown(&uri, 200),
                complete_uri: answer.verification_uri_complete.map(|uri| shown(&uri, 300)),
                lifetime: answer.expires_in.map_or(LIFETIME, |told| seconds(&told)).min(MAX_LIFETIME),
                interval: answer.interval.map_or(INTERVAL, |told| seconds(&told)).clamp(LEAST_WAIT, MAX_WAIT),
            });
        }
        Err(match parse(head, body) {
            Err(refusal) => refusal,
            Ok(_) => Refusal {
                said: "a token where a code should be".to_owned(),
                remedy: Remedy::Operator,
                cause: "this is no device authorization endpoint",
                fix: "check device_url".into(),
            },
        })
    }
}

/// The wait for the person.
#[derive(Debug)]
pub struct DeviceLogin {
    interval: Duration,
    next: Instant,
    end: Instant,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Ask again at this time.
    Ask(Instant),
    /// The login is done.
    Done(Granted),
    /// It will not be.
    Over(Refusal),
}

impl DeviceLogin {
    /// The wait that begins now.
    #[must_use]
    pub fn new(invitation: &Invitation, now: Instant) -> Self {
        let later = |wait| now.checked_add(wait).unwrap_or(now);
        Self {
            interval: invitation.interval,
            next: later(invitation.interval),
            end: later(invitation.lifetime),
        }
    }

    /// When to ask first.
    #[must_use]
    pub const fn first(&self) -> Instant {
        self.next
    }

    /// What an answer of the token endpoint means; `None`: it could not be asked this time.
    ///
    /// What a provider wants waited is kept to, up to [`MAX_WAIT`]: the person waits too.
    #[must_use]
    pub fn handle_answer(&mut self, now: Instant, answer: Option<Result<Granted, Refusal>>) -> Step {
        match answer {
            Some(Ok(granted)) => return Step::Done(granted),
            Some(Err(refusal)) => match refusal.remedy {
                Remedy::Pending => {}
                // RFC 8628 §3.5: five seconds more from here on.
                Remedy::SlowDown => self.interval = self.interval.saturating_add(Duration::from_secs(5)),
                Remedy::Wait(wait) => self.interval = self.interval.max(wait.unwrap_or_default()),
                Remedy::Later => self.back_off(),
                Remedy::Operator | Remedy::Clock => return Step::Over(refusal),
            },
            None => self.back_off(),
        }
        if now >= self.end {
            return Step::Over(Refusal {
                said: "nobody typed the code in time".to_owned(),
                remedy: Remedy::Operator,
                cause: "it is not valid any more",
                fix: "begin again".into(),
            });
        }
        self.interval = self.interval.min(MAX_WAIT);
        self.next = now.checked_add(self.interval).unwrap_or(self.end);
        Step::Ask(self.next)
    }

    /// RFC 8628 §3.5: a connection that fails is tried ever more slowly.
    fn back_off(&mut self) {
        let slower = self.interval.saturating_mul(2).min(Duration::from_secs(60));
        self.interval = self.interval.max(slower);
    }
}

/// A number of seconds, whole or not, that some write as a text. One that says nothing is none at all.
fn seconds(told: &serde_json::Value) -> Duration {
    let number = told.as_f64().or_else(|| told.as_str().and_then(|text| text.parse().ok()));
    let number = number.map(|number| number.clamp(0.0, MAX_LIFETIME.as_secs_f64()));
    number.and_then(|number| Duration::try_from_secs_f64(number).ok()).unwrap_or_default()
}

/// The longest wait between two questions, whatever a provider wants.
pub const MAX_WAIT: Duration = Duration::from_secs(5 * 60);
/// RFC 8628 §3.2: what holds where the provider does not say.
const INTERVAL: Duration = Duration::from_secs(5);
/// However often a provider lets itself be asked.
const LEAST_WAIT: Duration = Duration::from_secs(1);
/// Where the provider does not say.
const LIFETIME: Duration = Duration::from_secs(15 * 60);
/// Nobody types a code later.
const MAX_LIFETIME: Duration = Duration::from_secs(60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    const OK: Head = Head { status: 200, retry_after: None };

    fn invitation() -> Invitation {
        let body = br#"{"device_code":"d","user_code":"ABCD-1234","verification_url":"https://x.example/device","expires_in":60,"interval":5}"#;
        Invitation::parse(OK, body).unwrap()
    }

    #[test]
    fn the_person_is_told_where_and_what_to_type() {
        let invitation = invitation();
        assert_eq!(invitation.user_code, "ABCD-1234");
        assert_eq!(invitation.verification_uri, "https://x.example/device");
        let error = br#"{"error":"invalid_client","error_description":"AADSTS7000218: The request body must contain"}"#;
        let refusal = Invitation::parse(Head { status: 400, retry_after: None }, error).unwrap_err();
        assert!(refusal.fix.contains("public client flows"), "{refusal}");
    }

    #[test]
    fn it_is_asked_no_more_often_than_the_provider_wants_and_not_for_ever() {
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        let start = Instant::now();
        let mut login = DeviceLogin::new(&invitation(), start);
        assert_eq!(login.first() - start, Duration::from_secs(5));
        let bad = Head { status: 400, retry_after: None };
        let answer = |error: &str| Some(Err(Refusal::of(bad, error, "")));
        let mut now = login.first();
        let mut waits = Vec::new();
        for error in ["authorization_pending", "slow_down", "authorization_pending"] {
            let Step::Ask(next) = login.handle_answer(now, answer(error)) else { panic!("{error}") };
            waits.push((next - now).as_secs());
            now = next;
        }
        assert_eq!(waits, [5, 10, 10]);
        assert!(matches!(login.handle_answer(start + Duration::from_secs(61), None), Step::Over(_)));
    }

    #[test]
    fn a_wait_that_is_never_over_is_cut_and_does_not_turn_into_none() {
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        let start = Instant::now();
        for seconds in [301, 1 << 40, u64::MAX] {
            let mut login = DeviceLogin::new(&invitation(), start);
            let busy = Head { status: 429, retry_after: Some(Duration::from_secs(seconds)) };
            let answer = parse(busy, b"slow down");
            assert_eq!(login.handle_answer(start, Some(answer)), Step::Ask(start + MAX_WAIT), "{seconds}");
            assert_eq!(login.handle_answer(start, None), Step::Ask(start + MAX_WAIT), "backs off no lower");
        }
    }

    #[test]
    fn whatever_a_provider_says_of_times_the_code_is_shown_and_asked_for_in_time() {
        let told = |times: &str| {
            let body = format!(
                r#"{{"device_code":"d","user_code":"A","verification_uri":"https://x.example"{times}}}"#
            );
            let Invitation { lifetime, interval, .. } = Invitation::parse(OK, body.as_bytes()).unwrap();
            (lifetime.as_secs(), interval.as_secs())
        };
        for (times, expected) in [
            ("", (900, 5)),
            (r#","expires_in":"600","interval":"7""#, (600, 7)),
            (r#","expires_in":600.0,"interval":7.5"#, (600, 7)),
            (r#","expires_in":1e300,"interval":1e300"#, (3600, 300)),
            (r#","expires_in":18446744073709551616,"interval":18446744073709551615"#, (3600, 300)),
            (r#","expires_in":-1,"interval":-1"#, (0, 1)),
        ] {
            assert_eq!(told(times), expected, "{times}");
        }
    }

    #[test]
    fn a_login_ends_when_it_is_granted_or_declined() {
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        let now = Instant::now();
        let mut login = DeviceLogin::new(&invitation(), now);
        let bad = Head { status: 400, retry_after: None };
        let declined = Some(Err(Refusal::of(bad, "access_denied", "")));
        assert!(matches!(login.handle_answer(now, declined), Step::Over(_)));
        let granted = parse(OK, br#"{"access_token":"t","refresh_token":"r"}"#);
        assert!(matches!(login.handle_answer(now, Some(granted)), Step::Done(_)));
    }
}
