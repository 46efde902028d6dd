//! What all destinations that take events have in common, as the operator would write it.

use std::path::Path;

use serde::Serialize;

use super::super::check::{SecretOrigin, spelled};
use super::super::settings::{BrokerTls, EventMode, QueueLimits, Secret};
use super::{limit, rate, size};

#[derive(Serialize)]
pub(super) struct ShownQueueLimits {
    in_flight: usize,
    rate: String,
    message_size: String,
    timeout: String,
}

impl ShownQueueLimits {
    pub(super) fn of(limits: &QueueLimits) -> Self {
        Self {
            in_flight: limits.in_flight,
            rate: limit(limits.rate, rate),
            message_size: limit(limits.message_size, size),
            timeout: spelled(limits.timeout),
        }
    }
}

#[derive(Serialize)]
pub(super) struct ShownBrokerTls<'s> {
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_file: Option<&'s Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_certificate: Option<&'s Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_file: Option<&'s Path>,
}

impl<'s> ShownBrokerTls<'s> {
    /// `None` where nothing was written.
    pub(super) fn of(tls: &'s BrokerTls) -> Option<Self> {
        let client = tls.client_certificate.as_ref();
        (*tls != BrokerTls::default()).then(|| Self {
            ca_file: tls.ca_file.as_deref(),
            client_certificate: client.map(|files| &*files.certificate),
            key_file: client.map(|files| &*files.key_file),
        })
    }
}

/// For `event:`.
pub(super) const fn event_mode(mode: EventMode) -> &'static str {
    match mode {
        EventMode::Structured => "structured",
        EventMode::Binary => "binary",
    }
}

/// For `…_file:`.
pub(super) fn file_of(secret: Option<&Secret>) -> Option<&Path> {
    secret.and_then(|secret| match &secret.origin {
        SecretOrigin::File(path) => Some(&**path),
        SecretOrigin::Variable(_) => None,
    })
}

/// For `…_env:`.
pub(super) fn variable_of(secret: Option<&Secret>) -> Option<&str> {
    secret.and_then(|secret| match &secret.origin {
        SecretOrigin::Variable(name) => Some(&**name),
        SecretOrigin::File(_) => None,
    })
}
