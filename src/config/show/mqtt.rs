//! Topics of an MQTT broker, as the operator would write them.

use serde::Serialize;

use super::super::settings::Mqtt;
use super::broker::ShownBroker;
use super::queue::{ShownQueueLimits, event_mode};

#[derive(Serialize)]
pub(super) struct ShownMqtt<'s> {
    #[serde(flatten)]
    broker: ShownBroker<'s>,
    qos: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'s str>,
    event: &'static str,
    limits: ShownQueueLimits,
}

impl<'s> ShownMqtt<'s> {
    pub(super) fn of(mqtt: &'s Mqtt) -> Self {
        Self {
            broker: ShownBroker::of(&mqtt.broker),
            qos: 1,
            client_id: mqtt.client_id.as_deref(),
            event: event_mode(mqtt.event),
            limits: ShownQueueLimits::of(&mqtt.limits),
        }
    }
}
