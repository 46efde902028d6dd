//! One connection to an AMQP broker.
#![expect(clippy::disallowed_methods, reason = "the machine is told the time here")]

use std::time::Instant;

use super::{Letter, verdict};
use crate::config::settings;
use crate::delivery::broker::publisher::{Connection, Machine, Step};
use crate::delivery::broker::{Endpoint, words};
use crate::delivery::outcome::Health;
use crate::session::amqp_publisher::{
    AmqpPublisher, Confirmation, Ending, Identity, Input, Output, Profile, Publication, Ticket,
};
use crate::wire::amqp::ShortString;

/// Connects, and comes back when messages may be published.
pub(super) async fn open(
    endpoint: &Endpoint,
    settings: &settings::Amqp,
) -> Result<Connection<AmqpPublisher>, Health> {
    let stream = endpoint.open().await?;
    let machine = AmqpPublisher::new(Instant::now(), profile(endpoint, settings));
    Connection::open(stream, machine, settings.limits.in_flight).await.map_err(|ending| match ending {
        Some(ending) => verdict::health(endpoint, settings, &ending),
        None => words::broke_off(&endpoint.to_string()),
    })
}

fn profile(endpoint: &Endpoint, settings: &settings::Amqp) -> Profile {
    let identity = match (&settings.broker.user, &settings.broker.password) {
        (Some(user), Some(password)) => {
            Identity::Password { user: user.clone(), password: password.text.clone() }
        }
        _ => Identity::Certificate,
    };
    Profile {
        identity,
        virtual_host: settings.virtual_host.clone(),
        exchange: settings.exchange.clone(),
        unroutable: settings.unroutable,
        connection_name: ShortString::new("mailslotd").unwrap_or_default(),
        patience: endpoint.timeout,
    }
}

impl Machine for AmqpPublisher {
    type Letter = Letter;
    type Answer = Confirmation;
    type Ending = Ending;

    fn hear(&mut self, now: Instant, octets: &[u8]) {
        self.handle_input(now, Input::Bytes(octets));
    }

    fn disconnected(&mut self, now: Instant) {
        self.handle_input(now, Input::Disconnected);
    }

    fn publish(&mut self, now: Instant, ticket: u64, letter: Letter) {
        let Letter { routing_key, properties, body } = letter;
        let publication = Publication { ticket: Ticket(ticket), routing_key, properties, body };
        self.handle_input(now, Input::Publish(publication));
    }

    fn close(&mut self, now: Instant) {
        self.handle_input(now, Input::Close);
    }

    fn time_passed(&mut self, now: Instant) {
        self.handle_timeout(now);
    }

    fn poll(&mut self) -> Option<Step<Self>> {
        self.poll_output().map(|output| match output {
            Output::Send(octets) => Step::Send(octets),
            Output::SendSecret(octets) => Step::SendSecret(octets),
            Output::Ready => Step::Ready,
            Output::Confirmed(Ticket(ticket), confirmation) => Step::Answered(ticket, confirmation),
            Output::Closed(ending) => Step::Closed(ending),
        })
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Self::poll_timeout(self)
    }

    fn blocked(&self) -> Option<&str> {
        Self::blocked(self)
    }

    fn octets(letter: &Letter) -> usize {
        letter.body.len()
    }
}
