//! The fates of a message's copies, and what changes them: what the local spool does to rows, on one value.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::carried::json;
use super::key::Key;
use super::position::Position;
use crate::message::id::{DestinationName, QueueId, RuleName};
use crate::message::mail::{Class, Priority};
use crate::message::recipient::{EnhancedStatus, Recipient, RecipientNumber};
use crate::spool::copy::{Expired, Fate, Lateness, Overdue, Settled};
use crate::spool::operator::{Copy, Place};
use crate::spool::rows::{Prepared, later};
use crate::spool::sweeping::{EXPIRED, given_up};
use crate::telemetry::metrics::SpoolState;

/// All of a message that changes: small, because all gateways of the group keep all of these in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The same wherever the message was heard.
    pub(super) key: Key,
    pub(super) accepted_at: Timestamp,
    pub(super) priority: Priority,
    pub(super) class: Class,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rule: Option<RuleName>,
    /// Of body and content.
    pub(super) bytes: u64,
    pub(super) content: Kept,
    /// The group that it may still gather repeats of, by the hexadecimal digits of its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) group: Option<String>,
    /// Those that are left; none: the message is done with.
    pub(super) copies: Vec<State>,
    /// Who delivers it at this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) lease: Option<GatewayId>,
    /// Its message in the stream, while that may still be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) position: Option<Position>,
}

/// Where the content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kept {
    /// With the body.
    Inline,
    /// In the Object Store, under the key.
    Object,
}

/// One run of one gateway; drawn at its start.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct GatewayId(pub(super) String);

/// One copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) number: RecipientNumber,
    pub(super) recipient: Recipient,
    pub(super) state: SpoolState,
    pub(super) due: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) attempts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) standby_of: Option<RecipientNumber>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) settled_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<EnhancedStatus>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<String>,
    /// Whether somebody must hear of its failure.
    pub(super) on_failure: OnFailure,
    /// When its sender is told that it is late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) report_delay_at: Option<Timestamp>,
}

/// Whether somebody must hear of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum OnFailure {
    /// It may not fail without a report.
    Told,
    /// Nobody is told, or has been.
    Quiet,
}

/// Whether a fate was still to be recorded, and told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Recorded,
    RecordedQuietly,
    PassedOver,
}

impl Record {
    /// Of a message that was just prepared; its first copies are due at `due`, from when its time is counted.
    pub(super) fn of(prepared: &Prepared, key: Key, due: Timestamp) -> Self {
        let mut record = Self {
            key,
            accepted_at: prepared.accepted_at,
            priority: prepared.priority,
            class: prepared.class,
            rule: prepared.rule.clone(),
            bytes: prepared.bytes,
            content: if prepared.file.is_some() { Kept::Object } else { Kept::Inline },
            group: None,
            copies: Vec::new(),
            lease: None,
            position: None,
        };
        for (number, each) in (0_u32..).zip(&prepared.recipients) {
            let dsn = &each.recipient.dsn;
            record.copies.push(State {
                number: RecipientNumber(number),
                recipient: each.recipient.clone(),
                state: SpoolState::Queued,
                due: each.standby.map_or(due, |(after, _)| later(due, after)),
                expires_at: later(due, prepared.expire),
                attempts: 0,
                standby_of: each.standby.map(|(_, before)| RecipientNumber(before)),
                settled_at: None,
                status: None,
                text: None,
                on_failure: if prepared.owed.failure(dsn) { OnFailure::Told } else { OnFailure::Quiet },
                report_delay_at: prepared.delay_report_at(dsn),
            });
        }
        record
    }

    /// As JSON of at most so many bytes: where it is too long, what its copies met is cut short. One that is too long
    /// without that too is not accepted, see [`Self::longest`].
    pub(super) fn within(&self, most: usize) -> Bytes {
        let whole = json(self);
        if whole.len() <= most {
            return whole;
        }
        let mut record = self.clone();
        let mut shortened = whole;
        for characters in [200, 40, 0] {
            for text in record.copies.iter_mut().filter_map(|copy| copy.text.as_mut()) {
                *text = text.chars().take(characters).collect();
            }
            shortened = json(&record);
            if shortened.len() <= most {
                break;
            }
        }
        shortened
    }

    /// How many bytes it may ever need as JSON, but for what its copies meet, which can be cut short.
    pub(super) fn longest(&self, gateway: &GatewayId) -> usize {
        let mut record = self.clone();
        for copy in &mut record.copies {
            copy.state = SpoolState::Corrupt;
            copy.attempts = u32::MAX;
            copy.status = Some(EXPIRED);
            copy.text = Some(String::new());
            copy.settled_at = Some(self.accepted_at);
        }
        record.lease = Some(gateway.clone());
        record.position = Some(Position::new(u64::MAX, i128::MAX));
        // A time with all its digits is longer than one without, and each copy has up to four.
        let digits = record.copies.len().saturating_mul(4).saturating_mul(FRACTION);
        json(&record).len().saturating_add(GROUP).saturating_add(digits)
    }

    /// Waits until `due`, and its time begins then.
    pub(super) fn put_off(&mut self, due: Timestamp) {
        let start = self.copies.iter().filter(|copy| copy.standby_of.is_none()).map(|copy| copy.due).min();
        let by = start.map_or(Duration::ZERO, |start| {
            Duration::try_from(due.duration_since(start)).unwrap_or_default()
        });
        for copy in &mut self.copies {
            copy.due = later(copy.due, by);
            copy.expires_at = later(copy.expires_at, by);
        }
    }

    /// Where its copies stand among others: lower goes first.
    pub(super) fn rank(&self) -> i64 {
        use crate::spool::rows::{class_number, priority_number};
        priority_number(self.priority).saturating_mul(2).saturating_add(class_number(self.class))
    }

    /// The destinations of its copies.
    pub(super) fn destinations(&self) -> HashSet<&DestinationName> {
        self.copies.iter().map(|copy| &copy.recipient.via).collect()
    }

    /// When the last of its copies is given up.
    pub(super) fn expires_at(&self) -> Timestamp {
        self.copies.iter().map(|copy| copy.expires_at).max().unwrap_or(self.accepted_at)
    }

    /// Records what became of a copy. One that is gone, or failed meanwhile, is passed over unless it was delivered.
    pub(super) fn settle(&mut self, settled: &Settled) -> Effect {
        let Some(place) = self.copies.iter().position(|copy| copy.number == settled.number) else {
            return Effect::PassedOver;
        };
        let Some(copy) = self.copies.get_mut(place) else { return Effect::PassedOver };
        if settled.fate == Fate::Delivered {
            self.copies.remove(place);
            self.remove_behind(settled.number);
            return Effect::Recorded;
        }
        if !copy.waits() {
            return Effect::PassedOver;
        }
        let told = match copy.on_failure {
            OnFailure::Told => Effect::Recorded,
            OnFailure::Quiet => Effect::RecordedQuietly,
        };
        match &settled.fate {
            Fate::Delivered => Effect::PassedOver,
            Fate::Deferred { due, status, text } => {
                copy.due = *due;
                copy.met(*status, text.clone(), settled.at);
                copy.attempts = copy.attempts.saturating_add(1);
                Effect::Recorded
            }
            Fate::Failed { status, text } => {
                copy.state = SpoolState::Failed;
                copy.met(*status, text.clone(), settled.at);
                copy.attempts = copy.attempts.saturating_add(1);
                self.call_standby(settled.number, settled.at);
                told
            }
            Fate::Expired { text } => {
                copy.state = SpoolState::Failed;
                copy.met(EXPIRED, text.clone(), settled.at);
                told
            }
            Fate::LateTold => match copy.report_delay_at.take() {
                Some(_) => Effect::Recorded,
                None => Effect::PassedOver,
            },
        }
    }

    /// Of this failed copy it has been told: an operator who tries it again has it told no second time.
    pub(super) fn note_told(&mut self, number: RecipientNumber) {
        for copy in self.copies.iter_mut().filter(|copy| copy.number == number) {
            if copy.state == SpoolState::Failed {
                copy.on_failure = OnFailure::Quiet;
                copy.report_delay_at = None;
            }
        }
    }

    /// Keeps it away from its destinations.
    pub(super) fn set_corrupt(&mut self, why: &str, at: Timestamp) -> u64 {
        let mut aside = |from| {
            self.shift(from, SpoolState::Corrupt, |copy| {
                copy.text = Some(why.to_owned());
                copy.settled_at = Some(at);
            })
        };
        aside(SpoolState::Queued).saturating_add(aside(SpoolState::Held))
    }

    /// Makes copies due that wait for a further attempt, and those that failed; with `Scope::One` corrupt ones too.
    pub(super) fn retry(&mut self, scope: Scope, now: Timestamp) -> u64 {
        let mut changed: u64 = 0;
        for copy in self.copies.iter_mut().filter(|copy| copy.state == SpoolState::Queued && copy.due > now) {
            let waits_itself = copy.attempts > 0 || (scope == Scope::One && copy.standby_of.is_none());
            if waits_itself {
                copy.due = now;
                changed = changed.saturating_add(1);
            }
        }
        let accepted_at = self.accepted_at;
        let mut again = |from| {
            self.shift(from, SpoolState::Queued, |copy| {
                copy.due = now;
                copy.attempts = 0;
                copy.whole_time(accepted_at, now);
            })
        };
        changed = changed.saturating_add(again(SpoolState::Failed));
        if scope == Scope::One {
            changed = changed.saturating_add(again(SpoolState::Corrupt));
        }
        changed
    }

    /// Keeps queued copies back.
    pub(super) fn hold(&mut self) -> u64 {
        self.shift(SpoolState::Queued, SpoolState::Held, |_| {})
    }

    /// Lets held copies go.
    pub(super) fn release(&mut self, now: Timestamp) -> u64 {
        let accepted_at = self.accepted_at;
        self.shift(SpoolState::Held, SpoolState::Queued, |copy| copy.whole_time(accepted_at, now))
    }

    /// Fails the copies whose time ran out and whose failure nobody is told of.
    pub(super) fn expire(&mut self, id: QueueId, now: Timestamp) -> Vec<Expired> {
        let over = |copy: &State| copy.state == SpoolState::Queued && copy.expires_at <= now;
        let quiet = |copy: &&mut State| over(copy) && copy.on_failure == OnFailure::Quiet;
        let mut expired = Vec::new();
        for copy in self.copies.iter_mut().filter(quiet) {
            copy.state = SpoolState::Failed;
            copy.met(EXPIRED, given_up(copy.text.as_deref()), now);
            let destination = copy.recipient.via.clone();
            expired.push(Expired { id, number: copy.number, destination, attempts: copy.attempts });
        }
        expired
    }

    /// Forgets what failed before `before`; how many copies.
    pub(super) fn forget(&mut self, before: Timestamp) -> u64 {
        let all = self.copies.len();
        let old = |copy: &State| {
            copy.state == SpoolState::Failed && copy.settled_at.is_some_and(|settled| settled <= before)
        };
        self.copies.retain(|copy| !old(copy));
        u64::try_from(all.saturating_sub(self.copies.len())).unwrap_or_default()
    }

    /// The copies about which somebody is to be told that they are late or given up.
    pub(super) fn overdue(&self, id: QueueId, now: Timestamp) -> Vec<Overdue> {
        let mut found = Vec::new();
        for copy in self.copies.iter().filter(|copy| copy.state == SpoolState::Queued) {
            let lateness = if copy.expires_at <= now {
                (copy.on_failure == OnFailure::Told).then_some(Lateness::Expired)
            } else {
                copy.report_delay_at.is_some_and(|at| at <= now).then_some(Lateness::Late)
            };
            found.extend(lateness.map(|lateness| copy.overdue(id, lateness)));
        }
        found
    }

    /// When a sweep next finds something in it.
    pub(super) fn next_sweep(&self, failed_keep: Duration) -> Option<Timestamp> {
        let times = self.copies.iter().filter_map(|copy| match copy.state {
            SpoolState::Queued => {
                Some(copy.report_delay_at.map_or(copy.expires_at, |at| at.min(copy.expires_at)))
            }
            SpoolState::Failed => copy.settled_at.map(|at| later(at, failed_keep)),
            SpoolState::Held | SpoolState::Corrupt => None,
        });
        times.min()
    }

    /// As an operator sees them.
    pub(super) fn shown(&self, id: QueueId) -> impl Iterator<Item = Copy> {
        self.copies.iter().map(move |copy| Copy {
            id,
            number: copy.number,
            destination: copy.recipient.via.clone(),
            address: copy.recipient.to.clone(),
            state: copy.state,
            due: (copy.state == SpoolState::Queued).then_some(copy.due),
            standby_of: copy.standby_of,
            attempts: copy.attempts,
            settled_at: copy.settled_at,
            status: copy.status.map(|status| status.to_string()),
            text: copy.text.clone(),
            priority: self.priority,
            class: self.class,
            rule: self.rule.clone(),
            accepted_at: self.accepted_at,
            expires_at: copy.expires_at,
            bytes: self.bytes,
            dsn: copy.recipient.dsn.clone(),
            place: Place::Spool,
            mailbox: copy.recipient.mailbox.clone(),
        })
    }

    fn shift(&mut self, from: SpoolState, to: SpoolState, mut with: impl FnMut(&mut State)) -> u64 {
        let mut changed: u64 = 0;
        for copy in self.copies.iter_mut().filter(|copy| copy.state == from) {
            copy.state = to;
            with(copy);
            changed = changed.saturating_add(1);
        }
        changed
    }

    /// The copy before it failed for good: the standby copy goes now.
    fn call_standby(&mut self, failed: RecipientNumber, now: Timestamp) {
        for copy in self.copies.iter_mut().filter(|copy| copy.standby_of == Some(failed) && copy.waits()) {
            copy.due = copy.due.min(now);
        }
    }

    /// The copy was delivered: no copy behind it in its chain is needed. Those that failed before stay to be seen.
    fn remove_behind(&mut self, delivered: RecipientNumber) {
        let mut before = delivered;
        // Numbers rise along a chain; one that does not was not written here and would never end.
        while let Some(place) =
            self.copies.iter().position(|copy| copy.standby_of == Some(before) && copy.number > before)
        {
            let Some(copy) = self.copies.get(place) else { return };
            before = copy.number;
            if copy.waits() {
                self.copies.remove(place);
            }
        }
    }
}

impl State {
    const fn waits(&self) -> bool {
        matches!(self.state, SpoolState::Queued | SpoolState::Held)
    }

    fn met(&mut self, status: EnhancedStatus, text: String, at: Timestamp) {
        self.status = Some(status);
        self.text = Some(text);
        self.settled_at = Some(at);
    }

    /// Its whole time again, if it ran out.
    fn whole_time(&mut self, accepted_at: Timestamp, now: Timestamp) {
        if self.expires_at <= now {
            let whole = Duration::try_from(self.expires_at.duration_since(accepted_at)).unwrap_or_default();
            self.expires_at = later(now, whole);
        }
    }

    fn overdue(&self, id: QueueId, lateness: Lateness) -> Overdue {
        Overdue {
            id,
            number: self.number,
            recipient: self.recipient.clone(),
            lateness,
            expires_at: self.expires_at,
            attempts: self.attempts,
            settled_at: self.settled_at,
            status: self.status,
            text: self.text.clone(),
        }
    }
}

/// What a retry is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// This message.
    One,
    /// All that are delayed or failed.
    All,
}

/// The digits of a second's parts.
const FRACTION: usize = 10;
/// The key of a group, with its name.
const GROUP: usize = 64;

#[cfg(test)]
mod tests {
    use super::super::tests::{alarm, at, recipient, record};
    use super::*;
    use crate::message::mail::Message;
    use crate::message::recipient::Standby;

    fn settled(number: u32, fate: Fate) -> Settled {
        Settled { id: ID, number: RecipientNumber(number), fate, at: at(10) }
    }

    fn failed() -> Fate {
        Fate::Failed { status: EnhancedStatus::new(5, 1, 1), text: "no such user".to_owned() }
    }

    /// A copy, and another that stands by for it.
    fn chain() -> Record {
        let mut first = recipient("smarthost", "oncall@corp.example");
        let after = Duration::from_secs(60);
        first.otherwise = vec![Standby { after, recipient: recipient("pager", "555") }];
        record(Message { recipients: vec![first], ..alarm("fire", at(0)) })
    }

    const ID: QueueId = match QueueId::from_row(7) {
        Some(id) => id,
        None => panic!("7 is positive"),
    };

    #[test]
    fn a_delivered_copy_takes_its_standby_with_it() {
        let mut record = chain();
        assert_eq!(record.copies.len(), 2);
        assert_eq!(record.settle(&settled(0, Fate::Delivered)), Effect::Recorded);
        assert!(record.copies.is_empty());
        assert_eq!(record.settle(&settled(0, Fate::Delivered)), Effect::PassedOver);
    }

    #[test]
    fn a_failure_calls_the_standby_at_once_and_stays_to_be_seen() {
        let mut record = chain();
        assert_eq!(record.copies[1].due, at(60));
        assert_eq!(record.settle(&settled(0, failed())), Effect::RecordedQuietly);
        assert_eq!(record.copies[1].due, at(10));
        assert_eq!(record.settle(&settled(1, Fate::Delivered)), Effect::Recorded);
        assert_eq!(record.copies.len(), 1);
        assert_eq!(record.copies[0].state, SpoolState::Failed);
        assert_eq!(record.settle(&settled(0, failed())), Effect::PassedOver, "it failed before");
    }

    #[test]
    fn a_held_copy_is_neither_due_nor_expired_and_gets_its_whole_time_again() {
        let mut record = record(alarm("fire", at(0)));
        assert_eq!(record.hold(), 1);
        assert!(record.expire(ID, at(100_000)).is_empty());
        assert_eq!(record.release(at(100_000)), 1);
        assert_eq!(record.copies[0].expires_at, at(103_600));
    }

    #[test]
    fn what_ran_out_of_time_fails_and_a_retry_begins_anew() {
        let mut record = record(alarm("fire", at(0)));
        assert_eq!(record.expire(ID, at(3599)), []);
        assert_eq!(record.expire(ID, at(3600)).len(), 1);
        assert_eq!(record.copies[0].status, Some(EXPIRED));
        assert_eq!(record.retry(Scope::All, at(4000)), 1);
        assert_eq!(record.copies[0].expires_at, at(7600));
        assert_eq!(record.forget(at(9999)), 0, "it is queued again");
    }

    #[test]
    fn a_group_that_waits_has_its_whole_time_from_when_it_is_due() {
        let mut record = record(alarm("fire", at(0)));
        record.put_off(at(600));
        assert_eq!((record.copies[0].due, record.copies[0].expires_at), (at(600), at(4200)));
    }

    #[test]
    fn a_record_of_many_copies_that_all_failed_fits_into_what_it_was_accepted_for() {
        let to =
            |number: usize| recipient("smarthost", &format!("someone.with.a.name.{number}@corp.example"));
        let mut record = record(Message { recipients: (0..500).map(to).collect(), ..alarm("fire", at(0)) });
        let me = GatewayId("gw1-plant-example-01234567".to_owned());
        let most = record.longest(&me);
        let now = at(10) + Duration::from_nanos(123_456_789);
        for copy in &mut record.copies {
            copy.state = SpoolState::Failed;
            copy.attempts = 4_000_000_000;
            copy.due = now;
            copy.met(EnhancedStatus::new(5, 1, 1), "\"no such user\" ".repeat(40), now);
        }
        record.lease = Some(me);
        record.position = Some(Position::new(u64::MAX, i128::MAX));
        record.group = Some("0123456789abcdef0123456789abcdef".to_owned());
        assert!(json(&record).len() > most);
        let written = record.within(most);
        assert!(written.len() <= most, "{} of {most}", written.len());
        let read: Record = serde_json::from_slice(&written).unwrap();
        assert_eq!(read.copies.len(), 500);
        assert_eq!(read.copies[0].status, record.copies[0].status);
        assert_eq!(record.within(usize::MAX), json(&record), "what fits is not cut short");
    }

    #[test]
    fn a_record_reads_back_as_written() {
        let record = chain();
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
    }
}
