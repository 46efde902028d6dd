//! Emptying the local spool into the stream, once it answers again.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;

use super::Shared;
use super::accept::NotPublished;
use super::carried::{Carried, Text};
use super::commit::now;
use super::fault::Fault;
use super::ids::is_same;
use super::key::{Heard, Key};
use super::link::{SHORTEST_WINDOW, Session};
use super::record::{Kept, OnFailure, Record, State};
use super::stream::Published;
use super::subject;
use crate::message::id::QueueId;
use crate::message::recipient::Recipient;
use crate::spool::error::SpoolError;
use crate::spool::handover::Handover;
use crate::spool::rows::{self, StoredBody};
use crate::telemetry::log::Recurring;

impl Shared {
    /// Empties the local spool whenever it has something. What keeps it from that, such as a stream that is full, must
    /// not keep the rest from being delivered: it is tried again, and whether the connection works others find out.
    pub(super) async fn empty_fallback(&self) -> Infallible {
        let mut ticks = tokio::time::interval(EVERY);
        let mut told = Recurring::new(TELL_EVERY);
        loop {
            ticks.tick().await;
            let Some(session) = self.session() else { continue };
            match self.empty(&session).await {
                Ok(0) => {}
                Ok(messages) => {
                    tracing::info!(messages, "What the local spool took meanwhile is in the shared one now.");
                }
                Err(error) => {
                    if let Some(count) = told.happened(1, now()) {
                        tracing::error!(
                            count,
                            "Messages of the local spool cannot go into the shared one: {error}"
                        );
                    }
                }
            }
        }
    }

    async fn empty(&self, session: &Arc<Session>) -> Result<u64, Stopped> {
        let mut emptied: u64 = 0;
        loop {
            let page = self.0.local.handover(PAGE).await?;
            self.0.metrics.set_spool_fallback(self.0.local.messages().await?);
            if page.is_empty() {
                return Ok(emptied);
            }
            let handed = join_all(page.into_iter().map(|message| self.hand_over(session, message))).await;
            let (mut left, before) = (None, emptied);
            for id in handed {
                match id {
                    Err(Stopped::Spool(SpoolError::Corrupt { id })) => {
                        // Read for delivery, it is set aside and said.
                        drop(self.0.local.load(id).await);
                    }
                    Ok(Handed::Over(id)) => {
                        self.0.local.delete(id).await?;
                        emptied = emptied.saturating_add(1);
                    }
                    Ok(Handed::Later) => {}
                    Err(stopped) => left = Some(stopped),
                }
            }
            if let Some(stopped) = left {
                return Err(stopped);
            }
            if emptied == before {
                return Ok(emptied);
            }
        }
    }

    /// Puts one message into the stream, unless the group has it.
    async fn hand_over(&self, session: &Session, message: Handover) -> Result<Handed, Stopped> {
        let local = message.id;
        let window = self.0.plan.dedup_window.max(SHORTEST_WINDOW);
        let (carried, path, origin) = carried_of(message)?;
        let key = carried.record.key;
        let mut questions: u32 = 0;
        loop {
            questions = questions.saturating_add(1);
            let asked = now();
            if self.is_there(session, &carried.record, origin, window).await? {
                tracing::debug!(%local, %key, "Another gateway has published this message already.");
                return Ok(Handed::Over(local));
            }
            if let Some(path) = &path {
                let mut file = tokio::fs::File::open(path)
                    .await
                    .map_err(|error| SpoolError::file("read", path, error))?;
                session.put_content(key, &mut file).await?;
            }
            // One that another gateway publishes meanwhile is found by the stream itself, within its window.
            let late = now().saturating_duration_since(asked) > window.checked_div(2).unwrap_or(window);
            if late && questions < MOST_QUESTIONS {
                continue;
            }
            return match self.publish_carried(session, &carried).await {
                Ok(Published::New) => Ok(Handed::Over(local)),
                Ok(Published::Repeat) if self.is_there(session, &carried.record, origin, window).await? => {
                    Ok(Handed::Over(local))
                }
                // A device said the same again, later, and the stream cannot tell the two apart so soon.
                Ok(Published::Repeat) => Ok(Handed::Later),
                Err(NotPublished::Now(fault)) => Err(fault.into()),
                Err(NotPublished::Never(error)) => Err(error.into()),
            };
        }
    }

    /// Whether the group has a message, or had it.
    async fn is_there(
        &self,
        session: &Session,
        record: &Record,
        origin: Origin,
        window: Duration,
    ) -> Result<bool, Fault> {
        let same = |arrival: Timestamp| match origin {
            Origin::Datagram => is_same(arrival, record.accepted_at, window),
            Origin::Ours => true,
        };
        // The stream first: what leaves it meanwhile was noted before.
        let (filter, mut sequence) = (subject::by_key(record.key), 1);
        while let Some(message) = session.next(&filter, sequence).await? {
            sequence = message.sequence.saturating_add(1);
            // One that nobody can read is delivered by nobody.
            let there = Carried::parse(&message.payload);
            if there.is_ok_and(|there| same(there.record.accepted_at)) {
                return Ok(true);
            }
        }
        let sightings = session.sightings(record.key).await?;
        Ok(sightings.is_some_and(|sightings| match origin {
            Origin::Datagram => sightings.include(record.accepted_at, window),
            Origin::Ours => true,
        }))
    }
}

/// Who may have a message besides us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// Whoever heard it.
    Datagram,
    /// Nobody, but for the stream whose answer was lost.
    Ours,
}

/// What became of a message that was to be handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Handed {
    /// The group has it, under a number of its own; this is the local one.
    Over(QueueId),
    /// It stays a moment longer.
    Later,
}

/// Why the local spool is not empty.
#[derive(Debug, thiserror::Error)]
enum Stopped {
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

/// A message of the local spool as the stream carries it, under the key that it had when it was first offered.
fn carried_of(message: Handover) -> Result<(Carried, Option<PathBuf>, Origin), SpoolError> {
    let corrupt = SpoolError::Corrupt { id: message.id };
    let content = message.row.content.clone();
    let decoded =
        rows::decode(&message.row.body, content.as_deref(), &message.row.checksum).ok_or(corrupt)?;
    let heard = match &decoded {
        StoredBody::Notice(gathered) => Heard::of_gathered(gathered),
        StoredBody::Mail { .. } => None,
    };
    let recipients = message.copies.iter().map(|copy| &copy.recipient);
    let key = Key::of_parts(heard, message.row.accepted_at, &message.row.checksum, recipients);
    let copies = message.copies.iter().map(|copy| State {
        number: copy.number,
        recipient: Recipient::clone(&copy.recipient),
        state: copy.state,
        due: copy.due,
        expires_at: copy.expires_at,
        attempts: copy.attempts,
        standby_of: copy.standby_of,
        settled_at: copy.settled_at,
        status: copy.status,
        text: copy.text.clone(),
        on_failure: if copy.report_failure { OnFailure::Told } else { OnFailure::Quiet },
        report_delay_at: copy.report_delay_at,
    });
    let record = Record {
        key,
        accepted_at: message.row.accepted_at,
        priority: message.row.priority,
        class: message.class,
        rule: message.row.rule.clone(),
        bytes: message.bytes,
        content: if message.path.is_some() { Kept::Object } else { Kept::Inline },
        group: None,
        copies: copies.collect(),
        lease: None,
        sequence: None,
    };
    let id = key.queue_id(record.accepted_at);
    let text = Text { body: message.row.body, content: content.map(Into::into) };
    let origin = if heard.is_some() { Origin::Datagram } else { Origin::Ours };
    Ok((Carried { id, record, group: None, text }, message.path, origin))
}

/// Between two lines in the log about messages that stay there.
const TELL_EVERY: Duration = Duration::from_secs(300);
/// Between two looks into the local spool.
const EVERY: Duration = Duration::from_secs(1);
/// Messages that are handed over at a time.
const PAGE: u32 = 64;
/// Whether the group has a message is asked so often, on servers that take long.
const MOST_QUESTIONS: u32 = 4;
