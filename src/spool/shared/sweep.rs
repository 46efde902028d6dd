//! What is due once a minute, by the one gateway that leads: time that ran out, and what nobody needs any more.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use jiff::Timestamp;
use tokio::time::MissedTickBehavior;

use super::carried::Carried;
use super::fault::Fault;
use super::leftovers::Looks;
use super::link::Session;
use super::orphans::Orphan;
use super::record::Record;
use super::subject::Lane;
use super::{Lead, Shared};
use crate::spool::copy::{Expired, Overdue, Swept};
use crate::spool::error::SpoolError;
use crate::spool::local::now;

/// How the gateway that leads sweeps what is left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sweeping {
    /// Between two sweeps.
    pub every: Duration,
    /// What lies in the stream for longer is carried on, so that it can expire.
    pub old: Duration,
    /// Content or a body without a message may still get one until then.
    pub orphaned: Duration,
}

impl Default for Sweeping {
    /// Each minute; after five minutes; after an hour.
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        Self { every: minute, old: minute.saturating_mul(5), orphaned: minute.saturating_mul(60) }
    }
}

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

    /// What the delivery side knows nothing of: old messages of the stream, content and bodies without a message.
    pub(super) async fn sweep_on(self) {
        let (mut suspects, mut before) = (HashSet::new(), Vec::new());
        let mut looks = Looks::default();
        let mut ticks = tokio::time::interval(self.0.plan.sweeping.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let Some(session) = self.session() else { continue };
            // Of the sweep before: a message is gone some time before the mark of its removal goes too.
            let graves = std::mem::replace(&mut before, self.state().graves());
            if *self.0.lead.borrow() == Lead::Another {
                suspects.clear();
                looks = Looks::default();
                continue;
            }
            if let Err(fault) = self.tidy(&session, graves, &mut suspects, &mut looks).await {
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
        suspects: &mut HashSet<Orphan>,
        looks: &mut Looks,
    ) -> Result<(), Fault> {
        for (key, revision) in graves {
            session.bury(&key, revision).await?;
        }
        let consumers = session.progress().await?;
        for consumer in consumers.iter().filter(|consumer| consumer.waiting > 0) {
            if let Some(lane) = Lane::of_consumer(&consumer.name) {
                self.carry_on_old(session, &lane).await?;
            }
        }
        self.deal_with_leftovers(session, &consumers, looks).await?;
        self.remove_orphans(session, suspects).await
    }

    /// Carries on what lies in the stream for long and is in nobody's hand: from then on it can expire, and its sender be
    /// told. What comes after it is given back.
    async fn carry_on_old(&self, session: &Session, lane: &Lane) -> Result<(), Fault> {
        let before = now().checked_sub(self.0.plan.sweeping.old).unwrap_or(Timestamp::MIN);
        if !first_is_old(session, lane, before).await? {
            return Ok(());
        }
        let consumer = session.consumer(lane).await?;
        // The first may be one that some gateway delivers for long, and all that can be had be young.
        let mut most: usize = 1;
        loop {
            let batch = consumer.fetch().max_messages(most).messages().await.map_err(Fault::lost)?;
            let mut batch = Box::pin(batch);
            let (mut old, mut young) = (0_usize, 0_usize);
            while let Some(message) = batch.next().await {
                let message = message.map_err(Fault::lost)?;
                if is_old(&message.payload, before) {
                    old = old.saturating_add(1);
                    self.received(session, &Lane::Several, message).await?;
                } else if let Some(reply) = &message.reply {
                    young = young.saturating_add(1);
                    session.tell(reply, "-NAK").await;
                }
            }
            if old == 0 || young > 0 {
                return Ok(());
            }
            most = most.saturating_mul(2).min(BATCH);
        }
    }
}

/// Whether the first message of a lane that can be read is old. One that cannot stays for the operator, and must not keep
/// those behind it from their end.
async fn first_is_old(session: &Session, lane: &Lane, before: Timestamp) -> Result<bool, Fault> {
    let mut from = 1;
    while let Some(first) = session.next(&lane.filter(), from).await? {
        match Carried::parse(&first.payload) {
            Ok(carried) => return Ok(carried.record.accepted_at <= before),
            Err(_) => from = first.sequence.saturating_add(1),
        }
    }
    Ok(false)
}

/// Whether a message is to be carried on; one that cannot be read is looked after in the same way.
fn is_old(payload: &Bytes, before: Timestamp) -> bool {
    Carried::parse(payload).map_or(true, |carried| carried.record.accepted_at <= before)
}

/// Messages carried on at a time.
const BATCH: usize = 200;
