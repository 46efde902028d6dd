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
    #[inline]
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

    #[inline]
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

    #[inline]
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
    #[inline]
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::netbios_name::NameType;
    use crate::wire::vectors::{ANNOUNCEMENTS, FRAGMENTS, MAILSLOT_WRITES, SCAPY, vector};

    fn direct(bytes: &[u8]) -> Direct<'_> {
        match Datagram::parse(bytes) {
            Ok(Datagram::Direct(direct)) => direct,
            other => panic!("{other:?}"),
        }
    }

    fn nt() -> Vec<u8> {
        vector(MAILSLOT_WRITES, "NT-like to domain")
    }

    #[test]
    fn an_announcement_of_a_real_nmbd_reads_and_writes_alike() {
        let bytes = vector(ANNOUNCEMENTS, "frame 6 ");
        let direct = direct(&bytes);
        assert_eq!(direct.msg_type, MsgType::DirectGroup);
        assert_eq!(direct.header.source_ip, Ipv4Addr::new(10, 77, 0, 10));
        assert_eq!(direct.source_name.to_string(), "SMBALPHA<00>");
        assert_eq!(direct.destination_name.name_type(), NameType::LOCAL_MASTER);
        assert!(!direct.length_mismatch());
        let mut out = Vec::new();
        direct.emit(&mut out);
        assert_eq!(out, bytes);
    }

    #[test]
    fn dgm_length_that_lies_is_a_fact_to_count_and_the_data_is_all_there() {
        for dgm_length in [0_u16, 46, 0xFFFF] {
            let mut bytes = nt();
            bytes[10..12].copy_from_slice(&dgm_length.to_be_bytes());
            let direct = direct(&bytes);
            assert!(direct.length_mismatch());
            assert_eq!(direct.user_data, &bytes[82..]);
        }
        assert!(direct(&vector(SCAPY, "frame 1 ")).length_mismatch(), "scapy writes 272");
        assert!(!direct(&nt()).length_mismatch());
    }

    #[test]
    fn a_scope_is_kept_and_counted_in_the_length() {
        let bytes = vector(MAILSLOT_WRITES, "LANMAN scope id");
        let direct = direct(&bytes);
        assert!(!direct.destination_scope.is_empty());
        assert!(!direct.length_mismatch());
    }

    #[test]
    fn pointers_other_labels_and_lower_case_in_names_are_refused() {
        for (at, value) in [(14, 0xC0), (14, 33), (15, b'a'), (48, 0xC0), (49, b'Q')] {
            let mut bytes = nt();
            bytes[at] = value;
            let field = if at < 48 { "SOURCE_NAME" } else { "DESTINATION_NAME" };
            assert_eq!(Datagram::parse(&bytes).unwrap_err().field(), field);
        }
    }

    #[test]
    fn every_truncation_within_header_and_names_names_its_field() {
        let bytes = nt();
        for length in 0..82 {
            let error = Datagram::parse(&bytes[..length]).unwrap_err();
            assert!(matches!(error.reason(), Reason::Truncated { .. }), "{length}: {error}");
        }
        assert_eq!(direct(&bytes[..82]).user_data, b"");
        assert_eq!(Datagram::parse(b"").unwrap_err().to_string(), "MSG_TYPE at byte 0: need 1 bytes, 0 left");
    }

    #[test]
    fn other_types_are_refused_with_their_value() {
        let mut bytes = nt();
        bytes[0] = 0x17;
        let error = Datagram::parse(&bytes).unwrap_err();
        assert_eq!(error.to_string(), "MSG_TYPE at byte 0: value 0x17 not allowed");
    }

    #[test]
    fn fragments_are_told_by_more_first_and_offset() {
        let place = |flags: u8, offset: u16| {
            let mut bytes = nt();
            bytes[1] = flags;
            bytes[12..14].copy_from_slice(&offset.to_be_bytes());
            let datagram = Datagram::parse(&bytes).unwrap();
            if let Datagram::Fragment(fragment) = datagram { Some(fragment.place) } else { None }
        };
        assert_eq!(place(0x03, 0), Some(Place::First { names_length: 68 }));
        assert_eq!(place(0x01, 300), Some(Place::Middle));
        assert_eq!(place(0x00, 300), Some(Place::Last));
        assert_eq!(place(0x00, 0), None, "FIRST forgotten, but all of it is here");
        assert_eq!(place(0x0A, 77), None, "in one piece, whatever the offset says");
    }

    #[test]
    fn a_fragment_is_written_as_it_was_read() {
        for label in
            ["frag2: names only in first, offset=68+cut [1", "three fragments [2", "three fragments [3"]
        {
            let bytes = vector(FRAGMENTS, label);
            let mut out = Vec::new();
            Datagram::parse(&bytes).unwrap().emit(&mut out);
            assert_eq!(out, bytes);
        }
    }

    #[test]
    fn more_data_than_the_length_field_can_say_is_refused() {
        let header =
            Header { flags: Flags::FIRST, dgm_id: 1, source_ip: [192, 0, 2, 1].into(), source_port: 138 };
        let name = NetbiosName::new(b"A", NameType::WORKSTATION).unwrap();
        let new = |data| Direct::new(header, MsgType::DirectUnique, name, name, data);
        assert!(new(&[0; 65_467]).is_ok());
        assert_eq!(new(&[0; 65_468]).unwrap_err().field(), "DGM_LENGTH");
    }

    prop_compose! {
        fn headers()(dgm_id: u16, source_ip: [u8; 4], source_port: u16, node in 0_u8..64) -> Header {
            let flags = Flags(Flags::FIRST.0 | node << 2);
            Header { flags, dgm_id, source_ip: source_ip.into(), source_port }
        }
    }

    fn scopes() -> impl Strategy<Value = Scope> {
        proptest::collection::vec("[A-Z]{1,20}", 0..4)
            .prop_map(|l| Scope::new(l.join(".").as_bytes()).unwrap())
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            header in headers(),
            (kind, dgm_length, packet_offset) in (0_usize..7, any::<u16>(), any::<u16>()),
            (source, destination) in (any::<[u8; 16]>(), any::<[u8; 16]>()),
            (source_scope, destination_scope) in (scopes(), scopes()),
            user_data: Vec<u8>,
        ) {
            let name = NetbiosName::from_bytes(destination);
            let datagram = match kind {
                0..3 => Datagram::Direct(Direct {
                    header,
                    msg_type: [MsgType::DirectUnique, MsgType::DirectGroup, MsgType::Broadcast][kind],
                    dgm_length,
                    packet_offset,
                    source_name: NetbiosName::from_bytes(source),
                    source_scope,
                    destination_name: name,
                    destination_scope,
                    user_data: &user_data,
                }),
                3 => Datagram::Error { header, code: ErrorCode(source[0]) },
                _ => {
                    let kind = [QueryKind::Request, QueryKind::Positive, QueryKind::Negative][kind - 4];
                    Datagram::Query { header, kind, name, scope: destination_scope }
                }
            };
            let mut bytes = Vec::new();
            datagram.emit(&mut bytes);
            prop_assert_eq!(Datagram::parse(&bytes), Ok(datagram));
        }

        #[test]
        fn any_bytes_give_a_datagram_or_an_error_with_an_offset_within(bytes: Vec<u8>) {
            if let Err(error) = Datagram::parse(&bytes) {
                prop_assert!(error.offset() <= bytes.len());
            }
        }
    }
}
