//! Reason codes (§2.4).

use std::fmt;

/// What a server says it did, as a number: servers send ones that the standard does not give to that packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReasonCode(pub u8);

impl ReasonCode {
    /// Done.
    pub const SUCCESS: Self = Self(0x00);
    /// CONNACK of a server that speaks MQTT 3 only (MQTT 3.1.1 §3.2.2.3).
    pub const MQTT_3_ONLY: Self = Self(0x01);
    /// Done, and nobody listens.
    pub const NO_MATCHING_SUBSCRIBERS: Self = Self(0x10);
    /// The server speaks another version.
    pub const UNSUPPORTED_PROTOCOL_VERSION: Self = Self(0x84);
    /// The client id is none that it takes.
    pub const CLIENT_IDENTIFIER_NOT_VALID: Self = Self(0x85);
    /// Wrong name or password.
    pub const BAD_USER_NAME_OR_PASSWORD: Self = Self(0x86);
    /// Not permitted.
    pub const NOT_AUTHORIZED: Self = Self(0x87);
    /// It does not work now.
    pub const SERVER_UNAVAILABLE: Self = Self(0x88);
    /// It has too much to do.
    pub const SERVER_BUSY: Self = Self(0x89);
    /// Its administrator does not want us.
    pub const BANNED: Self = Self(0x8A);
    /// It wants another way of authentication.
    pub const BAD_AUTHENTICATION_METHOD: Self = Self(0x8C);
    /// Another client has come with our client id.
    pub const SESSION_TAKEN_OVER: Self = Self(0x8E);
    /// No topic that it takes.
    pub const TOPIC_NAME_INVALID: Self = Self(0x90);
    /// The packet has too many octets.
    pub const PACKET_TOO_LARGE: Self = Self(0x95);
    /// Too many messages in a time.
    pub const MESSAGE_RATE_TOO_HIGH: Self = Self(0x96);
    /// A limit is reached.
    pub const QUOTA_EXCEEDED: Self = Self(0x97);
    /// The payload is not what it was said to be.
    pub const PAYLOAD_FORMAT_INVALID: Self = Self(0x99);
    /// Another server is to be used for a while.
    pub const USE_ANOTHER_SERVER: Self = Self(0x9C);
    /// Another server is to be used from now on.
    pub const SERVER_MOVED: Self = Self(0x9D);
    /// Too many connections in a time.
    pub const CONNECTION_RATE_EXCEEDED: Self = Self(0x9F);

    /// Whether it is a refusal.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        self.0 >= 0x80
    }
}

/// Number and name.
impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            0x00 => "Success",
            0x01 => "Unacceptable protocol version",
            0x10 => "No matching subscribers",
            0x80 => "Unspecified error",
            0x81 => "Malformed Packet",
            0x82 => "Protocol Error",
            0x83 => "Implementation specific error",
            0x84 => "Unsupported Protocol Version",
            0x85 => "Client Identifier not valid",
            0x86 => "Bad User Name or Password",
            0x87 => "Not authorized",
            0x88 => "Server unavailable",
            0x89 => "Server busy",
            0x8A => "Banned",
            0x8B => "Server shutting down",
            0x8C => "Bad authentication method",
            0x8D => "Keep Alive timeout",
            0x8E => "Session taken over",
            0x90 => "Topic Name invalid",
            0x91 => "Packet Identifier in use",
            0x93 => "Receive Maximum exceeded",
            0x95 => "Packet too large",
            0x96 => "Message rate too high",
            0x97 => "Quota exceeded",
            0x98 => "Administrative action",
            0x99 => "Payload format invalid",
            0x9B => "QoS not supported",
            0x9C => "Use another server",
            0x9D => "Server moved",
            0x9F => "Connection rate exceeded",
            0xA0 => "Maximum connect time",
            _ => "unknown reason",
        };
        write!(f, "{:#04x} {name}", self.0)
    }
}
