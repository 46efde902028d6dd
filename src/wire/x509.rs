//! Who issued a certificate (X.509, RFC 5280 §4.1), from its DER octets: what an operator needs to recognise an
//! inspecting proxy or an authority that is not trusted. Proves nothing.

/// The issuer, most telling part first: `CN=Plant Root CA, O=Plant`. Nothing when the octets are no certificate.
///
/// Characters that could change a log line are left out, and it is at most [`MAX_NAME`] characters long.
#[must_use]
pub fn issuer(certificate: &[u8]) -> Option<String> {
    let (SEQUENCE, certificate, _) = element(certificate)? else { return None };
    let (SEQUENCE, mut rest, _) = element(certificate)? else { return None };
    // The version is left out of certificates of version 1; then serial number and signature algorithm.
    if let (VERSION, _, after) = element(rest)? {
        rest = after;
    }
    for _ in 0..2 {
        rest = element(rest)?.2;
    }
    let (SEQUENCE, name, _) = element(rest)? else { return None };
    Some(shown(name))
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
    fn a_certificate_that_was_cut_anywhere_has_no_issuer() {
        let whole = certificate(&[(DnType::CommonName, DnValue::Utf8String("a".repeat(300)))]);
        assert_eq!(issuer(&whole).unwrap().chars().count(), MAX_NAME);
        for end in 0..whole.len() {
            assert_eq!(issuer(&whole[..end]), None, "{end}");
        }
    }
}
