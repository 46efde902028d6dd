//! What the operator does to the group's spool, and to the local one that waits for it.

use super::Shared;
use super::carried::{Carried, json};
use super::fault::Fault;
use super::ids::Sightings;
use super::index::Standing;
use super::link::Session;
use super::position::Position;
use super::record::{Record, Scope};
use super::seen::InStream;
use super::subject::Entry;
use super::unreadable::Unread;
use crate::message::id::{DestinationName, QueueId};
use crate::spool::error::SpoolError;
use crate::spool::local::{Local, now};
use crate::spool::operator::{Pause, Which};

/// What is done to one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Retry,
    Hold,
    Release,
    Delete,
}

impl Action {
    /// To its fates; how many copies it was for.
    fn change(self, record: &mut Record) -> u64 {
        match self {
            Self::Retry => record.retry(Scope::One, now()),
            Self::Hold => record.hold(),
            Self::Release => record.release(now()),
            Self::Delete => u64::try_from(std::mem::take(&mut record.copies).len()).unwrap_or_default(),
        }
    }

    async fn act_locally(self, local: &Local, id: QueueId) -> Result<u64, SpoolError> {
        match self {
            Self::Retry => local.retry(Which::One(id)).await,
            Self::Hold => local.hold(id).await,
            Self::Release => local.release(id).await,
            Self::Delete => local.delete(id).await,
        }
    }
}

impl Shared {
    /// See [`crate::spool::Spool::retry`].
    pub(in crate::spool) async fn retry(&self, which: Which) -> Result<u64, SpoolError> {
        if let Which::One(id) = which {
            return self.act(id, Action::Retry).await;
        }
        let mut changed = self.0.local.retry(Which::All).await?;
        let Some(session) = self.session() else {
            return if changed > 0 { Ok(changed) } else { self.needed("record in").map(|_| 0) };
        };
        let now = now();
        let ids = self.state().index.idle(|record| record.clone().retry(Scope::All, now) > 0);
        for id in ids {
            let copies = self.change(&session, id, |record| record.retry(Scope::All, now)).await;
            let copies = copies.map_err(|fault| fault.in_spool("record in"))?;
            changed = changed.saturating_add(copies.unwrap_or_default());
        }
        Ok(changed)
    }

    /// See [`crate::spool::Spool::hold`].
    pub(in crate::spool) async fn hold(&self, id: QueueId) -> Result<u64, SpoolError> {
        self.act(id, Action::Hold).await
    }

    /// See [`crate::spool::Spool::release`].
    pub(in crate::spool) async fn release(&self, id: QueueId) -> Result<u64, SpoolError> {
        self.act(id, Action::Release).await
    }

    /// See [`crate::spool::Spool::delete`]. What this version cannot read is deleted too.
    pub(in crate::spool) async fn delete(&self, id: QueueId) -> Result<u64, SpoolError> {
        self.act(id, Action::Delete).await
    }

    /// See [`crate::spool::Spool::pause`].
    pub(in crate::spool) async fn pause(
        &self,
        destination: DestinationName,
        by: String,
    ) -> Result<Option<Pause>, SpoolError> {
        let session = self.needed("record in")?;
        let failed = |fault: Fault| fault.in_spool("record in");
        let key = Entry::Pause(destination.clone()).to_string();
        let pause = Pause { destination: destination.clone(), since: now(), by };
        match session.create(&session.queue, &key, json(&pause)).await {
            Ok(_) => {
                self.state().index.set_pause(&destination, Some(pause));
                Ok(None)
            }
            Err(Fault::Conflict) => pause_of(&session, &key).await.map_err(failed),
            Err(fault) => Err(failed(fault)),
        }
    }

    /// See [`crate::spool::Spool::resume`].
    pub(in crate::spool) async fn resume(
        &self,
        destination: DestinationName,
    ) -> Result<Option<Pause>, SpoolError> {
        let session = self.needed("record in")?;
        let failed = |fault: Fault| fault.in_spool("record in");
        let key = Entry::Pause(destination.clone()).to_string();
        let before = pause_of(&session, &key).await.map_err(failed)?;
        if before.is_some() {
            session.queue.purge(&key).await.map_err(|error| failed(Fault::lost(error)))?;
        }
        self.state().index.set_pause(&destination, None);
        Ok(before)
    }

    /// See [`crate::spool::Spool::paused`].
    pub(in crate::spool) fn paused(&self) -> Vec<Pause> {
        self.state().index.pauses()
    }

    /// Does something to one message, wherever it is.
    async fn act(&self, id: QueueId, action: Action) -> Result<u64, SpoolError> {
        if let Some(copies) = self.act_locally(id, action).await? {
            return Ok(copies);
        }
        let session = self.needed("record in")?;
        let id = self.state().known_as(id);
        let done = self.act_in_group(&session, id, action).await;
        Ok(done.map_err(|fault| fault.in_spool("record in"))?.unwrap_or_default())
    }

    /// Does it where the message lies in the local spool; `None` where it does not, or was handed over meanwhile.
    async fn act_locally(&self, id: QueueId, action: Action) -> Result<Option<u64>, SpoolError> {
        if self.0.local.show(id).await?.is_none() {
            return Ok(None);
        }
        // What is on its way to the group is not there yet, and would go in spite of all that is done to it here.
        let under_way = tokio::time::timeout(TO_WAIT, self.0.handing.outside(id)).await;
        let Ok(_kept) = under_way else {
            let what = format!("{id} is on its way into it at this moment; try again");
            return Err(SpoolError::Group { op: "record in", what });
        };
        if self.0.local.show(id).await?.is_none() {
            return Ok(None);
        }
        action.act_locally(&self.0.local, id).await.map(Some)
    }

    async fn act_in_group(
        &self,
        session: &Session,
        id: QueueId,
        action: Action,
    ) -> Result<Option<u64>, Fault> {
        let (known, unread) = {
            let state = self.state();
            (state.index.of(id).is_some(), state.unreadable.get(&id).cloned())
        };
        match (known, unread) {
            (true, _) => {}
            (false, Some(unread)) => return self.act_on_unread_fates(session, id, &unread, action).await,
            (false, None) => match self.find_in_stream(session, id).await? {
                None => return Ok(None),
                Some(InStream::Unread(unread, _)) => {
                    return self.act_on_unread_message(session, &unread, action).await;
                }
                Some(InStream::Whole(carried, position)) => {
                    let mut record = carried.record.clone();
                    let changed = action.change(&mut record);
                    if record == carried.record {
                        // Another gateway may be delivering it, and is left alone.
                        return Ok(Some(changed));
                    }
                    self.seize(session, id, *carried, position).await?;
                }
            },
        }
        self.change(session, id, |record| action.change(record)).await
    }

    /// Fates that cannot be read can only be deleted.
    async fn act_on_unread_fates(
        &self,
        session: &Session,
        id: QueueId,
        unread: &Unread,
        action: Action,
    ) -> Result<Option<u64>, Fault> {
        if action != Action::Delete {
            return Ok(Some(0));
        }
        session.remove_record(id, unread.revision).await?;
        self.state().unreadable.remove(&id);
        Ok(Some(unread.copies()))
    }

    /// So can a message of the stream.
    async fn act_on_unread_message(
        &self,
        session: &Session,
        unread: &Unread,
        action: Action,
    ) -> Result<Option<u64>, Fault> {
        if action != Action::Delete {
            return Ok(Some(0));
        }
        session.stream.delete_message(unread.revision).await.map_err(Fault::lost)?;
        self.state().unread.remove(&unread.revision);
        Ok(Some(unread.copies()))
    }

    /// Carries a message on that lies in the stream. Whoever has it in hand finds out when it records its fate.
    pub(super) async fn seize(
        &self,
        session: &Session,
        id: QueueId,
        carried: Carried,
        position: Position,
    ) -> Result<(), Fault> {
        let Carried { mut record, text, .. } = carried;
        let seen = Sightings::one(record.accepted_at, position);
        let key = record.key;
        record.position = Some(position);
        session.put_text(id, &text).await?;
        match session.create_record(id, &record).await {
            Ok(revision) => {
                self.set(id, super::index::Known { record, standing: Standing::Queue { revision } })
            }
            Err(Fault::Conflict) => self.refresh(session, id).await?,
            Err(fault) => return Err(fault),
        }
        if self.state().index.of(id).is_some_and(|known| known.record.key != key) {
            // Another message of the same moment has this number by chance.
            return Ok(());
        }
        session.note(key, seen).await?;
        session.remove(position).await
    }
}

async fn pause_of(session: &Session, key: &str) -> Result<Option<Pause>, Fault> {
    let found = session.entry(&session.queue, key).await?;
    Ok(found.and_then(|(value, _)| serde_json::from_slice(&value).ok()))
}

/// For a message that is on its way into the group's spool.
const TO_WAIT: std::time::Duration = std::time::Duration::from_secs(5);
