//! The durable spool: the only code that writes it.
//!
//! A message is *accepted* when its transaction has committed and the disk has confirmed it: it survives a power cut.
//! From then on it is queued, gone (delivered), failed (refused or expired, kept for the operator), held (by the
//! operator) or corrupt (unreadable, kept). Delivery is at least once: a copy delivered but not yet recorded when the
//! power goes is delivered again, with the same Message-ID.
//!
//! # What lies in its folder (mode 0700, files 0600)
//! | File | What it is |
//! |---|---|
//! | `lock` | Held by `flock` while the spool is open; the number of the process that holds it. Stays. |
//! | `spool.db` | SQLite in WAL mode; any SQLite tool may read it. The view `queue` has readable times. |
//! | `spool.db-wal` | Its log: what committed last. As much a part of it as the database; about 8 MiB. |
//! | `spool.db-shm` | An index of the log, made anew when absent. |
//! | `ballast` | 16 MiB of nothing, given up when the disk is full so that deliveries can still be recorded. |
//! | `content/` | Mail over 64 KiB (any, while much is on its way), one file each, as sent. Its row has the name and the SHA-256. |
//! | `damaged-<time>/` | A database that SQLite could not read, set aside whole, with content that only it may name. |
//! | `rebuilt.db` | What takes its place, while it is put together; `complete.db` once it is whole. |
//!
//! The tables are described in `schema.rs`, column by column.
//!
//! # How it is read and written
//! One thread writes (`writer.rs`): it takes all that waits and commits it at once, so that callers share one fsync.
//! Another reads on a connection of its own (`reader.rs`). Neither blocks the runtime's workers. Figures (copies by
//! destination and state, bytes) are kept by the transactions that change them, and what is due is found by an index:
//! opening, asking and recording take as long with a million messages as with ten.
//!
//! # What is verified
//! The SHA-256 of body and content each time a message is loaded; of a content file its length and SHA-256, just
//! before it is sent, when reading it once costs least as the attempt reads it anyway. What differs is set aside as
//! corrupt: kept, shown, never sent, never fatal.

mod actions;
mod content;
mod copy;
mod error;
mod files;
mod gate;
mod gathering;
mod group;
#[cfg(feature = "nats")]
mod handover;
mod job;
mod limits;
mod local;
mod operator;
mod pacing;
mod queries;
mod reader;
mod rows;
mod salvage;
mod schema;
#[cfg(feature = "nats")]
mod shared;
mod standing;
mod subscribers;
mod sweeping;
mod tally;
mod thread;
mod transaction;
mod writer;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;

pub use self::content::Draft;
pub use self::copy::{Due, Expired, Fate, FateReport, Lateness, Overdue, Pace, Settled, Swept};
pub use self::error::{Cause, FullReason, Holder, SpoolError};
pub use self::files::Lock;
pub use self::limits::{Limits, NoticeFailures};
pub use self::local::Fetched;
use self::local::Local;
#[cfg(feature = "nats")]
use self::local::Purpose;
pub use self::operator::{Copy, Exported, Figures, Filter, Pause, Place, Shown, SpoolState, Which};
#[cfg(feature = "nats")]
use self::shared::Shared;
#[cfg(feature = "nats")]
pub use self::shared::{GroupPlan, Part, Sweeping};
pub use self::standing::{Contact, GatewaySign, GroupStanding, Lead, LocalWait, Replicas};
pub(crate) use self::sweeping::given_up;
use crate::message::id::{DestinationName, QueueId};
use crate::message::mail::{Class, Message, Spooled};
use crate::message::recipient::RecipientNumber;
use crate::policy::operator::Topic;
use crate::telemetry::metrics::Metrics;

/// A handle of the open spool; clones share it.
#[derive(Debug, Clone)]
pub struct Spool(Store);

/// Where the messages lie.
#[derive(Debug, Clone)]
enum Store {
    /// On this machine alone: SQLite in a folder.
    Local(Local),
    /// In JetStream, with the local one for when that does not answer.
    #[cfg(feature = "nats")]
    Shared(Shared),
}

/// Who else may change a spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Nobody: it is this machine's.
    Machine,
    /// Other gateways, and their operators.
    Group,
}

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
        Local::open(dir, limits, expire, metrics).map(|local| Self(Store::Local(local)))
    }

    /// Opens the spool that several gateways share: connects in the background, and until then takes messages into the
    /// one in `dir`. Must be called within the runtime.
    ///
    /// # Errors
    /// As [`Self::open`], of the one in `dir`.
    #[cfg(feature = "nats")]
    pub fn open_shared(
        dir: &Path,
        limits: Limits,
        expire: Duration,
        metrics: Arc<Metrics>,
        plan: GroupPlan,
    ) -> Result<Self, SpoolError> {
        Shared::open(dir, limits, expire, metrics, plan).map(|shared| Self(Store::Shared(shared)))
    }

    /// Makes a message durable: when this returns `Ok`, it survives a power cut. A repeat of a group that is still
    /// gathering returns the id of the message that it was counted into.
    ///
    /// # Errors
    /// [`SpoolError::Full`] past a limit and [`SpoolError::Io`] when the commit failed: nothing was taken.
    /// [`SpoolError::NoRecipient`], [`SpoolError::ForeignContent`]; [`SpoolError::Closed`].
    pub async fn accept(&self, message: Message) -> Result<QueueId, SpoolError> {
        match &self.0 {
            Store::Local(local) => local.accept(message).await,
            #[cfg(feature = "nats")]
            Store::Shared(shared) => {
                shared.accept_all(vec![message]).await.pop().unwrap_or(Err(SpoolError::Closed))
            }
        }
    }

    /// As [`Self::accept`] for many with one commit; the answers are in the order of the messages. One that is refused
    /// does not keep the others out.
    pub async fn accept_all(&self, messages: Vec<Message>) -> Vec<Result<QueueId, SpoolError>> {
        match &self.0 {
            Store::Local(local) => local.accept_all(messages).await,
            #[cfg(feature = "nats")]
            Store::Shared(shared) => shared.accept_all(messages).await,
        }
    }

    /// Whether a message of this class would be accepted now, for readiness; the figures are up to a second old.
    ///
    /// # Errors
    /// Why not, as [`Self::accept`].
    pub fn accepting(&self, class: Class) -> Result<(), SpoolError> {
        match &self.0 {
            Store::Local(local) => local.accepting(class),
            #[cfg(feature = "nats")]
            Store::Shared(shared) => shared.accepting(class),
        }
    }

    /// Begins the content of a mail. What of it goes into a file is held to the limits for mail as it is written.
    #[must_use]
    pub fn draft(&self) -> Draft {
        match &self.0 {
            Store::Local(local) => local.draft(),
            #[cfg(feature = "nats")]
            Store::Shared(shared) => shared.local().draft(),
        }
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
        match &self.0 {
            Store::Local(local) => local.due(destination, now, limit, skip).await,
            #[cfg(feature = "nats")]
            Store::Shared(shared) => shared.due(destination, now, limit, skip).await,
        }
    }

    /// When the earliest queued copy for a destination is or was due; `None` when there is none, or it is paused.
    /// Copies on their way count: leave them out by asking [`Self::due`] first.
    /// Of a group, some moment soon where nothing is: who waits must ask [`Self::due`] again.
    ///
    /// # Errors
    /// As [`Self::due`].
    pub async fn next_due(&self, destination: &DestinationName) -> Result<Option<Timestamp>, SpoolError> {
        match &self.0 {
            Store::Local(local) => local.next_due(destination).await,
            #[cfg(feature = "nats")]
            Store::Shared(shared) => Ok(shared.next_due(destination)),
        }
    }

    /// The message, verified against its checksum; `None` when it is gone. Loading ends the gathering of its group:
    /// a repeat that comes later goes into the next message.
    ///
    /// # Errors
    /// [`SpoolError::Corrupt`] when it cannot be read back: the spool has already set it aside. Else as [`Self::due`].
    pub async fn load(&self, id: QueueId) -> Result<Option<Spooled>, SpoolError> {
        match &self.0 {
            Store::Local(local) => local.load(id).await,
            #[cfg(feature = "nats")]
            Store::Shared(shared) => shared.load(id, Purpose::Delivery).await,
        }
    }

    /// Reads the messages with these numbers in one go, in their order, for [`Self::verify`].
    ///
    /// # Errors
    /// As [`Self::due`].
    pub async fn fetch(&self, ids: Vec<QueueId>) -> Result<Vec<Fetched>, SpoolError> {
        match &self.0 {
            Store::Local(local) => local.fetch(ids).await,
            #[cfg(feature = "nats")]
            Store::Shared(_) => Ok(ids.into_iter().map(Fetched::for_itself).collect()),
        }
    }

    /// What [`Self::load`] gives of a message that was fetched.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub async fn verify(&self, fetched: Fetched) -> Result<Option<Spooled>, SpoolError> {
        match &self.0 {
            Store::Local(local) => local.verify(fetched).await,
            #[cfg(feature = "nats")]
            Store::Shared(shared) => shared.load(fetched.id(), Purpose::Delivery).await,
        }
    }

    /// Makes durable what became of copies, and what their senders or the operator are told of that, with one commit. A copy that is gone
    /// meanwhile (deleted, or its standby not needed any more) is passed over.
    ///
    /// # Errors
    /// [`SpoolError::Full`] and [`SpoolError::Io`] when the commit failed: nothing was recorded, and a delivered copy
    /// will be delivered again. [`SpoolError::Closed`].
    pub async fn record(&self, settled: Vec<Settled>, reports: Vec<FateReport>) -> Result<(), SpoolError> {
        match &self.0 {
            Store::Local(local) => local.record(settled, reports).await,
            #[cfg(feature = "nats")]
            Store::Shared(shared) => shared.record(settled, reports).await,
        }
    }

    /// These copies were handed out and are not tried now: another gateway of the group may have them. Of no consequence
    /// where there is no group.
    pub fn put_back(&self, copies: Vec<(QueueId, RecipientNumber)>) {
        match &self.0 {
            Store::Local(_) => drop(copies),
            #[cfg(feature = "nats")]
            Store::Shared(shared) => shared.put_back(copies),
        }
    }

    /// How many of `whole` connections to a destination are this gateway's: with those of the others of its group they
    /// are `whole`. Who is told that something is due is told too when this changes.
    #[must_use]
    pub fn part(&self, destination: &DestinationName, whole: usize) -> usize {
        match &self.0 {
            Store::Local(_) => {
                let _ = destination;
                whole
            }
            #[cfg(feature = "nats")]
            Store::Shared(shared) => shared.part(destination, whole),
        }
    }

    /// Returns when all that lies in the spool can be seen: at once, or where it is the group's when its servers have
    /// answered.
    pub async fn opened(&self) {
        match &self.0 {
            Store::Local(_) => {}
            #[cfg(feature = "nats")]
            Store::Shared(shared) => shared.opened().await,
        }
    }

    /// As [`Self::opened`], but returns too when the servers do not answer at the next try.
    pub async fn tried(&self) {
        match &self.0 {
            Store::Local(_) => {}
            #[cfg(feature = "nats")]
            Store::Shared(shared) => shared.tried().await,
        }
    }

    /// Whether others may change this spool too.
    #[must_use]
    pub const fn reach(&self) -> Reach {
        match &self.0 {
            Store::Local(_) => Reach::Machine,
            #[cfg(feature = "nats")]
            Store::Shared(_) => Reach::Group,
        }
    }

    /// Whether this gateway leads its group; `None` where there is none.
    #[must_use]
    pub fn lead(&self) -> Option<tokio::sync::watch::Receiver<Lead>> {
        match &self.0 {
            Store::Local(_) => None,
            #[cfg(feature = "nats")]
            Store::Shared(shared) => Some(shared.lead()),
        }
    }

    /// How many failed copies of this topic the operator has not been told of, since the last report on it.
    ///
    /// # Errors
    /// As [`Self::due`].
    pub async fn held_back(&self, topic: &Topic) -> Result<u64, SpoolError> {
        match &self.0 {
            Store::Local(local) => local.held_back(topic).await,
            #[cfg(feature = "nats")]
            Store::Shared(shared) => shared.held_back(topic).await,
        }
    }

    /// Copies about which somebody is to be told that they are late or given up: at most [`Swept::BATCH`]. A
    /// report about them goes with their fates to [`Self::record`]; until then they stay as they are.
    ///
    /// # Errors
    /// As [`Self::due`].
    pub async fn overdue(&self, now: Timestamp) -> Result<Vec<Overdue>, SpoolError> {
        match &self.0 {
            Store::Local(local) => local.overdue(now).await,
            #[cfg(feature = "nats")]
            Store::Shared(shared) => Ok(shared.overdue(now)),
        }
    }

    /// Is notified after each commit that made a copy due for this destination, or changed when one is.
    ///
    /// For one waiting task per destination. A notification while nobody waits is kept for the next
    /// [`Notify::notified`], so the order *ask what is due, then wait* loses none.
    #[must_use]
    pub fn subscribe(&self, destination: &DestinationName) -> Arc<Notify> {
        match &self.0 {
            Store::Local(local) => local.subscribe(destination),
            #[cfg(feature = "nats")]
            Store::Shared(shared) => shared.subscribe(destination),
        }
    }

    /// Fails what has run out of time (but for what [`Self::overdue`] has), forgets failed copies after `failed_keep` and groups that are over, and gives
    /// free pages back to the file system. Due about once a minute.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub async fn sweep(&self, now: Timestamp) -> Result<Swept, SpoolError> {
        match &self.0 {
            Store::Local(local) => local.sweep(now).await,
            #[cfg(feature = "nats")]
            Store::Shared(shared) => shared.sweep(now).await,
        }
    }

    /// Commits what is waiting, folds the log into the database, and gives the lock back. Calls on other handles
    /// return [`SpoolError::Closed`] from then on.
    pub async fn close(self) {
        match self.0 {
            Store::Local(local) => local.close().await,
            #[cfg(feature = "nats")]
            Store::Shared(shared) => shared.close().await,
        }
    }

    /// Returns when one of its threads has ended: nobody closed it, so it was by a defect, and nothing more is accepted
    /// or recorded. After [`Self::close`] it returns as well; never else.
    pub async fn broke(&self) {
        match &self.0 {
            Store::Local(local) => local.broke().await,
            #[cfg(feature = "nats")]
            Store::Shared(shared) => shared.local().broke().await,
        }
    }
}

/// For the operator. Each action is durable when it returns; counts are of copies.
impl Spool {
    /// The copies that match, in order of acceptance. Of a group whose servers do not answer, as [`Self::group`] then says,
    /// those alone that wait in this gateway's own spool.
    ///
    /// # Errors
    /// [`SpoolError::Io`] when the database cannot be read; [`SpoolError::Closed`].
    pub async fn list(&self, filter: Filter) -> Result<Vec<Copy>, SpoolError> {
        match &self.0 {
            Store::Local(local) => local.list(filter).await,
            #[cfg(feature = "nats")]
            Store::Shared(shared) => shared.list(filter).await,
        }
    }

    /// One message with its copies; `None` when it is not there (any more).
    ///
    /// # Errors
    /// As [`Self::list`].
    pub async fn show(&self, id: QueueId) -> Result<Option<Shown>, SpoolError> {
        match &self.0 {
            Store::Local(local) => local.show(id).await,
            #[cfg(feature = "nats")]
            Store::Shared(shared) => shared.show(id).await,
        }
    }

    /// Makes copies due now: those that wait for a further attempt, and those that failed, whose attempts and time
    /// begin anew. `One` also takes a corrupt message up again (after its file was restored); [`Which::All`] does not.
    /// Held copies stay held, standby copies stay standby. How many became due.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub async fn retry(&self, which: Which) -> Result<u64, SpoolError> {
        match &self.0 {
            Store::Local(local) => local.retry(which).await,
            #[cfg(feature = "nats")]
            Store::Shared(shared) => shared.retry(which).await,
        }
    }

    /// Keeps a message's queued copies back until [`Self::release`]. They do not expire meanwhile.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub async fn hold(&self, id: QueueId) -> Result<u64, SpoolError> {
        match &self.0 {
            Store::Local(local) => local.hold(id).await,
            #[cfg(feature = "nats")]
            Store::Shared(shared) => shared.hold(id).await,
        }
    }

    /// Lets held copies go at the time they had. A message whose time ran out meanwhile gets its whole time again.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub async fn release(&self, id: QueueId) -> Result<u64, SpoolError> {
        match &self.0 {
            Store::Local(local) => local.release(id).await,
            #[cfg(feature = "nats")]
            Store::Shared(shared) => shared.release(id).await,
        }
    }

    /// Removes a message, whatever its state, with all its copies.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub async fn delete(&self, id: QueueId) -> Result<u64, SpoolError> {
        match &self.0 {
            Store::Local(local) => local.delete(id).await,
            #[cfg(feature = "nats")]
            Store::Shared(shared) => shared.delete(id).await,
        }
    }

    /// Stops a destination: nothing is due for it until [`Self::resume`], over restarts too. Time still runs out. A
    /// second pause changes nothing. Whether it was running before is in the answer: `None` then, else who paused it.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub async fn pause(&self, destination: DestinationName, by: String) -> Result<Option<Pause>, SpoolError> {
        match &self.0 {
            Store::Local(local) => local.pause(destination, by).await,
            #[cfg(feature = "nats")]
            Store::Shared(shared) => shared.pause(destination, by).await,
        }
    }

    /// Starts a destination again. Who had paused it, `None` where nobody had.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub async fn resume(&self, destination: DestinationName) -> Result<Option<Pause>, SpoolError> {
        match &self.0 {
            Store::Local(local) => local.resume(destination).await,
            #[cfg(feature = "nats")]
            Store::Shared(shared) => shared.resume(destination).await,
        }
    }

    /// All paused destinations, by name.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub async fn paused(&self) -> Result<Vec<Pause>, SpoolError> {
        match &self.0 {
            Store::Local(local) => local.paused().await,
            #[cfg(feature = "nats")]
            Store::Shared(shared) => Ok(shared.paused()),
        }
    }

    /// How the group of gateways stands that share this spool; `None` where it is this machine's.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub async fn group(&self) -> Result<Option<GroupStanding>, SpoolError> {
        match &self.0 {
            Store::Local(_) => Ok(None),
            #[cfg(feature = "nats")]
            Store::Shared(shared) => shared.standing().await.map(Some),
        }
    }

    /// Each destination that has queued copies, and how many; by name.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub async fn waiting(&self) -> Result<Vec<(DestinationName, i64)>, SpoolError> {
        match &self.0 {
            Store::Local(local) => local.waiting().await,
            #[cfg(feature = "nats")]
            Store::Shared(shared) => shared.waiting().await,
        }
    }

    /// How much there is. Takes as long with a million messages as with ten.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub async fn figures(&self) -> Result<Figures, SpoolError> {
        match &self.0 {
            Store::Local(local) => local.figures().await,
            #[cfg(feature = "nats")]
            Store::Shared(shared) => shared.figures().await,
        }
    }

    /// A message with its undelivered recipients, to be composed into a file; it stays in the spool. `None` when it is
    /// not there.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub async fn export(&self, id: QueueId) -> Result<Option<Exported>, SpoolError> {
        match &self.0 {
            Store::Local(local) => local.export(id).await,
            #[cfg(feature = "nats")]
            Store::Shared(shared) => shared.export(id).await,
        }
    }
}

#[cfg(test)]
mod tests;
