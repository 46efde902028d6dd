//! `redis` of a destination as it is written.

use super::super::document::Node;
use super::super::problem::{Place, Problems};
use super::queue::{BrokerTls, EventMode, QueueLimits};
use super::read::{At, Lost, Read, section};
use super::scalar::OrOff;

section! {
    /// Streams of a Redis server; `to` is the name of a stream.
    pub(in crate::config) struct Redis {
        /// `redis://host:6379` or, with TLS, `rediss://host:6380`; a database behind a slash: `redis://host/2`. No default.
        url: String,
        /// Absolute path of a file with the address, where a password is part of it.
        url_file: String,
        /// Name of the environment variable that holds the address instead.
        url_env: String,
        /// The name of an ACL user. Default: none, which is the user `default`.
        user: String,
        /// Absolute path of a file that holds the password and nothing else.
        password_file: String,
        /// Name of the environment variable that holds the password.
        password_env: String,
        /// What TLS needs beside the system's authorities, with `rediss://`.
        tls: BrokerTls,
        /// The stream of deliveries whose `to` is empty. Default: `mailslot`.
        stream: String,
        /// About how many entries a stream keeps; the oldest go (XADD with MAXLEN ~). Default: `1000000`; `off`: all.
        max_length: OrOff<u32>,
        /// How many replicas must have an entry before it counts as delivered (WAIT). Default: `off`.
        replicas: OrOff<u32>,
        /// `structured` (fields `id` and `event`) or `binary` (a field for each attribute, and `data`). Default: `structured`.
        event: EventMode,
        /// How much it takes. `in_flight` is 256 by default.
        limits: QueueLimits,
    }
    later: []
}
