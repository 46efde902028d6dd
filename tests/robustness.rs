//! No bytes make a parser panic, speak at length, or read back differently from what it writes.
//!
//! Tried are all fixtures, every truncation of each, every flipped bit of one of each shape, and splices of two, which
//! are the same in every run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::LazyLock;
use std::time::Instant;

use fixtures::{Carrier, Vector, describe, folder, vectors};
use jiff::Timestamp;
use mailslotd::decode::decode;
use mailslotd::message::host::{HostName, HostSighting};
use mailslotd::message::notice::{Arrival, Listener};
use mailslotd::session::reassembly::Reassembly;
use mailslotd::wire::datagram::{Datagram, Direct};
use mailslotd::wire::mailslot::MailslotWrite;
use mailslotd::wire::messenger::{Request, Response, Text};
use mailslotd::wire::session_service::{Packet as SessionPacket, Received};
use mailslotd::wire::smb::Transaction;
use mailslotd::wire::{browser, lanman, name_service, netlogon};

#[path = "support/fixtures.rs"]
mod fixtures;

#[test]
fn every_truncation_is_read_or_refused() {
    let mut tried = 0;
    for vector in distinct() {
        for end in 0..=vector.bytes.len() {
            check(&vector, &vector.bytes[..end]);
            tried += 1;
        }
    }
    assert!(tried > 20_000, "only {tried} truncations: where are the fixtures?");
}

#[test]
fn every_flipped_bit_of_each_shape_is_read_or_refused() {
    let mut shapes = BTreeSet::new();
    for vector in distinct() {
        if !shapes.insert((vector.carrier, shape(&vector))) {
            continue;
        }
        let mut bytes = vector.bytes.clone();
        for index in 0..bytes.len() {
            for bit in 0..8 {
                bytes[index] ^= 1 << bit;
                check(&vector, &bytes);
                bytes[index] ^= 1 << bit;
            }
        }
    }
    assert!(shapes.len() > 60, "only {} shapes", shapes.len());
}

/// What a description says of a vector's structure: layers and fields, without their values.
fn shape(vector: &Vector) -> Vec<String> {
    let described = vector.describe();
    described
        .lines()
        .map(|line| line.split([',', '"']).next().unwrap_or_default().chars().take(22).collect())
        .collect()
}

#[test]
fn splices_of_two_are_read_or_refused() {
    let vectors = distinct();
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    for _ in 0..8_000 {
        let [one, other] = [(); 2].map(|()| &vectors[dice.below(vectors.len())]);
        let head = &one.bytes[..dice.below(one.bytes.len() + 1)];
        let tail = &other.bytes[dice.below(other.bytes.len())..];
        check(one, &[head, tail].concat());
    }
}

/// The vectors of all fixtures, without those whose bytes are there already, or are but for their identifier.
fn distinct() -> Vec<Vector> {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut stems: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "hex"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    stems.sort();
    let mut distinct = BTreeMap::new();
    for vector in stems.iter().flat_map(|stem| vectors(stem)) {
        let identifier = match vector.carrier {
            Carrier::Udp137 => 0..2,
            Carrier::Udp138 => 2..4,
            Carrier::Tcp139 => 0..0,
        };
        let mut key = vector.bytes.clone();
        if let Some(identifier) = key.get_mut(identifier) {
            identifier.fill(0);
        }
        distinct.entry(key).or_insert(vector);
    }
    assert!(distinct.len() > 300, "only {} fixtures", distinct.len());
    distinct.into_values().collect()
}

/// Reads `bytes` as what carried `vector`.
fn check(vector: &Vector, bytes: &[u8]) {
    let described = describe(vector.carrier, bytes, vector.sender);
    let limit = 64 * bytes.len() + 32 * 1024;
    assert!(described.len() <= limit, "{} bytes about {bytes:02x?}", described.len());
    let control = |&byte: &u8| (byte < b' ' && byte != b'\n') || byte == 0x7F;
    assert!(!described.as_bytes().iter().any(control), "{}: {bytes:02x?}", vector.label);
    match vector.carrier {
        Carrier::Udp137 => name_service_reads_back(bytes),
        Carrier::Udp138 => datagram_reads_back(bytes, vector),
        Carrier::Tcp139 => session_reads_back(bytes),
    }
}

fn name_service_reads_back(bytes: &[u8]) {
    if let Ok(packet) = name_service::Packet::parse(bytes) {
        let mut out = Vec::new();
        packet.emit(&mut out);
        assert_eq!(name_service::Packet::parse(&out), Ok(packet), "{bytes:02x?}");
    }
}

fn datagram_reads_back(bytes: &[u8], vector: &Vector) {
    let Ok(datagram) = Datagram::parse(bytes) else { return };
    let mut out = Vec::new();
    datagram.emit(&mut out);
    assert_eq!(Datagram::parse(&out).as_ref(), Ok(&datagram), "{bytes:02x?}");
    match datagram {
        Datagram::Direct(direct) => mailslot_reads_back(&direct, vector),
        Datagram::Fragment(fragment) => {
            let mut reassembly = Reassembly::new();
            for _ in 0..2 {
                drop(reassembly.handle_input(*NOW, SOURCE.ip(), &fragment));
            }
        }
        Datagram::Error { .. } | Datagram::Query { .. } => {}
    }
}

/// Whatever a host says of itself, the inventory has bounded lines of it.
fn sighting_is_plain(seen: &HostSighting) {
    let channel = seen.channel.to_string();
    let name = seen.name.as_ref().map(HostName::text);
    let message = seen.message.iter().flat_map(|message| [message.from.as_str(), &message.to]);
    let others = [name, seen.workgroup.as_deref(), seen.comment.as_deref(), Some(&channel)];
    for text in others.into_iter().flatten().chain(message) {
        assert!(text.len() < 2000 && !text.contains(char::is_control), "{text:?}");
    }
}

fn mailslot_reads_back(direct: &Direct<'_>, vector: &Vector) {
    let user_data = direct.user_data;
    if let Ok(notice) = decode(direct, arrival(), vector.sender) {
        let whole = notice.into_owned();
        assert!(!whole.text.contains('\r') && !whole.originator.contains('\n') && !whole.to.contains('\n'));
        sighting_is_plain(&HostSighting::of(&whole));
    }
    if let Ok(transaction) = Transaction::parse(user_data) {
        let mut out = Vec::new();
        transaction.emit(&mut out).unwrap();
        assert_eq!(Transaction::parse(&out), Ok(transaction), "{user_data:02x?}");
    }
    let Ok(write) = MailslotWrite::parse(user_data) else { return };
    let mut out = Vec::new();
    write.emit(&mut out).unwrap();
    assert_eq!(MailslotWrite::parse(&out).as_ref(), Ok(&write), "{user_data:02x?}");
    // Whatever the mailslot's name says: the bytes may have been meant for any of them.
    let data = write.data;
    if let Ok(frame) = browser::Frame::parse(data) {
        let mut out = Vec::new();
        frame.emit(&mut out);
        assert_eq!(browser::Frame::parse(&out), Ok(frame), "{data:02x?}");
    }
    if let Ok(frame) = lanman::Frame::parse(data) {
        let mut out = Vec::new();
        frame.emit(&mut out);
        assert_eq!(lanman::Frame::parse(&out), Ok(frame), "{data:02x?}");
    }
    if let Ok(text) = Text::parse(data) {
        let mut out = Vec::new();
        text.emit(&mut out);
        assert_eq!(Text::parse(&out), Ok(text), "{data:02x?}");
    }
    if let Ok(frame) = netlogon::Frame::parse(data) {
        assert_eq!(frame.opcode().0.to_le_bytes(), data[..2], "{data:02x?}");
    }
}

fn session_reads_back(bytes: &[u8]) {
    let mut rest = bytes;
    while let Ok(Received::Complete { packet, consumed }) = SessionPacket::parse(rest) {
        let mut out = Vec::new();
        packet.emit(&mut out).unwrap();
        let consumed_again = out.len();
        assert_eq!(
            SessionPacket::parse(&out).as_ref(),
            Ok(&Received::Complete { packet: packet.clone(), consumed: consumed_again }),
            "{rest:02x?}"
        );
        if let SessionPacket::Message(message) = packet {
            message_reads_back(message);
        }
        rest = &rest[consumed..];
    }
}

fn message_reads_back(message: &[u8]) {
    if let Ok((header, request)) = Request::parse(message) {
        let mut out = Vec::new();
        request.emit(header, &mut out).unwrap();
        assert_eq!(Request::parse(&out), Ok((header, request)), "{message:02x?}");
    }
    if let Ok((header, response)) = Response::parse(message) {
        let mut out = Vec::new();
        response.emit(header, &mut out);
        let (_, again) = Response::parse(&out).unwrap();
        assert_eq!(again, response, "{message:02x?}");
    }
}

/// Numbers that look random and are the same in every run (xorshift64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

fn arrival() -> Arrival {
    Arrival {
        at: Timestamp::UNIX_EPOCH,
        source: SOURCE,
        destination: None,
        interface: None,
        listener: Listener::Datagram,
    }
}

const SOURCE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 30)), 138);

#[expect(clippy::disallowed_methods, reason = "some moment, only ever compared with itself")]
static NOW: LazyLock<Instant> = LazyLock::new(Instant::now);
