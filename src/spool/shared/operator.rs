//! What the operator sees of the group's spool and does to it.

use std::collections::{BTreeMap, HashSet};

use super::Shared;
use super::bucket::json;
use super::carried::Carried;
use super::fault::Fault;
use super::ids::Sightings;
use super::index::{Standing, matches};
use super::link::Session;
use super::record::{Record, Scope};
use super::state::Hand;
use super::subject::{self, Entry, Lane};
use crate::message::id::{DestinationName, QueueId};
use crate::spool::error::SpoolError;
use crate::spool::local::{Purpose, now};
use crate::spool::operator::{Copy, Exported, Figures, Filter, Pause, Shown, Which};
use crate::telemetry::metrics::SpoolState;

impl Shared {
    /// See [`crate::spool::Spool::list`]. What lies in the stream is read there.
    pub(in crate::spool) async fn list(&self, filter: Filter) -> Result<Vec<Copy>, SpoolError> {
        let session = self.needed("read")?;
        let limit = filter.limit.min(Filter::PAGE);
        let (mut copies, known) = {
            let state = self.state();
            (state.index.list(&filter), state.index.all().map(|(id, _)| id).collect::<HashSet<_>>())
        };
        if filter.state.is_none_or(|state| state == SpoolState::Queued) {
            let fresh = self.in_stream_that_match(&session, &filter, &known, limit).await;
            copies.extend(fresh.map_err(|fault| fault.in_spool("read"))?);
            copies.sort_by_key(|copy| (copy.id, copy.number));
            copies.truncate(limit);
        }
        Ok(copies)
    }

    /// See [`crate::spool::Spool::show`].
    pub(in crate::spool) async fn show(&self, id: QueueId) -> Result<Option<Shown>, SpoolError> {
        let session = self.needed("read")?;
        self.shown(&session, id).await.map_err(|fault| fault.in_spool("read"))
    }

    /// See [`crate::spool::Spool::retry`].
    pub(in crate::spool) async fn retry(&self, which: Which) -> Result<u64, SpoolError> {
        let now = now();
        match which {
            Which::One(id) => self.act(id, |record| record.retry(Scope::One, now)).await,
            Which::All => {
                let session = self.needed("record in")?;
                let ids = self.state().index.idle(|record| record.clone().retry(Scope::All, now) > 0);
                let mut changed: u64 = 0;
                for id in ids {
                    let copies = self.change(&session, id, |record| record.retry(Scope::All, now)).await;
                    let copies = copies.map_err(|fault| fault.in_spool("record in"))?;
                    changed = changed.saturating_add(copies.unwrap_or_default());
                }
                Ok(changed)
            }
        }
    }

    /// See [`crate::spool::Spool::hold`].
    pub(in crate::spool) async fn hold(&self, id: QueueId) -> Result<u64, SpoolError> {
        self.act(id, Record::hold).await
    }

    /// See [`crate::spool::Spool::release`].
    pub(in crate::spool) async fn release(&self, id: QueueId) -> Result<u64, SpoolError> {
        let now = now();
        self.act(id, |record| record.release(now)).await
    }

    /// See [`crate::spool::Spool::delete`].
    pub(in crate::spool) async fn delete(&self, id: QueueId) -> Result<u64, SpoolError> {
        let all =
            |record: &mut Record| u64::try_from(std::mem::take(&mut record.copies).len()).unwrap_or_default();
        self.act(id, all).await
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

    /// See [`crate::spool::Spool::waiting`].
    pub(in crate::spool) fn waiting(&self) -> Vec<(DestinationName, i64)> {
        let queued = self.figures().copies.into_iter().filter(|(_, state, _)| *state == SpoolState::Queued);
        queued.map(|(name, _, count)| (name, i64::try_from(count).unwrap_or(i64::MAX))).collect()
    }

    /// See [`crate::spool::Spool::figures`]. What lies in the stream is as of the last sign of life.
    pub(in crate::spool) fn figures(&self) -> Figures {
        let state = self.state();
        let (messages, bytes) = state.index.extent();
        let mut copies: BTreeMap<_, (SpoolState, u64)> = state.index.tally();
        let mut in_stream: u64 = 0;
        for (lane, pending) in &state.pending {
            let in_hand = state.in_hand(lane);
            let others = pending.saturating_sub(in_hand);
            in_stream = in_stream.saturating_add(others);
            if let Lane::One(destination) = lane {
                let key = (destination.clone(), SpoolState::Queued.as_str());
                let entry = copies.entry(key).or_insert((SpoolState::Queued, 0));
                entry.1 = entry.1.saturating_add(others);
            }
        }
        Figures {
            messages: u64::try_from(messages).unwrap_or(u64::MAX).saturating_add(in_stream),
            bytes: bytes.saturating_add(state.stream_bytes),
            oldest_waiting: state.index.oldest_waiting(),
            copies: copies
                .into_iter()
                .filter(|(_, (_, count))| *count > 0)
                .map(|((destination, _), (state, count))| (destination, state, count))
                .collect(),
        }
    }

    /// See [`crate::spool::Spool::export`].
    pub(in crate::spool) async fn export(&self, id: QueueId) -> Result<Option<Exported>, SpoolError> {
        let session = self.needed("read")?;
        let Some(message) = self.load(id, Purpose::Export).await? else { return Ok(None) };
        let known = self.state().index.of(id).map(|known| known.record.clone());
        let record = match known {
            Some(record) => Some(record),
            None => {
                let found = carried(&session, id).await.map_err(|fault| fault.in_spool("read"))?;
                found.map(|(carried, _)| carried.record)
            }
        };
        let copies = record.map(|record| record.copies).unwrap_or_default();
        let recipients = copies.into_iter().map(|copy| (copy.number, copy.recipient)).collect();
        Ok(Some(Exported { message, recipients }))
    }

    /// Shows the figures in the metrics.
    pub(super) fn publish_figures(&self) {
        let figures = self.figures();
        let mut shown = HashSet::new();
        for (destination, state, count) in &figures.copies {
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            self.0.metrics.set_spool_messages(destination.as_str(), *state, count);
            shown.insert((destination.clone(), *state));
        }
        let before = std::mem::replace(&mut self.state().shown, shown.clone());
        for (destination, state) in before.difference(&shown) {
            self.0.metrics.set_spool_messages(destination.as_str(), *state, 0);
        }
        self.0.metrics.set_spool_bytes(figures.bytes);
        for class in [crate::message::mail::Class::Notice, crate::message::mail::Class::Mail] {
            self.0.metrics.set_spool_accepting(class, self.accepting(class).is_ok());
        }
    }

    /// Does something to one message, wherever it is.
    async fn act(
        &self,
        id: QueueId,
        mut change: impl FnMut(&mut Record) -> u64 + Send,
    ) -> Result<u64, SpoolError> {
        let session = self.needed("record in")?;
        let done = async {
            let known = self.state().index.of(id).map(|known| known.standing);
            if known.is_none() {
                let Some((carried, sequence)) = carried(&session, id).await? else { return Ok(None) };
                let mut record = carried.record.clone();
                let changed = change(&mut record);
                if record == carried.record {
                    // Another gateway may be delivering it, and is left alone.
                    return Ok(Some(changed));
                }
                self.seize(&session, id, carried, sequence).await?;
            }
            self.change(&session, id, change).await
        };
        let done = done.await.map_err(|fault| fault.in_spool("record in"))?;
        Ok(done.unwrap_or_default())
    }

    /// Carries a message on that lies in the stream. Whoever has it in hand finds out when it records its fate.
    async fn seize(
        &self,
        session: &Session,
        id: QueueId,
        carried: Carried,
        sequence: u64,
    ) -> Result<(), Fault> {
        let Carried { mut record, text, .. } = carried;
        let seen = Sightings::one(record.accepted_at, sequence);
        let key = record.key;
        record.sequence = Some(sequence);
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
        session.remove(id, sequence).await
    }

    async fn shown(&self, session: &Session, id: QueueId) -> Result<Option<Shown>, Fault> {
        let (known, text) = {
            let state = self.state();
            (state.index.of(id).cloned(), state.hands.get(&id).map(|hand: &Hand| hand.text.body.clone()))
        };
        let Some(known) = known else {
            let Some((carried, _)) = carried(session, id).await? else { return Ok(None) };
            let copies = carried.record.shown(id).collect();
            return Ok(Some(Shown { id, body: carried.text.body, copies }));
        };
        let body = match text {
            Some(body) => body,
            None => session.text(id).await?.map_or_else(String::new, |(value, _)| readable(&value)),
        };
        Ok(Some(Shown { id, body, copies: known.record.shown(id).collect() }))
    }

    async fn in_stream_that_match(
        &self,
        session: &Session,
        filter: &Filter,
        known: &HashSet<QueueId>,
        limit: usize,
    ) -> Result<Vec<Copy>, Fault> {
        let subjects = match &filter.destination {
            Some(destination) => Lane::One(destination.clone()).filter(),
            None => subject::ALL.to_owned(),
        };
        let (mut found, mut sequence) = (Vec::new(), 1);
        for _ in 0..MOST_READ {
            let Some(message) = session.next(&subjects, sequence).await? else { break };
            sequence = message.sequence.saturating_add(1);
            let Ok(carried) = Carried::parse(&message.payload) else { continue };
            if known.contains(&carried.id) {
                continue;
            }
            found.extend(carried.record.shown(carried.id).filter(|copy| matches(filter, copy)));
            if found.len() >= limit {
                break;
            }
        }
        Ok(found)
    }
}

async fn carried(session: &Session, id: QueueId) -> Result<Option<(Carried, u64)>, Fault> {
    let Some(message) = session.find(subject::by_id(id)).await? else { return Ok(None) };
    Ok(Carried::parse(&message.payload).ok().map(|carried| (carried, message.sequence)))
}

async fn pause_of(session: &Session, key: &str) -> Result<Option<Pause>, Fault> {
    let found = session.entry(&session.queue, key).await?;
    Ok(found.and_then(|(value, _)| serde_json::from_slice(&value).ok()))
}

/// What is shown is for people: bytes that are no text any more must not hide the rest.
fn readable(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    text.lines().nth(1).unwrap_or(&text).to_owned()
}

/// Messages of the stream that one list reads at most.
const MOST_READ: usize = 5000;
