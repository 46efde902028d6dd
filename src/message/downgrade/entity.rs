//! The header of an entity, as far as it says how to read the body (RFC 2045 §5, §6).

use super::walk::Begins;

/// An entity whose body begins.
#[derive(Debug)]
pub(super) struct Entity {
    /// Its fields.
    header: Vec<u8>,
    /// The empty line behind it, if there is one.
    pub(super) separator: &'static [u8],
    pub(super) kind: Kind,
    begins: Begins,
    media_type: Option<Vec<u8>>,
    coding: Vec<u8>,
}

/// What its body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Multipart,
    /// Another message.
    Message,
    /// The part with this number.
    Leaf(usize),
}

impl Entity {
    pub(super) fn new(header: Vec<u8>, separator: &'static [u8], begins: Begins) -> Self {
        let media_type = value(&header, CONTENT_TYPE);
        let coding = value(&header, TRANSFER_ENCODING).unwrap_or_default();
        let coding = coding.trim_ascii().to_ascii_lowercase();
        Self { header, separator, kind: Kind::Leaf(0), begins, media_type, coding }
    }

    /// Of a multipart whose parts can be gone into.
    pub(super) fn boundary(&self) -> Option<Vec<u8>> {
        if !self.is(b"multipart/") || !self.is_identity() {
            return None;
        }
        let parameters = self.media_type.as_deref().unwrap_or_default();
        let boundary = parameter(parameters, b"boundary")?;
        (!boundary.is_empty() && boundary.len() <= MAX_BOUNDARY).then_some(boundary)
    }

    /// Whether another message follows.
    pub(super) fn is_message(&self) -> bool {
        self.is(b"message/rfc822") && self.is_identity()
    }

    /// Whether it may be given another transfer encoding.
    pub(super) fn is_encodable(&self) -> bool {
        self.is_identity() && !self.is(b"multipart/")
    }

    /// Text, also where nothing is said (RFC 2045 §5.2).
    pub(super) fn is_text(&self) -> bool {
        self.media_type.is_none() || self.is(b"text/") || self.is(b"message/")
    }

    /// Whether it is not said to have octets above 127.
    pub(super) fn is_seven_bit(&self) -> bool {
        matches!(self.coding.as_slice(), b"" | b"7bit")
    }

    /// Not encoded.
    fn is_identity(&self) -> bool {
        matches!(self.coding.as_slice(), b"" | b"7bit" | b"8bit" | b"binary")
    }

    fn is(&self, prefix: &[u8]) -> bool {
        let media_type = self.media_type.as_deref().unwrap_or_default().trim_ascii_start();
        media_type.get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix))
    }

    /// The header, saying that the body has this transfer encoding.
    pub(super) fn header_with(&self, coding: Option<&str>) -> Vec<u8> {
        let Some(coding) = coding else { return self.header.clone() };
        let mut header = Vec::with_capacity(self.header.len().saturating_add(128));
        for field in fields(&self.header).filter(|field| !is_named(field, TRANSFER_ENCODING)) {
            header.extend_from_slice(field);
        }
        if !header.is_empty() && !header.ends_with(b"\n") {
            header.extend_from_slice(b"\r\n");
        }
        let whole = self.begins == Begins::Message;
        if whole && value(&self.header, b"MIME-Version").is_none() {
            header.extend_from_slice(b"MIME-Version: 1.0\r\n");
        }
        if whole && self.media_type.is_none() {
            // RFC 1428 §3.
            header.extend_from_slice(b"Content-Type: text/plain; charset=unknown-8bit\r\n");
        }
        header.extend_from_slice(format!("Content-Transfer-Encoding: {coding}\r\n").as_bytes());
        header
    }
}

/// The first field of this name, unfolded, without comments' meaning.
fn value(header: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let field = fields(header).find(|field| is_named(field, name))?;
    let after = field.iter().position(|octet| *octet == b':')?.saturating_add(1);
    Some(field.get(after..)?.iter().copied().filter(|octet| !matches!(octet, b'\r' | b'\n')).collect())
}

fn is_named(field: &[u8], name: &[u8]) -> bool {
    field
        .iter()
        .position(|octet| *octet == b':')
        .and_then(|at| field.get(..at))
        .is_some_and(|found| found.trim_ascii_end().eq_ignore_ascii_case(name))
}

/// Each with its continuation lines.
pub(super) fn fields(header: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = header;
    std::iter::from_fn(move || {
        let mut length: usize = 0;
        for line in rest.split_inclusive(|octet| *octet == b'\n') {
            if length > 0 && !matches!(line.first(), Some(b' ' | b'\t')) {
                break;
            }
            length = length.saturating_add(line.len());
        }
        let (field, after) = rest.split_at_checked(length).filter(|(field, _)| !field.is_empty())?;
        rest = after;
        Some(field)
    })
}

/// The value of a parameter (RFC 2045 §5.1), unquoted.
fn parameter(value: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let (mut quoted, mut escaped) = (false, false);
    let pieces = value.split(|octet| {
        let border = *octet == b';' && !quoted;
        quoted ^= *octet == b'"' && !escaped;
        escaped = *octet == b'\\' && quoted && !escaped;
        border
    });
    for piece in pieces.skip(1) {
        let Some(at) = piece.iter().position(|octet| *octet == b'=') else { continue };
        let (found, value) = piece.split_at_checked(at)?;
        if found.trim_ascii().eq_ignore_ascii_case(name) {
            return Some(unquote(value.get(1..)?.trim_ascii()));
        }
    }
    None
}

fn unquote(value: &[u8]) -> Vec<u8> {
    let Some(inner) = value.strip_prefix(b"\"") else {
        // A comment may follow a token.
        return value.split(|octet| matches!(octet, b' ' | b'\t' | b'(')).next().unwrap_or_default().to_vec();
    };
    let mut escaped = false;
    inner
        .iter()
        .copied()
        .take_while(|octet| *octet != b'"')
        .filter(|octet| {
            escaped = *octet == b'\\' && !escaped;
            !escaped
        })
        .collect()
}

const CONTENT_TYPE: &[u8] = b"Content-Type";
const TRANSFER_ENCODING: &[u8] = b"Content-Transfer-Encoding";

/// RFC 2046 §5.1.1 allows 70; some write more.
const MAX_BOUNDARY: usize = 256;
