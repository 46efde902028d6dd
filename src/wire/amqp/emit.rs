//! What a publisher says.

use zeroize::Zeroizing;

use super::frame::{FRAME_OVERHEAD, put_frame};
use super::properties::{BASIC, Properties, ShortString, put_long, put_short, put_table};

/// How we prove who we are (RFC 4422).
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials<'a> {
    /// Name and password (RFC 4616).
    Plain {
        /// The name.
        user: &'a str,
        /// What proves it.
        password: &'a str,
    },
    /// By the certificate that TLS has shown (RFC 4422 appendix A).
    External,
}

impl Credentials<'_> {
    /// The mechanism's name.
    #[must_use]
    pub const fn mechanism(&self) -> &'static str {
        match self {
            Self::Plain { .. } => "PLAIN",
            Self::External => "EXTERNAL",
        }
    }
}

/// What becomes of a content for which the exchange has no queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unroutable {
    /// It comes back (`mandatory`).
    #[default]
    Return,
    /// It is dropped, and acknowledged all the same.
    Drop,
}

/// `connection.start-ok`: who we are, and which extensions we know: without those, a server tells neither why it refuses
/// a login nor that it has no room.
pub fn start_ok(out: &mut Vec<u8>, credentials: &Credentials<'_>, connection_name: &ShortString) {
    method(out, 0, 10, 11, |out| {
        put_table(out, |out| {
            let text = |out: &mut Vec<u8>, name: &str, value: &str| {
                put_name(out, name);
                out.push(b'S');
                put_long(out, value.as_bytes());
            };
            text(out, "product", "mailslotd");
            text(out, "version", env!("CARGO_PKG_VERSION"));
            text(out, "connection_name", connection_name.as_str());
            put_name(out, "capabilities");
            out.push(b'F');
            put_table(out, |out| {
                for name in
                    ["publisher_confirms", "basic.nack", "connection.blocked", "authentication_failure_close"]
                {
                    put_name(out, name);
                    out.extend_from_slice(b"t\x01");
                }
            });
        });
        put_name(out, credentials.mechanism());
        match credentials {
            Credentials::Plain { user, password } => {
                let parts = [b"\0", user.as_bytes(), b"\0", password.as_bytes()];
                let mut response =
                    Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len()).sum()));
                parts.iter().for_each(|part| response.extend_from_slice(part));
                put_long(out, &response);
            }
            Credentials::External => put_long(out, b""),
        }
        put_name(out, "en_US");
    });
}

/// `connection.tune-ok`: what is agreed, with one channel.
pub fn tune_ok(out: &mut Vec<u8>, frame_max: u32, heartbeat: u16) {
    method(out, 0, 10, 31, |out| {
        out.extend_from_slice(&1_u16.to_be_bytes());
        out.extend_from_slice(&frame_max.to_be_bytes());
        out.extend_from_slice(&heartbeat.to_be_bytes());
    });
}

/// `connection.open`: which virtual host.
pub fn connection_open(out: &mut Vec<u8>, virtual_host: &ShortString) {
    method(out, 0, 10, 40, |out| {
        put_short(out, virtual_host);
        out.extend_from_slice(&[0, 0]);
    });
}

/// `connection.close`: we end it.
pub fn connection_close(out: &mut Vec<u8>) {
    method(out, 0, 10, 50, |out| {
        out.extend_from_slice(&200_u16.to_be_bytes());
        put_name(out, "bye");
        out.extend_from_slice(&[0; 4]);
    });
}

/// `connection.close-ok`.
pub fn connection_close_ok(out: &mut Vec<u8>) {
    method(out, 0, 10, 51, |_| {});
}

/// `channel.open`.
pub fn channel_open(out: &mut Vec<u8>, channel: u16) {
    method(out, channel, 20, 10, |out| out.push(0));
}

/// `channel.flow-ok`.
pub fn flow_ok(out: &mut Vec<u8>, channel: u16, active: u8) {
    method(out, channel, 20, 21, |out| out.push(active));
}

/// `channel.close-ok`.
pub fn channel_close_ok(out: &mut Vec<u8>, channel: u16) {
    method(out, channel, 20, 41, |_| {});
}

/// `exchange.declare` with `passive`: whether it is there.
pub fn declare_passive(out: &mut Vec<u8>, channel: u16, exchange: &ShortString) {
    method(out, channel, 40, 10, |out| {
        out.extend_from_slice(&[0, 0]);
        put_short(out, exchange);
        put_name(out, "");
        out.push(1);
        put_long(out, b"");
    });
}

/// `confirm.select`: from here on each content is acknowledged.
pub fn confirm_select(out: &mut Vec<u8>, channel: u16) {
    method(out, channel, 85, 10, |out| out.push(0));
}

/// `basic.publish` and its content, in frames of at most `frame_max` octets.
pub fn publish(
    out: &mut Vec<u8>,
    channel: u16,
    frame_max: u32,
    (exchange, routing_key, unroutable): (&ShortString, &ShortString, Unroutable),
    properties: &Properties,
    body: &[u8],
) {
    method(out, channel, BASIC, 40, |out| {
        out.extend_from_slice(&[0, 0]);
        put_short(out, exchange);
        put_short(out, routing_key);
        out.push(match unroutable {
            Unroutable::Drop => 0,
            Unroutable::Return => 1,
        });
    });
    put_frame(out, 2, channel, |out| properties.put(out, u64::try_from(body.len()).unwrap_or(u64::MAX)));
    let most = usize::try_from(frame_max.saturating_sub(FRAME_OVERHEAD)).unwrap_or(usize::MAX).max(1);
    for part in body.chunks(most) {
        put_frame(out, 3, channel, |out| out.extend_from_slice(part));
    }
}

fn method(out: &mut Vec<u8>, channel: u16, class: u16, method: u16, arguments: impl FnOnce(&mut Vec<u8>)) {
    put_frame(out, 1, channel, |out| {
        out.extend_from_slice(&class.to_be_bytes());
        out.extend_from_slice(&method.to_be_bytes());
        arguments(out);
    });
}

/// A short string of our own, which is short.
fn put_name(out: &mut Vec<u8>, name: &str) {
    put_short(out, &ShortString::new(name).unwrap_or_default());
}
