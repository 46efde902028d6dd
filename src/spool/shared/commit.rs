//! Changing what became of a message: compare and set, again until nobody else was faster.

use std::time::Instant;

use super::fault::Fault;
use super::ids::Sightings;
use super::index::{Holder, Known, Standing};
use super::key::Key;
use super::link::{Session, TRIES};
use super::position::Position;
use super::record::{Kept, Record};
use super::state::{Hand, InBucket};
use super::{Lead, Shared};
use crate::message::id::QueueId;

impl Shared {
    /// Changes a message's fates, wherever they are; `None` when it is gone. `change` may be asked more than once.
    pub(super) async fn change<T>(
        &self,
        session: &Session,
        id: QueueId,
        mut change: impl FnMut(&mut Record) -> T + Send,
    ) -> Result<Option<T>, Fault> {
        let mut key = None;
        for _ in 0..TRIES {
            let (known, lease, _parting) = {
                let mut state = self.state();
                let Some(known) = state.index.of(id).cloned() else { return Ok(None) };
                let lease = state.is_handed(id).then(|| self.0.me.clone());
                let parting = lease.is_none().then(|| self.part_with(id, &mut state));
                (known, lease, parting)
            };
            if *key.get_or_insert(known.record.key) != known.record.key {
                // The number is another message's; this one gets a new number when the stream gives it out again.
                return Ok(None);
            }
            let mut record = known.record.clone();
            let answer = change(&mut record);
            let others = known.record.lease.is_some() && self.state().index.holder(&known) == Holder::Other;
            let in_queue = matches!(known.standing, Standing::Queue { .. });
            if in_queue && !others {
                record.lease.clone_from(&lease);
            }
            if record == known.record {
                return Ok(Some(answer));
            }
            if !in_queue {
                record.lease = lease;
            }
            let changed = match known.standing {
                Standing::InHand => self.change_in_hand(session, id, record).await,
                Standing::Queue { revision } => self.change_in_queue(session, id, record, revision).await,
            };
            match changed {
                Ok(()) => return Ok(Some(answer)),
                Err(Fault::Conflict) => self.refresh(session, id).await?,
                Err(fault) => return Err(fault),
            }
        }
        Err(Fault::Conflict)
    }

    /// Makes a message this gateway's to deliver, if nobody else was faster.
    pub(super) async fn lease(&self, session: &Session, id: QueueId) {
        if let Err(fault) = self.try_to_lease(session, id).await {
            tracing::debug!(%id, %fault, "A message that is due cannot be leased now.");
        }
    }

    /// Gives back what this gateway has of a message that no lane has.
    pub(super) async fn let_go(&self, session: &Session, id: QueueId) {
        let hand = {
            let mut state = self.state();
            if state.is_handed(id) {
                return;
            }
            let hand = state.hands.get(&id).cloned();
            if hand.is_some() {
                state.index.remove(id, None);
                state.forget(id);
            }
            hand
        };
        match hand {
            // Another has it by now, and goes on with it.
            Some(hand) if !hand.is_safe(now()) => {}
            Some(hand) => session.tell(&hand.reply, "-NAK").await,
            None => {
                // The lease goes with the change that changes nothing else.
                if let Err(fault) = self.change(session, id, |_| ()).await {
                    tracing::debug!(%id, %fault, "A message keeps its lease until it can be given back.");
                }
            }
        }
    }

    /// Writes a message that was pulled into the queue bucket, and tells the stream.
    pub(super) async fn carry_on(
        &self,
        session: &Session,
        id: QueueId,
        mut record: Record,
        hand: &Hand,
    ) -> Result<(), Fault> {
        record.position = Some(hand.position);
        session.put_text(id, &hand.text).await?;
        let revision = session.create_record(id, &record).await?;
        self.leaves_stream(session, &record, hand.position).await?;
        if session.acknowledge(&hand.reply).await.is_ok() {
            record.position = None;
        }
        self.state().hands.remove(&id);
        self.set(id, Known { record, standing: Standing::Queue { revision } });
        Ok(())
    }

    /// Takes over what is in the queue bucket now.
    pub(super) async fn refresh(&self, session: &Session, id: QueueId) -> Result<(), Fault> {
        match session.record(id).await? {
            Some((record, revision)) => {
                let (hand, key) = self.in_hand(id);
                if let Some(hand) = hand {
                    if key == Some(record.key) {
                        // Another gateway, or the operator, carried it on.
                        self.leaves_stream(session, &record, hand.position).await?;
                        session.acknowledge(&hand.reply).await?;
                    } else {
                        // Another message of the same moment has this number by chance: ours comes again under a new one.
                        session.tell(&hand.reply, "-NAK").await;
                    }
                    self.drop_hand(id);
                }
                self.set(id, Known { record, standing: Standing::Queue { revision } });
            }
            None => match self.in_hand(id).0 {
                Some(hand) if hand.in_bucket == InBucket::Same => {
                    // It was carried on, and somebody is done with it.
                    session.acknowledge(&hand.reply).await?;
                    self.drop_hand(id);
                }
                Some(_) => {}
                None => self.forget_or_restore(session, id).await?,
            },
        }
        Ok(())
    }

    /// Fates are not there any more: the message is gone, or they must be written anew.
    async fn forget_or_restore(&self, session: &Session, id: QueueId) -> Result<(), Fault> {
        let known = self.state().index.of(id).cloned();
        if let Some(Known { record, standing: Standing::Queue { .. } }) = known
            && session.is_lost(id).await?
        {
            return match session.create_record(id, &record).await {
                Ok(revision) => {
                    self.set(id, Known { record, standing: Standing::Queue { revision } });
                    Ok(())
                }
                // Another gateway did so, and the watch tells.
                Err(Fault::Conflict) => Ok(()),
                Err(fault) => Err(fault),
            };
        }
        let mut state = self.state();
        state.index.remove(id, None);
        state.files.remove(&id);
        Ok(())
    }

    /// Notes that a message is about to leave the stream. Where there is no room for that it leaves all the same, as that
    /// makes some: should its acknowledgement be lost too, it comes a second time.
    pub(super) async fn leaves_stream(
        &self,
        session: &Session,
        record: &Record,
        position: Position,
    ) -> Result<(), Fault> {
        match session.note(record.key, Sightings::one(record.accepted_at, position)).await {
            Err(Fault::Full(said)) => {
                tracing::debug!(key = %record.key, said, "A message leaves the stream without a note.");
                Ok(())
            }
            other => other,
        }
    }

    async fn try_to_lease(&self, session: &Session, id: QueueId) -> Result<(), Fault> {
        let Some(known) = self.state().index.of(id).cloned() else { return Ok(()) };
        let Standing::Queue { revision } = known.standing else { return Ok(()) };
        let record = Record { lease: Some(self.0.me.clone()), ..known.record };
        match session.update_record(id, &record, revision).await {
            Ok(revision) => {
                self.set(id, Known { record, standing: Standing::Queue { revision } });
                Ok(())
            }
            Err(Fault::Conflict) => self.refresh(session, id).await,
            Err(fault) => {
                let fault = self.not_written(session, id, fault).await;
                if matches!(fault, Fault::Full(_)) && *self.0.lead.borrow() == Lead::Ours {
                    // Nobody can have a lease of it now, and something has to leave before anybody can.
                    self.state().index.lease_unwritten(id);
                    return Ok(());
                }
                Err(fault)
            }
        }
    }

    fn in_hand(&self, id: QueueId) -> (Option<Hand>, Option<Key>) {
        let state = self.state();
        (state.hands.get(&id).cloned(), state.index.of(id).map(|known| known.record.key))
    }

    pub(super) fn drop_hand(&self, id: QueueId) {
        let mut state = self.state();
        state.index.remove(id, None);
        state.hands.remove(&id);
    }

    /// Notes what is known of a message, and wakes who waits for that.
    pub(super) fn set(&self, id: QueueId, known: Known) {
        let woken = self.state().index.set(id, known);
        self.0.subscribers.wake(&woken);
    }

    async fn change_in_hand(&self, session: &Session, id: QueueId, record: Record) -> Result<(), Fault> {
        let Some(hand) = self.state().hands.get(&id).cloned() else { return Err(Fault::Conflict) };
        if hand.in_bucket == InBucket::Same {
            return Err(Fault::Conflict);
        }
        if !record.copies.is_empty() {
            return self.carry_on(session, id, record, &hand).await;
        }
        self.leaves_stream(session, &record, hand.position).await?;
        session.acknowledge(&hand.reply).await?;
        self.end(session, id, &record).await;
        match hand.in_bucket {
            InBucket::Another => self.refresh(session, id).await,
            InBucket::Nothing | InBucket::Same => Ok(()),
        }
    }

    async fn change_in_queue(
        &self,
        session: &Session,
        id: QueueId,
        record: Record,
        revision: u64,
    ) -> Result<(), Fault> {
        if record.copies.is_empty() {
            if let Some(position) = record.position {
                self.leaves_stream(session, &record, position).await?;
                session.remove(position).await?;
            }
            session.remove_record(id, revision).await?;
            self.end(session, id, &record).await;
            return Ok(());
        }
        match session.update_record(id, &record, revision).await {
            Ok(revision) => {
                self.set(id, Known { record, standing: Standing::Queue { revision } });
                Ok(())
            }
            Err(fault) => Err(self.not_written(session, id, fault).await),
        }
    }

    /// Fates could not be written over others: those must still be there.
    async fn not_written(&self, session: &Session, id: QueueId, fault: Fault) -> Fault {
        if let Fault::Full(_) = fault
            && let Err(fault) = self.refresh(session, id).await
        {
            return fault;
        }
        fault
    }

    /// The message is done with.
    async fn end(&self, session: &Session, id: QueueId, record: &Record) {
        {
            let mut state = self.state();
            state.index.remove(id, None);
            state.forget(id);
        }
        if record.content == Kept::Object
            && let Err(fault) = session.remove_content(record.key).await
        {
            tracing::debug!(%id, %fault, "The content of a message that is gone stays until the next sweep.");
        }
    }

    /// A message was pulled: it is in hand from now on, and its lane is woken.
    pub(super) fn take_in_hand(&self, id: QueueId, record: Record, hand: Hand) {
        self.state().hands.insert(id, hand);
        self.set(id, Known { record, standing: Standing::InHand });
    }

    /// Whether others take this gateway to live.
    pub(super) fn lives(&self) -> bool {
        self.state().lives(now())
    }

    /// Wakes all lanes.
    pub(super) fn wake_all(&self) {
        self.0.subscribers.wake_all();
    }
}

#[expect(clippy::disallowed_methods, reason = "how long ago the stream was told")]
pub(super) fn now() -> Instant {
    Instant::now()
}
