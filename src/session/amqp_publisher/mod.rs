//! An AMQP 0-9-1 publisher: one connection, one channel, and an acknowledgement for each message.
//!
//! Login, virtual host, channel, a look whether the exchange is there, publisher confirms; then [`Input::Publish`] as
//! often as the caller likes without waiting, and a [`Output::Confirmed`] for each. What ends the channel ends the
//! connection: the broker may have taken some of what it had not confirmed.
//!
//! The caller owns the socket: it feeds what comes in with `handle_input`, calls `handle_timeout` when `poll_timeout` has
//! passed, and does what `poll_output` says until that returns `None`. How long a confirm may take is the caller's.
//!
//! Why it is our own: two crates were tried against RabbitMQ 3.10, with many messages in flight and with faults.
//! * `lapin` 4.12.3 takes what comes back (`basic.return`) for that of the next acknowledgement that it handles, but a
//!   broker acknowledges several at once: of 5000 messages that no queue wanted, among as many that one did, 350 were told
//!   as delivered. Where several tasks publish on a channel, it may number them otherwise than it sends them, and a
//!   refused one is told as taken.
//! * `amqprs` 2.1.5 does not say that it knows `authentication_failure_close` and `connection.blocked`, so neither a wrong
//!   password nor a broker without room has a reason; it takes no socket of ours, and one to a frozen broker stays after
//!   its connection is dropped. An unknown method is a panic.
//! * Both, and lapin's codec `amq-protocol` 10.6, follow tables as deep as they go: 25 kB of greeting, before any login,
//!   end the whole process by stack overflow.

mod ending;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;
use zeroize::Zeroizing;

use crate::wire::amqp::{
    self, Close, Credentials, Extent, Frame, HEARTBEAT, LEAST_FRAME_MAX, Method, PROTOCOL_HEADER, Payload,
    Properties, ShortString, Unroutable,
};
use crate::wire::reader::WireError;
pub use ending::{Ending, Stage};

/// What is known before the connection is.
pub struct Profile {
    /// How we prove who we are.
    pub identity: Identity,
    /// Where the exchange is.
    pub virtual_host: ShortString,
    /// Where messages go; empty is the default exchange, whose routing keys are names of queues.
    pub exchange: ShortString,
    /// What becomes of a message that no queue wants.
    pub unroutable: Unroutable,
    /// As the broker's administrator sees this connection.
    pub connection_name: ShortString,
    /// How long all of the opening may take.
    pub patience: Duration,
}

/// How we prove who we are.
#[derive(Clone)]
pub enum Identity {
    /// By a password.
    Password {
        /// The user.
        user: String,
        /// What proves it.
        password: Zeroizing<String>,
    },
    /// By the certificate that TLS shows.
    Certificate,
}

/// What happens to the connection.
#[derive(Debug)]
pub enum Input<'a> {
    /// Octets from the broker.
    Bytes(&'a [u8]),
    /// The connection was closed or broke.
    Disconnected,
    /// After [`Output::Ready`]: send this.
    Publish(Publication),
    /// Take leave.
    Close,
}

/// A message for the exchange.
#[derive(Debug, Clone)]
pub struct Publication {
    /// What its confirm is known by.
    pub ticket: Ticket,
    /// Which queues want it.
    pub routing_key: ShortString,
    /// What stands beside it; its `message_id` tells it from others on the way.
    pub properties: Properties,
    /// Itself.
    pub body: Bytes,
}

/// The caller's own number of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What the caller must do.
#[derive(PartialEq, Eq)]
pub enum Output {
    /// Write this.
    Send(Vec<u8>),
    /// Write this and forget it: a password is in it.
    SendSecret(Zeroizing<Vec<u8>>),
    /// Messages may be published.
    Ready,
    /// The broker has done with a message.
    Confirmed(Ticket, Confirmation),
    /// Close the connection. What was not confirmed may or may not have been taken.
    Closed(Ending),
}

/// What the broker did with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Confirmation {
    /// Took responsibility for it: it is in every queue that wants it, on disk where message and queue are durable.
    Acked,
    /// Could not take it (`basic.nack`).
    Nacked,
    /// Found no queue for it and gave it back.
    Returned {
        /// 312 `NO_ROUTE`
        code: u16,
        /// "NO_ROUTE"
        text: String,
    },
}

/// The machine.
pub struct AmqpPublisher {
    profile: Profile,
    stage: Stage,
    received: Vec<u8>,
    to_send: Vec<u8>,
    outputs: VecDeque<Output>,
    frame_max: u32,
    /// Zero: none was agreed.
    heartbeat: Duration,
    sent_at: Instant,
    heard_at: Instant,
    /// When the opening must be over.
    opened_by: Option<Instant>,
    /// The number that the next message has on the channel.
    next_tag: u64,
    unconfirmed: BTreeMap<u64, Unconfirmed>,
    returning: Option<Returning>,
    blocked: Option<String>,
}

#[derive(Debug)]
struct Unconfirmed {
    ticket: Ticket,
    message_id: String,
    returned: Option<(u16, String)>,
}

/// A message that is coming back.
#[derive(Debug)]
struct Returning {
    code: u16,
    text: String,
    /// Octets of it that are still to come; unknown before its header.
    left: Option<u64>,
}

impl AmqpPublisher {
    /// A connection that has just come about.
    #[must_use]
    pub fn new(now: Instant, profile: Profile) -> Self {
        let opened_by = now.checked_add(profile.patience);
        Self {
            profile,
            stage: Stage::Greeting,
            received: Vec::new(),
            to_send: PROTOCOL_HEADER.to_vec(),
            outputs: VecDeque::new(),
            frame_max: LEAST_FRAME_MAX,
            heartbeat: Duration::ZERO,
            sent_at: now,
            heard_at: now,
            opened_by,
            next_tag: 1,
            unconfirmed: BTreeMap::new(),
            returning: None,
            blocked: None,
        }
    }

    /// Tells the machine what happened.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        match input {
            _ if self.stage == Stage::Closed => {}
            Input::Bytes(octets) => {
                self.heard_at = now;
                self.received.extend_from_slice(octets);
                self.take_frames(now);
            }
            Input::Disconnected => self.end(Ending::Lost(self.stage)),
            Input::Publish(publication) => self.publish(now, publication),
            Input::Close => {
                amqp::connection_close(&mut self.to_send);
                self.end(Ending::Quit);
            }
        }
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        let passed = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if self.stage == Stage::Closed {
        } else if passed(self.opened_by) || passed(self.dead_at()) {
            self.end(Ending::TimedOut(self.stage));
        } else if passed(self.heartbeat_at()) {
            self.to_send.extend_from_slice(&HEARTBEAT);
            self.sent_at = now;
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
        [self.opened_by, self.dead_at(), self.heartbeat_at()].into_iter().flatten().min()
    }

    /// Why the broker takes nothing for now, where it has said so.
    #[must_use]
    pub fn blocked(&self) -> Option<&str> {
        self.blocked.as_deref()
    }

    fn heartbeat_at(&self) -> Option<Instant> {
        self.heartbeat_after(self.sent_at, 1)
    }

    /// Two heartbeats were missed (§4.2.7).
    fn dead_at(&self) -> Option<Instant> {
        self.heartbeat_after(self.heard_at, 4)
    }

    fn heartbeat_after(&self, since: Instant, halves: u32) -> Option<Instant> {
        let wait = self.heartbeat.checked_div(2)?.saturating_mul(halves);
        if wait.is_zero() { None } else { since.checked_add(wait) }
    }

    fn publish(&mut self, now: Instant, publication: Publication) {
        if self.stage != Stage::Open {
            return;
        }
        let Publication { ticket, routing_key, properties, body } = publication;
        let Profile { exchange, unroutable, .. } = &self.profile;
        let route = (exchange, &routing_key, *unroutable);
        amqp::publish(&mut self.to_send, CHANNEL, self.frame_max, route, &properties, &body);
        self.sent_at = now;
        let message_id = properties.message_id.as_str().to_owned();
        self.unconfirmed.insert(self.next_tag, Unconfirmed { ticket, message_id, returned: None });
        self.next_tag = self.next_tag.saturating_add(1);
    }

    fn take_frames(&mut self, now: Instant) {
        let received = std::mem::take(&mut self.received);
        let mut rest = received.as_slice();
        while self.stage != Stage::Closed {
            match Frame::parse(rest, self.frame_max) {
                Ok(Some((length, frame))) => {
                    if let Err(error) = self.take(now, frame) {
                        self.end(Ending::NotAmqp(self.stage, error));
                    }
                    rest = rest.get(length..).unwrap_or_default();
                }
                Ok(None) => break,
                Err(error) => self.end(Ending::NotAmqp(self.stage, error)),
            }
        }
        self.received = rest.to_vec();
    }

    fn take(&mut self, now: Instant, frame: Frame<'_>) -> Result<(), WireError> {
        match frame.payload {
            Payload::Method(payload) => self.take_method(now, Method::parse(payload)?),
            Payload::Header(payload) => {
                if let Some(Returning { left: left @ None, .. }) = &mut self.returning {
                    let (message_id, size) = amqp::message_id(payload)?;
                    *left = Some(size);
                    self.note_returned(message_id.as_deref());
                }
            }
            Payload::Body(part) => {
                let size = u64::try_from(part.len()).unwrap_or(u64::MAX);
                if let Some(Returning { left: Some(left), .. }) = &mut self.returning {
                    *left = left.saturating_sub(size);
                    if *left == 0 {
                        self.returning = None;
                    }
                }
            }
            Payload::Heartbeat => {}
        }
        Ok(())
    }

    /// The broker gives a message back before it acknowledges it.
    fn note_returned(&mut self, message_id: Option<&str>) {
        let Some(Returning { code, text, left }) = &mut self.returning else { return };
        let returned = self
            .unconfirmed
            .values_mut()
            .find(|other| other.returned.is_none() && Some(other.message_id.as_str()) == message_id);
        if let Some(returned) = returned {
            returned.returned = Some((*code, std::mem::take(text)));
        }
        if *left == Some(0) {
            self.returning = None;
        }
    }

    fn take_method(&mut self, now: Instant, method: Method) {
        match (self.stage, method) {
            (_, Method::ConnectionClose(close)) => {
                amqp::connection_close_ok(&mut self.to_send);
                self.end(Ending::ConnectionClosed(self.stage, close));
            }
            (_, Method::ChannelClose(close)) => self.channel_closed(close),
            (Stage::Greeting, Method::Start { mechanisms }) => self.log_in(&mechanisms),
            (Stage::Login, Method::Tune { frame_max, heartbeat }) => self.tune(now, frame_max, heartbeat),
            (Stage::VirtualHost, Method::OpenOk) => {
                amqp::channel_open(&mut self.to_send, CHANNEL);
                self.stage = Stage::Channel;
            }
            // The default exchange is always there, and may not be declared.
            (Stage::Channel, Method::ChannelOpenOk) if self.profile.exchange.as_str().is_empty() => {
                self.select();
            }
            (Stage::Channel, Method::ChannelOpenOk) => {
                amqp::declare_passive(&mut self.to_send, CHANNEL, &self.profile.exchange);
                self.stage = Stage::Exchange;
            }
            (Stage::Exchange, Method::DeclareOk) => self.select(),
            (Stage::Confirms, Method::SelectOk) => {
                self.stage = Stage::Open;
                self.opened_by = None;
                self.outputs.push_back(Output::Ready);
            }
            (_, Method::Blocked { reason }) => self.blocked = Some(reason),
            (_, Method::Unblocked) => self.blocked = None,
            (_, Method::Flow { active }) => amqp::flow_ok(&mut self.to_send, CHANNEL, active),
            (Stage::Open, Method::Return { code, text }) => {
                self.returning = Some(Returning { code, text, left: None });
            }
            (Stage::Open, Method::Ack { delivery_tag, multiple }) => {
                self.confirm(delivery_tag, multiple, &Confirmation::Acked);
            }
            (Stage::Open, Method::Nack { delivery_tag, multiple }) => {
                self.confirm(delivery_tag, multiple, &Confirmation::Nacked);
            }
            (stage, _) => self.end(Ending::OutOfTurn(stage)),
        }
    }

    fn log_in(&mut self, mechanisms: &str) {
        let credentials = match &self.profile.identity {
            Identity::Password { user, password } => Credentials::Plain { user, password },
            Identity::Certificate => Credentials::External,
        };
        if !mechanisms.split_ascii_whitespace().any(|offered| offered == credentials.mechanism()) {
            let wanted = credentials.mechanism();
            self.end(Ending::NoMechanism { wanted, offered: mechanisms.to_owned() });
            return;
        }
        let mut octets = Zeroizing::new(Vec::with_capacity(1024));
        amqp::start_ok(&mut octets, &credentials, &self.profile.connection_name);
        self.outputs.push_back(Output::SendSecret(octets));
        self.stage = Stage::Login;
    }

    fn tune(&mut self, now: Instant, frame_max: u32, heartbeat: u16) {
        let offered = if frame_max == 0 { MOST_FRAME_MAX } else { frame_max };
        self.frame_max = offered.clamp(LEAST_FRAME_MAX, MOST_FRAME_MAX);
        let seconds = if heartbeat == 0 { HEARTBEAT_SECONDS } else { heartbeat.min(HEARTBEAT_SECONDS) };
        self.heartbeat = Duration::from_secs(seconds.into());
        self.sent_at = now;
        amqp::tune_ok(&mut self.to_send, self.frame_max, seconds);
        amqp::connection_open(&mut self.to_send, &self.profile.virtual_host);
        self.stage = Stage::VirtualHost;
    }

    fn select(&mut self) {
        amqp::confirm_select(&mut self.to_send, CHANNEL);
        self.stage = Stage::Confirms;
    }

    fn channel_closed(&mut self, close: Close) {
        amqp::channel_close_ok(&mut self.to_send, CHANNEL);
        amqp::connection_close(&mut self.to_send);
        self.end(Ending::ChannelClosed(self.stage, close));
    }

    fn confirm(&mut self, delivery_tag: u64, multiple: Extent, confirmation: &Confirmation) {
        let confirmed = match multiple {
            Extent::One => {
                self.unconfirmed.remove(&delivery_tag).map(|one| (delivery_tag, one)).into_iter().collect()
            }
            Extent::UpTo => {
                let later = self.unconfirmed.split_off(&delivery_tag.saturating_add(1));
                std::mem::replace(&mut self.unconfirmed, later)
            }
        };
        for Unconfirmed { ticket, returned, .. } in confirmed.into_values() {
            let confirmation = match returned {
                Some((code, text)) => Confirmation::Returned { code, text },
                None => confirmation.clone(),
            };
            self.outputs.push_back(Output::Confirmed(ticket, confirmation));
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
            Self::Confirmed(ticket, confirmation) => write!(f, "Confirmed({ticket:?}, {confirmation:?})"),
            Self::Closed(ending) => write!(f, "Closed({ending:?})"),
        }
    }
}

impl fmt::Debug for AmqpPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stage, unconfirmed, blocked, .. } = self;
        f.debug_struct("AmqpPublisher")
            .field("stage", stage)
            .field("unconfirmed", &unconfirmed.len())
            .field("blocked", blocked)
            .finish_non_exhaustive()
    }
}

/// The only one; 0 is the connection itself.
const CHANNEL: u16 = 1;
/// What RabbitMQ proposes, and larger frames gain nothing.
const MOST_FRAME_MAX: u32 = 128 * 1024;
/// RabbitMQ proposes 60; a broker that is gone is found out in two of these.
const HEARTBEAT_SECONDS: u16 = 20;
