//! What every connection to one next hop needs.

use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use super::SetupError;
use crate::config::settings::{self, Auth, BearerMechanism, Credentials, OutboundProxy, TlsMode};
use crate::delivery::oauth::TokenSource;
use crate::message::id::DestinationName;
use crate::net::tls::{self, TlsSetupError};
use crate::policy::replies::ReplyTable;
use crate::session::smtp_client::Security;

/// A next hop, checked.
pub(super) struct Endpoint {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) security: Security,
    /// `None` for `tls: none` only.
    pub(super) tls: Option<(TlsConnector, ServerName<'static>)>,
    pub(super) login: Option<Login>,
    /// Our name in EHLO.
    pub(super) hostname: String,
    pub(super) timeout: Duration,
    pub(super) replies: ReplyTable,
}

/// Who we are there.
pub(super) enum Login {
    Password(Credentials),
    Bearer { user: String, mechanisms: Vec<BearerMechanism>, tokens: TokenSource },
}

impl Login {
    fn new(
        name: &DestinationName,
        auth: &Auth,
        proxy: Option<&OutboundProxy>,
    ) -> Result<Self, TlsSetupError> {
        match auth {
            Auth::Password(credentials) => Ok(Self::Password(credentials.clone())),
            Auth::Bearer(bearer) => Ok(Self::Bearer {
                user: bearer.user.clone(),
                mechanisms: bearer.mechanisms.clone(),
                tokens: TokenSource::new(name.clone(), &bearer.oauth, proxy)?,
            }),
        }
    }
}

impl Endpoint {
    pub(super) fn new(
        name: &DestinationName,
        settings: &settings::Submission,
        hostname: &str,
        proxy: Option<&OutboundProxy>,
    ) -> Result<Self, SetupError> {
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
            login: settings.auth.as_ref().map(|auth| Login::new(name, auth, proxy)).transpose()?,
            hostname: hostname.to_owned(),
            timeout: settings.timeout,
            replies: settings.replies.clone(),
        })
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{} {:?}", self.host, self.port, self.security)
    }
}
