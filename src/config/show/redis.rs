//! Streams of a Redis server, as the operator would write them.

use serde::Serialize;

use super::super::settings::Redis;
use super::broker::ShownBroker;
use super::limit;
use super::queue::{ShownQueueLimits, event_mode};

#[derive(Serialize)]
pub(super) struct ShownRedis<'s> {
    #[serde(flatten)]
    broker: ShownBroker<'s>,
    stream: &'s str,
    max_length: String,
    replicas: String,
    event: &'static str,
    limits: ShownQueueLimits,
}

impl<'s> ShownRedis<'s> {
    pub(super) fn of(redis: &'s Redis) -> Self {
        Self {
            broker: ShownBroker::of(&redis.broker),
            stream: &redis.stream,
            max_length: limit(redis.max_length, |length| length.to_string()),
            replicas: limit(Some(redis.replicas).filter(|replicas| *replicas > 0), |replicas| {
                replicas.to_string()
            }),
            event: event_mode(redis.event),
            limits: ShownQueueLimits::of(&redis.limits),
        }
    }
}
