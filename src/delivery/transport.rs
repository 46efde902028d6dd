//! The transports, behind one enum.

use std::sync::Arc;

use super::broker::Broker;
use super::graph::Graph;
use super::maildir::Maildir;
#[cfg(feature = "nats")]
use super::nats::Nats;
use super::netbios::{LegacySide, Netbios};
use super::outcome::{Attempt, Report};
use super::submission::{self, Submission};
use super::webhook::{Webhook, WebhookSetupError};
use crate::config::settings::{Destination, DestinationKind, QueueLimits, Settings};
use crate::message::compose::Identity;
use crate::message::event::EventIdentity;
#[cfg(feature = "nats")]
use crate::net::nats::NatsSetupError;
use crate::net::tls::TlsSetupError;
use crate::policy::rate::Rate;
use crate::session::smtp_client::MAX_RECIPIENTS;
use crate::telemetry::metrics::Metrics;

/// How one destination is reached. Clones share what is behind it.
#[derive(Debug, Clone)]
pub enum Transport {
    /// SMTP to a next hop.
    Submission(Submission),
    /// Mail through Microsoft Graph.
    Graph(Graph),
    /// Files in a Maildir.
    Maildir(Maildir),
    /// Messages on legacy displays.
    Netbios(Netbios),
    /// Events in a stream of NATS JetStream.
    #[cfg(feature = "nats")]
    Nats(Nats),
    /// Events as HTTP requests.
    Webhook(Webhook),
    /// Events for AMQP, MQTT or Redis.
    Broker(Broker),
}

/// Why a destination can never work with its settings.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// SMTP.
    #[error(transparent)]
    Submission(#[from] submission::SetupError),
    /// Graph.
    #[error(transparent)]
    Graph(#[from] TlsSetupError),
    /// NATS.
    #[cfg(feature = "nats")]
    #[error(transparent)]
    Nats(#[from] NatsSetupError),
    /// A webhook.
    #[error(transparent)]
    Webhook(#[from] WebhookSetupError),
    /// Its Cargo feature, of this name, was off.
    #[error("this build cannot reach it; build with the Cargo feature `{0}`, or remove the destination")]
    NotBuilt(&'static str),
}

/// How much may be asked of a transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Attempts at once; at least 1.
    pub concurrency: usize,
    /// Recipients of one attempt; at least 1.
    pub recipients: usize,
    /// Attempts that begin together, for which the spool is asked once; at least 1. Each still ends with an outcome of
    /// its own, but that is recorded when the last of them has ended: for destinations that answer quickly.
    pub together: usize,
    /// Attempts in a time, where limited.
    pub rate: Option<Rate>,
}

impl Transport {
    /// The transport of one destination. Connects to nothing.
    ///
    /// # Errors
    /// [`SetupError`], for settings that can never work.
    pub fn new(
        destination: &Destination,
        settings: &Settings,
        metrics: &Arc<Metrics>,
        legacy: &LegacySide,
    ) -> Result<Self, SetupError> {
        let identity = |from: Option<&str>| {
            Identity::new(settings.hostname.as_deref(), &settings.site, from, settings.timezone.clone())
        };
        let event_identity = || EventIdentity::new(settings.hostname.as_deref(), &settings.site);
        let name = destination.name.clone();
        match &destination.kind {
            DestinationKind::Graph(graph) => {
                let identity = identity(Some(graph.from.address.as_str()));
                Ok(Self::Graph(Graph::new(name, graph, identity, settings.outbound_proxy.as_ref())?))
            }
            DestinationKind::Maildir(maildir) => {
                Ok(Self::Maildir(Maildir::new(name, maildir, identity(None), Arc::clone(metrics))))
            }
            DestinationKind::Netbios(displays) => {
                Ok(Self::Netbios(Netbios::new(name, displays, settings, legacy, metrics)))
            }
            DestinationKind::Submission(submission) => {
                let identity = identity(submission.from.as_ref().map(|sender| sender.address.as_str()));
                Ok(Self::Submission(Submission::new(
                    name,
                    submission,
                    identity,
                    settings.outbound_proxy.as_ref(),
                )?))
            }
            DestinationKind::Webhook(webhook) => {
                let (proxy, timezone) = (settings.outbound_proxy.as_ref(), settings.timezone.clone());
                Ok(Self::Webhook(Webhook::new(webhook, proxy, event_identity(), timezone)?))
            }
            DestinationKind::Amqp(amqp) => Broker::amqp(name, amqp, event_identity()).map(Self::Broker),
            DestinationKind::Mqtt(mqtt) => Broker::mqtt(name, mqtt, event_identity()).map(Self::Broker),
            DestinationKind::Redis(redis) => Broker::redis(name, redis, event_identity()).map(Self::Broker),
            #[cfg(feature = "nats")]
            DestinationKind::Nats(nats) => Ok(Self::Nats(Nats::new(nats, event_identity())?)),
            #[cfg(not(feature = "nats"))]
            DestinationKind::Nats(_) => Err(SetupError::NotBuilt("nats")),
        }
    }

    /// Makes one attempt. It ends in a bounded time: each transport has deadlines of its own.
    pub async fn deliver(&self, attempt: Attempt) -> Report {
        // Boxed, or each attempt would take, and be moved about with, the room of the greatest.
        match self {
            Self::Submission(submission) => Box::pin(submission.deliver(attempt)).await,
            Self::Graph(graph) => Box::pin(graph.deliver(attempt)).await,
            Self::Maildir(maildir) => Box::pin(maildir.deliver(attempt)).await,
            Self::Netbios(netbios) => Box::pin(netbios.deliver(attempt)).await,
            Self::Webhook(webhook) => Box::pin(webhook.deliver(attempt)).await,
            Self::Broker(broker) => Box::pin(broker.deliver(attempt)).await,
            #[cfg(feature = "nats")]
            Self::Nats(nats) => Box::pin(nats.deliver(attempt)).await,
        }
    }

    /// The next hop's host, where there is one.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        match self {
            Self::Submission(submission) => Some(submission.host()),
            Self::Graph(graph) => Some(graph.host()),
            Self::Webhook(webhook) => Some(webhook.host()),
            Self::Broker(broker) => Some(broker.host()),
            Self::Maildir(_) | Self::Netbios(_) => None,
            #[cfg(feature = "nats")]
            Self::Nats(_) => None,
        }
    }

    /// Does what is due without a message: connections that idle, mail that is too old. Due about once a minute.
    pub async fn tend(&self) {
        match self {
            Self::Submission(submission) => submission.tend().await,
            Self::Maildir(maildir) => maildir.tend().await,
            Self::Graph(graph) => graph.tend(),
            Self::Webhook(webhook) => webhook.tend(),
            Self::Netbios(_) | Self::Broker(_) => {}
            #[cfg(feature = "nats")]
            Self::Nats(_) => {}
        }
    }

    /// Waits for what comes to its end although no attempt waits for it any more: requests for tokens. Their time limits
    /// are long, so wrap it in one.
    pub async fn settled(&self) {
        match self {
            Self::Submission(submission) => submission.settled().await,
            Self::Graph(graph) => graph.settled().await,
            Self::Maildir(_) | Self::Netbios(_) | Self::Webhook(_) | Self::Broker(_) => {}
            #[cfg(feature = "nats")]
            Self::Nats(_) => {}
        }
    }

    /// Ends what is open; no attempt may be under way.
    pub async fn close(&self) {
        match self {
            Self::Submission(submission) => submission.close().await,
            Self::Graph(graph) => graph.close(),
            Self::Webhook(webhook) => webhook.close(),
            Self::Broker(broker) => broker.close().await,
            Self::Maildir(_) | Self::Netbios(_) => {}
            #[cfg(feature = "nats")]
            Self::Nats(nats) => nats.close().await,
        }
    }
}

impl Limits {
    /// Each copy is an event of its own, with its own id.
    const fn of_queue(limits: &QueueLimits) -> Self {
        let together = limits.in_flight.div_ceil(BATCHES);
        let together = if together < MOST_TOGETHER { together } else { MOST_TOGETHER };
        Self { concurrency: limits.in_flight, recipients: 1, together, rate: limits.rate }
    }

    /// Of a destination's settings.
    #[must_use]
    pub fn of(kind: &DestinationKind) -> Self {
        match kind {
            DestinationKind::Submission(submission) => Self {
                concurrency: submission.max_connections,
                // RFC 5321 §4.5.3.1.8: every server takes 100, in one transaction. One attempt may make several.
                recipients: MAX_RECIPIENTS,
                together: 1,
                rate: submission.rate,
            },
            DestinationKind::Graph(graph) => Self {
                concurrency: graph.limits.in_flight,
                recipients: MAX_RECIPIENTS,
                together: 1,
                rate: graph.limits.rate,
            },
            // Messages for one display wait for each other within their attempts, but for one that is away.
            DestinationKind::Netbios(displays) => {
                Self { concurrency: 8, recipients: 1, together: 1, rate: displays.rate }
            }
            // So that fsyncs overlap and share; one message in one attempt, as its copies in a folder are one file.
            DestinationKind::Maildir(_) => {
                Self { concurrency: 32, recipients: usize::MAX, together: 1, rate: None }
            }
            DestinationKind::Nats(nats) => Self::of_queue(&nats.limits),
            DestinationKind::Webhook(webhook) => Self::of_queue(&webhook.limits),
            DestinationKind::Amqp(amqp) => Self::of_queue(&amqp.limits),
            DestinationKind::Mqtt(mqtt) => Self::of_queue(&mqtt.limits),
            DestinationKind::Redis(redis) => Self::of_queue(&redis.limits),
        }
    }
}

/// While one batch of events is acknowledged others are on their way.
const BATCHES: usize = 4;
/// More at once save nothing.
const MOST_TOGETHER: usize = 256;
