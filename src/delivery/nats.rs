//! Streams of NATS JetStream as destinations: a message is delivered when the stream has acknowledged it.
//!
//! The id of the event is its `Nats-Msg-Id`, so a stream drops what is repeated within its duplicate window, and
//! `Nats-Expected-Stream` keeps it out of any other stream. All attempts share one connection; it is made when one needs
//! it and given up when one finds it broken, so nothing waits or tries again behind the lane's back.

mod publication;
mod recent;
mod stream;
mod verdict;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_nats::jetstream;

use super::event::render;
use super::one_connection::OneConnection;
use super::outcome::{Attempt, Handoff, Health, Outcome, Report};
use crate::config::settings::{self, EventMode, QueueLimits, StreamName, StreamPlan};
use crate::message::event::{Event, EventIdentity};
use crate::message::mail::Spooled;
use crate::message::recipient::{EnhancedStatus, Recipient};
use crate::net::nats::{Cluster, Connection, NatsFault, NatsSetupError};
use crate::policy::template::AddressForm;
use publication::Publication;
use recent::Recent;
use stream::StreamState;
use verdict::Verdict;

/// A stream as a destination. Clones share its connection.
#[derive(Debug, Clone)]
pub struct Nats(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    cluster: Cluster,
    stream: StreamName,
    create: Option<StreamPlan>,
    mode: EventMode,
    limits: QueueLimits,
    identity: EventIdentity,
    connection: OneConnection<Open, NatsFault>,
}

/// The connection under way.
#[derive(Debug)]
struct Open {
    connection: Connection,
    jetstream: jetstream::Context,
    /// What became of the stream, for those that it did not answer.
    state: Recent<StreamState>,
    /// It has acknowledged something: who we are may publish there in general.
    acknowledged: AtomicBool,
}

impl Nats {
    /// Reads files for TLS, connects to nothing.
    ///
    /// # Errors
    /// [`NatsSetupError`], for settings that can never work.
    pub fn new(settings: &settings::Nats, identity: EventIdentity) -> Result<Self, NatsSetupError> {
        let settings::Nats { cluster, stream, create, event, limits } = settings;
        Ok(Self(Arc::new(Shared {
            cluster: Cluster::new(cluster, "mailslotd")?,
            stream: stream.clone(),
            create: create.clone(),
            mode: *event,
            limits: *limits,
            identity,
            connection: OneConnection::new(),
        })))
    }

    /// Publishes one copy of a message.
    pub async fn deliver(&self, attempt: Attempt) -> Report {
        let mut outcomes = Vec::with_capacity(attempt.recipients.len());
        for (number, recipient) in &attempt.recipients {
            match self.0.publish(&attempt.message, recipient).await {
                Verdict::Message(outcome) => outcomes.push((*number, outcome)),
                Verdict::Destination(health) => return Report { outcomes, health },
            }
        }
        Report { outcomes, health: Health::Up }
    }

    /// Ends the connection.
    pub async fn close(&self) {
        if let Some(open) = self.0.connection.take() {
            // Nothing waits to be sent.
            drop(open.connection.client().drain().await);
        }
    }
}

impl Shared {
    async fn publish(&self, message: &Spooled, recipient: &Recipient) -> Verdict {
        if let Err(fault) = AddressForm::NatsSubject.check(&recipient.to) {
            return Verdict::failed(
                // RFC 3463 §3.2: bad destination mailbox address syntax.
                EnhancedStatus::new(5, 1, 3),
                format!("{:?} is no NATS subject: it {fault}", recipient.to),
            );
        }
        // Whoever finds it broken gives it up.
        let open = match self.connection.open(|_| true, self.connect()).await {
            Ok(open) => open,
            Err(NatsFault::Unreachable(reason)) => return Verdict::Destination(Health::Down { reason }),
            Err(NatsFault::Operator(reason)) => {
                return Verdict::Destination(Health::OperatorFault { reason });
            }
        };
        let limit = self.room(&open);
        let event = match render(message, recipient, &self.identity, Some(limit)).await {
            Ok(event) => event,
            Err(error) => return Verdict::unreadable(&error),
        };
        let verdict = self.carry(&open, &recipient.to, &event).await;
        match &verdict {
            Verdict::Message(Outcome::Delivered { .. }) => open.acknowledged.store(true, Ordering::Relaxed),
            Verdict::Destination(Health::Down { .. }) => self.connection.discard(&open),
            Verdict::Message(_) | Verdict::Destination(_) => {}
        }
        verdict
    }

    async fn connect(&self) -> Result<Open, NatsFault> {
        let connection = self.cluster.connect(self.limits.timeout).await?;
        let jetstream = connection.jetstream(self.limits.timeout, self.limits.in_flight);
        Ok(Open { connection, jetstream, state: Recent::new(), acknowledged: AtomicBool::new(false) })
    }

    /// Octets that an event may have.
    fn room(&self, open: &Open) -> u64 {
        let server = u64::try_from(open.connection.client().max_payload()).unwrap_or(u64::MAX);
        let server = server.saturating_sub(publication::beside(self.mode));
        self.limits.message_size.map_or(server, |limit| limit.min(server))
    }

    /// Publishes and, where no stream answers, finds out why; once more where the stream was made meanwhile.
    async fn carry(&self, open: &Open, subject: &str, event: &Event) -> Verdict {
        for _ in 0..2 {
            let unanswered = match Publication::new(event, self.mode, &self.stream).send(open, subject).await
            {
                Ok(verdict) => return verdict,
                Err(unanswered) => unanswered,
            };
            let state = open.state.ask(self.examine(open)).await;
            if state != StreamState::Made {
                return self.without_answer(open, unanswered, &state, subject);
            }
        }
        self.without_answer(open, verdict::Unanswered::NoResponder, &StreamState::Made, subject)
    }
}

fn delivered(text: String) -> Outcome {
    Outcome::Delivered { text, handoff: Handoff::Final }
}
