//! What every connection to one next hop needs.

use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use super::SetupError;
use crate::config::settings::{self, Credentials, TlsMode};
use crate::net::tls;
use crate::session::smtp_client::Security;

/// A next hop, checked.
pub(super) struct Endpoint {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) security: Security,
    /// `None` for `tls: none` only.
    pub(super) tls: Option<(TlsConnector, ServerName<'static>)>,
    pub(super) credentials: Option<Credentials>,
    /// Our name in EHLO.
    pub(super) hostname: String,
    pub(super) timeout: Duration,
}

impl Endpoint {
    pub(super) fn new(settings: &settings::Submission, hostname: &str) -> Result<Self, SetupError> {
        let security = match settings.tls.mode {
            TlsMode::StartTls => Security::StartTls,
            TlsMode::Implicit => Security::Established,
            TlsMode::None => Security::Absent,
        };
        let tls = match security {
            Security::Absent => None,
            Security::StartTls | Security::Established => {
                let name = ServerName::try_from(settings.host.clone())
                    .map_err(|_| SetupError::Host { host: settings.host.clone() })?;
                let client = settings.tls.client_certificate.as_ref();
                let client = client.map(|files| (files.certificate.as_path(), files.key_file.as_path()));
                Some((tls::connector_with(settings.tls.ca_file.as_deref(), client)?, name))
            }
        };
        Ok(Self {
            host: settings.host.clone(),
            port: settings.port,
            security,
            tls,
            credentials: settings.auth.clone(),
            hostname: hostname.to_owned(),
            timeout: settings.timeout,
        })
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{} {:?}", self.host, self.port, self.security)
    }
}
