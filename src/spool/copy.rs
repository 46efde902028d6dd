//! What the delivery side sees of the spool: copies that are due, and what became of them.

use std::time::Duration;

use jiff::Timestamp;

use crate::message::id::{DestinationName, QueueId};
use crate::message::mail::Message;
use crate::message::recipient::{EnhancedStatus, Recipient, RecipientNumber};
use crate::policy::operator::Topic;
use crate::telemetry::metrics::ReportKind;

/// A copy of a message that is due for its destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The message.
    pub id: QueueId,
    /// Which of its recipients.
    pub number: RecipientNumber,
    /// Where it goes; its `otherwise` is empty, as standby copies are rows of their own.
    pub recipient: Recipient,
    /// How many attempts were made and delayed.
    pub attempts: u32,
    /// When the message was accepted.
    pub accepted_at: Timestamp,
    /// When it is given up.
    pub expires_at: Timestamp,
}

/// What became of one copy in one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The message.
    pub id: QueueId,
    /// Which of its recipients.
    pub number: RecipientNumber,
    /// What became of it.
    pub fate: Fate,
    /// When the attempt ended.
    pub at: Timestamp,
}

/// What became of one copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The next hop has it: the copy leaves the spool, and so do the standby copies behind it.
    Delivered,
    /// To be tried again.
    Deferred {
        /// When.
        due: Timestamp,
        /// Why, as a code.
        status: EnhancedStatus,
        /// Why, in the next hop's words; escaped, one line.
        text: String,
    },
    /// Never: kept for the operator, and the standby copy behind it is due at once.
    Failed {
        /// Why, as a code.
        status: EnhancedStatus,
        /// Why, in the next hop's words; escaped, one line.
        text: String,
    },
    /// Its time ran out: failed with 4.4.7, without a further attempt.
    Expired {
        /// What the last attempt met; escaped, one line.
        text: String,
    },
    /// It is late, and its sender was told so: that happens once. Nothing else changes.
    LateTold,
}

/// A mail of ours that tells a sender, or of notices the operator, what became of copies. It is kept in the same transaction as their fates, and only
/// if at least one of these was still to be recorded: a report is neither lost nor sent twice, whenever the power goes.
#[derive(Debug, Clone)]
pub struct FateReport {
    /// The report itself. It needs room as everything does, but no limit keeps it out.
    pub message: Message,
    /// What it tells.
    pub kind: ReportKind,
    /// The copies it is about; their fates are recorded with it.
    pub about: Vec<(QueueId, RecipientNumber)>,
    /// What holds it back where another of its kind has just gone; `None`: nothing.
    pub pace: Option<Pace>,
}

/// How often a report on one topic goes; those between are counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    /// What one report stands for.
    pub topic: Topic,
    /// Between two of them; `None`: each goes.
    pub repeat: Option<Duration>,
    /// How many copies this one says were held back before it: as many are taken off the count if it goes.
    pub held_back: u64,
}

/// A copy about which its sender is to be told something that no attempt brings about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overdue {
    /// The message.
    pub id: QueueId,
    /// Which of its recipients.
    pub number: RecipientNumber,
    /// Where it goes.
    pub recipient: Recipient,
    /// What happened.
    pub lateness: Lateness,
    /// When it is given up.
    pub expires_at: Timestamp,
    /// How many attempts were made.
    pub attempts: u32,
    /// When the last of them ended, where there was one.
    pub settled_at: Option<Timestamp>,
    /// The code of the last attempt.
    pub status: Option<EnhancedStatus>,
    /// What it met.
    pub text: Option<String>,
}

/// How late a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lateness {
    /// Its time has run out, and it must not fail without a report: [`Fate::Expired`].
    Expired,
    /// Its sender wants to hear of a delay and has not: [`Fate::LateTold`].
    Late,
}

/// What a sweep did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Swept {
    /// Copies whose time ran out, now failed with 4.4.7, but for those whose sender is told. At most [`Swept::BATCH`] in one sweep: sweep again until
    /// there are none.
    pub expired: Vec<Expired>,
    /// Failed copies that were kept long enough and are gone now; at most [`Swept::BATCH`].
    pub forgotten: u64,
    /// Groups that nothing repeats any more.
    pub groups: u64,
}

impl Swept {
    /// How many copies one sweep expires, and forgets, at most: a sweep must not hold up those who wait for a commit.
    pub const BATCH: u32 = 1000;
}

/// A copy whose time ran out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expired {
    /// The message.
    pub id: QueueId,
    /// Which of its recipients.
    pub number: RecipientNumber,
    /// Where it would have gone.
    pub destination: DestinationName,
    /// How many attempts were made.
    pub attempts: u32,
}
