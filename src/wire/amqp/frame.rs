//! Frames: what the octets of a connection are divided into.

use crate::wire::reader::{Reader, Reason, WireError};

/// A whole frame from the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// 0 for what concerns the connection.
    pub channel: u16,
    /// What is in it.
    pub payload: Payload<'a>,
}

/// What a frame carries, not yet taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload<'a> {
    /// A method with its arguments.
    Method(&'a [u8]),
    /// The size and the properties of a content.
    Header(&'a [u8]),
    /// A part of a content.
    Body(&'a [u8]),
    /// A sign of life.
    Heartbeat,
}

impl<'a> Frame<'a> {
    /// The first frame in `bytes` and how many of them it takes; `None` while it is not whole.
    ///
    /// # Errors
    /// What comes is no AMQP, or a frame is longer than `frame_max` permits.
    pub fn parse(bytes: &'a [u8], frame_max: u32) -> Result<Option<(usize, Self)>, WireError> {
        // A server that refuses our version answers with the header of its own and closes (§4.2.2).
        if bytes.starts_with(b"AMQP") {
            return Err(WireError::new(
                "protocol header",
                0,
                Reason::Malformed("the server speaks another version of AMQP"),
            ));
        }
        let mut reader = Reader::new(bytes);
        if let Some(kind) = bytes.first()
            && !(1..=3).contains(kind)
            && *kind != 8
        {
            return Err(reader.bad("frame type", Reason::NotAllowed { value: (*kind).into() }));
        }
        if reader.left() < HEAD {
            return Ok(None);
        }
        let kind = reader.u8("frame type")?;
        let channel = reader.u16_be("channel")?;
        let size = reader.u32_be("size")?;
        let limit = frame_max.saturating_sub(FRAME_OVERHEAD);
        if size > limit {
            return Err(reader.bad("size", Reason::OutOfBounds { value: size.into(), limit: limit.into() }));
        }
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if reader.left() <= size {
            return Ok(None);
        }
        let payload = reader.bytes("payload", size)?;
        match reader.u8("frame-end")? {
            FRAME_END => {}
            other => return Err(reader.bad("frame-end", Reason::NotAllowed { value: other.into() })),
        }
        let payload = match kind {
            1 => Payload::Method(payload),
            2 => Payload::Header(payload),
            3 => Payload::Body(payload),
            _ => Payload::Heartbeat,
        };
        Ok(Some((reader.offset(), Self { channel, payload })))
    }
}

/// Appends a frame whose payload `fill` writes.
pub(super) fn put_frame(out: &mut Vec<u8>, kind: u8, channel: u16, fill: impl FnOnce(&mut Vec<u8>)) {
    out.push(kind);
    out.extend_from_slice(&channel.to_be_bytes());
    let size_at = out.len();
    out.extend_from_slice(&[0; 4]);
    let begin = out.len();
    fill(out);
    let size = u32::try_from(out.len().saturating_sub(begin)).unwrap_or(u32::MAX);
    if let Some(field) = out.get_mut(size_at..begin) {
        field.copy_from_slice(&size.to_be_bytes());
    }
    out.push(FRAME_END);
}

/// The first octets of a connection (§4.2.2).
pub const PROTOCOL_HEADER: [u8; 8] = *b"AMQP\x00\x00\x09\x01";
/// A whole heartbeat frame (§4.2.7).
pub const HEARTBEAT: [u8; 8] = [8, 0, 0, 0, 0, 0, 0, FRAME_END];
/// What a frame has beside its payload.
pub const FRAME_OVERHEAD: u32 = 8;
/// `frame-min-size`: every peer takes frames of this size, and none larger is sent before they agreed (§4.2.3).
pub const LEAST_FRAME_MAX: u32 = 4096;

const HEAD: usize = 7;
const FRAME_END: u8 = 0xCE;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_waited_for_until_its_last_octet() {
        let mut bytes = Vec::new();
        put_frame(&mut bytes, 1, 1, |out| out.extend_from_slice(b"method"));
        bytes.extend_from_slice(&HEARTBEAT);
        for cut in 0..14 {
            assert_eq!(Frame::parse(&bytes[..cut], LEAST_FRAME_MAX), Ok(None), "{cut}");
        }
        let (length, frame) = Frame::parse(&bytes, LEAST_FRAME_MAX).unwrap().unwrap();
        assert_eq!((length, frame.channel, frame.payload), (14, 1, Payload::Method(b"method")));
        let (_, frame) = Frame::parse(&bytes[length..], LEAST_FRAME_MAX).unwrap().unwrap();
        assert_eq!(frame.payload, Payload::Heartbeat);
    }

    #[test]
    fn what_is_no_amqp_is_refused_at_once() {
        for (bytes, field) in [
            (&b"HTTP/1.1 400 Bad Request"[..], "frame type"),
            (b"AMQP\x00\x01\x00\x00", "protocol header"),
            (b"\x01\x00\x00\x7f\xff\xff\xff", "size"),
            (b"\x01\x00\x00\x00\x00\x00\x01x\x00", "frame-end"),
        ] {
            assert_eq!(Frame::parse(bytes, LEAST_FRAME_MAX).unwrap_err().field(), field);
        }
    }
}
