//! The spool of one machine: SQLite in a folder of its own.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::content::{self, Draft, Drafts};
use super::copy::{Due, FateReport, Overdue, Settled, Swept};
use super::error::SpoolError;
use super::files::{self, Lock, OrphanSweep};
use super::gate::{Gate, UnderWay};
use super::job::{Kind, Order, Task};
use super::limits::Limits;
use super::pacing;
use super::queries::{self, Gathering, MessageRow};
use super::reader::{self, Reader};
use super::rows::{self, Prepared, PreparedReport, Promises, StoredBody, Times};
use super::schema;
use super::subscribers::Subscribers;
use super::thread::Vital;
use super::transaction::{self, Transaction};
use super::writer::{self, Start, Writer};
use crate::message::id::{DestinationName, QueueId};
use crate::message::mail::{Body, Class, Content, Message, Spooled};
use crate::message::recipient::RecipientNumber;
use crate::policy::operator::Topic;
use crate::telemetry::metrics::Metrics;

/// The spool of one machine: SQLite in a folder. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Local {
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

impl Local {
    /// Opens the spool in `dir`, making it where it is absent, and starts its two threads. Takes milliseconds, however
    /// many messages it holds. `expire` is the time of messages that bring none of their own.
    ///
    /// A database that SQLite cannot read is set aside under another name, what is readable of it taken over, and an
    /// error logged.
    ///
    /// # Errors
    /// [`SpoolError::Locked`] while another process has it open; [`SpoolError::NewerFormat`],
    /// [`SpoolError::ForeignDatabase`]; [`SpoolError::Io`] and [`SpoolError::Full`] from the file system.
    pub(super) fn open(
        dir: &Path,
        limits: Limits,
        expire: Duration,
        metrics: Arc<Metrics>,
    ) -> Result<Self, SpoolError> {
        files::prepare(dir)?;
        let lock = Lock::take(dir)?;
        let drafts = Arc::new(Drafts::new(dir.join(files::CONTENT)));
        let (connection, tally) = writer::open_database(dir, &drafts)?;
        schema::settle_old_notices(&connection, &dir.join(files::DATABASE), limits.notice_failures)?;
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

    /// See [`super::Spool::accept`].
    pub(super) async fn accept(&self, message: Message) -> Result<QueueId, SpoolError> {
        self.accept_all(vec![message]).await.pop().unwrap_or(Err(SpoolError::Closed))
    }

    /// See [`super::Spool::accept_all`].
    pub(super) async fn accept_all(&self, messages: Vec<Message>) -> Vec<Result<QueueId, SpoolError>> {
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

    /// See [`super::Spool::accepting`].
    pub(super) fn accepting(&self, class: Class) -> Result<(), SpoolError> {
        self.shared.gate.accepting(class)
    }

    /// See [`super::Spool::draft`].
    #[must_use]
    pub(super) fn draft(&self) -> Draft {
        let under_way = UnderWay::new(Arc::clone(&self.shared.gate));
        Draft::new(Arc::clone(&self.shared.drafts), Some(under_way))
    }

    /// See [`super::Spool::due`].
    pub(super) async fn due(
        &self,
        destination: &DestinationName,
        now: Timestamp,
        limit: usize,
        skip: &HashSet<(QueueId, RecipientNumber)>,
    ) -> Result<Vec<Due>, SpoolError> {
        let (destination, skip) = (destination.clone(), skip.clone());
        self.ask(move |connection| queries::due(connection, &destination, now, limit, &skip)).await
    }

    /// See [`super::Spool::next_due`].
    pub(super) async fn next_due(
        &self,
        destination: &DestinationName,
    ) -> Result<Option<Timestamp>, SpoolError> {
        let destination = destination.clone();
        self.ask(move |connection| queries::next_due(connection, &destination)).await
    }

    /// See [`super::Spool::load`].
    pub(super) async fn load(&self, id: QueueId) -> Result<Option<Spooled>, SpoolError> {
        self.read(id, Purpose::Delivery).await
    }

    /// See [`super::Spool::fetch`].
    pub(super) async fn fetch(&self, ids: Vec<QueueId>) -> Result<Vec<Fetched>, SpoolError> {
        self.ask(move |connection| {
            // Locks and unlocks the log once for all of them.
            let _reading = connection.unchecked_transaction()?;
            Ok(ids.into_iter().map(|id| Fetched::of(id, queries::message(connection, id))).collect())
        })
        .await
    }

    /// See [`super::Spool::verify`].
    pub(super) async fn verify(&self, fetched: Fetched) -> Result<Option<Spooled>, SpoolError> {
        let Fetched { id, found } = fetched;
        match found {
            Found::Row(row) => self.verified(id, *row).await,
            Found::Nothing => Ok(None),
            Found::ForItself => self.load(id).await,
        }
    }

    /// See [`super::Spool::record`].
    pub(super) async fn record(
        &self,
        settled: Vec<Settled>,
        reports: Vec<FateReport>,
    ) -> Result<(), SpoolError> {
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

    /// See [`super::Spool::held_back`].
    pub(super) async fn held_back(&self, topic: &Topic) -> Result<u64, SpoolError> {
        let topic = topic.clone();
        self.ask(move |connection| pacing::held_back(connection, &topic)).await
    }

    /// See [`super::Spool::overdue`].
    pub(super) async fn overdue(&self, now: Timestamp) -> Result<Vec<Overdue>, SpoolError> {
        self.ask(move |connection| queries::overdue(connection, now)).await
    }

    /// See [`super::Spool::subscribe`].
    #[must_use]
    pub(super) fn subscribe(&self, destination: &DestinationName) -> Arc<Notify> {
        self.shared.subscribers.subscribe(destination)
    }

    /// See [`super::Spool::sweep`].
    pub(super) async fn sweep(&self, now: Timestamp) -> Result<Swept, SpoolError> {
        let forget = now.checked_sub(self.shared.failed_keep).unwrap_or(Timestamp::MIN);
        self.change(Kind::Settle, move |transaction| transaction.sweep(now, forget)).await
    }

    /// See [`super::Spool::close`].
    pub(super) async fn close(self) {
        self.shared.reader.stop().await;
        let (closed, wait) = tokio::sync::oneshot::channel();
        if self.shared.orders.send(Order::Close(closed)).await.is_ok() {
            // An error says that the writer is gone, which is what is wanted.
            wait.await.unwrap_or_default();
        }
    }

    /// See [`super::Spool::broke`].
    pub(super) async fn broke(&self) {
        self.shared.ended.cancelled().await;
    }

    /// Where the content file of this name is.
    #[cfg(feature = "nats")]
    pub(super) fn content_path(&self, name: &str) -> PathBuf {
        self.shared.drafts.path(name)
    }

    pub(super) async fn read(&self, id: QueueId, purpose: Purpose) -> Result<Option<Spooled>, SpoolError> {
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
        match row {
            Some(row) => self.verified(id, row).await,
            None => Ok(None),
        }
    }

    async fn verified(&self, id: QueueId, row: MessageRow) -> Result<Option<Spooled>, SpoolError> {
        match verify(id, row, &self.shared.drafts).await {
            Ok(message) => Ok(Some(message)),
            Err(Unverified::Corrupt(why)) => Err(self.set_aside(id, why).await),
            Err(Unverified::Unreadable(error)) => Err(error),
        }
    }

    /// Has the writer change rows; `Ok` after the commit.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        kind: Kind,
        change: impl FnMut(&mut Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, SpoolError> {
        let (order, answer) = Task::order(kind, change);
        self.shared.orders.send(order).await.map_err(|_| SpoolError::Closed)?;
        answer.await.map_err(|_| SpoolError::Closed)?
    }

    /// Asks the reader.
    pub(super) async fn ask<T: Send + 'static>(
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

    pub(super) async fn set_aside(&self, id: QueueId, why: String) -> SpoolError {
        tracing::error!(%id, why, "A message cannot be read back; it is kept as corrupt, see `mailslotd queue show {id}`.");
        let at = now();
        let change = move |transaction: &mut Transaction<'_>| transaction.set_corrupt(id, &why, at);
        match self.change(Kind::Settle, change).await {
            Ok(()) => SpoolError::Corrupt { id },
            Err(error) => error,
        }
    }

    /// Takes a message apart for the writer; large content that came in memory goes into a file of `drafts`.
    pub(super) async fn prepare(
        &self,
        mut message: Message,
        drafts: &mut Vec<Draft>,
    ) -> Result<Prepared, SpoolError> {
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

/// A message as it lies in the spool, not yet verified.
#[derive(Debug)]
pub struct Fetched {
    id: QueueId,
    found: Found,
}

#[derive(Debug)]
enum Found {
    Row(Box<MessageRow>),
    /// It is gone.
    Nothing,
    /// Its group must close first, or it cannot be read: it is loaded by itself, so that it concerns no other.
    ForItself,
}

impl Fetched {
    /// One that is loaded by itself.
    #[cfg(feature = "nats")]
    pub(super) const fn for_itself(id: QueueId) -> Self {
        Self { id, found: Found::ForItself }
    }

    #[cfg(feature = "nats")]
    pub(super) const fn id(&self) -> QueueId {
        self.id
    }

    fn of(id: QueueId, read: rusqlite::Result<Option<MessageRow>>) -> Self {
        let found = match read {
            Ok(Some(row)) if row.gathering == Gathering::Over => Found::Row(Box::new(row)),
            Ok(None) => Found::Nothing,
            Ok(Some(_)) | Err(_) => Found::ForItself,
        };
        Self { id, found }
    }
}

/// What a message is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Then its group must take no more repeats.
    Delivery,
    /// Nothing is sent, nothing changes.
    Export,
}

/// Why a row does not become a message.
pub(super) enum Unverified {
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
pub(super) fn now() -> Timestamp {
    Timestamp::now()
}
