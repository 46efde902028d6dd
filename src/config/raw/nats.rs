//! Destinations of kind `nats`, as they are written.

use std::time::Duration;

use super::super::document::Node;
use super::super::problem::{Place, Problems};
pub(in crate::config) use super::super::settings::Discard;
use super::read::{At, Lost, OneOrMany, Read, section};
use super::scalar::{OrOff, Size};
use super::{BrokerTls, EventMode, QueueLimits};

section! {
    /// A stream of NATS JetStream; `to` is the subject.
    pub(in crate::config) struct Nats {
        /// The servers of one cluster: `nats://nats.plant.example:4222`, with `tls://` where TLS is required. The port is
        /// 4222 where none is written. No default.
        servers: OneOrMany<String>,
        /// The stream that takes the events. It must be there, unless `create` says how it is made. No default.
        stream: String,
        /// How the stream is made where it is absent; one that is there stays as it is. Default: it is not made.
        create: StreamPlan,
        /// How TLS is protected; written, TLS is required of every server.
        tls: BrokerTls,
        /// `user` with a password, or one of the others. Default: nobody in particular.
        auth: NatsAuth,
        /// `structured`: one JSON object; `binary`: the event's attributes in headers (`ce-id` …). Default: `structured`.
        event: EventMode,
        /// How much the server takes at once: 1024 events by default.
        limits: QueueLimits,
    }
    later: []
}

section! {
    /// Who we are at NATS servers: a user with its password, or exactly one of the others.
    pub(in crate::config) struct NatsAuth {
        /// The user.
        user: String,
        /// Absolute path of a file that holds its password and nothing else.
        password_file: String,
        /// Name of the environment variable that holds its password.
        password_env: String,
        /// Absolute path of a file that holds a token.
        token_file: String,
        /// Name of the environment variable that holds a token.
        token_env: String,
        /// Absolute path of a file that holds the seed of an NKey (`SU…`).
        nkey_file: String,
        /// Absolute path of a credentials file (`.creds`): JWT and seed, as `nsc generate creds` writes it.
        credentials_file: String,
    }
    later: []
}

section! {
    /// How a stream is made. It lies in files.
    pub(in crate::config) struct StreamPlan {
        /// The subjects that it takes: `plant.>`. No default.
        subjects: OneOrMany<String>,
        /// On how many servers of the cluster it lies, 1 to 5. Default: 1.
        replicas: u32,
        /// Older messages go. Default: `off`.
        max_age: OrOff<Duration>,
        /// It holds at most so many bytes. Default: `off`.
        max_bytes: OrOff<Size>,
        /// It holds at most so many messages. Default: `off`.
        max_messages: OrOff<u32>,
        /// Of a full stream: `old`: the oldest message goes, read or not; `new`: it takes no more, and the spool holds
        /// what comes. Default: `old`.
        discard: Discard,
        /// How long a repeat is recognised by its id and dropped. Default: `2m`.
        duplicate_window: Duration,
    }
    later: []
}
