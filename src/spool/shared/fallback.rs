//! Emptying the local spool into the stream, once it answers again.

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;

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
use super::{Part, Shared};
use crate::message::id::QueueId;
use crate::message::recipient::Recipient;
use crate::spool::content;
use crate::spool::error::SpoolError;
use crate::spool::handover::Handover;
use crate::spool::local::Unverified;
use crate::spool::rows::{self, StoredBody};
use crate::spool::transaction::UNREADABLE;
use crate::telemetry::log::Recurring;

impl Shared {
    /// Empties the local spool whenever it has something. What keeps it from that, such as a stream that is full, must
    /// not keep the rest from being delivered: it is tried again, and whether the connection works others find out.
    pub(super) async fn empty_fallback(&self) -> Infallible {
        if self.0.plan.part == Part::Visitor {
            return std::future::pending().await;
        }
        let mut ticks = tokio::time::interval(EVERY);
        let mut told = Recurring::new(TELL_EVERY);
        loop {
            ticks.tick().await;
            let Some(session) = self.session() else { continue };
            if self.state().is_scarce() {
                // It stays where it is until there is room.
                if let Ok(messages) = self.0.local.messages().await {
                    self.0.metrics.set_spool_fallback(messages);
                }
                continue;
            }
            let mut round = Round::default();
            let ended = self.empty(&session, &mut round).await;
            if round.emptied > 0 {
                let messages = round.emptied;
                tracing::info!(messages, "What the local spool took meanwhile is in the shared one now.");
            }
            let stopped = ended.err().map(|stopped| stopped.to_string());
            let stuck = round.stuck.values().next().cloned();
            if let Some(why) = stopped.or(stuck)
                && let Some(count) = told.happened(1, now())
            {
                tracing::error!(count, "Messages of the local spool cannot go into the shared one: {why}");
            }
            self.state().stuck = round.stuck;
        }
    }

    /// Hands over all that can be, from the oldest on. One that cannot keeps none behind it.
    async fn empty(&self, session: &Session, round: &mut Round) -> Result<(), Stopped> {
        let mut after = None;
        loop {
            let closed = self.0.handing.close().await;
            let page = self.0.local.handover(after, PAGE).await?;
            self.0.metrics.set_spool_fallback(self.0.local.messages().await?);
            let Some(last) = page.last().map(|message| message.id) else { return Ok(()) };
            after = Some(last);
            let _under_way = closed.begin(page.iter().map(|message| message.id));
            let handed = page.into_iter().map(|message| async {
                let id = message.id;
                (id, self.hand_over(session, message).await)
            });
            let mut fault = None;
            for (id, handed) in join_all(handed).await {
                match handed {
                    Ok(Handed::Over) => {
                        self.0.local.delete(id).await?;
                        round.emptied = round.emptied.saturating_add(1);
                    }
                    Ok(Handed::Later) => {}
                    Ok(Handed::Corrupt(why)) => drop(self.0.local.set_aside(id, why).await),
                    Err(Stopped::Spool(error)) => {
                        round.stuck.insert(id, error.to_string());
                    }
                    Err(stopped) => fault = Some(stopped),
                }
            }
            if let Some(fault) = fault {
                return Err(fault);
            }
        }
    }

    /// Puts one message into the stream, unless the group has it.
    async fn hand_over(&self, session: &Session, message: Handover) -> Result<Handed, Stopped> {
        let local = message.id;
        let window = self.0.plan.dedup_window.max(SHORTEST_WINDOW);
        let Some(Ready { carried, file, origin }) = ready(message) else {
            return Ok(Handed::Corrupt(UNREADABLE.to_owned()));
        };
        if let Some(File { path, length, sha256 }) = &file {
            match content::verify(path, *length, sha256.clone()).await {
                Ok(()) => {}
                Err(Unverified::Corrupt(why)) => return Ok(Handed::Corrupt(why)),
                Err(Unverified::Unreadable(error)) => return Err(error.into()),
            }
        }
        let key = carried.record.key;
        let mut questions: u32 = 0;
        loop {
            questions = questions.saturating_add(1);
            let asked = now();
            if self.is_there(session, &carried.record, origin, window).await? {
                tracing::debug!(%local, %key, "Another gateway has published this message already.");
                return Ok(self.is_over(local, carried.id));
            }
            if let Some(File { path, .. }) = &file {
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
                Ok(Published::New) => Ok(self.is_over(local, carried.id)),
                Ok(Published::Repeat) if self.is_there(session, &carried.record, origin, window).await? => {
                    Ok(self.is_over(local, carried.id))
                }
                // A device said the same again, later, and the stream cannot tell the two apart so soon.
                Ok(Published::Repeat) => Ok(Handed::Later),
                Err(NotPublished::Now(fault)) => Err(fault.into()),
                Err(NotPublished::Never(error)) => Err(error.into()),
            };
        }
    }

    fn is_over(&self, local: QueueId, id: QueueId) -> Handed {
        tracing::debug!(%local, %id, "A message of the local spool is the group's now.");
        self.state().handed_over(local, id);
        Handed::Over
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
#[derive(Debug, Clone, PartialEq, Eq)]
enum Handed {
    /// The group has it.
    Over,
    /// It stays a moment longer.
    Later,
    /// It is not what was accepted, and is the operator's.
    Corrupt(String),
}

/// What one look into the local spool came to.
#[derive(Debug, Default)]
struct Round {
    emptied: u64,
    /// What the group's spool does not take, and why not.
    stuck: HashMap<QueueId, String>,
}

/// Why the local spool is not empty.
#[derive(Debug, thiserror::Error)]
enum Stopped {
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

/// A message of the local spool that can go.
struct Ready {
    carried: Carried,
    file: Option<File>,
    origin: Origin,
}

/// Content beside the database.
struct File {
    path: PathBuf,
    length: u64,
    sha256: Option<String>,
}

/// A message of the local spool as the stream carries it, under the key that it had when it was first offered; `None`
/// where it differs from its checksum.
fn ready(message: Handover) -> Option<Ready> {
    let content = message.row.content.clone();
    let decoded = rows::decode(&message.row.body, content.as_deref(), &message.row.checksum)?;
    let file = match &decoded {
        StoredBody::Mail { length, sha256, .. } => {
            message.path.map(|path| File { path, length: *length, sha256: sha256.clone() })
        }
        StoredBody::Notice(_) => None,
    };
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
        content: if file.is_some() { Kept::Object } else { Kept::Inline },
        group: None,
        copies: copies.collect(),
        lease: None,
        position: None,
    };
    let id = key.queue_id(record.accepted_at);
    let text = Text { body: message.row.body, content: content.map(Into::into) };
    let origin = if heard.is_some() { Origin::Datagram } else { Origin::Ours };
    Some(Ready { carried: Carried { id, record, group: None, text }, file, origin })
}

/// Between two lines in the log about messages that stay there.
const TELL_EVERY: Duration = Duration::from_secs(300);
/// Between two looks into the local spool.
const EVERY: Duration = Duration::from_secs(1);
/// Messages that are handed over at a time.
const PAGE: u32 = 64;
/// Whether the group has a message is asked so often, on servers that take long.
const MOST_QUESTIONS: u32 = 4;
