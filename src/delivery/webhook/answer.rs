//! What came of a request, in sentences for the operator.

use std::time::Duration;

use jiff::Timestamp;

use super::Verdict;
use super::hidden::Hidden;
use crate::delivery::outcome::{Handoff, Health, Outcome};
use crate::message::recipient::EnhancedStatus;
use crate::net::http::header::{DATE, HeaderName, LOCATION, RETRY_AFTER};
use crate::net::http::{Fault, Remedy, Response};
use crate::policy::webhook::{self, excerpt, judge, retry_after};

/// What an answer of the service at `at` means, told without what is `hidden`.
pub(super) fn verdict(at: &str, response: &Response, hidden: &Hidden, now: Timestamp) -> Verdict {
    let wait = asked(response, now);
    let said = said(response, hidden);
    match judge(response.status.as_u16(), wait) {
        webhook::Verdict::Delivered => {
            Verdict::Message(Outcome::Delivered { text: said, handoff: Handoff::Silent })
        }
        webhook::Verdict::Delayed => Verdict::Message(Outcome::Delayed {
            status: EnhancedStatus::new(4, 3, 0),
            text: format!("{at} answers {said}"),
            retry_after: wait,
        }),
        webhook::Verdict::Failed(status) => Verdict::failed(status, format!("{at} answers {said}")),
        webhook::Verdict::Down => Verdict::Destination(Health::Down {
            reason: format!("{at} answers {said}; look into that service, it is tried again by itself"),
        }),
        webhook::Verdict::Throttled => Verdict::Destination(Health::Throttled {
            retry_after: wait,
            reason: format!("{at} wants no more for now: {said}"),
        }),
        webhook::Verdict::Redirected => {
            operator(format!("{at} sends us elsewhere: {said}; {}", elsewhere(response, hidden)))
        }
        webhook::Verdict::Operator(fix) => operator(format!("{at} answers {said}; {fix}")),
    }
}

/// What it means that there is no answer.
pub(super) fn fault(fault: &Fault) -> Verdict {
    let reason = fault.to_string();
    match fault.remedy() {
        Remedy::Wait => Verdict::Destination(Health::Down { reason }),
        Remedy::Operator => operator(reason),
    }
}

/// `404 Not Found: "no such hook"`.
fn said(response: &Response, hidden: &Hidden) -> String {
    let text = excerpt(hidden.leave_out(&String::from_utf8_lossy(&response.body)).as_bytes());
    if text.is_empty() { response.status.to_string() } else { format!("{}: {text}", response.status) }
}

fn asked(response: &Response, now: Timestamp) -> Option<Duration> {
    retry_after(field(response, &RETRY_AFTER)?, field(response, &DATE), now)
}

fn field<'r>(response: &'r Response, name: &HeaderName) -> Option<&'r str> {
    response.headers.get(name)?.to_str().ok()
}

/// The address without its query, in which a service may hand out a secret.
fn elsewhere(response: &Response, hidden: &Hidden) -> String {
    let Some(location) = field(response, &LOCATION) else {
        return "correct the URL".to_owned();
    };
    let bare = location.split(['?', '#']).next().unwrap_or_default();
    let shown: String =
        hidden.leave_out(bare).chars().take(MOST_LOCATION).flat_map(char::escape_debug).collect();
    format!("if {shown} is right, write that in the URL: redirects are not followed")
}

const fn operator(reason: String) -> Verdict {
    Verdict::Destination(Health::OperatorFault { reason })
}

/// Characters of an address that are shown.
const MOST_LOCATION: usize = 200;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::net::http::header::HeaderValue;
    use crate::net::http::{Extent, HeaderMap, StatusCode};

    #[test]
    fn a_service_that_repeats_its_secret_url_does_not_bring_it_into_the_log() {
        let hidden = Hidden::in_target("/services/sesame-open");
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, HeaderValue::from_static("https://hooks.example/services/sesame-open/"));
        let body = Bytes::from_static(b"Cannot POST /services/sesame-open");
        for status in [200, 308, 400, 404, 500] {
            let status = StatusCode::from_u16(status).unwrap();
            let response =
                Response { status, headers: headers.clone(), body: body.clone(), extent: Extent::Whole };
            let verdict = verdict("hooks.example:443", &response, &hidden, Timestamp::UNIX_EPOCH);
            assert!(!format!("{verdict:?}").contains("sesame"), "{verdict:?}");
        }
    }
}
