//! The inventory's ear on the path of every datagram: cheap for what is heard again and again, bounded for floods.
//!
//! Most datagrams repeat others: a host announces itself in the same words, a program sends to the same name. A small table
//! remembers the hash of what was heard last; what is in it is only counted, unread, and the counts go to the inventory
//! once a second. Nothing here waits: what the inventory has no room for is dropped and counted.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::Inventory;
use crate::message::host::HostSighting;
use crate::message::notice::{Kind, Notice};

/// Tells the inventory of the hosts that messages come from. One for each receiver.
#[derive(Debug)]
pub struct HostRecorder {
    inventory: Inventory,
    key: u64,
    slots: Box<[Option<Slot>]>,
    /// Slots that have counts which the inventory does not know of yet; some more than once.
    due: Vec<usize>,
    flush_at: Option<Instant>,
    sources: Box<[Allowance]>,
}

/// What was heard with a hash that ends in this slot's number.
#[derive(Debug)]
struct Slot {
    hash: u64,
    sighting: HostSighting,
    /// How often since the inventory was told.
    count: u64,
}

/// How many new things of the sources whose hash ends in this number are still looked at.
#[derive(Debug, Clone, Copy)]
struct Allowance {
    left: u32,
    until: Option<Instant>,
}

impl HostRecorder {
    /// New things that are looked at of one source within a second. A host says a dozen in a minute.
    const NEW_OF_ONE_SOURCE: u32 = 64;

    /// A recorder that has heard nothing yet.
    #[must_use]
    pub fn new(inventory: Inventory) -> Self {
        Self {
            inventory,
            key: RandomState::new().hash_one(0_u8),
            slots: std::iter::repeat_with(|| None).take(SLOTS).collect(),
            due: Vec::with_capacity(SLOTS),
            flush_at: None,
            sources: vec![Allowance { left: 0, until: None }; SOURCES].into(),
        }
    }

    /// A message was heard. Costs about 40 ns where the same was heard lately.
    #[inline]
    pub fn heard(&mut self, notice: &Notice<'_>, now: Instant) {
        let hash = hash_of(notice, self.key);
        let index = index_of(hash, SLOTS);
        let Some(place) = self.slots.get_mut(index) else { return };
        if let Some(slot) = place.as_mut().filter(|slot| slot.hash == hash) {
            slot.sighting.at = notice.arrival.at;
            slot.sighting.octets = slot.sighting.octets.max(octets(notice));
            slot.count = slot.count.saturating_add(1);
            if slot.count == 1 {
                self.due.push(index);
                self.flush_at.get_or_insert(now + FLUSH_EVERY);
            }
        } else {
            self.heard_new(notice, hash, index, now);
        }
        if self.due.len() >= SLOTS {
            self.flush();
        }
    }

    /// When [`Self::handle_timeout`] is to be called; `None` while the inventory knows everything.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Instant> {
        self.flush_at
    }

    /// Tells the inventory what was counted. Calling it at other times does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.flush_at.is_some_and(|at| at <= now) {
            self.flush();
        }
    }

    /// Apart from [`Self::heard`], so that what is heard again stays cheap.
    #[cold]
    fn heard_new(&mut self, notice: &Notice<'_>, hash: u64, index: usize, now: Instant) {
        if !self.is_allowed(notice.arrival.source.ip(), now) {
            return self.inventory.dropped();
        }
        let sighting = HostSighting::of(notice);
        self.inventory.record_host(sighting.clone(), 1);
        let Some(place) = self.slots.get_mut(index) else { return };
        if let Some(Slot { sighting, count, .. }) = place.replace(Slot { hash, sighting, count: 0 })
            && count > 0
        {
            self.inventory.record_host(sighting, count);
        }
    }

    /// Whether one more new thing of this source is looked at. Sources may share an allowance by chance.
    fn is_allowed(&mut self, source: IpAddr, now: Instant) -> bool {
        let index = index_of(mixed(hash_of_address(source, self.key)), SOURCES);
        let Some(allowance) = self.sources.get_mut(index) else { return false };
        if allowance.until.is_none_or(|until| until <= now) {
            *allowance = Allowance { left: Self::NEW_OF_ONE_SOURCE, until: Some(now + FLUSH_EVERY) };
        }
        let allowed = allowance.left > 0;
        allowance.left = allowance.left.saturating_sub(1);
        allowed
    }

    fn flush(&mut self) {
        self.flush_at = None;
        for index in self.due.drain(..) {
            if let Some(Some(slot)) = self.slots.get_mut(index)
                && slot.count > 0
            {
                self.inventory.record_host(slot.sighting.clone(), std::mem::take(&mut slot.count));
            }
        }
    }
}

/// What was counted is not forgotten when the receiver ends.
impl Drop for HostRecorder {
    fn drop(&mut self) {
        self.flush();
    }
}

/// What makes two messages the same to the inventory: of an announcement every byte, of others from whom and to whom.
fn hash_of(notice: &Notice<'_>, key: u64) -> u64 {
    let mut hash = hash_of_address(notice.arrival.source.ip(), key);
    hash = mixed(
        hash ^ u64::from(notice.source_name.name_type.0) ^ u64::from(notice.arrival.listener as u8) << 8,
    );
    let source_name = notice.source_name.text.as_bytes();
    if notice.kind == Kind::Announcement {
        hash = [source_name, notice.destination_name.text.as_bytes(), &notice.data]
            .into_iter()
            .fold(hash, hash_bytes);
    } else {
        let texts = [&notice.originator, &notice.to].map(|text| text.as_bytes());
        hash = [source_name].into_iter().chain(texts).fold(hash, hash_bytes);
    }
    hash_bytes(hash, notice.mailslot.as_bytes())
}

fn hash_of_address(address: IpAddr, key: u64) -> u64 {
    match address {
        IpAddr::V4(address) => mixed(key ^ u64::from(address.to_bits())),
        IpAddr::V6(address) => hash_bytes(key, &address.octets()),
    }
}

/// Eight bytes at a time, and the length, so that texts cannot run into each other. Keyed, since whoever could find two
/// messages with one hash could hide one of them from the inventory; a third of the time that a `RandomState` takes.
fn hash_bytes(hash: u64, bytes: &[u8]) -> u64 {
    let hash = mixed(hash ^ u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    let (words, few) = bytes.as_chunks::<8>();
    let hash = words.iter().fold(hash, |hash, word| mixed(hash ^ u64::from_le_bytes(*word)));
    match bytes.last_chunk() {
        // It overlaps the word before it.
        Some(last) => mixed(hash ^ u64::from_le_bytes(*last)),
        None => mixed(few.iter().fold(hash, |hash, &byte| hash.rotate_left(8) ^ u64::from(byte))),
    }
}

/// Both halves of a product hold something of every bit.
fn mixed(value: u64) -> u64 {
    let product = u128::from(value ^ 0x9E37_79B9_7F4A_7C15) * u128::from(0xD6E8_FEB8_6659_FD93_u64);
    let halves = product >> 64 ^ product;
    u64::try_from(halves & u128::from(u64::MAX)).unwrap_or_default()
}

fn index_of(hash: u64, among: usize) -> usize {
    usize::try_from(hash >> 32).unwrap_or_default() & (among - 1)
}

fn octets(notice: &Notice<'_>) -> u64 {
    u64::try_from(notice.data.len()).unwrap_or(u64::MAX)
}

/// Powers of two.
const SLOTS: usize = 1024;
const SOURCES: usize = 256;

const FLUSH_EVERY: Duration = Duration::from_secs(1);
