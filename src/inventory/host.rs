//! What is known of one host of the legacy protocols.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::kept::Entry;
use crate::message::host::{
    Channel, HostName, HostSighting, MessageSeen, Presence, Purpose, Roles, SystemGuess,
};

/// A host that was heard, as all its packets together show it. Every text in it is one bounded line, and a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// The name it goes by, in upper case; its address where it never gave one.
    pub name: String,
    /// What kind of name that is.
    pub named_by: NamedBy,
    /// Its workgroup or domain.
    pub workgroup: Option<String>,
    /// The operating system that it seems to run.
    pub system: Option<SystemGuess>,
    /// What it ever was or did.
    pub roles: Roles,
    /// The text for people with which it last announced itself.
    pub comment: Option<String>,
    /// Where it was, the last first; at most [`Host::MOST_ADDRESSES`].
    pub addresses: Vec<AddressSeen>,
    /// Through what it spoke; at most [`Host::MOST_CHANNELS`].
    pub channels: Vec<ChannelUse>,
    /// From whom to whom it sent messages; at most [`Host::MOST_MESSAGES`].
    pub messages: Vec<MessagesSent>,
    /// How many packets and messages were heard of it; copies of one, over several interfaces, count each.
    pub sightings: u64,
    /// When it said that it goes away, where it has not been heard since.
    pub left_at: Option<Timestamp>,
    /// When it was first heard.
    pub first_seen: Timestamp,
    /// When it was last heard.
    pub last_seen: Timestamp,
}

/// What kind of name a host is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NamedBy {
    /// The computer's.
    Computer,
    /// A messenger name (`<03>`), which may be a user's.
    Messenger,
    /// None: its address.
    Address,
}

/// An address that a host had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressSeen {
    /// The address.
    pub address: IpAddr,
    /// When it last spoke from there.
    pub last_seen: Timestamp,
}

/// How a host used one mailslot, or messenger sessions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelUse {
    /// Which.
    pub channel: Channel,
    /// How often.
    pub count: u64,
    /// Bytes of the most that it wrote at once.
    pub largest: u64,
    /// When it first did.
    pub first_seen: Timestamp,
    /// When it last did.
    pub last_seen: Timestamp,
}

/// Messages from one name to one other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessagesSent {
    /// Through what.
    pub channel: Channel,
    /// From whom, by its own words: a computer, a user or a program.
    pub from: String,
    /// For whom.
    pub to: String,
    /// How many.
    pub count: u64,
    /// When the last came.
    pub last_seen: Timestamp,
}

impl NamedBy {
    /// The word in the database.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Computer => "computer",
            Self::Messenger => "messenger",
            Self::Address => "address",
        }
    }

    pub(super) fn named(word: &str) -> Self {
        let all = [Self::Messenger, Self::Address];
        all.into_iter().find(|kind| kind.as_str() == word).unwrap_or(Self::Computer)
    }
}

impl Host {
    /// Addresses that are kept of a host.
    pub const MOST_ADDRESSES: usize = 8;
    /// Mailslots that are kept of a host.
    pub const MOST_CHANNELS: usize = 16;
    /// Pairs of sender and receiver that are kept of a host.
    pub const MOST_MESSAGES: usize = 32;

    /// A host that was never heard before.
    pub(super) fn new(seen: HostSighting, count: u64) -> Self {
        let (name, named_by) = match &seen.name {
            Some(HostName::Computer(name)) => (name.clone(), NamedBy::Computer),
            Some(HostName::Messenger(name)) => (name.clone(), NamedBy::Messenger),
            None => (seen.address.to_string(), NamedBy::Address),
        };
        let mut host = Self {
            name,
            named_by,
            workgroup: None,
            system: None,
            roles: Roles::default(),
            comment: None,
            addresses: Vec::new(),
            channels: Vec::new(),
            messages: Vec::new(),
            sightings: 0,
            left_at: None,
            first_seen: seen.at,
            last_seen: seen.at,
        };
        host.add(seen, count);
        host
    }

    /// The same was heard of it `count` times, last at the time of `seen`.
    pub(super) fn add(&mut self, seen: HostSighting, count: u64) {
        let HostSighting { at, address, name, workgroup, system, roles, comment, .. } = seen;
        if matches!(name, Some(HostName::Computer(name)) if name == self.name) {
            self.named_by = NamedBy::Computer;
        }
        self.workgroup = workgroup.or(self.workgroup.take());
        self.system = match (self.system, system) {
            (Some(known), Some(later)) => Some(known.and_then(later)),
            (known, later) => later.or(known),
        };
        self.roles = self.roles.union(roles);
        self.comment = comment.or(self.comment.take());
        self.sightings = self.sightings.saturating_add(count);
        self.was_at(address, at);
        self.used(&seen.channel, seen.octets, count, at);
        if let Some(message) = seen.message {
            self.sent(seen.channel, message, count, at);
        }
        self.left_at = match seen.presence {
            Presence::Leaves => Some(at),
            Presence::Stays => self.left_at.filter(|left_at| *left_at > at),
        };
        self.first_seen = self.first_seen.min(at);
        self.last_seen = self.last_seen.max(at);
    }

    /// When it last did something of one of these purposes.
    #[must_use]
    pub fn last_use(&self, of: &[Purpose]) -> Option<Timestamp> {
        let uses = self.channels.iter().filter(|used| of.contains(&used.channel.purpose()));
        uses.map(|used| used.last_seen).max()
    }

    /// How often it did something of one of these purposes.
    #[must_use]
    pub fn uses(&self, of: &[Purpose]) -> u64 {
        let uses = self.channels.iter().filter(|used| of.contains(&used.channel.purpose()));
        uses.map(|used| used.count).fold(0, u64::saturating_add)
    }

    fn was_at(&mut self, address: IpAddr, at: Timestamp) {
        match self.addresses.iter_mut().find(|seen| seen.address == address) {
            Some(seen) => seen.last_seen = seen.last_seen.max(at),
            None => self.addresses.push(AddressSeen { address, last_seen: at }),
        }
        self.addresses.sort_by_key(|seen| std::cmp::Reverse(seen.last_seen));
        self.addresses.truncate(Self::MOST_ADDRESSES);
    }

    fn used(&mut self, channel: &Channel, octets: u64, count: u64, at: Timestamp) {
        if let Some(used) = self.channels.iter_mut().find(|used| used.channel == *channel) {
            used.count = used.count.saturating_add(count);
            used.largest = used.largest.max(octets);
            used.last_seen = used.last_seen.max(at);
            return;
        }
        let channel = channel.clone();
        self.channels.push(ChannelUse { channel, count, largest: octets, first_seen: at, last_seen: at });
        keep_the_last(&mut self.channels, Self::MOST_CHANNELS, |used| used.last_seen);
    }

    fn sent(&mut self, channel: Channel, message: MessageSeen, count: u64, at: Timestamp) {
        let MessageSeen { from, to } = message;
        let same = |sent: &&mut MessagesSent| sent.channel == channel && sent.from == from && sent.to == to;
        if let Some(sent) = self.messages.iter_mut().find(same) {
            sent.count = sent.count.saturating_add(count);
            sent.last_seen = sent.last_seen.max(at);
            return;
        }
        self.messages.push(MessagesSent { channel, from, to, count, last_seen: at });
        keep_the_last(&mut self.messages, Self::MOST_MESSAGES, |sent| sent.last_seen);
    }
}

impl Entry for Host {
    type Key = String;
    /// Whether it was heard on more than one day, and when last.
    type Rank = (bool, Timestamp);

    fn key(&self) -> String {
        self.name.clone()
    }

    /// Those that were heard on one day only go first, so that a flood of invented names cannot push out what has been
    /// there for long; then the longest unseen.
    fn rank(&self) -> Self::Rank {
        let day = |at: Timestamp| at.as_second().div_euclid(24 * 60 * 60);
        (day(self.first_seen) != day(self.last_seen), self.last_seen)
    }
}

/// Drops the longest unseen where there is one too many.
fn keep_the_last<T>(list: &mut Vec<T>, most: usize, last_seen: impl Fn(&T) -> Timestamp) {
    if list.len() > most
        && let Some((oldest, _)) = list.iter().enumerate().min_by_key(|(_, each)| last_seen(each))
    {
        list.remove(oldest);
    }
}
