//! Deliveries, and how the destinations are.

use super::Metrics;
use crate::message::id::DestinationName;

/// The state of a destination, as `mailslotd_destination_state` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DestinationState {
    /// Answers.
    Up,
    /// Cannot be reached; probed.
    Down,
    /// Waits for the operator: a refused credential, a certificate that does not verify.
    OperatorFault,
    /// Asked us to wait.
    Throttled,
    /// Stopped by `mailslotd queue pause`.
    Paused,
}

impl DestinationState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Up, Self::Down, Self::OperatorFault, Self::Throttled, Self::Paused];

    /// The label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::OperatorFault => "operator_fault",
            Self::Throttled => "throttled",
            Self::Paused => "paused",
        }
    }
}

/// How one recipient's attempt ended, as `mailslotd_deliveries_total` counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeliveryResult {
    /// The next hop took responsibility.
    Delivered,
    /// To be tried again.
    Delayed,
    /// Refused for good.
    Failed,
    /// Given up because its time ran out.
    Expired,
}

impl DeliveryResult {
    /// The label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Delayed => "delayed",
            Self::Failed => "failed",
            Self::Expired => "expired",
        }
    }
}

impl Metrics {
    /// One recipient's attempt ended.
    pub fn delivery(&self, destination: &DestinationName, result: DeliveryResult) {
        self.declared.deliveries.with_label_values(&[destination.as_str(), result.as_str()]).inc();
    }

    /// A destination is in this state now.
    pub fn set_destination_state(&self, destination: &DestinationName, state: DestinationState) {
        for each in DestinationState::ALL {
            let labels = [destination.as_str(), each.as_str()];
            self.declared.destination_state.with_label_values(&labels).set((each == state).into());
        }
    }

    /// Mail was removed from a Maildir by its limits.
    pub fn maildir_removed(&self, destination: &DestinationName, count: u64) {
        self.declared.maildir_removed.with_label_values(&[destination.as_str()]).inc_by(count);
    }
}
