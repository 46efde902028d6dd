//! Destinations of kind `webhook`.

use super::super::problem::{Place, Problem};
use super::super::raw::{self, At, WrittenBody, WrittenHeader};
use super::super::settings::{
    EventMode, FieldName, HeaderText, QueueLimits, Webhook, WebhookBody, WebhookHeader, WebhookHmac,
};
use super::queue::WrittenSecret;
use super::{Checking, SecretOrigin, Secrets};
use crate::policy::reach::Reach;
use crate::policy::webhook::Body;
use crate::wire::url::{Host, HttpUrl, Scheme};

impl Checking<'_> {
    /// `None`: what it is cannot be told.
    pub(super) fn webhook(&mut self, webhook: raw::Webhook) -> Option<Webhook> {
        let raw::Webhook {
            place,
            lost,
            url,
            url_file,
            url_env,
            method,
            headers,
            event,
            body,
            hmac,
            allow_private,
            tls,
            limits,
        } = webhook;
        let secret = WrittenSecret {
            place: &place,
            lost: &lost,
            file: ("url_file", url_file),
            variable: ("url_env", url_env),
        };
        let url = self.webhook_url(url, secret);
        let body = self.webhook_body(body, event);
        let hmac = hmac.and_then(|hmac| self.hmac(hmac.value));
        let headers = self.headers(headers, hmac.as_ref());
        let tls = self.broker_tls(tls);
        let limits = self.webhook_limits(limits);
        let reach = allow_private.map_or(Reach::PublicOnly, |allowed| allowed.value);
        let (url, url_origin) = url?;
        if url_origin.is_none() || matches!(self.surroundings.secrets, Secrets::Online { .. }) {
            self.can_be_reached(&url, reach, &place);
            let secrets =
                hmac.is_some() || headers.iter().any(|field| matches!(field.value, HeaderText::Secret(_)));
            if secrets || url_origin.is_some() {
                self.in_clear(&url, &place);
            }
        }
        let method = method.map(|method| method.value).unwrap_or_default();
        Some(Webhook { url, url_origin, method, headers, body, hmac, reach, tls, limits })
    }

    fn webhook_url(
        &mut self,
        url: Option<At<String>>,
        secret: WrittenSecret<'_>,
    ) -> Option<(HttpUrl, Option<SecretOrigin>)> {
        let elsewhere =
            secret.file.1.as_ref().or(secret.variable.1.as_ref()).map(|written| written.place.clone());
        match (url, elsewhere) {
            (Some(url), None) => self.parsed_url(&url.value, &url.place).map(|url| (url, None)),
            (Some(_), Some(place)) => {
                self.problem(Problem::new(&place, "there is a `url` too", "keep one of the two"));
                None
            }
            (None, Some(place)) => {
                let secret = self.secret(secret)?;
                let url = match self.surroundings.secrets {
                    Secrets::Offline => HttpUrl::parse("https://localhost.invalid/").ok(),
                    Secrets::Online { .. } if secret.text.is_empty() => None,
                    Secrets::Online { .. } => self.parsed_url(&secret.text, &place),
                };
                Some((url?, Some(secret.origin)))
            }
            (None, None) => {
                let WrittenSecret { place, lost, .. } = secret;
                if !lost.has("url_file") && !lost.has("url_env") {
                    let fix = "add it, for example `url: https://hooks.example.com/mailslot`, or `url_file:` where its path is a secret";
                    self.missing(place, lost, "url", fix);
                }
                None
            }
        }
    }

    fn parsed_url(&mut self, text: &str, place: &Place) -> Option<HttpUrl> {
        HttpUrl::parse(text)
            .map_err(|error| self.problem(Problem::new(place, format!("the URL {error}"), error.fix())))
            .ok()
    }

    /// An address that will be refused each time is a mistake already; names are not resolved here.
    fn can_be_reached(&mut self, url: &HttpUrl, reach: Reach, place: &Place) {
        let refusal = match url.host() {
            Host::Address(address) => reach.refusal(*address).map(|special| special.to_string()),
            Host::Name(name) if reach == Reach::PublicOnly && name == "localhost" => {
                Some("this machine itself".to_owned())
            }
            Host::Name(_) => None,
        };
        if let Some(special) = refusal {
            let cause = format!("{} is {special}, and nothing goes there unasked", url.host());
            self.problem(Problem::new(place, cause, "add `allow_private: true` if that is meant"));
        }
    }

    fn in_clear(&mut self, url: &HttpUrl, place: &Place) {
        let own = match url.host() {
            Host::Name(name) => name == "localhost",
            Host::Address(address) => address.is_loopback(),
        };
        if url.scheme() == Scheme::Http && !own {
            let cause = "its secrets go over the network in clear: the URL begins with http://";
            self.problems.warn(Problem::new(place, cause, "write https://"));
        }
    }

    fn webhook_body(&mut self, body: Option<At<WrittenBody>>, event: Option<At<EventMode>>) -> WebhookBody {
        let Some(body) = body else {
            return WebhookBody::Event(event.map(|event| event.value).unwrap_or_default());
        };
        if let Some(event) = event {
            self.problem(event.problem("there is a `body` that is no event", "remove one of the two"));
        }
        match body.value {
            WrittenBody::Preset(preset) => WebhookBody::Other(Body::Preset(preset)),
            WrittenBody::Template(template) => match (template.json, template.text) {
                (Some(json), None) => WebhookBody::Other(Body::Json(json.value)),
                (None, Some(text)) => WebhookBody::Other(Body::Text(text.value)),
                (Some(_), Some(text)) => {
                    self.problem(text.problem("there is `json` too", "keep one of the two"));
                    WebhookBody::Event(EventMode::default())
                }
                (None, None) => {
                    if template.lost.is_empty() {
                        let fix = "add `json: { text: '{title}' }`, or `text: '{title}'`";
                        self.incomplete(&template.place, "says nothing", fix);
                    }
                    WebhookBody::Event(EventMode::default())
                }
            },
        }
    }

    fn hmac(&mut self, hmac: raw::Hmac) -> Option<WebhookHmac> {
        let raw::Hmac { place, lost, secret_file, secret_env, header } = hmac;
        let secret = self.needed_secret(WrittenSecret {
            place: &place,
            lost: &lost,
            file: ("secret_file", secret_file),
            variable: ("secret_env", secret_env),
        })?;
        let header = match header {
            Some(header) if is_taken(header.value.as_str()) => {
                let cause = format!("{} has another meaning", header.value);
                self.problem(header.problem(cause, "write another name, or remove the key"));
                return None;
            }
            Some(header) => header.value,
            None => FieldName::new(SIGNATURE).ok()?,
        };
        Some(WebhookHmac { secret, header })
    }

    fn headers(
        &mut self,
        headers: Option<At<raw::Headers>>,
        hmac: Option<&WebhookHmac>,
    ) -> Vec<WebhookHeader> {
        let mut checked: Vec<WebhookHeader> = Vec::new();
        for (written, value) in headers.map(|headers| headers.value.0).unwrap_or_default() {
            let Some(name) = self.field_name(&written, hmac, &checked) else { continue };
            checked
                .extend(self.header_value(&written.value, value).map(|value| WebhookHeader { name, value }));
        }
        checked
    }

    fn field_name(
        &mut self,
        written: &At<String>,
        hmac: Option<&WebhookHmac>,
        earlier: &[WebhookHeader],
    ) -> Option<FieldName> {
        let name = match FieldName::new(&written.value) {
            Ok(name) => name,
            Err(error) => {
                self.problem(written.problem(error.to_string(), "write for example X-Api-Key"));
                return None;
            }
        };
        let of_hmac = hmac.is_some_and(|hmac| hmac.header == name);
        if is_taken(name.as_str()) || of_hmac {
            self.problem(written.problem("this field is made from the message itself", "remove it"));
            return None;
        }
        if earlier.iter().any(|field| field.name == name) {
            self.problem(written.problem("this field stands there already", "keep one of the two"));
            return None;
        }
        Some(name)
    }

    fn header_value(&mut self, name: &str, value: WrittenHeader) -> Option<HeaderText> {
        match value {
            WrittenHeader::Text(text) if is_secret(&name.to_ascii_lowercase()) => {
                let fix = format!(
                    "put the whole value into a file that only the service may read, and write `{name}: {{ file: /etc/mailslotd/hook.token }}`"
                );
                self.problem(text.problem("secrets do not stand in the configuration", fix));
                None
            }
            WrittenHeader::Text(text) => {
                self.is_printable(&text.value, &text.place)?;
                Some(HeaderText::Written(text.value))
            }
            WrittenHeader::Secret(secret) => {
                let raw::HeaderSecret { place, lost, file, env } = *secret;
                let secret = self.needed_secret(WrittenSecret {
                    place: &place,
                    lost: &lost,
                    file: ("file", file),
                    variable: ("env", env),
                })?;
                self.is_printable(&secret.text, &place)?;
                Some(HeaderText::Secret(secret))
            }
        }
    }

    fn is_printable(&mut self, value: &str, place: &Place) -> Option<()> {
        if value.bytes().all(|octet| matches!(octet, b' '..=b'~')) {
            return Some(());
        }
        let cause = "its value has characters that header fields do not take";
        self.problem(Problem::new(place, cause, "write printable ASCII"));
        None
    }

    fn webhook_limits(&mut self, limits: Option<At<raw::QueueLimits>>) -> QueueLimits {
        let is_limited = |limits: &At<raw::QueueLimits>| {
            limits.value.message_size.is_some() || limits.value.lost.has("message_size")
        };
        let default = limits.as_ref().is_none_or(|limits| !is_limited(limits)).then_some(MESSAGE_SIZE);
        let limits = self.queue_limits(limits, IN_FLIGHT);
        QueueLimits { message_size: limits.message_size.or(default), ..limits }
    }
}

/// Fields that the request or the connection makes.
fn is_taken(name: &str) -> bool {
    const TAKEN: [&str; 13] = [
        "host",
        "content-length",
        "content-type",
        "content-encoding",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "upgrade",
        "te",
        "trailer",
        "expect",
        "webhook-id",
        "webhook-timestamp",
    ];
    TAKEN.contains(&name) || name.starts_with("ce-") || name.starts_with("proxy-")
}

/// Fields whose value is a secret, by their names.
fn is_secret(name: &str) -> bool {
    ["authorization", "cookie", "token", "secret", "password", "apikey", "api-key", "gotify-key"]
        .iter()
        .any(|word| name.contains(word))
}

/// The field of a signature (Standard Webhooks 1.0.0).
const SIGNATURE: &str = "webhook-signature";
/// Requests at once.
const IN_FLIGHT: usize = 16;
/// What most servers take without being asked for more.
const MESSAGE_SIZE: u64 = 1 << 20;
