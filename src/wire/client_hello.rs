//! The first octets of a TLS or SSL client: enough to say what an old device can do when no handshake comes about.
//!
//! The record layer and the ClientHello of SSL 3.0 to TLS 1.3 (RFC 6101, RFC 8446 §4.1.2) and the older CLIENT-HELLO of
//! SSL 2.0, which some devices use to offer newer versions (RFC 5246 appendix E.2).

use std::fmt;

use super::reader::{Reader, Reason, WireError};

/// What a client offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientHello {
    /// The newest version it can speak.
    pub newest: Version,
    /// Its cipher suites in its order, as IANA numbers them; those of SSL 2.0 only and the signalling values left out.
    pub cipher_suites: Vec<CipherSuite>,
}

/// A version of TLS or SSL as it is written on the wire: 0x0303 is TLS 1.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u16);

impl Version {
    /// SSL 2.0.
    pub const SSL2: Self = Self(0x0002);
    /// TLS 1.2, the oldest that is spoken here.
    pub const TLS12: Self = Self(0x0303);
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0x0002 => f.write_str("SSL 2.0"),
            0x0300 => f.write_str("SSL 3.0"),
            0x0301 => f.write_str("TLS 1.0"),
            0x0302 => f.write_str("TLS 1.1"),
            0x0303 => f.write_str("TLS 1.2"),
            0x0304 => f.write_str("TLS 1.3"),
            other => write!(f, "version {other:#06x}"),
        }
    }
}

/// A cipher suite by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CipherSuite(pub u16);

/// As IANA names it where it is one that old devices offer, else by its number.
impl fmt::Display for CipherSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SUITES.iter().find(|(number, _)| *number == self.0) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "{:#06x}", self.0),
        }
    }
}

impl ClientHello {
    /// Reads the beginning of what a client sent: its first record, or as much of it as there is.
    ///
    /// # Errors
    /// Where it is no ClientHello, or one that breaks off before its cipher suites.
    pub fn parse(octets: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(octets);
        match octets {
            [HANDSHAKE, ..] => Self::of_record(&mut reader),
            [length, _, 0x01, ..] if length & 0x80 != 0 => Self::of_ssl2(&mut reader),
            _ => {
                Err(reader.bad("ContentType", Reason::Malformed("neither a TLS record nor an SSL 2.0 hello")))
            }
        }
    }

    fn of_record(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        reader.u8("ContentType")?;
        reader.u16_be("legacy_record_version")?;
        reader.u16_be("length")?;
        let kind = reader.u8("msg_type")?;
        if kind != CLIENT_HELLO {
            return Err(reader.bad("msg_type", Reason::NotAllowed { value: kind.into() }));
        }
        reader.bytes("length", 3)?;
        let legacy = Version(reader.u16_be("legacy_version")?);
        reader.bytes("random", 32)?;
        let session = reader.u8("legacy_session_id")?;
        reader.bytes("legacy_session_id", session.into())?;
        let length = reader.u16_be("cipher_suites")?;
        let cipher_suites = suites(reader.bytes("cipher_suites", length.into())?);
        // Whatever is wrong behind the suites, they and the version are known.
        let newest = supported_versions(reader).unwrap_or(legacy);
        Ok(Self { newest, cipher_suites })
    }

    fn of_ssl2(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        reader.u16_be("length")?;
        reader.u8("msg_type")?;
        let newest = Version(reader.u16_be("version")?);
        let length = reader.u16_be("cipher_spec_length")?;
        reader.u16_be("session_id_length")?;
        reader.u16_be("challenge_length")?;
        let (specs, _) = reader.bytes("cipher_specs", length.into())?.as_chunks::<3>();
        let cipher_suites = specs.iter().filter_map(|spec| match *spec {
            [0, high, low] => Some(CipherSuite(u16::from_be_bytes([high, low]))),
            _ => None,
        });
        Ok(Self { newest, cipher_suites: cipher_suites.filter(is_suite).collect() })
    }
}

fn suites(octets: &[u8]) -> Vec<CipherSuite> {
    let (pairs, _) = octets.as_chunks::<2>();
    pairs.iter().map(|pair| CipherSuite(u16::from_be_bytes(*pair))).filter(is_suite).collect()
}

/// Neither a signalling value (RFC 5746, RFC 7507) nor one that keeps servers honest (RFC 8701).
fn is_suite(suite: &CipherSuite) -> bool {
    !matches!(suite.0, 0x00FF | 0x5600) && !is_grease(suite.0)
}

fn is_grease(value: u16) -> bool {
    let [high, low] = value.to_be_bytes();
    high == low && low & 0x0F == 0x0A
}

/// The newest version of the extension `supported_versions` (RFC 8446 §4.2.1), where there is one.
fn supported_versions(reader: &mut Reader<'_>) -> Option<Version> {
    let compression = reader.u8("legacy_compression_methods").ok()?;
    reader.bytes("legacy_compression_methods", compression.into()).ok()?;
    reader.u16_be("extensions").ok()?;
    loop {
        let kind = reader.u16_be("extension_type").ok()?;
        let length = reader.u16_be("extension_data").ok()?;
        let data = reader.bytes("extension_data", length.into()).ok()?;
        if kind == SUPPORTED_VERSIONS {
            let (_, list) = data.split_first()?;
            let (pairs, _) = list.as_chunks::<2>();
            let versions = pairs.iter().map(|pair| u16::from_be_bytes(*pair));
            return versions.filter(|version| !is_grease(*version)).max().map(Version);
        }
    }
}

const HANDSHAKE: u8 = 0x16;
const CLIENT_HELLO: u8 = 0x01;
const SUPPORTED_VERSIONS: u16 = 43;

/// What devices offer that cannot do better, and what this gateway speaks.
const SUITES: &[(u16, &str)] = &[
    (0x0003, "TLS_RSA_EXPORT_WITH_RC4_40_MD5"),
    (0x0004, "TLS_RSA_WITH_RC4_128_MD5"),
    (0x0005, "TLS_RSA_WITH_RC4_128_SHA"),
    (0x0008, "TLS_RSA_EXPORT_WITH_DES40_CBC_SHA"),
    (0x0009, "TLS_RSA_WITH_DES_CBC_SHA"),
    (0x000A, "TLS_RSA_WITH_3DES_EDE_CBC_SHA"),
    (0x0016, "TLS_DHE_RSA_WITH_3DES_EDE_CBC_SHA"),
    (0x002F, "TLS_RSA_WITH_AES_128_CBC_SHA"),
    (0x0033, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA"),
    (0x0035, "TLS_RSA_WITH_AES_256_CBC_SHA"),
    (0x0039, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA"),
    (0x003C, "TLS_RSA_WITH_AES_128_CBC_SHA256"),
    (0x003D, "TLS_RSA_WITH_AES_256_CBC_SHA256"),
    (0x009C, "TLS_RSA_WITH_AES_128_GCM_SHA256"),
    (0x009D, "TLS_RSA_WITH_AES_256_GCM_SHA384"),
    (0x009E, "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256"),
    (0x009F, "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384"),
    (0x1301, "TLS_AES_128_GCM_SHA256"),
    (0x1302, "TLS_AES_256_GCM_SHA384"),
    (0x1303, "TLS_CHACHA20_POLY1305_SHA256"),
    (0xC009, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"),
    (0xC00A, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA"),
    (0xC013, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"),
    (0xC014, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA"),
    (0xC02B, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
    (0xC02C, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
    (0xC02F, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
    (0xC030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
    (0xCCA8, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
    (0xCCA9, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// A record with a ClientHello of `version` that offers `suites`, and `extensions` behind them.
    fn record(version: u16, suites: &[u16], extensions: &[u8]) -> Vec<u8> {
        let mut hello = version.to_be_bytes().to_vec();
        hello.extend([7; 32]);
        hello.push(0);
        hello.extend(u16::try_from(suites.len() * 2).unwrap().to_be_bytes());
        hello.extend(suites.iter().flat_map(|suite| suite.to_be_bytes()));
        hello.extend([1, 0]);
        if !extensions.is_empty() {
            hello.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
            hello.extend(extensions);
        }
        let length = u32::try_from(hello.len()).unwrap().to_be_bytes();
        let mut message = vec![CLIENT_HELLO];
        message.extend(&length[1..]);
        message.extend(hello);
        let mut record = vec![HANDSHAKE, 3, 1];
        record.extend(u16::try_from(message.len()).unwrap().to_be_bytes());
        record.extend(message);
        record
    }

    #[test]
    fn a_device_of_before_tls_1_2_shows_its_version_and_suites() {
        let hello = ClientHello::parse(&record(0x0301, &[0x0005, 0x000A, 0x00FF], &[])).unwrap();
        assert_eq!(hello.newest.to_string(), "TLS 1.0");
        assert!(hello.newest < Version::TLS12);
        let names: Vec<String> = hello.cipher_suites.iter().map(CipherSuite::to_string).collect();
        assert_eq!(names, ["TLS_RSA_WITH_RC4_128_SHA", "TLS_RSA_WITH_3DES_EDE_CBC_SHA"]);
    }

    #[test]
    fn a_modern_client_hides_its_version_in_an_extension() {
        let server_name = [0, 0, 0, 2, 0, 0];
        let versions = [0, 43, 0, 7, 6, 0x7A, 0x7A, 3, 4, 3, 3];
        let extensions = [&server_name[..], &versions].concat();
        let hello =
            ClientHello::parse(&record(0x0303, &[0x1301, 0x2A2A, 0xC02F, 0x1234], &extensions)).unwrap();
        assert_eq!(hello.newest.to_string(), "TLS 1.3");
        assert_eq!(hello.cipher_suites, [0x1301, 0xC02F, 0x1234].map(CipherSuite));
        assert_eq!(CipherSuite(0x1234).to_string(), "0x1234");
    }

    #[test]
    fn the_hello_of_ssl_2_is_understood_whatever_version_it_offers() {
        let hello = |version: [u8; 2]| {
            let mut octets = vec![0x80, 28, 1, version[0], version[1], 0, 9, 0, 0, 0, 16];
            octets.extend([0x01, 0x00, 0x80, 0x00, 0x00, 0x0A, 0x00, 0x00, 0x05]);
            octets.extend([7; 16]);
            ClientHello::parse(&octets).unwrap()
        };
        assert_eq!(hello([0, 2]).newest, Version::SSL2);
        let newer = hello([3, 0]);
        assert_eq!((newer.newest.to_string().as_str(), newer.cipher_suites.len()), ("SSL 3.0", 2));
    }

    #[test]
    fn a_hello_that_breaks_off_behind_its_suites_tells_all_the_same() {
        let whole = record(0x0303, &[0x0035], &[0, 43, 0, 3, 2, 3, 3]);
        let suites_end = 5 + 4 + 2 + 32 + 1 + 2 + 2;
        for length in 0..whole.len() {
            let parsed = ClientHello::parse(&whole[..length]);
            assert_eq!(parsed.is_ok(), length >= suites_end, "{length}");
        }
    }

    #[test]
    fn what_is_no_hello_is_refused() {
        for octets in [
            &b""[..],
            b"EHLO x\r\n",
            b"GET / HTTP/1.1\r\n",
            b"\x16\x03\x01\x00\x04\x02\0\0\0",
            b"\x80\x02\x04\0\0",
        ] {
            assert!(ClientHello::parse(octets).is_err(), "{octets:?}");
        }
    }
}
