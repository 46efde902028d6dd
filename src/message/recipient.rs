//! Where one copy of a message goes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::id::DestinationName;
pub use crate::wire::smtp::dsn::RecipientDsn;
pub use crate::wire::smtp::status::EnhancedStatus;

/// The place of a recipient in its message, from 0; standby copies are numbered after all first copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecipientNumber(pub u32);

/// Where one copy goes: a destination and an address in that destination's own terms.
///
/// Rendered from a rule's templates when the message was mapped, so a later change of the rules does not change where
/// an accepted message goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// The destination.
    pub via: DestinationName,
    /// A mailbox for submission, a folder for a Maildir, a name for displays, a subject, routing key, topic or stream for
    /// a broker.
    pub to: String,
    /// The recipient that the envelope of a mail named, where `to` is no mailbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mailbox: Option<String>,
    /// The subject of the mail, where the rule sets one; no line breaks or other controls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Who gets it instead when this copy is not delivered in time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub otherwise: Vec<Standby>,
    /// What the sender of a mail wants reported about it.
    #[serde(default)]
    pub dsn: RecipientDsn,
}

impl Recipient {
    /// A copy without a subject of its own, without standby and without wishes for reports.
    #[must_use]
    pub fn new(via: DestinationName, to: impl Into<String>) -> Self {
        Self {
            via,
            to: to.into(),
            mailbox: None,
            subject: None,
            otherwise: Vec::new(),
            dsn: RecipientDsn::default(),
        }
    }

    /// The recipient that the envelope of a mail named, as far as it is known.
    #[must_use]
    pub fn mailbox(&self) -> Option<&str> {
        self.mailbox.as_deref().or(Some(&*self.to).filter(|to| to.contains('@')))
    }
}

/// A copy that is sent only when the one before it was not delivered within `after`, or failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standby {
    /// How long the first copy has, from acceptance.
    pub after: Duration,
    /// Where the standby copy goes; its own `otherwise` is empty.
    pub recipient: Recipient,
}
