//! `amqp` of a destination as it is written.

use super::super::document::Node;
use super::super::problem::{Place, Problems};
use super::queue::{BrokerTls, EventMode, QueueLimits};
use super::read::{At, Lost, Read, section};
use crate::wire::amqp::{DeliveryMode, ShortString, Unroutable};

section! {
    /// An exchange of an AMQP 0-9-1 broker such as RabbitMQ; `to` is the routing key.
    pub(in crate::config) struct Amqp {
        /// `amqp://host:5672` or, with TLS, `amqps://host:5671`; a virtual host other than `/` behind a slash, its own
        /// slashes as `%2F`: `amqps://host/plant`. No default.
        url: String,
        /// Absolute path of a file with the address, where a password is part of it.
        url_file: String,
        /// Name of the environment variable that holds the address instead.
        url_env: String,
        /// The user. Without one, `tls.client_certificate` says who we are (SASL EXTERNAL).
        user: String,
        /// Absolute path of a file that holds the password and nothing else.
        password_file: String,
        /// Name of the environment variable that holds the password.
        password_env: String,
        /// What TLS needs beside the system's authorities, with `amqps://`.
        tls: BrokerTls,
        /// The exchange, which must be there. `''`: the default exchange, where `to` is the name of a queue. No default.
        exchange: ShortString,
        /// Whether an event that no queue wants comes back and is tried again. `false`: it is lost. Default: true.
        mandatory: Unroutable,
        /// Whether events survive a restart of the broker, in queues that are durable. Default: true.
        persistent: DeliveryMode,
        /// `structured` (the body is all of it) or `binary` (attributes are headers `cloudEvents:…`, the body is the
        /// data). Default: `structured`.
        event: EventMode,
        /// How much it takes. `in_flight` is 256 by default.
        limits: QueueLimits,
    }
    later: []
}
