//! Who issued a certificate (X.509, RFC 5280 §4.1) and when it ends, from its DER octets: what an operator needs to
//! recognise an inspecting proxy or an authority that is not trusted, and to renew in time. Proves nothing.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// The issuer, most telling part first: `CN=Plant Root CA, O=Plant`. Nothing when the octets are no certificate.
///
/// Characters that could change a log line are left out, and it is at most [`MAX_NAME`] characters long.
#[must_use]
pub fn issuer(certificate: &[u8]) -> Option<String> {
    issuer_and_rest(certificate).map(|(name, _)| shown(name))
}

/// When the certificate ends (RFC 5280 §4.1.2.5). Nothing when the octets are no certificate, or it never ends.
#[must_use]
pub fn not_after(certificate: &[u8]) -> Option<Timestamp> {
    let (_, rest) = issuer_and_rest(certificate)?;
    let (SEQUENCE, validity, _) = element(rest)? else { return None };
    let (_, _, rest) = element(validity)?;
    let (tag, text, _) = element(rest)?;
    let text = std::str::from_utf8(text).ok()?;
    let whole = match tag {
        // Two digits of the year: 1950 to 2049.
        UTC_TIME if text < "5" => format!("20{text}"),
        UTC_TIME => format!("19{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let civil = DateTime::strptime("%Y%m%d%H%M%SZ", whole).ok()?;
    civil.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// The issuer's name, and what stands behind it.
fn issuer_and_rest(certificate: &[u8]) -> Option<(&[u8], &[u8])> {
    let (SEQUENCE, certificate, _) = element(certificate)? else { return None };
    let (SEQUENCE, mut rest, _) = element(certificate)? else { return None };
    // The version is left out of certificates of version 1; then serial number and signature algorithm.
    if let (VERSION, _, after) = element(rest)? {
        rest = after;
    }
    for _ in 0..2 {
        rest = element(rest)?.2;
    }
    let (SEQUENCE, name, rest) = element(rest)? else { return None };
    Some((name, rest))
}

fn shown(mut name: &[u8]) -> String {
    let mut parts: Vec<(usize, String)> = Vec::new();
    while let Some((SET, mut set, after)) = element(name) {
        name = after;
        while let Some((SEQUENCE, attribute, next)) = element(set) {
            set = next;
            parts.extend(part(attribute));
        }
    }
    parts.sort_by_key(|(rank, _)| *rank);
    let parts: Vec<String> = parts.into_iter().map(|(_, part)| part).collect();
    let whole: String = parts.join(", ").chars().take(MAX_NAME).collect();
    if whole.is_empty() { "(no name)".to_owned() } else { whole }
}

/// An attribute that is worth showing, and its place.
fn part(attribute: &[u8]) -> Option<(usize, String)> {
    let (OBJECT_IDENTIFIER, kind, rest) = element(attribute)? else { return None };
    let rank = SHOWN.iter().position(|(identifier, _)| *identifier == kind)?;
    let (_, label) = SHOWN.get(rank)?;
    let (tag, value, _) = element(rest)?;
    let text: String = match tag {
        BMP_STRING => {
            let units = value
                .chunks_exact(2)
                .map(|pair| pair.iter().fold(0, |unit, octet| unit << 8 | u16::from(*octet)));
            char::decode_utf16(units).map(|letter| letter.unwrap_or('\u{FFFD}')).collect()
        }
        _ => String::from_utf8_lossy(value).into_owned(),
    };
    let text: String = text.chars().filter(|letter| !letter.is_control()).collect();
    Some((rank, format!("{label}={text}")))
}

/// Tag, content and what follows an element (X.690 §8.1): tags of one octet, definite lengths up to 65535.
fn element(octets: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = octets.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7F => (usize::from(*length), rest),
        0x81 => rest.split_first().map(|(length, rest)| (usize::from(*length), rest))?,
        0x82 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        _ => return None,
    };
    let (content, after) = rest.split_at_checked(length)?;
    Some((*tag, content, after))
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const BMP_STRING: u8 = 0x1E;
const VERSION: u8 = 0xA0;

/// Attributes that are shown (RFC 5280 appendix A.1, `id-at`), in their order.
const SHOWN: [(&[u8], &str); 4] =
    [(&[0x55, 4, 3], "CN"), (&[0x55, 4, 11], "OU"), (&[0x55, 4, 10], "O"), (&[0x55, 4, 6], "C")];

/// The most characters of an issuer.
pub const MAX_NAME: usize = 200;

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair};

    use super::*;

    fn certificate(names: &[(DnType, DnValue)]) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["hooks.example".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in names {
            params.distinguished_name.push(kind.clone(), value.clone());
        }
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_common_name_comes_first() {
        let utf8 = |text: &str| DnValue::Utf8String(text.to_owned());
        let own = certificate(&[
            (DnType::CountryName, utf8("JP")),
            (DnType::OrganizationName, utf8("Plant\r\n電")),
            (DnType::CommonName, DnValue::BmpString("Root 電".try_into().unwrap())),
        ]);
        assert_eq!(issuer(&own).unwrap(), "CN=Root 電, O=Plant電, C=JP");
        assert_eq!(issuer(&certificate(&[])).unwrap(), "(no name)");
    }

    #[test]
    fn the_end_is_read_in_both_forms_that_certificates_have() {
        for (year, expected) in [(2027, "2027-10-01T00:00:00Z"), (2077, "2077-10-01T00:00:00Z")] {
            let mut params = CertificateParams::new(vec!["hooks.example".to_owned()]).unwrap();
            params.not_after = rcgen::date_time_ymd(year, 10, 1);
            let own = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
            assert_eq!(not_after(own.der()), Some(expected.parse().unwrap()));
        }
        assert_eq!(not_after(b"no certificate"), None);
    }

    #[test]
    fn a_certificate_that_was_cut_anywhere_has_no_issuer() {
        let whole = certificate(&[(DnType::CommonName, DnValue::Utf8String("a".repeat(300)))]);
        assert_eq!(issuer(&whole).unwrap().chars().count(), MAX_NAME);
        for end in 0..whole.len() {
            assert_eq!(issuer(&whole[..end]), None, "{end}");
        }
    }
}
