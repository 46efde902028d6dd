//! The messages of `net send` in the TCP connections of a capture.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::Packet;
use crate::message::session_message::SessionMessage;
use crate::policy::called_name::CalledNames;
use crate::session::netbios_session::{Decision, Input, NetbiosSession, Output, Profile, Timeouts};
use crate::wire::session_service::{self, Received};

/// Follows what clients say on TCP 139, each connection with the machine of the gateway's own receiver.
#[derive(Debug, Default)]
pub struct Sessions {
    open: HashMap<(SocketAddr, SocketAddr), Conversation>,
}

#[derive(Debug)]
struct Conversation {
    session: NetbiosSession,
    /// The sequence number of the octet that comes next.
    next: u32,
    /// Segments that came before others, by their sequence numbers.
    early: BTreeMap<u32, Vec<u8>>,
}

impl Sessions {
    /// No connection yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The messages that a segment to TCP 139 completes; their receiver is supposed to have taken them. A connection is
    /// followed from its session request on, and no further than to a segment that the capture lacks.
    pub fn take(&mut self, packet: &Packet, now: Instant) -> Vec<SessionMessage> {
        let key = (packet.source, packet.destination);
        let Some(sequence) = packet.sequence.filter(|_| !packet.payload.is_empty()) else {
            return Vec::new();
        };
        // One that was sent again begins nothing anew.
        let is_known = self.open.get(&key).is_some_and(|open| is_behind(sequence, open.next));
        if !is_known && let Some(profile) = profile_of(&packet.payload) {
            self.make_room(now);
            if self.open.len() < MOST {
                let session = NetbiosSession::new(now, profile);
                self.open.insert(key, Conversation { session, next: sequence, early: BTreeMap::new() });
            }
        }
        let Some(conversation) = self.open.get_mut(&key) else { return Vec::new() };
        let mut messages = Vec::new();
        if conversation.take(sequence, &packet.payload, now, &mut messages) == Standing::Over {
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
    fn take(
        &mut self,
        sequence: u32,
        payload: &[u8],
        now: Instant,
        messages: &mut Vec<SessionMessage>,
    ) -> Standing {
        if sequence != self.next && !is_behind(sequence, self.next) {
            if self.early.len() >= MOST_EARLY {
                return Standing::Over;
            }
            self.early.insert(sequence, payload.to_vec());
            return Standing::GoesOn;
        }
        // What was sent again is known already; the distance of numbers that wrap around is one that wraps around.
        let known = usize::try_from(self.next.wrapping_sub(sequence)).unwrap_or(usize::MAX);
        let mut standing = self.hear(payload.get(known..).unwrap_or_default(), now, messages);
        while standing == Standing::GoesOn
            && let Some(early) = self.early.remove(&self.next)
        {
            standing = self.hear(&early, now, messages);
        }
        standing
    }

    fn hear(&mut self, octets: &[u8], now: Instant, messages: &mut Vec<SessionMessage>) -> Standing {
        self.next = self.next.wrapping_add(u32::try_from(octets.len()).unwrap_or_default());
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

/// Whether octets from `sequence` on came before, where `next` comes next; both count round and round.
const fn is_behind(sequence: u32, next: u32) -> bool {
    let distance = next.wrapping_sub(sequence);
    distance > 0 && distance <= MOST_AGAIN
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

/// Segments of one connection that wait for others.
const MOST_EARLY: usize = 64;

/// Octets that may come again: more than any window of such senders.
const MOST_AGAIN: u32 = 1 << 20;

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::Transport;
    use super::*;
    use crate::wire::messenger::{Request, Text};
    use crate::wire::netbios_name::{NameType, NetbiosName};
    use crate::wire::session_service::Endpoint;
    use crate::wire::smb::{Command, Header};

    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
    fn start() -> Instant {
        Instant::now()
    }

    /// What a sender sends that calls OTHERS and says "on battery".
    fn octets() -> Vec<u8> {
        let endpoint = |text: &[u8]| Endpoint::new(NetbiosName::new(text, NameType::MESSENGER).unwrap());
        let mut octets = Vec::new();
        let request =
            session_service::Packet::Request { called: endpoint(b"OTHERS"), calling: endpoint(b"UPS1") };
        request.emit(&mut octets).unwrap();
        let mut smb = Vec::new();
        let single = Request::Single(Text { from: b"UPS1", to: b"OTHERS", text: b"on battery" });
        single.emit(Header::new(Command::SEND_MESSAGE), &mut smb).unwrap();
        session_service::Packet::Message(&smb).emit(&mut octets).unwrap();
        octets
    }

    fn segment(sequence: u32, payload: &[u8]) -> Packet {
        Packet {
            frame: 1,
            at: Timestamp::UNIX_EPOCH,
            transport: Transport::Tcp,
            source: "192.0.2.7:1027".parse().unwrap(),
            destination: "192.0.2.1:139".parse().unwrap(),
            sequence: Some(sequence),
            payload: payload.to_vec(),
        }
    }

    #[track_caller]
    fn expect_one(segments: &[(u32, &[u8])]) {
        let (mut sessions, now) = (Sessions::new(), start());
        let take = |(sequence, payload): &(u32, &[u8])| sessions.take(&segment(*sequence, payload), now);
        let messages: Vec<_> = segments.iter().flat_map(take).collect();
        let [message] = messages.as_slice() else { panic!("{messages:?}") };
        assert_eq!(message.fields().text, b"on battery");
    }

    #[test]
    fn segments_early_sent_twice_and_across_the_end_of_the_numbers_are_one_message() {
        let octets = octets();
        let (one, rest) = octets.split_at(80);
        let (two, three) = rest.split_at(20);
        let first = u32::MAX - 90;
        let [second, third] = [first.wrapping_add(80), first.wrapping_add(100)];
        let [one, two, three] = [(first, one), (second, two), (third, three)];
        expect_one(&[one, two, three]);
        expect_one(&[one, one, two, one, two, three, three]);
        expect_one(&[one, three, two]);
        expect_one(&[one, (first, &octets[..90]), (second, rest)]);
    }

    #[test]
    fn a_second_connection_from_the_same_port_begins_anew() {
        let (mut sessions, now, octets) = (Sessions::new(), start(), octets());
        for sequence in [1000, 5_000_000, 6] {
            assert_eq!(sessions.take(&segment(sequence, &octets), now).len(), 1);
        }
    }

    #[test]
    fn what_follows_a_segment_that_is_missing_is_left_out() {
        let (mut sessions, now, octets) = (Sessions::new(), start(), octets());
        assert!(sessions.take(&segment(1, &octets[..80]), now).is_empty());
        for number in 0..100 {
            assert!(sessions.take(&segment(200 + number, b"x"), now).is_empty());
        }
        assert!(sessions.open.is_empty());
    }
}
