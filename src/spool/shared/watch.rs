//! The connection: made, kept, and made again at a steady pace; and the watches that tell what others do.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::kv::{self, Operation, Watch};
use futures_util::StreamExt as _;
use tokio::sync::oneshot;
use tokio::time::MissedTickBehavior;

use super::carried::json;
use super::commit::now;
use super::fault::Fault;
use super::index::{Known, Standing};
use super::link::Session;
use super::pull::Puller;
use super::record::Record;
use super::subject::{Entry, Lane};
use super::unreadable::Unread;
use super::{Part, Shared};
use crate::message::id::QueueId;
use crate::spool::operator::Pause;
use crate::telemetry::metrics::GroupState;

/// Connects, and connects again when the connection fails.
pub(super) async fn keep_connected(shared: Shared) {
    if shared.0.plan.part == Part::Gateway {
        shared.spawn(Puller::of(shared.clone(), Lane::Several).run());
        shared.spawn(shared.clone().sweep_on());
        shared.spawn(shared.clone().lead_on());
        shared.spawn(shared.clone().show_figures());
    }
    let mut told = Told::default();
    loop {
        let fault = match shared.connect().await {
            Ok(session) => shared.serve(session, &mut told).await,
            Err(fault) => fault,
        };
        told.failed(&shared, &fault);
        shared.0.session.send_replace(None);
        tokio::time::sleep(AGAIN).await;
    }
}

/// What the log was told: once, and then at intervals.
#[derive(Debug, Default)]
struct Told {
    failed_at: Option<std::time::Instant>,
}

impl Told {
    /// All that the servers have is known: one that answers, and then fails before that, is no news each time.
    fn connected(&mut self, shared: &Shared) {
        if self.failed_at.take().is_some() {
            tracing::warn!(
                "The shared spool answers again; what the local spool took meanwhile is emptied into it."
            );
        } else {
            tracing::info!(
                servers = shared.0.plan.cluster.named(),
                gateway = shared.0.me.0,
                "The shared spool is open."
            );
        }
        shared.0.metrics.set_spool_group(GroupState::Open);
        shared.answered();
    }

    fn failed(&mut self, shared: &Shared, fault: &Fault) {
        shared.0.metrics.set_spool_group(GroupState::Unreachable);
        shared.silent(&Fault::lost(fault));
        let recent = self.failed_at.is_some_and(|at| now().saturating_duration_since(at) < TELL_EVERY);
        if !recent {
            self.failed_at = Some(now());
            tracing::error!(
                "The shared spool does not answer; the local spool takes messages, and nothing is delivered until it \
                 does: {fault}"
            );
        }
    }
}

impl Shared {
    async fn connect(&self) -> Result<Arc<Session>, Fault> {
        let connection = self.0.plan.cluster.connect(CONNECT_WITHIN).await.map_err(Fault::lost)?;
        let session = Session::open(connection, &self.0.plan).await?;
        self.agree_on_settings(&session).await?;
        self.take_stock(&session).await?;
        Ok(Arc::new(session))
    }

    /// Works over one connection until it fails; says why.
    async fn serve(&self, session: Arc<Session>, told: &mut Told) -> Fault {
        let (loaded, wait) = oneshot::channel();
        let opened = async {
            // The others must not wait for a watch that ends with a fault.
            if wait.await.is_ok() {
                told.connected(self);
                self.0.session.send_replace(Some(Arc::clone(&session)));
                self.wake_all();
            }
            std::future::pending::<Fault>().await
        };
        tokio::select! {
            fault = self.watch(&session, loaded) => fault,
            fault = opened => fault,
            fault = self.live(&session) => fault,
            fault = self.keep_in_hand(&session) => fault,
            () = session.replaced.notified() => Fault::Replaced,
            never = self.empty_fallback() => match never {},
        }
    }

    /// Follows what others change; `loaded` hears when all that was there is known.
    async fn watch(&self, session: &Session, loaded: oneshot::Sender<()>) -> Fault {
        let (mut pauses, mut copies, extents) = match self.begin_to_watch(session).await {
            Ok(watches) => watches,
            Err(fault) => return fault,
        };
        let [pauses_to, copies_to] = extents;
        let mut loading =
            Some(Loading { loaded, seen: HashSet::new(), pauses: pauses_to, copies: copies_to });
        loop {
            let (entry, which) = tokio::select! {
                entry = pauses.next() => (entry, Which::Pauses),
                entry = copies.next() => (entry, Which::Copies),
            };
            let entry = match entry {
                Some(Ok(entry)) => entry,
                Some(Err(error)) => return Fault::lost(error),
                None => return Fault::lost("a watch ended"),
            };
            let value = (entry.operation == Operation::Put).then_some(&*entry.value);
            self.changed(&entry.key, value, entry.revision);
            if let Some(mut current) = loading.take() {
                current.note(&entry, which);
                if current.is_whole() {
                    self.loaded(current);
                } else {
                    loading = Some(current);
                }
            }
        }
    }

    /// Each watch gives what is there in the order in which it was written, and then a mark that is written after it
    /// began. (How many are still to come, which the client goes by, is never 0 again once another gateway has written
    /// over one of them at the wrong moment.)
    async fn begin_to_watch(&self, session: &Session) -> Result<(Watch, Watch, [Extent; 2]), Fault> {
        let pauses = session.queue.watch_with_history(Entry::PAUSES).await.map_err(Fault::lost)?;
        let copies = session.queue.watch_with_history(Entry::COPIES).await.map_err(Fault::lost)?;
        let mut extents = [Extent::Whole; 2];
        for (extent, mark) in extents.iter_mut().zip([Entry::PAUSES_MARK, Entry::COPIES_MARK]) {
            let revision = session.queue.put(mark, json(&self.0.me)).await.map_err(Fault::lost)?;
            *extent = Extent::Until(revision);
        }
        Ok((pauses, copies, extents))
    }

    /// One key has another value, or none any more.
    fn changed(&self, key: &str, value: Option<&[u8]>, revision: u64) {
        match (Entry::parse(key), value) {
            (Some(Entry::Copies(id)), Some(value)) => match serde_json::from_slice::<Record>(value) {
                Ok(record) => {
                    self.state().unreadable.remove(&id);
                    // What is in hand is dealt with by its next change, which finds out.
                    if !self.state().note_in_bucket(id, record.key) {
                        self.set(id, Known { record, standing: Standing::Queue { revision } });
                    }
                }
                Err(error) => {
                    tracing::error!(%id, %error, "What became of a message cannot be read; it is left alone.");
                    let unread = Unread::in_bucket(id, value, revision, &error);
                    self.state().unreadable.insert(id, unread);
                }
            },
            (Some(Entry::Copies(id)), None) => {
                let mut state = self.state();
                state.index.remove(id, Some(revision));
                state.unreadable.remove(&id);
                state.bury(key.to_owned(), revision);
            }
            (Some(Entry::Pause(destination)), value) => {
                let pause = value.and_then(|value| serde_json::from_slice::<Pause>(value).ok());
                if pause.is_none() {
                    self.state().bury(key.to_owned(), revision);
                }
                self.state().index.set_pause(&destination, pause);
                self.0.subscribers.wake(&BTreeSet::from([destination]));
            }
            (Some(Entry::Message(_) | Entry::Group(_) | Entry::Told(..)) | None, _) => {}
        }
    }

    /// All that was there is known: what is not there any more goes.
    fn loaded(&self, loading: Loading) {
        {
            let mut state = self.state();
            state.unreadable.retain(|id, _| loading.seen.contains(id));
            let queue = |known: &Known| matches!(known.standing, Standing::Queue { .. });
            let all = state.index.all().filter(|(_, known)| queue(known)).map(|(id, _)| id);
            let gone: Vec<_> = all.filter(|id| !loading.seen.contains(id)).collect();
            gone.into_iter().for_each(|id| state.index.remove(id, None));
        }
        // Nobody waits where the session has ended.
        loading.loaded.send(()).unwrap_or_default();
    }

    /// Tells the stream what is still wanted, and gives back what no lane took.
    async fn keep_in_hand(&self, session: &Session) -> Fault {
        let mut ticks = tokio::time::interval(REVIEW);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let began = now();
            let (wanted, unwanted) = self.state().review(began);
            for id in &wanted {
                let reply = self.state().hands.get(id).map(|hand| hand.reply.clone());
                let Some(reply) = reply else { continue };
                session.tell(&reply, "+WPI").await;
            }
            // Nobody answers to that. Only an answer to what was asked after it says that the connection carries anything.
            if !wanted.is_empty() && session.look().await.is_ok() {
                self.state().still_wanted(&wanted, began);
            }
            let leased = self.state().index.leased();
            for id in unwanted.into_iter().chain(leased) {
                self.let_go(session, id).await;
            }
        }
    }
}

/// What is known of a load.
struct Loading {
    loaded: oneshot::Sender<()>,
    seen: HashSet<QueueId>,
    pauses: Extent,
    copies: Extent,
}

/// What of a bucket is still to be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// All before this revision, which is that of a mark, or later where another gateway wrote the mark anew.
    Until(u64),
    /// All of it.
    Whole,
}

/// Which watch speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Pauses,
    Copies,
}

impl Loading {
    fn note(&mut self, entry: &kv::Entry, which: Which) {
        if let (Some(Entry::Copies(id)), Operation::Put) = (Entry::parse(&entry.key), entry.operation) {
            self.seen.insert(id);
        }
        let extent = match which {
            Which::Pauses => &mut self.pauses,
            Which::Copies => &mut self.copies,
        };
        if matches!(*extent, Extent::Until(mark) if entry.revision >= mark) {
            *extent = Extent::Whole;
        }
    }

    fn is_whole(&self) -> bool {
        (self.pauses, self.copies) == (Extent::Whole, Extent::Whole)
    }
}

/// For a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Before the next try to connect.
const AGAIN: Duration = Duration::from_secs(1);
/// Between two lines in the log about servers that do not answer.
const TELL_EVERY: Duration = Duration::from_secs(300);
/// Between two looks at what is in hand.
const REVIEW: Duration = Duration::from_secs(5);
