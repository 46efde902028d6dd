//! What the brokers that one address leads to have in common: AMQP, MQTT, Redis.

use super::{BrokerTls, Secret};
use crate::config::check::SecretOrigin;

/// Where a broker is, and who we are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// Host name, which its certificate must have, or IP address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How TLS is done; `None`: the connection is in clear text.
    pub tls: Option<BrokerTls>,
    /// Our name there, where it needs one.
    pub user: Option<String>,
    /// What proves it.
    pub password: Option<Secret>,
    /// How all this was written.
    pub written: WrittenBroker,
}

/// How the address of a broker was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenBroker {
    /// The address.
    pub url: WrittenUrl,
    /// The key `user`, where the name is not part of the address.
    pub user: Option<String>,
}

/// Where the address of a broker stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WrittenUrl {
    /// In the configuration, so without a password.
    Plain(String),
    /// In a file or a variable, as it has a password in it.
    Secret(SecretOrigin),
}
