//! A cursor over untrusted bytes that cannot leave them, and the error that says where it stopped.

use std::fmt;

/// Why some bytes are not what a standard says, in words for the debug log and for `mailslotd decode`.
///
/// `Copy` and without any of the peer's text, so it may go to a log or become a metric label unescaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WireError {
    field: &'static str,
    offset: usize,
    reason: Reason,
}

/// What is wrong with the field that a [`WireError`] names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The field is longer than what is left.
    Truncated {
        /// Bytes the field takes.
        need: usize,
        /// Bytes that are left.
        left: usize,
    },
    /// The value is none of those the standard allows here.
    NotAllowed {
        /// The value as read.
        value: u64,
    },
    /// The offset or length points outside the part of the message it must stay in.
    OutOfBounds {
        /// The value as read.
        value: u64,
        /// The greatest value that would have been accepted.
        limit: u64,
    },
    /// The bytes break a rule of the field's own; the text says which.
    Malformed(&'static str),
}

impl WireError {
    /// An error about `field`, which starts `offset` bytes into the message.
    #[must_use]
    pub const fn new(field: &'static str, offset: usize, reason: Reason) -> Self {
        Self { field, offset, reason }
    }

    /// The field as the standard spells it: `DGM_LENGTH`, `DataOffset`.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        self.field
    }

    /// Bytes from the start of the message to the field (or to where the parser stood when it refused it).
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// What is wrong with it.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.reason
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: ", self.field, self.offset)?;
        match self.reason {
            Reason::Truncated { need, left } => write!(f, "need {need} bytes, {left} left"),
            Reason::NotAllowed { value } => write!(f, "value {value:#04x} not allowed"),
            Reason::OutOfBounds { value, limit } => write!(f, "value {value} past the limit of {limit}"),
            Reason::Malformed(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for WireError {}

/// A position in a slice. Every read names its field, moves forward, and fails rather than pass the end.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the first byte of a message.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, offset: 0 }
    }

    /// A reader over a part that starts `offset` bytes into its message, so that errors count from the message's start.
    #[must_use]
    pub const fn at(bytes: &'a [u8], offset: usize) -> Self {
        Self { rest: bytes, offset }
    }

    /// Bytes from the start of the message to the next one read.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// How many bytes are left.
    #[must_use]
    pub const fn left(&self) -> usize {
        self.rest.len()
    }

    /// The bytes that are left, without moving.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// An error about `field` at the present position.
    #[must_use]
    pub const fn bad(&self, field: &'static str, reason: Reason) -> WireError {
        WireError::new(field, self.offset, reason)
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// `Truncated` when fewer are left.
    #[inline]
    pub fn bytes(&mut self, field: &'static str, count: usize) -> Result<&'a [u8], WireError> {
        let Some((head, tail)) = self.rest.split_at_checked(count) else {
            return Err(self.bad(field, Reason::Truncated { need: count, left: self.rest.len() }));
        };
        self.rest = tail;
        self.offset = self.offset.saturating_add(count);
        Ok(head)
    }

    /// The next `N` bytes as an array.
    ///
    /// # Errors
    /// `Truncated` when fewer are left.
    #[inline]
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], WireError> {
        let Some((head, tail)) = self.rest.split_first_chunk::<N>() else {
            return Err(self.bad(field, Reason::Truncated { need: N, left: self.rest.len() }));
        };
        self.rest = tail;
        self.offset = self.offset.saturating_add(N);
        Ok(*head)
    }

    /// One octet.
    ///
    /// # Errors
    /// `Truncated` at the end.
    #[inline]
    pub fn u8(&mut self, field: &'static str) -> Result<u8, WireError> {
        let [value] = self.array(field)?;
        Ok(value)
    }

    /// Two octets, big-endian (NetBIOS headers).
    ///
    /// # Errors
    /// `Truncated` when fewer are left.
    #[inline]
    pub fn u16_be(&mut self, field: &'static str) -> Result<u16, WireError> {
        Ok(u16::from_be_bytes(self.array(field)?))
    }

    /// Four octets, big-endian (NetBIOS headers).
    ///
    /// # Errors
    /// `Truncated` when fewer are left.
    #[inline]
    pub fn u32_be(&mut self, field: &'static str) -> Result<u32, WireError> {
        Ok(u32::from_be_bytes(self.array(field)?))
    }

    /// Two octets, little-endian (SMB and what it carries).
    ///
    /// # Errors
    /// `Truncated` when fewer are left.
    #[inline]
    pub fn u16_le(&mut self, field: &'static str) -> Result<u16, WireError> {
        Ok(u16::from_le_bytes(self.array(field)?))
    }

    /// Four octets, little-endian (SMB and what it carries).
    ///
    /// # Errors
    /// `Truncated` when fewer are left.
    #[inline]
    pub fn u32_le(&mut self, field: &'static str) -> Result<u32, WireError> {
        Ok(u32::from_le_bytes(self.array(field)?))
    }

    /// A reader over the next `count` bytes, which it cannot leave; this one moves behind them.
    ///
    /// # Errors
    /// `Truncated` when fewer are left.
    #[inline]
    pub fn sub(&mut self, field: &'static str, count: usize) -> Result<Self, WireError> {
        let offset = self.offset;
        Ok(Self { rest: self.bytes(field, count)?, offset })
    }

    /// The bytes up to the next NUL, which is consumed and not returned.
    ///
    /// # Errors
    /// `Malformed` when no NUL follows.
    #[inline]
    pub fn until_nul(&mut self, field: &'static str) -> Result<&'a [u8], WireError> {
        self.next_string().ok_or_else(|| self.bad(field, Reason::Malformed("no NUL ends it")))
    }

    /// The bytes up to the next NUL or the end, whichever comes first; both are consumed.
    #[inline]
    pub fn until_nul_or_end(&mut self) -> &'a [u8] {
        self.next_string().unwrap_or_else(|| {
            let rest = std::mem::take(&mut self.rest);
            self.offset = self.offset.saturating_add(rest.len());
            rest
        })
    }

    #[inline]
    fn next_string(&mut self) -> Option<&'a [u8]> {
        let (head, tail) = self.rest.split_at_checked(first_nul(self.rest)?)?;
        let (_nul, tail) = tail.split_first()?;
        self.rest = tail;
        self.offset = self.offset.saturating_add(head.len()).saturating_add(1);
        Some(head)
    }
}

/// Where the first NUL is. Eight bytes at a time: the strings on the wire are a few bytes long, so that looking at each
/// byte, and making ready for long strings as `memchr` does, both take longer.
#[inline]
fn first_nul(bytes: &[u8]) -> Option<usize> {
    const LOW_BITS: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH_BITS: u64 = u64::from_ne_bytes([0x80; 8]);
    let (words, rest) = bytes.as_chunks::<8>();
    let mut start = 0_usize;
    for word in words {
        let word = u64::from_le_bytes(*word);
        // The lowest bit that is set is the high bit of the first byte that is zero.
        let nuls = word.wrapping_sub(LOW_BITS) & !word & HIGH_BITS;
        if nuls != 0 {
            return Some(start.saturating_add(usize::try_from(nuls.trailing_zeros() / 8).ok()?));
        }
        start = start.saturating_add(8);
    }
    let in_rest = rest.iter().position(|&byte| byte == 0)?;
    Some(start.saturating_add(in_rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_past_the_end_names_itself_where_it_starts_and_what_is_missing() {
        let mut reader = Reader::new(&[1, 2, 3]);
        assert_eq!(reader.u16_be("DGM_ID"), Ok(0x0102));
        let error = reader.u32_be("SOURCE_IP").unwrap_err();
        assert_eq!(error.to_string(), "SOURCE_IP at byte 2: need 4 bytes, 1 left");
        assert_eq!(reader.left(), 1, "a refused read does not move");
    }

    #[test]
    fn a_sub_reader_cannot_leave_its_length_and_counts_from_the_message_start() {
        let mut reader = Reader::new(&[0, 1, 2, 3]);
        reader.u8("FLAGS").unwrap();
        let mut sub = reader.sub("BODY", 2).unwrap();
        sub.u16_le("WORD").unwrap();
        assert_eq!(sub.u8("NEXT").unwrap_err().offset(), 3);
        assert_eq!(reader.rest(), [3]);
    }

    #[test]
    fn a_nul_is_found_wherever_it_is_and_the_first_of_several() {
        for other in [1, 0x80, 0xFF] {
            for at in 0..20 {
                let mut bytes = [other; 20];
                bytes[at..].fill(0);
                assert_eq!(first_nul(&bytes), Some(at));
                bytes[at..].fill(other);
                bytes[at] = 0;
                assert_eq!(first_nul(&bytes), Some(at));
            }
            assert_eq!(first_nul(&[other; 20]), None);
        }
    }

    #[test]
    fn text_without_its_nul_ends_where_the_bytes_end() {
        let mut reader = Reader::new(b"ab\0cd");
        assert_eq!(reader.until_nul("From").unwrap(), b"ab");
        assert!(reader.until_nul("To").is_err());
        assert_eq!(reader.until_nul_or_end(), b"cd");
        assert_eq!(reader.left(), 0);
    }
}
