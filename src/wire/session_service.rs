//! Packets of the session service, TCP 139 (RFC 1002 §4.3).

use std::net::Ipv4Addr;

use super::netbios_name::{NetbiosName, Scope, parse_qualified};
use super::reader::{Reader, Reason, WireError};

/// One packet of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet<'a> {
    /// SESSION MESSAGE (00): up to 131,071 bytes of an SMB.
    Message(&'a [u8]),
    /// SESSION REQUEST (81).
    Request {
        /// CALLED NAME: who is to answer.
        called: Endpoint,
        /// CALLING NAME: who asks, by its own account.
        calling: Endpoint,
    },
    /// POSITIVE SESSION RESPONSE (82).
    Positive,
    /// NEGATIVE SESSION RESPONSE (83); the sender closes the connection.
    Negative(RefusalCode),
    /// RETARGET SESSION RESPONSE (84).
    Retarget {
        /// RETARGET_IP_ADDRESS.
        address: Ipv4Addr,
        /// PORT.
        port: u16,
    },
    /// SESSION KEEPALIVE (85), which nobody answers.
    KeepAlive,
}

/// A name and its scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The name.
    pub name: NetbiosName,
    /// Its scope.
    pub scope: Scope,
}

/// ERROR_CODE of a negative session response (RFC 1002 §4.3.4). Unknown values pass through to the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RefusalCode(pub u8);

impl RefusalCode {
    /// Not listening on called name.
    pub const NOT_LISTENING_ON_CALLED_NAME: Self = Self(0x80);
    /// Not listening for calling name.
    pub const NOT_LISTENING_FOR_CALLING_NAME: Self = Self(0x81);
    /// Called name not present.
    pub const CALLED_NAME_NOT_PRESENT: Self = Self(0x82);
    /// Called name present, but insufficient resources.
    pub const INSUFFICIENT_RESOURCES: Self = Self(0x83);
    /// Unspecified error.
    pub const UNSPECIFIED: Self = Self(0x8F);
}

/// What the bytes received so far begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received<'a> {
    /// Part of a packet.
    Incomplete {
        /// How many bytes more are needed before it is worth asking again; never 0.
        missing: usize,
    },
    /// A packet.
    Complete {
        /// The packet.
        packet: Packet<'a>,
        /// How many bytes it took; the next packet begins behind them.
        consumed: usize,
    },
}

impl<'a> Packet<'a> {
    /// The longest packet: the 4 bytes of the header and a length of 17 bits.
    pub const MAX_LENGTH: usize = HEADER_LENGTH + 0x1_FFFF;

    /// Reads the packet that `buffer` begins with. TCP segments need not match packets: call again with more bytes
    /// after `Incomplete`, and with what is behind a packet after `Complete`.
    ///
    /// # Errors
    /// An unknown type, a reserved flag, a length that the type cannot have, or a name that is not encoded as RFC 1001
    /// §14 says. The stream cannot be followed after any of them.
    pub fn parse(buffer: &'a [u8]) -> Result<Received<'a>, WireError> {
        let mut reader = Reader::new(buffer);
        let Ok([kind, flags, high, low]) = reader.array("header") else {
            return Ok(Received::Incomplete { missing: HEADER_LENGTH.saturating_sub(buffer.len()) });
        };
        if flags & !LENGTH_EXTENSION != 0 {
            return Err(WireError::new("FLAGS", 1, Reason::NotAllowed { value: flags.into() }));
        }
        let extension = usize::from(flags & LENGTH_EXTENSION) << 16;
        let length = extension | usize::from(u16::from_be_bytes([high, low]));
        check_length(kind, length)?;
        if let Some(missing) = length.checked_sub(reader.left()).filter(|&missing| missing > 0) {
            return Ok(Received::Incomplete { missing });
        }
        let packet = Self::parse_body(kind, reader.sub("LENGTH", length)?)?;
        Ok(Received::Complete { packet, consumed: HEADER_LENGTH.saturating_add(length) })
    }

    fn parse_body(kind: u8, mut body: Reader<'a>) -> Result<Self, WireError> {
        match kind {
            TYPE_MESSAGE => Ok(Self::Message(body.rest())),
            TYPE_REQUEST => {
                let called = Endpoint::parse(&mut body, "CALLED_NAME")?;
                let calling = Endpoint::parse(&mut body, "CALLING_NAME")?;
                Ok(Self::Request { called, calling })
            }
            TYPE_POSITIVE => Ok(Self::Positive),
            TYPE_NEGATIVE => Ok(Self::Negative(RefusalCode(body.u8("ERROR_CODE")?))),
            TYPE_RETARGET => {
                let address = Ipv4Addr::from(body.array::<4>("RETARGET_IP_ADDRESS")?);
                Ok(Self::Retarget { address, port: body.u16_be("PORT")? })
            }
            TYPE_KEEP_ALIVE => Ok(Self::KeepAlive),
            other => Err(WireError::new("TYPE", 0, Reason::NotAllowed { value: other.into() })),
        }
    }

    /// Writes the packet.
    ///
    /// # Errors
    /// `OutOfBounds` for a message past 131,071 bytes; `out` is unchanged then.
    pub fn emit(&self, out: &mut Vec<u8>) -> Result<(), WireError> {
        let mut body = Vec::new();
        let (kind, body) = match self {
            Self::Message(message) => (TYPE_MESSAGE, *message),
            Self::Request { called, calling } => {
                called.emit(&mut body);
                calling.emit(&mut body);
                (TYPE_REQUEST, body.as_slice())
            }
            Self::Positive => (TYPE_POSITIVE, body.as_slice()),
            Self::Negative(code) => {
                body.push(code.0);
                (TYPE_NEGATIVE, body.as_slice())
            }
            Self::Retarget { address, port } => {
                body.extend_from_slice(&address.octets());
                body.extend_from_slice(&port.to_be_bytes());
                (TYPE_RETARGET, body.as_slice())
            }
            Self::KeepAlive => (TYPE_KEEP_ALIVE, body.as_slice()),
        };
        let too_long = || {
            let value = u64::try_from(body.len()).unwrap_or(u64::MAX);
            WireError::new("LENGTH", 2, Reason::OutOfBounds { value, limit: 0x1_FFFF })
        };
        let length = u32::try_from(body.len()).ok().filter(|&length| length <= 0x1_FFFF);
        let [_, extension, high, low] = length.ok_or_else(too_long)?.to_be_bytes();
        out.extend_from_slice(&[kind, extension, high, low]);
        out.extend_from_slice(body);
        Ok(())
    }
}

impl Endpoint {
    /// A name in the empty scope.
    #[must_use]
    pub fn new(name: NetbiosName) -> Self {
        Self { name, scope: Scope::default() }
    }

    fn parse(reader: &mut Reader<'_>, field: &'static str) -> Result<Self, WireError> {
        let (name, scope) = parse_qualified(reader, field)?;
        Ok(Self { name, scope })
    }

    fn emit(&self, out: &mut Vec<u8>) {
        self.name.emit_label(out);
        self.scope.emit(out);
    }
}

/// Refuses a length that the type cannot have before the caller waits for so many bytes.
fn check_length(kind: u8, length: usize) -> Result<(), WireError> {
    let limit = match kind {
        TYPE_MESSAGE => 0x1_FFFF,
        TYPE_REQUEST => 2 * 255,
        TYPE_NEGATIVE => 1,
        TYPE_RETARGET => 6,
        TYPE_POSITIVE | TYPE_KEEP_ALIVE => 0,
        other => return Err(WireError::new("TYPE", 0, Reason::NotAllowed { value: other.into() })),
    };
    match u64::try_from(length) {
        Ok(value) if value <= limit => Ok(()),
        value => {
            let value = value.unwrap_or(u64::MAX);
            Err(WireError::new("LENGTH", 2, Reason::OutOfBounds { value, limit }))
        }
    }
}

const HEADER_LENGTH: usize = 4;
/// FLAGS bit E: the seventeenth bit of the length.
const LENGTH_EXTENSION: u8 = 0x01;

const TYPE_MESSAGE: u8 = 0x00;
const TYPE_REQUEST: u8 = 0x81;
const TYPE_POSITIVE: u8 = 0x82;
const TYPE_NEGATIVE: u8 = 0x83;
const TYPE_RETARGET: u8 = 0x84;
const TYPE_KEEP_ALIVE: u8 = 0x85;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::netbios_name::NameType;

    fn complete(bytes: &[u8]) -> (Packet<'_>, usize) {
        match Packet::parse(bytes) {
            Ok(Received::Complete { packet, consumed }) => (packet, consumed),
            other => panic!("{other:?}"),
        }
    }

    fn request() -> Packet<'static> {
        let name = |text: &[u8]| Endpoint::new(NetbiosName::new(text, NameType::MESSENGER).unwrap());
        Packet::Request { called: name(b"SMBALPHA"), calling: name(b"WIN98PC") }
    }

    #[test]
    fn a_request_as_a_real_client_sends_it_is_read_and_written_alike() {
        // From a session of smbclient's: to SMBALPHA<03>, from WIN98PC<03>.
        let mut bytes = b"\x81\0\0\x44\x20FDENECEBEMFAEIEBCACACACACACACAAD\0".to_vec();
        bytes.extend(b"\x20FHEJEODJDIFAEDCACACACACACACACAAD\0");
        assert_eq!(complete(&bytes), (request(), 72));
        let mut out = Vec::new();
        request().emit(&mut out).unwrap();
        assert_eq!(out, bytes);
    }

    #[test]
    fn a_request_and_a_message_back_to_back_are_two_packets() {
        let mut bytes = Vec::new();
        request().emit(&mut bytes).unwrap();
        Packet::Message(b"\xFFSMB").emit(&mut bytes).unwrap();
        let (first, consumed) = complete(&bytes);
        assert_eq!(first, request());
        assert_eq!(complete(&bytes[consumed..]), (Packet::Message(b"\xFFSMB"), 8));
    }

    #[test]
    fn every_prefix_of_a_packet_says_how_much_is_missing() {
        let mut bytes = Vec::new();
        request().emit(&mut bytes).unwrap();
        for length in 0..bytes.len() {
            let Ok(Received::Incomplete { missing }) = Packet::parse(&bytes[..length]) else {
                panic!("{length} bytes are no packet");
            };
            let whole = if length < 4 { 4 } else { bytes.len() };
            assert_eq!(missing, whole - length);
        }
    }

    #[test]
    fn the_seventeenth_bit_of_the_length_counts() {
        let message = vec![7; 0x1_0001];
        let mut bytes = Vec::new();
        Packet::Message(&message).emit(&mut bytes).unwrap();
        assert_eq!(bytes[..4], [0, 1, 0, 1]);
        assert_eq!(complete(&bytes), (Packet::Message(&message), message.len() + 4));
        assert!(Packet::Message(&[0; 0x2_0000]).emit(&mut bytes).is_err());
    }

    #[test]
    fn types_flags_and_lengths_that_cannot_be_are_refused_at_once() {
        for (header, field) in [
            ([0x47, 0, 0, 0], "TYPE"),
            ([0, 2, 0, 0], "FLAGS"),
            ([0x81, 1, 0, 68], "LENGTH"),
            ([0x85, 0, 0, 1], "LENGTH"),
        ] {
            assert_eq!(Packet::parse(&header).unwrap_err().field(), field);
        }
        assert_eq!(Packet::parse(&[0x83, 0, 0, 0]).unwrap_err().field(), "ERROR_CODE");
    }

    #[test]
    fn a_request_whose_names_end_early_is_an_error_not_a_wait() {
        let error = Packet::parse(b"\x81\0\0\x02\x20A").unwrap_err();
        assert_eq!(error.to_string(), "CALLED_NAME at byte 5: need 32 bytes, 1 left");
    }

    fn packets() -> impl Strategy<Value = (u8, Vec<u8>, [u8; 16], [u8; 16], [u8; 4], u16)> {
        (0_u8..6, any::<Vec<u8>>(), any::<[u8; 16]>(), any::<[u8; 16]>(), any::<[u8; 4]>(), any::<u16>())
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back((kind, message, called, calling, address, port) in packets()) {
            let endpoint = |name| Endpoint::new(NetbiosName::from_bytes(name));
            let packet = match kind {
                0 => Packet::Message(&message),
                1 => Packet::Request { called: endpoint(called), calling: endpoint(calling) },
                2 => Packet::Positive,
                3 => Packet::Negative(RefusalCode(address[0])),
                4 => Packet::Retarget { address: address.into(), port },
                _ => Packet::KeepAlive,
            };
            let mut bytes = Vec::new();
            packet.emit(&mut bytes).unwrap();
            let length = bytes.len();
            prop_assert_eq!(Packet::parse(&bytes), Ok(Received::Complete { packet, consumed: length }));
        }

        #[test]
        fn any_bytes_give_a_packet_a_wait_or_an_error(bytes: Vec<u8>) {
            if let Ok(Received::Complete { consumed, .. }) = Packet::parse(&bytes) {
                prop_assert!((4..=bytes.len()).contains(&consumed));
            }
        }
    }
}
