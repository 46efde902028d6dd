//! An exchange of an AMQP 0-9-1 broker.

use super::{Broker, EventMode, QueueLimits};
use crate::wire::amqp::{DeliveryMode, ShortString, Unroutable};

/// An exchange of an AMQP 0-9-1 broker such as RabbitMQ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Amqp {
    /// Where it is, and who we are there; without a password, whom our certificate names.
    pub broker: Broker,
    /// Where the exchange is.
    pub virtual_host: ShortString,
    /// Where events go; empty is the default exchange, whose routing keys are names of queues.
    pub exchange: ShortString,
    /// What becomes of an event that no queue wants.
    pub unroutable: Unroutable,
    /// Whether events survive a restart of the broker.
    pub delivery_mode: DeliveryMode,
    /// How an event is laid out.
    pub event: EventMode,
    /// How much it takes.
    pub limits: QueueLimits,
}

impl Amqp {
    /// What RabbitMQ takes at most unless it is told otherwise (`max_message_size`, since 4.0).
    pub const USUAL_SIZE: u64 = 16 << 20;
}
