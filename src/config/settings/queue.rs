//! What all destinations that take events have in common: brokers and webhooks.

use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroizing;

use super::CertificateFiles;
use crate::config::check::SecretOrigin;
use crate::policy::rate::Rate;

/// How much a broker takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    /// Events on their way at once that it has not acknowledged; at least 1.
    pub in_flight: usize,
    /// Events in a time, where limited.
    pub rate: Option<Rate>,
    /// The greatest event in bytes as it goes over the wire, where the operator limits it; what the broker says holds
    /// anyway.
    pub message_size: Option<u64>,
    /// How long connecting, and an acknowledgement, may each take.
    pub timeout: Duration,
}

/// How an event is laid out (CloudEvents 1.0.2 §3.1 and the bindings).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EventMode {
    /// Attributes and data in one JSON object, the body.
    #[default]
    Structured,
    /// Attributes in the headers or properties that the broker has, data alone as the body.
    Binary,
}

/// What TLS with a broker needs beside the system's authorities.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BrokerTls {
    /// PEM file with the authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// What we show to a broker that asks who we are.
    pub client_certificate: Option<CertificateFiles>,
}

/// A secret and where it stands. Wiped when dropped; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// The secret itself, one line without its end; empty when the configuration was checked offline.
    pub text: Zeroizing<String>,
    /// Where it was read from.
    pub origin: SecretOrigin,
}

/// Shows where it stands only.
impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret").field("origin", &self.origin).finish_non_exhaustive()
    }
}
