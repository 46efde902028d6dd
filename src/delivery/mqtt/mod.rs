//! Messages for topics of an MQTT 5 broker, each acknowledged by it (QoS 1), none retained.
//!
//! `to` is the topic. An event counts as delivered when the broker has acknowledged it, whether anybody listens or not: who
//! is to get it later needs a session of their own there. Whether it survives a restart of the broker is the broker's
//! (mosquitto: `persistence true`).
//!
//! In structured mode the payload is the event in JSON, with the user property `id`; in binary mode it is the data, and
//! the attributes are user properties (CloudEvents MQTT binding §3). A repeat is known by `id`; the flag DUP is never set,
//! since each connection is a session of its own.
#![expect(clippy::disallowed_methods, reason = "how long an answer may take is measured here")]

mod connection;
mod verdict;

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::broker::publisher::Connection;
use super::broker::queue::{Publish, Queue};
use super::broker::words;
use super::outcome::{Attempt, Health, Outcome, RecipientNumber, Report};
use super::submission::SetupError;
use crate::config::settings::{self, EventMode};
use crate::message::event::{DATA_MEDIA_TYPE, Event, EventIdentity, STRUCTURED_MEDIA_TYPE};
use crate::message::id::DestinationName;
use crate::message::mail::Spooled;
use crate::message::recipient::{EnhancedStatus, Recipient};
use crate::session::mqtt_publisher::{Fate, MqttPublisher};
use crate::wire::mqtt::{MqttString, TopicName};
use verdict::Verdict;

/// Topics of one broker. Clones share the connection to it.
#[derive(Debug, Clone)]
pub struct Mqtt(Arc<Queue<settings::Mqtt, Connection<MqttPublisher>>>);

/// A message, ready for its topic.
#[derive(Debug)]
pub(in crate::delivery) struct Letter {
    topic: TopicName,
    content_type: MqttString,
    user_properties: Vec<(MqttString, MqttString)>,
    payload: Bytes,
}

impl Mqtt {
    /// Connects to nothing. Reads the trusted roots, so call it at start.
    ///
    /// # Errors
    /// [`SetupError`], for settings that can never work.
    pub fn new(
        name: DestinationName,
        settings: &settings::Mqtt,
        identity: EventIdentity,
    ) -> Result<Self, SetupError> {
        let queue = Queue::new(name, identity, &settings.broker, settings.limits, settings.clone())?;
        Ok(Self(Arc::new(queue)))
    }

    /// Publishes an event for each recipient. Ends within the timeouts of connecting and of an acknowledgement.
    pub async fn deliver(&self, attempt: Attempt) -> Report {
        self.0.deliver(attempt).await
    }

    /// The broker's host.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.endpoint.host()
    }

    /// Takes leave of the broker.
    pub async fn close(&self) {
        if let Some(connection) = self.0.connection.take() {
            connection.close().await;
        }
    }
}

impl Publish for Queue<settings::Mqtt, Connection<MqttPublisher>> {
    type Letter = Letter;

    fn lay_out(&self, event: &Event, _: &Spooled, recipient: &Recipient) -> Result<Letter, Outcome> {
        let topic = TopicName::new(recipient.to.as_str()).map_err(|fault| Outcome::Failed {
            status: EnhancedStatus::new(5, 1, 3),
            text: format!("the topic {fault}"),
        })?;
        let property = |name: &str, value: &str| (MqttString::lossy(name), MqttString::lossy(value));
        let (content_type, user_properties, payload) = match self.settings.event {
            EventMode::Structured => {
                (STRUCTURED_MEDIA_TYPE, vec![property("id", event.id())], event.structured())
            }
            EventMode::Binary => {
                let attributes =
                    event.attributes().into_iter().filter(|(name, _)| *name != "datacontenttype");
                let properties = attributes.map(|(name, value)| property(name, &value)).collect();
                (DATA_MEDIA_TYPE, properties, event.data())
            }
        };
        Ok(Letter { topic, content_type: MqttString::lossy(content_type), user_properties, payload })
    }

    fn octets(letter: &Letter) -> usize {
        letter.payload.len()
    }

    async fn publish(
        &self,
        letters: Vec<(RecipientNumber, Letter)>,
        outcomes: &mut Vec<(RecipientNumber, Outcome)>,
    ) -> Health {
        let open = connection::open(&self.endpoint, &self.settings);
        let connection = match self.connection.open(Connection::is_alive, open).await {
            Ok(connection) => connection,
            Err(health) => return health,
        };
        let deadline = Instant::now() + self.endpoint.timeout;
        let all = letters.len().saturating_add(outcomes.len());
        let mut awaited: Vec<(RecipientNumber, oneshot::Receiver<Fate>)> = Vec::with_capacity(letters.len());
        for (number, letter) in letters {
            if let Ok(Some(fate)) = timeout_at(deadline, connection.publish(letter)).await {
                awaited.push((number, fate));
            }
        }
        let mut health = Health::Up;
        for (number, fate) in awaited {
            if let Ok(Ok(fate)) = timeout_at(deadline, fate).await {
                match verdict::of(&self.endpoint, fate) {
                    Verdict::Message(outcome) => outcomes.push((number, outcome)),
                    Verdict::Destination(fault) => health = fault,
                }
            }
        }
        if let Some(ending) = connection.status().ending {
            self.connection.discard(&connection);
            return verdict::health(&self.endpoint, &self.settings, &ending);
        }
        if health == Health::Up && outcomes.len() < all {
            self.connection.discard(&connection);
            return words::silent(&self.endpoint.to_string(), "an acknowledgement", self.endpoint.timeout);
        }
        health
    }
}
