//! Packets from a server.

use super::reason::ReasonCode;
use crate::wire::reader::{Reader, Reason, WireError};

/// A packet that a server may send to a publisher; texts are lossy UTF-8, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// The answer to CONNECT (§3.2).
    ConnAck(ConnAck),
    /// The answer to PUBLISH with QoS 1 (§3.4).
    PubAck {
        /// Which.
        packet_id: u16,
        /// What became of it.
        acknowledgement: Acknowledgement,
    },
    /// The answer to PINGREQ (§3.13).
    PingResp,
    /// The server ends the connection and says why (§3.14).
    Disconnect(Disconnect),
}

/// What a server says of a connection that it accepts or refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnAck {
    /// Success, or why not.
    pub reason: ReasonCode,
    /// In the server's words, where it has any.
    pub reason_string: Option<String>,
    /// Messages with QoS 1 on their way at once.
    pub receive_maximum: u16,
    /// The highest quality of service that it offers.
    pub maximum_qos: u8,
    /// Octets of a packet at most.
    pub maximum_packet_size: Option<u32>,
    /// Seconds within which something must be sent, where it wants others than we do.
    pub server_keep_alive: Option<u16>,
    /// Where to go instead.
    pub server_reference: Option<String>,
}

/// What a server did with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    /// Success, or why not.
    pub reason: ReasonCode,
    /// In the server's words, where it has any.
    pub reason_string: Option<String>,
}

/// Why a server ends a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disconnect {
    /// The reason.
    pub reason: ReasonCode,
    /// In the server's words, where it has any.
    pub reason_string: Option<String>,
    /// Where to go instead.
    pub server_reference: Option<String>,
}

impl Packet {
    /// The first packet in `bytes` and how many of them it takes; `None` while it is not whole.
    ///
    /// # Errors
    /// What comes is no MQTT, none that a server says to a publisher, or longer than `most` octets.
    pub fn parse(bytes: &[u8], most: usize) -> Result<Option<(usize, Self)>, WireError> {
        let Some(first) = bytes.first() else { return Ok(None) };
        if ![CONNACK, PUBACK, PINGRESP, DISCONNECT].contains(first) {
            return Err(WireError::new("packet type", 0, Reason::NotAllowed { value: (*first).into() }));
        }
        let mut reader = Reader::at(bytes.get(1..).unwrap_or_default(), 1);
        let remaining = match variable_integer(&mut reader, "Remaining Length") {
            Ok(remaining) => usize::try_from(remaining).unwrap_or(usize::MAX),
            Err(error) if matches!(error.reason(), Reason::Truncated { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        if remaining > most {
            let (value, limit) = (wide(remaining), wide(most));
            return Err(WireError::new("Remaining Length", 1, Reason::OutOfBounds { value, limit }));
        }
        if reader.left() < remaining {
            return Ok(None);
        }
        let body = &mut reader.sub("packet", remaining)?;
        let packet = match *first {
            CONNACK => Self::ConnAck(conn_ack(body)?),
            PUBACK => {
                let packet_id = body.u16_be("Packet Identifier")?;
                Self::PubAck { packet_id, acknowledgement: acknowledgement(body)? }
            }
            PINGRESP => Self::PingResp,
            _ => Self::Disconnect(disconnect(body)?),
        };
        Ok(Some((reader.offset(), packet)))
    }
}

/// What a packet's properties say that matters here.
#[derive(Default)]
struct Properties {
    reason_string: Option<String>,
    receive_maximum: Option<u16>,
    maximum_qos: Option<u8>,
    maximum_packet_size: Option<u32>,
    server_keep_alive: Option<u16>,
    server_reference: Option<String>,
}

fn conn_ack(body: &mut Reader<'_>) -> Result<ConnAck, WireError> {
    body.u8("Connect Acknowledge Flags")?;
    let reason = ReasonCode(body.u8("Connect Reason Code")?);
    let properties = properties(body)?;
    Ok(ConnAck {
        reason,
        reason_string: properties.reason_string,
        receive_maximum: properties.receive_maximum.filter(|maximum| *maximum > 0).unwrap_or(u16::MAX),
        maximum_qos: properties.maximum_qos.unwrap_or(2),
        maximum_packet_size: properties.maximum_packet_size,
        server_keep_alive: properties.server_keep_alive,
        server_reference: properties.server_reference,
    })
}

fn acknowledgement(body: &mut Reader<'_>) -> Result<Acknowledgement, WireError> {
    let reason = reason(body)?;
    Ok(Acknowledgement { reason, reason_string: properties(body)?.reason_string })
}

fn disconnect(body: &mut Reader<'_>) -> Result<Disconnect, WireError> {
    let reason = reason(body)?;
    let Properties { reason_string, server_reference, .. } = properties(body)?;
    Ok(Disconnect { reason, reason_string, server_reference })
}

/// A packet that ends before it means success (§3.4.2.1, §3.14.2.1).
fn reason(body: &mut Reader<'_>) -> Result<ReasonCode, WireError> {
    if body.left() == 0 { Ok(ReasonCode::SUCCESS) } else { Ok(ReasonCode(body.u8("Reason Code")?)) }
}

/// §2.2.2. A packet that ends before them has none, as those of MQTT 3 do.
fn properties(body: &mut Reader<'_>) -> Result<Properties, WireError> {
    let mut found = Properties::default();
    if body.left() == 0 {
        return Ok(found);
    }
    let length = variable_integer(body, "Property Length")?;
    let mut list = body.sub("Properties", usize::try_from(length).unwrap_or(usize::MAX))?;
    let list = &mut list;
    while list.left() > 0 {
        let identifier = variable_integer(list, "Property Identifier")?;
        match identifier {
            0x13 => found.server_keep_alive = Some(list.u16_be("Server Keep Alive")?),
            0x1C => found.server_reference = Some(string(list, "Server Reference")?),
            0x1F => found.reason_string = Some(string(list, "Reason String")?),
            0x21 => found.receive_maximum = Some(list.u16_be("Receive Maximum")?),
            0x24 => found.maximum_qos = Some(list.u8("Maximum QoS")?),
            0x27 => found.maximum_packet_size = Some(list.u32_be("Maximum Packet Size")?),
            0x01 | 0x17 | 0x19 | 0x25 | 0x28 | 0x29 | 0x2A => drop(list.u8("property")?),
            0x22 | 0x23 => drop(list.u16_be("property")?),
            0x02 | 0x11 | 0x18 => drop(list.u32_be("property")?),
            0x0B => drop(variable_integer(list, "property")?),
            0x03 | 0x08 | 0x09 | 0x12 | 0x15 | 0x16 | 0x1A => drop(string(list, "property")?),
            0x26 => {
                string(list, "User Property")?;
                string(list, "User Property")?;
            }
            _ => return Err(list.bad("Property Identifier", Reason::NotAllowed { value: identifier.into() })),
        }
    }
    Ok(found)
}

/// §1.5.5: seven bits an octet, the lowest first, at most four octets.
fn variable_integer(reader: &mut Reader<'_>, field: &'static str) -> Result<u32, WireError> {
    let mut value = 0_u32;
    for shift in [0_u32, 7, 14, 21] {
        let octet = reader.u8(field)?;
        value |= u32::from(octet & 0x7F).checked_shl(shift).unwrap_or_default();
        if octet & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(reader.bad(field, Reason::Malformed("a Variable Byte Integer of more than four octets")))
}

fn string(reader: &mut Reader<'_>, field: &'static str) -> Result<String, WireError> {
    let length = reader.u16_be(field)?;
    Ok(String::from_utf8_lossy(reader.bytes(field, length.into())?).into_owned())
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

// With the flags that these packets have.
const CONNACK: u8 = 0x20;
const PUBACK: u8 = 0x40;
const PINGRESP: u8 = 0xD0;
const DISCONNECT: u8 = 0xE0;

#[cfg(test)]
mod tests {
    use super::*;

    const CONNACK_BYTES: &[u8] =
        b"\x20\x15\x00\x00\x12\x21\x00\x14\x27\x00\x00\x10\x00\x12\x00\x04auto\x22\x00\x0a";

    #[test]
    fn a_connack_tells_the_limits_and_every_cut_is_waited_for() {
        for cut in 0..CONNACK_BYTES.len() {
            assert_eq!(Packet::parse(&CONNACK_BYTES[..cut], 1000), Ok(None), "{cut}");
        }
        let (length, packet) = Packet::parse(CONNACK_BYTES, 1000).unwrap().unwrap();
        assert_eq!(length, CONNACK_BYTES.len());
        let Packet::ConnAck(ack) = packet else { panic!("{packet:?}") };
        assert_eq!((ack.receive_maximum, ack.maximum_packet_size, ack.maximum_qos), (20, Some(4096), 2));
    }

    #[test]
    fn a_puback_without_a_reason_is_success_and_one_with_any_reason_is_read() {
        let parse = |bytes: &[u8]| {
            let (_, packet) = Packet::parse(bytes, 1000).unwrap().unwrap();
            let Packet::PubAck { packet_id, acknowledgement } = packet else { panic!("{packet:?}") };
            (packet_id, acknowledgement.reason)
        };
        assert_eq!(parse(b"\x40\x02\x01\x02"), (0x0102, ReasonCode::SUCCESS));
        assert_eq!(parse(b"\x40\x03\x00\x07\x95"), (7, ReasonCode::PACKET_TOO_LARGE));
        assert_eq!(parse(b"\x40\x04\x00\x07\x87\x00"), (7, ReasonCode::NOT_AUTHORIZED));
    }

    #[test]
    fn a_server_of_mqtt_3_is_understood_when_it_refuses() {
        let (_, packet) = Packet::parse(b"\x20\x02\x00\x01", 1000).unwrap().unwrap();
        assert!(matches!(packet, Packet::ConnAck(ConnAck { reason: ReasonCode::MQTT_3_ONLY, .. })));
    }

    #[test]
    fn what_is_no_mqtt_or_too_long_is_refused_at_once() {
        for bytes in [
            &b"HTTP/1.1"[..],
            b"\x30\x00",
            b"\x20\xff\xff\x7f",
            b"\x20\xff\xff\xff\xff",
            b"\x20\x05\x00\x00\x02\x99\x00",
        ] {
            assert!(Packet::parse(bytes, 1000).is_err(), "{bytes:?}");
        }
    }
}
