//! What came of a request to Graph, in sentences for the operator.

use jiff::Timestamp;

use super::Verdict;
use crate::delivery::outcome::{Handoff, Health, Outcome};
use crate::message::recipient::EnhancedStatus;
use crate::net::http::header::{DATE, HeaderName, RETRY_AFTER};
use crate::net::http::{Fault, Remedy, Response};
use crate::policy::graph::{self, Complaint, judge};
use crate::policy::webhook::{excerpt, retry_after};
use crate::wire::smtp::path::Mailbox;

/// What an answer means.
pub(super) fn verdict(at: &str, mailbox: &Mailbox, response: &Response, now: Timestamp) -> Verdict {
    let complaint = Complaint::of(&response.body);
    let wait =
        field(response, &RETRY_AFTER).and_then(|asked| retry_after(asked, field(response, &DATE), now));
    let said = said(response, &complaint);
    match judge(response.status.as_u16(), &complaint.code, wait) {
        graph::Verdict::Delivered => {
            Verdict::Message(Outcome::Delivered { text: said, handoff: Handoff::Silent })
        }
        graph::Verdict::Delayed => Verdict::Message(Outcome::Delayed {
            status: EnhancedStatus::new(4, 3, 0),
            text: format!("{at} answers {said}"),
            retry_after: wait,
        }),
        graph::Verdict::Failed(status) => {
            Verdict::Message(Outcome::Failed { status, text: format!("{at} answers {said}") })
        }
        graph::Verdict::Down => Verdict::Destination(Health::Down {
            reason: format!("{at} answers {said}; it is tried again by itself"),
        }),
        graph::Verdict::Throttled => Verdict::Destination(Health::Throttled {
            retry_after: wait,
            reason: format!("{at} wants no more for now from {mailbox}: {said}"),
        }),
        graph::Verdict::Unauthorized => operator(format!(
            "{at} refuses the token, and the one after it: {said}; check `scope`, and that the tokens are of the tenant of {mailbox}; \
             `mailslotd oauth test` shows what the token says"
        )),
        graph::Verdict::Operator(fix) => {
            operator(format!("{at} does not send from {mailbox}: {said}; {fix}"))
        }
    }
}

/// What it means that there is no answer.
pub(super) fn fault(fault: &Fault) -> Health {
    let reason = fault.to_string();
    match fault.remedy() {
        Remedy::Wait => Health::Down { reason },
        Remedy::Operator => Health::OperatorFault { reason },
    }
}

/// `403 Forbidden: ErrorAccessDenied: Access is denied.`, with the number by which Microsoft finds the request.
fn said(response: &Response, complaint: &Complaint) -> String {
    let text = if complaint.code.is_empty() {
        excerpt(&response.body)
    } else {
        excerpt(format!("{}: {}", complaint.code, complaint.message).as_bytes())
    };
    let mut said = response.status.to_string();
    if !text.is_empty() {
        said.push_str(": ");
        said.push_str(&text);
    }
    if let Some(id) = field(response, &REQUEST_ID) {
        said.push_str(" (request-id ");
        said.push_str(&excerpt(id.as_bytes()));
        said.push(')');
    }
    said
}

fn field<'r>(response: &'r Response, name: &HeaderName) -> Option<&'r str> {
    response.headers.get(name)?.to_str().ok()
}

const fn operator(reason: String) -> Verdict {
    Verdict::Destination(Health::OperatorFault { reason })
}

const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
