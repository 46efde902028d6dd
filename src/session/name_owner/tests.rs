//! The owner on a LAN of virtual time: each test is a situation, told in the packets that leave.

use super::*;
use crate::policy::name_askers::NameAskers;
use crate::wire::name_service::{
    Flags, NameFlags, NbAddress, NodeStatus, Question, Rcode, RecordData, RecordType, ResourceRecord,
};
use crate::wire::netbios_name::{NameType, NetbiosName, Scope};

mod answering;
mod claiming;
mod defending;
mod hostile;
mod wins;

/// An owner, its clock, and what it said.
struct Lab {
    owner: NameOwner,
    start: Instant,
    now: Instant,
    /// Packets, in words: when, flags, name, from, to.
    sent: Vec<String>,
    /// The payloads of the same packets.
    payloads: Vec<Vec<u8>>,
    told: Vec<Event>,
}

impl Lab {
    /// A host GW1 of the group PLANT that wants ALERTS and OPERATORS, on one link, before its first packet.
    fn new() -> Self {
        Self::with(identity(&["ALERTS", "OPERATORS"], NameAskers::default()))
    }

    fn with(identity: Identity) -> Self {
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        let start = Instant::now();
        let owner = NameOwner::new(identity, NameOwner::PORT, 0x0100, start);
        Self { owner, start, now: start, sent: Vec::new(), payloads: Vec::new(), told: Vec::new() }
    }

    /// As [`Self::new`], with all names its own, and nothing of how that came about.
    fn settled() -> Self {
        Self::new().settle()
    }

    fn settle(mut self) -> Self {
        self.link(&[link()]);
        self.pass(Duration::from_secs(10));
        self.forget();
        self
    }

    fn link(&mut self, links: &[Link]) {
        let routes: Vec<_> =
            self.owner.identity().askers().wins.iter().map(|server| (*server, links[0].address)).collect();
        self.owner.handle_links(self.now, links, &routes);
        self.collect();
    }

    /// Lets time pass, with every timeout at its time.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.owner.poll_timeout().filter(|due| *due <= end) {
            assert!(due > self.now || !self.is_idle(due), "a timeout that nothing comes of is polled again");
            self.now = self.now.max(due);
            self.owner.handle_timeout(self.now);
            self.collect();
        }
        self.now = end;
    }

    fn is_idle(&mut self, due: Instant) -> bool {
        self.owner.handle_timeout(due);
        let before = self.sent.len();
        self.collect();
        self.sent.len() == before && self.owner.poll_timeout() == Some(due)
    }

    fn collect(&mut self) {
        while let Some(output) = self.owner.poll_output() {
            match output {
                Output::Tell(event) => self.told.push(event),
                Output::Send(datagram) => {
                    let at = self.now.duration_since(self.start).as_secs_f64();
                    let packet = Packet::parse(&datagram.payload).unwrap();
                    self.sent.push(format!("{at:.3} {}", in_words(&packet, &datagram)));
                    self.payloads.push(datagram.payload);
                }
            }
        }
    }

    fn forget(&mut self) {
        self.sent.clear();
        self.payloads.clear();
        self.told.clear();
    }

    /// A packet from the host `192.0.2.number` to everybody.
    fn broadcast(&mut self, number: u8, packet: &Packet<'_>) -> Verdict {
        self.hear(host(number), BROADCAST, packet)
    }

    /// A packet from the host `192.0.2.number` to us alone.
    fn unicast(&mut self, number: u8, packet: &Packet<'_>) -> Verdict {
        self.hear(host(number), OURS, packet)
    }

    fn hear(&mut self, source: SocketAddrV4, destination: Ipv4Addr, packet: &Packet<'_>) -> Verdict {
        let heard = Heard { source, destination, interface: 2 };
        let verdict = self.owner.handle_input(self.now, packet, heard);
        self.collect();
        verdict
    }

    /// What was sent since the last look, without the times.
    #[track_caller]
    fn expect_sent(&mut self, lines: &[&str]) {
        let sent: Vec<_> = self.sent.iter().map(|line| line.split_once(' ').unwrap().1).collect();
        assert_eq!(sent, lines);
        self.sent.clear();
        self.payloads.clear();
    }

    fn standing(&self, name: &str) -> Standing {
        self.owner.standings().find(|(own, _)| own.name.to_string() == name).unwrap().1
    }

    /// NAME_TRN_ID of the last packet about `name`.
    fn transaction_of(&self, name: &str) -> u16 {
        let about = |payload: &&Vec<u8>| {
            Packet::parse(payload)
                .unwrap()
                .questions
                .first()
                .is_some_and(|asked| asked.name.to_string() == name)
        };
        Packet::parse(self.payloads.iter().rev().find(about).unwrap()).unwrap().transaction
    }
}

fn in_words(packet: &Packet<'_>, datagram: &Datagram) -> String {
    let name = packet.questions.first().map(|question| question.name);
    let name = name.or_else(|| packet.answers.first().map(|record| record.name)).unwrap();
    format!("{:04X} {name} {} > {}", packet.flags.0, datagram.from, datagram.to)
}

const OURS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
const BROADCAST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 255);

fn link() -> Link {
    Link {
        interface: 2,
        address: OURS,
        network: "192.0.2.0/24".parse().unwrap(),
        broadcast: Some(BROADCAST),
        unit_id: [2, 0, 0, 0, 0, 1],
    }
}

fn host(number: u8) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, number), 137)
}

fn name(text: &str, kind: u8) -> NetbiosName {
    NetbiosName::new(text.as_bytes(), NameType(kind)).unwrap()
}

fn identity(messengers: &[&str], askers: NameAskers) -> Identity {
    let messengers: Vec<_> = messengers.iter().map(|text| name(text, 0x03)).collect();
    Identity::new(name("GW1", 0), &messengers, name("PLANT", 0), Scope::default(), askers)
}

fn about(name: NetbiosName) -> Question {
    Question::new(name, Scope::default(), RecordType::NB)
}

fn query(name: NetbiosName, flags: u16) -> Packet<'static> {
    Packet::query(0x7777, Flags(flags), about(name))
}

fn node_status_request(name: NetbiosName) -> Packet<'static> {
    Packet::query(
        0x7777,
        Flags::NODE_STATUS_REQUEST,
        Question { record_type: RecordType::NBSTAT, ..about(name) },
    )
}

/// A claim of `name` under these flags for the host `192.0.2.number`.
fn claim(name: NetbiosName, flags: u16, nb_flags: u16, number: u8) -> Packet<'static> {
    let address = NbAddress { flags: NameFlags(nb_flags), address: *host(number).ip() };
    Packet::claim(0x7777, Flags(flags), about(name), Duration::from_secs(1234), address)
}

/// A response to `transaction` about `name` with this time to live, naming the host `192.0.2.number`.
fn response(transaction: u16, flags: u16, name: NetbiosName, ttl: u64, number: u8) -> Packet<'static> {
    let address = NbAddress { flags: NameFlags(0), address: *host(number).ip() };
    let data = RecordData::Addresses(vec![address]);
    let record = ResourceRecord::about(&about(name), Duration::from_secs(ttl), data);
    Packet::response(transaction, Flags(flags), record)
}
