//! Name service packets of UDP 137 (RFC 1002 §4.2).
//!
//! Big-endian, in the shape of DNS messages. Nothing in them is authenticated: any host on the network can send a
//! demand to release a name or a conflict for it.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::netbios_name::{NetbiosName, Scope};
use super::reader::{Reader, Reason, WireError};

pub use code_points::{Flags, Kind, NameFlags, NodeType, Opcode, Rcode, RecordType};

mod code_points;

/// One address that a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NbAddress {
    /// Whether the name is a group's, and the owner's node type.
    pub flags: NameFlags,
    /// The address.
    pub address: Ipv4Addr,
}

/// All names of a node, and its statistics (RFC 1002 §4.2.18).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStatus<'a> {
    /// At most 255.
    pub names: Vec<(NetbiosName, NameFlags)>,
    /// 46 bytes that begin with the MAC address (zeros from Samba); some devices send fewer.
    pub statistics: &'a [u8],
}

impl NodeStatus<'_> {
    /// UNIT_ID: the MAC address, where it is there and not zero.
    #[must_use]
    pub fn unit_id(&self) -> Option<[u8; 6]> {
        self.statistics.first_chunk().copied().filter(|unit_id| *unit_id != [0; 6])
    }
}

/// RDATA of a resource record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordData<'a> {
    /// Addresses of the name.
    Addresses(Vec<NbAddress>),
    /// All names of the node.
    NodeStatus(NodeStatus<'a>),
    /// In a response that asks to wait: the flags of the request it answers.
    Wait(Flags),
    /// Another type's data, unread.
    Other(&'a [u8]),
}

/// What is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The name.
    pub name: NetbiosName,
    /// Its scope.
    pub scope: Scope,
    /// What about it.
    pub record_type: RecordType,
    /// The internet class, 1.
    pub class: u16,
}

impl Question {
    /// A question of the internet class.
    #[must_use]
    pub const fn new(name: NetbiosName, scope: Scope, record_type: RecordType) -> Self {
        Self { name, scope, record_type, class: CLASS_INTERNET }
    }
}

/// What is claimed or answered about a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceRecord<'a> {
    /// The name.
    pub name: NetbiosName,
    /// Its scope.
    pub scope: Scope,
    /// What `data` is.
    pub record_type: RecordType,
    /// The internet class, 1.
    pub class: u16,
    /// How long it holds, in whole seconds; how long to wait where that is the answer.
    pub ttl: Duration,
    /// What is claimed or answered.
    pub data: RecordData<'a>,
}

impl<'a> ResourceRecord<'a> {
    /// The record about `question`'s name that answers or accompanies it.
    #[must_use]
    pub fn about(question: &Question, ttl: Duration, data: RecordData<'a>) -> Self {
        let record_type = match data {
            RecordData::Addresses(_) | RecordData::Wait(_) => RecordType::NB,
            RecordData::NodeStatus(_) => RecordType::NBSTAT,
            RecordData::Other(_) => RecordType::NULL,
        };
        let (name, scope) = (question.name, question.scope.clone());
        Self { name, scope, record_type, class: question.class, ttl, data }
    }
}

/// A name service packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet<'a> {
    /// NAME_TRN_ID: a response carries that of its request.
    pub transaction: u16,
    /// What is asked or answered.
    pub flags: Flags,
    /// What is asked about: one in requests, none in responses.
    pub questions: Vec<Question>,
    /// What is answered: one in responses.
    pub answers: Vec<ResourceRecord<'a>>,
    /// Name servers to ask instead.
    pub authorities: Vec<ResourceRecord<'a>>,
    /// The claim of a registration, refresh or release.
    pub additionals: Vec<ResourceRecord<'a>>,
}

impl<'a> Packet<'a> {
    /// Questions and records together in one packet that is still read; real packets have at most two.
    pub const MAX_RECORDS: u16 = 16;
    /// How many pointers may lead from one name to its end.
    pub const MAX_POINTERS: usize = 10;

    /// A query, or a node status request.
    #[must_use]
    pub fn query(transaction: u16, flags: Flags, question: Question) -> Self {
        Self { questions: vec![question], ..Self::empty(transaction, flags) }
    }

    /// A registration, overwrite, refresh or release: `claim` about `question`'s name.
    #[must_use]
    pub fn claim(
        transaction: u16,
        flags: Flags,
        question: Question,
        ttl: Duration,
        claim: NbAddress,
    ) -> Self {
        let record = ResourceRecord::about(&question, ttl, RecordData::Addresses(vec![claim]));
        Self { questions: vec![question], additionals: vec![record], ..Self::empty(transaction, flags) }
    }

    /// A response.
    #[must_use]
    pub fn response(transaction: u16, flags: Flags, record: ResourceRecord<'a>) -> Self {
        Self { answers: vec![record], ..Self::empty(transaction, flags) }
    }

    const fn empty(transaction: u16, flags: Flags) -> Self {
        Self {
            transaction,
            flags,
            questions: Vec::new(),
            answers: Vec::new(),
            authorities: Vec::new(),
            additionals: Vec::new(),
        }
    }

    /// The packet in the payload of a datagram on UDP 137. What follows the last record is ignored.
    ///
    /// # Errors
    /// The field that is truncated; more than [`Self::MAX_RECORDS`] in all; a name whose pointers do not lead
    /// strictly backwards, or number more than [`Self::MAX_POINTERS`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let reader = &mut reader;
        let transaction = reader.u16_be("NAME_TRN_ID")?;
        let flags = Flags(reader.u16_be("FLAGS")?);
        let questions = reader.u16_be("QDCOUNT")?;
        let answers = reader.u16_be("ANCOUNT")?;
        let authorities = reader.u16_be("NSCOUNT")?;
        let additionals = reader.u16_be("ARCOUNT")?;
        let sum = [answers, authorities, additionals].into_iter().fold(questions, u16::saturating_add);
        if sum > Self::MAX_RECORDS {
            let reason = Reason::OutOfBounds { value: sum.into(), limit: Self::MAX_RECORDS.into() };
            return Err(WireError::new("QDCOUNT + ANCOUNT + NSCOUNT + ARCOUNT", 4, reason));
        }
        let questions = (0..questions).map(|_| question(bytes, reader)).collect::<Result<_, _>>()?;
        let mut records = |count| (0..count).map(|_| record(bytes, reader, flags)).collect::<Result<_, _>>();
        Ok(Self {
            transaction,
            flags,
            questions,
            answers: records(answers)?,
            authorities: records(authorities)?,
            additionals: records(additionals)?,
        })
    }

    /// Appends the payload of a datagram that [`Self::parse`] reads back. A record about the first question's name
    /// points to it, as all known senders write it.
    pub fn emit(&self, out: &mut Vec<u8>) {
        out.extend(self.transaction.to_be_bytes());
        out.extend(self.flags.0.to_be_bytes());
        let records = [&self.answers, &self.authorities, &self.additionals];
        for count in [self.questions.len()].into_iter().chain(records.map(Vec::len)) {
            out.extend(u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes());
        }
        for question in &self.questions {
            question.name.emit_label(out);
            question.scope.emit(out);
            out.extend(question.record_type.0.to_be_bytes());
            out.extend(question.class.to_be_bytes());
        }
        for record in records.into_iter().flatten() {
            match self.questions.first() {
                Some(first) if first.name == record.name && first.scope == record.scope => {
                    out.extend(POINTER_TO_FIRST_QUESTION);
                }
                _ => {
                    record.name.emit_label(out);
                    record.scope.emit(out);
                }
            }
            emit_record(record, out);
        }
    }
}

fn question<'a>(message: &'a [u8], reader: &mut Reader<'a>) -> Result<Question, WireError> {
    let (name, scope) = parse_name(message, reader, "QUESTION_NAME")?;
    Ok(Question {
        name,
        scope,
        record_type: RecordType(reader.u16_be("QUESTION_TYPE")?),
        class: reader.u16_be("QUESTION_CLASS")?,
    })
}

fn record<'a>(
    message: &'a [u8],
    reader: &mut Reader<'a>,
    flags: Flags,
) -> Result<ResourceRecord<'a>, WireError> {
    let (name, scope) = parse_name(message, reader, "RR_NAME")?;
    let record_type = RecordType(reader.u16_be("RR_TYPE")?);
    let class = reader.u16_be("RR_CLASS")?;
    let ttl = Duration::from_secs(reader.u32_be("TTL")?.into());
    let length = reader.u16_be("RDLENGTH")?;
    let data = reader.sub("RDATA", length.into())?;
    let data = match record_type {
        RecordType::NB if flags.kind() == Kind::Wait && data.left() == 2 => wait(data)?,
        RecordType::NB => RecordData::Addresses(addresses(data)?),
        RecordType::NBSTAT => RecordData::NodeStatus(node_status(data)?),
        _ => RecordData::Other(data.rest()),
    };
    Ok(ResourceRecord { name, scope, record_type, class, ttl, data })
}

fn wait(mut reader: Reader<'_>) -> Result<RecordData<'_>, WireError> {
    Ok(RecordData::Wait(Flags(reader.u16_be("RDATA")?)))
}

fn addresses(mut reader: Reader<'_>) -> Result<Vec<NbAddress>, WireError> {
    if !reader.left().is_multiple_of(6) {
        return Err(reader.bad("RDATA", Reason::Malformed("not a multiple of six bytes")));
    }
    let mut addresses = Vec::new();
    while reader.left() > 0 {
        let flags = NameFlags(reader.u16_be("NB_FLAGS")?);
        addresses.push(NbAddress { flags, address: Ipv4Addr::from(reader.array("NB_ADDRESS")?) });
    }
    Ok(addresses)
}

fn node_status(mut reader: Reader<'_>) -> Result<NodeStatus<'_>, WireError> {
    let count = reader.u8("NUM_NAMES")?;
    let mut names = Vec::new();
    for _ in 0..count {
        let name = NetbiosName::from_bytes(reader.array("NODE_NAME")?);
        names.push((name, NameFlags(reader.u16_be("NAME_FLAGS")?)));
    }
    Ok(NodeStatus { names, statistics: reader.rest() })
}

/// Reads a name that may continue elsewhere in `message` by pointers, each of which must lead to before everything
/// read so far: so there are no loops.
fn parse_name<'a>(
    message: &'a [u8],
    reader: &mut Reader<'a>,
    field: &'static str,
) -> Result<(NetbiosName, Scope), WireError> {
    let mut part = reader.clone();
    let mut behind = None;
    let mut begin = part.offset();
    let mut pointers = 0..Packet::MAX_POINTERS;
    let mut name = None;
    let mut scope = Vec::new();
    loop {
        let here = part.offset();
        match (part.clone().u8(field)?, name) {
            (0xC0.., _) => {
                let target = usize::from(part.u16_be(field)? & 0x3FFF);
                behind.get_or_insert_with(|| part.clone());
                if target >= begin || pointers.next().is_none() {
                    let reason = Reason::Malformed("a pointer that does not lead backwards, or one too many");
                    return Err(WireError::new(field, here, reason));
                }
                begin = target;
                part = Reader::at(message.get(target..).unwrap_or_default(), target);
            }
            (_, None) => name = Some(NetbiosName::parse_label(&mut part, field)?),
            (0, Some(name)) => {
                part.u8(field)?;
                *reader = behind.unwrap_or(part);
                let scope =
                    Scope::new(&scope).map_err(|error| WireError::new(field, here, error.reason()))?;
                return Ok((name, scope));
            }
            (length @ 1..=63, Some(_)) if scope.len() < 256 => {
                part.u8(field)?;
                if !scope.is_empty() {
                    scope.push(b'.');
                }
                scope.extend_from_slice(part.bytes(field, length.into())?);
            }
            (length, Some(_)) => {
                return Err(WireError::new(field, here, Reason::NotAllowed { value: length.into() }));
            }
        }
    }
}

/// Writes what follows the name of a record.
fn emit_record(record: &ResourceRecord<'_>, out: &mut Vec<u8>) {
    out.extend(record.record_type.0.to_be_bytes());
    out.extend(record.class.to_be_bytes());
    out.extend(u32::try_from(record.ttl.as_secs()).unwrap_or(u32::MAX).to_be_bytes());
    let mut data = Vec::new();
    match &record.data {
        RecordData::Addresses(addresses) => {
            for NbAddress { flags, address } in addresses {
                data.extend(flags.0.to_be_bytes());
                data.extend(address.octets());
            }
        }
        RecordData::NodeStatus(status) => {
            let count = u8::try_from(status.names.len()).unwrap_or(u8::MAX);
            data.push(count);
            for (name, flags) in status.names.iter().take(count.into()) {
                data.extend_from_slice(name.as_bytes());
                data.extend(flags.0.to_be_bytes());
            }
            data.extend_from_slice(status.statistics);
        }
        RecordData::Wait(flags) => data.extend(flags.0.to_be_bytes()),
        RecordData::Other(bytes) => data.extend_from_slice(bytes),
    }
    data.truncate(u16::MAX.into());
    out.extend(u16::try_from(data.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend(data);
}

const CLASS_INTERNET: u16 = 1;

/// The first question follows the header of 12 bytes.
const POINTER_TO_FIRST_QUESTION: [u8; 2] = [0xC0, 0x0C];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::netbios_name::NameType;

    fn alerts() -> Question {
        let name = NetbiosName::new(b"ALERTS", NameType::MESSENGER).unwrap();
        Question::new(name, Scope::default(), RecordType::NB)
    }

    fn here() -> NbAddress {
        NbAddress { flags: NameFlags(0), address: Ipv4Addr::new(192, 0, 2, 10) }
    }

    fn bytes_of(packet: &Packet<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        packet.emit(&mut out);
        out
    }

    const THREE_DAYS: Duration = Duration::from_secs(259_200);

    #[test]
    fn every_packet_of_the_rfc_reads_back_as_emitted() {
        let answer = |data| ResourceRecord::about(&alerts(), THREE_DAYS, data);
        let addresses = || answer(RecordData::Addresses(vec![here()]));
        let status = NodeStatus { names: vec![(alerts().name, NameFlags(0x4400)); 3], statistics: &[7; 46] };
        let claims = [
            Flags::REGISTRATION.with(Flags::BROADCAST),
            Flags::REGISTRATION,
            Flags::OVERWRITE.with(Flags::BROADCAST),
            Flags::MULTI_HOMED_REGISTRATION,
            Flags::REFRESH,
            Flags(0x4800),
            Flags::RELEASE,
        ];
        let responses = [
            Flags::QUERY_RESPONSE,
            Flags::REGISTERED,
            Flags::REFUSED,
            Flags::ACTIVE,
            Flags::CONFLICT,
            Flags::RELEASED,
        ];
        let packets = [
            Packet::query(1, Flags::QUERY.with(Flags::BROADCAST), alerts()),
            Packet::query(
                2,
                Flags::NODE_STATUS_REQUEST,
                Question { record_type: RecordType::NBSTAT, ..alerts() },
            ),
            Packet::response(3, Flags::NEGATIVE_QUERY_RESPONSE, answer(RecordData::Other(&[]))),
            Packet::response(4, Flags::WAIT, answer(RecordData::Wait(Flags::REGISTRATION))),
            Packet::response(5, Flags::NODE_STATUS_RESPONSE, answer(RecordData::NodeStatus(status))),
            Packet::response(6, Flags::QUERY_RESPONSE, answer(RecordData::Addresses(vec![here(); 3]))),
        ];
        let packets = packets
            .into_iter()
            .chain(claims.map(|flags| Packet::claim(7, flags, alerts(), THREE_DAYS, here())))
            .chain(responses.map(|flags| Packet::response(8, flags, addresses())));
        for packet in packets {
            assert_eq!(Packet::parse(&bytes_of(&packet)), Ok(packet));
        }
    }

    #[test]
    fn a_registration_is_byte_for_byte_what_nmbd_sends() {
        // Capture 01, frame 2, without its transaction and addresses.
        let wire = b"\0\x01\x29\x10\0\x01\0\0\0\0\0\x01\x20FDENECEBEMFAEIEBCACACACACACACAAD\0\0\x20\0\x01\
            \xc0\x0c\0\x20\0\x01\0\0\0\0\0\x06\x60\0\xc0\0\x02\x0a";
        let name = NetbiosName::new(b"SMBALPHA", NameType::MESSENGER).unwrap();
        let packet = Packet::claim(
            1,
            Flags::REGISTRATION.with(Flags::BROADCAST),
            Question::new(name, Scope::default(), RecordType::NB),
            Duration::ZERO,
            NbAddress { flags: NameFlags(0x6000), ..here() },
        );
        assert_eq!(bytes_of(&packet), wire);
    }

    /// A response whose one record has the name `name`, which starts at byte 12.
    fn response_with_name(name: &[u8]) -> Vec<u8> {
        [&b"\0\x01\x85\0\0\0\0\x01\0\0\0\0"[..], name, b"\0\x0a\0\x01\0\0\0\0\0\0"].concat()
    }

    #[test]
    fn a_pointer_to_itself_or_forwards_is_refused() {
        for pointer in [12, 13, 14, 0x3FFF_u16] {
            let bytes = response_with_name(&(0xC000 | pointer).to_be_bytes());
            let error = Packet::parse(&bytes).unwrap_err();
            assert_eq!((error.field(), error.offset()), ("RR_NAME", 12), "{pointer}");
        }
    }

    #[test]
    fn two_pointers_to_each_other_are_refused() {
        let mut name = vec![0x20];
        name.extend([b'A'; 32]);
        // The name's scope points on to a pointer that leads back to the name.
        name.extend([0xC0, 12]);
        let error = Packet::parse(&response_with_name(&name)).unwrap_err();
        assert_eq!(error.offset(), 45);
    }

    #[test]
    fn a_chain_of_pointers_ends_after_ten() {
        // 16 questions would be one too many with the record: 14 questions, each a pointer to the one before.
        for (pointers, accepted) in [(10_u16, true), (11, false)] {
            let mut bytes = vec![0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            bytes[5] = u8::try_from(pointers + 1).unwrap();
            alerts().name.emit_label(&mut bytes);
            bytes.extend([0, 0, 0x20, 0, 1]);
            let mut target: u16 = 12;
            for _ in 0..pointers {
                let here = u16::try_from(bytes.len()).unwrap();
                bytes.extend((0xC000 | target).to_be_bytes());
                bytes.extend([0, 0x20, 0, 1]);
                target = here;
            }
            assert_eq!(Packet::parse(&bytes).is_ok(), accepted, "{pointers}");
        }
    }

    #[test]
    fn a_pointer_may_follow_the_name_and_lead_to_its_scope() {
        let mut bytes = vec![0, 1, 1, 0, 0, 2, 0, 0, 0, 0, 0, 0];
        let scope = Scope::new(b"PLANT.LOCAL").unwrap();
        alerts().name.emit_label(&mut bytes);
        scope.emit(&mut bytes);
        bytes.extend([0, 0x20, 0, 1]);
        alerts().name.emit_label(&mut bytes);
        bytes.extend([0xC0, 45, 0, 0x20, 0, 1]);
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!(packet.questions[1], Question { scope, ..alerts() });
    }

    #[test]
    fn an_endless_scope_and_a_label_over_63_bytes_are_refused() {
        let mut name = Vec::new();
        alerts().name.emit_label(&mut name);
        for scope in [b"\x01A".repeat(20), [&[0x40][..], &[b'A'; 64], &[0]].concat()] {
            let bytes = response_with_name(&[&name[..], &scope].concat());
            assert_eq!(Packet::parse(&bytes).unwrap_err().field(), "RR_NAME");
        }
    }

    #[test]
    fn counts_past_the_packet_are_refused_before_anything_is_read() {
        let error = Packet::parse(b"\0\x01\x01\0\xff\xff\xff\xff\0\0\0\0").unwrap_err();
        assert_eq!(error.field(), "QDCOUNT + ANCOUNT + NSCOUNT + ARCOUNT");
        let error = Packet::parse(b"\0\x01\x01\0\0\x01\0\0\0\0\0\0").unwrap_err();
        assert_eq!(error.to_string(), "QUESTION_NAME at byte 12: need 1 bytes, 0 left");
    }

    #[test]
    fn an_address_list_that_is_cut_is_refused() {
        let packet = Packet::claim(1, Flags::REGISTRATION, alerts(), THREE_DAYS, here());
        let mut bytes = bytes_of(&packet);
        bytes.pop();
        assert_eq!(Packet::parse(&bytes).unwrap_err().field(), "RDATA");
        let length = bytes.len() - 6;
        bytes[length] = 5;
        assert_eq!(
            Packet::parse(&bytes).unwrap_err().to_string(),
            "RDATA at byte 62: not a multiple of six bytes"
        );
    }

    #[test]
    fn a_node_status_tells_the_mac_unless_it_is_zero() {
        let status = |statistics| NodeStatus { names: Vec::new(), statistics };
        assert_eq!(status(&[1, 2, 3, 4, 5, 6, 7]).unit_id(), Some([1, 2, 3, 4, 5, 6]));
        assert_eq!(status(&[0; 46]).unit_id(), None);
        assert_eq!(status(&[1, 2, 3]).unit_id(), None);
    }
}
