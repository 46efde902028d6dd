//! Which message breaks a destination that works for others.
//!
//! An attempt that ends without an answer for its message says one of two things: the destination is down, or it breaks
//! over this very message, as a service that crashes at one body or a broker that ends the connection at one packet. A
//! single end does not tell which, so it costs the message nothing; but from then on the message is a *suspect*. If that
//! happens again although another was delivered in between, the message answers for itself. While nothing is delivered,
//! at most a few that were suspects before do, however long that lasts.
//!
//! Where attempts share a connection, whoever breaks it breaks it for all, and all of them become suspects. So suspects
//! go few at a time beside those that are not: one, and with each that passes one more, until one breaks the
//! destination again. Only one that went alone among its like is blamed, and once blamed it always goes so.
//!
//! ```text
//!            broke                broke, alone, others delivered since
//!   Clear ──────────▶ Suspect ─────────────────────────────────────────▶ Blamed
//!     ▲                  │                                                 │
//!     └──── delivered ───┴─────────────────── delivered ───────────────────┘
//! ```
//!
//! What is remembered is bounded in number and in time; what is forgotten is clear.

use std::time::{Duration, Instant};

use super::availability::Errand;
use super::remembered::Remembered;
use crate::message::id::QueueId;

/// The suspects of one destination.
#[derive(Debug)]
pub struct Suspects {
    known: Remembered<QueueId, Record>,
    /// When the attempt began that was the last to deliver.
    delivered: Option<Instant>,
    /// Who was blamed since that, and when; at most [`IN_A_ROW`].
    blamed: Vec<(QueueId, Instant)>,
    trials: Trials,
}

/// What is known of a message that was not delivered when it was tried.
#[derive(Debug, Clone, Copy)]
struct Record {
    standing: Standing,
    /// When it broke the destination first.
    since: Instant,
    /// When it was last tried in vain.
    last: Instant,
}

/// What is thought of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Nothing is held against it.
    Clear,
    /// The destination broke when it was tried; whose fault that was is not known.
    Suspect,
    /// The destination breaks when it is tried, and works for others.
    Blamed,
}

/// The suspects that are on their way.
#[derive(Debug)]
struct Trials {
    under_way: usize,
    /// How many may be.
    most: usize,
    company: Company,
}

/// Who has been under way since there last was no suspect under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Company {
    /// At most one suspect at a time.
    Alone,
    /// Several, so none of them can be told from the others.
    Several,
    /// One that is blamed: no other joins it.
    Closed,
}

/// A message on its way; to be given back when its attempt has ended.
#[derive(Debug)]
#[must_use = "the suspects count who is under way"]
pub struct Passage {
    id: QueueId,
    standing: Standing,
    began: Instant,
}

/// Whose fault it is that an attempt ended without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The destination's, as far as is known: the message stays as it was.
    Destination,
    /// The message's: it pays with an attempt.
    Message,
}

impl Suspects {
    /// Remembers at most so many messages. No more than half of what is looked at when the next is chosen, so that those
    /// who wait for their turn never hide all others.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            known: Remembered::new(REMEMBERED, capacity),
            delivered: None,
            blamed: Vec::new(),
            trials: Trials { under_way: 0, most: 1, company: Company::Alone },
        }
    }

    /// The place of the message that goes next, of those that wait, in their order. Suspects keep theirs among
    /// themselves; others pass those that wait for their turn. `None`: none may go now.
    #[must_use]
    pub fn next(&self, waiting: impl IntoIterator<Item = QueueId>, now: Instant) -> Option<usize> {
        let mut suspects_may_go = true;
        waiting.into_iter().position(|id| match self.standing(id, now) {
            Standing::Clear => true,
            suspect @ (Standing::Suspect | Standing::Blamed) => {
                suspects_may_go = suspects_may_go && self.trials.admit(suspect);
                suspects_may_go
            }
        })
    }

    /// The place of the message that probes a destination in trouble: the first that was not tried in vain, or else the
    /// one whose last try lies longest back. So one that breaks the destination does not keep it down for the others.
    #[must_use]
    pub fn probe(&self, waiting: impl IntoIterator<Item = QueueId>, now: Instant) -> Option<usize> {
        let tried = |id| self.known.recall(&id, now).map(|record| record.last);
        waiting.into_iter().enumerate().min_by_key(|(_, id)| tried(*id)).map(|(place, _)| place)
    }

    /// A message goes out.
    pub fn begin(&mut self, id: QueueId, now: Instant) -> Passage {
        let standing = self.standing(id, now);
        self.trials.begin(standing);
        Passage { id, standing, began: now }
    }

    /// It was delivered.
    pub fn delivered(&mut self, passage: Passage) {
        self.known.forget(&passage.id);
        self.delivered = self.delivered.max(Some(passage.began));
        self.blamed.retain(|(_, at)| *at > passage.began);
        self.trials.passed(passage.standing);
    }

    /// It was answered, or not tried at all: this says nothing about it.
    pub fn ended(&mut self, passage: Passage) {
        self.trials.passed(passage.standing);
    }

    /// The destination wants no more for now: another is to ask when that is over.
    pub fn put_off(&mut self, passage: Passage, now: Instant) {
        let old = self.known.recall(&passage.id, now).copied();
        let new = Record { standing: Standing::Clear, since: now, last: now };
        self.known.note(passage.id, Record { last: now, ..old.unwrap_or(new) }, now);
        self.trials.passed(passage.standing);
    }

    /// It ended without an answer.
    ///
    /// A probe is never blamed: it goes to a destination of which nothing good is known.
    pub fn broke(&mut self, passage: Passage, errand: Errand, now: Instant) -> Blame {
        let alone = self.trials.company != Company::Several;
        self.trials.broke(passage.standing);
        let old = self.known.recall(&passage.id, now).copied();
        let old = old.filter(|record| record.standing != Standing::Clear);
        let again = old.filter(|_| passage.standing != Standing::Clear && errand == Errand::Deliver);
        let works = again.is_some_and(|record| self.works_since(record.since, now));
        let to_blame = alone && works && self.is_one_of_few(passage.id, now);
        let blamed = to_blame || old.is_some_and(|record| record.standing == Standing::Blamed);
        let standing = if blamed { Standing::Blamed } else { Standing::Suspect };
        let since = old.map_or(now, |record| record.since);
        self.known.note(passage.id, Record { standing, since, last: now }, now);
        if to_blame { Blame::Message } else { Blame::Destination }
    }

    /// Whether a message was delivered whose attempt began after this, and not too long ago.
    fn works_since(&self, since: Instant, now: Instant) -> bool {
        self.delivered
            .is_some_and(|began| began >= since && now.saturating_duration_since(began) <= PROOF_HOLDS)
    }

    /// Whether no more than a few have been blamed since the last delivery, this one included.
    fn is_one_of_few(&mut self, id: QueueId, now: Instant) -> bool {
        let is_known = self.blamed.iter().any(|(known, _)| *known == id);
        let has_room = self.blamed.len() < IN_A_ROW;
        if has_room && !is_known {
            self.blamed.push((id, now));
        }
        has_room || is_known
    }

    fn standing(&self, id: QueueId, now: Instant) -> Standing {
        self.known.recall(&id, now).map_or(Standing::Clear, |record| record.standing)
    }
}

impl Trials {
    fn admit(&self, standing: Standing) -> bool {
        match standing {
            Standing::Clear => true,
            Standing::Suspect => self.under_way < self.most && self.company != Company::Closed,
            Standing::Blamed => self.under_way == 0,
        }
    }

    fn begin(&mut self, standing: Standing) {
        if standing == Standing::Clear {
            return;
        }
        self.company = match (self.under_way, standing) {
            (0, Standing::Blamed) => Company::Closed,
            (0, _) => Company::Alone,
            _ => Company::Several,
        };
        self.under_way = self.under_way.saturating_add(1);
    }

    fn passed(&mut self, standing: Standing) {
        if standing != Standing::Clear {
            self.most = self.most.saturating_add(1);
            self.leave();
        }
    }

    fn broke(&mut self, standing: Standing) {
        self.most = 1;
        if standing != Standing::Clear {
            self.leave();
        }
    }

    fn leave(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
        if self.under_way == 0 {
            self.company = Company::Alone;
        }
    }
}

/// So many messages may be blamed one after the other while nothing is delivered: several may be alike. When yet another
/// breaks the destination, it is the destination's fault.
const IN_A_ROW: usize = 3;

/// How long a suspect is remembered after it was last tried.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a delivery shows that the destination works. What breaks after that is first asked of others again.
const PROOF_HOLDS: Duration = Duration::from_secs(60 * 60);

#[cfg(test)]
mod tests;
