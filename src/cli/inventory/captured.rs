//! An inventory straight from captures: the same sightings as the gateway's, on the clock of the capture.

use std::fs::File;
use std::net::IpAddr;
use std::path::Path;

use jiff::Timestamp;

use crate::cli::capture::clock::Clock;
use crate::cli::capture::sessions::Sessions;
use crate::cli::capture::{Capture, CaptureError, Packet, Transport};
use crate::config::settings::Decoding;
use crate::decode::{decode, decode_session};
use crate::inventory::{Gathering, Snapshot};
use crate::message::host::{HostSighting, NameQuerySeen};
use crate::message::notice::Listener;
use crate::session::name_questions::NameQuestions;
use crate::session::reassembly::{Reassembly, Verdict};
use crate::wire::datagram::{Datagram, Direct};
use crate::wire::name_service::{self, Flags, Kind, Question, RecordData, RecordType};
use crate::wire::netbios_name::NameType;

/// Why a capture could not be read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Open(#[from] std::io::Error),
    #[error(transparent)]
    Capture(#[from] CaptureError),
}

/// What captures tell, one after another.
pub(super) struct Captured {
    gathering: Gathering,
    decoding: Decoding,
    reassembly: Reassembly,
    sessions: Sessions,
    questions: NameQuestions,
    clock: Clock,
    last: Timestamp,
}

impl Captured {
    pub(super) fn new(decoding: Decoding) -> Self {
        Self {
            gathering: Gathering::new(),
            decoding,
            reassembly: Reassembly::new(),
            sessions: Sessions::default(),
            questions: NameQuestions::new(),
            clock: Clock::new(),
            last: Timestamp::UNIX_EPOCH,
        }
    }

    /// Takes in a file. What a damaged one still holds is taken before the error.
    pub(super) fn file(&mut self, path: &Path) -> Result<(), Failure> {
        for packet in Capture::new(File::open(path)?)? {
            self.packet(&packet?);
        }
        Ok(())
    }

    /// All of it.
    pub(super) fn finish(mut self) -> Snapshot {
        while let Some(end) = self.questions.poll_timeout() {
            self.questions.handle_timeout(end);
            self.take_questions();
        }
        self.gathering.snapshot()
    }

    fn packet(&mut self, packet: &Packet) {
        let now = self.clock.advance_to(packet.at);
        self.last = self.last.max(packet.at);
        self.questions.handle_timeout(now);
        self.take_questions();
        match (packet.transport, packet.source.port(), packet.destination.port()) {
            (Transport::Udp, _, 138) => self.datagram(packet),
            (Transport::Udp, _, 137) | (Transport::Udp, 137, _) => self.name_service(packet),
            (Transport::Tcp, _, 139) => self.session(packet),
            (Transport::Udp | Transport::Tcp, ..) => {}
        }
    }

    fn datagram(&mut self, packet: &Packet) {
        let whole;
        let direct = match Datagram::parse(&packet.payload) {
            Ok(Datagram::Direct(direct)) => direct,
            Ok(Datagram::Fragment(fragment)) => {
                let now = self.clock.now();
                self.reassembly.handle_timeout(now);
                let Verdict::Complete(complete) =
                    self.reassembly.handle_input(now, packet.source.ip(), &fragment)
                else {
                    return;
                };
                whole = complete;
                let Ok(Datagram::Direct(direct)) = Datagram::parse(&whole) else { return };
                direct
            }
            Ok(Datagram::Error { .. } | Datagram::Query { .. }) | Err(_) => return,
        };
        self.direct(&direct, packet);
    }

    fn direct(&mut self, direct: &Direct<'_>, packet: &Packet) {
        let sender = self.decoding.of(packet.source.ip());
        if let Ok(notice) = decode(direct, packet.arrival(Listener::Datagram), sender) {
            self.gathering.host(HostSighting::of(&notice));
        }
    }

    fn session(&mut self, packet: &Packet) {
        let sender = self.decoding.of(packet.source.ip());
        for message in self.sessions.take(packet, self.clock.now()) {
            let notice = decode_session(&message, packet.arrival(Listener::Messenger), sender);
            self.gathering.host(HostSighting::of(&notice));
        }
    }

    /// Broadcast questions for messengers, and whatever answers a capture happens to have.
    fn name_service(&mut self, packet: &Packet) {
        let Ok(parsed) = name_service::Packet::parse(&packet.payload) else { return };
        let kind = parsed.flags.kind();
        if kind == Kind::Query && is_broadcast(parsed.flags, packet.destination.ip()) {
            let wanted = |asked: &&Question| {
                asked.record_type == RecordType::NB && asked.name.name_type() == NameType::MESSENGER
            };
            for question in parsed.questions.iter().filter(wanted) {
                self.questions.handle_question(self.clock.now(), packet.source.ip(), question.name);
            }
        } else if kind == Kind::QueryResponse {
            let positive = |data: &RecordData<'_>| matches!(data, RecordData::Addresses(_));
            for answer in parsed.answers.iter().filter(|answer| positive(&answer.data)) {
                self.questions.handle_answer(packet.destination.ip(), answer.name);
            }
        }
    }

    fn take_questions(&mut self) {
        while let Some(over) = self.questions.poll_output() {
            let sender = self.decoding.of(over.asker);
            let seen = NameQuerySeen::new(self.last, over.asker, &over.name, sender, over.silence);
            self.gathering.name(&seen);
        }
    }
}

/// Some old systems set the flag towards their WINS server, others leave it out; the address tells more, where it can.
fn is_broadcast(flags: Flags, destination: IpAddr) -> bool {
    match destination {
        IpAddr::V4(address) => address.octets()[3] == 255 || flags.contains(Flags::BROADCAST),
        IpAddr::V6(_) => false,
    }
}
