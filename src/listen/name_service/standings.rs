//! Where the claims of our names stand, for whoever asks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::telemetry::metrics::NameState;
use crate::wire::netbios_name::NetbiosName;

/// The names that are claimed, each with where its claim stands; none in mode observe. Clones show the same.
#[derive(Debug, Clone, Default)]
pub struct NameStandings(Arc<Mutex<Vec<(NetbiosName, NameState)>>>);

impl NameStandings {
    /// All of them now, in the order of the claims.
    #[must_use]
    pub fn all(&self) -> Vec<(NetbiosName, NameState)> {
        self.standings().clone()
    }

    pub(super) fn set(&self, standings: Vec<(NetbiosName, NameState)>) {
        *self.standings() = standings;
    }

    fn standings(&self) -> MutexGuard<'_, Vec<(NetbiosName, NameState)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
