//! The same message twice: one broadcast over several interfaces, Samba's double sends, a sender that repeats.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, Hash as _, Hasher as _, RandomState};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::message::notice::{Kind, Listener, Notice};

/// What was taken in lately, as keyed hashes; at most [`Dedup::LIMIT`] of them, the oldest gives way.
///
/// Two messages are the same when they come from the same source address, for the same mailslot, from and to the same
/// names, with the same content. That includes copies of one datagram, which have its DGM_ID and its data too, and
/// repeats under new identifiers. Messages of two addresses never are the same.
///
/// The time in which a copy counts as one begins with the first copy and is not prolonged by others: an alarm that is
/// repeated every few seconds is heard again.
#[derive(Debug, Default)]
pub struct Dedup {
    key: RandomState,
    taken: HashMap<u64, Taken>,
    in_order: VecDeque<(u64, Instant)>,
}

/// What makes a message the same as another, to be had from [`Dedup::fingerprint`].
///
/// A hash with a key of this process, so nobody outside can make a message look like another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(u64);

#[derive(Debug, Clone, Copy)]
struct Taken {
    first: Instant,
    keeping: Keeping,
}

/// How safe a message is that was taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Keeping {
    /// On its way to the spool. Its sender waits for no answer.
    Heard,
    /// In the spool.
    Durable,
}

impl Dedup {
    /// How many messages are remembered at most.
    pub const LIMIT: usize = 65_536;

    /// Nothing taken in yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What `notice` has in common with its copies.
    #[must_use]
    pub fn fingerprint(&self, notice: &Notice<'_>) -> Fingerprint {
        let mut hash = self.key.build_hasher();
        match notice.arrival.source.ip().to_canonical() {
            IpAddr::V4(source) => source.octets().hash(&mut hash),
            IpAddr::V6(source) => source.octets().hash(&mut hash),
        }
        notice.mailslot.hash(&mut hash);
        notice.originator.hash(&mut hash);
        notice.to.hash(&mut hash);
        match notice.kind {
            // The same over both services, whose data differ in their framing.
            Kind::Messenger => notice.text.hash(&mut hash),
            Kind::Announcement | Kind::Text | Kind::Binary => notice.data.hash(&mut hash),
        }
        Fingerprint(hash.finish())
    }

    /// Whether such a message was taken in less than `window` ago, and a copy that came over `listener` may be left out.
    ///
    /// A session is told that its message is safe, so its message is a copy only of one that is durable; a datagram is
    /// promised nothing.
    #[must_use]
    pub fn is_copy(
        &self,
        fingerprint: Fingerprint,
        listener: Listener,
        window: Duration,
        now: Instant,
    ) -> bool {
        let least = match listener {
            Listener::Datagram => Keeping::Heard,
            Listener::Messenger => Keeping::Durable,
        };
        self.current(fingerprint, window, now).is_some_and(|taken| taken.keeping >= least)
    }

    /// A datagram was taken in at `now`.
    pub fn heard(&mut self, fingerprint: Fingerprint, window: Duration, now: Instant) {
        if self.current(fingerprint, window, now).is_none() {
            self.insert(fingerprint, Taken { first: now, keeping: Keeping::Heard }, window, now);
        }
    }

    /// A message that came at `first` is in the spool.
    pub fn durable(&mut self, fingerprint: Fingerprint, first: Instant, window: Duration, now: Instant) {
        if self.current(fingerprint, window, now).is_some()
            && let Some(taken) = self.taken.get_mut(&fingerprint.0)
        {
            taken.keeping = Keeping::Durable;
        } else {
            self.insert(fingerprint, Taken { first, keeping: Keeping::Durable }, window, now);
        }
    }

    /// A message that was heard at `first` did not reach the spool: a copy of it is as good as the first.
    pub fn lost(&mut self, fingerprint: Fingerprint, first: Instant) {
        let is_it = |taken: &Taken| taken.first == first && taken.keeping == Keeping::Heard;
        if self.taken.get(&fingerprint.0).is_some_and(is_it) {
            self.taken.remove(&fingerprint.0);
        }
    }

    fn current(&self, fingerprint: Fingerprint, window: Duration, now: Instant) -> Option<&Taken> {
        let is_current = |taken: &&Taken| now.saturating_duration_since(taken.first) < window;
        self.taken.get(&fingerprint.0).filter(is_current)
    }

    fn insert(&mut self, fingerprint: Fingerprint, taken: Taken, window: Duration, now: Instant) {
        while let Some(&(oldest, first)) = self.in_order.front() {
            if self.in_order.len() < Self::LIMIT && now.saturating_duration_since(first) < window {
                break;
            }
            self.in_order.pop_front();
            // The same message may have been taken in again since.
            if self.taken.get(&oldest).is_some_and(|taken| taken.first == first) {
                self.taken.remove(&oldest);
            }
        }
        self.taken.insert(fingerprint.0, taken);
        self.in_order.push_back((fingerprint.0, taken.first));
    }
}

#[cfg(test)]
mod tests;
