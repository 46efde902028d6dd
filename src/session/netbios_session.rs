//! The receiver of `net send` over TCP 139: one NetBIOS session with one client (RFC 1002 §4.3, MS-MSRP §3.2).
//!
//! The caller owns the connection. It feeds what comes in with `handle_input`, calls `handle_timeout` when `poll_timeout`
//! has passed, and does what `poll_output` says until that returns `None`, each time before the next input. It reads no
//! more than `poll_read` says: while a message is decided about, nothing, so that what the client sends meanwhile stays
//! in the kernel.
//!
//! A client asks for a session with a called name; without any further negotiation it then sends whole messages (D0), or
//! messages in blocks (D5, D7 …, D6), one after the other. The answer to D0 and D6 is sent when the message is durable,
//! and not before: a sender that reads "success" may forget what it sent.
//!
//! Where the specification leaves a choice:
//!
//! * MessageGroupId is the number of the NetBIOS session (MS-MSRP §2.2.3.2.2), of which a connection has one. So it says
//!   nothing that the connection does not say, and blocks with any other are taken, as Samba does: some senders always
//!   write 0. The answer to D5 carries 1.
//! * A second D5, or a D0, gives up the message that was begun before it.
//! * NEGOTIATE is answered with "none of these dialects". A client of file servers gives up then; one that negotiates
//!   before it sends a message, because Samba would have it so for D0, goes on. Every other SMB ends the session.

mod border;
mod requests;

use std::collections::VecDeque;
use std::time::Instant;

pub use self::border::{Abandoned, Decision, Ending, Input, Output, Profile, Timeouts};
use crate::message::session_message::SessionMessage;
use crate::policy::called_name::CalledNameVerdict;
use crate::wire::netbios_name::NetbiosName;
use crate::wire::reader::WireError;
use crate::wire::session_service::{Endpoint, Packet, Received, RefusalCode};
use crate::wire::smb::Header;

/// One session with one client.
#[derive(Debug)]
pub struct NetbiosSession {
    profile: Profile,
    state: State,
    /// Octets of a packet that is not whole, or that waits for a decision.
    received: Vec<u8>,
    /// How many more octets the packet needs.
    missing: usize,
    outputs: VecDeque<Output>,
    deadline: Option<Instant>,
    /// The gateway stops: the session ends when no message is under way.
    stopping: bool,
}

/// Where the session stands; what exists in one state only lives in it.
#[derive(Debug)]
enum State {
    /// The session request is awaited.
    Connected,
    /// The session is open; no message is under way.
    Idle(Names),
    /// Blocks of a message are awaited.
    Message(Names, Box<SessionMessage>),
    /// A message is whole and being decided about; the header is that of the request to be answered.
    Deciding(Names, Header),
    /// The session is over.
    Closed,
}

/// Those of the session request.
#[derive(Debug, Clone, Copy)]
struct Names {
    called: NetbiosName,
    calling: NetbiosName,
}

impl NetbiosSession {
    /// The longest text that is taken, in bytes of the sender's code page. MS-MSRP knows no limit for messages in blocks;
    /// no known sender comes near.
    pub const MAX_TEXT: usize = 64 << 10;

    /// A session on a connection that is just open.
    #[must_use]
    pub fn new(now: Instant, profile: Profile) -> Self {
        Self {
            deadline: now.checked_add(profile.timeouts.request),
            profile,
            state: State::Connected,
            received: Vec::new(),
            missing: 1,
            outputs: VecDeque::new(),
            stopping: false,
        }
    }

    /// What to do next; call until `None` after every input and timeout.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        if output.is_none() {
            // A session that waits keeps no memory for what it has said.
            self.outputs = VecDeque::new();
        }
        output
    }

    /// How many octets may be read from the client now; `None`: none.
    #[must_use]
    pub fn poll_read(&self) -> Option<usize> {
        match self.state {
            State::Connected | State::Idle(_) | State::Message(..) => {
                Some(self.missing.clamp(READ, MAX_READ))
            }
            State::Deciding(..) | State::Closed => None,
        }
    }

    /// When to call [`Self::handle_timeout`]; changes with every input. `None` while a message is decided about.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    /// Time has passed. Harmless when called early.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.close(Ending::TimedOut);
        }
    }

    /// Something happened. What the session's state does not ask for is ignored.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Bytes(bytes) => self.on_bytes(now, bytes),
            Input::Decided(decision) => {
                self.on_decided(now, decision);
                self.resume(now);
            }
            Input::Disconnected => self.close(Ending::Disconnected),
            Input::Shutdown => {
                self.stopping = true;
                self.end_if_stopping();
            }
        }
    }

    fn on_bytes(&mut self, now: Instant, bytes: &[u8]) {
        if !self.received.is_empty() {
            self.received.extend_from_slice(bytes);
            return self.resume(now);
        }
        let taken = self.run(now, bytes);
        let rest = bytes.get(taken..).unwrap_or_default();
        self.keep(rest.to_vec());
    }

    /// Goes on with what was read already.
    fn resume(&mut self, now: Instant) {
        let mut received = std::mem::take(&mut self.received);
        let taken = self.run(now, &received);
        received.drain(..taken.min(received.len()));
        self.keep(received);
    }

    fn keep(&mut self, rest: Vec<u8>) {
        if rest.is_empty() || matches!(self.state, State::Closed) {
            return;
        }
        // More comes only from a caller that reads without asking.
        if rest.len() > MAX_KEPT {
            return self.close(Ending::OutOfStep);
        }
        self.received = rest;
    }

    /// Takes packets from the front of `bytes` until none is whole or the session must wait. How many octets they had.
    fn run(&mut self, now: Instant, bytes: &[u8]) -> usize {
        let mut taken: usize = 0;
        while self.poll_read().is_some() {
            let rest = bytes.get(taken..).unwrap_or_default();
            match Packet::parse(rest) {
                Ok(Received::Complete { packet, consumed }) => {
                    taken = taken.saturating_add(consumed);
                    self.on_packet(now, packet);
                }
                Ok(Received::Incomplete { missing }) => {
                    self.missing = missing;
                    self.on_part(now, rest);
                    break;
                }
                Err(error) => {
                    self.on_malformed_packet(rest, error);
                    break;
                }
            }
        }
        taken
    }

    /// A packet has begun and is not whole: it is not waited for longer than for a message, nor for more than one needs.
    fn on_part(&mut self, now: Instant, part: &[u8]) {
        if part.is_empty() {
            return;
        }
        let longest = if matches!(self.state, State::Connected) { MAX_REQUEST } else { MAX_PACKET };
        if part.len().saturating_add(self.missing) > longest {
            self.close(Ending::Malformed);
        } else if matches!(self.state, State::Idle(_)) {
            let end = now.checked_add(self.profile.timeouts.message);
            self.deadline = self.deadline.into_iter().chain(end).min();
        }
    }

    fn on_packet(&mut self, now: Instant, packet: Packet<'_>) {
        match (packet, &self.state) {
            (Packet::KeepAlive, _) => {}
            (Packet::Request { called, calling }, State::Connected) => {
                self.on_request(now, &called, &calling)
            }
            (Packet::Message(smb), State::Idle(names) | State::Message(names, _)) => {
                self.on_smb(now, *names, smb);
            }
            (Packet::Message(_), State::Connected) => {
                self.send(&Packet::Negative(RefusalCode::UNSPECIFIED));
                self.close(Ending::OutOfStep);
            }
            (
                Packet::Message(_)
                | Packet::Request { .. }
                | Packet::Positive
                | Packet::Negative(_)
                | Packet::Retarget { .. },
                _,
            ) => self.close(Ending::OutOfStep),
        }
    }

    fn on_request(&mut self, now: Instant, called: &Endpoint, calling: &Endpoint) {
        let verdict = self.profile.names.decide(called);
        if let Some(code) = verdict.refusal() {
            self.send(&Packet::Negative(code));
        }
        match verdict {
            CalledNameVerdict::Messenger => {
                self.send(&Packet::Positive);
                self.state = State::Idle(Names { called: called.name, calling: calling.name });
                self.deadline = now.checked_add(self.profile.timeouts.idle);
                self.end_if_stopping();
            }
            CalledNameVerdict::NotListening => self.close(Ending::NotListening),
            CalledNameVerdict::NotPresent => self.close(Ending::NameNotPresent),
        }
    }

    /// A session request whose name nobody can have is answered; whatever else cannot be followed is not.
    fn on_malformed_packet(&mut self, packet: &[u8], error: WireError) {
        match (&self.state, packet.first(), error.field()) {
            (State::Connected, Some(&TYPE_REQUEST), "CALLED_NAME" | "CALLING_NAME") => {
                self.send(&Packet::Negative(RefusalCode::CALLED_NAME_NOT_PRESENT));
                self.close(Ending::NameNotPresent);
            }
            (State::Connected, ..) => self.close(Ending::NotNetbios),
            _ => self.close(Ending::Malformed),
        }
    }

    fn send(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        // Whatever is sent here is shorter than a packet may be.
        if packet.emit(&mut bytes).is_ok() {
            self.outputs.push_back(Output::Send(bytes));
        }
    }

    fn end_if_stopping(&mut self) {
        if self.stopping && matches!(self.state, State::Connected | State::Idle(_)) {
            self.close(Ending::Shutdown);
        }
    }

    fn close(&mut self, ending: Ending) {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Closed => return,
            State::Message(..) => self.outputs.push_back(Output::Abandoned(Abandoned::Incomplete)),
            State::Connected | State::Idle(_) | State::Deciding(..) => {}
        }
        self.received = Vec::new();
        self.deadline = None;
        self.outputs.push_back(Output::Closed(ending));
    }
}

/// Octets that may be read at once, while no packet needs more: as many as small requests back to back have.
const READ: usize = 4 << 10;
const MAX_READ: usize = 16 << 10;
/// A session request with the longest names.
const MAX_REQUEST: usize = 4 + 2 * 255;
/// A session message that brings all of a text with its names, and 1 KiB for what surrounds them.
const MAX_PACKET: usize = NetbiosSession::MAX_TEXT + (1 << 10);
/// A packet that is not whole, and one read.
const MAX_KEPT: usize = MAX_PACKET + MAX_READ;
/// SESSION REQUEST.
const TYPE_REQUEST: u8 = 0x81;
