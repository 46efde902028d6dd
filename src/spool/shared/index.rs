//! All that is known of the queue, in memory: what is due and who may deliver it. Built from the queue bucket's watch
//! and from what was pulled; holds no body, about a kilobyte for each message.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::Timestamp;

use super::record::{GatewayId, Record, State};
use crate::message::id::{DestinationName, QueueId};
use crate::message::recipient::{Recipient, RecipientNumber};
use crate::spool::copy::{Due, Overdue};
use crate::spool::operator::{Copy, Filter, Pause};
use crate::telemetry::metrics::SpoolState;

/// The queue as this gateway knows it.
#[derive(Debug)]
pub(super) struct Index {
    me: GatewayId,
    known: BTreeMap<QueueId, Known>,
    due: BTreeMap<DestinationName, BTreeSet<Place>>,
    pauses: BTreeMap<DestinationName, Pause>,
    living: HashSet<GatewayId>,
    tally: HashMap<(DestinationName, SpoolState), u64>,
    bytes: u64,
}

/// Where a queued copy stands: by rank, then by time.
type Place = (i64, Timestamp, QueueId, RecipientNumber);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) record: Record,
    pub(super) standing: Standing,
}

/// Where a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Pulled from the stream by this gateway, and in no bucket.
    InHand,
    /// In the queue bucket, as of this revision.
    Queue {
        /// The bucket's.
        revision: u64,
    },
}

/// What is due.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// For this gateway to deliver.
    pub(super) mine: Vec<Due>,
    /// Messages that it must lease first.
    pub(super) free: Vec<QueueId>,
}

impl Index {
    /// Empty.
    pub(super) fn new(me: GatewayId) -> Self {
        let living = HashSet::from([me.clone()]);
        Self {
            me,
            known: BTreeMap::new(),
            due: BTreeMap::new(),
            pauses: BTreeMap::new(),
            living,
            tally: HashMap::new(),
            bytes: 0,
        }
    }

    /// One message.
    pub(super) fn of(&self, id: QueueId) -> Option<&Known> {
        self.known.get(&id)
    }

    /// How many messages there are, and their bytes.
    pub(super) fn extent(&self) -> (usize, u64) {
        (self.known.len(), self.bytes)
    }

    /// Takes a message in, or what became of it. A revision that is known, or older, changes nothing. The destinations
    /// whose lanes must look.
    pub(super) fn set(&mut self, id: QueueId, known: Known) -> BTreeSet<DestinationName> {
        if let (Some(Standing::Queue { revision: before }), Standing::Queue { revision }) =
            (self.known.get(&id).map(|known| known.standing), known.standing)
            && revision <= before
        {
            return BTreeSet::new();
        }
        let mut woken = self.take_out(id);
        for copy in &known.record.copies {
            self.count(&copy.recipient.via, copy.state, 1);
            if copy.state == SpoolState::Queued {
                let place = (known.record.rank(), copy.due, id, copy.number);
                self.due.entry(copy.recipient.via.clone()).or_default().insert(place);
                woken.insert(copy.recipient.via.clone());
            }
        }
        if !known.record.copies.is_empty() {
            self.bytes = self.bytes.saturating_add(known.record.bytes);
            self.known.insert(id, known);
        }
        woken
    }

    /// A message is done with. `revision` is the bucket's, where it was there.
    pub(super) fn remove(&mut self, id: QueueId, revision: Option<u64>) {
        let newer = match (self.known.get(&id).map(|known| known.standing), revision) {
            (Some(Standing::Queue { revision: known }), Some(revision)) => revision < known,
            // What is in hand is another's no longer known here; its own end takes it out.
            (Some(Standing::InHand), Some(_)) => true,
            (Some(_) | None, _) => false,
        };
        if !newer {
            self.take_out(id);
        }
    }

    /// Copies that are due for a destination, as [`crate::spool::Spool::due`] says: those that this gateway may deliver
    /// and messages that nobody has a lease of, together at most `limit`.
    pub(super) fn due(
        &self,
        destination: &DestinationName,
        now: Timestamp,
        limit: usize,
        skip: &HashSet<(QueueId, RecipientNumber)>,
    ) -> Found {
        let mut found = Found::default();
        if self.pauses.contains_key(destination) {
            return found;
        }
        let Some(places) = self.due.get(destination) else { return found };
        for rank in RANKS {
            let first = (rank, Timestamp::MIN, FIRST_ID, RecipientNumber(0));
            let ranked = places.range(first..).take_while(|(each, due, ..)| *each == rank && *due <= now);
            for &(_, _, id, number) in ranked {
                if found.mine.len().saturating_add(found.free.len()) >= limit {
                    return found;
                }
                if skip.contains(&(id, number)) {
                    continue;
                }
                let Some(known) = self.known.get(&id) else { continue };
                match self.holder(known) {
                    Holder::Me => {
                        let copy = known.record.copies.iter().find(|copy| copy.number == number);
                        found.mine.extend(copy.map(|copy| due_of(id, &known.record, copy)));
                    }
                    Holder::Nobody if !found.free.contains(&id) => found.free.push(id),
                    Holder::Nobody | Holder::Other => {}
                }
            }
        }
        found
    }

    /// When the earliest copy for a destination is due that this gateway may deliver or lease.
    pub(super) fn next_due(&self, destination: &DestinationName) -> Option<Timestamp> {
        if self.pauses.contains_key(destination) {
            return None;
        }
        let mine = |id: &QueueId| self.known.get(id).is_some_and(|known| self.holder(known) != Holder::Other);
        let places = self.due.get(destination)?;
        RANKS
            .filter_map(|rank| {
                let first = (rank, Timestamp::MIN, FIRST_ID, RecipientNumber(0));
                let mut ranked = places.range(first..).take_while(|(each, ..)| *each == rank);
                ranked.find(|(_, _, id, _)| mine(id)).map(|(_, due, ..)| *due)
            })
            .min()
    }

    /// Who may deliver a message.
    pub(super) fn holder(&self, known: &Known) -> Holder {
        match (&known.standing, &known.record.lease) {
            (Standing::InHand, _) => Holder::Me,
            (Standing::Queue { .. }, Some(lease)) if *lease == self.me => Holder::Me,
            (Standing::Queue { .. }, Some(lease)) if self.living.contains(lease) => Holder::Other,
            (Standing::Queue { .. }, _) => Holder::Nobody,
        }
    }

    /// Who lives, this gateway included. What others held that live no longer is free. The destinations to wake.
    pub(super) fn set_living(&mut self, mut living: HashSet<GatewayId>) -> BTreeSet<DestinationName> {
        living.insert(self.me.clone());
        if self.living.is_subset(&living) {
            self.living = living;
            return BTreeSet::new();
        }
        self.living = living;
        self.due.iter().filter(|(_, places)| !places.is_empty()).map(|(name, _)| name.clone()).collect()
    }

    /// Notes a pause, or its end; who paused before.
    pub(super) fn set_pause(&mut self, destination: &DestinationName, pause: Option<Pause>) -> Option<Pause> {
        match pause {
            Some(pause) => self.pauses.insert(destination.clone(), pause),
            None => self.pauses.remove(destination),
        }
    }

    /// All pauses, by name.
    pub(super) fn pauses(&self) -> Vec<Pause> {
        self.pauses.values().cloned().collect()
    }

    /// Messages that this gateway has a lease of in the queue bucket.
    pub(super) fn leased(&self) -> Vec<QueueId> {
        let mine = |known: &Known| known.record.lease.as_ref() == Some(&self.me);
        self.known.iter().filter(|(_, known)| mine(known)).map(|(id, _)| *id).collect()
    }

    /// A message in the queue bucket is this gateway's to deliver, though there is no room to write so.
    pub(super) fn lease_unwritten(&mut self, id: QueueId) {
        if let Some(known) = self.known.get_mut(&id) {
            known.record.lease = Some(self.me.clone());
        }
    }

    /// Messages in the queue bucket that nobody has a lease of and that match.
    pub(super) fn idle(&self, wanted: impl Fn(&Record) -> bool) -> Vec<QueueId> {
        let matches = |known: &Known| {
            matches!(known.standing, Standing::Queue { .. })
                && self.holder(known) != Holder::Other
                && wanted(&known.record)
        };
        self.known.iter().filter(|(_, known)| matches(known)).map(|(id, _)| *id).collect()
    }

    /// All messages, in order of acceptance.
    pub(super) fn all(&self) -> impl Iterator<Item = (QueueId, &Known)> {
        self.known.iter().map(|(id, known)| (*id, known))
    }

    /// What is overdue of the messages in the queue bucket that nobody else delivers at this moment.
    pub(super) fn overdue(&self, now: Timestamp, limit: usize) -> Vec<Overdue> {
        let mut found = Vec::new();
        for (id, known) in &self.known {
            if found.len() >= limit {
                break;
            }
            if self.holder(known) != Holder::Other {
                found.extend(known.record.overdue(*id, now));
            }
        }
        found
    }

    /// The copies that match, in order of acceptance.
    pub(super) fn list(&self, filter: &Filter) -> Vec<Copy> {
        let copies = self.known.iter().flat_map(|(id, known)| known.record.shown(*id));
        copies.filter(|copy| matches(filter, copy)).take(filter.limit.min(Filter::PAGE)).collect()
    }

    /// Copies by destination and state.
    pub(super) fn tally(&self) -> BTreeMap<(DestinationName, &'static str), (SpoolState, u64)> {
        let entries = self.tally.iter().filter(|(_, count)| **count > 0);
        entries
            .map(|((destination, state), count)| ((destination.clone(), state.as_str()), (*state, *count)))
            .collect()
    }

    /// When the message was accepted that waits longest.
    pub(super) fn oldest_waiting(&self) -> Option<Timestamp> {
        let waits = |known: &&Known| known.record.copies.iter().any(|copy| copy.state == SpoolState::Queued);
        // A number rises with the time but for what a gateway had to call otherwise.
        self.known.values().filter(waits).map(|known| known.record.accepted_at).min()
    }

    fn take_out(&mut self, id: QueueId) -> BTreeSet<DestinationName> {
        let mut woken = BTreeSet::new();
        let Some(known) = self.known.remove(&id) else { return woken };
        self.bytes = self.bytes.saturating_sub(known.record.bytes);
        for copy in &known.record.copies {
            self.count(&copy.recipient.via, copy.state, -1);
            if copy.state == SpoolState::Queued
                && let Some(places) = self.due.get_mut(&copy.recipient.via)
            {
                places.remove(&(known.record.rank(), copy.due, id, copy.number));
                woken.insert(copy.recipient.via.clone());
            }
        }
        woken
    }

    fn count(&mut self, destination: &DestinationName, state: SpoolState, by: i64) {
        let count = self.tally.entry((destination.clone(), state)).or_default();
        *count = count.saturating_add_signed(by);
    }
}

/// Who may deliver a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder {
    /// This gateway.
    Me,
    /// Another one that lives.
    Other,
    /// Whoever leases it first.
    Nobody,
}

/// Whether a copy is one of those to list.
pub(super) fn matches(filter: &Filter, copy: &Copy) -> bool {
    filter.destination.as_ref().is_none_or(|destination| *destination == copy.destination)
        && filter.state.is_none_or(|state| state == copy.state)
        && filter.after.is_none_or(|after| (copy.id, copy.number) > after)
}

fn due_of(id: QueueId, record: &Record, copy: &State) -> Due {
    Due {
        id,
        number: copy.number,
        recipient: Recipient { otherwise: Vec::new(), ..copy.recipient.clone() },
        attempts: copy.attempts,
        accepted_at: record.accepted_at,
        expires_at: copy.expires_at,
    }
}

/// All ranks, the more urgent first: 2 × priority + class.
const RANKS: std::ops::Range<i64> = 0..6;

const FIRST_ID: QueueId = match QueueId::from_row(1) {
    Some(id) => id,
    None => panic!("1 is positive"),
};

#[cfg(test)]
mod tests {
    use super::super::tests::{alarm, at, destination, record};
    use super::*;

    fn gateway(name: &str) -> GatewayId {
        GatewayId(name.to_owned())
    }

    fn id(number: i64) -> QueueId {
        QueueId::from_row(number).unwrap()
    }

    fn queued(second: i64, lease: Option<&str>, revision: u64) -> Known {
        let mut record = record(alarm("fire", at(second)));
        record.lease = lease.map(gateway);
        Known { record, standing: Standing::Queue { revision } }
    }

    fn index() -> Index {
        Index::new(gateway("me"))
    }

    fn due(index: &Index, now: i64) -> (Vec<i64>, Vec<i64>) {
        let found = index.due(&destination("smarthost"), at(now), 10, &HashSet::new());
        let row = |id: &QueueId| id.as_row();
        (found.mine.iter().map(|due| row(&due.id)).collect(), found.free.iter().map(row).collect())
    }

    #[test]
    fn what_a_living_gateway_holds_is_nobody_elses_and_free_when_it_dies() {
        let mut index = index();
        index.set_living(HashSet::from([gateway("other")]));
        index.set(id(1), queued(0, None, 1));
        index.set(id(2), queued(0, Some("other"), 2));
        index.set(id(3), queued(0, Some("me"), 3));
        assert_eq!(due(&index, 0), (vec![3], vec![1]));
        let woken = index.set_living(HashSet::new());
        assert_eq!(woken, BTreeSet::from([destination("smarthost")]));
        assert_eq!(due(&index, 0), (vec![3], vec![1, 2]));
    }

    #[test]
    fn an_older_revision_that_comes_late_changes_nothing() {
        let mut index = index();
        index.set(id(1), queued(0, Some("me"), 5));
        index.set(id(1), queued(0, None, 4));
        assert_eq!(due(&index, 0), (vec![1], vec![]));
        index.remove(id(1), Some(4));
        assert_eq!(due(&index, 0), (vec![1], vec![]));
        index.remove(id(1), Some(6));
        assert_eq!(due(&index, 0), (vec![], vec![]));
        assert_eq!(index.extent(), (0, 0));
        assert_eq!(index.tally(), BTreeMap::new());
    }

    #[test]
    fn nothing_is_due_before_its_time_nor_while_its_destination_is_paused() {
        let mut index = index();
        index.set(id(1), queued(100, None, 1));
        assert_eq!(due(&index, 99), (vec![], vec![]));
        assert_eq!(index.next_due(&destination("smarthost")), Some(at(100)));
        let pause = Pause { destination: destination("smarthost"), since: at(0), by: "alice".to_owned() };
        assert_eq!(index.set_pause(&destination("smarthost"), Some(pause.clone())), None);
        assert_eq!(due(&index, 100), (vec![], vec![]));
        assert_eq!(index.next_due(&destination("smarthost")), None);
        assert_eq!(index.set_pause(&destination("smarthost"), None), Some(pause));
        assert_eq!(due(&index, 100), (vec![], vec![1]));
    }

    #[test]
    fn what_is_on_its_way_is_not_handed_out_again() {
        let mut index = index();
        index.set(id(1), Known { standing: Standing::InHand, ..queued(0, None, 0) });
        let skip = HashSet::from([(id(1), RecipientNumber(0))]);
        let found = index.due(&destination("smarthost"), at(0), 10, &skip);
        assert_eq!(found, Found::default());
        assert_eq!(due(&index, 0), (vec![1], vec![]));
    }

    #[test]
    fn what_waits_longest_is_found_by_its_time_whatever_its_number() {
        let mut index = index();
        index.set(id(1), queued(100, None, 1));
        index.set(id(2), queued(50, None, 2));
        let mut failed = queued(0, None, 3);
        failed.record.copies[0].state = SpoolState::Failed;
        index.set(id(3), failed);
        assert_eq!(index.oldest_waiting(), Some(at(50)));
    }
}
