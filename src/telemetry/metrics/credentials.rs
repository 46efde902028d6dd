//! When secrets and certificates end.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Metrics;

/// What proves who we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialKind {
    /// The certificate that a listener shows.
    ServerCertificate,
    /// The certificate that a destination is shown.
    ClientCertificate,
    /// The certificate whose key signs for tokens.
    OauthCertificate,
    /// The secret that tokens are had by.
    ClientSecret,
}

impl CredentialKind {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::ServerCertificate, Self::ClientCertificate, Self::OauthCertificate, Self::ClientSecret];

    /// The label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ServerCertificate => "server_certificate",
            Self::ClientCertificate => "client_certificate",
            Self::OauthCertificate => "oauth_certificate",
            Self::ClientSecret => "client_secret",
        }
    }

    /// For sentences.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::ServerCertificate => "the certificate",
            Self::ClientCertificate => "the client certificate",
            Self::OauthCertificate => "the certificate for tokens",
            Self::ClientSecret => "the client secret",
        }
    }
}

impl Metrics {
    /// When a credential of a listener or destination ends.
    pub fn credential_ends(&self, kind: CredentialKind, name: &str, end: Timestamp) {
        self.declared.credential_end.with_label_values(&[kind.as_str(), name]).set(end.as_second());
    }
}
