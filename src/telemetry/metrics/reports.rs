//! What is counted of reports to senders, and to the operator.

use super::Metrics;

/// What a report tells; where it tells a sender several things, the first of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReportKind {
    /// It was not delivered, and will not be.
    Failed,
    /// It is late.
    Delayed,
    /// It was delivered, or handed to a server that tells nothing more.
    Delivered,
    /// The operator, that a notice was not delivered, and will not be.
    Operator,
    /// The operator, that a secret or a certificate ends.
    Expiry,
}

impl ReportKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Failed, Self::Delayed, Self::Delivered, Self::Operator, Self::Expiry];

    /// The label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Delayed => "delayed",
            Self::Delivered => "delivered",
            Self::Operator => "operator",
            Self::Expiry => "expiry",
        }
    }
}

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReportOutcome {
    /// It is in the spool, on its way.
    Kept,
    /// No route leads to whom it is for, who is not told.
    NoRoute,
    /// Another one on the same topic went not long ago; the next one counts it.
    HeldBack,
}

impl ReportOutcome {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Kept, Self::NoRoute, Self::HeldBack];

    /// The label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::NoRoute => "no_route",
            Self::HeldBack => "held_back",
        }
    }
}

impl Metrics {
    /// A sender was to be told of its mail, or the operator of a notice or of something that ends.
    pub fn report(&self, kind: ReportKind, outcome: ReportOutcome) {
        self.declared.reports.with_label_values(&[kind.as_str(), outcome.as_str()]).inc();
    }
}
