//! What all destinations that take events have in common, as it is written.

use std::time::Duration;

use super::super::document::Node;
use super::super::problem::{Place, Problems};
pub(in crate::config) use super::super::settings::EventMode;
use super::read::{At, Lost, Read, section};
use super::scalar::{OrOff, Size};
use crate::policy::rate::Rate;

section! {
    /// How much a broker takes.
    pub(in crate::config) struct QueueLimits {
        /// Events on their way at once that the broker has not acknowledged. The default is the kind's.
        in_flight: u32,
        /// Events in a time: `100/s`. Default: `off`.
        rate: OrOff<Rate>,
        /// The greatest event as it goes over the wire. Default: `off`; what the broker says holds anyway.
        message_size: OrOff<Size>,
        /// How long connecting, and an acknowledgement, may each take. Default: `30s`.
        timeout: Duration,
    }
    later: []
}

section! {
    /// How a connection that has TLS from its first byte is protected.
    pub(in crate::config) struct BrokerTls {
        /// Absolute path of a PEM file with the authorities to trust instead of the system's.
        ca_file: String,
        /// Absolute path of a PEM file with the certificate that says who we are, and those that lead to its root.
        client_certificate: String,
        /// Absolute path of a PEM file with its key. Needed with `client_certificate`.
        key_file: String,
    }
    later: []
}
