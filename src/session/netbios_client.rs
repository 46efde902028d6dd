//! The sender of `net send` over TCP 139: one message on one connection (RFC 1002 §4.3, MS-MSRP §3.2.4.4).
//!
//! The caller connects, feeds what comes in with `handle_input`, calls `handle_timeout` when `poll_timeout` has passed, and
//! does what `poll_output` says until that returns `None`. [`Course`] says whether an outcome asks for another connection,
//! and to where.

mod border;
mod course;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::SocketAddrV4;
use std::time::Instant;

pub use self::border::{Framing, Input, Outcome, Outgoing, Output, Stage, Timeouts};
pub use self::course::Course;
use crate::wire::messenger::{MessageGroupId, Request, Response, Text};
use crate::wire::session_service::{Endpoint, Packet, Received};
use crate::wire::smb::{Command, Header};

/// One message to one receiver, over one connection.
#[derive(Debug)]
pub struct NetbiosClient {
    message: Outgoing,
    framing: Framing,
    timeouts: Timeouts,
    state: State,
    received: Vec<u8>,
    outputs: VecDeque<Output>,
    deadline: Option<Instant>,
}

/// Which answer is awaited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// That to the session request.
    Opening,
    /// That to the whole message.
    Whole,
    /// That to the start of one in blocks.
    Starting,
    /// That to a block; so many bytes of the text were sent.
    Block { group: MessageGroupId, sent: usize },
    /// That to the end.
    Ending,
    /// None any more.
    Closed,
}

impl NetbiosClient {
    /// A message on a connection that is just open; what it says first is the session request.
    #[must_use]
    pub fn new(now: Instant, message: Outgoing, framing: Framing, timeouts: Timeouts) -> Self {
        let request = Packet::Request {
            called: Endpoint::new(message.called),
            calling: Endpoint::new(message.calling),
        };
        let mut client = Self {
            deadline: now.checked_add(timeouts.session),
            framing,
            timeouts,
            state: State::Opening,
            received: Vec::new(),
            outputs: VecDeque::new(),
            message,
        };
        client.send(&request);
        client
    }

    /// What to do next; call until `None` after every input and timeout.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Self::handle_timeout`]; changes with every input.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    /// Time has passed. Harmless when called early.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.close(Outcome::TimedOut(self.stage()));
        }
    }

    /// Something happened.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Bytes(bytes) => self.on_bytes(now, bytes),
            Input::Disconnected if self.state == State::Whole => self.close(Outcome::HungUpOnWhole),
            Input::Disconnected => self.close(Outcome::Lost(self.stage())),
        }
    }

    fn on_bytes(&mut self, now: Instant, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
        while self.state != State::Closed {
            let received = std::mem::take(&mut self.received);
            match Packet::parse(&received) {
                Ok(Received::Complete { packet, consumed }) => {
                    let rest = received.get(consumed..).unwrap_or_default().to_vec();
                    self.on_packet(now, &packet);
                    self.received = rest;
                }
                Ok(Received::Incomplete { missing })
                    if received.len().saturating_add(missing) <= MAX_ANSWER =>
                {
                    self.received = received;
                    return;
                }
                Ok(Received::Incomplete { .. }) | Err(_) => self.close(Outcome::NotAReceiver(self.stage())),
            }
        }
    }

    fn on_packet(&mut self, now: Instant, packet: &Packet<'_>) {
        match (packet, self.state) {
            (Packet::KeepAlive, _) => {}
            (Packet::Positive, State::Opening) => self.on_open(now),
            (Packet::Negative(code), State::Opening) => self.close(Outcome::SessionRefused(*code)),
            (Packet::Retarget { address, port }, State::Opening) => {
                self.close(Outcome::Retargeted(SocketAddrV4::new(*address, *port)));
            }
            (Packet::Message(smb), State::Whole | State::Starting | State::Block { .. } | State::Ending) => {
                self.on_answer(now, smb)
            }
            (
                Packet::Positive
                | Packet::Negative(_)
                | Packet::Retarget { .. }
                | Packet::Message(_)
                | Packet::Request { .. },
                _,
            ) => self.close(Outcome::NotAReceiver(self.stage())),
        }
    }

    fn on_open(&mut self, now: Instant) {
        let whole = self.framing == Framing::WholeWhereItFits && self.message.text.len() <= BLOCK;
        let Outgoing { from, to, text, .. } = self.message.clone();
        if whole {
            self.ask(now, State::Whole, &Request::Single(Text { from: &from, to: &to, text: &text }));
        } else {
            self.ask(now, State::Starting, &Request::Start { from: &from, to: &to });
        }
    }

    fn on_answer(&mut self, now: Instant, smb: &[u8]) {
        let Ok((header, response)) = Response::parse(smb) else {
            return self.close(Outcome::NotAReceiver(self.stage()));
        };
        if header.flags & Header::REPLY == 0 || Some(header.command) != self.state.command() {
            return self.close(Outcome::NotAReceiver(self.stage()));
        }
        match (response, self.state) {
            (Response::Refused(status), _) => self.close(Outcome::Refused(status)),
            (Response::Started { group }, State::Starting) => self.send_block(now, group, 0),
            (_, State::Block { group, sent }) => self.send_block(now, group, sent),
            (_, State::Whole | State::Ending) => self.close(Outcome::Confirmed),
            (_, State::Opening | State::Starting | State::Closed) => {
                self.close(Outcome::NotAReceiver(self.stage()));
            }
        }
    }

    /// Sends the block behind `sent` bytes of the text, or the end behind the last.
    fn send_block(&mut self, now: Instant, group: MessageGroupId, sent: usize) {
        let rest = self.message.text.get(sent..).unwrap_or_default();
        let block = rest.get(..BLOCK).unwrap_or(rest).to_vec();
        if block.is_empty() {
            self.ask(now, State::Ending, &Request::End { group });
        } else {
            let sent = sent.saturating_add(block.len());
            self.ask(now, State::Block { group, sent }, &Request::Block { group, text: &block });
        }
    }

    /// Sends a request, whose answer takes the message on.
    fn ask(&mut self, now: Instant, state: State, request: &Request<'_>) {
        let mut smb = Vec::new();
        // What is sent here is short: names of some bytes and a block.
        if request.emit(Header::new(request.command()), &mut smb).is_err() {
            return self.close(Outcome::NotAReceiver(self.stage()));
        }
        self.state = state;
        self.deadline = now.checked_add(self.timeouts.answer);
        self.send(&Packet::Message(&smb));
    }

    fn send(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        if packet.emit(&mut bytes).is_ok() {
            self.outputs.push_back(Output::Send(bytes));
        }
    }

    const fn stage(&self) -> Stage {
        match self.state {
            State::Opening => Stage::Opening,
            State::Starting | State::Block { .. } => Stage::Sending,
            State::Whole | State::Ending | State::Closed => Stage::Sent,
        }
    }

    fn close(&mut self, outcome: Outcome) {
        if self.state != State::Closed {
            self.state = State::Closed;
            self.deadline = None;
            self.outputs.push_back(Output::Closed(outcome));
        }
    }
}

impl State {
    /// The command whose answer is awaited.
    const fn command(self) -> Option<Command> {
        match self {
            Self::Opening | Self::Closed => None,
            Self::Whole => Some(Command::SEND_MESSAGE),
            Self::Starting => Some(Command::START_MB),
            Self::Block { .. } => Some(Command::TEXT_MB),
            Self::Ending => Some(Command::END_MB),
        }
    }
}

/// Bytes of text in one block, and of a message that goes whole (MS-MSRP §3.2.4.4).
const BLOCK: usize = 128;

/// Answers are far shorter.
const MAX_ANSWER: usize = 4 << 10;
