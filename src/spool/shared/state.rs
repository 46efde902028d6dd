//! What this gateway knows of the group's spool and does in it, behind one lock that nobody holds while it waits.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::Notify;

use super::carried::Text;
use super::index::Index;
use super::key::Key;
use super::link::{ACK_WAIT, LEASE};
use super::parting::Partings;
use super::position::{Life, Position};
use super::record::{GatewayId, Record};
use super::room::Room;
use super::settings::Difference;
use super::share;
use super::subject::Lane;
use super::unreadable::Unread;
use crate::message::id::{DestinationName, QueueId};
use crate::message::mail::Content;
use crate::message::recipient::RecipientNumber;
use crate::spool::content::Draft;
use crate::spool::copy::Due;
use crate::spool::standing::Contact;
use crate::telemetry::metrics::SpoolState;

#[derive(Debug)]
pub(super) struct State {
    me: GatewayId,
    pub(super) index: Index,
    /// Messages of the stream that were pulled and are in no bucket.
    pub(super) hands: HashMap<QueueId, Hand>,
    /// Copies that a lane has.
    handed: HashMap<(QueueId, RecipientNumber), DestinationName>,
    /// Messages that no lane gets a copy of at this moment.
    pub(super) partings: Partings,
    /// Content that was fetched for an attempt.
    pub(super) files: HashMap<QueueId, (Arc<Draft>, Content)>,
    lanes: HashMap<DestinationName, LaneState>,
    /// Copies in the stream, by lane, as of the last look.
    pub(super) pending: HashMap<Lane, u64>,
    living: BTreeSet<GatewayId>,
    /// The last sign of life of each of them.
    pub(super) signs: BTreeMap<GatewayId, Sign>,
    /// Who led when that was last seen.
    pub(super) leader: Option<GatewayId>,
    /// The revision of the lead's lease, while it is this gateway's.
    pub(super) lease: Option<u64>,
    /// Whether the servers answer, and since when that is so.
    pub(super) contact: (Contact, Timestamp),
    /// Servers that had all of the stream when they were last asked.
    pub(super) current_replicas: Option<usize>,
    /// When this gateway last wrote that it lives, and when it first did.
    lived: Option<(Instant, Instant)>,
    /// Nothing is offered to the stream before this.
    rests_until: Option<Instant>,
    /// Messages of the queue bucket whose fates this version cannot read.
    pub(super) unreadable: HashMap<QueueId, Unread>,
    /// Messages of the stream that it cannot read, by sequence, as far as it came across them.
    pub(super) unread: BTreeMap<u64, (Option<Lane>, Unread)>,
    /// Messages of the local spool that the group's does not take, and why not.
    pub(super) stuck: HashMap<QueueId, String>,
    /// Numbers that messages had in the local spool, and those that they have in the group's.
    handed_over: VecDeque<(QueueId, QueueId)>,
    /// Keys that were removed, with the revision of the mark that stands in their place.
    graves: Vec<(String, u64)>,
    /// What the metrics show.
    pub(super) shown: HashSet<(DestinationName, SpoolState)>,
    /// Bytes in the stream, as of the last look.
    pub(super) stream_bytes: u64,
    /// When the stream took the first that is still there.
    pub(super) stream_oldest: Option<Timestamp>,
    /// For new messages, as of the last look.
    pub(super) room: Room,
    /// When the log was told that there is none.
    room_told: Option<Instant>,
    /// Settings of the stream that are not those of the configuration, as the log was told.
    pub(super) differences: Vec<Difference>,
    /// Which stream the hands are of.
    pub(super) life: Option<Life>,
}

/// A sign of life of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sign {
    revision: u64,
    /// When it was first seen.
    pub(super) seen_at: Timestamp,
}

/// A message that was pulled.
#[derive(Debug, Clone)]
pub(super) struct Hand {
    /// Where it is acknowledged.
    pub(super) reply: String,
    /// In the stream.
    pub(super) position: Position,
    pub(super) text: Text,
    /// When the stream was last told that it is still in hand, as far as it is known to have heard.
    pub(super) told: Instant,
    /// What the queue bucket has under its number.
    pub(super) in_bucket: InBucket,
}

/// What others wrote into the queue bucket under the number of a message that this gateway has in hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InBucket {
    Nothing,
    /// The same message: another gateway or the operator carried it on. It may be done with by now.
    Same,
    /// Another message of the same moment, by chance.
    Another,
}

impl Hand {
    /// Whether the stream still takes it to be this gateway's.
    pub(super) fn is_safe(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.told) < ACK_WAIT.saturating_sub(MARGIN)
    }
}

/// One destination's lane.
#[derive(Debug, Default)]
struct LaneState {
    concurrency: usize,
    wanted: usize,
    wants: Arc<Notify>,
}

impl State {
    pub(super) fn new(me: GatewayId) -> Self {
        Self {
            index: Index::new(me.clone()),
            hands: HashMap::new(),
            handed: HashMap::new(),
            partings: Partings::default(),
            files: HashMap::new(),
            lanes: HashMap::new(),
            pending: HashMap::new(),
            living: BTreeSet::from([me.clone()]),
            signs: BTreeMap::new(),
            leader: None,
            lease: None,
            contact: (Contact::Silent("there was no connection yet".to_owned()), crate::spool::local::now()),
            current_replicas: None,
            lived: None,
            rests_until: None,
            unreadable: HashMap::new(),
            unread: BTreeMap::new(),
            stuck: HashMap::new(),
            handed_over: VecDeque::new(),
            graves: Vec::new(),
            shown: HashSet::new(),
            stream_bytes: 0,
            stream_oldest: None,
            room: Room::UNKNOWN,
            room_told: None,
            differences: Vec::new(),
            life: None,
            me,
        }
    }

    /// A lane is there from now on; whether it is new.
    pub(super) fn begin(&mut self, destination: &DestinationName) -> bool {
        let new = !self.lanes.contains_key(destination);
        self.lanes.entry(destination.clone()).or_default();
        new
    }

    /// How many copies a lane may have before it has dealt with some: enough to keep its connections busy, and no more,
    /// as what one gateway has the others have not.
    pub(super) fn most_handed(&self, destination: &DestinationName) -> usize {
        let concurrency = self.lanes.get(destination).map_or(1, |lane| lane.concurrency);
        concurrency.saturating_mul(4).max(16)
    }

    /// A lane asks for copies: it has those in `skip` and no others.
    pub(super) fn take_back(
        &mut self,
        destination: &DestinationName,
        skip: &HashSet<(QueueId, RecipientNumber)>,
    ) {
        self.handed.retain(|copy, lane| lane != destination || skip.contains(copy));
    }

    /// A lane has these from now on.
    pub(super) fn hand_out(&mut self, destination: &DestinationName, copies: &[Due]) {
        for copy in copies {
            self.handed.insert((copy.id, copy.number), destination.clone());
        }
    }

    /// A lane has this one no longer.
    pub(super) fn put_back(&mut self, copy: &(QueueId, RecipientNumber)) {
        self.handed.remove(copy);
    }

    /// Whether some lane has a copy of this message.
    pub(super) fn is_handed(&self, id: QueueId) -> bool {
        self.handed.keys().any(|(each, _)| *each == id)
    }

    /// A lane has room for so many copies more.
    pub(super) fn want(&mut self, destination: &DestinationName, copies: usize) {
        let lane = self.lanes.entry(destination.clone()).or_default();
        lane.wanted = copies;
        lane.wants.notify_one();
    }

    /// What rings when a lane wants copies.
    pub(super) fn wants(&mut self, destination: &DestinationName) -> Arc<Notify> {
        Arc::clone(&self.lanes.entry(destination.clone()).or_default().wants)
    }

    /// How many copies a lane wanted since it was asked last.
    pub(super) fn wanted(&mut self, destination: &DestinationName) -> usize {
        self.lanes.get_mut(destination).map_or(0, |lane| std::mem::take(&mut lane.wanted))
    }

    /// How many of `whole` connections this gateway may use. A newcomer waits until all others know of it.
    pub(super) fn part(&mut self, destination: &DestinationName, whole: usize, now: Instant) -> usize {
        let part = match self.lived {
            Some((last, first)) if now.saturating_duration_since(last) < LEASE => {
                let settled = now.saturating_duration_since(first) >= SETTLED || self.living.len() == 1;
                if settled { share::part(whole, &self.living, &self.me, destination) } else { 0 }
            }
            Some(_) | None => 0,
        };
        self.lanes.entry(destination.clone()).or_default().concurrency = part;
        part
    }

    /// This gateway wrote that it lives at `now`, and these are all that do, with the revision of the last sign of it; the
    /// lanes to wake.
    pub(super) fn set_living(
        &mut self,
        living: BTreeMap<GatewayId, u64>,
        now: Instant,
    ) -> BTreeSet<DestinationName> {
        let seen_at = crate::spool::local::now();
        let sign = |(gateway, revision): (&GatewayId, &u64)| {
            let before = self.signs.get(gateway).filter(|sign| sign.revision == *revision);
            (gateway.clone(), before.copied().unwrap_or(Sign { revision: *revision, seen_at }))
        };
        self.signs = living.iter().map(sign).collect();
        let living: BTreeSet<GatewayId> = living.into_keys().collect();
        let first = match self.lived {
            Some((last, first)) if now.saturating_duration_since(last) < LEASE => first,
            Some(_) | None => now,
        };
        let settles = now.saturating_duration_since(first) < SETTLED.saturating_mul(2);
        self.lived = Some((now, first));
        let changed = self.living != living;
        let mut woken = self.index.set_living(living.iter().cloned().collect());
        self.living = living;
        if changed || settles {
            woken.extend(self.lanes.keys().cloned());
        }
        woken
    }

    /// Whether others take this gateway to live: what it leased is still its own.
    pub(super) fn lives(&self, now: Instant) -> bool {
        self.lived.is_some_and(|(last, _)| now.saturating_duration_since(last) < LEASE)
    }

    /// The stream refused, or did not answer: the local spool takes over for a moment.
    pub(super) fn rest(&mut self, now: Instant) {
        self.rests_until = now.checked_add(REST);
    }

    pub(super) fn rests(&self, now: Instant) -> bool {
        self.is_scarce() || self.rests_until.is_some_and(|until| now < until)
    }

    /// Whether the log has not been told of late that there is no room.
    pub(super) fn may_tell_of_room(&mut self, now: Instant) -> bool {
        let recent = self.room_told.is_some_and(|at| now.saturating_duration_since(at) < TELL_EVERY);
        if !recent {
            self.room_told = Some(now);
        }
        !recent
    }

    /// This gateway could not write at `now` that it lives, for want of room. Nor can the others write that they do, or
    /// take anything over; so all live on that did.
    pub(super) fn live_on(&mut self, now: Instant) {
        let first = self.lived.map_or(now, |(_, first)| first);
        self.lived = Some((now, first));
    }

    /// Hands of which the stream must be told that they are still wanted, and those that no lane took in time.
    pub(super) fn review(&self, now: Instant) -> (Vec<QueueId>, Vec<QueueId>) {
        let ids: HashSet<QueueId> = self.handed.keys().map(|(id, _)| *id).collect();
        let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
        for (id, hand) in &self.hands {
            if !hand.is_safe(now) {
                // The connection was gone for long, and another has it: a word now would keep it from that one. Whoever
                // is about to deliver it here finds out; an attempt under way still records its end.
                if !ids.contains(id) {
                    unwanted.push(*id);
                }
            } else if ids.contains(id) {
                wanted.push(*id);
            } else if now.saturating_duration_since(hand.told) >= UNWANTED {
                unwanted.push(*id);
            }
        }
        (wanted, unwanted)
    }

    /// The stream was told at `told` that these are still wanted, and has heard it.
    pub(super) fn still_wanted(&mut self, ids: &[QueueId], told: Instant) {
        for id in ids {
            if let Some(hand) = self.hands.get_mut(id) {
                hand.told = hand.told.max(told);
            }
        }
    }

    /// Whether the stream still takes a message to be this gateway's.
    pub(super) fn is_safe(&self, id: QueueId, now: Instant) -> bool {
        self.hands.get(&id).is_none_or(|hand| hand.is_safe(now))
    }

    /// The fate of a copy could not be recorded: its lane still has it.
    pub(super) fn hand_again(&mut self, id: QueueId, number: RecipientNumber) {
        let known = self.index.of(id);
        let copy = known.and_then(|known| known.record.copies.iter().find(|copy| copy.number == number));
        if let Some(destination) = copy.map(|copy| copy.recipient.via.clone()) {
            self.handed.insert((id, number), destination);
        }
    }

    /// The queue bucket has a message under this number. Whether one with this number is in hand.
    pub(super) fn note_in_bucket(&mut self, id: QueueId, key: Key) -> bool {
        let same = self.index.of(id).is_some_and(|known| known.record.key == key);
        let Some(hand) = self.hands.get_mut(&id) else { return false };
        hand.in_bucket = if same { InBucket::Same } else { InBucket::Another };
        true
    }

    /// How many messages of a lane this gateway has in hand.
    pub(super) fn in_hand(&self, lane: &Lane) -> u64 {
        let Lane::One(destination) = lane else { return 0 };
        let of_lane = |id: &&QueueId| {
            let known = self.index.of(**id);
            known.is_some_and(|known| known.record.destinations().contains(destination))
        };
        u64::try_from(self.hands.keys().filter(of_lane).count()).unwrap_or(u64::MAX)
    }

    /// How many bytes of the stream are in hand, about.
    pub(super) fn bytes_in_hand(&self) -> u64 {
        self.hands.keys().filter_map(|id| self.index.of(*id)).map(|known| known.record.bytes).sum()
    }

    /// A message of the stream cannot be read.
    pub(super) fn note_unread(&mut self, subject: &str, unread: Unread) {
        if self.unread.len() < MOST_UNREAD {
            self.unread.insert(unread.revision, (Lane::of_subject(subject), unread));
        }
    }

    /// How many messages of a lane are known to be unreadable.
    pub(super) fn unread_of(&self, lane: &Lane) -> u64 {
        let count = self.unread.values().filter(|(each, _)| each.as_ref() == Some(lane)).count();
        u64::try_from(count).unwrap_or(u64::MAX)
    }

    /// A message of the local spool is the group's now.
    pub(super) fn handed_over(&mut self, local: QueueId, id: QueueId) {
        if self.handed_over.len() >= MOST_HANDED_OVER {
            self.handed_over.pop_front();
        }
        self.handed_over.push_back((local, id));
    }

    /// The number that a message has now, which an operator may know by the one that it had in the local spool.
    pub(super) fn known_as(&self, id: QueueId) -> QueueId {
        let found = self.handed_over.iter().rev().find(|(local, _)| *local == id);
        found.map_or(id, |(_, id)| *id)
    }

    /// All that is in hand, and what is known of it.
    pub(super) fn known_hands(&self) -> Vec<(QueueId, Record, Hand)> {
        let known = |(id, hand): (&QueueId, &Hand)| {
            self.index.of(*id).map(|known| (*id, known.record.clone(), hand.clone()))
        };
        self.hands.iter().filter_map(known).collect()
    }

    /// Messages of the stream that this gateway did not have in hand, as of the last look.
    pub(super) fn in_no_hand(&self) -> u64 {
        let pending = self.pending.values().fold(0_u64, |sum, pending| sum.saturating_add(*pending));
        pending.saturating_sub(u64::try_from(self.hands.len()).unwrap_or(u64::MAX))
    }

    /// No lane has anything of this message.
    pub(super) fn put_back_all(&mut self, id: QueueId) {
        self.handed.retain(|(each, _), _| *each != id);
    }

    /// A key was removed, which left a mark with this revision.
    pub(super) fn bury(&mut self, key: String, revision: u64) {
        if self.graves.len() < MOST_GRAVES {
            self.graves.push((key, revision));
        }
    }

    /// The marks of removed keys since this was asked last.
    pub(super) fn graves(&mut self) -> Vec<(String, u64)> {
        std::mem::take(&mut self.graves)
    }

    /// A message is in no hand any more.
    pub(super) fn forget(&mut self, id: QueueId) {
        self.hands.remove(&id);
        self.files.remove(&id);
    }
}

/// Unreadable messages of the stream that are counted as such; the rest counts as waiting.
const MOST_UNREAD: usize = 1000;
/// Messages that were handed over whose local numbers are remembered.
const MOST_HANDED_OVER: usize = 4096;
/// Marks of removed keys that are remembered; others are found after the next connection.
const MOST_GRAVES: usize = 100_000;
/// After it first wrote that it lives: then all others have looked who does.
const SETTLED: Duration = Duration::from_secs(5);
/// Between two lines in the log about room that is used up.
const TELL_EVERY: Duration = Duration::from_secs(300);
/// After the stream refused.
const REST: Duration = Duration::from_secs(2);
/// A message that no lane took goes back to the stream: its lane has been paused, or waits for its destination.
const UNWANTED: Duration = Duration::from_secs(10);
/// Before the stream gives it to another.
const MARGIN: Duration = Duration::from_secs(8);

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::index::{Known, Standing};
    use super::super::tests::{alarm, at, carried, destination};
    use super::*;

    #[test]
    fn what_another_gateway_may_have_by_now_is_not_claimed_again() {
        let mut state = State::new(GatewayId("me".to_owned()));
        let carried = carried(alarm("fire", at(0)));
        let told = super::super::commit::now();
        let (reply, text, in_bucket) = ("reply".to_owned(), carried.text, InBucket::Nothing);
        state.hands.insert(carried.id, Hand { reply, position: Position::new(1, 0), text, told, in_bucket });
        state.index.set(carried.id, Known { record: carried.record, standing: Standing::InHand });
        let name = destination("smarthost");
        let due = state.index.due(&name, Timestamp::MAX, 1, &HashSet::new()).mine;
        state.hand_out(&name, &due);
        let after = |seconds| told + Duration::from_secs(seconds);
        assert_eq!(state.review(after(15)), (vec![carried.id], vec![]));
        assert_eq!(state.review(after(31)), (vec![], vec![]), "an attempt is under way");
        assert!(!state.is_safe(carried.id, after(31)));
        state.still_wanted(&[carried.id], after(10));
        assert!(state.is_safe(carried.id, after(31)));
        state.still_wanted(&[carried.id], after(5));
        assert!(state.is_safe(carried.id, after(31)), "what was heard later counts");
        assert!(!state.is_safe(carried.id, after(32)));
        state.put_back_all(carried.id);
        assert_eq!(state.review(after(32)), (vec![], vec![carried.id]));
    }
}
