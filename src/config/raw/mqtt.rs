//! `mqtt` of a destination as it is written.

use super::super::document::Node;
use super::super::problem::{Place, Problems};
use super::queue::{BrokerTls, EventMode, QueueLimits};
use super::read::{At, Lost, Read, section};

section! {
    /// Topics of an MQTT 5 broker; `to` is the topic.
    pub(in crate::config) struct Mqtt {
        /// `mqtt://host:1883` or, with TLS, `mqtts://host:8883`. No default.
        url: String,
        /// Absolute path of a file with the address, where a password is part of it.
        url_file: String,
        /// Name of the environment variable that holds the address instead.
        url_env: String,
        /// Our user name. Default: none.
        user: String,
        /// Absolute path of a file that holds the password and nothing else.
        password_file: String,
        /// Name of the environment variable that holds the password.
        password_env: String,
        /// What TLS needs beside the system's authorities, with `mqtts://`.
        tls: BrokerTls,
        /// 1, the only one: each event is acknowledged. What is not would be lost in silence.
        qos: u32,
        /// Our name among the broker's clients, which no other client has. Default: the broker gives us one.
        client_id: String,
        /// `structured` (the payload is all of it) or `binary` (attributes are user properties, the payload is the data).
        /// Default: `structured`.
        event: EventMode,
        /// How much it takes. `in_flight` is 256 by default; the broker's own receive maximum holds anyway.
        limits: QueueLimits,
    }
    later: []
}
