//! What is due once a minute, by the one gateway that leads: time that ran out, and what nobody needs any more.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::StreamExt as _;
use jiff::Timestamp;
use tokio::time::MissedTickBehavior;

use super::carried::Carried;
use super::fault::Fault;
use super::key::Key;
use super::link::Session;
use super::record::{Kept, Record};
use super::subject::{self, Lane};
use super::{Lead, Shared};
use crate::message::id::QueueId;
use crate::spool::copy::{Expired, Overdue, Swept};
use crate::spool::error::SpoolError;
use crate::spool::local::now;
use crate::spool::rows::later;

impl Shared {
    /// See [`crate::spool::Spool::overdue`]; nothing while another gateway leads.
    pub(in crate::spool) fn overdue(&self, now: Timestamp) -> Vec<Overdue> {
        if *self.0.lead.borrow() != Lead::Ours || self.session().is_none() || !self.lives() {
            return Vec::new();
        }
        self.state().index.overdue(now, usize::try_from(Swept::BATCH).unwrap_or(usize::MAX))
    }

    /// See [`crate::spool::Spool::sweep`]; nothing while another gateway leads.
    pub(in crate::spool) async fn sweep(&self, now: Timestamp) -> Result<Swept, SpoolError> {
        let Some(session) = self.session().filter(|_| *self.0.lead.borrow() == Lead::Ours) else {
            return Ok(Swept::default());
        };
        self.swept(&session, now).await.map_err(|fault| fault.in_spool("sweep"))
    }

    /// What the delivery side knows nothing of: old messages of the stream, content without a message.
    pub(super) async fn sweep_on(self) {
        let mut suspects = HashSet::new();
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let Some(session) = self.session() else { continue };
            let graves = self.state().graves();
            if *self.0.lead.borrow() == Lead::Another {
                suspects.clear();
                continue;
            }
            if let Err(fault) = self.tidy(&session, graves, &mut suspects).await {
                tracing::debug!(%fault, "The shared spool was not tidied; the next sweep does it.");
            }
        }
    }

    async fn swept(&self, session: &Session, now: Timestamp) -> Result<Swept, Fault> {
        let forget = now.checked_sub(self.0.failed_keep).unwrap_or(Timestamp::MIN);
        let keep = self.0.failed_keep;
        let due = |record: &Record| record.next_sweep(keep).is_some_and(|at| at <= now);
        let ids = self.state().index.idle(due);
        let mut swept = Swept::default();
        for id in ids.into_iter().take(usize::try_from(Swept::BATCH).unwrap_or(usize::MAX)) {
            let changed =
                self.change(session, id, |record| (record.expire(id, now), record.forget(forget))).await?;
            let (expired, forgotten): (Vec<Expired>, u64) = changed.unwrap_or_default();
            swept.expired.extend(expired);
            swept.forgotten = swept.forgotten.saturating_add(forgotten);
        }
        swept.groups = self.forget_groups(session, now).await?;
        Ok(swept)
    }

    async fn tidy(
        &self,
        session: &Session,
        graves: Vec<(String, u64)>,
        suspects: &mut HashSet<Key>,
    ) -> Result<(), Fault> {
        for (key, revision) in graves {
            session.bury(&key, revision).await?;
        }
        for (consumer, waiting) in session.waiting().await? {
            if let Some(lane) = Lane::of_consumer(&consumer).filter(|_| waiting > 0) {
                self.carry_on_old(session, &lane).await?;
            }
        }
        self.remove_orphans(session, suspects).await
    }

    /// Carries on what lies in the stream for long: from then on it can expire, and its sender be told.
    async fn carry_on_old(&self, session: &Session, lane: &Lane) -> Result<(), Fault> {
        let consumer = session.consumer(lane).await?;
        let mut from = 1;
        loop {
            let Some(first) = session.next(&lane.filter(), from).await? else { return Ok(()) };
            let Ok(carried) = Carried::parse(&first.payload) else {
                // It stays for the operator, and must not keep those behind it from their end.
                from = first.sequence.saturating_add(1);
                continue;
            };
            let is_old = later(carried.record.accepted_at, OLD) <= now();
            if !is_old {
                return Ok(());
            }
            let batch = consumer.fetch().max_messages(BATCH).messages().await.map_err(Fault::lost)?;
            let mut batch = Box::pin(batch);
            let mut any = false;
            while let Some(message) = batch.next().await {
                any = true;
                self.received(session, &Lane::Several, message.map_err(Fault::lost)?).await?;
            }
            if !any {
                // Some gateway has it in hand.
                return Ok(());
            }
        }
    }

    /// Removes content that no message has: its gateway ended between the two, or could not remove it.
    ///
    /// A message on its way from the stream into the bucket can be seen in neither: content is removed when two sweeps
    /// found no message for it.
    async fn remove_orphans(&self, session: &Session, suspects: &mut HashSet<Key>) -> Result<(), Fault> {
        let oldest = now().checked_sub(ORPHANED).unwrap_or(Timestamp::MIN).as_second();
        let (mut before, known) = (std::mem::take(suspects), self.contents_known());
        // One whose fates this version cannot read may have any of them.
        let Some(known) = known else { return Ok(()) };
        for (key, written) in session.contents().await? {
            if written > oldest || known.contains(&key) || session.find(subject::by_key(key)).await?.is_some()
            {
                continue;
            }
            if !before.remove(&key) {
                suspects.insert(key);
            } else if session.remove_content_of(key, oldest).await? {
                tracing::info!(%key, "Content of the shared spool that no message has was removed.");
            }
        }
        Ok(())
    }

    /// The content of messages in the bucket; `None` while there are some that this version cannot read.
    fn contents_known(&self) -> Option<HashSet<Key>> {
        let state = self.state();
        let wanted = |(_, known): (QueueId, &super::index::Known)| {
            (known.record.content == Kept::Object).then_some(known.record.key)
        };
        state.unreadable.is_empty().then(|| state.index.all().filter_map(wanted).collect())
    }
}

/// Between two sweeps.
const EVERY: Duration = Duration::from_secs(60);
/// What lies in the stream for longer is carried on.
const OLD: Duration = Duration::from_secs(5 * 60);
/// Content without a message may still get one until then.
const ORPHANED: Duration = Duration::from_secs(60 * 60);
/// Messages carried on at a time.
const BATCH: usize = 200;
