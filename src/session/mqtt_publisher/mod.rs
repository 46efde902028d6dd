//! An MQTT 5 publisher: one connection, QoS 1, and an acknowledgement for each message.
//!
//! CONNECT with a clean start and a session that ends with the connection: what is repeated, the spool repeats. Then
//! [`Input::Publish`] as often as the caller likes without waiting; what the server's receive maximum does not permit yet
//! waits here. Which acknowledgement belongs to which message the packet identifier says.
//!
//! The caller owns the socket: it feeds what comes in with `handle_input`, calls `handle_timeout` when `poll_timeout` has
//! passed, and does what `poll_output` says until that returns `None`. How long an acknowledgement may take is the
//! caller's.
//!
//! It is our own because of PUBACK 0x95: so mosquitto answers one message over its `message_size_limit`, although the
//! standard has no such code in that packet (§3.4.2.1). Who takes that for malformed ends the connection, and with the
//! message repeated on the next one, no other ever gets through. Against mosquitto 2.0.11, in November 2026:
//!
//! * rumqttc-v5-next 0.34.0 ends the connection at it. It also does so over a message larger than the broker *announced*
//!   to take, and tells neither a refusal's reason string nor where a broker sends us.
//! * mqtt-protocol-core 0.7.9, without I/O as this is, ends the connection at it too. A second CONNACK lets it count its
//!   messages on their way below zero.
//! * mqtt-proto 0.4.0, mqtt5-protocol 0.16.2 and mqtt-codec-kit 1.0.5 do not decode it. By their sources, neither do
//!   ntex-mqtt 9.0, rust-mqtt 0.6, poster 0.3 and mqttbytes 0.6; minimq 0.13 does, but tells of no message what became of
//!   it.

mod ending;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;
use zeroize::Zeroizing;

use crate::wire::mqtt::{self, Acknowledgement, ConnAck, Connect, MqttString, Packet, ReasonCode, TopicName};
pub use ending::{Ending, Stage};

/// What is known before the connection is.
pub struct Profile {
    /// Our name among the clients; empty: the server gives us one.
    pub client_id: MqttString,
    /// Our user name.
    pub user: Option<MqttString>,
    /// What proves it.
    pub password: Option<Zeroizing<String>>,
    /// Messages on their way at once; the server may permit fewer. At least 1.
    pub in_flight: u16,
    /// How long the answers to CONNECT and to PINGREQ may take.
    pub patience: Duration,
}

/// What happens to the connection.
#[derive(Debug)]
pub enum Input<'a> {
    /// Octets from the server.
    Bytes(&'a [u8]),
    /// The connection was closed or broke.
    Disconnected,
    /// After [`Output::Ready`]: send this, as soon as it may go.
    Publish(Publication),
    /// Take leave.
    Close,
}

/// A message for a topic.
#[derive(Debug, Clone)]
pub struct Publication {
    /// What its acknowledgement is known by.
    pub ticket: Ticket,
    /// Where it goes.
    pub topic: TopicName,
    /// The MIME type of the payload.
    pub content_type: MqttString,
    /// Names and values beside it.
    pub user_properties: Vec<(MqttString, MqttString)>,
    /// Itself.
    pub payload: Bytes,
}

/// The caller's own number of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What the caller must do.
#[derive(PartialEq, Eq)]
pub enum Output {
    /// Write this.
    Send(Vec<u8>),
    /// Write this and forget it: a password may be in it.
    SendSecret(Zeroizing<Vec<u8>>),
    /// Messages may be published.
    Ready,
    /// The server has done with a message.
    Done(Ticket, Fate),
    /// Close the connection. What was not done with may or may not have been taken.
    Closed(Ending),
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The server has answered.
    Acknowledged(Acknowledgement),
    /// It was not sent: the server takes no packet of its size.
    TooLarge {
        /// Octets of the packet.
        octets: usize,
        /// The most that the server takes.
        limit: u32,
    },
}

/// The machine.
pub struct MqttPublisher {
    stage: Stage,
    patience: Duration,
    received: Vec<u8>,
    to_send: Vec<u8>,
    outputs: VecDeque<Output>,
    keep_alive: Duration,
    sent_at: Instant,
    /// When the answer to CONNECT or PINGREQ must be there.
    answered_by: Option<Instant>,
    in_flight: usize,
    maximum_packet_size: Option<u32>,
    last_packet_id: u16,
    unacknowledged: HashMap<u16, Ticket>,
    waiting: VecDeque<Publication>,
}

impl MqttPublisher {
    /// A connection that has just come about.
    #[must_use]
    pub fn new(now: Instant, profile: Profile) -> Self {
        let Profile { client_id, user, password, in_flight, patience } = profile;
        let mut packet = Zeroizing::new(Vec::with_capacity(1024));
        mqtt::connect(
            &mut packet,
            &Connect {
                client_id: &client_id,
                user: user.as_ref(),
                password: password.as_ref().map(|password| password.as_bytes()),
                keep_alive: KEEP_ALIVE_SECONDS,
                maximum_packet_size: LONGEST_PACKET,
            },
        );
        Self {
            stage: Stage::Connecting,
            patience,
            received: Vec::new(),
            to_send: Vec::new(),
            outputs: VecDeque::from([Output::SendSecret(packet)]),
            keep_alive: Duration::from_secs(KEEP_ALIVE_SECONDS.into()),
            sent_at: now,
            answered_by: now.checked_add(patience),
            in_flight: in_flight.max(1).into(),
            maximum_packet_size: None,
            last_packet_id: 0,
            unacknowledged: HashMap::new(),
            waiting: VecDeque::new(),
        }
    }

    /// Tells the machine what happened.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        match input {
            _ if self.stage == Stage::Closed => {}
            Input::Bytes(octets) => {
                self.received.extend_from_slice(octets);
                self.take_packets();
                self.send_waiting(now);
            }
            Input::Disconnected => self.end(Ending::Lost(self.stage)),
            Input::Publish(publication) => {
                self.waiting.push_back(publication);
                self.send_waiting(now);
            }
            Input::Close => {
                mqtt::disconnect(&mut self.to_send);
                self.end(Ending::Quit);
            }
        }
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        let passed = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if self.stage == Stage::Closed {
        } else if passed(self.answered_by) {
            self.end(Ending::TimedOut(self.stage));
        } else if passed(self.ping_at()) {
            mqtt::pingreq(&mut self.to_send);
            self.sent_at = now;
            self.answered_by = self.answered_by.or_else(|| now.checked_add(self.patience));
        }
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        if self.to_send.is_empty() {
            self.outputs.pop_front()
        } else {
            Some(Output::Send(std::mem::take(&mut self.to_send)))
        }
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.stage == Stage::Closed {
            return None;
        }
        [self.answered_by, self.ping_at()].into_iter().flatten().min()
    }

    /// §3.1.2.10. Zero: the server wants none.
    fn ping_at(&self) -> Option<Instant> {
        let may_ping = self.stage == Stage::Open && !self.keep_alive.is_zero();
        may_ping.then(|| self.sent_at.checked_add(self.keep_alive)).flatten()
    }

    fn take_packets(&mut self) {
        let received = std::mem::take(&mut self.received);
        let mut rest = received.as_slice();
        while self.stage != Stage::Closed {
            match Packet::parse(rest, usize::try_from(LONGEST_PACKET).unwrap_or(usize::MAX)) {
                Ok(Some((length, packet))) => {
                    self.take(packet);
                    rest = rest.get(length..).unwrap_or_default();
                }
                Ok(None) => break,
                Err(error) => self.end(Ending::NotMqtt(self.stage, error)),
            }
        }
        self.received = rest.to_vec();
    }

    fn take(&mut self, packet: Packet) {
        match (self.stage, packet) {
            (Stage::Connecting, Packet::ConnAck(ack)) => self.connected(ack),
            (Stage::Open, Packet::PubAck { packet_id, acknowledgement }) => {
                match self.unacknowledged.remove(&packet_id) {
                    Some(ticket) => {
                        self.outputs.push_back(Output::Done(ticket, Fate::Acknowledged(acknowledgement)));
                    }
                    None => self.end(Ending::OutOfTurn(self.stage)),
                }
            }
            (Stage::Open, Packet::PingResp) => self.answered_by = None,
            (_, Packet::Disconnect(disconnect)) => self.end(Ending::Disconnected(disconnect)),
            (stage, _) => self.end(Ending::OutOfTurn(stage)),
        }
    }

    fn connected(&mut self, ack: ConnAck) {
        if ack.reason != ReasonCode::SUCCESS {
            self.end(Ending::Refused(ack));
            return;
        }
        if ack.maximum_qos == 0 {
            self.end(Ending::NoQos1);
            return;
        }
        self.stage = Stage::Open;
        self.answered_by = None;
        self.in_flight = self.in_flight.min(ack.receive_maximum.into());
        self.maximum_packet_size = ack.maximum_packet_size;
        if let Some(seconds) = ack.server_keep_alive {
            // Half of it: it must come within one and a half (§3.1.2.10), and networks are slow.
            self.keep_alive = Duration::from_secs(seconds.into()).checked_div(2).unwrap_or_default();
        }
        self.outputs.push_back(Output::Ready);
    }

    fn send_waiting(&mut self, now: Instant) {
        while self.stage == Stage::Open && self.unacknowledged.len() < self.in_flight {
            let Some(publication) = self.waiting.pop_front() else { return };
            let Publication { ticket, topic, content_type, user_properties, payload } = &publication;
            let packet_id = self.free_packet_id();
            let packet = mqtt::Publish { packet_id, topic, content_type, user_properties, payload };
            let octets = packet.octets();
            match self.maximum_packet_size {
                Some(limit) if u32::try_from(octets).is_ok_and(|octets| octets > limit) => {
                    self.outputs.push_back(Output::Done(*ticket, Fate::TooLarge { octets, limit }));
                    continue;
                }
                _ => {}
            }
            mqtt::publish(&mut self.to_send, &packet);
            self.sent_at = now;
            self.last_packet_id = packet_id;
            self.unacknowledged.insert(packet_id, *ticket);
        }
    }

    /// There is one: fewer than 65,535 are on their way.
    fn free_packet_id(&self) -> u16 {
        let mut id = self.last_packet_id;
        loop {
            id = id.checked_add(1).unwrap_or(1);
            if !self.unacknowledged.contains_key(&id) {
                return id;
            }
        }
    }

    fn end(&mut self, ending: Ending) {
        self.stage = Stage::Closed;
        self.outputs.push_back(Output::Closed(ending));
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send(octets) => write!(f, "Send({octets:02x?})"),
            Self::SendSecret(_) => f.write_str("SendSecret"),
            Self::Ready => f.write_str("Ready"),
            Self::Done(ticket, fate) => write!(f, "Done({ticket:?}, {fate:?})"),
            Self::Closed(ending) => write!(f, "Closed({ending:?})"),
        }
    }
}

impl fmt::Debug for MqttPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stage, unacknowledged, waiting, .. } = self;
        f.debug_struct("MqttPublisher")
            .field("stage", stage)
            .field("unacknowledged", &unacknowledged.len())
            .field("waiting", &waiting.len())
            .finish_non_exhaustive()
    }
}

/// A server that is gone is found out within this and the time that an answer may take.
const KEEP_ALIVE_SECONDS: u16 = 20;
/// Octets that the server may say at once; it says little to a publisher.
const LONGEST_PACKET: u32 = 64 * 1024;
