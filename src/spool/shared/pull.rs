//! Pulling from the stream: as many messages as a lane has room for, and no more, so that the rest is there for others.

use std::time::{Duration, Instant};

use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::PullConsumer;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use jiff::Timestamp;

use super::Shared;
use super::carried::{Carried, Unreadable};
use super::claim::Claimed;
use super::commit::now;
use super::fault::Fault;
use super::index::Standing;
use super::link::Session;
use super::position::Position;
use super::record::Record;
use super::state::{Hand, InBucket};
use super::subject::Lane;
use super::unreadable::Unread;
use crate::message::id::QueueId;
use crate::message::mail::Group;
use crate::spool::rows::later;
use crate::telemetry::metrics::SpoolState;

/// The task that pulls for one lane.
#[derive(Debug)]
pub(super) struct Puller {
    shared: Shared,
    lane: Lane,
}

impl Puller {
    pub(super) const fn of(shared: Shared, lane: Lane) -> Self {
        Self { shared, lane }
    }

    /// Pulls until the spool closes.
    pub(super) async fn run(self) {
        let mut sessions = self.shared.0.session.subscribe();
        loop {
            let Some(session) = sessions.borrow_and_update().clone() else {
                if sessions.changed().await.is_err() {
                    return;
                }
                continue;
            };
            let ended = async { sessions.changed().await.is_ok() };
            tokio::select! {
                goes_on = ended => if !goes_on { return },
                fault = self.serve(&session) => {
                    tracing::debug!(lane = %self.lane, %fault, "Nothing can be pulled from the shared spool now.");
                    tokio::time::sleep(AFTER_FAULT).await;
                }
            }
        }
    }

    /// Pulls over one connection until that fails.
    async fn serve(&self, session: &Session) -> Fault {
        let consumer = match session.consumer(&self.lane).await {
            Ok(consumer) => consumer,
            Err(fault) => return fault,
        };
        loop {
            let wanted = self.wanted().await;
            if let Err(fault) = self.pull(session, &consumer, wanted).await {
                return fault;
            }
        }
    }

    /// Waits until there is room.
    async fn wanted(&self) -> usize {
        let Lane::One(destination) = &self.lane else { return FOR_SEVERAL };
        let wants = self.shared.state().wants(destination);
        loop {
            match self.shared.state().wanted(destination) {
                0 => {}
                wanted => return wanted,
            }
            wants.notified().await;
        }
    }

    async fn pull(&self, session: &Session, consumer: &PullConsumer, wanted: usize) -> Result<(), Fault> {
        let batch = consumer.batch().max_messages(wanted).expires(PATIENCE).messages().await;
        let mut batch = batch.map_err(Fault::lost)?.ready_chunks(AT_ONCE);
        while let Some(messages) = batch.next().await {
            let messages = messages.into_iter().collect::<Result<Vec<_>, _>>().map_err(Fault::lost)?;
            let opened = messages.into_iter().map(|message| self.shared.open_pulled(session, message));
            for pulled in join_all(opened).await {
                self.shared.take_pulled(session, &self.lane, pulled?).await?;
            }
        }
        Ok(())
    }
}

/// A message that came from the stream.
struct Pulled {
    message: Message,
    position: Position,
    /// When it came.
    at: Instant,
    /// As this version writes it, and whether it is to be delivered.
    carried: Result<(Carried, Claimed), Unreadable>,
}

impl Shared {
    /// A message came from the stream.
    pub(super) async fn received(
        &self,
        session: &Session,
        lane: &Lane,
        message: Message,
    ) -> Result<(), Fault> {
        let pulled = self.open_pulled(session, message).await?;
        self.take_pulled(session, lane, pulled).await
    }

    /// Reads a message and claims it. That has no order, and may be done for many at once.
    async fn open_pulled(&self, session: &Session, message: Message) -> Result<Pulled, Fault> {
        let (at, position) = (now(), Position::of_pulled(&message)?);
        let carried = match Carried::parse(&message.payload) {
            Ok(carried) => {
                let claimed = self.claim(session, &carried.record, position, at).await;
                Ok((carried, claimed))
            }
            Err(unreadable) => Err(unreadable),
        };
        Ok(Pulled { message, position, at, carried })
    }

    async fn take_pulled(&self, session: &Session, lane: &Lane, pulled: Pulled) -> Result<(), Fault> {
        let Pulled { message, position, at: told, carried } = pulled;
        let Some(reply) = message.reply.as_ref().map(ToString::to_string) else { return Ok(()) };
        let (carried, claimed) = match carried {
            Ok(opened) => opened,
            Err(unreadable) => {
                let info = message.info().map_err(Fault::lost)?;
                if info.delivered == 1 {
                    self.0.metrics.spool_corrupt();
                    tracing::error!(
                        sequence = position.sequence(),
                        "A message of the shared spool cannot be read and stays there (`nats stream get`): {unreadable}"
                    );
                }
                let at = Timestamp::from_second(info.published.unix_timestamp()).unwrap_or_default();
                let subject = message.subject.as_str();
                let place = position.sequence();
                let (_, unread) = Unread::in_stream(subject, &message.payload, place, at, &unreadable);
                self.state().note_unread(subject, unread);
                session.tell(&reply, "-NAK {\"delay\": 300000000000}").await;
                return Ok(());
            }
        };
        if claimed == Claimed::Double {
            // Before its number is looked at: another one of the same millisecond has the same.
            tracing::debug!(id = %carried.id, key = %carried.record.key, "The stream has a message twice.");
            session.acknowledge(&reply).await?;
            self.0.metrics.spool_doubled(1);
            return Ok(());
        }
        let Some(id) = self.number_for(session, &carried, &reply, position).await? else { return Ok(()) };
        if claimed == Claimed::DealtWith {
            return session.acknowledge(&reply).await;
        }
        let carried = Carried { id, ..carried };
        let in_bucket = InBucket::Nothing;
        let hand = Hand { reply, position, text: carried.text, told, in_bucket };
        let again = hand.reply.clone();
        let taken = self.take(session, lane, id, carried.record, carried.group, hand).await;
        match taken {
            Err(Fault::Full(said)) => {
                // It stays in the stream, and keeps none behind it.
                tracing::debug!(%id, said, "There is no room to carry a message on.");
                session.tell(&again, WHEN_FULL).await;
                Ok(())
            }
            other => other,
        }
    }

    /// Takes a message in hand, or carries it on where it cannot be delivered from there.
    async fn take(
        &self,
        session: &Session,
        lane: &Lane,
        id: QueueId,
        record: Record,
        group: Option<Group>,
        hand: Hand,
    ) -> Result<(), Fault> {
        match (lane, group) {
            (_, Some(group)) => self.gather(session, id, record, &group, &hand).await,
            (Lane::Several, None) => self.carry_on_or_refresh(session, id, record, &hand).await,
            (Lane::One(_), None) if self.waits(&record) => {
                self.carry_on_or_refresh(session, id, record, &hand).await
            }
            (Lane::One(_), None) => {
                self.take_in_hand(id, record, hand);
                Ok(())
            }
        }
    }

    /// Whether nothing of it can be delivered now: it came from a local spool, where it had met something before.
    fn waits(&self, record: &Record) -> bool {
        let soon = later(crate::spool::local::now(), self.0.plan.dedup_window);
        record.copies.iter().all(|copy| copy.state != SpoolState::Queued || copy.due > soon)
    }

    /// The number that a message is known by here; `None` when nothing is left to do about it.
    async fn number_for(
        &self,
        session: &Session,
        carried: &Carried,
        reply: &str,
        position: Position,
    ) -> Result<Option<QueueId>, Fault> {
        let mut id = carried.id;
        loop {
            let known = self.state().index.of(id).map(|known| (known.record.key, known.standing));
            match known {
                None => return Ok(Some(id)),
                Some((key, Standing::InHand)) if key == carried.record.key => {
                    // The stream gave it out again: from now on it is acknowledged there.
                    if let Some(hand) = self.state().hands.get_mut(&id) {
                        reply.clone_into(&mut hand.reply);
                        hand.position = position;
                        hand.told = now();
                    }
                    return Ok(None);
                }
                Some((key, Standing::Queue { .. })) if key == carried.record.key => {
                    self.leaves_stream(session, &carried.record, position).await?;
                    session.acknowledge(reply).await?;
                    return Ok(None);
                }
                // Another message of the same moment has this number by chance.
                Some(_) => match QueueId::from_row(id.as_row().saturating_add(1)) {
                    Some(next) => id = next,
                    None => return Ok(Some(id)),
                },
            }
        }
    }

    /// As [`Self::carry_on`], where another gateway may have done so.
    pub(super) async fn carry_on_or_refresh(
        &self,
        session: &Session,
        id: QueueId,
        record: Record,
        hand: &Hand,
    ) -> Result<(), Fault> {
        let key = record.key;
        match self.carry_on(session, id, record, hand).await {
            Err(Fault::Conflict) => {
                self.refresh(session, id).await?;
                let there = self.state().index.of(id).map(|known| known.record.clone());
                match there {
                    Some(there) if there.key == key => {
                        self.leaves_stream(session, &there, hand.position).await?;
                        session.acknowledge(&hand.reply).await
                    }
                    // Another message of the same moment has this number by chance: ours comes again under a new one. Or
                    // it was carried on and is done with, which is found out when it comes again.
                    Some(_) | None => {
                        session.tell(&hand.reply, "-NAK").await;
                        Ok(())
                    }
                }
            }
            other => other,
        }
    }
}

/// After a fault, before the next try.
const AFTER_FAULT: Duration = Duration::from_secs(1);
/// How long the stream waits for messages before it is asked anew.
const PATIENCE: Duration = Duration::from_secs(5);
/// Messages that are claimed at the same time.
const AT_ONCE: usize = 32;
/// Messages to several destinations at a time: they are only carried on.
const FOR_SEVERAL: usize = 64;
/// Gives a message back for ten seconds.
const WHEN_FULL: &str = "-NAK {\"delay\": 10000000000}";
