//! The code points of name service packets (RFC 1002 §4.2.1.1, §4.2.1.3, §4.2.18).

use std::fmt;

/// The second word of a packet: R, OPCODE, NM_FLAGS and RCODE (RFC 1002 §4.2.1.1).
///
/// Receivers must not tell broadcasts from unicasts by [`Flags::BROADCAST`]: Windows 98 registers with its WINS server
/// by the flags of a broadcast.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Flags(pub u16);

impl Flags {
    /// R: a response.
    pub const RESPONSE: Self = Self(0x8000);
    /// AA: the responder owns the name, or is the name server.
    pub const AUTHORITATIVE: Self = Self(0x0400);
    /// TC: did not fit into the packet.
    pub const TRUNCATED: Self = Self(0x0200);
    /// RD: recursion desired.
    pub const RECURSION_DESIRED: Self = Self(0x0100);
    /// RA: the responder is a name server.
    pub const RECURSION_AVAILABLE: Self = Self(0x0080);
    /// B: sent to a broadcast address.
    pub const BROADCAST: Self = Self(0x0010);

    /// NAME QUERY REQUEST to a name server (§4.2.12).
    pub const QUERY: Self = Self(0x0100);
    /// NODE STATUS REQUEST (§4.2.17).
    pub const NODE_STATUS_REQUEST: Self = Self(0x0000);
    /// POSITIVE NAME QUERY RESPONSE of an end node (§4.2.13).
    pub const QUERY_RESPONSE: Self = Self(0x8500);
    /// NEGATIVE NAME QUERY RESPONSE of a name server: no such name (§4.2.14).
    pub const NEGATIVE_QUERY_RESPONSE: Self = Self(0x8583);
    /// NEGATIVE NAME QUERY RESPONSE of an end node: it does not have the name (§4.2.14).
    pub const NOT_OWNED: Self = Self(0x8503);
    /// NODE STATUS RESPONSE (§4.2.18).
    pub const NODE_STATUS_RESPONSE: Self = Self(0x8400);
    /// NAME REGISTRATION REQUEST (§4.2.2).
    pub const REGISTRATION: Self = Self(0x2900);
    /// NAME OVERWRITE REQUEST and DEMAND: the claim is complete (§4.2.3).
    pub const OVERWRITE: Self = Self(0x2800);
    /// Registration of a host with several addresses, to a name server only (OPCODE 15; not in the RFC).
    pub const MULTI_HOMED_REGISTRATION: Self = Self(0x7900);
    /// NAME REFRESH REQUEST under OPCODE 8, as real software sends it (§4.2.4).
    pub const REFRESH: Self = Self(0x4000);
    /// POSITIVE NAME REGISTRATION RESPONSE (§4.2.5).
    pub const REGISTERED: Self = Self(0xAD80);
    /// END-NODE CHALLENGE NAME REGISTRATION RESPONSE: the one who registers is to ask the owner itself (§4.2.7).
    pub const CHALLENGE: Self = Self(0xAD00);
    /// NEGATIVE NAME REGISTRATION RESPONSE: RFS_ERR, the server refuses (§4.2.6).
    pub const REFUSED: Self = Self(0xAD85);
    /// NEGATIVE NAME REGISTRATION RESPONSE: ACT_ERR, another node owns the name (§4.2.6).
    pub const ACTIVE: Self = Self(0xAD86);
    /// NAME CONFLICT DEMAND: CFT_ERR, more than one node owns the name (§4.2.8).
    pub const CONFLICT: Self = Self(0xAD87);
    /// NAME RELEASE REQUEST (§4.2.9).
    pub const RELEASE: Self = Self(0x3000);
    /// POSITIVE NAME RELEASE RESPONSE (§4.2.10).
    pub const RELEASED: Self = Self(0xB400);
    /// WAIT FOR ACKNOWLEDGEMENT RESPONSE (§4.2.16).
    pub const WAIT: Self = Self(0xBC00);

    /// Whether all bits of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These and the bits of `other`.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is asked or answered: the four bits OPCODE without R.
    #[must_use]
    pub fn opcode(self) -> Opcode {
        let [high, _] = self.0.to_be_bytes();
        Opcode(high >> 3 & 0x0F)
    }

    /// How a response turned out.
    #[must_use]
    pub const fn rcode(self) -> Rcode {
        let [_, low] = self.0.to_be_bytes();
        Rcode(low & 0x0F)
    }

    /// Which packet of RFC 1002 §4.2 it is.
    #[must_use]
    pub fn kind(self) -> Kind {
        let response = self.contains(Self::RESPONSE);
        match (self.opcode(), response) {
            (Opcode::QUERY, false) => Kind::Query,
            (Opcode::QUERY, true) => Kind::QueryResponse,
            (Opcode::REGISTRATION, false) if self.contains(Self::RECURSION_DESIRED) => Kind::Registration,
            (Opcode::REGISTRATION, false) => Kind::Overwrite,
            (Opcode::REGISTRATION, true) if self.rcode() == Rcode::CFT_ERR => Kind::Conflict,
            (Opcode::REGISTRATION, true) => Kind::RegistrationResponse,
            (Opcode::RELEASE, false) => Kind::Release,
            (Opcode::RELEASE, true) => Kind::ReleaseResponse,
            (Opcode::WAIT, true) => Kind::Wait,
            (Opcode::REFRESH | Opcode::REFRESH_ALTERNATIVE, false) => Kind::Refresh,
            (Opcode::MULTI_HOMED_REGISTRATION, false) => Kind::MultiHomedRegistration,
            _ => Kind::Unknown,
        }
    }
}

/// `0x8583`
impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:04X}", self.0)
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Which packet of RFC 1002 §4.2 it is, by its flags alone; whether a response is positive tells its [`Rcode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A name query, or a node status request.
    Query,
    /// The response to either.
    QueryResponse,
    /// Someone wants a name, or a server is to record it.
    Registration,
    /// Someone takes a name as its own after nobody objected.
    Overwrite,
    /// A registration with one of several addresses.
    MultiHomedRegistration,
    /// Someone still has a name.
    Refresh,
    /// The response to a registration or a refresh.
    RegistrationResponse,
    /// A demand to give a name up, since another node has it. Nothing protects it: never obey it alone.
    Conflict,
    /// Someone gives a name up.
    Release,
    /// The response to a release.
    ReleaseResponse,
    /// The name server needs longer.
    Wait,
    /// No packet of the RFC.
    Unknown,
}

/// OPCODE: what is asked or answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Opcode(pub u8);

impl Opcode {
    /// A name query or a node status request.
    pub const QUERY: Self = Self(0);
    /// A registration, an overwrite, a conflict.
    pub const REGISTRATION: Self = Self(5);
    /// A release.
    pub const RELEASE: Self = Self(6);
    /// Wait for acknowledgement.
    pub const WAIT: Self = Self(7);
    /// A refresh.
    pub const REFRESH: Self = Self(8);
    /// A refresh as well: RFC 1002 gives both numbers.
    pub const REFRESH_ALTERNATIVE: Self = Self(9);
    /// The registration of a host with several addresses.
    pub const MULTI_HOMED_REGISTRATION: Self = Self(15);
}

/// RCODE: how a response turned out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rcode(pub u8);

impl Rcode {
    /// It worked.
    pub const POSITIVE: Self = Self(0);
    /// The name server does not know the name.
    pub const NAM_ERR: Self = Self(3);
    /// The name server refuses.
    pub const RFS_ERR: Self = Self(5);
    /// Another node owns the name.
    pub const ACT_ERR: Self = Self(6);
    /// More than one node owns the name.
    pub const CFT_ERR: Self = Self(7);
}

/// `ACT_ERR (6): another node owns the name`
impl fmt::Display for Rcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0 {
            0 => return f.write_str("positive"),
            1 => "FMT_ERR (1): the request was invalidly formatted",
            2 => "SRV_ERR (2): the name server has a problem",
            3 => "NAM_ERR (3): the name does not exist",
            4 => "IMP_ERR (4): the request is not supported",
            5 => "RFS_ERR (5): the name server refuses",
            6 => "ACT_ERR (6): another node owns the name",
            7 => "CFT_ERR (7): more than one node owns the name",
            other => return write!(f, "unknown RCODE ({other})"),
        };
        f.write_str(text)
    }
}

/// QUESTION_TYPE and RR_TYPE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecordType(pub u16);

impl RecordType {
    /// Nothing: negative responses.
    pub const NULL: Self = Self(0x000A);
    /// Addresses of a name.
    pub const NB: Self = Self(0x0020);
    /// All names of a node.
    pub const NBSTAT: Self = Self(0x0021);
}

/// `NB`, `NBSTAT`, `NULL`, `type 0x0001`
impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NB => f.write_str("NB"),
            Self::NBSTAT => f.write_str("NBSTAT"),
            Self::NULL => f.write_str("NULL"),
            Self(other) => write!(f, "type 0x{other:04X}"),
        }
    }
}

/// NB_FLAGS of an address, NAME_FLAGS of a node's name (RFC 1002 §4.2.1.3, §4.2.18).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct NameFlags(pub u16);

impl NameFlags {
    /// G: a group name; else unique.
    pub const GROUP: Self = Self(0x8000);
    /// DRG, of a node's name: being released.
    pub const DEREGISTERING: Self = Self(0x1000);
    /// CNF, of a node's name: in conflict.
    pub const CONFLICT: Self = Self(0x0800);
    /// ACT, of a node's name: in use.
    pub const ACTIVE: Self = Self(0x0400);
    /// PRM, of a node's name: permanent.
    pub const PERMANENT: Self = Self(0x0200);

    /// ONT of an H node.
    pub const H_NODE: Self = Self(0x6000);

    /// Whether all bits of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These and the bits of `other`.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// ONT: how the owner registers and resolves its names.
    #[must_use]
    pub const fn owner_node_type(self) -> NodeType {
        match self.0 & 0x6000 {
            0x2000 => NodeType::P,
            0x4000 => NodeType::M,
            0x6000 => NodeType::H,
            _ => NodeType::B,
        }
    }
}

/// `group, M node, active`
impl fmt::Display for NameFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = if self.contains(Self::GROUP) { "group" } else { "unique" };
        write!(f, "{group}, {:?} node", self.owner_node_type())?;
        for (bit, name) in NODE_NAME_FLAGS {
            if self.contains(bit) {
                write!(f, ", {name}")?;
            }
        }
        let unnamed = self.0 & 0x01FF;
        if unnamed == 0 { Ok(()) } else { write!(f, ", 0x{unnamed:04X}") }
    }
}

impl fmt::Debug for NameFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:04X}", self.0)
    }
}

/// How a node registers and resolves names (RFC 1001 §10; H is Microsoft's).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeType {
    /// By broadcasts.
    B,
    /// By a name server.
    P,
    /// By broadcasts first, then a name server.
    M,
    /// By a name server first, then broadcasts.
    H,
}

/// NAME_FLAGS that only a node status has, from the highest.
const NODE_NAME_FLAGS: [(NameFlags, &str); 4] = [
    (NameFlags::DEREGISTERING, "deregistering"),
    (NameFlags::CONFLICT, "in conflict"),
    (NameFlags::ACTIVE, "active"),
    (NameFlags::PERMANENT, "permanent"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_come_apart_into_opcode_and_rcode() {
        for (flags, opcode, rcode) in [
            (0x2910, Opcode::REGISTRATION, Rcode::POSITIVE),
            (0xAD86, Opcode::REGISTRATION, Rcode::ACT_ERR),
            (0x8583, Opcode::QUERY, Rcode::NAM_ERR),
            (0x4000, Opcode::REFRESH, Rcode::POSITIVE),
            (0x4800, Opcode::REFRESH_ALTERNATIVE, Rcode::POSITIVE),
            (0x7900, Opcode::MULTI_HOMED_REGISTRATION, Rcode::POSITIVE),
            (0xBC00, Opcode::WAIT, Rcode::POSITIVE),
        ] {
            assert_eq!((Flags(flags).opcode(), Flags(flags).rcode()), (opcode, rcode), "{flags:04X}");
        }
    }

    #[test]
    fn each_packet_of_the_rfc_has_its_name() {
        for (flags, kind) in [
            (0x0110, Kind::Query),
            (0x0000, Kind::Query),
            (0x8580, Kind::QueryResponse),
            (0x2910, Kind::Registration),
            (0x2810, Kind::Overwrite),
            (0x7900, Kind::MultiHomedRegistration),
            (0x4800, Kind::Refresh),
            (0xAD87, Kind::Conflict),
            (0xAD86, Kind::RegistrationResponse),
            (0x3010, Kind::Release),
            (0xB400, Kind::ReleaseResponse),
            (0xBC00, Kind::Wait),
            (0x0800, Kind::Unknown),
            (0x3800, Kind::Unknown),
        ] {
            assert_eq!(Flags(flags).kind(), kind, "{flags:04X}");
        }
    }

    #[test]
    fn name_flags_are_told_in_words() {
        assert_eq!(NameFlags(0xC400).to_string(), "group, M node, active");
        assert_eq!(NameFlags(0x6000).to_string(), "unique, H node");
        assert_eq!(
            NameFlags(0x1A01).to_string(),
            "unique, B node, deregistering, in conflict, permanent, 0x0001"
        );
    }
}
