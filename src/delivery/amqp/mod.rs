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
use super::broker::{Endpoint, Kept, words};
use super::event::{Share, render};
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
pub struct Amqp(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    name: DestinationName,
    endpoint: Endpoint,
    settings: settings::Amqp,
    identity: EventIdentity,
    kept: Kept<Connection<AmqpPublisher>>,
}

/// A message, ready for the exchange.
#[derive(Debug, Clone)]
pub(in crate::delivery) struct Letter {
    number: RecipientNumber,
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
        Ok(Self(Arc::new(Shared {
            name,
            endpoint: Endpoint::new(&settings.broker, settings.limits.timeout)?,
            settings: settings.clone(),
            identity,
            kept: Kept::new(),
        })))
    }

    /// Publishes an event for each recipient. Ends within the timeouts of connecting and of a confirm.
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
        let mut health = Health::Up;
        // Another's message may end the channel; who is not to blame goes again, on a new one.
        for _ in 0..MOST_CHANNELS {
            if letters.is_empty() {
                break;
            }
            health = shared.publish(&mut letters, &mut outcomes).await;
            if health != Health::Up {
                break;
            }
        }
        outcomes.extend(letters.into_iter().filter(|_| health == Health::Up).map(|letter| {
            let text = "messages of others ended the channel each time that this was sent".to_owned();
            (letter.number, delayed(EnhancedStatus::new(4, 4, 2), text))
        }));
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
        let routing_key = ShortString::new(recipient.to.as_str()).map_err(|error| Outcome::Failed {
            status: EnhancedStatus::new(5, 1, 3),
            text: format!("the routing key {error}"),
        })?;
        let limit = self.settings.limits.message_size;
        let event = render(message, recipient, &self.identity, limit).await;
        let event = event.map_err(|error| {
            delayed(EnhancedStatus::new(4, 3, 0), format!("cannot read the message: {error}"))
        })?;
        let (properties, body) = self.laid_out(message, &event);
        match limit {
            Some(limit) if u64::try_from(body.len()).is_ok_and(|size| size > limit) => Err(Outcome::Failed {
                status: EnhancedStatus::new(5, 3, 4),
                text: format!(
                    "the event has {} octets, more than `limits.message_size` of {limit}",
                    body.len()
                ),
            }),
            _ => Ok((Letter { number, routing_key, properties, body }, event.into_share())),
        }
    }

    fn laid_out(&self, message: &Spooled, event: &Event) -> (Properties, Bytes) {
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
        (properties, body)
    }

    /// Publishes and waits for the confirms. What stays in `letters` is to go again, where the health is `Up`.
    async fn publish(
        &self,
        letters: &mut Vec<Letter>,
        outcomes: &mut Vec<(RecipientNumber, Outcome)>,
    ) -> Health {
        let open = || connection::open(&self.endpoint, &self.settings);
        let connection = match self.kept.connection(Connection::is_alive, open).await {
            Ok(connection) => connection,
            Err(health) => return health,
        };
        if let Some(reason) = connection.status().blocked {
            return verdict::blocked(&self.endpoint, &reason);
        }
        let deadline = Instant::now() + self.endpoint.timeout;
        let awaited = self.hand_over(&connection, letters, deadline).await;
        for (letter, confirm) in awaited {
            match timeout_at(deadline, confirm).await {
                Ok(Ok(confirmation)) => outcomes.push((letter.number, verdict::outcome(confirmation))),
                Ok(Err(_)) => letters.push(letter),
                Err(_) => return self.silent(&connection),
            }
        }
        if letters.is_empty() {
            return Health::Up;
        }
        match connection.status().ending {
            Some(ending) => {
                self.kept.discard(&connection);
                self.blame(letters, outcomes, &ending)
            }
            None => self.silent(&connection),
        }
    }

    /// Gives up a connection on which nothing moves.
    fn silent(&self, connection: &Arc<Connection<AmqpPublisher>>) -> Health {
        self.kept.discard(connection);
        match connection.status().blocked {
            Some(reason) => verdict::blocked(&self.endpoint, &reason),
            None => words::silent(&self.endpoint.to_string(), "a confirm", self.endpoint.timeout),
        }
    }

    /// What was handed over, and where its confirm will come. Those that the connection did not take stay in `letters`.
    async fn hand_over(
        &self,
        connection: &Connection<AmqpPublisher>,
        letters: &mut Vec<Letter>,
        deadline: Instant,
    ) -> Vec<(Letter, oneshot::Receiver<Confirmation>)> {
        let mut awaited = Vec::with_capacity(letters.len());
        let mut refused = Vec::new();
        for letter in letters.drain(..) {
            match timeout_at(deadline, connection.publish(letter.clone())).await {
                Ok(Some(confirm)) => awaited.push((letter, confirm)),
                Ok(None) | Err(_) => refused.push(letter),
            }
        }
        *letters = refused;
        awaited
    }

    /// Decides over messages that were on their way when the connection ended.
    fn blame(
        &self,
        letters: &mut Vec<Letter>,
        outcomes: &mut Vec<(RecipientNumber, Outcome)>,
        ending: &Ending,
    ) -> Health {
        let mut health = Health::Up;
        letters.retain(|letter| {
            match verdict::culprit(ending, letter.routing_key.as_str(), letter.body.len()) {
                Culprit::This(outcome) => {
                    outcomes.push((letter.number, outcome));
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

const fn delayed(status: EnhancedStatus, text: String) -> Outcome {
    Outcome::Delayed { status, text, retry_after: None }
}

/// Channels that one attempt uses at most.
const MOST_CHANNELS: usize = 4;
