//! How an attempt becomes events at a broker: one for each recipient is laid out as the protocol wants it, all are
//! published, and what the broker says decides over each.

use super::Endpoint;
use crate::config::settings::{self, QueueLimits};
use crate::delivery::event::{Share, render};
use crate::delivery::one_connection::OneConnection;
use crate::delivery::outcome::{Attempt, Health, Outcome, RecipientNumber, Report};
use crate::delivery::submission::SetupError;
use crate::message::event::{Event, EventIdentity};
use crate::message::id::DestinationName;
use crate::message::mail::Spooled;
use crate::message::recipient::{EnhancedStatus, Recipient};

/// A destination at a broker, with settings `S` and connections `C` of its protocol.
#[derive(Debug)]
pub(in crate::delivery) struct Queue<S, C> {
    name: DestinationName,
    identity: EventIdentity,
    limits: QueueLimits,
    pub(in crate::delivery) endpoint: Endpoint,
    pub(in crate::delivery) settings: S,
    pub(in crate::delivery) connection: OneConnection<C, Health>,
}

/// What differs from protocol to protocol.
pub(in crate::delivery) trait Publish: Sync {
    /// An event, laid out for the broker.
    type Letter: Send;

    /// What is sent of an event, which is that of the message for the recipient.
    ///
    /// # Errors
    /// It never can be.
    fn lay_out(
        &self,
        event: &Event,
        message: &Spooled,
        recipient: &Recipient,
    ) -> Result<Self::Letter, Outcome>;

    /// Octets that the event has in a letter, headers not counted.
    fn octets(letter: &Self::Letter) -> usize;

    /// Publishes, and adds what became of each letter to `outcomes`. Those left out go again. Ends within the timeouts of
    /// connecting and of one answer.
    fn publish(
        &self,
        letters: Vec<(RecipientNumber, Self::Letter)>,
        outcomes: &mut Vec<(RecipientNumber, Outcome)>,
    ) -> impl Future<Output = Health> + Send;
}

impl<S, C> Queue<S, C> {
    /// Connects to nothing. Reads the trusted roots, so call it at start.
    pub(in crate::delivery) fn new(
        name: DestinationName,
        identity: EventIdentity,
        broker: &settings::Broker,
        limits: QueueLimits,
        settings: S,
    ) -> Result<Self, SetupError> {
        let endpoint = Endpoint::new(broker, limits.timeout)?;
        Ok(Self { name, identity, limits, endpoint, settings, connection: OneConnection::new() })
    }
}

impl<S, C> Queue<S, C>
where
    Self: Publish,
{
    pub(in crate::delivery) async fn deliver(&self, attempt: Attempt) -> Report {
        let mut outcomes = Vec::new();
        let (mut letters, mut shares) = (Vec::new(), Vec::new());
        for (number, recipient) in &attempt.recipients {
            match self.letter(&attempt.message, recipient).await {
                Ok((letter, share)) => {
                    letters.push((*number, letter));
                    shares.push(share);
                }
                Err(outcome) => outcomes.push((*number, outcome)),
            }
        }
        let health = if letters.is_empty() { Health::Up } else { self.publish(letters, &mut outcomes).await };
        drop(shares);
        tracing::debug!(destination = %self.name, decided = outcomes.len(), ?health, "An attempt ended.");
        Report { outcomes, health }
    }

    async fn letter(
        &self,
        message: &Spooled,
        recipient: &Recipient,
    ) -> Result<(<Self as Publish>::Letter, Share), Outcome> {
        let limit = self.limits.message_size;
        let event = render(message, recipient, &self.identity, limit).await;
        let event = event.map_err(|error| Outcome::Delayed {
            status: EnhancedStatus::new(4, 3, 0),
            text: format!("cannot read the message: {error}"),
            retry_after: None,
        })?;
        let letter = self.lay_out(&event, message, recipient)?;
        let octets = Self::octets(&letter);
        match limit {
            Some(limit) if u64::try_from(octets).is_ok_and(|octets| octets > limit) => Err(Outcome::Failed {
                status: EnhancedStatus::new(5, 3, 4),
                text: format!("the event has {octets} octets, more than `limits.message_size` of {limit}"),
            }),
            _ => Ok((letter, event.into_share())),
        }
    }
}
