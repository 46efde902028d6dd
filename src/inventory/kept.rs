//! What is remembered of one kind of thing, bounded, and which of it is to be written.

use std::collections::HashMap;
use std::hash::Hash;

/// Something that the inventory remembers.
pub(super) trait Entry: Clone {
    /// What tells it from others.
    type Key: Clone + Eq + Hash;
    /// Who goes first where there is no room: the least.
    type Rank: Copy + Ord;

    fn key(&self) -> Self::Key;
    fn rank(&self) -> Self::Rank;
}

/// Entries in memory. Pure: the caller writes what [`Kept::take_changes`] gives it.
#[derive(Debug)]
pub(super) struct Kept<E: Entry> {
    all: HashMap<E::Key, (E, State)>,
    gone: Vec<E::Key>,
    most: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Written,
    Changed,
}

/// What differs from the database.
#[derive(Debug)]
pub(super) struct Changes<E: Entry> {
    pub(super) changed: Vec<E>,
    pub(super) gone: Vec<E::Key>,
}

impl<E: Entry> Changes<E> {
    pub(super) const fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.gone.is_empty()
    }
}

impl<E: Entry> Kept<E> {
    /// Those of the database, of which at most `most` are kept.
    pub(super) fn new(written: Vec<E>, most: usize) -> Self {
        let all = written.into_iter().map(|entry| (entry.key(), (entry, State::Written))).collect();
        let mut kept = Self { all, gone: Vec::new(), most };
        kept.make_room();
        kept
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn get(&self, key: &E::Key) -> Option<&E> {
        self.all.get(key).map(|(entry, _)| entry)
    }

    /// An entry that is going to change.
    pub(super) fn change(&mut self, key: &E::Key) -> Option<&mut E> {
        let (entry, state) = self.all.get_mut(key)?;
        *state = State::Changed;
        Some(entry)
    }

    /// Adds an entry, or puts it in the place of the one with its key. What had to go for it.
    pub(super) fn insert(&mut self, entry: E) -> Vec<E> {
        self.all.insert(entry.key(), (entry, State::Changed));
        self.make_room()
    }

    pub(super) fn remove(&mut self, key: &E::Key) -> Option<E> {
        let (entry, _) = self.all.remove(key)?;
        self.gone.push(key.clone());
        Some(entry)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &E> {
        self.all.values().map(|(entry, _)| entry)
    }

    /// What is to be written; it counts as written from now on.
    pub(super) fn take_changes(&mut self) -> Changes<E> {
        let mut changed = Vec::new();
        for (entry, state) in self.all.values_mut().filter(|(_, state)| *state == State::Changed) {
            *state = State::Written;
            changed.push(entry.clone());
        }
        // One that went and came again is deleted first and then written.
        Changes { changed, gone: std::mem::take(&mut self.gone) }
    }

    /// It could not be written after all.
    pub(super) fn not_written(&mut self, changes: Changes<E>) {
        for entry in changes.changed {
            if let Some((_, state)) = self.all.get_mut(&entry.key()) {
                *state = State::Changed;
            }
        }
        // A database that cannot be written for long must not make this grow; rows that stay too long do no harm.
        if self.gone.len() < self.most {
            self.gone.extend(changes.gone);
        }
    }

    /// Every entry is to be written: into a database that was begun anew.
    pub(super) fn write_all(&mut self) {
        self.gone.clear();
        self.all.values_mut().for_each(|(_, state)| *state = State::Changed);
    }

    /// Past the limit a sixteenth goes at once, so that a flood of new ones costs little for each.
    fn make_room(&mut self) -> Vec<E> {
        if self.all.len() <= self.most {
            return Vec::new();
        }
        let mut order: Vec<_> =
            self.all.iter().map(|(key, (entry, _))| (entry.rank(), key.clone())).collect();
        let surplus = (self.all.len() - self.most).saturating_add(self.most / 16).min(order.len() - 1);
        order.select_nth_unstable_by_key(surplus, |(rank, _)| *rank);
        order.truncate(surplus);
        order.into_iter().filter_map(|(_, key)| self.remove(&key)).collect()
    }
}
