//! What the end of one of the spool's threads does for those outside.

use std::sync::Arc;

use tokio_util::sync::{CancellationToken, DropGuard};

use crate::telemetry::metrics::Metrics;

/// Held by a thread as long as it works: its end, by return or by panic, is seen by whoever waits for the token.
#[derive(Debug)]
pub(super) struct Vital {
    name: &'static str,
    metrics: Arc<Metrics>,
    _ended: DropGuard,
}

impl Vital {
    /// `name` is the thread's.
    pub(super) fn new(name: &'static str, metrics: Arc<Metrics>, ended: &CancellationToken) -> Self {
        Self { name, metrics, _ended: ended.clone().drop_guard() }
    }
}

impl Drop for Vital {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.metrics.panicked();
            tracing::error!(
                thread = self.name,
                "A thread of the spool ended by a defect in this program; what was accepted is on disk. Please report it."
            );
        }
    }
}
