//! A broker of a kind that this build does not have.
#![cfg(not(all(feature = "amqp", feature = "mqtt", feature = "redis")))]

use crate::config::settings;
use crate::delivery::outcome::{Attempt, Report};
use crate::delivery::transport::SetupError;
use crate::message::event::EventIdentity;
use crate::message::id::DestinationName;

/// There is none of these.
#[derive(Debug, Clone, Copy)]
pub enum Absent {}

/// The settings of a kind that may be absent.
pub(super) trait Kind {
    /// The Cargo feature that has it.
    const FEATURE: &'static str;
}

impl Kind for settings::Amqp {
    const FEATURE: &'static str = "amqp";
}

impl Kind for settings::Mqtt {
    const FEATURE: &'static str = "mqtt";
}

impl Kind for settings::Redis {
    const FEATURE: &'static str = "redis";
}

impl Absent {
    pub(super) fn new<K: Kind>(_: DestinationName, _: &K, _: EventIdentity) -> Result<Self, SetupError> {
        Err(SetupError::NotBuilt(K::FEATURE))
    }

    #[expect(clippy::unused_async, reason = "the others do something")]
    pub(super) async fn deliver(self, _: Attempt) -> Report {
        match self {}
    }

    pub(super) fn host(&self) -> &str {
        match *self {}
    }

    #[expect(clippy::unused_async, reason = "the others do something")]
    pub(super) async fn close(self) {
        match self {}
    }
}
