//! What an answer of Microsoft Graph to `sendMail` means, by its status and the code in its body.
//!
//! The codes are those of Exchange and of Graph itself (Microsoft Graph error responses; `EWS ResponseCode`); what is not
//! known goes by its status.

use std::time::Duration;

use serde::Deserialize;

use crate::wire::smtp::status::EnhancedStatus;

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is in the mailbox's outbox.
    Delivered,
    /// The token is not good (any more).
    Unauthorized,
    /// This message never.
    Failed(EnhancedStatus),
    /// This message again later.
    Delayed,
    /// Nothing works at present.
    Down,
    /// It wants no more for a while.
    Throttled,
    /// Someone must act; how, for the operator.
    Operator(&'static str),
}

/// What the body of an answer says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Complaint {
    /// `ErrorAccessDenied` and so on; empty where there is none.
    #[serde(default)]
    pub code: String,
    /// In words; may name mailboxes.
    #[serde(default)]
    pub message: String,
}

#[derive(Deserialize)]
struct Body {
    error: Complaint,
}

impl Complaint {
    /// What a body says; nothing where it is no answer of Graph's.
    #[must_use]
    pub fn of(body: &[u8]) -> Self {
        serde_json::from_slice::<Body>(body).map(|body| body.error).unwrap_or_default()
    }
}

/// What an answer means.
#[must_use]
pub fn judge(status: u16, code: &str, retry_after: Option<Duration>) -> Verdict {
    if let 200..300 = status {
        return Verdict::Delivered;
    }
    let known = KNOWN.iter().find(|(codes, _)| codes.contains(&code));
    known.map_or_else(|| by_status(status, retry_after), |(_, verdict)| *verdict)
}

const fn by_status(status: u16, retry_after: Option<Duration>) -> Verdict {
    match status {
        200..300 => Verdict::Delivered,
        401 => Verdict::Unauthorized,
        403 => Verdict::Operator(PERMISSION),
        404 => Verdict::Operator(MAILBOX),
        408 | 429 => Verdict::Throttled,
        409 | 423 => Verdict::Delayed,
        413 => Verdict::Failed(TOO_LARGE),
        500..600 => match retry_after {
            Some(_) => Verdict::Throttled,
            None => Verdict::Down,
        },
        400 | 422 => Verdict::Failed(CONTENT),
        _ => Verdict::Operator("check `url` and the proxies on the way: Graph does not answer so"),
    }
}

/// Codes whose meaning the status hides.
const KNOWN: [(&[&str], Verdict); 8] = [
    (&["ErrorMessageSizeExceeded", "RequestEntityTooLarge"], Verdict::Failed(TOO_LARGE)),
    (&["ErrorInvalidRecipients"], Verdict::Failed(INVALID_RECIPIENT)),
    (&["InvalidAuthenticationToken", "AuthenticationError"], Verdict::Unauthorized),
    (&["ErrorAccessDenied", "Authorization_RequestDenied"], Verdict::Operator(PERMISSION)),
    (
        &["ErrorSendAsDenied"],
        Verdict::Operator("set `from.address` to the mailbox itself, or grant the mailbox Send As"),
    ),
    (
        &[
            "ErrorInvalidUser",
            "MailboxNotEnabledForRESTAPI",
            "ErrorNonExistentMailbox",
            "Request_ResourceNotFound",
        ],
        Verdict::Operator(MAILBOX),
    ),
    (
        &["ErrorAccountSuspend", "ErrorAccountSuspendShowTierUpgrade"],
        Verdict::Operator(
            "take the mailbox off the restricted users in the Defender portal, and look why it is there",
        ),
    ),
    (
        &[
            "ErrorQuotaExceeded",
            "ErrorMessageSubmissionBlocked",
            "ErrorExceededMessageLimit",
            "ApplicationThrottled",
        ],
        Verdict::Throttled,
    ),
];

/// At least one of the recipients is none to Graph; it does not say which, and sends to nobody.
pub const INVALID_RECIPIENT: EnhancedStatus = EnhancedStatus::new(5, 1, 3);

const PERMISSION: &str = "grant the application the permission Mail.Send with an administrator's consent, and let it use this mailbox (Exchange RBAC \
                          for applications, or its access policy)";
const MAILBOX: &str =
    "check `mailbox`: it must be a mailbox of Exchange Online in the tenant that gives the tokens";
const TOO_LARGE: EnhancedStatus = EnhancedStatus::new(5, 3, 4);
const CONTENT: EnhancedStatus = EnhancedStatus::new(5, 6, 0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_count_before_statuses() {
        for (status, code, expected) in [
            (202, "", Verdict::Delivered),
            (401, "", Verdict::Unauthorized),
            (400, "ErrorMessageSizeExceeded", Verdict::Failed(TOO_LARGE)),
            (413, "", Verdict::Failed(TOO_LARGE)),
            (400, "ErrorInvalidRecipients", Verdict::Failed(EnhancedStatus::new(5, 1, 3))),
            (400, "ErrorMimeContentInvalid", Verdict::Failed(CONTENT)),
            (403, "ErrorAccessDenied", Verdict::Operator(PERMISSION)),
            (403, "", Verdict::Operator(PERMISSION)),
            (404, "ErrorInvalidUser", Verdict::Operator(MAILBOX)),
            (429, "ApplicationThrottled", Verdict::Throttled),
            (429, "", Verdict::Throttled),
            (503, "", Verdict::Down),
            (500, "ErrorInternalServerError", Verdict::Down),
            (409, "", Verdict::Delayed),
        ] {
            assert_eq!(judge(status, code, None), expected, "{status} {code}");
        }
        assert_eq!(judge(503, "", Some(Duration::from_secs(9))), Verdict::Throttled);
        assert!(matches!(judge(302, "", None), Verdict::Operator(_)));
    }

    #[test]
    fn a_body_that_is_none_of_graphs_says_nothing() {
        let said = Complaint::of(
            br#"{"error":{"code":"ErrorAccessDenied","message":"Access is denied.","innerError":{}}}"#,
        );
        assert_eq!((said.code.as_str(), said.message.as_str()), ("ErrorAccessDenied", "Access is denied."));
        for other in [&b"<html>"[..], b"", b"{}", br#"{"error":"x"}"#] {
            assert_eq!(Complaint::of(other), Complaint::default());
        }
    }
}
