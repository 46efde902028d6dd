//! Webhooks as destinations: a message is delivered when the service has answered 2xx and its answer is whole.
//!
//! The event's id goes with each request, as the CloudEvents attribute and as `webhook-id`, so a service can drop what is
//! repeated after an answer was lost. What answers mean is a table in [`crate::policy::webhook`]; nothing is ever sent to
//! another place than was configured.
#![expect(
    clippy::disallowed_methods,
    reason = "signatures hold the time, and answers name times to wait for"
)]

mod answer;
mod hidden;
mod request;

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::event::render;
use super::outcome::{Attempt, Health, Outcome, Report};
use crate::config::settings::{self, OutboundProxy, QueueLimits};
use crate::message::event::EventIdentity;
use crate::message::mail::Spooled;
use crate::message::recipient::{EnhancedStatus, Recipient};
use crate::net::http::{Client, Limits, Options};
use crate::net::tls::TlsSetupError;
use hidden::Hidden;
use request::Form;

/// A service that takes messages as HTTP requests. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Webhook(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    client: Client,
    form: Form,
    hidden: Hidden,
    limits: QueueLimits,
    identity: EventIdentity,
}

/// Why a webhook cannot be made of its settings; each a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum WebhookSetupError {
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsSetupError),
    /// A header field has a value that HTTP does not take.
    #[error("headers.{name}: its value has characters that header fields do not take; write printable ASCII")]
    Header {
        /// The field.
        name: String,
    },
}

/// What became of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    /// This message has its fate.
    Message(Outcome),
    /// It concerns every message.
    Destination(Health),
}

impl Verdict {
    const fn failed(status: EnhancedStatus, text: String) -> Self {
        Self::Message(Outcome::Failed { status, text })
    }
}

impl Webhook {
    /// Reads files for TLS, connects to nothing. Templates show times in `timezone`.
    ///
    /// # Errors
    /// [`WebhookSetupError`], for settings that can never work.
    pub fn new(
        settings: &settings::Webhook,
        proxy: Option<&OutboundProxy>,
        identity: EventIdentity,
        timezone: TimeZone,
    ) -> Result<Self, WebhookSetupError> {
        let limits = settings.limits;
        let client = Client::new(Options {
            tls: &settings.tls,
            proxy,
            reach: settings.reach,
            limits: Limits { connections: limits.in_flight, timeout: limits.timeout, body: MOST_ANSWER },
        })?;
        let (form, hidden) = (Form::new(settings, timezone)?, Hidden::of(settings));
        Ok(Self(Arc::new(Shared { client, form, hidden, limits, identity })))
    }

    /// Sends one copy of a message.
    pub async fn deliver(&self, attempt: Attempt) -> Report {
        let mut outcomes = Vec::with_capacity(attempt.recipients.len());
        for (number, recipient) in &attempt.recipients {
            match self.0.send(&attempt.message, recipient).await {
                Verdict::Message(outcome) => outcomes.push((*number, outcome)),
                Verdict::Destination(health) => return Report { outcomes, health },
            }
        }
        Report { outcomes, health: Health::Up }
    }

    /// Host and port.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.form.at()
    }

    /// Ends connections that idle too long. Due about once a minute.
    pub fn tend(&self) {
        self.0.client.tend();
    }

    /// Ends all connections; no attempt may be under way.
    pub fn close(&self) {
        self.0.client.close();
    }
}

impl Shared {
    async fn send(&self, message: &Spooled, recipient: &Recipient) -> Verdict {
        let limit = self.form.room(self.limits.message_size);
        let event = match render(message, recipient, &self.identity, limit).await {
            Ok(event) => event,
            Err(error) => return unreadable(&error),
        };
        let request = match self.form.request(&event, Timestamp::now()) {
            Ok(request) => request,
            Err(error) => return Verdict::failed(EnhancedStatus::new(5, 1, 3), error.to_string()),
        };
        let length = u64::try_from(request.body.len()).unwrap_or(u64::MAX);
        if let Some(limit) = self.limits.message_size.filter(|limit| length > *limit) {
            let text = format!("the request has {length} octets, message_size allows {limit}");
            return Verdict::failed(EnhancedStatus::new(5, 3, 4), text);
        }
        match self.client.send(&request).await {
            Ok(response) => answer::verdict(self.form.at(), &response, &self.hidden, Timestamp::now()),
            Err(fault) => answer::fault(&fault),
        }
    }
}

fn unreadable(error: &std::io::Error) -> Verdict {
    let text = format!("the content could not be read from the spool: {error}");
    let status = EnhancedStatus::new(4, 3, 0);
    Verdict::Message(Outcome::Delayed { status, text, retry_after: None })
}

/// Octets of an answer that are read; what a refusal says is at its beginning.
const MOST_ANSWER: usize = 8 << 10;
