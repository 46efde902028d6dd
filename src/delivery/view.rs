//! The live state of destinations: written by their lanes, read by whoever asks.

use std::sync::Arc;

use dashmap::DashMap;
use jiff::Timestamp;

use crate::message::id::DestinationName;
use crate::policy::availability::State;
use crate::telemetry::metrics::{DeliveryResult, DestinationState};

/// One destination as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationView {
    /// What it is doing.
    pub state: DestinationState,
    /// Since when, or since start.
    pub since: Timestamp,
    /// Why it is not up, in a sentence for the operator.
    pub reason: Option<String>,
    /// Attempts under way.
    pub in_flight: usize,
    /// When it last took a message.
    pub last_delivery: Option<Timestamp>,
    /// What it said last of a recipient.
    pub last_reply: Option<LastReply>,
}

/// What a destination said of the recipient that was decided last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastReply {
    /// When.
    pub at: Timestamp,
    /// What it means.
    pub result: DeliveryResult,
    /// Its words, escaped and cut to one line.
    pub text: Arc<str>,
}

/// All destinations by name. Clones share them; a reader never waits for a delivery.
#[derive(Debug, Clone, Default)]
pub struct Views(Arc<DashMap<DestinationName, DestinationView>>);

impl Views {
    /// One destination.
    #[must_use]
    pub fn of(&self, destination: &DestinationName) -> Option<DestinationView> {
        self.0.get(destination).map(|view| view.clone())
    }

    /// All of them, by name.
    #[must_use]
    pub fn all(&self) -> Vec<(DestinationName, DestinationView)> {
        let mut all: Vec<_> =
            self.0.iter().map(|entry| (entry.key().clone(), entry.value().clone())).collect();
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all
    }

    pub(super) fn set(&self, destination: &DestinationName, view: DestinationView) {
        self.0.insert(destination.clone(), view);
    }
}

/// The state under the name that metrics and answers have for it.
pub(super) const fn label(state: State) -> DestinationState {
    match state {
        State::Up => DestinationState::Up,
        State::Down => DestinationState::Down,
        State::OperatorFault => DestinationState::OperatorFault,
        State::Throttled => DestinationState::Throttled,
        State::Paused => DestinationState::Paused,
    }
}
