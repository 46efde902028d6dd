//! Destinations of kind `webhook`, as they are written.

use std::sync::Arc;

use super::super::document::{Node, Value};
use super::super::problem::{Place, Problem, Problems};
pub(in crate::config) use super::super::settings::{FieldName, WebhookMethod};
use super::read::{At, Lost, Read, entries, section, shown};
use super::{BrokerTls, EventMode, QueueLimits};
use crate::policy::reach::Reach;
pub(in crate::config) use crate::policy::webhook::{JsonTemplate, Preset, TextTemplate};

section! {
    /// A service that takes each event as an HTTP request; `to` is the event's subject.
    pub(in crate::config) struct Webhook {
        /// `https://` or `http://`, host, path. No default.
        url: String,
        /// Absolute path of a file that holds the URL, where its path is a secret.
        url_file: String,
        /// Name of the environment variable that holds it.
        url_env: String,
        /// `POST`, `PUT` or `PATCH`. Default: `POST`.
        method: WebhookMethod,
        /// Further header fields: `Name: text`, or `Name: { file: … }` for a secret. Default: none.
        headers: Headers,
        /// `structured`: one JSON object; `binary`: attributes in headers (`ce-id` …), data alone as the body. Default:
        /// `structured`.
        event: EventMode,
        /// Something else than an event: `teams`, `slack`, `ntfy`, `gotify`, or a template. Default: the event.
        body: WrittenBody,
        /// Signs each request. Default: it is not signed.
        hmac: Hmac,
        /// Whether it may lie inside the network: loopback, private, link-local and other addresses that are not of the
        /// Internet. Default: `false`.
        allow_private: Reach,
        /// Authorities, and a certificate that says who we are.
        tls: BrokerTls,
        /// How much it takes: by default 16 requests at once, events of 1 MiB.
        limits: QueueLimits,
    }
    later: []
}

section! {
    /// A signature (HMAC-SHA256, Standard Webhooks): in fields `webhook-id`, `webhook-timestamp`, `webhook-signature`.
    pub(in crate::config) struct Hmac {
        /// Absolute path of a file that holds the secret: `whsec_` and base64, or any text.
        secret_file: String,
        /// Name of the environment variable that holds it.
        secret_env: String,
        /// The name of the signature's field. Default: `webhook-signature`.
        header: FieldName,
    }
    later: []
}

/// Header fields in the order they were written.
#[derive(Debug, Default)]
pub(in crate::config) struct Headers(pub(in crate::config) Vec<(At<String>, WrittenHeader)>);

/// The value of a header field.
#[derive(Debug)]
pub(in crate::config) enum WrittenHeader {
    /// Here.
    Text(At<String>),
    /// Elsewhere.
    Secret(Box<HeaderSecret>),
}

section! {
    /// A value that stands elsewhere.
    pub(in crate::config) struct HeaderSecret {
        /// Absolute path of a file that holds the whole value, for example `Bearer …`.
        file: String,
        /// Name of the environment variable that holds it.
        env: String,
    }
    later: []
}

/// A body that is no event.
#[derive(Debug)]
pub(in crate::config) enum WrittenBody {
    /// As a service wants it.
    Preset(Preset),
    /// Of the operator's own.
    Template(Box<BodyTemplate>),
}

section! {
    /// A body of the operator's own: exactly one of these.
    pub(in crate::config) struct BodyTemplate {
        /// JSON, written as YAML; fields in braces may stand in its texts.
        json: JsonTemplate,
        /// Plain text; fields in braces may stand in it.
        text: TextTemplate,
    }
    later: []
}

impl Read for Headers {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        let mut headers = Vec::new();
        for entry in entries(node, place, problems)? {
            let mut place = place.key(&entry.key, entry.line);
            place.file = Arc::clone(&entry.node.file);
            let value = match &entry.node.value {
                Value::Map(_) => HeaderSecret::read(&entry.node, &place, problems)
                    .map(|secret| WrittenHeader::Secret(Box::new(secret))),
                Value::Text(_) | Value::Number(_) | Value::Nothing | Value::Truth(_) | Value::List(_) => {
                    At::read(&entry.node, &place, problems).map(WrittenHeader::Text)
                }
            };
            headers.push((At { value: entry.key.clone(), place }, value?));
        }
        Some(Self(headers))
    }
}

impl Read for WrittenBody {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        const PRESETS: [Preset; 4] = [Preset::Teams, Preset::Slack, Preset::Ntfy, Preset::Gotify];
        if let Value::Map(_) = &node.value {
            return BodyTemplate::read(node, place, problems).map(|body| Self::Template(Box::new(body)));
        }
        let word = if let Value::Text(text) = &node.value { text } else { "" };
        let preset = PRESETS.into_iter().find(|preset| preset.as_str() == word);
        if preset.is_none() {
            let fix = "write `teams`, `slack`, `ntfy` or `gotify`, `{ json: … }` or `{ text: … }`; the event goes without `body`";
            problems.push(Problem::new(place, format!("{} is no body", shown(node)), fix));
        }
        preset.map(Self::Preset)
    }
}

impl Read for JsonTemplate {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        match &node.value {
            Value::Nothing => Some(Self::Null),
            Value::Truth(truth) => Some(Self::Truth(*truth)),
            Value::Number(number) => match serde_json::from_str(number) {
                Ok(number) => Some(Self::Number(number)),
                Err(_) => {
                    let fix = format!("write it in decimal, or as a text: '{number}'");
                    problems.push(Problem::new(place, format!("JSON has no number {number}"), fix));
                    None
                }
            },
            Value::Text(_) => TextTemplate::read(node, place, problems).map(Self::Text),
            Value::List(items) => {
                let mut list = Vec::new();
                for (number, item) in items.iter().enumerate() {
                    list.extend(Self::read(item, &place.item(number, item.line), problems));
                }
                // With one less it would mean something else.
                (list.len() == items.len()).then_some(Self::List(list))
            }
            Value::Map(_) => {
                let (entries, mut map) = (entries(node, place, problems)?, Vec::new());
                for entry in &entries {
                    let value = Self::read(&entry.node, &place.key(&entry.key, entry.line), problems);
                    map.extend(value.map(|value| (entry.key.clone(), value)));
                }
                (map.len() == entries.len()).then_some(Self::Map(map))
            }
        }
    }
}

impl Read for TextTemplate {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        let text = String::read(node, place, problems)?;
        let template = Self::parse(&text);
        template
            .map_err(|error| {
                let fix = "correct it; fields stand in single braces, for example {title}";
                problems.push(Problem::new(place, error.to_string(), fix));
            })
            .ok()
    }
}

impl Read for FieldName {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        let text = String::read(node, place, problems)?;
        Self::new(&text)
            .map_err(|error| {
                let cause = format!("{text:?} is none: {error}");
                problems.push(Problem::new(place, cause, "write for example X-Signature"));
            })
            .ok()
    }
}
