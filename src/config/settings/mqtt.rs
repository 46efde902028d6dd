//! Topics of an MQTT 5 broker.

use super::{Broker, EventMode, QueueLimits};

/// Topics of an MQTT 5 broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mqtt {
    /// Where it is, and who we are there, where it asks.
    pub broker: Broker,
    /// Our name among its clients; `None`: it gives us one.
    pub client_id: Option<String>,
    /// How an event is laid out.
    pub event: EventMode,
    /// How much it takes.
    pub limits: QueueLimits,
}
