//! The messages of `net send` in the TCP connections of a capture.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::cli::capture::Packet;
use crate::message::session_message::SessionMessage;
use crate::policy::called_name::CalledNames;
use crate::session::netbios_session::{Decision, Input, NetbiosSession, Output, Profile, Timeouts};
use crate::wire::session_service::{self, Received};

/// Follows what clients say on TCP 139, each connection with the machine of the gateway's own receiver.
#[derive(Default)]
pub(super) struct Sessions {
    open: HashMap<(SocketAddr, SocketAddr), Conversation>,
}

struct Conversation {
    session: NetbiosSession,
    /// The sequence number of the octet that comes next.
    next: u32,
}

impl Sessions {
    /// The messages that a segment to TCP 139 completes. A connection is followed from its session request on, and no
    /// further than to the first segment that the capture lacks.
    pub(super) fn take(&mut self, packet: &Packet, now: Instant) -> Vec<SessionMessage> {
        let key = (packet.source, packet.destination);
        let Some(sequence) = packet.sequence.filter(|_| !packet.payload.is_empty()) else {
            return Vec::new();
        };
        if let Some(profile) = profile_of(&packet.payload) {
            self.make_room(now);
            if self.open.len() < MOST {
                let session = NetbiosSession::new(now, profile);
                self.open.insert(key, Conversation { session, next: sequence });
            }
        }
        let Some(conversation) = self.open.get_mut(&key) else { return Vec::new() };
        // What was sent again is known already; the distance of numbers that wrap around is one that wraps around.
        let known = usize::try_from(conversation.next.wrapping_sub(sequence)).unwrap_or(usize::MAX);
        if known > MOST_AGAIN {
            self.open.remove(&key);
            return Vec::new();
        }
        let new = packet.payload.get(known..).unwrap_or_default();
        conversation.next = conversation.next.wrapping_add(u32::try_from(new.len()).unwrap_or_default());
        let mut messages = Vec::new();
        if conversation.hear(new, now, &mut messages) == Standing::Over {
            self.open.remove(&key);
        }
        messages
    }

    /// Connections whose end was not captured are forgotten when the gateway would have ended them.
    fn make_room(&mut self, now: Instant) {
        if self.open.len() >= MOST {
            self.open.retain(|_, open| open.session.poll_timeout().is_some_and(|end| end > now));
        }
    }
}

#[derive(PartialEq, Eq)]
enum Standing {
    GoesOn,
    Over,
}

impl Conversation {
    fn hear(&mut self, octets: &[u8], now: Instant, messages: &mut Vec<SessionMessage>) -> Standing {
        self.session.handle_timeout(now);
        self.session.handle_input(now, Input::Bytes(octets));
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Deliver(message) => {
                    messages.push(*message);
                    self.session.handle_input(now, Input::Decided(Decision::Durable));
                }
                Output::Closed(_) => return Standing::Over,
                Output::Send(_) | Output::Abandoned(_) => {}
            }
        }
        Standing::GoesOn
    }
}

/// A session that is opened to whatever name its request calls, if it begins with one.
fn profile_of(payload: &[u8]) -> Option<Profile> {
    let Ok(Received::Complete { packet: session_service::Packet::Request { called, .. }, .. }) =
        session_service::Packet::parse(payload)
    else {
        return None;
    };
    let names = CalledNames::new(called.name.text(), [], called.scope.clone());
    Some(Profile { names: Arc::new(names), timeouts: Timeouts::default() })
}

/// Connections that are followed at once.
const MOST: usize = 1024;

/// Octets that may come again: more than any window of such senders.
const MOST_AGAIN: usize = 1 << 20;
