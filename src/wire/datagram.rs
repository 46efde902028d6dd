//! Datagrams of UDP 138 (RFC 1002 §4.4).

use std::net::Ipv4Addr;

use super::netbios_name::{NetbiosName, Scope, parse_qualified};
use super::reader::{Reader, Reason, WireError};

/// One UDP payload of port 138.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Datagram<'a> {
    /// A whole datagram for a name, a group, or everyone (MSG_TYPE 10, 11, 12).
    Direct(Direct<'a>),
    /// A piece of one; [`crate::session::reassembly`] puts them together.
    Fragment(Fragment<'a>),
    /// DATAGRAM ERROR (MSG_TYPE 13).
    Error {
        /// What it has in common with all datagrams.
        header: Header,
        /// What its sender could not do.
        code: ErrorCode,
    },
    /// A question to a datagram distribution server, or its answer (MSG_TYPE 14, 15, 16).
    Query {
        /// What it has in common with all datagrams.
        header: Header,
        /// Question or answer.
        kind: QueryKind,
        /// DESTINATION_NAME: the name asked for.
        name: NetbiosName,
        /// Its scope.
        scope: Scope,
    },
}

/// What every datagram begins with, MSG_TYPE aside (RFC 1002 §4.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// FLAGS.
    pub flags: Flags,
    /// DGM_ID: counted up by the sender; its fragments share it.
    pub dgm_id: u16,
    /// SOURCE_IP as the sender claims it. Address translation and forgers make it differ from the packet's; nothing is
    /// ever sent there.
    pub source_ip: Ipv4Addr,
    /// SOURCE_PORT as the sender claims it; macOS writes 0.
    pub source_port: u16,
}

/// The FLAGS octet (RFC 1002 §4.4.1): MORE, FIRST, and the kind of node, which nothing here depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    /// More fragments follow.
    pub const MORE: Self = Self(0x01);
    /// The first fragment, perhaps the only one; sent by a B-node.
    pub const FIRST: Self = Self(0x02);

    /// Whether MORE is set.
    #[must_use]
    pub const fn more(self) -> bool {
        self.0 & Self::MORE.0 != 0
    }

    /// Whether FIRST is set.
    #[must_use]
    pub const fn first(self) -> bool {
        self.0 & Self::FIRST.0 != 0
    }

    /// FIRST without MORE, the other bits as they were: the flags of a datagram in one piece.
    #[must_use]
    pub const fn unfragmented(self) -> Self {
        Self(self.0 & !Self::MORE.0 | Self::FIRST.0)
    }
}

/// Whom a direct datagram is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MsgType {
    /// DIRECT_UNIQUE (10): one name.
    DirectUnique,
    /// DIRECT_GROUP (11): a group, or whoever hears it.
    DirectGroup,
    /// BROADCAST (12): everyone in the scope.
    Broadcast,
}

impl MsgType {
    /// The octet on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::DirectUnique => 0x10,
            Self::DirectGroup => 0x11,
            Self::Broadcast => 0x12,
        }
    }
}

/// Question or answer of the datagram distribution service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QueryKind {
    /// DATAGRAM QUERY REQUEST (14).
    Request,
    /// DATAGRAM POSITIVE QUERY RESPONSE (15).
    Positive,
    /// DATAGRAM NEGATIVE QUERY RESPONSE (16).
    Negative,
}

impl QueryKind {
    /// The octet on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Request => 0x14,
            Self::Positive => 0x15,
            Self::Negative => 0x16,
        }
    }
}

/// ERROR_CODE of a datagram error (RFC 1002 §4.4.3). Unknown values pass through to the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub u8);

impl ErrorCode {
    /// DESTINATION NAME NOT PRESENT.
    pub const DESTINATION_NAME_NOT_PRESENT: Self = Self(0x82);
    /// INVALID SOURCE NAME FORMAT.
    pub const INVALID_SOURCE_NAME: Self = Self(0x83);
    /// INVALID DESTINATION NAME FORMAT.
    pub const INVALID_DESTINATION_NAME: Self = Self(0x84);
}

/// A whole direct datagram (RFC 1002 §4.4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Direct<'a> {
    /// What it has in common with all datagrams.
    pub header: Header,
    /// Whom it is for.
    pub msg_type: MsgType,
    /// DGM_LENGTH as written; see [`Self::length_mismatch`].
    pub dgm_length: u16,
    /// PACKET_OFFSET as written; means nothing in a whole datagram.
    pub packet_offset: u16,
    /// SOURCE_NAME.
    pub source_name: NetbiosName,
    /// The scope of SOURCE_NAME.
    pub source_scope: Scope,
    /// DESTINATION_NAME.
    pub destination_name: NetbiosName,
    /// The scope of DESTINATION_NAME.
    pub destination_scope: Scope,
    /// USER_DATA: everything behind the names, whatever DGM_LENGTH says.
    pub user_data: &'a [u8],
}

/// A piece of a direct datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// What it has in common with all datagrams.
    pub header: Header,
    /// Whom the datagram is for.
    pub msg_type: MsgType,
    /// DGM_LENGTH: names and user data of the whole datagram, in bytes.
    pub dgm_length: u16,
    /// PACKET_OFFSET: where this piece belongs; the RFC allows three readings of it.
    pub packet_offset: u16,
    /// Which piece it is.
    pub place: Place,
    /// Everything behind the 14 bytes of the header.
    pub body: &'a [u8],
}

/// Which piece of a datagram a fragment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// FIRST and MORE: both names, then data.
    First {
        /// Bytes of the body that the names take.
        names_length: usize,
    },
    /// MORE alone. RFC 1002 §5.3.1 never makes one.
    Middle,
    /// Neither: the rest of the data, with or without the names before it.
    Last,
}

impl<'a> Datagram<'a> {
    /// Reads one UDP payload.
    ///
    /// # Errors
    /// A MSG_TYPE outside 10–16, a name that is not encoded as RFC 1001 §14 says, or a truncation. DGM_LENGTH is never
    /// an error: several senders write nonsense there.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let code = reader.u8("MSG_TYPE")?;
        match code {
            0x10 => Self::parse_direct(reader, MsgType::DirectUnique),
            0x11 => Self::parse_direct(reader, MsgType::DirectGroup),
            0x12 => Self::parse_direct(reader, MsgType::Broadcast),
            0x13 => {
                let header = Header::parse(&mut reader)?;
                Ok(Self::Error { header, code: ErrorCode(reader.u8("ERROR_CODE")?) })
            }
            0x14 => Self::parse_query(reader, QueryKind::Request),
            0x15 => Self::parse_query(reader, QueryKind::Positive),
            0x16 => Self::parse_query(reader, QueryKind::Negative),
            other => Err(WireError::new("MSG_TYPE", 0, Reason::NotAllowed { value: other.into() })),
        }
    }

    fn parse_query(mut reader: Reader<'a>, kind: QueryKind) -> Result<Self, WireError> {
        let header = Header::parse(&mut reader)?;
        let (name, scope) = parse_qualified(&mut reader, "DESTINATION_NAME")?;
        Ok(Self::Query { header, kind, name, scope })
    }

    fn parse_direct(mut reader: Reader<'a>, msg_type: MsgType) -> Result<Self, WireError> {
        let header = Header::parse(&mut reader)?;
        let dgm_length = reader.u16_be("DGM_LENGTH")?;
        let packet_offset = reader.u16_be("PACKET_OFFSET")?;
        let body = reader.rest();
        let place = match (header.flags.first(), header.flags.more()) {
            // A sender that forgets FIRST on a datagram in one piece still means the whole of it.
            (false, false) if packet_offset != 0 => Place::Last,
            (_, false) => return Self::parse_whole(reader, header, msg_type, dgm_length, packet_offset),
            (false, true) => Place::Middle,
            (true, true) => {
                parse_qualified(&mut reader, "SOURCE_NAME")?;
                parse_qualified(&mut reader, "DESTINATION_NAME")?;
                Place::First { names_length: body.len().saturating_sub(reader.left()) }
            }
        };
        Ok(Self::Fragment(Fragment { header, msg_type, dgm_length, packet_offset, place, body }))
    }

    fn parse_whole(
        mut reader: Reader<'a>,
        header: Header,
        msg_type: MsgType,
        dgm_length: u16,
        packet_offset: u16,
    ) -> Result<Self, WireError> {
        let (source_name, source_scope) = parse_qualified(&mut reader, "SOURCE_NAME")?;
        let (destination_name, destination_scope) = parse_qualified(&mut reader, "DESTINATION_NAME")?;
        Ok(Self::Direct(Direct {
            header,
            msg_type,
            dgm_length,
            packet_offset,
            source_name,
            source_scope,
            destination_name,
            destination_scope,
            user_data: reader.rest(),
        }))
    }

    /// What it has in common with all datagrams.
    #[must_use]
    pub const fn header(&self) -> &Header {
        match self {
            Self::Direct(Direct { header, .. })
            | Self::Fragment(Fragment { header, .. })
            | Self::Error { header, .. }
            | Self::Query { header, .. } => header,
        }
    }

    /// Writes the UDP payload that [`Self::parse`] reads.
    pub fn emit(&self, out: &mut Vec<u8>) {
        match self {
            Self::Direct(direct) => direct.emit(out),
            Self::Fragment(fragment) => fragment.emit(out),
            Self::Error { header, code } => {
                out.push(0x13);
                header.emit(out);
                out.push(code.0);
            }
            Self::Query { header, kind, name, scope } => {
                out.push(kind.code());
                header.emit(out);
                name.emit_label(out);
                scope.emit(out);
            }
        }
    }
}

impl Header {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            flags: Flags(reader.u8("FLAGS")?),
            dgm_id: reader.u16_be("DGM_ID")?,
            source_ip: Ipv4Addr::from(reader.array::<4>("SOURCE_IP")?),
            source_port: reader.u16_be("SOURCE_PORT")?,
        })
    }

    fn emit(&self, out: &mut Vec<u8>) {
        out.push(self.flags.0);
        out.extend_from_slice(&self.dgm_id.to_be_bytes());
        out.extend_from_slice(&self.source_ip.octets());
        out.extend_from_slice(&self.source_port.to_be_bytes());
    }
}

impl<'a> Direct<'a> {
    /// The most USER_DATA that RFC 1001 §5.4 lets a datagram carry, in bytes.
    pub const MAX_USER_DATA: usize = 512;

    /// A datagram in the empty scope, with the DGM_LENGTH that belongs to it.
    ///
    /// # Errors
    /// `OutOfBounds` when DGM_LENGTH cannot express it: more than 65,467 bytes of user data.
    pub fn new(
        header: Header,
        msg_type: MsgType,
        source_name: NetbiosName,
        destination_name: NetbiosName,
        user_data: &'a [u8],
    ) -> Result<Self, WireError> {
        let mut direct = Self {
            header,
            msg_type,
            dgm_length: 0,
            packet_offset: 0,
            source_name,
            source_scope: Scope::default(),
            destination_name,
            destination_scope: Scope::default(),
            user_data,
        };
        let length = direct.true_length();
        direct.dgm_length = u16::try_from(length).map_err(|_| {
            let value = u64::try_from(length).unwrap_or(u64::MAX);
            WireError::new("DGM_LENGTH", 10, Reason::OutOfBounds { value, limit: u16::MAX.into() })
        })?;
        Ok(direct)
    }

    /// Whether DGM_LENGTH differs from the bytes that are there.
    ///
    /// A fact to count, not an error: scapy writes 272 whatever it sends, other tools leave the names out.
    #[must_use]
    pub fn length_mismatch(&self) -> bool {
        usize::from(self.dgm_length) != self.true_length()
    }

    /// The bytes of both names and the user data.
    fn true_length(&self) -> usize {
        qualified_length(&self.source_scope)
            .saturating_add(qualified_length(&self.destination_scope))
            .saturating_add(self.user_data.len())
    }

    /// Writes the UDP payload, DGM_LENGTH as it stands in the field.
    pub fn emit(&self, out: &mut Vec<u8>) {
        out.push(self.msg_type.code());
        self.header.emit(out);
        out.extend_from_slice(&self.dgm_length.to_be_bytes());
        out.extend_from_slice(&self.packet_offset.to_be_bytes());
        self.source_name.emit_label(out);
        self.source_scope.emit(out);
        self.destination_name.emit_label(out);
        self.destination_scope.emit(out);
        out.extend_from_slice(self.user_data);
    }
}

impl Fragment<'_> {
    /// Writes the UDP payload.
    pub fn emit(&self, out: &mut Vec<u8>) {
        out.push(self.msg_type.code());
        self.header.emit(out);
        out.extend_from_slice(&self.dgm_length.to_be_bytes());
        out.extend_from_slice(&self.packet_offset.to_be_bytes());
        out.extend_from_slice(self.body);
    }
}

/// Bytes of a name with this scope: a label of 33, the scope's labels, a zero byte.
fn qualified_length(scope: &Scope) -> usize {
    let labels = if scope.is_empty() { 0 } else { scope.text().len().saturating_add(1) };
    labels.saturating_add(34)
}
