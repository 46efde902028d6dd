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
mod job;
mod limits;
mod operator;
mod pacing;
mod queries;
mod reader;
mod rows;
mod salvage;
mod schema;
mod subscribers;
mod sweeping;
mod tally;
mod thread;
mod transaction;
mod writer;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

pub use self::content::Draft;
use self::content::Drafts;
pub use self::copy::{Due, Expired, Fate, FateReport, Lateness, Overdue, Pace, Settled, Swept};
pub use self::error::{Cause, FullReason, Holder, SpoolError};
pub use self::files::Lock;
use self::files::OrphanSweep;
use self::gate::{Gate, UnderWay};
use self::job::{Kind, Order, Task};
pub use self::limits::{Limits, NoticeFailures};
pub use self::operator::{Copy, Exported, Figures, Filter, Pause, Shown, SpoolState, Which};
use self::queries::{Gathering, MessageRow};
use self::reader::Reader;
use self::rows::{Prepared, PreparedReport, Promises, StoredBody, Times};
use self::subscribers::Subscribers;
use self::thread::Vital;
use self::transaction::Transaction;
use self::writer::{Start, Writer};
use crate::message::id::{DestinationName, QueueId};
use crate::message::mail::{Body, Class, Content, Message, Spooled};
use crate::message::recipient::RecipientNumber;
use crate::policy::operator::Topic;
use crate::telemetry::metrics::Metrics;

/// A handle of the open spool; clones share it.
#[derive(Debug, Clone)]
pub struct Spool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    promises: Promises,
    failed_keep: Duration,
    orders: mpsc::Sender<Order>,
    reader: Reader,
    gate: Arc<Gate>,
    drafts: Arc<Drafts>,
    subscribers: Arc<Subscribers>,
    metrics: Arc<Metrics>,
    /// One of the threads has ended.
    ended: CancellationToken,
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
        files::prepare(dir)?;
        let lock = Lock::take(dir)?;
        let drafts = Arc::new(Drafts::new(dir.join(files::CONTENT)));
        let (connection, tally) = writer::open_database(dir, &drafts)?;
        let edition = Arc::new(AtomicU64::new(0));
        let gate = Arc::new(Gate::new(dir, limits, Arc::clone(&metrics)));
        let subscribers = Arc::new(Subscribers::default());
        let ended = CancellationToken::new();
        let vital = |name| Vital::new(name, Arc::clone(&metrics), &ended);
        let reader = Reader::start(dir.join(files::DATABASE), Arc::clone(&edition), vital(reader::THREAD))?;
        let with = Start {
            dir: dir.to_owned(),
            gate: Arc::clone(&gate),
            drafts: Arc::clone(&drafts),
            subscribers: Arc::clone(&subscribers),
            metrics: Arc::clone(&metrics),
            edition,
            orphans: OrphanSweep::start(dir, Arc::clone(&drafts))?,
            lock,
            vital: vital(writer::THREAD),
        };
        let orders = Writer::new(connection, tally, with).start()?;
        let times = Times { expire, delay_report: limits.delay_report };
        let promises = Promises { times, notice_failures: limits.notice_failures };
        let failed_keep = limits.failed_keep;
        let dir = dir.to_owned();
        let shared =
            Shared { dir, promises, failed_keep, orders, reader, gate, drafts, subscribers, metrics, ended };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Makes a message durable: when this returns `Ok`, it survives a power cut. A repeat of a group that is still
    /// gathering returns the id of the message that it was counted into.
    ///
    /// # Errors
    /// [`SpoolError::Full`] past a limit and [`SpoolError::Io`] when the commit failed: nothing was taken.
    /// [`SpoolError::NoRecipient`], [`SpoolError::ForeignContent`]; [`SpoolError::Closed`].
    pub async fn accept(&self, message: Message) -> Result<QueueId, SpoolError> {
        self.accept_all(vec![message]).await.pop().unwrap_or(Err(SpoolError::Closed))
    }

    /// As [`Self::accept`] for many with one commit; the answers are in the order of the messages. One that is refused
    /// does not keep the others out.
    pub async fn accept_all(&self, messages: Vec<Message>) -> Vec<Result<QueueId, SpoolError>> {
        let count = messages.len();
        let mut drafts = Vec::new();
        let mut prepared = Vec::with_capacity(count);
        for message in messages {
            prepared.push(self.prepare(message, &mut drafts).await);
        }
        let change = move |transaction: &mut Transaction<'_>| {
            let mut answers = Vec::with_capacity(count);
            for message in &prepared {
                answers.push(match message {
                    Ok(message) => transaction.accept(message)?,
                    Err(error) => Err(error.clone()),
                });
            }
            Ok(answers)
        };
        let answers = self.change(Kind::Accept, change).await;
        let answers = answers.unwrap_or_else(|error| vec![Err(error); count]);
        for error in answers.iter().filter_map(|answer| answer.as_ref().err()) {
            self.shared.metrics.spool_refused(error.as_str(), 1);
        }
        answers
    }

    /// Whether a message of this class would be accepted now, for readiness; the figures are up to a second old.
    ///
    /// # Errors
    /// Why not, as [`Self::accept`].
    pub fn accepting(&self, class: Class) -> Result<(), SpoolError> {
        self.shared.gate.accepting(class)
    }

    /// Begins the content of a mail. What of it goes into a file is held to the limits for mail as it is written.
    #[must_use]
    pub fn draft(&self) -> Draft {
        let under_way = UnderWay::new(Arc::clone(&self.shared.gate));
        Draft::new(Arc::clone(&self.shared.drafts), Some(under_way))
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
        let (destination, skip) = (destination.clone(), skip.clone());
        self.ask(move |connection| queries::due(connection, &destination, now, limit, &skip)).await
    }

    /// When the earliest queued copy for a destination is or was due; `None` when there is none, or it is paused.
    /// Copies on their way count: leave them out by asking [`Self::due`] first.
    ///
    /// # Errors
    /// As [`Self::due`].
    pub async fn next_due(&self, destination: &DestinationName) -> Result<Option<Timestamp>, SpoolError> {
        let destination = destination.clone();
        self.ask(move |connection| queries::next_due(connection, &destination)).await
    }

    /// The message, verified against its checksum; `None` when it is gone. Loading ends the gathering of its group:
    /// a repeat that comes later goes into the next message.
    ///
    /// # Errors
    /// [`SpoolError::Corrupt`] when it cannot be read back: the spool has already set it aside. Else as [`Self::due`].
    pub async fn load(&self, id: QueueId) -> Result<Option<Spooled>, SpoolError> {
        self.read(id, Purpose::Delivery).await
    }

    /// Makes durable what became of copies, and what their senders or the operator are told of that, with one commit. A copy that is gone
    /// meanwhile (deleted, or its standby not needed any more) is passed over.
    ///
    /// # Errors
    /// [`SpoolError::Full`] and [`SpoolError::Io`] when the commit failed: nothing was recorded, and a delivered copy
    /// will be delivered again. [`SpoolError::Closed`].
    pub async fn record(&self, settled: Vec<Settled>, reports: Vec<FateReport>) -> Result<(), SpoolError> {
        let mut drafts = Vec::new();
        let mut prepared = Vec::with_capacity(reports.len());
        for FateReport { message, kind, about, pace } in reports {
            let report = self.prepare(message, &mut drafts).await?;
            prepared.push(PreparedReport { kind, report, about, pace });
        }
        let change = move |transaction: &mut Transaction<'_>| transaction.record(&settled, &prepared);
        for (kind, outcome) in self.change(Kind::Settle, change).await? {
            self.shared.metrics.report(kind, outcome);
        }
        Ok(())
    }

    /// How many failed copies of this topic the operator has not been told of, since the last report on it.
    ///
    /// # Errors
    /// As [`Self::due`].
    pub async fn held_back(&self, topic: &Topic) -> Result<u64, SpoolError> {
        let topic = topic.clone();
        self.ask(move |connection| pacing::held_back(connection, &topic)).await
    }

    /// Copies about which somebody is to be told that they are late or given up: at most [`Swept::BATCH`]. A
    /// report about them goes with their fates to [`Self::record`]; until then they stay as they are.
    ///
    /// # Errors
    /// As [`Self::due`].
    pub async fn overdue(&self, now: Timestamp) -> Result<Vec<Overdue>, SpoolError> {
        self.ask(move |connection| queries::overdue(connection, now)).await
    }

    /// Is notified after each commit that made a copy due for this destination, or changed when one is.
    ///
    /// For one waiting task per destination. A notification while nobody waits is kept for the next
    /// [`Notify::notified`], so the order *ask what is due, then wait* loses none.
    #[must_use]
    pub fn subscribe(&self, destination: &DestinationName) -> Arc<Notify> {
        self.shared.subscribers.subscribe(destination)
    }

    /// Fails what has run out of time (but for what [`Self::overdue`] has), forgets failed copies after `failed_keep` and groups that are over, and gives
    /// free pages back to the file system. Due about once a minute.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub async fn sweep(&self, now: Timestamp) -> Result<Swept, SpoolError> {
        let forget = now.checked_sub(self.shared.failed_keep).unwrap_or(Timestamp::MIN);
        self.change(Kind::Settle, move |transaction| transaction.sweep(now, forget)).await
    }

    /// Commits what is waiting, folds the log into the database, and gives the lock back. Calls on other handles
    /// return [`SpoolError::Closed`] from then on.
    pub async fn close(self) {
        self.shared.reader.stop().await;
        let (closed, wait) = tokio::sync::oneshot::channel();
        if self.shared.orders.send(Order::Close(closed)).await.is_ok() {
            // An error says that the writer is gone, which is what is wanted.
            wait.await.unwrap_or_default();
        }
    }

    /// Returns when one of its threads has ended: nobody closed it, so it was by a defect, and nothing more is accepted
    /// or recorded. After [`Self::close`] it returns as well; never else.
    pub async fn broke(&self) {
        self.shared.ended.cancelled().await;
    }

    async fn read(&self, id: QueueId, purpose: Purpose) -> Result<Option<Spooled>, SpoolError> {
        let read = self.ask(move |connection| Ok(queries::message(connection, id))).await?;
        let row = match read {
            Ok(Some(row)) if row.gathering == Gathering::Open && purpose == Purpose::Delivery => {
                self.change(Kind::Settle, move |transaction| transaction.hand_out(id)).await?;
                self.ask(move |connection| queries::message(connection, id)).await?
            }
            Ok(row) => row,
            // A value of another type than the column's, or a number that means nothing.
            Err(error) if error.sqlite_error_code().is_none() => {
                return Err(self.set_aside(id, format!("the row cannot be read: {error}")).await);
            }
            Err(error) => return Err(self.unreadable(error)),
        };
        let Some(row) = row else { return Ok(None) };
        match verify(id, row, &self.shared.drafts).await {
            Ok(message) => Ok(Some(message)),
            Err(Unverified::Corrupt(why)) => Err(self.set_aside(id, why).await),
            Err(Unverified::Unreadable(error)) => Err(error),
        }
    }

    /// Has the writer change rows; `Ok` after the commit.
    async fn change<T: Send + 'static>(
        &self,
        kind: Kind,
        change: impl FnMut(&mut Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, SpoolError> {
        let (order, answer) = Task::order(kind, change);
        self.shared.orders.send(order).await.map_err(|_| SpoolError::Closed)?;
        answer.await.map_err(|_| SpoolError::Closed)?
    }

    /// Asks the reader.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, SpoolError> {
        let answer = self.shared.reader.ask(move |connection| Ok(question(connection))).await?;
        answer.map_err(|error| self.unreadable(error))
    }

    /// What to tell of a failed question; a damaged database is rebuilt meanwhile.
    fn unreadable(&self, error: rusqlite::Error) -> SpoolError {
        let error = SpoolError::database("read", &self.shared.dir.join(files::DATABASE), error);
        if error.is_damage() {
            // When the writer has too much to do to take this, the next question will ask for it again.
            drop(self.shared.orders.try_send(Order::Rebuild(error.clone())));
        }
        error
    }

    async fn set_aside(&self, id: QueueId, why: String) -> SpoolError {
        tracing::error!(%id, why, "A message cannot be read back; it is kept as corrupt, see `mailslotd queue show {id}`.");
        let at = now();
        let change = move |transaction: &mut Transaction<'_>| transaction.set_corrupt(id, &why, at);
        match self.change(Kind::Settle, change).await {
            Ok(()) => SpoolError::Corrupt { id },
            Err(error) => error,
        }
    }

    /// Takes a message apart for the writer; large content that came in memory goes into a file of `drafts`.
    async fn prepare(&self, mut message: Message, drafts: &mut Vec<Draft>) -> Result<Prepared, SpoolError> {
        if let Body::Mail { content, .. } = &mut message.body
            && let Content::Inline(bytes) = content
            && bytes.len() > Draft::INLINE
        {
            // The transaction knows the limits that apply: a report of what failed comes in past them.
            let mut draft = Draft::new(Arc::clone(&self.shared.drafts), None);
            draft.write(bytes).await?;
            *content = draft.finish().await?;
            drafts.push(draft);
        }
        Prepared::new(message, self.shared.promises, |path| self.shared.drafts.claim(path))
    }
}

/// What a message is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// Then its group must take no more repeats.
    Delivery,
    /// Nothing is sent, nothing changes.
    Export,
}

/// Why a row does not become a message.
enum Unverified {
    /// It is not what was written.
    Corrupt(String),
    /// The disk does not say.
    Unreadable(SpoolError),
}

async fn verify(id: QueueId, row: MessageRow, drafts: &Drafts) -> Result<Spooled, Unverified> {
    let decoded = rows::decode(&row.body, row.content.as_deref(), &row.checksum);
    let body = match (decoded, row.file) {
        (None, _) => return Err(Unverified::Corrupt(transaction::UNREADABLE.to_owned())),
        (Some(StoredBody::Notice(gathered)), _) => Body::Notice(Box::new(gathered.into_owned())),
        (Some(StoredBody::Mail { reverse_path, length, sha256, submitted }), Some(name)) => {
            let path = drafts.path(&name);
            content::verify(&path, length, sha256).await?;
            Body::Mail { reverse_path, content: Content::File { path, length }, submitted }
        }
        (Some(StoredBody::Mail { reverse_path, submitted, .. }), None) => {
            let content = Content::Inline(row.content.unwrap_or_default().into());
            Body::Mail { reverse_path, content, submitted }
        }
    };
    let MessageRow { accepted_at, expires_at, priority, rule, .. } = row;
    Ok(Spooled { id, body, accepted_at, expires_at, priority, rule })
}

/// Of what the operator does, and of messages set aside: for people, nothing is decided by it but `retry`'s *now*.
#[expect(clippy::disallowed_methods, reason = "the operator's commands bring no time of their own")]
fn now() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests;
