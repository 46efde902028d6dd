//! The brokers that one address leads to, and what they have in common: how they are reached, how an attempt becomes
//! events, and the task of a connection on which messages are published.
//!
//! What a build lacks is `Absent`: of it there is never one.

mod absent;
#[cfg(any(feature = "amqp", feature = "mqtt", feature = "redis"))]
mod endpoint;
#[cfg(any(feature = "amqp", feature = "mqtt"))]
pub(super) mod publisher;
#[cfg(any(feature = "amqp", feature = "mqtt", feature = "redis"))]
pub(super) mod queue;
#[cfg(any(feature = "amqp", feature = "mqtt", feature = "redis"))]
pub(super) mod words;

#[cfg(not(feature = "amqp"))]
use absent::Absent as Amqp;
#[cfg(not(feature = "mqtt"))]
use absent::Absent as Mqtt;
#[cfg(not(feature = "redis"))]
use absent::Absent as Redis;
#[cfg(any(feature = "amqp", feature = "mqtt", feature = "redis"))]
pub(super) use endpoint::Endpoint;

#[cfg(feature = "amqp")]
use super::amqp::Amqp;
#[cfg(feature = "mqtt")]
use super::mqtt::Mqtt;
use super::outcome::{Attempt, Report};
#[cfg(feature = "redis")]
use super::redis::Redis;
use super::transport::SetupError;
use crate::config::settings;
use crate::message::event::EventIdentity;
use crate::message::id::DestinationName;

/// One of these brokers. Clones share the connection to it.
#[derive(Debug, Clone)]
pub enum Broker {
    /// An exchange.
    Amqp(Amqp),
    /// Topics.
    Mqtt(Mqtt),
    /// Streams.
    Redis(Redis),
}

impl Broker {
    /// An exchange of an AMQP broker.
    ///
    /// # Errors
    /// [`SetupError`], for settings that can never work.
    pub fn amqp(
        name: DestinationName,
        settings: &settings::Amqp,
        identity: EventIdentity,
    ) -> Result<Self, SetupError> {
        Ok(Self::Amqp(Amqp::new(name, settings, identity)?))
    }

    /// Topics of an MQTT broker.
    ///
    /// # Errors
    /// [`SetupError`], for settings that can never work.
    pub fn mqtt(
        name: DestinationName,
        settings: &settings::Mqtt,
        identity: EventIdentity,
    ) -> Result<Self, SetupError> {
        Ok(Self::Mqtt(Mqtt::new(name, settings, identity)?))
    }

    /// Streams of a Redis server.
    ///
    /// # Errors
    /// [`SetupError`], for settings that can never work.
    pub fn redis(
        name: DestinationName,
        settings: &settings::Redis,
        identity: EventIdentity,
    ) -> Result<Self, SetupError> {
        Ok(Self::Redis(Redis::new(name, settings, identity)?))
    }

    /// Makes one attempt. It ends within the timeouts of connecting and of one answer.
    pub async fn deliver(&self, attempt: Attempt) -> Report {
        match self {
            Self::Amqp(amqp) => amqp.deliver(attempt).await,
            Self::Mqtt(mqtt) => mqtt.deliver(attempt).await,
            Self::Redis(redis) => redis.deliver(attempt).await,
        }
    }

    /// The broker's host.
    #[must_use]
    pub fn host(&self) -> &str {
        match self {
            Self::Amqp(amqp) => amqp.host(),
            Self::Mqtt(mqtt) => mqtt.host(),
            Self::Redis(redis) => redis.host(),
        }
    }

    /// Ends what is open; no attempt may be under way.
    pub async fn close(&self) {
        match self {
            Self::Amqp(amqp) => amqp.close().await,
            Self::Mqtt(mqtt) => mqtt.close().await,
            Self::Redis(redis) => redis.close().await,
        }
    }
}

#[cfg(all(test, feature = "amqp", feature = "mqtt", feature = "redis"))]
mod tests;
