//! The properties of a content (§4.2.6.1, class `basic`).

use std::fmt;

use super::method::{long_string, short_string};
use crate::wire::reader::{Reader, WireError};

/// At most 255 octets of UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ShortString(String);

/// A text has more than 255 octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong {
    /// How many it has.
    pub octets: usize,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "has {} octets, and AMQP takes {LONGEST_SHORT_STRING}", self.octets)
    }
}

impl std::error::Error for TooLong {}

impl ShortString {
    /// Checks the length.
    ///
    /// # Errors
    /// [`TooLong`].
    pub fn new(text: impl Into<String>) -> Result<Self, TooLong> {
        let text = text.into();
        if text.len() > LONGEST_SHORT_STRING { Err(TooLong { octets: text.len() }) } else { Ok(Self(text)) }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What stands beside a content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Properties {
    /// MIME type.
    pub content_type: ShortString,
    /// Headers, each a long string.
    pub headers: Vec<(ShortString, String)>,
    /// Whether it is to survive a restart of the broker.
    pub delivery_mode: DeliveryMode,
    /// What makes a repeat known.
    pub message_id: ShortString,
    /// Seconds since 1970.
    pub timestamp: u64,
    /// What kind of message it is.
    pub message_type: ShortString,
    /// Which application made it.
    pub app_id: ShortString,
}

/// Whether a content is to survive a restart of the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeliveryMode {
    /// Kept in memory.
    Transient,
    /// Written to disk, in queues that are durable.
    #[default]
    Persistent,
}

impl Properties {
    /// The payload of a header frame.
    pub(super) fn put(&self, out: &mut Vec<u8>, body_size: u64) {
        out.extend_from_slice(&BASIC.to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&body_size.to_be_bytes());
        let flags = CONTENT_TYPE | HEADERS | DELIVERY_MODE | MESSAGE_ID | TIMESTAMP | MESSAGE_TYPE | APP_ID;
        out.extend_from_slice(&flags.to_be_bytes());
        put_short(out, &self.content_type);
        put_table(out, |out| {
            for (name, value) in &self.headers {
                put_short(out, name);
                out.push(b'S');
                put_long(out, value.as_bytes());
            }
        });
        out.push(match self.delivery_mode {
            DeliveryMode::Transient => 1,
            DeliveryMode::Persistent => 2,
        });
        put_short(out, &self.message_id);
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        put_short(out, &self.message_type);
        put_short(out, &self.app_id);
    }
}

/// `message-id` and the size of the content, from the payload of a header frame.
///
/// # Errors
/// It is cut short.
pub fn message_id(payload: &[u8]) -> Result<(Option<String>, u64), WireError> {
    let reader = &mut Reader::new(payload);
    reader.bytes("class-id and weight", 4)?;
    let body_size = u64::from_be_bytes(reader.array("body size")?);
    let flags = reader.u16_be("property flags")?;
    for (flag, field) in [(CONTENT_TYPE, "content-type"), (CONTENT_ENCODING, "content-encoding")] {
        if flags & flag != 0 {
            short_string(reader, field)?;
        }
    }
    if flags & HEADERS != 0 {
        long_string(reader, "headers")?;
    }
    for (flag, field) in [(DELIVERY_MODE, "delivery-mode"), (PRIORITY, "priority")] {
        if flags & flag != 0 {
            reader.u8(field)?;
        }
    }
    for (flag, field) in
        [(CORRELATION_ID, "correlation-id"), (REPLY_TO, "reply-to"), (EXPIRATION, "expiration")]
    {
        if flags & flag != 0 {
            short_string(reader, field)?;
        }
    }
    if flags & MESSAGE_ID == 0 {
        return Ok((None, body_size));
    }
    let id = short_string(reader, "message-id")?;
    Ok((Some(String::from_utf8_lossy(id).into_owned()), body_size))
}

pub(super) fn put_short(out: &mut Vec<u8>, text: &ShortString) {
    out.push(u8::try_from(text.0.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(text.0.as_bytes());
}

pub(super) fn put_long(out: &mut Vec<u8>, octets: &[u8]) {
    out.extend_from_slice(&u32::try_from(octets.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(octets);
}

pub(super) fn put_table(out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut fields = Vec::new();
    fill(&mut fields);
    put_long(out, &fields);
}

/// Of a short string, in octets.
pub const LONGEST_SHORT_STRING: usize = 255;

pub(super) const BASIC: u16 = 60;
const CONTENT_TYPE: u16 = 1 << 15;
const CONTENT_ENCODING: u16 = 1 << 14;
const HEADERS: u16 = 1 << 13;
const DELIVERY_MODE: u16 = 1 << 12;
const PRIORITY: u16 = 1 << 11;
const CORRELATION_ID: u16 = 1 << 10;
const REPLY_TO: u16 = 1 << 9;
const EXPIRATION: u16 = 1 << 8;
const MESSAGE_ID: u16 = 1 << 7;
const TIMESTAMP: u16 = 1 << 6;
const MESSAGE_TYPE: u16 = 1 << 5;
const APP_ID: u16 = 1 << 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_tells_its_id_and_every_cut_is_refused() {
        let properties = Properties {
            content_type: ShortString::new("application/json").unwrap(),
            headers: vec![(ShortString::new("cloudEvents:source").unwrap(), "//gw.test".to_owned())],
            message_id: ShortString::new("0000000000007-0").unwrap(),
            ..Properties::default()
        };
        let mut payload = Vec::new();
        properties.put(&mut payload, 512);
        assert_eq!(message_id(&payload).unwrap(), (Some("0000000000007-0".to_owned()), 512));
        let id_ends = payload.len() - 8 - 1 - 1;
        for cut in 0..id_ends {
            assert!(message_id(&payload[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn a_text_that_amqp_cannot_carry_is_none() {
        assert!(ShortString::new("x".repeat(255)).is_ok());
        assert_eq!(ShortString::new("電".repeat(86)), Err(TooLong { octets: 258 }));
    }
}
