//! Parameters of MAIL and RCPT for delivery status notifications (RFC 3461 §4).

use serde::{Deserialize, Serialize};

/// When a sender wants a report about one recipient (NOTIFY, RFC 3461 §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Notify {
    /// Under no circumstances.
    Never,
    /// On these events and no others.
    On {
        /// When it was delivered, or passed on to a next hop that cannot report.
        success: bool,
        /// When it was not and will not be.
        failure: bool,
        /// When it is late.
        delay: bool,
    },
}

impl Notify {
    /// What holds when the sender says nothing: RFC 3461 §4.1 leaves delay to the server; only failure is reported.
    pub const DEFAULT: Self = Self::On { success: false, failure: true, delay: false };

    /// Whether a failure is to be reported.
    #[must_use]
    pub const fn wants_failure(self) -> bool {
        matches!(self, Self::On { failure: true, .. })
    }

    /// Whether a delay is to be reported.
    #[must_use]
    pub const fn wants_delay(self) -> bool {
        matches!(self, Self::On { delay: true, .. })
    }

    /// Whether success is to be reported.
    #[must_use]
    pub const fn wants_success(self) -> bool {
        matches!(self, Self::On { success: true, .. })
    }
}

/// What of the message a report carries (RET, RFC 3461 §4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ret {
    /// All of it.
    Full,
    /// Its header.
    Headers,
}

/// What a sender wants reported about one recipient, as RCPT brought it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RecipientDsn {
    /// NOTIFY; `None` when it was not given, which means [`Notify::DEFAULT`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<Notify>,
    /// ORCPT as it came, still in xtext: `rfc822;user@example.com` (RFC 3461 §4.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orcpt: Option<String>,
}
