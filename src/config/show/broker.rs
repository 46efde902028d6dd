//! Where a broker is, and who we are there, as the operator would write it.

use std::path::Path;

use serde::Serialize;

use super::super::check::SecretOrigin;
use super::super::settings::{Broker, Secret, WrittenUrl};
use super::queue::{ShownBrokerTls, file_of, variable_of};

#[derive(Serialize)]
pub(super) struct ShownBroker<'s> {
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'s str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url_file: Option<&'s Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url_env: Option<&'s str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'s str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password_file: Option<&'s Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password_env: Option<&'s str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<ShownBrokerTls<'s>>,
}

impl<'s> ShownBroker<'s> {
    pub(super) fn of(broker: &'s Broker) -> Self {
        let (url, url_file, url_env) = match &broker.written.url {
            WrittenUrl::Plain(url) => (Some(&**url), None, None),
            WrittenUrl::Secret(SecretOrigin::File(path)) => (None, Some(&**path), None),
            WrittenUrl::Secret(SecretOrigin::Variable(name)) => (None, None, Some(&**name)),
        };
        let of_its_own = |secret: &&Secret| broker.written.url != WrittenUrl::Secret(secret.origin.clone());
        let password = broker.password.as_ref().filter(of_its_own);
        Self {
            url,
            url_file,
            url_env,
            user: broker.written.user.as_deref(),
            password_file: file_of(password),
            password_env: variable_of(password),
            tls: broker.tls.as_ref().and_then(ShownBrokerTls::of),
        }
    }
}
