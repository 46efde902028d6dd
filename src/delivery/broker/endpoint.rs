//! A broker's address, and the way from it to a connection.

use std::fmt;
use std::io;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::words;
use crate::config::settings;
use crate::delivery::outcome::Health;
use crate::delivery::submission::SetupError;
use crate::net::connect::connect;
use crate::net::stream::Stream;
use crate::net::tls::{self, HandshakeFault};

/// A broker, checked.
pub(in crate::delivery) struct Endpoint {
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    /// How long connecting may take, and then each answer.
    pub(in crate::delivery) timeout: Duration,
}

impl Endpoint {
    /// Reads the trusted roots and the certificate to show, so call it at start.
    pub(in crate::delivery) fn new(broker: &settings::Broker, timeout: Duration) -> Result<Self, SetupError> {
        let tls = match &broker.tls {
            None => None,
            Some(tls) => {
                let name = ServerName::try_from(broker.host.clone())
                    .map_err(|_| SetupError::Host { host: broker.host.clone() })?;
                let client = tls.client_certificate.as_ref();
                let client = client.map(|files| (files.certificate.as_path(), files.key_file.as_path()));
                Some((tls::connector_with(tls.ca_file.as_deref(), client)?, name))
            }
        };
        Ok(Self { host: broker.host.clone(), port: broker.port, tls, timeout })
    }

    /// The host alone.
    pub(in crate::delivery) fn host(&self) -> &str {
        &self.host
    }

    /// Whether connections are under TLS.
    pub(in crate::delivery) const fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// A connection on which the broker's protocol may begin.
    ///
    /// # Errors
    /// What kept it from coming about says of the destination.
    pub(in crate::delivery) async fn open(&self) -> Result<Stream, Health> {
        let stream = connect(&self.host, self.port, self.timeout.min(MAX_CONNECT))
            .await
            .map_err(|fault| words::unreachable(&self.to_string(), &fault))?;
        let Some(tls) = &self.tls else { return Ok(Stream::Clear(stream)) };
        timeout(self.timeout, Stream::handshake(stream, tls))
            .await
            .unwrap_or_else(|_| Err(HandshakeFault::Io(io::ErrorKind::TimedOut.into())))
            .map_err(|fault| words::no_tls(&self.to_string(), fault))
    }
}

/// As the log names it: host and port.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A host that does not answer SYN for so long is not there.
const MAX_CONNECT: Duration = Duration::from_secs(30);
