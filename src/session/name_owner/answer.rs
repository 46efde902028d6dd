//! The answers of an owner: what the bytes are, and how large they may be.

use std::time::Duration;

use crate::wire::name_service::{
    Flags, NameFlags, NbAddress, NodeStatus, Packet, Question, RecordData, ResourceRecord,
};
use crate::wire::netbios_name::NetbiosName;

/// Names in one node status response. The response has then 535 bytes, fits into the 576 that every host takes with
/// its headers (RFC 1002 §4.2.18 has it truncated past that), and is less than eleven times its request of 50: no
/// answer is a greater multiple of its question.
pub(super) const MAX_STATUS_NAMES: usize = 24;

/// POSITIVE NAME QUERY RESPONSE (RFC 1002 §4.2.13), with the time to live of Windows.
pub(super) fn positive(packet: &Packet<'_>, question: &Question, address: NbAddress) -> Vec<u8> {
    let record = ResourceRecord::about(question, OWNER_TTL, RecordData::Addresses(vec![address]));
    emit(&Packet::response(packet.transaction, Flags::QUERY_RESPONSE, record))
}

/// NEGATIVE NAME QUERY RESPONSE (RFC 1002 §4.2.14).
pub(super) fn negative(packet: &Packet<'_>, question: &Question) -> Vec<u8> {
    let record = ResourceRecord::about(question, Duration::ZERO, RecordData::Other(&[]));
    emit(&Packet::response(packet.transaction, Flags::NOT_OWNED, record))
}

/// NEGATIVE NAME REGISTRATION RESPONSE with ACT_ERR (RFC 1002 §4.2.6): the name is ours. As all known owners do, it
/// returns the record of the claim.
pub(super) fn objection(packet: &Packet<'_>, question: &Question, claim: NbAddress) -> Vec<u8> {
    let record = ResourceRecord::about(question, Duration::ZERO, RecordData::Addresses(vec![claim]));
    emit(&Packet::response(packet.transaction, Flags::ACTIVE, record))
}

/// NODE STATUS RESPONSE (RFC 1002 §4.2.18) with at most [`MAX_STATUS_NAMES`], marked as truncated where there are more.
/// The statistics are those of Windows: the MAC address and zeros.
pub(super) fn node_status(
    packet: &Packet<'_>,
    question: &Question,
    mut names: Vec<(NetbiosName, NameFlags)>,
    unit_id: [u8; 6],
) -> Vec<u8> {
    let mut flags = Flags::NODE_STATUS_RESPONSE;
    if names.len() > MAX_STATUS_NAMES {
        names.truncate(MAX_STATUS_NAMES);
        flags = flags.with(Flags::TRUNCATED);
    }
    let mut statistics = [0; STATISTICS];
    for (byte, of_address) in statistics.iter_mut().zip(unit_id) {
        *byte = of_address;
    }
    let status = NodeStatus { names, statistics: &statistics };
    let record = ResourceRecord::about(question, Duration::ZERO, RecordData::NodeStatus(status));
    emit(&Packet::response(packet.transaction, flags, record))
}

/// The payload of a datagram.
pub(super) fn emit(packet: &Packet<'_>) -> Vec<u8> {
    let mut payload = Vec::new();
    packet.emit(&mut payload);
    payload
}

/// What Windows gives for its own names; Samba gives three days.
const OWNER_TTL: Duration = Duration::from_secs(300_000);

/// From UNIT_ID to the number of session data packets (RFC 1002 §4.2.18).
const STATISTICS: usize = 46;
