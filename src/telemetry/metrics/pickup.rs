//! What is counted of the pickup directory.

use super::Metrics;

/// What became of a file in the pickup directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PickupOutcome {
    /// It is in the spool.
    Accepted,
    /// It may not be sent, or not to all of its recipients; it is in `badmail`.
    Refused,
    /// It cannot be read, or is no mail; it is in `badmail`.
    Unusable,
    /// The spool is full, a directory does not answer, or a rate is used up: it stays and is tried again.
    Deferred,
}

impl PickupOutcome {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Accepted, Self::Refused, Self::Unusable, Self::Deferred];

    /// The label, and the word in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Unusable => "unusable",
            Self::Deferred => "deferred",
        }
    }
}

impl Metrics {
    /// A look at a file in the pickup directory is over.
    pub fn pickup_file(&self, outcome: PickupOutcome) {
        self.declared.pickup_files.with_label_values(&[outcome.as_str()]).inc();
    }
}
