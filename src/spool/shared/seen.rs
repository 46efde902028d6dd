//! What the operator sees of the group's spool, and of the local one that waits for it.

use std::collections::{BTreeMap, HashSet};

use async_nats::jetstream::message::StreamMessage;
use jiff::Timestamp;

use super::Shared;
use super::carried::Carried;
use super::fault::Fault;
use super::index::matches;
use super::link::Session;
use super::position::Position;
use super::state::Hand;
use super::subject::{self, Lane};
use super::unreadable::{Unread, place_of};
use crate::message::id::{DestinationName, QueueId};
use crate::spool::error::SpoolError;
use crate::spool::local::Purpose;
use crate::spool::operator::{Copy, Exported, Figures, Filter, Place, Shown};
use crate::telemetry::metrics::SpoolState;

/// A message of the stream.
pub(super) enum InStream {
    /// As this version writes it, and where it is.
    Whole(Box<Carried>, Position),
    /// Anything else, with its bytes as text.
    Unread(Unread, String),
}

impl Shared {
    /// See [`crate::spool::Spool::list`]. What lies in the stream is read there; while that does not answer, the list has
    /// what waits in the local spool alone.
    pub(in crate::spool) async fn list(&self, filter: Filter) -> Result<Vec<Copy>, SpoolError> {
        let limit = filter.limit.min(Filter::PAGE);
        let mut copies = self.list_locally(filter.clone()).await?;
        if let Some(session) = self.session() {
            match self.list_group(&session, &filter, limit).await {
                Ok(found) => copies.extend(found),
                // Whoever asks how the group stands hears of it.
                Err(fault) => self.silent(&fault),
            }
        }
        copies.sort_by_key(|copy| (copy.id, copy.number));
        copies.truncate(limit);
        Ok(copies)
    }

    /// See [`crate::spool::Spool::show`].
    pub(in crate::spool) async fn show(&self, id: QueueId) -> Result<Option<Shown>, SpoolError> {
        let id = self.state().known_as(id);
        let found = match self.needed("read") {
            Ok(session) => self.show_of_group(&session, id).await.map_err(|fault| fault.in_spool("read")),
            Err(error) => Err(error),
        };
        if let Ok(Some(shown)) = found {
            return Ok(Some(shown));
        }
        match self.0.local.show(id).await? {
            Some(shown) => {
                let copies = shown.copies.into_iter().map(|copy| self.waits_locally(copy)).collect();
                Ok(Some(Shown { copies, ..shown }))
            }
            None => found,
        }
    }

    /// See [`crate::spool::Spool::waiting`].
    pub(in crate::spool) async fn waiting(&self) -> Result<Vec<(DestinationName, i64)>, SpoolError> {
        let figures = self.figures().await?;
        let queued = figures.copies.into_iter().filter(|(_, state, _)| *state == SpoolState::Queued);
        Ok(queued.map(|(name, _, count)| (name, i64::try_from(count).unwrap_or(i64::MAX))).collect())
    }

    /// See [`crate::spool::Spool::figures`]. What the group has is as of the last sign of life.
    pub(in crate::spool) async fn figures(&self) -> Result<Figures, SpoolError> {
        let local = self.0.local.figures().await?;
        Ok(self.figures_of_group().and(local))
    }

    /// See [`crate::spool::Spool::export`].
    pub(in crate::spool) async fn export(&self, id: QueueId) -> Result<Option<Exported>, SpoolError> {
        let id = self.state().known_as(id);
        let found = self.export_of_group(id).await;
        if let Ok(Some(exported)) = found {
            return Ok(Some(exported));
        }
        match self.0.local.export(id).await? {
            Some(exported) => Ok(Some(exported)),
            None => found,
        }
    }

    /// The message of the stream that has this number.
    pub(super) async fn find_in_stream(
        &self,
        session: &Session,
        id: QueueId,
    ) -> Result<Option<InStream>, Fault> {
        let message = match session.find(subject::by_id(id)).await? {
            Some(message) => Some(message),
            None => match place_of(id) {
                Some(sequence) => {
                    session.next(subject::ALL, sequence).await?.filter(|it| it.sequence == sequence)
                }
                None => None,
            },
        };
        Ok(message.map(|message| self.read(&message).1))
    }

    /// Shows the figures in the metrics.
    pub(super) async fn publish_figures(&self) {
        let (figures, local) = match self.0.local.figures().await {
            Ok(local) => (self.figures_of_group().and(local.clone()), local.messages),
            // Its threads have ended, which others find out.
            Err(_) => return,
        };
        self.0.metrics.set_spool_fallback(local);
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

    async fn list_locally(&self, filter: Filter) -> Result<Vec<Copy>, SpoolError> {
        let copies = self.0.local.list(filter).await?;
        Ok(copies.into_iter().map(|copy| self.waits_locally(copy)).collect())
    }

    /// A copy of the local spool, with what keeps it there.
    fn waits_locally(&self, copy: Copy) -> Copy {
        let stuck = self.state().stuck.get(&copy.id).cloned();
        Copy { place: Place::Local, text: copy.text.or(stuck), ..copy }
    }

    async fn list_group(&self, session: &Session, filter: &Filter, limit: usize) -> Result<Vec<Copy>, Fault> {
        let (mut copies, known) = {
            let state = self.state();
            let mut copies = state.index.list(filter);
            let unread = state.unreadable.iter().flat_map(|(id, unread)| unread.shown(*id));
            copies.extend(unread.filter(|copy| matches(filter, copy)));
            (copies, state.index.all().map(|(id, _)| id).collect::<HashSet<_>>())
        };
        if filter.state.is_none_or(|state| matches!(state, SpoolState::Queued | SpoolState::Corrupt)) {
            copies.extend(self.list_stream(session, filter, &known, limit).await?);
        }
        Ok(copies)
    }

    async fn list_stream(
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
            let (id, read) = self.read(&message);
            if known.contains(&id) {
                continue;
            }
            match read {
                InStream::Whole(carried, _) => {
                    found.extend(carried.record.shown(id).filter(|copy| matches(filter, copy)));
                }
                InStream::Unread(unread, _) => {
                    found.extend(unread.shown(id).filter(|copy| matches(filter, copy)));
                }
            }
            if found.len() >= limit {
                break;
            }
        }
        Ok(found)
    }

    /// A message of the stream and its number. One that cannot be read counts as corrupt from now on.
    fn read(&self, message: &StreamMessage) -> (QueueId, InStream) {
        match Carried::parse(&message.payload) {
            Ok(carried) => (carried.id, InStream::Whole(Box::new(carried), Position::of_found(message))),
            Err(why) => {
                let at = Timestamp::from_second(message.time.unix_timestamp()).unwrap_or_default();
                let (subject, payload) = (message.subject.as_str(), &*message.payload);
                let (id, unread) = Unread::in_stream(subject, payload, message.sequence, at, &why);
                self.state().note_unread(subject, unread.clone());
                (id, InStream::Unread(unread, String::from_utf8_lossy(payload).into_owned()))
            }
        }
    }

    async fn show_of_group(&self, session: &Session, id: QueueId) -> Result<Option<Shown>, Fault> {
        let (known, unread, text) = {
            let state = self.state();
            let text = state.hands.get(&id).map(|hand: &Hand| hand.text.body.clone());
            (state.index.of(id).cloned(), state.unreadable.get(&id).cloned(), text)
        };
        let copies: Vec<Copy> = match (known, unread) {
            (Some(known), _) => known.record.shown(id).collect(),
            (None, Some(unread)) => unread.shown(id).collect(),
            (None, None) => {
                return Ok(self.find_in_stream(session, id).await?.map(|found| match found {
                    InStream::Whole(carried, _) => {
                        Shown { id, copies: carried.record.shown(id).collect(), body: carried.text.body }
                    }
                    InStream::Unread(unread, body) => Shown { id, body, copies: unread.shown(id).collect() },
                }));
            }
        };
        let body = match text {
            Some(body) => body,
            None => session.text(id).await?.map_or_else(String::new, |(value, _)| readable(&value)),
        };
        Ok(Some(Shown { id, body, copies }))
    }

    async fn export_of_group(&self, id: QueueId) -> Result<Option<Exported>, SpoolError> {
        let session = self.needed("read")?;
        let Some(message) = self.load(id, Purpose::Export).await? else { return Ok(None) };
        let known = self.state().index.of(id).map(|known| known.record.clone());
        let record = match known {
            Some(record) => Some(record),
            None => match self.find_in_stream(&session, id).await.map_err(|fault| fault.in_spool("read"))? {
                Some(InStream::Whole(carried, _)) => Some(carried.record),
                Some(InStream::Unread(..)) | None => None,
            },
        };
        let copies = record.map(|record| record.copies).unwrap_or_default();
        let recipients = copies.into_iter().map(|copy| (copy.number, copy.recipient)).collect();
        Ok(Some(Exported { message, recipients }))
    }

    fn figures_of_group(&self) -> Figures {
        let state = self.state();
        let (messages, bytes) = state.index.extent();
        let mut copies: BTreeMap<_, (SpoolState, u64)> = state.index.tally();
        let mut count = |destination: &DestinationName, state: SpoolState, more: u64| {
            let entry = copies.entry((destination.clone(), state.as_str())).or_insert((state, 0));
            entry.1 = entry.1.saturating_add(more);
        };
        let mut others: u64 = 0;
        for (lane, pending) in &state.pending {
            let unread = state.unread_of(lane);
            let in_stream = pending.saturating_sub(state.in_hand(lane)).saturating_sub(unread);
            others = others.saturating_add(in_stream).saturating_add(unread);
            if let Lane::One(destination) = lane {
                count(destination, SpoolState::Queued, in_stream);
            }
        }
        for unread in state.unreadable.values().chain(state.unread.values().map(|(_, unread)| unread)) {
            unread.destinations().for_each(|destination| count(destination, SpoolState::Corrupt, 1));
        }
        let in_bucket = u64::try_from(state.unreadable.len()).unwrap_or(u64::MAX);
        // The first of the stream may be one that nobody can read, and that waits for the operator alone.
        let oldest_in_stream = state.stream_oldest.filter(|_| state.unread.is_empty());
        Figures {
            messages: u64::try_from(messages)
                .unwrap_or(u64::MAX)
                .saturating_add(others)
                .saturating_add(in_bucket),
            // What is in hand lies in the stream as well.
            bytes: bytes.saturating_add(state.stream_bytes.saturating_sub(state.bytes_in_hand())),
            oldest_waiting: state.index.oldest_waiting().into_iter().chain(oldest_in_stream).min(),
            copies: copies
                .into_iter()
                .filter(|(_, (_, count))| *count > 0)
                .map(|((destination, _), (state, count))| (destination, state, count))
                .collect(),
        }
    }
}

/// What is shown is for people: bytes that are no text any more must not hide the rest.
fn readable(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    text.lines().nth(1).unwrap_or(&text).to_owned()
}

/// Messages of the stream that one list reads at most.
const MOST_READ: usize = 5000;
