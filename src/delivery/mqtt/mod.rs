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
use super::broker::{Endpoint, Kept, words};
use super::event::{Share, render};
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
pub struct Mqtt(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    name: DestinationName,
    endpoint: Endpoint,
    settings: settings::Mqtt,
    identity: EventIdentity,
    kept: Kept<Connection<MqttPublisher>>,
}

/// A message, ready for its topic.
#[derive(Debug)]
pub(in crate::delivery) struct Letter {
    number: RecipientNumber,
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
        Ok(Self(Arc::new(Shared {
            name,
            endpoint: Endpoint::new(&settings.broker, settings.limits.timeout)?,
            settings: settings.clone(),
            identity,
            kept: Kept::new(),
        })))
    }

    /// Publishes an event for each recipient. Ends within the timeouts of connecting and of an acknowledgement.
    pub async fn deliver(&self, attempt: Attempt) -> Report {
        let shared = &self.0;
        let mut outcomes = Vec::new();
        let (mut letters, mut shares) = (Vec::new(), Vec::new());
        for (number, recipient) in &attempt.recipients {
            match shared.letter(&attempt.message, *number, recipient).await {
                Ok((letter, share)) => {
                    letters.push(letter);
                    shares.push(share);
                }
                Err(outcome) => outcomes.push((*number, outcome)),
            }
        }
        let health =
            if letters.is_empty() { Health::Up } else { shared.publish(letters, &mut outcomes).await };
        drop(shares);
        tracing::debug!(destination = %shared.name, decided = outcomes.len(), ?health, "An attempt ended.");
        Report { outcomes, health }
    }

    /// The broker's host.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.endpoint.host()
    }

    /// Takes leave of the broker.
    pub async fn close(&self) {
        if let Some(connection) = self.0.kept.take() {
            connection.close().await;
        }
    }
}

impl Shared {
    async fn letter(
        &self,
        message: &Spooled,
        number: RecipientNumber,
        recipient: &Recipient,
    ) -> Result<(Letter, Share), Outcome> {
        let topic = TopicName::new(recipient.to.as_str()).map_err(|fault| Outcome::Failed {
            status: EnhancedStatus::new(5, 1, 3),
            text: format!("the topic {fault}"),
        })?;
        let limit = self.settings.limits.message_size;
        let event = render(message, recipient, &self.identity, limit).await;
        let event = event.map_err(|error| Outcome::Delayed {
            status: EnhancedStatus::new(4, 3, 0),
            text: format!("cannot read the message: {error}"),
            retry_after: None,
        })?;
        let (content_type, properties, payload) = self.laid_out(&event);
        match limit {
            Some(limit) if u64::try_from(payload.len()).is_ok_and(|size| size > limit) => {
                Err(Outcome::Failed {
                    status: EnhancedStatus::new(5, 3, 4),
                    text: format!(
                        "the event has {} octets, more than `limits.message_size` of {limit}",
                        payload.len()
                    ),
                })
            }
            _ => {
                let content_type = MqttString::lossy(content_type);
                let letter = Letter { number, topic, content_type, user_properties: properties, payload };
                Ok((letter, event.into_share()))
            }
        }
    }

    fn laid_out(&self, event: &Event) -> (&'static str, Vec<(MqttString, MqttString)>, Bytes) {
        let property = |name: &str, value: &str| (MqttString::lossy(name), MqttString::lossy(value));
        match self.settings.event {
            EventMode::Structured => {
                (STRUCTURED_MEDIA_TYPE, vec![property("id", event.id())], event.structured())
            }
            EventMode::Binary => {
                let attributes =
                    event.attributes().into_iter().filter(|(name, _)| *name != "datacontenttype");
                let properties = attributes.map(|(name, value)| property(name, &value)).collect();
                (DATA_MEDIA_TYPE, properties, event.data())
            }
        }
    }

    async fn publish(&self, letters: Vec<Letter>, outcomes: &mut Vec<(RecipientNumber, Outcome)>) -> Health {
        let open = || connection::open(&self.endpoint, &self.settings);
        let connection = match self.kept.connection(Connection::is_alive, open).await {
            Ok(connection) => connection,
            Err(health) => return health,
        };
        let deadline = Instant::now() + self.endpoint.timeout;
        let all = letters.len().saturating_add(outcomes.len());
        let mut awaited: Vec<(RecipientNumber, oneshot::Receiver<Fate>)> = Vec::with_capacity(letters.len());
        for letter in letters {
            let number = letter.number;
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
            self.kept.discard(&connection);
            return verdict::health(&self.endpoint, &self.settings, &ending);
        }
        if health == Health::Up && outcomes.len() < all {
            self.kept.discard(&connection);
            return words::silent(&self.endpoint.to_string(), "an acknowledgement", self.endpoint.timeout);
        }
        health
    }
}
