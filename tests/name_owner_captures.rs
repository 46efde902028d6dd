//! The owner of names in the place of a host of genuine captures: what it answers beside what that host answered.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use mailslotd::policy::name_askers::NameAskers;
use mailslotd::session::name_owner::{
    Datagram, Event, Heard, Identity, Ignored, Link, NameOwner, Output, Verdict,
};
use mailslotd::wire::name_service::{Flags, Kind, NameFlags, Packet, Rcode, RecordData, RecordType};
use mailslotd::wire::netbios_name::{NameType, NetbiosName, Scope};
use support::fixtures::{Carrier, Vector, vectors};

mod support;

/// The place of SMBALPHA, whose real addresses stand in the bytes.
struct Place {
    owner: NameOwner,
    now: Instant,
    sent: Vec<Datagram>,
    told: Vec<Event>,
}

impl Place {
    /// SMBALPHA of the group NBLAB, with all its names its own, at this address.
    fn of_smbalpha(address: Ipv4Addr, wins: Vec<Ipv4Addr>) -> Self {
        let name = |text: &[u8]| NetbiosName::new(text, NameType::MESSENGER).unwrap();
        let askers = NameAskers { wins: wins.clone(), allow: Vec::new() };
        let names = [name(b"SMBALPHA")];
        let identity = Identity::new(name(b"SMBALPHA"), &names, name(b"NBLAB"), Scope::default(), askers);
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        let now = Instant::now();
        let owner = NameOwner::new(identity, NameOwner::PORT, 0x5000, now);
        let mut place = Self { owner, now, sent: Vec::new(), told: Vec::new() };
        let network = "10.77.0.0/24".parse().unwrap();
        let broadcast = Some(EVERYBODY);
        let link = Link { interface: 2, address, network, broadcast, unit_id: [0; 6] };
        let routes: Vec<_> = wins.into_iter().map(|server| (server, address)).collect();
        place.owner.handle_links(now, &[link], &routes);
        // Claims take less than a second; what a server is asked for comes two seconds later.
        place.pass(Duration::from_millis(2500));
        place.collect();
        place
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.owner.poll_timeout().filter(|due| *due <= end) {
            self.now = due;
            self.owner.handle_timeout(due);
        }
        self.now = end;
    }

    fn collect(&mut self) {
        self.sent.clear();
        while let Some(output) = self.owner.poll_output() {
            match output {
                Output::Send(datagram) => self.sent.push(datagram),
                Output::Tell(event) => self.told.push(event),
            }
        }
    }

    /// What is answered to the packet of a frame; time passes between frames, so that no rate is exceeded.
    fn hear(&mut self, frame: &Frame) -> (Verdict, Option<Vec<u8>>) {
        self.pass(Duration::from_secs(1));
        self.collect();
        let packet = Packet::parse(&frame.bytes).unwrap();
        let heard = Heard { source: frame.source, destination: *frame.destination.ip(), interface: 2 };
        let verdict = self.owner.handle_input(self.now, &packet, heard);
        self.collect();
        assert!(self.sent.len() <= 1, "{:?}", self.sent);
        (verdict, self.sent.pop().map(|datagram| datagram.payload))
    }
}

/// A packet of a capture and between whom it went.
#[derive(Debug)]
struct Frame {
    source: SocketAddrV4,
    destination: SocketAddrV4,
    bytes: Vec<u8>,
}

impl Frame {
    /// `frame 1 192.0.2.30:59680 > 192.0.2.255:137 …`, with the addresses that stand in the bytes.
    fn of(vector: &Vector) -> Self {
        let mut words = vector.label.split(' ').skip(2);
        let mut endpoint = || {
            let text = words.find(|word| word.contains(':')).unwrap();
            let endpoint: SocketAddrV4 = text.parse().unwrap();
            let [.., host] = endpoint.ip().octets();
            SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, host), endpoint.port())
        };
        Self { source: endpoint(), destination: endpoint(), bytes: vector.bytes.clone() }
    }

    fn transaction(&self) -> u16 {
        u16::from_be_bytes([self.bytes[0], self.bytes[1]])
    }
}

fn frames(stem: &str) -> Vec<Frame> {
    vectors(stem).iter().filter(|vector| vector.carrier == Carrier::Udp137).map(Frame::of).collect()
}

const SMBALPHA: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 10);
const RIVAL: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 30);
const EVERYBODY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 255);

#[test]
fn a_rival_is_refused_in_the_very_bytes_of_nmbd() {
    let frames = frames("10-name-conflict-defence-and-wins-client");
    let mut place = Place::of_smbalpha(SMBALPHA, Vec::new());
    let mut refused = Vec::new();
    for frame in
        frames.iter().filter(|frame| *frame.destination.ip() == EVERYBODY && frame.source.ip() == &RIVAL)
    {
        if Packet::parse(&frame.bytes).unwrap().flags.kind() != Kind::Registration {
            continue;
        }
        let (_, answer) = place.hear(frame);
        let of_nmbd = frames.iter().find(|other| {
            other.source.ip() == &SMBALPHA
                && other.transaction() == frame.transaction()
                && Packet::parse(&other.bytes).unwrap().flags == Flags::ACTIVE
        });
        assert_eq!(answer.as_ref(), of_nmbd.map(|frame| &frame.bytes));
        refused.extend(answer.map(|bytes| Packet::parse(&bytes).unwrap().answers[0].name.to_string()));
    }
    refused.sort();
    refused.dedup();
    assert_eq!(refused, ["SMBALPHA<00>", "SMBALPHA<03>", "SMBALPHA<20>"], "and never the group's name");
}

#[test]
fn questions_of_nmblookup_get_nmbds_answers_but_for_what_is_a_name_servers_or_a_browsers() {
    let frames = frames("05-nmblookup-name-service");
    let mut place = Place::of_smbalpha(SMBALPHA, Vec::new());
    let mut compared = 0;
    for frame in frames.iter().filter(|frame| frame.destination.port() == NameOwner::PORT) {
        let Ok(packet) = Packet::parse(&frame.bytes) else { continue };
        let to_us = [SMBALPHA, EVERYBODY].contains(frame.destination.ip());
        if packet.flags.kind() != Kind::Query || !to_us || packet.questions[0].record_type != RecordType::NB {
            continue;
        }
        let (verdict, answer) = place.hear(frame);
        let name = packet.questions[0].name;
        let is_browsers = [0x01, 0x1B, 0x1D, 0x1E].contains(&name.name_type().0);
        let of_nmbd = frames.iter().find(|other| {
            other.source.ip() == &SMBALPHA && other.transaction() == frame.transaction() && !is_browsers
        });
        match (&answer, of_nmbd) {
            (Some(ours), Some(theirs)) if verdict == Verdict::Positive => {
                assert_eq!(as_an_end_node(ours), as_an_end_node(&theirs.bytes), "{name}");
                compared += 1;
            }
            (None, None) | (Some(_), _) => {}
            (None, Some(theirs)) => panic!("{name}: nmbd answers {theirs:?}"),
        }
    }
    assert!(compared >= 3, "{compared}");
}

/// A positive answer without what differs between a B node that is no name server and nmbd: RA, the time to live, the node
/// type.
fn as_an_end_node(bytes: &[u8]) -> String {
    let packet = Packet::parse(bytes).unwrap();
    let record = &packet.answers[0];
    let RecordData::Addresses(addresses) = &record.data else { panic!("{packet:?}") };
    let addresses: Vec<_> =
        addresses.iter().map(|address| (address.address, address.flags.contains(NameFlags::GROUP))).collect();
    format!("{:04X} {:04X} {} {addresses:?}", packet.transaction, packet.flags.0 & !0x0080, record.name)
}

#[test]
fn a_wins_server_that_is_nmbd_is_understood() {
    let frames = frames("10-name-conflict-defence-and-wins-client");
    let mut place = Place::of_smbalpha(RIVAL, vec![SMBALPHA]);
    place.pass(Duration::from_millis(500));
    place.collect();
    let asked: Vec<_> = place.sent.iter().filter(|sent| sent.to.ip() == &SMBALPHA).cloned().collect();
    assert_eq!(asked.len(), 4, "{asked:?}");
    for request in asked {
        let request = Packet::parse(&request.payload).unwrap();
        let name = request.questions[0].name;
        let reply = frames.iter().find(|frame| {
            let packet = Packet::parse(&frame.bytes).unwrap();
            frame.source.ip() == &SMBALPHA
                && [Flags::REGISTERED, Flags::REFUSED].contains(&packet.flags)
                && packet.answers[0].name == name
        });
        let mut bytes = reply.unwrap_or_else(|| panic!("no answer about {name}")).bytes.clone();
        bytes[..2].copy_from_slice(&request.transaction.to_be_bytes());
        let source = SocketAddrV4::new(SMBALPHA, NameOwner::PORT);
        let destination = SocketAddrV4::new(RIVAL, NameOwner::PORT);
        let (verdict, answer) = place.hear(&Frame { source, destination, bytes });
        assert_eq!((verdict, answer), (Verdict::Taken, None));
    }
    let refused = place.told.iter().filter(|event| {
        matches!(event, Event::RefusedByWins { rcode: Rcode::RFS_ERR, server: SMBALPHA, owner: None, .. })
    });
    assert_eq!(refused.count(), 3, "{:?}", place.told);
    let registered = place.told.iter().find_map(|event| {
        let Event::Registered { name, ttl, .. } = event else { return None };
        Some((name.to_string(), ttl.as_secs()))
    });
    assert_eq!(registered, Some(("NBLAB<00>".to_owned(), 259_200)));
}

#[test]
fn who_is_taken_for_a_wins_server_answers_nothing_but_that_it_has_no_such_name() {
    let mut place = Place::of_smbalpha(SMBALPHA, Vec::new());
    let mut heard = 0;
    for frame in frames("09-smbtorture-nbt-wins-vs-nmbd-wins") {
        if *frame.destination.ip() != SMBALPHA || Packet::parse(&frame.bytes).is_err() {
            continue;
        }
        let (verdict, answer) = place.hear(&frame);
        let silent = [Ignored::NotOurs, Ignored::ForeignScope].map(Verdict::Ignored);
        assert!(verdict == Verdict::Negative || silent.contains(&verdict), "{verdict:?} to {frame:?}");
        assert_eq!(answer.is_some(), verdict == Verdict::Negative);
        heard += 1;
    }
    assert!(heard >= 15, "{heard}");
}
