//! An exchange of an AMQP broker, as the operator would write it.

use serde::Serialize;

use super::super::settings::Amqp;
use super::broker::ShownBroker;
use super::queue::{ShownQueueLimits, event_mode};
use crate::wire::amqp::{DeliveryMode, Unroutable};

#[derive(Serialize)]
pub(super) struct ShownAmqp<'s> {
    #[serde(flatten)]
    broker: ShownBroker<'s>,
    exchange: &'s str,
    mandatory: bool,
    persistent: bool,
    event: &'static str,
    limits: ShownQueueLimits,
}

impl<'s> ShownAmqp<'s> {
    pub(super) fn of(amqp: &'s Amqp) -> Self {
        Self {
            broker: ShownBroker::of(&amqp.broker),
            exchange: amqp.exchange.as_str(),
            mandatory: amqp.unroutable == Unroutable::Return,
            persistent: amqp.delivery_mode == DeliveryMode::Persistent,
            event: event_mode(amqp.event),
            limits: ShownQueueLimits::of(&amqp.limits),
        }
    }
}
