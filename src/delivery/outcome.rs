//! What an attempt did, for each recipient and for the destination.

use std::fmt;
use std::time::Duration;

use crate::message::mail::Spooled;
use crate::message::recipient::Recipient;
pub use crate::message::recipient::RecipientNumber;
use crate::wire::smtp::status::EnhancedStatus;

/// One message and those of its recipients that one transport can serve in one go: same destination, same content.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The message.
    pub message: Spooled,
    /// Who gets it; at least one, all with the same subject.
    pub recipients: Vec<(RecipientNumber, Recipient)>,
}

/// What one attempt did for one recipient; the names are the `Action` values of RFC 3464 §2.3.3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The next hop took responsibility.
    Delivered {
        /// What it said, for the log; generic text where there is no next hop.
        text: String,
        /// Who tells the sender, where it wants to know.
        handoff: Handoff,
    },
    /// The next hop may accept later (4.y.z), or did not answer before the deadline.
    Delayed {
        /// The enhanced status code.
        status: EnhancedStatus,
        /// What the next hop said, escaped and cut to one line.
        text: String,
        /// How long the next hop asked to wait.
        retry_after: Option<Duration>,
    },
    /// The next hop never will (5.y.z). Kept as `failed` for the operator; the sender of a mail is told, of a notice
    /// the operator, as a NetBIOS name has no address.
    Failed {
        /// The enhanced status code.
        status: EnhancedStatus,
        /// What the next hop said, escaped and cut to one line.
        text: String,
    },
}

/// Who tells the sender of a mail that it was delivered (RFC 3461 §5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handoff {
    /// We do: it lies where its recipient reads it.
    Final,
    /// The next hop does: it offers DSN, and was told what the sender wants.
    Reporting,
    /// We do, and can only say that a next hop has it that gives no reports.
    Silent,
}

/// What an attempt learned about the destination itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It answered and works.
    Up,
    /// It cannot be reached or does not speak; everything for it waits for a probe.
    Down {
        /// What happened, in a sentence for the operator.
        reason: String,
    },
    /// Someone must act: a refused credential, a certificate that does not verify, no TLS where it is required. Everything
    /// for it waits; no message is blamed but one that meets this while others are taken.
    OperatorFault {
        /// What is wrong and how to mend it, in a sentence for the operator.
        reason: String,
    },
    /// It answers but wants no more for a while (quota, rate, too many connections).
    Throttled {
        /// How long to wait, where it said so.
        retry_after: Option<Duration>,
        /// What it said.
        reason: String,
    },
}

/// What came of an attempt: an entry for each of its recipients when `health` is `Up`, else possibly none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The recipients whose fate this attempt decided. Those absent stay due; they pay only where their message breaks what
    /// takes others ([`crate::policy::suspects`]).
    pub outcomes: Vec<(RecipientNumber, Outcome)>,
    /// What was learned about the destination.
    pub health: Health,
}

/// One line for logs and the queue view.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delivered { text, .. } => write!(f, "delivered: {text}"),
            Self::Delayed { status, text, .. } => write!(f, "delayed: {status} {text}"),
            Self::Failed { status, text } => write!(f, "failed: {status} {text}"),
        }
    }
}
