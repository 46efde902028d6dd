//! The PROXY protocol, versions 1 and 2 (HAProxy's `proxy-protocol.txt`): what a load balancer says of a connection
//! before the first octet of its client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::reader::{Reader, Reason, WireError};

/// For whom a connection was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxied {
    /// For this client.
    Client(SocketAddr),
    /// For the proxy itself (`LOCAL`: a health check), or for a client whose address it does not know or that has no IP
    /// address (`UNKNOWN`, `AF_UNSPEC`, `AF_UNIX`).
    Nobody,
}

/// How far the octets of a header reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// At least this many more octets belong to the header: reading no more than these never takes one of the client's.
    Needs(usize),
    /// The header is whole, and exactly what was given.
    Complete(Proxied),
}

/// The longest header that is read, TLVs included; the standard's own example of a full one is 216 octets of addresses.
pub const MAX_LENGTH: usize = 536;

/// Reads the beginning of a connection. Call it again with more octets as long as it needs some.
///
/// The TLVs of version 2 are passed over: nothing here depends on them.
///
/// # Errors
/// When this is no header of either version, or one longer than [`MAX_LENGTH`].
pub fn parse(octets: &[u8]) -> Result<Progress, WireError> {
    let common = octets.len().min(SIGNATURE.len());
    if octets.get(..common) == SIGNATURE.get(..common) && !octets.is_empty() {
        return parse_binary(octets);
    }
    parse_text(octets)
}

fn parse_binary(octets: &[u8]) -> Result<Progress, WireError> {
    let missing = |whole: usize| whole.saturating_sub(octets.len());
    if missing(BINARY_HEADER) > 0 {
        return Ok(Progress::Needs(missing(BINARY_HEADER)));
    }
    let mut reader = Reader::new(octets);
    reader.bytes("signature", SIGNATURE.len())?;
    let version_and_command = reader.u8("ver_cmd")?;
    let family = reader.u8("fam")?;
    let length = usize::from(reader.u16_be("len")?);
    let whole = BINARY_HEADER.saturating_add(length);
    if whole > MAX_LENGTH {
        return Err(too_long(whole));
    }
    if missing(whole) > 0 {
        return Ok(Progress::Needs(missing(whole)));
    }
    match version_and_command {
        LOCAL => Ok(Progress::Complete(Proxied::Nobody)),
        PROXY => addresses(&mut reader, family).map(Progress::Complete),
        other => {
            let reason = Reason::NotAllowed { value: other.into() };
            Err(WireError::new("ver_cmd", SIGNATURE.len(), reason))
        }
    }
}

fn addresses(reader: &mut Reader<'_>, family: u8) -> Result<Proxied, WireError> {
    let (source, port) = match family {
        // AF_UNSPEC, and AF_UNIX as a stream or as datagrams.
        0x00 | 0x31 | 0x32 => return Ok(Proxied::Nobody),
        // TCP over IPv4, TCP over IPv6.
        0x11 => {
            let source = Ipv4Addr::from(reader.array::<4>("src_addr")?);
            reader.bytes("dst_addr", 4)?;
            (IpAddr::V4(source), reader.u16_be("src_port")?)
        }
        0x21 => {
            let source = Ipv6Addr::from(reader.array::<16>("src_addr")?);
            reader.bytes("dst_addr", 16)?;
            (IpAddr::V6(source), reader.u16_be("src_port")?)
        }
        other => {
            let reason = Reason::NotAllowed { value: other.into() };
            return Err(WireError::new("fam", SIGNATURE.len().saturating_add(1), reason));
        }
    };
    reader.bytes("dst_port", 2)?;
    Ok(Proxied::Client(SocketAddr::new(source.to_canonical(), port)))
}

fn parse_text(octets: &[u8]) -> Result<Progress, WireError> {
    let common = octets.len().min(PREFIX.len());
    if octets.get(..common) != PREFIX.get(..common) {
        return Err(WireError::new("PROXY", 0, Reason::Malformed("neither version of a PROXY header")));
    }
    let Some(end) = octets.iter().position(|octet| *octet == b'\n') else {
        if octets.len() >= TEXT_LENGTH {
            return Err(too_long(octets.len()));
        }
        // The shortest line there is; behind it one octet at a time, for the next may be the last.
        return Ok(Progress::Needs(SHORTEST_TEXT.saturating_sub(octets.len()).max(1)));
    };
    let malformed = |why| WireError::new("PROXY", 0, Reason::Malformed(why));
    let line = octets.get(..=end).and_then(|line| line.strip_suffix(b"\r\n"));
    let line = line.and_then(|line| str::from_utf8(line).ok());
    let line = line.ok_or_else(|| malformed("the line must be ASCII and end with CRLF"))?;
    proxied(line).map(Progress::Complete)
}

fn proxied(line: &str) -> Result<Proxied, WireError> {
    let malformed = |why| WireError::new("PROXY", 0, Reason::Malformed(why));
    let mut words = line.split(' ').skip(1);
    let family = words.next().unwrap_or_default();
    if family == "UNKNOWN" {
        return Ok(Proxied::Nobody);
    }
    let mut address = |field| {
        let text = words.next().unwrap_or_default();
        let address: Option<IpAddr> = match family {
            "TCP4" => text.parse().ok().map(IpAddr::V4),
            "TCP6" => text.parse().ok().map(IpAddr::V6),
            _ => None,
        };
        address.ok_or_else(|| malformed(field))
    };
    let source = address("the source is no address of that family")?;
    address("the destination is no address of that family")?;
    let mut port =
        || words.next().and_then(port_of).ok_or_else(|| malformed("a port is no number up to 65535"));
    let (source_port, _) = (port()?, port()?);
    if words.next().is_some() {
        return Err(malformed("there is more behind the ports"));
    }
    Ok(Proxied::Client(SocketAddr::new(source.to_canonical(), source_port)))
}

fn port_of(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|octet| octet.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

const fn too_long(length: usize) -> WireError {
    WireError::new("PROXY", length, Reason::Malformed("the header is longer than any that is read"))
}

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const BINARY_HEADER: usize = 16;
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
const PREFIX: &[u8] = b"PROXY ";
/// `PROXY UNKNOWN` with its line end.
const SHORTEST_TEXT: usize = 15;
/// With two full IPv6 addresses and its line end.
const TEXT_LENGTH: usize = 107;

#[cfg(test)]
mod tests {
    use super::*;

    fn client(text: &str) -> Progress {
        Progress::Complete(Proxied::Client(text.parse().unwrap()))
    }

    fn binary(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, body].concat()
    }

    const IPV4_BODY: [u8; 12] = [192, 0, 2, 7, 198, 51, 100, 1, 0xDC, 0x04, 0, 25];

    /// Reads `octets` as an edge does: never more than is needed.
    fn read(octets: &[u8]) -> Result<(Progress, usize), WireError> {
        let mut taken = 0;
        loop {
            match parse(&octets[..taken])? {
                Progress::Needs(more) => taken += more,
                complete @ Progress::Complete(_) => return Ok((complete, taken)),
            }
            assert!(taken <= octets.len(), "it asks for more than there is");
        }
    }

    #[test]
    fn a_line_of_version_1_names_the_client() {
        for (line, expected) in [
            ("PROXY TCP4 192.0.2.7 198.51.100.1 56324 25\r\n", "192.0.2.7:56324"),
            ("PROXY TCP6 2001:db8::7 2001:db8::1 56324 25\r\n", "[2001:db8::7]:56324"),
            ("PROXY TCP6 ::ffff:192.0.2.7 ::ffff:198.51.100.1 0 25\r\n", "192.0.2.7:0"),
        ] {
            let whole = format!("{line}EHLO client\r\n");
            assert_eq!(read(whole.as_bytes()), Ok((client(expected), line.len())), "{line}");
        }
    }

    #[test]
    fn a_header_of_version_2_names_the_client_and_its_tlvs_are_passed_over() {
        let plain = binary(PROXY, 0x11, &IPV4_BODY);
        let with_tlvs = binary(PROXY, 0x11, &[&IPV4_BODY[..], &[0x04, 0, 3, 1, 2, 3]].concat());
        for header in [plain, with_tlvs] {
            let whole = [&header[..], b"EHLO client\r\n"].concat();
            assert_eq!(read(&whole), Ok((client("192.0.2.7:56324"), header.len())));
        }
        let mut body = [0; 36];
        body[..16].copy_from_slice(&"2001:db8::7".parse::<Ipv6Addr>().unwrap().octets());
        body[32..34].copy_from_slice(&[0xDC, 0x04]);
        assert_eq!(parse(&binary(PROXY, 0x21, &body)), Ok(client("[2001:db8::7]:56324")));
    }

    #[test]
    fn a_health_check_and_a_client_without_an_address_are_nobody() {
        let nobody = Ok(Progress::Complete(Proxied::Nobody));
        assert_eq!(parse(b"PROXY UNKNOWN\r\n"), nobody);
        assert_eq!(parse(b"PROXY UNKNOWN ffff:f:f::f ::1 65535 65535\r\n"), nobody);
        assert_eq!(parse(&binary(LOCAL, 0x00, &[])), nobody);
        assert_eq!(parse(&binary(LOCAL, 0x11, &IPV4_BODY)), nobody, "its addresses mean nothing");
        assert_eq!(parse(&binary(PROXY, 0x00, &[])), nobody);
        assert_eq!(parse(&binary(PROXY, 0x31, &[0; 216])), nobody);
    }

    #[test]
    fn no_octet_of_the_client_is_asked_for() {
        for header in [b"PROXY UNKNOWN\r\n".to_vec(), binary(LOCAL, 0, &[])] {
            assert_eq!(read(&header).unwrap().1, header.len());
        }
    }

    #[test]
    fn what_is_no_header_is_known_by_its_first_octets() {
        for octets in [&b"E"[..], b"EHLO client\r\n", b"PROXX", b"\r\n\r\n\0\r\nQUIX", b"\x16\x03\x01", b"\n"]
        {
            assert!(parse(octets).is_err(), "{octets:?}");
        }
        assert_eq!(parse(b""), Ok(Progress::Needs(15)));
    }

    #[test]
    fn lines_that_are_almost_right_are_refused() {
        for line in [
            "PROXY TCP4 192.0.2.7 198.51.100.1 56324 25\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 56324 25 1\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 056324 25\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 +1 25\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 65536 25\r\n",
            "PROXY TCP4 192.0.2.007 198.51.100.1 1 25\r\n",
            "PROXY TCP4  192.0.2.7 198.51.100.1 1 25\r\n",
            "PROXY TCP4 2001:db8::7 2001:db8::1 1 25\r\n",
            "PROXY TCP6 192.0.2.7 198.51.100.1 1 25\r\n",
            "PROXY UDP4 192.0.2.7 198.51.100.1 1 25\r\n",
            "PROXY \r\n",
        ] {
            assert!(parse(line.as_bytes()).is_err(), "{line:?}");
        }
    }

    #[test]
    fn headers_of_version_2_that_mean_nothing_are_refused() {
        for (command, family, body) in [
            (0x11, 0x11, &IPV4_BODY[..]),
            (0x22, 0x11, &IPV4_BODY),
            (PROXY, 0x12, &IPV4_BODY),
            (PROXY, 0x41, &IPV4_BODY),
            (PROXY, 0x11, &IPV4_BODY[..11]),
            (PROXY, 0x21, &IPV4_BODY),
        ] {
            assert!(parse(&binary(command, family, body)).is_err(), "{command:#x} {family:#x}");
        }
    }

    #[test]
    fn a_header_without_an_end_is_given_up() {
        let endless = format!("PROXY TCP4 {}", "1".repeat(200));
        assert!(read(endless.as_bytes()).is_err());
        let mut huge = binary(PROXY, 0x11, &IPV4_BODY);
        huge[14..16].copy_from_slice(&[0xFF, 0xFF]);
        assert!(parse(&huge[..16]).is_err(), "its length alone is enough");
    }
}
