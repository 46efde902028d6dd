//! The one thread that writes. It takes everything that waits, does it in one transaction, and answers after the commit:
//! many callers share one sync of the disk.
//!
//! What goes wrong, and what follows:
//! * *No space.* The transaction is rolled back. Those who brought messages are told; everything else (what was
//!   delivered, what the operator asked) is tried again without them, because it makes room, with what the ballast
//!   kept free for it. Messages are accepted again once the disk has room for the ballast and more.
//! * *The disk failed*, above all in a sync. After a failed sync nobody knows what is on the disk, and asking again
//!   would be told that all is well. So nothing is tried again on that connection: it is closed, everyone is told,
//!   and messages are accepted again only after it was opened anew and its log was emptied into the database.
//! * *The database is damaged.* It is rebuilt once ([`super::salvage`]); if that does not help, as above.
//! * *One request is at fault.* Each is done in a transaction of its own, so that only that one fails.
#![expect(clippy::disallowed_methods, reason = "how long commits take, and when to try again")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::mpsc;

use super::content::Drafts;
use super::error::{Failure, SpoolError};
use super::files::{self, Ballast, CONTENT, DATABASE, Lock, OrphanSweep};
use super::gate::{Gate, Refusing};
use super::job::{Job, Kind, Order};
use super::salvage;
use super::schema::{self, Checkpoint, Readers, Spare};
use super::subscribers::Subscribers;
use super::tally::Tally;
use super::thread::Vital;
use super::transaction::{Effects, Transaction};
use crate::message::mail::Class;
use crate::telemetry::metrics::Metrics;

/// The state of the thread.
pub(super) struct Writer {
    with: Start,
    ballast: Ballast,
    open: Open,
    tally: Tally,
    rebuilt: Rebuilt,
    looked_inside: Instant,
}

enum Open {
    Yes(Connection),
    /// Since this instant; the next try is a while after it.
    No(Instant, SpoolError),
}

/// Whether the database was rebuilt since the start: a second damage says that the disk makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rebuilt {
    NotYet,
    Once,
}

/// What the thread starts with.
pub(super) struct Start {
    pub(super) dir: PathBuf,
    pub(super) gate: Arc<Gate>,
    pub(super) drafts: Arc<Drafts>,
    pub(super) subscribers: Arc<Subscribers>,
    pub(super) metrics: Arc<Metrics>,
    /// Rises when another database takes the place of the one readers have open.
    pub(super) edition: Arc<AtomicU64>,
    pub(super) orphans: OrphanSweep,
    pub(super) lock: Lock,
    pub(super) vital: Vital,
}

/// Opens the database of `dir`, and rebuilds it first where it is damaged.
pub(super) fn open_database(
    dir: &std::path::Path,
    drafts: &Drafts,
) -> Result<(Connection, Tally), SpoolError> {
    let path = dir.join(DATABASE);
    files::finish_exchange(dir, &salvage::stamp())?;
    files::touch_database(&path)?;
    let open = || -> Result<_, SpoolError> {
        let connection = schema::open_writer(&path, Readers::Foreign)?;
        let tally = Tally::load(&connection).map_err(|error| SpoolError::database("read", &path, error))?;
        Ok((connection, tally))
    };
    let opened = match open() {
        Err(error) if error.is_damage() => {
            salvage::rebuild(dir, drafts)?;
            open()
        }
        other => other,
    };
    files::sync_folder(&dir.join(CONTENT))?;
    files::sync_folder(dir)?;
    opened
}

impl Writer {
    pub(super) fn new(connection: Connection, tally: Tally, with: Start) -> Self {
        let open = Open::Yes(connection);
        let ballast = Ballast::new(&with.dir);
        Self { with, ballast, open, tally, rebuilt: Rebuilt::NotYet, looked_inside: Instant::now() }
    }

    /// Starts the thread. It ends when the spool is closed, or every handle of it is gone.
    pub(super) fn start(mut self) -> Result<mpsc::Sender<Order>, SpoolError> {
        self.tally.publish_all(&self.with.metrics);
        self.look_inside();
        let (orders, waiting) = mpsc::channel(WAITING);
        let dir = self.with.dir.clone();
        let failed = |error| SpoolError::file("start a thread for", &dir, error);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(failed)?;
        let gone = Gone { gate: Arc::clone(&self.with.gate) };
        let work = move || {
            runtime.block_on(self.run(waiting));
            drop(gone);
        };
        std::thread::Builder::new().name(THREAD.to_owned()).spawn(work).map_err(failed)?;
        Ok(orders)
    }

    /// Works until the spool is closed, or every handle of it is gone.
    async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        if let Err(error) = self.ballast.take() {
            tracing::warn!("No room could be set aside for a full disk: {error}");
        }
        let mut waiting = Vec::with_capacity(TOGETHER);
        let mut closers = Vec::new();
        loop {
            let refusing = self.with.gate.publish();
            let taken = match (refusing, &self.open) {
                (Refusing::None, Open::Yes(_)) => orders.recv_many(&mut waiting, TOGETHER).await,
                // Recovers, and shows that it has, when nobody asks.
                (Refusing::Some, _) | (_, Open::No(..)) => {
                    match tokio::time::timeout(AGAIN, orders.recv_many(&mut waiting, TOGETHER)).await {
                        Ok(taken) => taken,
                        Err(_) => {
                            self.recover();
                            continue;
                        }
                    }
                }
            };
            if taken == 0 {
                break;
            }
            let mut jobs = Vec::with_capacity(taken);
            for order in waiting.drain(..) {
                match order {
                    Order::Do(job) => jobs.push(job),
                    Order::Rebuild(error) => self.break_off(error),
                    Order::Close(closed) => {
                        orders.close();
                        closers.push(closed);
                    }
                }
            }
            self.commit(jobs);
            self.fold_if_long();
        }
        self.end();
        for closed in closers {
            closed.send(()).unwrap_or_default();
        }
    }

    fn commit(&mut self, mut jobs: Vec<Box<dyn Job>>) {
        if jobs.is_empty() {
            return;
        }
        self.recover();
        let connection = match &self.open {
            Open::Yes(connection) => connection,
            Open::No(_, error) => return answer(jobs, &Err(error.clone())),
        };
        let started = Instant::now();
        match transact(connection, &mut self.tally, &self.with.gate, &mut jobs) {
            Ok(effects) => {
                self.with.metrics.spool_committed(started.elapsed().as_secs_f64());
                self.take_effect(effects);
                answer(jobs, &Ok(()));
            }
            Err(error) => self.fail(error, jobs),
        }
    }

    fn fail(&mut self, error: rusqlite::Error, jobs: Vec<Box<dyn Job>>) {
        let failure = Failure::of(&error);
        let error = SpoolError::database("commit to", &self.with.dir.join(DATABASE), error);
        if failure == Failure::Broken {
            self.break_off(error.clone());
            return answer(jobs, &Err(error));
        }
        if let Err(error) = self.roll_back() {
            self.break_off(error.clone());
            return answer(jobs, &Err(error));
        }
        match failure {
            Failure::NoSpace => {
                self.with.gate.set_fault(Some(error.clone()));
                let (brought, rest): (Vec<_>, Vec<_>) =
                    jobs.into_iter().partition(|job| job.kind() == Kind::Accept);
                let gained = self.ballast.give_up();
                self.fold();
                if gained || !brought.is_empty() {
                    answer(brought, &Err(error));
                    self.commit(rest);
                } else {
                    answer(rest, &Err(error));
                }
            }
            Failure::AtFault if jobs.len() > 1 => {
                for job in jobs {
                    self.commit(vec![job]);
                }
            }
            Failure::AtFault | Failure::Busy | Failure::Broken => answer(jobs, &Err(error)),
        }
    }

    /// Leaves the connection as it was before the transaction, and the figures too.
    fn roll_back(&mut self) -> Result<(), SpoolError> {
        let path = self.with.dir.join(DATABASE);
        let Open::Yes(connection) = &self.open else { return Ok(()) };
        let failed = |error| SpoolError::database("roll back", &path, error);
        // After some errors SQLite has rolled back itself.
        if !connection.is_autocommit() {
            connection.execute_batch("ROLLBACK").map_err(failed)?;
        }
        self.tally = Tally::load(connection).map_err(failed)?;
        Ok(())
    }

    /// Gives the connection up because of an error.
    fn break_off(&mut self, error: SpoolError) {
        tracing::error!("The spool's files are opened anew because it {error}");
        self.with.gate.set_fault(Some(error.clone()));
        // Dropping closes it without a checkpoint as long as the reader is there, and with one it could only fail.
        self.open = Open::No(Instant::now(), error);
    }

    /// Opens what was given up, once a while has passed; and tries a full disk again once there is room.
    fn recover(&mut self) {
        let (since, error) = match &self.open {
            Open::Yes(_) => return self.try_full_disk(),
            Open::No(since, error) => (*since, error.clone()),
        };
        if error.is_damage() && self.rebuilt == Rebuilt::NotYet {
            self.rebuilt = Rebuilt::Once;
            if let Err(error) = salvage::rebuild(&self.with.dir, &self.with.drafts) {
                tracing::error!("The damaged database could not be rebuilt: {error}");
            }
            self.with.edition.fetch_add(1, Ordering::Release);
        } else if since.elapsed() < AGAIN {
            return;
        }
        let path = self.with.dir.join(DATABASE);
        let opened = schema::open_writer(&path, Readers::OwnOnly).and_then(|connection| {
            let tally = Tally::load(&connection);
            Ok((connection, tally.map_err(|error| SpoolError::database("read", &path, error))?))
        });
        match opened {
            Ok((connection, tally)) => {
                self.open = Open::Yes(connection);
                self.tally = tally;
                self.tally.publish_all(&self.with.metrics);
                self.with.gate.set_fault(None);
                self.look_inside();
                tracing::warn!(path = %path.display(), "The spool's files are open again.");
            }
            Err(error) => {
                self.with.gate.set_fault(Some(error.clone()));
                self.open = Open::No(Instant::now(), error);
            }
        }
    }

    /// After a full disk: gives the database's free pages back, and accepts again once there is room beyond the
    /// ballast.
    fn try_full_disk(&mut self) {
        if !self.with.gate.disk_was_full() || self.looked_inside.elapsed() < AGAIN {
            return;
        }
        for _ in 0..STEPS {
            let Open::Yes(connection) = &self.open else { return };
            if let Err(error) = schema::shrink(connection, Spare::None) {
                tracing::debug!("The database cannot be made smaller yet: {error}");
            }
            self.fold();
            // Its own room alone would let the next commit fail, which gives it up again, and so for ever.
            if self.ballast.take().is_ok() && self.ballast.leaves_room() {
                self.with.gate.set_fault(None);
                break;
            }
        }
        self.look_inside();
    }

    fn take_effect(&mut self, effects: Effects) {
        for name in &effects.adopted {
            self.with.drafts.adopt(name);
        }
        for name in &effects.unneeded {
            files::remove(&self.with.drafts.path(name));
        }
        let metrics = &self.with.metrics;
        for (class, accepted) in
            [(Class::Notice, effects.accepted_notices), (Class::Mail, effects.accepted_mail)]
        {
            if accepted > 0 {
                metrics.spool_accepted(class, accepted);
            }
        }
        if effects.gathered > 0 {
            metrics.spool_gathered(effects.gathered);
        }
        for _ in 0..effects.corrupt {
            metrics.spool_corrupt();
        }
        self.tally.publish(metrics);
        self.with.gate.set_held(self.tally.held());
        self.with.gate.publish();
        self.with.subscribers.wake(&effects.woken);
        if self.looked_inside.elapsed() >= AGAIN {
            self.look_inside();
        }
    }

    /// Asks how many free pages the database has: room for messages that the file system does not know of.
    fn look_inside(&mut self) {
        self.looked_inside = Instant::now();
        if let Open::Yes(connection) = &self.open
            && let Ok(inside) = schema::free_inside(connection)
        {
            self.with.gate.set_room(self.tally.held(), inside);
        }
    }

    /// Folds the log into the database between two transactions, after everyone was answered.
    fn fold_if_long(&mut self) {
        let Open::Yes(connection) = &self.open else { return };
        if schema::log_is_long(connection).unwrap_or(true) {
            self.fold();
        }
    }

    fn fold(&mut self) {
        let Open::Yes(connection) = &self.open else { return };
        let folded = schema::checkpoint(connection, Checkpoint::Passive).map(|_| ());
        match folded.map_err(|error| (Failure::of(&error), error)) {
            // A full disk or a reader: the log is kept, and nothing in it is lost.
            Ok(()) | Err((Failure::NoSpace | Failure::Busy | Failure::AtFault, _)) => {}
            Err((Failure::Broken, error)) => {
                self.break_off(SpoolError::database(
                    "fold the log into",
                    &self.with.dir.join(DATABASE),
                    error,
                ));
            }
        }
    }

    fn end(self) {
        let path = self.with.dir.join(DATABASE);
        if let Open::Yes(connection) = self.open {
            let folded = schema::checkpoint(&connection, Checkpoint::Truncate).map(|_| ());
            let closed = connection.close().map_err(|(_, error)| error);
            if let Err(error) = folded.and(closed) {
                tracing::warn!(
                    path = %path.display(),
                    "The spool's log is left beside its database and is read at the next start, nothing is lost: {error}"
                );
            }
        }
        // The lock goes last of what is on disk.
        drop(self.with.orphans);
        drop(self.with.lock);
        drop(self.with.vital);
    }
}

/// Lets nobody believe that messages are accepted when the thread has ended, by a defect too.
struct Gone {
    gate: Arc<Gate>,
}

impl Drop for Gone {
    fn drop(&mut self) {
        self.gate.set_fault(Some(SpoolError::Closed));
        self.gate.show();
    }
}

fn transact(
    connection: &Connection,
    tally: &mut Tally,
    gate: &Gate,
    jobs: &mut [Box<dyn Job>],
) -> rusqlite::Result<Effects> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let mut transaction = Transaction::new(connection, tally, gate);
    for job in jobs {
        job.apply(&mut transaction)?;
    }
    let effects = transaction.finish()?;
    connection.prepare_cached("COMMIT")?.execute([])?;
    Ok(effects)
}

fn answer(jobs: Vec<Box<dyn Job>>, end: &Result<(), SpoolError>) {
    for job in jobs {
        job.answer(end.clone());
    }
}

/// The thread's name.
pub(super) const THREAD: &str = "spool-writer";

/// How many requests share one transaction at most.
const TOGETHER: usize = 256;

/// How many requests may wait before those who ask do.
const WAITING: usize = 1024;

/// How often in a row a database on a full disk is made smaller: enough to gain the ballast's room at once.
const STEPS: usize = 8;

/// How long after an error it is tried again.
const AGAIN: Duration = Duration::from_secs(1);
