//! Messages for an exchange of an AMQP 0-9-1 broker, each confirmed by it (RabbitMQ's publisher confirms).
//!
//! `to` is the routing key. An event counts as delivered when the broker has acknowledged it: it is then in every queue
//! that wants it, and on disk where queue and message are durable. One that no queue wants comes back (`mandatory`) and is
//! *delayed*, not failed: a binding that is missing is the operator's to mend, and the event is not to blame.
//!
//! In structured mode the body is the event in JSON; in binary mode it is the data, and the attributes are headers with
//! the prefix `cloudEvents:`. Properties, in both modes: `message_id` is the event's `id`, by which a repeat is known, `type`
//! its type, `timestamp` when the message was accepted, `app_id` is `mailslotd`.
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
use crate::session::amqp_publisher::{AmqpPublisher, Confirmation, Ending};
use crate::wire::amqp::{Properties, ShortString};
use verdict::Culprit;

/// An exchange. Clones share the connection to its broker.
#[derive(Debug, Clone)]
pub struct Amqp(Arc<Queue<settings::Amqp, Connection<AmqpPublisher>>>);

/// A message, ready for the exchange.
#[derive(Debug, Clone)]
pub(in crate::delivery) struct Letter {
    routing_key: ShortString,
    properties: Properties,
    body: Bytes,
}

impl Amqp {
    /// Connects to nothing. Reads the trusted roots, so call it at start.
    ///
    /// # Errors
    /// [`SetupError`], for settings that can never work.
    pub fn new(
        name: DestinationName,
        settings: &settings::Amqp,
        identity: EventIdentity,
    ) -> Result<Self, SetupError> {
        let queue = Queue::new(name, identity, &settings.broker, settings.limits, settings.clone())?;
        Ok(Self(Arc::new(queue)))
    }

    /// Publishes an event for each recipient. Ends within the timeouts of connecting and of a confirm.
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

impl Publish for Queue<settings::Amqp, Connection<AmqpPublisher>> {
    type Letter = Letter;

    fn lay_out(&self, event: &Event, message: &Spooled, recipient: &Recipient) -> Result<Letter, Outcome> {
        let routing_key = ShortString::new(recipient.to.as_str()).map_err(|error| Outcome::Failed {
            status: EnhancedStatus::new(5, 1, 3),
            text: format!("the routing key {error}"),
        })?;
        // What is longer than AMQP takes is none of ours: ids and names of attributes are short.
        let short = |text: &str| ShortString::new(text).unwrap_or_default();
        let (content_type, headers, body) = match self.settings.event {
            EventMode::Structured => (STRUCTURED_MEDIA_TYPE, Vec::new(), event.structured()),
            EventMode::Binary => {
                let attributes =
                    event.attributes().into_iter().filter(|(name, _)| *name != "datacontenttype");
                let headers = attributes.map(|(name, value)| (short(&format!("cloudEvents:{name}")), value));
                (DATA_MEDIA_TYPE, headers.collect(), event.data())
            }
        };
        let properties = Properties {
            content_type: short(content_type),
            headers,
            delivery_mode: self.settings.delivery_mode,
            message_id: short(event.id()),
            timestamp: u64::try_from(message.accepted_at.as_second()).unwrap_or_default(),
            message_type: short(event.event_type().as_str()),
            app_id: short("mailslotd"),
        };
        Ok(Letter { routing_key, properties, body })
    }

    fn octets(letter: &Letter) -> usize {
        letter.body.len()
    }

    async fn publish(
        &self,
        mut letters: Vec<(RecipientNumber, Letter)>,
        outcomes: &mut Vec<(RecipientNumber, Outcome)>,
    ) -> Health {
        // Another's message may end the channel; who is not to blame goes again, on a new one.
        for _ in 0..MOST_CHANNELS {
            let health = self.publish_on_one_channel(&mut letters, outcomes).await;
            if letters.is_empty() || health != Health::Up {
                return health;
            }
        }
        outcomes.extend(letters.into_iter().map(|(number, _)| {
            let outcome = Outcome::Delayed {
                status: EnhancedStatus::new(4, 4, 2),
                text: "messages of others ended the channel each time that this was sent".to_owned(),
                retry_after: None,
            };
            (number, outcome)
        }));
        Health::Up
    }
}

impl Queue<settings::Amqp, Connection<AmqpPublisher>> {
    /// Publishes and waits for the confirms. What stays in `letters` is to go again, where the health is `Up`.
    async fn publish_on_one_channel(
        &self,
        letters: &mut Vec<(RecipientNumber, Letter)>,
        outcomes: &mut Vec<(RecipientNumber, Outcome)>,
    ) -> Health {
        let open = connection::open(&self.endpoint, &self.settings);
        let connection = match self.connection.open(Connection::is_alive, open).await {
            Ok(connection) => connection,
            Err(health) => return health,
        };
        if let Some(reason) = connection.status().blocked {
            return verdict::blocked(&self.endpoint, &reason);
        }
        let deadline = Instant::now() + self.endpoint.timeout;
        let awaited = hand_over(&connection, letters, deadline).await;
        for (number, letter, confirm) in awaited {
            match timeout_at(deadline, confirm).await {
                Ok(Ok(confirmation)) => outcomes.push((number, verdict::outcome(confirmation))),
                Ok(Err(_)) => letters.push((number, letter)),
                Err(_) => return self.silent(&connection),
            }
        }
        if letters.is_empty() {
            return Health::Up;
        }
        match connection.status().ending {
            Some(ending) => {
                self.connection.discard(&connection);
                self.blame(letters, outcomes, &ending)
            }
            None => self.silent(&connection),
        }
    }

    /// Gives up a connection on which nothing moves.
    fn silent(&self, connection: &Arc<Connection<AmqpPublisher>>) -> Health {
        self.connection.discard(connection);
        match connection.status().blocked {
            Some(reason) => verdict::blocked(&self.endpoint, &reason),
            None => words::silent(&self.endpoint.to_string(), "a confirm", self.endpoint.timeout),
        }
    }

    /// Decides over messages that were on their way when the connection ended.
    fn blame(
        &self,
        letters: &mut Vec<(RecipientNumber, Letter)>,
        outcomes: &mut Vec<(RecipientNumber, Outcome)>,
        ending: &Ending,
    ) -> Health {
        let mut health = Health::Up;
        letters.retain(|(number, letter)| {
            match verdict::culprit(ending, letter.routing_key.as_str(), letter.body.len()) {
                Culprit::This(outcome) => {
                    outcomes.push((*number, outcome));
                    false
                }
                Culprit::Another => true,
                Culprit::Nobody => {
                    health = verdict::health(&self.endpoint, &self.settings, ending);
                    true
                }
            }
        });
        health
    }
}

/// What was handed over, and where its confirm will come. Those that the connection did not take stay in `letters`.
async fn hand_over(
    connection: &Connection<AmqpPublisher>,
    letters: &mut Vec<(RecipientNumber, Letter)>,
    deadline: Instant,
) -> Vec<(RecipientNumber, Letter, oneshot::Receiver<Confirmation>)> {
    let mut awaited = Vec::with_capacity(letters.len());
    let mut refused = Vec::new();
    for (number, letter) in letters.drain(..) {
        match timeout_at(deadline, connection.publish(letter.clone())).await {
            Ok(Some(confirm)) => awaited.push((number, letter, confirm)),
            Ok(None) | Err(_) => refused.push((number, letter)),
        }
    }
    *letters = refused;
    awaited
}

/// Channels that one attempt uses at most.
const MOST_CHANNELS: usize = 4;
