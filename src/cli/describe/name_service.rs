//! UDP 137.

use super::{Page, qualified};
use crate::wire::name_service::{Flags, Kind, Packet, Rcode, RecordData, RecordType, ResourceRecord};

impl Page {
    pub(super) fn name_service(&mut self, payload: &[u8]) {
        self.layer("name service", payload);
        let packet = match Packet::parse(payload) {
            Ok(packet) => packet,
            Err(error) => return self.error(error),
        };
        let node_status = packet.questions.iter().any(|question| question.record_type == RecordType::NBSTAT)
            || packet.answers.iter().any(|record| record.record_type == RecordType::NBSTAT);
        self.field("NAME_TRN_ID", format_args!("0x{:04X}", packet.transaction));
        self.field("FLAGS", format_args!("{} {}", packet.flags, packet_name(packet.flags, node_status)));
        for (bit, name) in NM_FLAGS {
            if packet.flags.contains(bit) {
                self.field("", name);
            }
        }
        for question in &packet.questions {
            let name = qualified(question.name, &question.scope);
            self.field("question", format_args!("{name} {}{}", question.record_type, class(question.class)));
        }
        for (section, records) in [
            ("answer", &packet.answers),
            ("authority", &packet.authorities),
            ("additional", &packet.additionals),
        ] {
            for record in records {
                self.record(section, record);
            }
        }
    }

    fn record(&mut self, section: &str, record: &ResourceRecord<'_>) {
        let name = qualified(record.name, &record.scope);
        let ttl = record.ttl.as_secs();
        self.field(
            section,
            format_args!("{name} {}{}, TTL {ttl} s", record.record_type, class(record.class)),
        );
        match &record.data {
            RecordData::Addresses(addresses) => {
                for address in addresses {
                    self.field("", format_args!("{} {}", address.address, address.flags));
                }
            }
            RecordData::NodeStatus(status) => {
                for (name, flags) in &status.names {
                    self.field("", format_args!("{name} {flags}"));
                }
                if let Some([a, b, c, d, e, f]) = status.unit_id() {
                    self.field("", format_args!("UNIT_ID {a:02X}:{b:02X}:{c:02X}:{d:02X}:{e:02X}:{f:02X}"));
                }
                self.field("", format_args!("statistics {} bytes", status.statistics.len()));
            }
            RecordData::Wait(flags) => {
                self.field("", format_args!("for {flags} {}", packet_name(*flags, false)));
            }
            RecordData::Other([]) => {}
            RecordData::Other(bytes) => self.bytes("", bytes),
        }
    }
}

/// The packet's name in RFC 1002 §4.2, and how it turned out.
fn packet_name(flags: Flags, node_status: bool) -> String {
    let positive = flags.rcode() == Rcode::POSITIVE;
    let name = match flags.kind() {
        Kind::Query if node_status => "NODE STATUS REQUEST",
        Kind::Query => "NAME QUERY REQUEST",
        Kind::QueryResponse if node_status => "NODE STATUS RESPONSE",
        Kind::QueryResponse if positive => "POSITIVE NAME QUERY RESPONSE",
        Kind::QueryResponse => "NEGATIVE NAME QUERY RESPONSE",
        Kind::Registration => "NAME REGISTRATION REQUEST",
        Kind::Overwrite => "NAME OVERWRITE REQUEST",
        Kind::MultiHomedRegistration => "MULTI-HOMED NAME REGISTRATION REQUEST",
        Kind::Refresh => "NAME REFRESH REQUEST",
        Kind::RegistrationResponse if positive => "POSITIVE NAME REGISTRATION RESPONSE",
        Kind::RegistrationResponse => "NEGATIVE NAME REGISTRATION RESPONSE",
        Kind::Conflict => "NAME CONFLICT DEMAND",
        Kind::Release => "NAME RELEASE REQUEST",
        Kind::ReleaseResponse if positive => "POSITIVE NAME RELEASE RESPONSE",
        Kind::ReleaseResponse => "NEGATIVE NAME RELEASE RESPONSE",
        Kind::Wait => "WAIT FOR ACKNOWLEDGEMENT RESPONSE",
        Kind::Unknown => "unknown packet",
    };
    if positive { name.to_owned() } else { format!("{name}, {}", flags.rcode()) }
}

/// Nothing for the internet class, which is the only one in use.
fn class(class: u16) -> String {
    if class == 1 { String::new() } else { format!(" class {class}") }
}

const NM_FLAGS: [(Flags, &str); 5] = [
    (Flags::AUTHORITATIVE, "authoritative"),
    (Flags::TRUNCATED, "truncated"),
    (Flags::RECURSION_DESIRED, "recursion desired"),
    (Flags::RECURSION_AVAILABLE, "recursion available"),
    (Flags::BROADCAST, "broadcast"),
];
