//! Messages that this gateway gives up at this moment: until it has heard that the servers know, it takes them to be its
//! own, and the others take them to be anybody's already. So no lane gets a copy of them meanwhile.

use std::collections::{BTreeSet, HashMap};

use super::Shared;
use super::state::State;
use crate::message::id::{DestinationName, QueueId};

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Partings(HashMap<QueueId, UnderWay>);

#[derive(Debug, Default)]
struct UnderWay {
    /// Writes that give it up.
    writes: usize,
    /// Lanes that would have got a copy of it.
    missed: BTreeSet<DestinationName>,
}

/// A message is given up while this lives.
#[derive(Debug)]
pub(super) struct Parting<'a> {
    shared: &'a Shared,
    id: QueueId,
}

impl Partings {
    /// Whether a message is given up at this moment; the lane that asks is woken afterwards.
    pub(super) fn keep_from(&mut self, destination: &DestinationName, id: QueueId) -> bool {
        let Some(under_way) = self.0.get_mut(&id) else { return false };
        under_way.missed.insert(destination.clone());
        true
    }

    fn begin(&mut self, id: QueueId) {
        let under_way = self.0.entry(id).or_default();
        under_way.writes = under_way.writes.saturating_add(1);
    }

    /// One write has ended; the lanes to wake when no other is under way.
    fn end(&mut self, id: QueueId) -> BTreeSet<DestinationName> {
        let Some(under_way) = self.0.get_mut(&id) else { return BTreeSet::new() };
        under_way.writes = under_way.writes.saturating_sub(1);
        if under_way.writes > 0 {
            return BTreeSet::new();
        }
        self.0.remove(&id).map(|under_way| under_way.missed).unwrap_or_default()
    }
}

impl Shared {
    /// Nobody here may have a copy of a message from now on. Begun under the lock under which no lane was seen to have one.
    pub(super) fn part_with(&self, id: QueueId, state: &mut State) -> Parting<'_> {
        state.partings.begin(id);
        Parting { shared: self, id }
    }
}

impl Drop for Parting<'_> {
    fn drop(&mut self) {
        let missed = self.shared.state().partings.end(self.id);
        self.shared.0.subscribers.wake(&missed);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::destination;
    use super::*;

    #[test]
    fn a_lane_that_missed_a_copy_is_woken_when_the_last_write_has_ended() {
        let id = QueueId::from_row(7).unwrap();
        let mut partings = Partings::default();
        partings.begin(id);
        partings.begin(id);
        assert!(partings.keep_from(&destination("pager"), id));
        assert!(!partings.keep_from(&destination("pager"), QueueId::from_row(8).unwrap()));
        assert_eq!(partings.end(id), BTreeSet::new());
        assert_eq!(partings.end(id), BTreeSet::from([destination("pager")]));
        assert!(!partings.keep_from(&destination("pager"), id));
    }
}
