//! The spool that several gateways share, in JetStream.
//!
//! # What lies there
//! | Name | What it is |
//! |---|---|
//! | stream `MAILSLOTD_SPOOL` | Accepted messages that nobody has carried on: work-queue retention, one subject and one durable consumer for each destination, and one for messages to several. Acceptance is its acknowledgement. |
//! | bucket `MAILSLOTD_QUEUE` | Messages that wait: `copies.<id>` the fates of their copies, which all gateways watch; `message.<id>` body and content; pauses, groups, what the operator was told. |
//! | bucket `MAILSLOTD_IDS` | Key of a message → when it was heard. Written before a message leaves the stream. Which of several with one key is delivered (`claim.rs`). |
//! | bucket `MAILSLOTD_GROUP` | `member.<gateway>` while it lives, `leader` (`election.rs`): its messages go by themselves after a few seconds. |
//! | Object Store `MAILSLOTD_CONTENT` | Content above 64 KiB, under the message's key. |
//!
//! # A message's way
//! `accept.rs` publishes it under its key (`key.rs`). `pull.rs` takes it from the stream, drops it when it is there twice
//! (`claim.rs`), and has it *in hand*: other gateways have it only after [`link::ACK_WAIT`] without a word. Delivered at once, it is noted and acknowledged, and
//! that was all. Anything else (a delay, a failure, several destinations, a group that gathers, the operator) carries it
//! on (`commit.rs`): first body, then fates are written to the queue bucket, then the stream is told. From then on every
//! change is a compare-and-set on its fates. Who wants to deliver it leases it in the same way, for as long as it lives.
//!
//! # When the servers do not answer
//! Acceptance goes into the local spool, which `fallback.rs` empties into the stream later. Nothing is delivered
//! meanwhile: another gateway may have the same message.

mod accept;
mod bucket;
mod carried;
mod claim;
mod commit;
mod election;
mod fallback;
mod fault;
mod group;
mod handing;
mod ids;
mod index;
mod key;
mod leftovers;
mod link;
mod lives;
mod load;
mod making;
mod objects;
mod operator;
mod orphans;
mod parting;
mod position;
mod pull;
mod record;
mod rescue;
mod room;
mod seen;
mod settings;
mod settle;
mod share;
mod standing;
mod state;
mod stream;
mod subject;
mod sweep;
#[cfg(test)]
mod tests;
mod unreadable;
mod watch;

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, watch as channel};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::fault::Fault;
use self::handing::Handing;
use self::link::Session;
use self::pull::Puller;
use self::record::GatewayId;
use self::state::State;
pub use self::sweep::Sweeping;
use super::Lead;
use super::copy::Due;
use super::error::SpoolError;
use super::limits::Limits;
use super::local::{self, Local};
use super::rows;
use super::subscribers::Subscribers;
use crate::message::id::{DestinationName, QueueId};
use crate::message::mail::Class;
use crate::message::recipient::RecipientNumber;
use crate::net::nats::Cluster;
use crate::telemetry::metrics::Metrics;

/// Where the shared spool is, and how it is made.
#[derive(Debug, Clone)]
pub struct GroupPlan {
    /// The servers.
    pub cluster: Cluster,
    /// On how many of them everything lies: 1 to 5.
    pub replicas: usize,
    /// The stream holds at most so many bytes.
    pub max_bytes: Option<u64>,
    /// How long the stream knows a datagram that two gateways heard, and how far apart their clocks may be.
    pub dedup_window: Duration,
    /// What other gateways and the operator know this one by.
    pub name: String,
    /// Whether this process delivers, or only looks and acts for the operator.
    pub part: Part,
    /// How what is left behind is swept.
    pub sweeping: Sweeping,
}

/// What a process does with the shared spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Takes messages in and delivers.
    Gateway,
    /// Looks at the queue and acts for the operator.
    Visitor,
}

/// A handle of the shared spool; clones share it.
#[derive(Debug, Clone)]
pub(super) struct Shared(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    plan: GroupPlan,
    me: GatewayId,
    /// Takes over while the stream does not answer, and lends its folder to content on its way.
    local: Local,
    failed_keep: Duration,
    state: Mutex<State>,
    session: channel::Sender<Option<Arc<Session>>>,
    lead: channel::Sender<Lead>,
    subscribers: Subscribers,
    handing: Handing,
    metrics: Arc<Metrics>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Shared {
    /// Opens the local spool in `dir`, and connects in the background. Must be called within the runtime.
    ///
    /// # Errors
    /// As [`Local::open`].
    pub(super) fn open(
        dir: &Path,
        limits: Limits,
        expire: Duration,
        metrics: Arc<Metrics>,
        plan: GroupPlan,
    ) -> Result<Self, SpoolError> {
        // Its figures are those of the fallback and must not stand for the group's.
        let local = Local::open(dir, limits, expire, Arc::new(Metrics::new()))?;
        let me = GatewayId::new(&plan.name)?;
        let inner = Arc::new(Inner {
            state: Mutex::new(State::new(me.clone())),
            me,
            local,
            failed_keep: limits.failed_keep,
            session: channel::Sender::new(None),
            lead: channel::Sender::new(Lead::Another),
            subscribers: Subscribers::default(),
            handing: Handing::default(),
            metrics,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            plan,
        });
        let shared = Self(inner);
        shared.spawn(watch::keep_connected(shared.clone()));
        shared.0.metrics.set_spool_group(crate::telemetry::metrics::GroupState::Unreachable);
        Ok(shared)
    }

    /// See [`super::Spool::accepting`].
    pub(super) fn accepting(&self, class: Class) -> Result<(), SpoolError> {
        if self.open_session().is_some() { Ok(()) } else { self.0.local.accepting(class) }
    }

    /// The local spool behind it.
    pub(super) fn local(&self) -> &Local {
        &self.0.local
    }

    /// See [`super::Spool::lead`].
    pub(super) fn lead(&self) -> channel::Receiver<Lead> {
        self.0.lead.subscribe()
    }

    /// See [`super::Spool::subscribe`]. Messages for the destination are pulled from then on.
    pub(super) fn subscribe(&self, destination: &DestinationName) -> Arc<Notify> {
        if self.state().begin(destination) {
            self.spawn(Puller::of(self.clone(), subject::Lane::One(destination.clone())).run());
        }
        self.0.subscribers.subscribe(destination)
    }

    /// See [`super::Spool::due`].
    pub(super) async fn due(
        &self,
        destination: &DestinationName,
        now: Timestamp,
        limit: usize,
        skip: &HashSet<(QueueId, RecipientNumber)>,
    ) -> Result<Vec<Due>, SpoolError> {
        // Nothing that another gateway may have by now.
        let Some(session) = self.session().filter(|_| self.lives()) else { return Ok(Vec::new()) };
        let (found, limit) = {
            let mut state = self.state();
            state.take_back(destination, skip);
            let limit = limit.min(state.most_handed(destination));
            (state.index.due(destination, now, limit, skip), limit)
        };
        let leases = found.free.iter().map(|id| self.lease(&session, *id));
        futures_util::future::join_all(leases).await;
        let mut state = self.state();
        let mut mine = state.index.due(destination, now, limit, skip).mine;
        mine.retain(|copy| !state.partings.keep_from(destination, copy.id));
        state.hand_out(destination, &mine);
        if mine.len() < limit {
            state.want(destination, limit.saturating_sub(mine.len()));
        }
        Ok(mine)
    }

    /// See [`super::Spool::next_due`]. In a few seconds at the latest: a lane that looks says that it wants more, and the
    /// stream is asked for as much as lanes want and no longer.
    pub(super) fn next_due(&self, destination: &DestinationName) -> Option<Timestamp> {
        self.session()?;
        let again = rows::later(local::now(), WANTED_AGAIN);
        Some(self.state().index.next_due(destination).map_or(again, |due| due.min(again)))
    }

    /// See [`super::Spool::opened`].
    pub(super) async fn opened(&self) {
        let mut sessions = self.0.session.subscribe();
        // An error says that the spool is closed: nobody is kept waiting.
        drop(sessions.wait_for(Option::is_some).await);
    }

    /// See [`super::Spool::tried`].
    pub(super) async fn tried(&self) {
        let mut sessions = self.0.session.subscribe();
        if sessions.borrow_and_update().is_none() {
            // As above; whatever comes next is the end of a try.
            drop(sessions.changed().await);
        }
    }

    /// See [`super::Spool::part`].
    pub(super) fn part(&self, destination: &DestinationName, whole: usize) -> usize {
        self.state().part(destination, whole, commit::now())
    }

    /// See [`super::Spool::close`].
    pub(super) async fn close(self) {
        self.0.stop.cancel();
        self.0.tasks.close();
        if tokio::time::timeout(TO_LEAVE, self.leave()).await.is_err() {
            tracing::warn!(
                "The other gateways were not told that this one stops; they take over in a few seconds."
            );
        }
        self.0.tasks.wait().await;
        self.0.session.send_replace(None);
        self.0.local.clone().close().await;
    }

    /// The connection, where there is one and what it has is known.
    fn session(&self) -> Option<Arc<Session>> {
        self.0.session.borrow().clone()
    }

    /// As [`Self::session`], for those who were refused a moment ago too.
    fn open_session(&self) -> Option<Arc<Session>> {
        self.session().filter(|_| !self.state().rests(commit::now()))
    }

    fn needed(&self, op: &'static str) -> Result<Arc<Session>, SpoolError> {
        self.session().ok_or_else(|| Fault::lost("its servers cannot be reached").in_spool(op))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.tasks.spawn(self.0.stop.clone().run_until_cancelled_owned(task));
    }
}

impl GatewayId {
    fn new(name: &str) -> Result<Self, SpoolError> {
        let mut random = [0; 4];
        let unnamed = |error: getrandom::Error| Fault::lost(error).in_spool("name a gateway of");
        getrandom::fill(&mut random).map_err(unnamed)?;
        let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        Ok(Self(format!("{name}-{:08x}", u32::from_be_bytes(random))))
    }

    /// Whether a member is this gateway, as it runs now or as it ran before.
    fn is_a_start_of(&self, member: &Self) -> bool {
        let name = |id: &str| id.rsplit_once('-').map(|(name, _)| name.to_owned());
        name(&self.0) == name(&member.0)
    }
}

/// A lane that waits says so again, before the stream has answered that there is nothing.
const WANTED_AGAIN: Duration = Duration::from_secs(3);
/// To say goodbye to the servers.
const TO_LEAVE: Duration = Duration::from_secs(5);
