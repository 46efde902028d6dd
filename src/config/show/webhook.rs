//! Destinations of kind `webhook` as the operator would write them.

use std::path::Path;

use serde::{Serialize, Serializer};

use super::super::check::SecretOrigin;
use super::super::settings::{HeaderText, Secret, Webhook, WebhookBody, WebhookHeader};
use super::queue::{ShownBrokerTls, ShownQueueLimits, event_mode, file_of, variable_of};
use crate::policy::reach::Reach;
use crate::policy::webhook::{Body, JsonTemplate};

#[derive(Serialize)]
pub(super) struct ShownWebhook<'s> {
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url_file: Option<&'s Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url_env: Option<&'s str>,
    method: &'static str,
    #[serde(skip_serializing_if = "ShownHeaders::is_empty")]
    headers: ShownHeaders<'s>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<ShownBody<'s>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hmac: Option<ShownHmac<'s>>,
    allow_private: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<ShownBrokerTls<'s>>,
    limits: ShownQueueLimits,
}

struct ShownHeaders<'s>(&'s [WebhookHeader]);

impl ShownHeaders<'_> {
    const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for ShownHeaders<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer
            .collect_map(self.0.iter().map(|header| (header.name.as_str(), ShownHeader::of(&header.value))))
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum ShownHeader<'s> {
    Text(&'s str),
    Secret {
        #[serde(skip_serializing_if = "Option::is_none")]
        file: Option<&'s Path>,
        #[serde(skip_serializing_if = "Option::is_none")]
        env: Option<&'s str>,
    },
}

impl<'s> ShownHeader<'s> {
    fn of(value: &'s HeaderText) -> Self {
        match value {
            HeaderText::Written(text) => Self::Text(text),
            HeaderText::Secret(secret) => {
                Self::Secret { file: file_of(Some(secret)), env: variable_of(Some(secret)) }
            }
        }
    }
}

#[derive(Serialize)]
struct ShownHmac<'s> {
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_file: Option<&'s Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_env: Option<&'s str>,
    header: &'s str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ShownBody<'s> {
    Preset(&'static str),
    Json { json: ShownJson<'s> },
    Text { text: &'s str },
}

struct ShownJson<'s>(&'s JsonTemplate);

impl Serialize for ShownJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            JsonTemplate::Null => serializer.serialize_unit(),
            JsonTemplate::Truth(truth) => serializer.serialize_bool(*truth),
            JsonTemplate::Number(number) => number.serialize(serializer),
            JsonTemplate::Text(text) => serializer.serialize_str(text.as_str()),
            JsonTemplate::List(items) => serializer.collect_seq(items.iter().map(ShownJson)),
            JsonTemplate::Map(entries) => {
                serializer.collect_map(entries.iter().map(|(key, value)| (key, ShownJson(value))))
            }
        }
    }
}

impl<'s> ShownWebhook<'s> {
    pub(super) fn of(webhook: &'s Webhook) -> Self {
        let (url, url_file, url_env) = match &webhook.url_origin {
            None => (Some(webhook.url.absolute()), None, None),
            Some(SecretOrigin::File(path)) => (None, Some(&**path), None),
            Some(SecretOrigin::Variable(name)) => (None, None, Some(&**name)),
        };
        let (event, body) = match &webhook.body {
            WebhookBody::Event(mode) => (Some(event_mode(*mode)), None),
            WebhookBody::Other(body) => (None, Some(ShownBody::of(body))),
        };
        let secret = |secret: &'s Secret| (file_of(Some(secret)), variable_of(Some(secret)));
        let hmac = webhook.hmac.as_ref().map(|hmac| {
            let (secret_file, secret_env) = secret(&hmac.secret);
            ShownHmac { secret_file, secret_env, header: hmac.header.as_str() }
        });
        Self {
            url,
            url_file,
            url_env,
            method: webhook.method.as_str(),
            headers: ShownHeaders(&webhook.headers),
            event,
            body,
            hmac,
            allow_private: webhook.reach == Reach::Anywhere,
            tls: ShownBrokerTls::of(&webhook.tls),
            limits: ShownQueueLimits::of(&webhook.limits),
        }
    }
}

impl<'s> ShownBody<'s> {
    fn of(body: &'s Body) -> Self {
        match body {
            Body::Preset(preset) => Self::Preset(preset.as_str()),
            Body::Json(json) => Self::Json { json: ShownJson(json) },
            Body::Text(text) => Self::Text { text: text.as_str() },
        }
    }
}
