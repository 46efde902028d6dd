//! The requests of an open session: messages whole and in blocks, and what is no message.

use std::time::Instant;

use super::border::{Abandoned, Decision, Ending, Output};
use super::{Names, NetbiosSession, State};
use crate::message::session_message::SessionMessage;
use crate::wire::messenger::{MessageGroupId, Request, Response, Text};
use crate::wire::negotiate;
use crate::wire::reader::Reader;
use crate::wire::session_service::Packet;
use crate::wire::smb::{Command, Header, Status};

impl NetbiosSession {
    pub(super) fn on_smb(&mut self, now: Instant, names: Names, smb: &[u8]) {
        match Request::parse(smb) {
            Ok((header, Request::Single(text))) => self.on_single(names, header, text),
            Ok((header, Request::Start { from, to })) => self.on_start(now, names, header, from, to),
            Ok((header, Request::Block { text, .. })) => self.on_block(now, header, text),
            Ok((header, Request::End { .. })) => self.on_end(header),
            Ok((header, Request::Obsolete(_))) => self.refuse(header, Status::UNKNOWN_SMB),
            Err(_) => self.on_no_request(now, smb),
        }
    }

    pub(super) fn on_decided(&mut self, now: Instant, decision: Decision) {
        let State::Deciding(names, header) = self.state else { return };
        self.be_idle(now, names);
        match decision {
            Decision::Durable | Decision::Duplicate => self.respond(header, Response::Done),
            Decision::Refused => self.refuse(header, Status::REQUEST_NOT_ACCEPTED),
        }
        self.end_if_stopping();
    }

    fn on_single(&mut self, names: Names, header: Header, text: Text<'_>) {
        self.restart();
        if let Some(mut message) = self.begin(names, header, text.from, text.to) {
            message.push(text.text);
            self.decide(names, header, message);
        }
    }

    fn on_start(&mut self, now: Instant, names: Names, header: Header, from: &[u8], to: &[u8]) {
        self.restart();
        if let Some(message) = self.begin(names, header, from, to) {
            self.state = State::Message(names, Box::new(message));
            self.deadline = now.checked_add(self.profile.timeouts.message);
            self.respond(header, Response::Started { group: GROUP });
        }
    }

    fn on_block(&mut self, now: Instant, header: Header, block: &[u8]) {
        let State::Message(names, message) = &mut self.state else {
            return self.refuse(header, Status::INVALID_PARAMETER);
        };
        if message.fields().text.len().saturating_add(block.len()) <= Self::MAX_TEXT {
            message.push(block);
            self.respond(header, Response::Done);
        } else {
            let names = *names;
            self.be_idle(now, names);
            self.outputs.push_back(Output::Abandoned(Abandoned::TooLong));
            self.refuse(header, Status::REQUEST_NOT_ACCEPTED);
            self.end_if_stopping();
        }
    }

    fn on_end(&mut self, header: Header) {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Message(names, message) => self.decide(names, header, *message),
            state @ (State::Connected | State::Idle(_) | State::Deciding(..) | State::Closed) => {
                self.state = state;
                self.refuse(header, Status::INVALID_PARAMETER);
            }
        }
    }

    /// Something other than a messenger's request, or one that is broken: the last of a session, but for NEGOTIATE.
    fn on_no_request(&mut self, now: Instant, smb: &[u8]) {
        let header = match Header::parse(&mut Reader::new(smb)) {
            Ok(header) => header,
            Err(error) if error.field() == "SMB2 ProtocolId" => return self.close(Ending::FileServer),
            Err(_) => return self.close(Ending::Malformed),
        };
        match header.command {
            Command::NEGOTIATE => {
                let mut answer = Vec::new();
                negotiate::emit_no_dialect(header, &mut answer);
                self.send(&Packet::Message(&answer));
                let soon = now.checked_add(self.profile.timeouts.after_negotiate);
                self.deadline = self.deadline.into_iter().chain(soon).min();
            }
            Command(0xD0..=0xD7) => {
                self.refuse(header, Status::INVALID_PARAMETER);
                self.close(Ending::Malformed);
            }
            Command(_) => {
                self.refuse(header, Status::UNKNOWN_SMB);
                self.close(Ending::FileServer);
            }
        }
    }

    /// The message that was begun, if any, is given up for another.
    fn restart(&mut self) {
        if let State::Message(names, _) = self.state {
            self.state = State::Idle(names);
            self.outputs.push_back(Output::Abandoned(Abandoned::Restarted));
        }
    }

    fn begin(&mut self, names: Names, header: Header, from: &[u8], to: &[u8]) -> Option<SessionMessage> {
        if from.len().max(to.len()) > MAX_NAME {
            self.refuse(header, Status::INVALID_PARAMETER);
            self.close(Ending::Malformed);
            return None;
        }
        Some(SessionMessage::new(names.called, names.calling, from, to))
    }

    fn decide(&mut self, names: Names, header: Header, message: SessionMessage) {
        self.state = State::Deciding(names, header);
        self.deadline = None;
        self.outputs.push_back(Output::Deliver(Box::new(message)));
    }

    fn be_idle(&mut self, now: Instant, names: Names) {
        self.state = State::Idle(names);
        self.deadline = now.checked_add(self.profile.timeouts.idle);
    }

    fn refuse(&mut self, request: Header, status: Status) {
        self.respond(request, Response::Refused(status));
    }

    fn respond(&mut self, request: Header, response: Response) {
        let mut smb = Vec::new();
        response.emit(request, &mut smb);
        self.send(&Packet::Message(&smb));
    }
}

/// What every message of a session goes by, since a session is one group.
const GROUP: MessageGroupId = MessageGroupId(1);

/// Bytes of From and of To; names of users and computers have at most 20.
const MAX_NAME: usize = 256;
