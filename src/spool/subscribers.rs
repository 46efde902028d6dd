//! Who waits for something to become due.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::message::id::DestinationName;

/// One bell for each destination that somebody asked for.
#[derive(Debug, Default)]
pub(super) struct Subscribers {
    bells: Mutex<HashMap<DestinationName, Arc<Notify>>>,
}

impl Subscribers {
    pub(super) fn subscribe(&self, destination: &DestinationName) -> Arc<Notify> {
        let mut bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(bells.entry(destination.clone()).or_default())
    }

    /// Wakes the one who waits; if nobody does now, the next one to wait is woken at once.
    pub(super) fn wake(&self, destinations: &BTreeSet<DestinationName>) {
        let bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        for bell in destinations.iter().filter_map(|destination| bells.get(destination)) {
            bell.notify_one();
        }
    }

    /// Wakes everyone.
    #[cfg(feature = "nats")]
    pub(super) fn wake_all(&self) {
        let bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        bells.values().for_each(|bell| bell.notify_one());
    }
}
