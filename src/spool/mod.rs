//! The durable spool: the only code that writes it.

mod content;
mod copy;
mod error;
mod limits;
mod operator;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;

pub use self::content::Draft;
pub use self::copy::{Due, Expired, Fate, Settled, Swept};
pub use self::error::{Cause, FullReason, Holder, SpoolError};
pub use self::limits::Limits;
pub use self::operator::{Copy, Exported, Filter, Pause, Shown, SpoolState, Which};
use crate::message::id::{DestinationName, QueueId};
use crate::message::mail::{Class, Message, Spooled};
use crate::message::recipient::RecipientNumber;
use crate::telemetry::metrics::Metrics;

/// A handle of the open spool; clones share it.
#[derive(Debug, Clone)]
pub struct Spool {}

impl Spool {
    /// Opens the spool in `dir`, making it where it is absent, and starts its two threads. Takes milliseconds, however
    /// many messages it holds. `expire` is the time of messages that bring none of their own.
    ///
    /// A database that SQLite cannot read is set aside under another name, what is readable of it taken over, and an
    /// error logged.
    ///
    /// # Errors
    /// [`SpoolError::Locked`] while another process has it open; [`SpoolError::NewerFormat`],
    /// [`SpoolError::ForeignDatabase`]; [`SpoolError::Io`] and [`SpoolError::Full`] from the file system.
    pub fn open(
        dir: &Path,
        limits: Limits,
        expire: Duration,
        metrics: Arc<Metrics>,
    ) -> Result<Self, SpoolError> {
        unimplemented!("{dir:?} {limits:?} {expire:?} {metrics:?}")
    }

    /// Makes a message durable: when this returns `Ok`, it survives a power cut. A repeat of a group that is still
    /// gathering returns the id of the message that it was counted into.
    ///
    /// # Errors
    /// [`SpoolError::Full`] past a limit and [`SpoolError::Io`] when the commit failed: nothing was taken.
    /// [`SpoolError::NoRecipient`], [`SpoolError::ForeignContent`]; [`SpoolError::Closed`].
    pub async fn accept(&self, message: Message) -> Result<QueueId, SpoolError> {
        unimplemented!("{message:?}")
    }

    /// As [`Self::accept`] for many with one commit; the answers are in the order of the messages. One that is refused
    /// does not keep the others out.
    pub async fn accept_all(&self, messages: Vec<Message>) -> Vec<Result<QueueId, SpoolError>> {
        unimplemented!("{messages:?}")
    }

    /// Whether a message of this class would be accepted now, for readiness; the figures are up to a second old.
    ///
    /// # Errors
    /// Why not, as [`Self::accept`].
    pub async fn accepting(&self, class: Class) -> Result<(), SpoolError> {
        unimplemented!("{class:?}")
    }

    /// Begins the content of a mail.
    #[must_use]
    pub fn draft(&self) -> Draft {
        unimplemented!()
    }

    /// Up to `limit` copies that are due for a destination at `now`, without those in `skip` (on their way already):
    /// the more urgent first, of the same priority notices before mail, then by due time. None while it is paused.
    ///
    /// # Errors
    /// [`SpoolError::Io`] when the database cannot be read; [`SpoolError::Closed`].
    pub async fn due(
        &self,
        destination: &DestinationName,
        now: Timestamp,
        limit: usize,
        skip: &HashSet<(QueueId, RecipientNumber)>,
    ) -> Result<Vec<Due>, SpoolError> {
        unimplemented!("{destination} {now} {limit} {skip:?}")
    }

    /// When the earliest queued copy for a destination is or was due; `None` when there is none, or it is paused.
    /// Copies on their way count: leave them out by asking [`Self::due`] first.
    ///
    /// # Errors
    /// As [`Self::due`].
    pub async fn next_due(&self, destination: &DestinationName) -> Result<Option<Timestamp>, SpoolError> {
        unimplemented!("{destination}")
    }

    /// The message, verified against its checksum; `None` when it is gone. Loading ends the gathering of its group:
    /// a repeat that comes later goes into the next message.
    ///
    /// # Errors
    /// [`SpoolError::Corrupt`] when it cannot be read back: the spool has already set it aside. Else as [`Self::due`].
    pub async fn load(&self, id: QueueId) -> Result<Option<Spooled>, SpoolError> {
        unimplemented!("{id}")
    }

    /// Makes durable what became of copies, with one commit. A copy that is gone meanwhile (deleted, or its standby
    /// not needed any more) is passed over.
    ///
    /// # Errors
    /// [`SpoolError::Full`] and [`SpoolError::Io`] when the commit failed: nothing was recorded, and a delivered copy
    /// will be delivered again. [`SpoolError::Closed`].
    pub async fn record(&self, settled: Vec<Settled>) -> Result<(), SpoolError> {
        unimplemented!("{settled:?}")
    }

    /// Is notified after each commit that made a copy due for this destination, or changed when one is.
    ///
    /// For one waiting task per destination. A notification while nobody waits is kept for the next
    /// [`Notify::notified`], so the order *ask what is due, then wait* loses none.
    #[must_use]
    pub fn subscribe(&self, destination: &DestinationName) -> Arc<Notify> {
        unimplemented!("{destination}")
    }

    /// Fails what has run out of time, forgets failed copies after `failed_keep` and groups that are over, and gives
    /// free pages back to the file system. Due about once a minute.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub async fn sweep(&self, now: Timestamp) -> Result<Swept, SpoolError> {
        unimplemented!("{now}")
    }

    /// Commits what is waiting, folds the log into the database, and gives the lock back. Calls on other handles
    /// return [`SpoolError::Closed`] from then on.
    pub async fn close(self) {
        unimplemented!()
    }
}
