//! Messages that are refused as if everything were, while others are taken.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Tells a service that refuses everything from a filter before it that refuses one message for what is in it, both of
/// which answer 403: a message that is refused again although another was taken meanwhile answers for itself.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    taken: u64,
    /// By the ids of their events: how many had been taken when they were refused first.
    refused: HashMap<String, u64>,
}

impl Refusals {
    /// The service took this message.
    pub(super) fn taken(&self, id: &str) {
        let mut seen = self.seen();
        seen.taken = seen.taken.saturating_add(1);
        seen.refused.remove(id);
    }

    /// The service refused this message; whether it took another since it refused this one first.
    pub(super) fn refused(&self, id: &str) -> bool {
        let mut seen = self.seen();
        let taken = seen.taken;
        if seen.refused.len() >= MOST {
            seen.refused.clear();
        }
        *seen.refused.entry(id.to_owned()).or_insert(taken) < taken
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Messages that are remembered; what is forgotten is refused once more.
const MOST: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_message_that_is_refused_again_while_others_are_taken_is_to_blame() {
        let refusals = Refusals::default();
        assert!(!refusals.refused("a") && !refusals.refused("a"), "everything is refused");
        refusals.taken("b");
        assert!(!refusals.refused("c"), "it may be that everything is refused from here on");
        assert!(refusals.refused("a") && refusals.refused("a"), "though nothing else comes");
        refusals.taken("a");
        assert!(!refusals.refused("a"));
    }
}
