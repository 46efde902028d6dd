//! Whether the gateway does its job right now.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use serde::{Deserialize, Serialize};

/// Where the gateway stands between start and stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Sockets are being bound and the spool opened.
    Starting,
    /// Sockets are bound and the spool is open; whether it accepts is asked of itself. Destinations may be down: the spool
    /// is there for that.
    Ready,
    /// Nothing new is taken; what was accepted is safe.
    Stopping,
}

/// The stage, shared between the task that moves it and those that report it.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<AtomicU8>);

impl Readiness {
    /// Moves to another stage.
    pub fn set(&self, stage: Stage) {
        self.0.store(stage as u8, Ordering::Release);
    }

    /// The stage now.
    #[must_use]
    pub fn stage(&self) -> Stage {
        match self.0.load(Ordering::Acquire) {
            0 => Stage::Starting,
            1 => Stage::Ready,
            _ => Stage::Stopping,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_reads_back_as_set_and_the_first_is_starting() {
        let readiness = Readiness::default();
        assert_eq!(readiness.stage(), Stage::Starting);
        for stage in [Stage::Ready, Stage::Stopping, Stage::Starting] {
            readiness.set(stage);
            assert_eq!(readiness.stage(), stage);
        }
    }
}
