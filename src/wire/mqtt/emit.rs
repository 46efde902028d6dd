//! What a publisher says.

use super::text::{MqttString, TopicName};

/// The first packet of a connection (§3.1): a clean start, a session that ends with the connection, no will.
pub struct Connect<'a> {
    /// Our name among the clients; empty: the server gives us one.
    pub client_id: &'a MqttString,
    /// Our user name.
    pub user: Option<&'a MqttString>,
    /// What proves it; at most 65,535 octets of it are sent.
    pub password: Option<&'a [u8]>,
    /// Seconds within which we shall send something.
    pub keep_alive: u16,
    /// Octets of a packet that we take.
    pub maximum_packet_size: u32,
}

/// A message with QoS 1 that is not retained (§3.3).
pub struct Publish<'a> {
    /// What its acknowledgement is known by; not 0.
    pub packet_id: u16,
    /// Where it goes.
    pub topic: &'a TopicName,
    /// The MIME type of the payload.
    pub content_type: &'a MqttString,
    /// Names and values beside it.
    pub user_properties: &'a [(MqttString, MqttString)],
    /// Itself.
    pub payload: &'a [u8],
}

/// Appends a CONNECT packet.
pub fn connect(out: &mut Vec<u8>, connect: &Connect<'_>) {
    let password = connect.password.map(|password| password.get(..LONGEST_BINARY).unwrap_or(password));
    let properties = 5_usize;
    let optional = |octets: Option<usize>| octets.map_or(0, |octets| octets.saturating_add(2));
    let remaining = 10_usize
        .saturating_add(1)
        .saturating_add(properties)
        .saturating_add(optional(Some(connect.client_id.as_str().len())))
        .saturating_add(optional(connect.user.map(|user| user.as_str().len())))
        .saturating_add(optional(password.map(<[u8]>::len)));
    out.push(0x10);
    put_variable_integer(out, remaining);
    put_binary(out, b"MQTT");
    out.push(5);
    let mut flags = CLEAN_START;
    if connect.user.is_some() {
        flags |= USER_NAME;
    }
    if password.is_some() {
        flags |= PASSWORD;
    }
    out.push(flags);
    out.extend_from_slice(&connect.keep_alive.to_be_bytes());
    put_variable_integer(out, properties);
    out.push(0x27);
    out.extend_from_slice(&connect.maximum_packet_size.to_be_bytes());
    put_string(out, connect.client_id);
    if let Some(user) = connect.user {
        put_string(out, user);
    }
    if let Some(password) = password {
        put_binary(out, password);
    }
}

impl Publish<'_> {
    /// How many octets the packet has.
    #[must_use]
    pub fn octets(&self) -> usize {
        let remaining = self.remaining();
        remaining.saturating_add(1).saturating_add(octets_of_variable_integer(remaining))
    }

    fn remaining(&self) -> usize {
        let properties = self.properties();
        self.topic
            .as_str()
            .len()
            .saturating_add(4)
            .saturating_add(octets_of_variable_integer(properties))
            .saturating_add(properties)
            .saturating_add(self.payload.len())
    }

    fn properties(&self) -> usize {
        let user = self
            .user_properties
            .iter()
            .map(|(name, value)| name.as_str().len().saturating_add(value.as_str().len()).saturating_add(5));
        user.fold(self.content_type.as_str().len().saturating_add(3), usize::saturating_add)
    }
}

/// Appends a PUBLISH packet.
pub fn publish(out: &mut Vec<u8>, publish: &Publish<'_>) {
    out.reserve(publish.octets());
    out.push(0x32);
    put_variable_integer(out, publish.remaining());
    put_string(out, publish.topic.as_string());
    out.extend_from_slice(&publish.packet_id.to_be_bytes());
    put_variable_integer(out, publish.properties());
    out.push(0x03);
    put_string(out, publish.content_type);
    for (name, value) in publish.user_properties {
        out.push(0x26);
        put_string(out, name);
        put_string(out, value);
    }
    out.extend_from_slice(publish.payload);
}

/// Appends a PINGREQ packet (§3.12).
pub fn pingreq(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0xC0, 0]);
}

/// Appends a DISCONNECT packet: normal disconnection (§3.14).
pub fn disconnect(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0xE0, 0]);
}

/// §1.5.5. What does not fit never gets here: a server takes no packets of 256 MiB.
fn put_variable_integer(out: &mut Vec<u8>, value: usize) {
    let mut rest = value;
    loop {
        let low = u8::try_from(rest & 0x7F).unwrap_or_default();
        rest = rest.checked_shr(7).unwrap_or_default();
        if rest == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

const fn octets_of_variable_integer(value: usize) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}

fn put_string(out: &mut Vec<u8>, text: &MqttString) {
    put_binary(out, text.as_str().as_bytes());
}

fn put_binary(out: &mut Vec<u8>, octets: &[u8]) {
    out.extend_from_slice(&u16::try_from(octets.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(octets);
}

const LONGEST_BINARY: usize = 65_535;
const CLEAN_START: u8 = 0x02;
const PASSWORD: u8 = 0x40;
const USER_NAME: u8 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_has_as_many_octets_as_it_says() {
        let topic = TopicName::new("plant/alarm").unwrap();
        let content_type = MqttString::lossy("application/json");
        let properties = [(MqttString::lossy("id"), MqttString::lossy("0000000000007.1"))];
        for size in [0, 60, 100, 200, 20_000, 3_000_000] {
            let payload = vec![b'x'; size];
            let packet = Publish {
                packet_id: 7,
                topic: &topic,
                content_type: &content_type,
                user_properties: &properties,
                payload: &payload,
            };
            let mut out = Vec::new();
            publish(&mut out, &packet);
            assert_eq!(out.len(), packet.octets(), "{size}");
            assert!(out.ends_with(&payload));
        }
    }

    #[test]
    fn a_connect_is_what_the_standard_draws() {
        let mut out = Vec::new();
        connect(
            &mut out,
            &Connect {
                client_id: &MqttString::lossy("gw"),
                user: Some(&MqttString::lossy("u")),
                password: Some(b"p"),
                keep_alive: 20,
                maximum_packet_size: 0x1_0000,
            },
        );
        let expected =
            b"\x10\x1a\x00\x04MQTT\x05\xc2\x00\x14\x05\x27\x00\x01\x00\x00\x00\x02gw\x00\x01u\x00\x01p";
        assert_eq!(out, expected);
    }
}
