//! What an operator sees of the spool and does to it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::job::Kind;
use super::local::{Local, Purpose, now};
use super::{SpoolError, queries};
use crate::message::id::{DestinationName, QueueId, RuleName};
use crate::message::mail::{Class, Priority, Spooled};
use crate::message::recipient::{Recipient, RecipientDsn, RecipientNumber};
pub use crate::telemetry::metrics::SpoolState;

/// Which copies to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Only those for this destination.
    pub destination: Option<DestinationName>,
    /// Only those in this state.
    pub state: Option<SpoolState>,
    /// Only those after this one: the last of the page before.
    pub after: Option<(QueueId, RecipientNumber)>,
    /// At most so many; never more than [`Filter::PAGE`].
    pub limit: usize,
}

impl Filter {
    /// The longest list: reading must not keep the log from being folded into the database.
    pub const PAGE: usize = 1000;
}

/// Which messages an action is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// This one.
    One(QueueId),
    /// All that are delayed or failed.
    All,
}

/// Where a message lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// In the spool that deliveries go out from: this machine's, or that of its group.
    #[default]
    Spool,
    /// In the local spool of a gateway of a group, which took it while that of the group did not answer. It goes there by
    /// itself, and nothing is delivered from here.
    Local,
}

/// One copy as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copy {
    /// The message.
    pub id: QueueId,
    /// Which of its recipients.
    pub number: RecipientNumber,
    /// The destination.
    pub destination: DestinationName,
    /// The address in the destination's own terms.
    pub address: String,
    /// The mailbox that RCPT named, of mail whose address here is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mailbox: Option<String>,
    /// Its state.
    pub state: SpoolState,
    /// When the next attempt is due; only while queued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// The copy that this one stands by for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standby_of: Option<RecipientNumber>,
    /// Attempts that did not deliver.
    pub attempts: u32,
    /// When the last of them ended, or the state last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_at: Option<Timestamp>,
    /// The enhanced status code of the last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// What the last attempt met, in a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// How urgent its message is.
    pub priority: Priority,
    /// What kind of sender its message comes from.
    pub class: Class,
    /// The rule that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleName>,
    /// When its message was accepted.
    pub accepted_at: Timestamp,
    /// When it is given up.
    pub expires_at: Timestamp,
    /// How many bytes its message has in the spool, all copies together.
    pub bytes: u64,
    /// What its sender wants reported.
    #[serde(default, skip_serializing_if = "is_default")]
    pub dsn: RecipientDsn,
    /// Where its message lies.
    #[serde(default, skip_serializing_if = "is_default")]
    pub place: Place,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// One message with all that is left of its copies; delivered ones are gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// Its number.
    pub id: QueueId,
    /// Its body as it lies in the database: JSON, or what is left of it where the message is corrupt.
    pub body: String,
    /// Its copies, by number.
    pub copies: Vec<Copy>,
}

/// A message taken out of the queue for the operator's own use; it stays in the spool.
#[derive(Debug, Clone)]
pub struct Exported {
    /// The message.
    pub message: Spooled,
    /// Its undelivered recipients.
    pub recipients: Vec<(RecipientNumber, Recipient)>,
}

/// A destination that the operator stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// The destination.
    pub destination: DestinationName,
    /// Since when.
    pub since: Timestamp,
    /// By whom: a user name, for people.
    pub by: String,
}

/// The spool in figures, as of its last commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// Messages, whatever became of their copies.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the message was accepted that waits longest.
    pub oldest_waiting: Option<Timestamp>,
    /// Copies by destination and state, none without any.
    pub copies: Vec<(DestinationName, SpoolState, u64)>,
}

#[cfg(feature = "nats")]
impl Figures {
    /// With those of another store, whose messages are others.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.messages = self.messages.saturating_add(other.messages);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.oldest_waiting = match (self.oldest_waiting, other.oldest_waiting) {
            (Some(one), Some(another)) => Some(one.min(another)),
            (one, another) => one.or(another),
        };
        for (destination, state, count) in other.copies {
            let mut here = self.copies.iter_mut();
            let same = here.find(|(name, each, _)| *name == destination && *each == state);
            match same {
                Some((.., copies)) => *copies = copies.saturating_add(count),
                None => self.copies.push((destination, state, count)),
            }
        }
        self
    }
}

/// For the operator.
impl Local {
    /// See [`super::Spool::list`].
    pub(super) async fn list(&self, filter: Filter) -> Result<Vec<Copy>, SpoolError> {
        self.ask(move |connection| queries::list(connection, &filter)).await
    }

    /// See [`super::Spool::show`].
    pub(super) async fn show(&self, id: QueueId) -> Result<Option<Shown>, SpoolError> {
        self.ask(move |connection| queries::show(connection, id)).await
    }

    /// See [`super::Spool::retry`].
    pub(super) async fn retry(&self, which: Which) -> Result<u64, SpoolError> {
        let now = now();
        self.change(Kind::Settle, move |transaction| transaction.retry(which, now)).await
    }

    /// See [`super::Spool::hold`].
    pub(super) async fn hold(&self, id: QueueId) -> Result<u64, SpoolError> {
        self.change(Kind::Settle, move |transaction| transaction.hold(id)).await
    }

    /// See [`super::Spool::release`].
    pub(super) async fn release(&self, id: QueueId) -> Result<u64, SpoolError> {
        let now = now();
        self.change(Kind::Settle, move |transaction| transaction.release(id, now)).await
    }

    /// See [`super::Spool::delete`].
    pub(super) async fn delete(&self, id: QueueId) -> Result<u64, SpoolError> {
        self.change(Kind::Settle, move |transaction| transaction.remove(id)).await
    }

    /// See [`super::Spool::pause`].
    pub(super) async fn pause(
        &self,
        destination: DestinationName,
        by: String,
    ) -> Result<Option<Pause>, SpoolError> {
        let now = now();
        self.change(Kind::Settle, move |transaction| transaction.pause(&destination, &by, now)).await
    }

    /// See [`super::Spool::resume`].
    pub(super) async fn resume(&self, destination: DestinationName) -> Result<Option<Pause>, SpoolError> {
        self.change(Kind::Settle, move |transaction| transaction.resume(&destination)).await
    }

    /// See [`super::Spool::paused`].
    pub(super) async fn paused(&self) -> Result<Vec<Pause>, SpoolError> {
        self.ask(queries::pauses).await
    }

    /// See [`super::Spool::waiting`].
    pub(super) async fn waiting(&self) -> Result<Vec<(DestinationName, i64)>, SpoolError> {
        self.ask(queries::waiting).await
    }

    /// See [`super::Spool::figures`].
    pub(super) async fn figures(&self) -> Result<Figures, SpoolError> {
        self.ask(queries::figures).await
    }

    /// See [`super::Spool::export`].
    pub(super) async fn export(&self, id: QueueId) -> Result<Option<Exported>, SpoolError> {
        let Some(message) = self.read(id, Purpose::Export).await? else { return Ok(None) };
        let recipients = self.ask(move |connection| queries::recipients(connection, id)).await?;
        Ok(Some(Exported { message, recipients }))
    }
}
