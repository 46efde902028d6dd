//! What waits between socket and spool, bounded by bytes.

use std::collections::VecDeque;
use std::mem::size_of;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use crate::message::mail::{Body, Message};
use crate::message::notice::Notice;
use crate::message::recipient::Recipient;
use crate::telemetry::metrics::Metrics;

/// The queue between the receiver, which must never wait, and the intake, which waits for the disk.
///
/// A message counts against the limit until it is settled, also while the spool is writing it, so the memory of the
/// whole path is bounded.
#[derive(Debug)]
pub struct Backlog {
    limit: usize,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Waiting>,
    /// Of those waiting and those being written.
    bytes: usize,
    being_written: usize,
    closed: bool,
}

/// A message on its way to the spool.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// The message.
    pub message: Message,
    /// Since when it waits.
    pub since: Instant,
    /// How many writes it was part of that ended by a defect.
    pub broken_off: u8,
    bytes: usize,
}

/// The backlog has no room, or is closed; the message was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no room between socket and spool")]
pub struct NoRoom;

impl Backlog {
    /// The usual limit: at 100 000 messages a second a fifth of a second, at the rates of real networks hours.
    pub const LIMIT: usize = 32 << 20;

    /// An empty one that holds at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize, metrics: Arc<Metrics>) -> Self {
        Self { limit, metrics, state: Mutex::default(), changed: Notify::new() }
    }

    /// Takes a message if there is room. Never waits.
    ///
    /// # Errors
    /// [`NoRoom`]; those that came earlier stay.
    pub fn push(&self, message: Message, now: Instant) -> Result<(), NoRoom> {
        let bytes = footprint(&message);
        let mut state = self.lock();
        if state.closed || state.bytes.saturating_add(bytes) > self.limit {
            return Err(NoRoom);
        }
        state.waiting.push_back(Waiting { message, since: now, broken_off: 0, bytes });
        state.bytes += bytes;
        self.metrics.set_backlog_bytes(state.bytes);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Waits for messages and gives the oldest, at most `most`. They count until [`Backlog::settle`] or
    /// [`Backlog::give_back`]. `None` when it is closed and nothing waits.
    ///
    /// Dropping the future loses nothing. Only one task may wait at a time.
    pub async fn batch(&self, most: usize) -> Option<Vec<Waiting>> {
        loop {
            let changed = self.changed.notified();
            {
                let mut state = self.lock();
                let count = state.waiting.len().min(most);
                if count > 0 {
                    state.being_written += count;
                    return Some(state.waiting.drain(..count).collect());
                }
                if state.closed {
                    return None;
                }
            }
            changed.await;
        }
    }

    /// These are durable, or given up: they count no more.
    pub fn settle<'a>(&self, messages: impl IntoIterator<Item = &'a Waiting>) {
        let mut state = self.lock();
        for waiting in messages {
            state.bytes = state.bytes.saturating_sub(waiting.bytes);
            state.being_written = state.being_written.saturating_sub(1);
        }
        self.metrics.set_backlog_bytes(state.bytes);
    }

    /// Puts messages back that the spool refused, where [`Place`] says. There is always room: they never ceased to
    /// count.
    pub fn give_back(&self, messages: Vec<Waiting>, place: Place) {
        let mut state = self.lock();
        state.being_written = state.being_written.saturating_sub(messages.len());
        match place {
            Place::First => messages.into_iter().rev().for_each(|waiting| state.waiting.push_front(waiting)),
            Place::Last => state.waiting.extend(messages),
        }
        drop(state);
        self.changed.notify_one();
    }

    /// From now on nothing more is taken; what waits can still be drained.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// How many messages wait, without those that are being written.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    /// How many messages have been taken out and neither settled nor given back.
    #[must_use]
    pub fn being_written(&self) -> usize {
        self.lock().being_written
    }

    /// Bytes of the messages that wait or are being written.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// A panic elsewhere cannot leave the state half changed: every change above is complete before anything can fail.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where messages are put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Before all others: the spool refused everything, order is kept.
    First,
    /// Behind all others: the spool takes others but not these, which must not stand in the way.
    Last,
}

/// About how many bytes of memory a message takes.
fn footprint(message: &Message) -> usize {
    let body = match &message.body {
        Body::Notice(gathered) => {
            size_of_val(&**gathered)
                + notice_bytes(&gathered.first)
                + gathered.last.as_ref().map_or(0, notice_bytes)
        }
        Body::Mail { content, .. } => usize::try_from(content.length()).unwrap_or(usize::MAX / 2),
    };
    size_of::<Waiting>() + body + message.recipients.iter().map(recipient_bytes).sum::<usize>()
}

fn notice_bytes(notice: &Notice<'_>) -> usize {
    let names = notice.source_name.text.len() + notice.destination_name.text.len();
    let words = notice.mailslot.len() + notice.originator.len() + notice.to.len();
    names + words + notice.text.len() + notice.data.len()
}

fn recipient_bytes(recipient: &Recipient) -> usize {
    let standby: usize = recipient.otherwise.iter().map(|standby| recipient_bytes(&standby.recipient)).sum();
    size_of::<Recipient>() + recipient.to.len() + recipient.subject.as_ref().map_or(0, String::len) + standby
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::message::mail::{Content, Priority};

    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
    fn start() -> Instant {
        Instant::now()
    }

    fn mail(number: u8, length: usize) -> Message {
        let content = Content::Inline(Bytes::from(vec![number; length]));
        Message {
            body: Body::Mail { reverse_path: None, content, submitted: Box::default() },
            accepted_at: jiff::Timestamp::UNIX_EPOCH,
            expire: None,
            priority: Priority::Normal,
            rule: None,
            group: None,
            recipients: Vec::new(),
        }
    }

    fn numbers(batch: &[Waiting]) -> Vec<u8> {
        let number = |waiting: &Waiting| match &waiting.message.body {
            Body::Mail { content: Content::Inline(bytes), .. } => bytes[0],
            Body::Mail { content: Content::File { .. }, .. } | Body::Notice(_) => panic!("not made here"),
        };
        batch.iter().map(number).collect()
    }

    fn backlog(messages: usize) -> Backlog {
        Backlog::new(messages * footprint(&mail(0, 1000)), Arc::new(Metrics::new()))
    }

    #[tokio::test]
    async fn a_full_backlog_keeps_the_oldest_and_refuses_the_newest() {
        let backlog = backlog(2);
        let pushed = [1, 2, 3].map(|number| backlog.push(mail(number, 1000), start()));
        assert_eq!(pushed, [Ok(()), Ok(()), Err(NoRoom)]);
        assert_eq!(numbers(&backlog.batch(10).await.unwrap()), [1, 2]);
    }

    #[tokio::test]
    async fn what_is_being_written_still_counts_until_it_is_settled() {
        let backlog = backlog(1);
        backlog.push(mail(1, 1000), start()).unwrap();
        let batch = backlog.batch(10).await.unwrap();
        assert_eq!(backlog.push(mail(2, 1000), start()), Err(NoRoom));
        backlog.settle(&batch);
        assert_eq!(backlog.bytes(), 0);
        assert_eq!(backlog.push(mail(3, 1000), start()), Ok(()));
    }

    #[tokio::test]
    async fn what_was_given_back_keeps_its_place_or_goes_last() {
        let backlog = backlog(9);
        for number in 1..=4 {
            backlog.push(mail(number, 1000), start()).unwrap();
        }
        let batch = backlog.batch(2).await.unwrap();
        backlog.give_back(batch, Place::First);
        let batch = backlog.batch(2).await.unwrap();
        assert_eq!(numbers(&batch), [1, 2]);
        backlog.give_back(batch, Place::Last);
        assert_eq!(numbers(&backlog.batch(9).await.unwrap()), [3, 4, 1, 2]);
    }

    #[tokio::test]
    async fn a_closed_one_takes_nothing_more_and_ends_when_it_is_empty() {
        let backlog = backlog(9);
        backlog.push(mail(1, 1000), start()).unwrap();
        backlog.close();
        assert_eq!(backlog.push(mail(2, 1000), start()), Err(NoRoom));
        assert_eq!(backlog.batch(9).await.map(|batch| batch.len()), Some(1));
        assert_eq!(backlog.batch(9).await.map(|batch| batch.len()), None);
    }

    #[tokio::test]
    async fn one_who_waits_is_woken_by_a_message_and_by_the_end() {
        let backlog = Arc::new(backlog(9));
        let other = Arc::clone(&backlog);
        let waiter = tokio::spawn(async move {
            let first = other.batch(9).await.map(|batch| batch.len());
            (first, other.batch(9).await.map(|batch| batch.len()))
        });
        tokio::task::yield_now().await;
        backlog.push(mail(1, 1), start()).unwrap();
        while backlog.waiting() > 0 {
            tokio::task::yield_now().await;
        }
        backlog.close();
        assert_eq!(waiter.await.unwrap(), (Some(1), None));
    }
}
