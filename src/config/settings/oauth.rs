//! How a token is had.

use std::path::PathBuf;

use jiff::civil::Date;

use super::{BrokerTls, CertificateFiles, Secret};
pub use crate::wire::oauth::Algorithm;
use crate::wire::smtp::mechanism::BearerMechanism;
use crate::wire::url::HttpUrl;

/// A mailbox that logs in by tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BearerCredentials {
    /// The mailbox.
    pub user: String,
    /// Mechanisms that the operator allows, in order of preference.
    pub mechanisms: Vec<BearerMechanism>,
    /// Where its tokens come from.
    pub oauth: OAuth,
}

/// Where tokens come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuth {
    /// By what they are had.
    pub grant: Grant,
    /// The token endpoint.
    pub token_url: HttpUrl,
    /// The device authorization endpoint, for `mailslotd oauth login`.
    pub device_url: Option<HttpUrl>,
    /// For what they are; may be empty with a refresh token.
    pub scope: String,
    /// Whom to trust at both endpoints.
    pub tls: BrokerTls,
}

/// By what tokens are had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    /// The client's own proof (RFC 6749 §4.4).
    ClientCredentials {
        /// The client.
        client_id: String,
        /// What proves that it is itself.
        proof: ClientProof,
    },
    /// A refresh token that a user's login gave (RFC 6749 §6).
    RefreshToken {
        /// The client that it was given to.
        client_id: String,
        /// What proves that it is itself; `None`: a public client.
        proof: Option<ClientProof>,
        /// The file that holds the refresh token, and gets the next one.
        file: PathBuf,
    },
    /// A JWT that a service account signs (RFC 7523 §2.1).
    JwtBearer {
        /// Google's JSON file with the account's key.
        service_account: PathBuf,
        /// The user that it acts for; `None`: for itself.
        subject: Option<String>,
    },
}

/// What proves that a client is itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientProof {
    /// A secret. Read again for each token, so that a new one counts without a restart.
    Secret {
        /// The secret.
        secret: Secret,
        /// When it ends, where the operator wrote that down: no provider says.
        expires: Option<Date>,
    },
    /// The key of a certificate that the provider knows (RFC 7523 §2.2).
    Certificate {
        /// Its files.
        files: CertificateFiles,
        /// How it signs.
        algorithm: Algorithm,
    },
}

impl Grant {
    /// As the configuration spells it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::ClientCredentials { .. } => "client-credentials",
            Self::RefreshToken { .. } => "refresh-token",
            Self::JwtBearer { .. } => "jwt-bearer",
        }
    }

    /// The client and what proves that it is itself.
    #[must_use]
    pub const fn client(&self) -> Option<(&String, Option<&ClientProof>)> {
        match self {
            Self::ClientCredentials { client_id, proof } => Some((client_id, Some(proof))),
            Self::RefreshToken { client_id, proof, .. } => Some((client_id, proof.as_ref())),
            Self::JwtBearer { .. } => None,
        }
    }
}
