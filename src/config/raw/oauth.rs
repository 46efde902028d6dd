//! `auth.oauth` as it is written.

use jiff::civil::Date;

use super::super::document::Node;
use super::super::problem::{Place, Problems};
pub(in crate::config) use super::super::settings::Algorithm;
use super::read::{At, Lost, Many, Read, section};
pub(in crate::config) use crate::wire::smtp::mechanism::BearerMechanism;

/// By what tokens are had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum GrantWord {
    ClientCredentials,
    RefreshToken,
    JwtBearer,
}

section! {
    /// Where tokens come from.
    pub(in crate::config) struct OAuth {
        /// `client-credentials` (the application itself), `refresh-token` (a user that logged in once, by
        /// `mailslotd oauth login`) or `jwt-bearer` (a service account). No default.
        grant: GrantWord,
        /// The mailbox that logs in. No default; not for Graph.
        user: String,
        /// The Microsoft tenant: its ID or a domain name of it, for the token endpoint. Or `token_url`.
        tenant: String,
        /// The token endpoint. Default: that of `tenant`, or the preset's.
        token_url: String,
        /// The device authorization endpoint, for `mailslotd oauth login`. Default: that of `tenant`, or the preset's.
        device_url: String,
        /// The application, as the provider has it. Not with `jwt-bearer`.
        client_id: String,
        /// Absolute path of a file that holds the application's secret and nothing else; read again for each token.
        client_secret_file: String,
        /// Name of the environment variable that holds it.
        client_secret_env: String,
        /// The day on which the secret ends, for a warning before it does.
        client_secret_expires: Date,
        /// Absolute path of a PEM file with a certificate that the provider knows, instead of a secret.
        client_certificate: String,
        /// Absolute path of a PEM file with its RSA key. Needed with `client_certificate`.
        key_file: String,
        /// How that key signs: `ps256` or `rs256`. Default: `ps256`.
        algorithm: Algorithm,
        /// Absolute path of the file that holds the refresh token. Replaced when the provider gives another, so its folder must
        /// be writable for the service: below `state_dir`.
        refresh_token_file: String,
        /// Absolute path of Google's JSON file with the key of a service account.
        service_account_file: String,
        /// The user that the service account acts for. Default: `user`.
        subject: String,
        /// What the token is for. Default: what the preset's mail server wants.
        scope: String,
        /// Mechanisms that may be used, best first: `xoauth2`, `oauthbearer`. Default: both.
        mechanisms: Many<BearerMechanism>,
        /// Absolute path of a PEM file with the authorities to trust at the token endpoint instead of the system's: that of
        /// a proxy that looks into TLS.
        ca_file: String,
    }
    later: []
}
