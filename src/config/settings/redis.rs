//! Streams of a Redis server.

use super::{Broker, EventMode, QueueLimits};

/// Streams of a Redis server, or of one that speaks its protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redis {
    /// Where it is, and who we are there.
    pub broker: Broker,
    /// The logical database, 0 unless the address names another.
    pub database: u32,
    /// The stream of events whose `to` names none.
    pub stream: String,
    /// About how many entries a stream keeps; the oldest go.
    pub max_length: Option<u32>,
    /// How many replicas must have an entry before it counts as delivered.
    pub replicas: u32,
    /// How an event is laid out.
    pub event: EventMode,
    /// How much it takes.
    pub limits: QueueLimits,
}
