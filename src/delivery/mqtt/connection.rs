//! One connection to an MQTT broker.
#![expect(clippy::disallowed_methods, reason = "the machine is told the time here")]

use std::time::Instant;

use super::{Letter, verdict};
use crate::config::settings;
use crate::delivery::broker::publisher::{Connection, Machine, Step};
use crate::delivery::broker::{Endpoint, words};
use crate::delivery::outcome::Health;
use crate::session::mqtt_publisher::{
    Ending, Fate, Input, MqttPublisher, Output, Profile, Publication, Ticket,
};
use crate::wire::mqtt::MqttString;

/// Connects, and comes back when messages may be published.
pub(super) async fn open(
    endpoint: &Endpoint,
    settings: &settings::Mqtt,
) -> Result<Connection<MqttPublisher>, Health> {
    let stream = endpoint.open().await?;
    let machine = MqttPublisher::new(Instant::now(), profile(endpoint, settings));
    Connection::open(stream, machine, settings.limits.in_flight).await.map_err(|ending| match ending {
        Some(ending) => verdict::health(endpoint, settings, &ending),
        None => words::broke_off(&endpoint.to_string()),
    })
}

fn profile(endpoint: &Endpoint, settings: &settings::Mqtt) -> Profile {
    Profile {
        client_id: MqttString::lossy(settings.client_id.as_deref().unwrap_or_default()),
        user: settings.broker.user.as_deref().map(MqttString::lossy),
        password: settings.broker.password.as_ref().map(|password| password.text.clone()),
        in_flight: u16::try_from(settings.limits.in_flight).unwrap_or(u16::MAX),
        patience: endpoint.timeout,
    }
}

impl Machine for MqttPublisher {
    type Letter = Letter;
    type Answer = Fate;
    type Ending = Ending;

    fn hear(&mut self, now: Instant, octets: &[u8]) {
        self.handle_input(now, Input::Bytes(octets));
    }

    fn disconnected(&mut self, now: Instant) {
        self.handle_input(now, Input::Disconnected);
    }

    fn publish(&mut self, now: Instant, ticket: u64, letter: Letter) {
        let Letter { topic, content_type, user_properties, payload } = letter;
        let ticket = Ticket(ticket);
        let publication = Publication { ticket, topic, content_type, user_properties, payload };
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
            Output::Done(Ticket(ticket), fate) => Step::Answered(ticket, fate),
            Output::Closed(ending) => Step::Closed(ending),
        })
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Self::poll_timeout(self)
    }

    /// MQTT has no word for it: a server that is full refuses or disconnects.
    fn blocked(&self) -> Option<&str> {
        None
    }

    fn octets(letter: &Letter) -> usize {
        letter.payload.len()
    }
}
