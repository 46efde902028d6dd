//! Methods that a server says to a publisher.

use crate::wire::reader::{Reader, Reason, WireError};

/// A method from the server; texts are lossy UTF-8, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    /// `connection.start`: which SASL mechanisms it offers, divided by blanks.
    Start {
        /// Their names.
        mechanisms: String,
    },
    /// `connection.tune`: what it proposes; 0 is no limit, or no heartbeat.
    Tune {
        /// Octets of a frame.
        frame_max: u32,
        /// Seconds.
        heartbeat: u16,
    },
    /// `connection.open-ok`.
    OpenOk,
    /// `connection.close`: it ends the connection.
    ConnectionClose(Close),
    /// `connection.close-ok`.
    ConnectionCloseOk,
    /// `connection.blocked`: it takes nothing more until it has memory and disk again.
    Blocked {
        /// "low on memory"
        reason: String,
    },
    /// `connection.unblocked`.
    Unblocked,
    /// `channel.open-ok`.
    ChannelOpenOk,
    /// `channel.flow`: whether contents may be sent.
    Flow {
        /// As it is to be confirmed.
        active: u8,
    },
    /// `channel.close`: it ends the channel.
    ChannelClose(Close),
    /// `exchange.declare-ok`.
    DeclareOk,
    /// `basic.return`: the content that follows could not be routed.
    Return {
        /// 312 `NO_ROUTE`, 313 `NO_CONSUMERS`.
        code: u16,
        /// "NO_ROUTE"
        text: String,
    },
    /// `basic.ack` of a publisher's content.
    Ack {
        /// Its number on the channel, from 1.
        delivery_tag: u64,
        /// Whether those before it are meant too.
        multiple: Extent,
    },
    /// `basic.nack`: it could not take a content.
    Nack {
        /// Its number on the channel, from 1.
        delivery_tag: u64,
        /// Whether those before it are meant too.
        multiple: Extent,
    },
    /// `confirm.select-ok`.
    SelectOk,
}

/// Why the server ends a channel or the connection (§1.2 of the reference for the codes).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// 404, 403, 320 …
    pub code: u16,
    /// "NOT_FOUND - no exchange 'mailslot' in vhost '/'"
    pub text: String,
}

/// How many contents an acknowledgement is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// That one.
    One,
    /// That one and all before it.
    UpTo,
}

impl Method {
    /// Reads the payload of a method frame.
    ///
    /// # Errors
    /// It is cut short, or none that a server may say to a publisher.
    pub fn parse(payload: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(payload);
        let class = reader.u16_be("class-id")?;
        let method = reader.u16_be("method-id")?;
        let reader = &mut reader;
        Ok(match (class, method) {
            (10, 10) => {
                reader.bytes("version", 2)?;
                long_string(reader, "server-properties")?;
                Self::Start { mechanisms: text(long_string(reader, "mechanisms")?) }
            }
            (10, 30) => {
                reader.u16_be("channel-max")?;
                Self::Tune { frame_max: reader.u32_be("frame-max")?, heartbeat: reader.u16_be("heartbeat")? }
            }
            (10, 41) => Self::OpenOk,
            (10, 50) => Self::ConnectionClose(close(reader)?),
            (10, 51) => Self::ConnectionCloseOk,
            (10, 60) => Self::Blocked { reason: text(short_string(reader, "reason")?) },
            (10, 61) => Self::Unblocked,
            (20, 11) => Self::ChannelOpenOk,
            (20, 20) => Self::Flow { active: reader.u8("active")? & 1 },
            (20, 40) => Self::ChannelClose(close(reader)?),
            (40, 11) => Self::DeclareOk,
            (60, 50) => {
                let code = reader.u16_be("reply-code")?;
                Self::Return { code, text: text(short_string(reader, "reply-text")?) }
            }
            (60, 80) => {
                let (delivery_tag, multiple) = acknowledged(reader)?;
                Self::Ack { delivery_tag, multiple }
            }
            (60, 120) => {
                let (delivery_tag, multiple) = acknowledged(reader)?;
                Self::Nack { delivery_tag, multiple }
            }
            (85, 11) => Self::SelectOk,
            _ => return Err(WireError::new("method-id", 2, Reason::NotAllowed { value: method.into() })),
        })
    }
}

fn close(reader: &mut Reader<'_>) -> Result<Close, WireError> {
    let code = reader.u16_be("reply-code")?;
    Ok(Close { code, text: text(short_string(reader, "reply-text")?) })
}

fn acknowledged(reader: &mut Reader<'_>) -> Result<(u64, Extent), WireError> {
    let tag = u64::from_be_bytes(reader.array("delivery-tag")?);
    let multiple = if reader.u8("multiple")? & 1 == 0 { Extent::One } else { Extent::UpTo };
    Ok((tag, multiple))
}

pub(super) fn short_string<'a>(reader: &mut Reader<'a>, field: &'static str) -> Result<&'a [u8], WireError> {
    let length = reader.u8(field)?;
    reader.bytes(field, length.into())
}

/// A long string, or a table, which has the same length before it.
pub(super) fn long_string<'a>(reader: &mut Reader<'a>, field: &'static str) -> Result<&'a [u8], WireError> {
    let length = reader.u32_be(field)?;
    reader.bytes(field, usize::try_from(length).unwrap_or(usize::MAX))
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_its_code_and_its_words() {
        let mut payload = vec![0, 20, 0, 40, 0x01, 0x94, 9];
        payload.extend_from_slice(b"NOT_FOUND\x00\x3c\x00\x28");
        assert_eq!(
            Method::parse(&payload).unwrap(),
            Method::ChannelClose(Close { code: 404, text: "NOT_FOUND".to_owned() })
        );
    }

    #[test]
    fn an_acknowledgement_says_how_far_it_reaches() {
        let ack = [0, 60, 0, 80, 0, 0, 0, 0, 0, 0, 1, 2, 1];
        assert_eq!(Method::parse(&ack).unwrap(), Method::Ack { delivery_tag: 258, multiple: Extent::UpTo });
    }

    #[test]
    fn no_method_panics_when_it_is_cut_short_and_unknown_ones_are_refused() {
        for (class, method) in
            [(10, 10), (10, 30), (10, 50), (10, 60), (20, 20), (60, 50), (60, 80), (60, 120)]
        {
            let payload = [0, class, 0, method];
            assert!(Method::parse(&payload).is_err(), "{class} {method}");
        }
        assert!(Method::parse(&[0, 60, 0, 60]).is_err(), "basic.deliver is for consumers");
    }
}
