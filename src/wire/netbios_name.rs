//! NetBIOS names and their two encodings (RFC 1001 §14, RFC 1002 §4.1).

use std::fmt;

use super::reader::{Reader, Reason, WireError};

/// The 16 bytes of a NetBIOS name: 15 of name in the sender's OEM code page, padded with blanks, and the [`NameType`].
///
/// A claim of the sender, never a proof.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct NetbiosName([u8; 16]);

/// The sixteenth byte of a name: which service of the host it stands for. Unknown values pass through to the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct NameType(pub u8);

impl NameType {
    /// `<00>`: a workstation (unique) or a workgroup (group).
    pub const WORKSTATION: Self = Self(0x00);
    /// `<03>`: the messenger, for a computer or a logged-on user.
    pub const MESSENGER: Self = Self(0x03);
    /// `<1B>`: the domain master browser.
    pub const DOMAIN_MASTER: Self = Self(0x1B);
    /// `<1C>`: the domain controllers, an internet group.
    pub const DOMAIN_CONTROLLERS: Self = Self(0x1C);
    /// `<1D>`: the local master browser.
    pub const LOCAL_MASTER: Self = Self(0x1D);
    /// `<1E>`: the group of possible browsers.
    pub const BROWSER_ELECTION: Self = Self(0x1E);
    /// `<20>`: the file server.
    pub const FILE_SERVER: Self = Self(0x20);
}

impl fmt::Display for NameType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{:02X}>", self.0)
    }
}

impl NetbiosName {
    /// The name whose type is [`NameType`] `kind` and whose text is `text` in an OEM code page: at most 15 bytes, which
    /// are padded with blanks; `*` alone is the wildcard and padded with NULs (RFC 1001 §14).
    ///
    /// # Errors
    /// `OutOfBounds` for a longer text.
    pub fn new(text: &[u8], kind: NameType) -> Result<Self, WireError> {
        let mut bytes = if text == b"*" { [0; 16] } else { [b' '; 16] };
        let Some(head) = bytes.get_mut(..15).and_then(|head| head.get_mut(..text.len())) else {
            let value = u64::try_from(text.len()).unwrap_or(u64::MAX);
            return Err(WireError::new("NetBIOS name", 0, Reason::OutOfBounds { value, limit: 15 }));
        };
        head.copy_from_slice(text);
        bytes[15] = kind.0;
        Ok(Self(bytes))
    }

    /// The name as its 16 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// All 16 bytes, padding and type included.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The text without the padding (trailing blanks and NULs), in the sender's OEM code page.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        // Seen as one number, without the bit by which a blank differs from a NUL, it ends in as many zero bytes.
        let text = u128::from_be_bytes(self.0) >> 8 & !u128::from_be_bytes([b' '; 16]);
        let padding = usize::try_from(text.trailing_zeros() / 8).unwrap_or(15);
        self.0.get(..15_usize.saturating_sub(padding)).unwrap_or_default()
    }

    /// Which service of the host it stands for.
    #[must_use]
    pub const fn name_type(&self) -> NameType {
        NameType(self.0[15])
    }

    /// The same text as the name of another service.
    #[must_use]
    pub const fn with_type(self, kind: NameType) -> Self {
        let Self(mut bytes) = self;
        bytes[15] = kind.0;
        Self(bytes)
    }

    /// Reads one label: the length byte 0x20 and 32 letters `A`–`P`, two for each byte (RFC 1001 §14.1).
    ///
    /// Anything else, pointers and lower case included, is refused: in datagram headers neither occurs.
    ///
    /// # Errors
    /// The length, the first letter out of range, or the truncation, under the name of `field`.
    #[inline]
    pub fn parse_label(reader: &mut Reader<'_>, field: &'static str) -> Result<Self, WireError> {
        let start = reader.offset();
        let length = reader.u8(field)?;
        if length != 0x20 {
            return Err(WireError::new(field, start, Reason::NotAllowed { value: length.into() }));
        }
        Self::from_letters(&reader.array(field)?)
            .ok_or_else(|| WireError::new(field, start, Reason::Malformed("a letter outside A to P")))
    }

    /// In steps that compilers turn into a few vector instructions: every datagram has 64 letters.
    #[inline]
    fn from_letters(letters: &[u8; 32]) -> Option<Self> {
        let nibbles = letters.map(|letter| letter.wrapping_sub(b'A'));
        let seen = nibbles.iter().fold(0, |seen, nibble| seen | nibble);
        let mut bytes = [0; 16];
        let (pairs, _) = nibbles.as_chunks::<2>();
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = high << 4 | low;
        }
        // `A` to `P` are 0 to 15; any other letter has a higher bit.
        (seen & 0xF0 == 0).then_some(Self(bytes))
    }

    /// Writes the label that [`Self::parse_label`] reads: 33 bytes.
    pub fn emit_label(&self, out: &mut Vec<u8>) {
        out.push(0x20);
        for byte in self.0 {
            out.extend([b'A'.saturating_add(byte >> 4), b'A'.saturating_add(byte & 0x0F)]);
        }
    }
}

/// `ALERTS<03>`: bytes outside printable ASCII as `\xNN`, since the code page is not known here.
impl fmt::Display for NetbiosName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.text().escape_ascii(), self.name_type())
    }
}

impl fmt::Debug for NetbiosName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The scope identifier that follows a name: part of its identity, almost always empty (RFC 1001 §9, §14.2).
///
/// Kept as written, labels joined by dots; at most 221 bytes, at most ten labels.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Scope(Option<Box<[u8]>>);

impl Scope {
    const MAX_LABELS: usize = 10;
    const MAX_LENGTH: usize = 221;

    /// The scope of text labels joined by dots.
    ///
    /// # Errors
    /// A label that is empty or longer than 63 bytes, more than ten of them, or more than 221 bytes in all.
    pub fn new(text: &[u8]) -> Result<Self, WireError> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let malformed = |text| WireError::new("scope", 0, Reason::Malformed(text));
        if text.len() > Self::MAX_LENGTH || text.split(|&byte| byte == b'.').count() > Self::MAX_LABELS {
            return Err(malformed("longer than 221 bytes or ten labels"));
        }
        if text.split(|&byte| byte == b'.').any(|label| label.is_empty() || label.len() > 63) {
            return Err(malformed("a label is empty or longer than 63 bytes"));
        }
        Ok(Self(Some(text.into())))
    }

    /// The labels joined by dots; empty for the empty scope.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }

    /// Whether no scope is set.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Reads labels up to and with the closing zero byte.
    ///
    /// # Errors
    /// A pointer or a label over 63 bytes, too many labels, or the truncation, under the name of `field`.
    #[inline]
    pub fn parse(reader: &mut Reader<'_>, field: &'static str) -> Result<Self, WireError> {
        if reader.rest().first() == Some(&0) {
            reader.u8(field)?;
            return Ok(Self(None));
        }
        Self::parse_labels(reader, field)
    }

    /// Apart from [`Self::parse`], so that the scope that almost all names have stays cheap: the empty one.
    #[cold]
    fn parse_labels(reader: &mut Reader<'_>, field: &'static str) -> Result<Self, WireError> {
        let start = reader.offset();
        let mut text = Vec::new();
        for _ in 0..=Self::MAX_LABELS {
            let length = reader.u8(field)?;
            if length == 0 {
                return Self::new(&text).map_err(|error| WireError::new(field, start, error.reason()));
            }
            if length > 63 {
                return Err(WireError::new(field, start, Reason::NotAllowed { value: length.into() }));
            }
            if !text.is_empty() {
                text.push(b'.');
            }
            text.extend_from_slice(reader.bytes(field, length.into())?);
        }
        Err(WireError::new(field, start, Reason::Malformed("more than ten scope labels")))
    }

    /// Writes the labels and the closing zero byte.
    pub fn emit(&self, out: &mut Vec<u8>) {
        for label in self.text().split(|&byte| byte == b'.').filter(|label| !label.is_empty()) {
            out.push(u8::try_from(label.len()).unwrap_or(63));
            out.extend_from_slice(label);
        }
        out.push(0);
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.text().escape_ascii())
    }
}

/// Reads a name as datagram headers carry it: one label, then the scope; 34 bytes without a scope.
///
/// # Errors
/// What [`NetbiosName::parse_label`] and [`Scope::parse`] refuse.
#[inline]
pub fn parse_qualified(
    reader: &mut Reader<'_>,
    field: &'static str,
) -> Result<(NetbiosName, Scope), WireError> {
    // As nearly all are: one label and no scope, 34 bytes with one check of their bounds.
    if let Some([0x20, letters @ .., 0]) = reader.rest().first_chunk::<34>()
        && let Some(name) = NetbiosName::from_letters(letters)
    {
        reader.array::<34>(field)?;
        return Ok((name, Scope(None)));
    }
    parse_unusual(reader, field)
}

/// As [`parse_qualified`], for names with a scope, and to find what is wrong with the others.
#[cold]
fn parse_unusual(reader: &mut Reader<'_>, field: &'static str) -> Result<(NetbiosName, Scope), WireError> {
    Ok((NetbiosName::parse_label(reader, field)?, Scope::parse(reader, field)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 1001 §14.1 gives this name and its letters.
    const FRED: &[u8] = b"\x20EGFCEFEECACACACACACACACACACACACA\0";

    #[test]
    fn the_rfcs_own_example_decodes_and_encodes() {
        let (name, scope) = parse_qualified(&mut Reader::new(FRED), "NAME").unwrap();
        // All sixteen bytes are padded, so the type is a blank, 0x20.
        assert_eq!((name.text(), name.name_type()), (b"FRED".as_slice(), NameType::FILE_SERVER));
        let mut out = Vec::new();
        name.emit_label(&mut out);
        scope.emit(&mut out);
        assert_eq!(out, FRED);
    }

    #[test]
    fn lower_case_pointers_and_other_lengths_are_refused_with_the_field() {
        for (at, value) in [(0, 0xC0), (0, 33), (3, b'a'), (3, b'Q')] {
            let mut bytes = FRED.to_vec();
            bytes[at] = value;
            let error = parse_qualified(&mut Reader::new(&bytes), "SOURCE_NAME").unwrap_err();
            assert_eq!((error.field(), error.offset()), ("SOURCE_NAME", 0));
        }
    }

    #[test]
    fn a_scope_is_kept_and_an_endless_one_is_refused() {
        let mut bytes = FRED[..33].to_vec();
        bytes.extend(b"\x05PLANT\x05LOCAL\0");
        let (_, scope) = parse_qualified(&mut Reader::new(&bytes), "NAME").unwrap();
        assert_eq!(scope, Scope::new(b"PLANT.LOCAL").unwrap());
        bytes.truncate(33);
        bytes.extend(b"\x01A".repeat(40));
        assert!(parse_qualified(&mut Reader::new(&bytes), "NAME").is_err());
    }

    #[test]
    fn blanks_and_nuls_behind_a_name_are_no_part_of_it_and_those_within_are() {
        for (bytes, text) in [
            (b"FIFTEEN BYTES!!\x03", b"FIFTEEN BYTES!!".as_slice()),
            (b"ONE\0TWO \0 \0    \x20", b"ONE\0TWO"),
            (b"*\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", b"*"),
            (b"X              \xFF", b"X"),
            (b"               \x03", b""),
        ] {
            assert_eq!(NetbiosName::from_bytes(*bytes).text(), text);
        }
    }

    #[test]
    fn the_wildcard_is_padded_with_nuls_and_a_long_name_is_refused() {
        assert_eq!(NetbiosName::new(b"*", NameType::WORKSTATION).unwrap().as_bytes()[1..], [0; 15]);
        assert!(NetbiosName::new(b"SIXTEENBYTENAME1", NameType::MESSENGER).is_err());
    }
}
