//! What is counted of reports to senders.

use super::Metrics;

/// What a report tells a sender of its mail; where it tells several things, the first of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReportKind {
    /// It was not delivered, and will not be.
    Failed,
    /// It is late.
    Delayed,
    /// It was delivered, or handed to a server that tells nothing more.
    Delivered,
}

impl ReportKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Failed, Self::Delayed, Self::Delivered];

    /// The label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Delayed => "delayed",
            Self::Delivered => "delivered",
        }
    }
}

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReportOutcome {
    /// It is in the spool, on its way.
    Kept,
    /// No route leads to the sender: it is not told.
    NoRoute,
}

impl ReportOutcome {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Kept, Self::NoRoute];

    /// The label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::NoRoute => "no_route",
        }
    }
}

impl Metrics {
    /// A sender was to be told of its mail.
    pub fn report(&self, kind: ReportKind, outcome: ReportOutcome) {
        self.declared.reports.with_label_values(&[kind.as_str(), outcome.as_str()]).inc();
    }
}
