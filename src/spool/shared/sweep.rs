//! What is due once a minute, by the one gateway that leads: time that ran out, and what nobody needs any more.

use std::time::Duration;

use futures_util::StreamExt as _;
use jiff::Timestamp;
use tokio::time::MissedTickBehavior;

use super::carried::Carried;
use super::link::{Fault, Session};
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
        if *self.0.lead.borrow() == Lead::Another || self.session().is_none() || !self.lives() {
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
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let Some(session) = self.session() else { continue };
            let graves = self.state().graves();
            if *self.0.lead.borrow() == Lead::Another {
                continue;
            }
            if let Err(fault) = self.tidy(&session, graves).await {
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

    async fn tidy(&self, session: &Session, graves: Vec<(String, u64)>) -> Result<(), Fault> {
        for (key, revision) in graves {
            session.bury(&key, revision).await?;
        }
        for (consumer, waiting) in session.waiting().await? {
            if let Some(lane) = Lane::of_consumer(&consumer).filter(|_| waiting > 0) {
                self.carry_on_old(session, &lane).await?;
            }
        }
        self.remove_orphans(session).await
    }

    /// Carries on what lies in the stream for long: from then on it can expire, and its sender be told.
    async fn carry_on_old(&self, session: &Session, lane: &Lane) -> Result<(), Fault> {
        let consumer = session.consumer(lane).await?;
        loop {
            let Some(first) = session.next(&lane.filter(), 1).await? else { return Ok(()) };
            let is_old = match Carried::parse(&first.payload) {
                Ok(carried) => later(carried.record.accepted_at, OLD) <= now(),
                Err(_) => false,
            };
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
    async fn remove_orphans(&self, session: &Session) -> Result<(), Fault> {
        let oldest = now().checked_sub(ORPHANED).unwrap_or(Timestamp::MIN).as_second();
        for (key, written) in session.contents().await? {
            if written > oldest
                || self.has_content(key)
                || session.find(subject::by_key(key)).await?.is_some()
            {
                continue;
            }
            session.remove_content(key).await?;
            tracing::info!(%key, "Content of the shared spool that no message has was removed.");
        }
        Ok(())
    }

    fn has_content(&self, key: super::key::Key) -> bool {
        let state = self.state();
        let wanted = |(_, known): (QueueId, &super::index::Known)| {
            known.record.key == key && known.record.content == Kept::Object
        };
        state.index.all().any(wanted)
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
