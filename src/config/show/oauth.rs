//! Where tokens come from, as the operator would write it.

use std::path::Path;

use jiff::civil::Date;
use serde::Serialize;

use super::super::settings::{Algorithm, BearerCredentials, ClientProof, Grant, OAuth};
use super::queue::{file_of, variable_of};
use crate::wire::smtp::mechanism::BearerMechanism;

#[derive(Serialize, Default)]
pub(super) struct ShownOAuth<'s> {
    grant: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'s str>,
    token_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'s str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret_file: Option<&'s Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret_env: Option<&'s str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret_expires: Option<Date>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_certificate: Option<&'s Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_file: Option<&'s Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    algorithm: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token_file: Option<&'s Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_account_file: Option<&'s Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'s str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    scope: &'s str,
    #[serde(skip_serializing_if = "Option::is_none")]
    mechanisms: Option<Vec<&'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_file: Option<&'s Path>,
}

impl<'s> ShownOAuth<'s> {
    /// With the mailbox that logs in.
    pub(super) fn of_mailbox(bearer: &'s BearerCredentials) -> Self {
        Self {
            user: Some(&bearer.user),
            mechanisms: Some(bearer.mechanisms.iter().copied().map(mechanism).collect()),
            ..Self::of(&bearer.oauth)
        }
    }

    pub(super) fn of(oauth: &'s OAuth) -> Self {
        let shown = Self {
            grant: oauth.grant.as_str(),
            token_url: oauth.token_url.absolute(),
            device_url: oauth.device_url.as_ref().map(|url| url.absolute()),
            scope: &oauth.scope,
            ca_file: oauth.tls.ca_file.as_deref(),
            ..Self::default()
        };
        match &oauth.grant {
            Grant::ClientCredentials { client_id, proof } => shown.client(client_id, Some(proof)),
            Grant::RefreshToken { client_id, proof, file } => {
                Self { refresh_token_file: Some(file), ..shown.client(client_id, proof.as_ref()) }
            }
            Grant::JwtBearer { service_account, subject } => {
                Self { service_account_file: Some(service_account), subject: subject.as_deref(), ..shown }
            }
        }
    }

    fn client(self, client_id: &'s str, proof: Option<&'s ClientProof>) -> Self {
        let shown = Self { client_id: Some(client_id), ..self };
        match proof {
            None => shown,
            Some(ClientProof::Secret { secret, expires }) => Self {
                client_secret_file: file_of(Some(secret)),
                client_secret_env: variable_of(Some(secret)),
                client_secret_expires: *expires,
                ..shown
            },
            Some(ClientProof::Certificate { files, algorithm }) => Self {
                client_certificate: Some(&files.certificate),
                key_file: Some(&files.key_file),
                algorithm: Some(match algorithm {
                    Algorithm::Ps256 => "ps256",
                    Algorithm::Rs256 => "rs256",
                }),
                ..shown
            },
        }
    }
}

const fn mechanism(mechanism: BearerMechanism) -> &'static str {
    match mechanism {
        BearerMechanism::Xoauth2 => "xoauth2",
        BearerMechanism::OauthBearer => "oauthbearer",
    }
}
