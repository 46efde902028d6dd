//! Which datagrams this process itself sent: broadcasts come back to the socket they left from.
//!
//! Told apart by identifier and content, never by address: a sender on the same host, or behind the same NAT, has the
//! same address as this process and must be heard.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

/// The datagrams sent in the last [`OwnDatagrams::AGE`], at most [`OwnDatagrams::LIMIT`] of them.
///
/// Only a keyed 64-bit hash of the user data is kept, so nobody outside can make another's datagram look like one of
/// ours.
#[derive(Debug, Default)]
pub struct OwnDatagrams {
    key: RandomState,
    by_id: HashMap<u16, Sent>,
    in_order: VecDeque<(u16, Instant)>,
}

/// What is remembered of one datagram.
#[derive(Debug)]
struct Sent {
    user_data: u64,
    at: Instant,
}

impl OwnDatagrams {
    /// How long a datagram is remembered. A broadcast comes back within milliseconds; switches and bridges that repeat
    /// one do so within a second or two.
    pub const AGE: Duration = Duration::from_secs(5);

    /// How many datagrams are remembered at most; then the oldest is forgotten.
    pub const LIMIT: usize = 4096;

    /// Nothing sent yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers a datagram; to be called before it is sent, since it may come back at once.
    pub fn record(&mut self, dgm_id: u16, user_data: &[u8], now: Instant) {
        self.forget_old(now);
        let sent = Sent { user_data: self.key.hash_one(user_data), at: now };
        self.by_id.insert(dgm_id, sent);
        self.in_order.push_back((dgm_id, now));
    }

    /// Whether this process sent the datagram with this DGM_ID and this user data.
    ///
    /// May be asked any number of times: one broadcast can come back by several interfaces.
    #[must_use]
    pub fn is_own(&self, dgm_id: u16, user_data: &[u8], now: Instant) -> bool {
        self.by_id.get(&dgm_id).is_some_and(|sent| {
            now.saturating_duration_since(sent.at) <= Self::AGE
                && sent.user_data == self.key.hash_one(user_data)
        })
    }

    /// Makes room for one more.
    fn forget_old(&mut self, now: Instant) {
        while let Some(&(dgm_id, at)) = self.in_order.front() {
            if self.in_order.len() < Self::LIMIT && now.saturating_duration_since(at) <= Self::AGE {
                break;
            }
            self.in_order.pop_front();
            // The identifier may have been used again since.
            if self.by_id.get(&dgm_id).is_some_and(|sent| sent.at == at) {
                self.by_id.remove(&dgm_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_datagram_that_was_sent_is_own_each_time_it_comes_back() {
        let (mut own, now) = (OwnDatagrams::new(), start());
        own.record(7, b"hello", now);
        for interface in 0..3 {
            assert!(own.is_own(7, b"hello", now + Duration::from_millis(interface)));
        }
    }

    #[test]
    fn the_same_words_under_another_id_or_other_words_under_the_same_id_are_heard() {
        let (mut own, now) = (OwnDatagrams::new(), start());
        own.record(7, b"hello", now);
        assert!(!own.is_own(8, b"hello", now));
        assert!(!own.is_own(7, b"hullo", now));
        assert!(!OwnDatagrams::new().is_own(7, b"hello", now), "another process knows nothing of it");
    }

    #[test]
    fn after_its_time_the_same_bytes_are_heard_again() {
        let (mut own, now) = (OwnDatagrams::new(), start());
        own.record(7, b"hello", now);
        assert!(own.is_own(7, b"hello", now + OwnDatagrams::AGE));
        assert!(!own.is_own(7, b"hello", now + OwnDatagrams::AGE + Duration::from_millis(1)));
    }

    #[test]
    fn an_id_used_again_is_remembered_from_its_second_use() {
        let (mut own, now) = (OwnDatagrams::new(), start());
        own.record(7, b"first", now);
        own.record(7, b"second", now + Duration::from_secs(3));
        own.record(8, b"third", now + Duration::from_secs(6));
        assert!(own.is_own(7, b"second", now + Duration::from_secs(6)));
        assert!(!own.is_own(7, b"first", now + Duration::from_secs(4)));
    }

    #[test]
    fn a_flood_of_our_own_keeps_only_the_newest() {
        let (mut own, now) = (OwnDatagrams::new(), start());
        for id in 0..=u16::MAX {
            own.record(id, &id.to_be_bytes(), now);
        }
        assert_eq!(own.in_order.len(), OwnDatagrams::LIMIT);
        assert_eq!(own.by_id.len(), OwnDatagrams::LIMIT);
        assert!(own.is_own(u16::MAX, &u16::MAX.to_be_bytes(), now));
        assert!(!own.is_own(0, &0_u16.to_be_bytes(), now));
    }

    #[test]
    fn what_is_old_makes_room_without_a_timer() {
        let (mut own, now) = (OwnDatagrams::new(), start());
        for id in 0..100 {
            own.record(id, b"x", now);
        }
        own.record(100, b"x", now + OwnDatagrams::AGE + Duration::from_secs(1));
        assert_eq!((own.in_order.len(), own.by_id.len()), (1, 1));
    }
}
