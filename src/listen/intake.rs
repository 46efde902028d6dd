//! From the backlog into the spool, many messages in one commit.
#![expect(clippy::disallowed_methods, reason = "the edge where waiting is measured")]

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::backlog::{Backlog, Place, Waiting};
use crate::message::id::QueueId;
use crate::spool::{Spool, SpoolError};
use crate::telemetry::log::Recurring;
use crate::telemetry::metrics::{DropReason, Metrics};

/// Drains the backlog into the spool.
///
/// While the spool refuses (a limit, a full disk, a failing one), messages stay in the backlog and are tried again,
/// at first after a tenth of a second, later every second: space may be back soon, and their senders will not repeat
/// them. Meanwhile the receiver drops the newest once the backlog is full. A message is given up only
/// after [`Intake::KEPT`], or when the gateway stops and its grace period ends.
#[derive(Debug)]
pub struct Intake {
    backlog: Arc<Backlog>,
    spool: Spool,
    metrics: Arc<Metrics>,
    commits: JoinSet<Commit>,
    refusal: Option<Refusal>,
    refusals: Recurring,
}

/// What the intake could not make durable before it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Left {
    /// Messages that the spool never took.
    pub lost: usize,
    /// Messages that the spool was writing; some or all may be durable.
    pub unconfirmed: usize,
}

/// Messages and what the spool answered.
#[derive(Debug)]
struct Commit {
    messages: Lent,
    answers: Vec<Result<QueueId, SpoolError>>,
}

/// The spool took nothing of the last commit.
#[derive(Debug)]
struct Refusal {
    since: Instant,
    /// Whether the log said so, and is told when it is over.
    told: Option<Told>,
    pause: Duration,
    try_again_at: Instant,
}

/// A refusal is in the log.
#[derive(Debug, Clone, Copy)]
struct Told;

impl Intake {
    /// How long a message waits for a spool that refuses it.
    pub const KEPT: Duration = Duration::from_secs(60 * 60);

    /// An intake between these two.
    #[must_use]
    pub fn new(backlog: Arc<Backlog>, spool: Spool, metrics: Arc<Metrics>) -> Self {
        Self {
            backlog,
            spool,
            metrics,
            commits: JoinSet::new(),
            refusal: None,
            refusals: Recurring::new(TELL_EVERY),
        }
    }

    /// Drains until the backlog is closed and empty, or until `give_up`, the end of the gateway's grace period. Says
    /// what was left then, in the log and to the caller.
    pub async fn run(mut self, give_up: CancellationToken) -> Left {
        let mut over = false;
        loop {
            if over && self.commits.is_empty() {
                return Left::default();
            }
            let backlog = Arc::clone(&self.backlog);
            let try_again_at = self.refusal.as_ref().map(|refusal| refusal.try_again_at.into());
            let at_most = if self.refusal.is_some() { 1 } else { COMMITS_AT_ONCE };
            let next = async {
                if let Some(try_again_at) = try_again_at {
                    tokio::time::sleep_until(try_again_at).await;
                }
                backlog.batch(MESSAGES_PER_COMMIT).await
            };
            tokio::select! {
                biased;
                () = give_up.cancelled() => return self.give_up(),
                Some(commit) = self.commits.join_next() => {
                    // What is given back waits again, also after the end of the rest.
                    over &= self.settle(commit) == PutBack::None;
                }
                batch = next, if !over && self.commits.len() < at_most => match batch {
                    Some(messages) => self.commit(messages),
                    None => over = true,
                },
            }
        }
    }

    fn commit(&mut self, messages: Vec<Waiting>) {
        let spool = self.spool.clone();
        let messages = Lent::new(messages, &self.backlog, &self.metrics);
        self.commits.spawn(async move {
            let copies = messages.messages.iter().map(|waiting| waiting.message.clone()).collect();
            let answers = spool.accept_all(copies).await;
            Commit { messages, answers }
        });
    }

    /// Releases what is durable and puts back what is not.
    fn settle(&mut self, commit: Result<Commit, JoinError>) -> PutBack {
        let now = Instant::now();
        let Commit { messages, answers } = match commit {
            Ok(commit) => commit,
            Err(error) => {
                // The messages went back when the task ended, all but one that was alone at fault.
                self.metrics.panicked();
                self.refused(&error, now);
                return PutBack::Some;
            }
        };
        let messages = messages.take();
        let sorted = Sorted::of(messages, answers, now);
        self.backlog.settle(sorted.durable.iter().chain(&sorted.given_up));
        if let (count @ 1.., Some(cause)) = (sorted.given_up.len(), &sorted.cause) {
            self.lost(count);
            tracing::error!(count, %cause, "Messages were given up because the spool refused them.");
        }
        match (&sorted.cause, sorted.refused.is_empty()) {
            (Some(cause), false) if sorted.durable.is_empty() => self.refused(cause, now),
            _ => self.accepted(now),
        }
        let place = if sorted.durable.is_empty() { Place::First } else { Place::Last };
        let put_back = if sorted.refused.is_empty() { PutBack::None } else { PutBack::Some };
        self.backlog.give_back(sorted.refused, place);
        put_back
    }

    /// The spool took nothing: it is left alone for a while.
    fn refused(&mut self, cause: &dyn Display, now: Instant) {
        let waiting = self.backlog.waiting();
        let before = self.refusal.take();
        let mut told = before.as_ref().and_then(|refusal| refusal.told);
        if before.is_none() && self.refusals.happened(1, now).is_some() {
            told = Some(Told);
            tracing::warn!(
                %cause,
                waiting,
                "The spool accepts no messages; they wait in memory and are tried again every second."
            );
        }
        let pause = before.as_ref().map_or(FIRST_PAUSE, |refusal| refusal.pause.saturating_mul(2));
        let pause = pause.min(LONGEST_PAUSE);
        let since = before.map_or(now, |refusal| refusal.since);
        self.refusal = Some(Refusal { since, told, pause, try_again_at: now + pause });
    }

    fn accepted(&mut self, now: Instant) {
        if let Some(refusal) = self.refusal.take()
            && refusal.told.is_some()
        {
            let waiting = self.backlog.waiting();
            let after = now.saturating_duration_since(refusal.since);
            tracing::info!(?after, waiting, "The spool accepts messages again.");
        }
    }

    /// The grace period is over.
    fn give_up(self) -> Left {
        let left = Left { lost: self.backlog.waiting(), unconfirmed: self.backlog.being_written() };
        if left != Left::default() {
            self.lost(left.lost);
            tracing::error!(
                lost = left.lost,
                unconfirmed = left.unconfirmed,
                "Messages were lost because the spool did not take them before the end of the grace period."
            );
        }
        left
    }

    fn lost(&self, count: usize) {
        self.metrics.datagrams_dropped(DropReason::SpoolRefused, u64::try_from(count).unwrap_or(u64::MAX));
    }
}

/// Whether messages went back into the backlog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PutBack {
    Some,
    None,
}

/// Messages of the backlog that a task has; they go back when it ends without an answer, be it by a panic.
#[derive(Debug)]
struct Lent {
    messages: Vec<Waiting>,
    backlog: Arc<Backlog>,
    metrics: Arc<Metrics>,
}

impl Lent {
    /// Lends those that may be written together; one that others were broken off with twice goes alone. The rest goes
    /// back.
    fn new(mut messages: Vec<Waiting>, backlog: &Arc<Backlog>, metrics: &Arc<Metrics>) -> Self {
        let together = match messages.iter().position(is_suspect) {
            Some(0) => 1,
            Some(before) => before,
            None => messages.len(),
        };
        let rest = messages.split_off(together.min(messages.len()));
        if !rest.is_empty() {
            backlog.give_back(rest, Place::First);
        }
        Self { messages, backlog: Arc::clone(backlog), metrics: Arc::clone(metrics) }
    }

    /// The task that had them panicked.
    fn broken_off(&mut self) {
        if let [culprit] = self.messages.as_slice()
            && is_suspect(culprit)
        {
            self.backlog.settle([culprit]);
            self.metrics.datagrams_dropped(DropReason::SpoolRefused, 1);
            let rule = culprit.message.rule.as_ref().map(tracing::field::display);
            tracing::error!(
                rule,
                "A message was given up because writing it ends by a defect in this program; please report it."
            );
            self.messages.clear();
        }
        for message in &mut self.messages {
            message.broken_off = message.broken_off.saturating_add(1);
        }
    }

    fn take(mut self) -> Vec<Waiting> {
        std::mem::take(&mut self.messages)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.broken_off();
        }
        if !self.messages.is_empty() {
            self.backlog.give_back(std::mem::take(&mut self.messages), Place::First);
        }
    }
}

/// Whether it may be the one that the writes it was part of ended by.
const fn is_suspect(waiting: &Waiting) -> bool {
    waiting.broken_off >= TRIED_TOGETHER
}

/// Messages by what became of them.
#[derive(Debug, Default)]
struct Sorted {
    durable: Vec<Waiting>,
    refused: Vec<Waiting>,
    given_up: Vec<Waiting>,
    /// Why the last of those that are not durable is not.
    cause: Option<SpoolError>,
}

impl Sorted {
    fn of(messages: Vec<Waiting>, answers: Vec<Result<QueueId, SpoolError>>, now: Instant) -> Self {
        let mut sorted = Self::default();
        let mut answers = answers.into_iter();
        for message in messages {
            let cause = match answers.next() {
                Some(Ok(id)) => {
                    let rule = message.message.rule.as_ref().map(tracing::field::display);
                    tracing::debug!(%id, rule, "Accepted: the message is durable.");
                    sorted.durable.push(message);
                    continue;
                }
                Some(Err(cause)) => cause,
                None => SpoolError::Closed,
            };
            let waited_enough = now.saturating_duration_since(message.since) >= Intake::KEPT;
            if waited_enough || never_accepted(&cause) {
                sorted.given_up.push(message);
            } else {
                sorted.refused.push(message);
            }
            sorted.cause = Some(cause);
        }
        sorted
    }
}

/// Whether the same message would be refused for ever.
const fn never_accepted(cause: &SpoolError) -> bool {
    match cause {
        SpoolError::NoRecipient | SpoolError::ForeignContent { .. } => true,
        SpoolError::Full { .. }
        | SpoolError::Corrupt { .. }
        | SpoolError::Io { .. }
        | SpoolError::Locked { .. }
        | SpoolError::NewerFormat { .. }
        | SpoolError::ForeignDatabase { .. }
        | SpoolError::Group { .. }
        | SpoolError::Closed => false,
    }
}

/// Enough that one fsync serves many, few enough that it is done in some milliseconds.
const MESSAGES_PER_COMMIT: usize = 512;

/// While one is on its way to the disk, the spool has the next ones at hand.
const COMMITS_AT_ONCE: usize = 4;

/// Writes that ended by a defect before their messages are tried one by one.
const TRIED_TOGETHER: u8 = 2;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
const TELL_EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::mail::{Body, Content, Message, Priority};

    const BAD: u8 = 4;

    fn mail(number: u8) -> Message {
        Message {
            body: Body::Mail {
                reverse_path: None,
                content: Content::Inline(vec![number].into()),
                submitted: Box::default(),
            },
            accepted_at: jiff::Timestamp::UNIX_EPOCH,
            expire: None,
            priority: Priority::Normal,
            rule: None,
            group: None,
            recipients: Vec::new(),
        }
    }

    fn number(waiting: &Waiting) -> u8 {
        match &waiting.message.body {
            Body::Mail { content: Content::Inline(bytes), .. } => bytes[0],
            Body::Mail { content: Content::File { .. }, .. } | Body::Notice(_) => panic!("not made here"),
        }
    }

    #[tokio::test]
    async fn a_message_whose_write_panics_is_found_and_given_up_and_all_others_go_in() {
        let metrics = Arc::new(Metrics::new());
        let backlog = Arc::new(Backlog::new(Backlog::LIMIT, Arc::clone(&metrics)));
        for number in 0..10 {
            backlog.push(mail(number), Instant::now()).unwrap();
        }
        let (mut written, mut panics) = (Vec::new(), 0);
        while backlog.waiting() > 0 {
            let batch = backlog.batch(MESSAGES_PER_COMMIT).await.unwrap();
            let lent = Lent::new(batch, &backlog, &metrics);
            let task = tokio::spawn(async move {
                assert!(!lent.messages.iter().any(|waiting| number(waiting) == BAD), "a defect");
                lent.take()
            });
            match task.await {
                Ok(messages) => {
                    backlog.settle(&messages);
                    written.extend(messages.iter().map(number));
                }
                Err(_) => panics += 1,
            }
            assert!(panics <= 3, "it ends");
        }
        assert_eq!(written, [0, 1, 2, 3, 5, 6, 7, 8, 9]);
        assert_eq!(panics, 3);
        assert_eq!((backlog.bytes(), backlog.being_written()), (0, 0));
        assert_eq!(metrics.dropped_so_far(DropReason::SpoolRefused), 1);
    }
}
