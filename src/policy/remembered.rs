//! A bounded map whose entries are forgotten after a time: what was learned about peers by asking others.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

/// At most `capacity` entries, each for `lifetime`; the oldest gives way to a new one.
///
/// All entries live equally long, so the order of arrival is the order of expiry, and nothing is ever searched for what
/// has expired. What strangers can fill needs a map of its own: a flood of new entries drives out the old ones of its
/// map only.
#[derive(Debug)]
pub struct Remembered<K, V> {
    entries: HashMap<K, Entry<V>>,
    /// In the order of arrival; may name entries that are gone or were replaced.
    arrivals: VecDeque<(u64, K)>,
    next: u64,
    lifetime: Duration,
    capacity: usize,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    expires: Instant,
    number: u64,
}

impl<K: Clone + Eq + Hash, V> Remembered<K, V> {
    /// Nothing yet.
    #[must_use]
    pub fn new(lifetime: Duration, capacity: usize) -> Self {
        Self { entries: HashMap::new(), arrivals: VecDeque::new(), next: 0, lifetime, capacity }
    }

    /// What is known of this one now.
    #[must_use]
    pub fn recall<Q>(&self, key: &Q, now: Instant) -> Option<&V>
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.entries.get(key).filter(|entry| now < entry.expires).map(|entry| &entry.value)
    }

    /// Takes note, instead of what was noted of this one before.
    pub fn note(&mut self, key: K, value: V, now: Instant) {
        self.expire(now);
        let Some(expires) = now.checked_add(self.lifetime) else { return };
        self.entries.remove(&key);
        while self.entries.len() >= self.capacity {
            match self.arrivals.pop_front() {
                Some(arrival) => self.drop_arrival(&arrival),
                None => return,
            }
        }
        self.next = self.next.wrapping_add(1);
        self.arrivals.push_back((self.next, key.clone()));
        self.entries.insert(key, Entry { value, expires, number: self.next });
        self.compact();
    }

    /// Knows nothing more of this one.
    pub fn forget<Q>(&mut self, key: &Q)
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.entries.remove(key);
    }

    /// How many entries are held, expired ones that nothing has driven out yet included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn expire(&mut self, now: Instant) {
        while let Some((number, key)) = self.arrivals.front() {
            if self.entries.get(key).is_some_and(|entry| entry.number == *number && now < entry.expires) {
                return;
            }
            if let Some(arrival) = self.arrivals.pop_front() {
                self.drop_arrival(&arrival);
            }
        }
    }

    fn drop_arrival(&mut self, (number, key): &(u64, K)) {
        if self.entries.get(key).is_some_and(|entry| entry.number == *number) {
            self.entries.remove(key);
        }
    }

    /// Replaced entries leave their arrivals behind; they may not add up.
    fn compact(&mut self) {
        if self.arrivals.len() > self.capacity.saturating_mul(2) {
            let entries = &self.entries;
            self.arrivals
                .retain(|(number, key)| entries.get(key).is_some_and(|entry| entry.number == *number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        Instant::now()
    }

    #[test]
    fn what_was_learned_is_known_until_its_time_is_over() {
        let start = start();
        let mut map = Remembered::new(10 * SECOND, 3);
        map.note("a", 1, start);
        assert_eq!(map.recall("a", start + 9 * SECOND), Some(&1));
        assert_eq!(map.recall("a", start + 10 * SECOND), None);
        map.note("a", 2, start + 10 * SECOND);
        assert_eq!(map.recall("a", start + 19 * SECOND), Some(&2));
        map.forget("a");
        assert_eq!(map.recall("a", start + 19 * SECOND), None);
    }

    #[test]
    fn the_oldest_gives_way_and_what_expired_goes_first() {
        let start = start();
        let mut map = Remembered::new(10 * SECOND, 2);
        for (second, key) in [(0, "a"), (1, "b"), (2, "c")] {
            map.note(key, second, start + second * SECOND);
        }
        assert_eq!(
            ["a", "b", "c"].map(|key| map.recall(key, start + 2 * SECOND).copied()),
            [None, Some(1), Some(2)]
        );
        map.note("d", 20, start + 20 * SECOND);
        assert_eq!(map.len(), 1);
    }

    #[test]
    fn one_key_noted_over_and_over_stays_one_entry_and_drives_nobody_out() {
        let start = start();
        let mut map = Remembered::new(10 * SECOND, 2);
        map.note("a", 0, start);
        for value in 0..1000 {
            map.note("b", value, start);
        }
        assert_eq!((map.recall("a", start), map.recall("b", start)), (Some(&0), Some(&999)));
        assert!(map.arrivals.len() <= 4, "{}", map.arrivals.len());
    }

    #[test]
    fn a_map_without_room_holds_nothing() {
        let start = start();
        let mut map = Remembered::new(SECOND, 0);
        map.note("a", 1, start);
        assert!(map.is_empty());
    }
}
