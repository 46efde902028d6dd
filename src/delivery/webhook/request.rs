//! One event as a request.

use bytes::Bytes;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::WebhookSetupError;
use crate::config::settings::{
    self, EventMode, FieldName, HeaderText, WebhookBody, WebhookHmac, WebhookMethod,
};
use crate::message::event::{DATA_MEDIA_TYPE, Event, header_value};
use crate::net::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use crate::net::http::{HeaderMap, Method, Request};
use crate::policy::webhook::{Fields, Key, NotATopic, signature};
use crate::wire::url::HttpUrl;

/// What requests to one webhook look like.
#[derive(Debug)]
pub(super) struct Form {
    url: HttpUrl,
    /// Host and port, for sentences.
    at: String,
    method: Method,
    /// The same in each request.
    headers: HeaderMap,
    body: WebhookBody,
    signing: Option<(Key, HeaderName)>,
    timezone: TimeZone,
}

impl Form {
    pub(super) fn new(settings: &settings::Webhook, timezone: TimeZone) -> Result<Self, WebhookSetupError> {
        let mut headers = HeaderMap::new();
        for settings::WebhookHeader { name, value } in &settings.headers {
            let wrong = || WebhookSetupError::Header { name: name.to_string() };
            let mut field = HeaderValue::from_str(value.as_str()).map_err(|_| wrong())?;
            field.set_sensitive(matches!(value, HeaderText::Secret(_)));
            headers.insert(field_name(name)?, field);
        }
        let media_type = match &settings.body {
            WebhookBody::Event(EventMode::Structured) => STRUCTURED,
            WebhookBody::Event(EventMode::Binary) => DATA_MEDIA_TYPE,
            WebhookBody::Other(body) => body.media_type(),
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        let signing = |hmac: &WebhookHmac| {
            Ok::<_, WebhookSetupError>((Key::of(&hmac.secret.text), field_name(&hmac.header)?))
        };
        Ok(Self {
            url: settings.url.clone(),
            at: settings.url.authority(),
            method: method(settings.method),
            headers,
            body: settings.body.clone(),
            signing: settings.hmac.as_ref().map(signing).transpose()?,
            timezone,
        })
    }

    /// Host and port.
    pub(super) fn at(&self) -> &str {
        &self.at
    }

    /// Octets that the event may have: of what goes into a template no more than a long text is needed.
    pub(super) fn room(&self, limit: Option<u64>) -> Option<u64> {
        match &self.body {
            WebhookBody::Event(_) => limit,
            WebhookBody::Other(_) => Some(limit.unwrap_or(MOST_FIELDS).min(MOST_FIELDS)),
        }
    }

    /// The request for one event, signed with this time.
    ///
    /// # Errors
    /// [`NotATopic`]: ntfy has no such topic.
    pub(super) fn request(&self, event: &Event, at: Timestamp) -> Result<Request, NotATopic> {
        let mut headers = self.headers.clone();
        let body = match &self.body {
            WebhookBody::Event(EventMode::Structured) => event.structured(),
            WebhookBody::Event(EventMode::Binary) => {
                add_attributes(event, &mut headers);
                event.data()
            }
            WebhookBody::Other(body) => Bytes::from(body.render(&Fields::of(event, &self.timezone))?),
        };
        if let Some((key, field)) = &self.signing {
            let signed = signature(key, event.id(), at, &body);
            insert(&mut headers, HeaderName::from_static("webhook-id"), event.id());
            insert(&mut headers, HeaderName::from_static("webhook-timestamp"), &at.as_second().to_string());
            insert(&mut headers, field.clone(), &signed);
        }
        Ok(Request { method: self.method.clone(), url: self.url.clone(), headers, body })
    }
}

/// The attributes of binary mode (CloudEvents HTTP binding §3.1.3); `datacontenttype` is `Content-Type`.
fn add_attributes(event: &Event, headers: &mut HeaderMap) {
    for (name, value) in event.attributes() {
        if name == "datacontenttype" {
            continue;
        }
        // Attributes have names of letters and digits.
        if let Ok(name) = HeaderName::from_bytes(format!("ce-{name}").as_bytes()) {
            insert(headers, name, &header_value(&value));
        }
    }
}

/// A field whose value is printable ASCII by its making.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn field_name(name: &FieldName) -> Result<HeaderName, WebhookSetupError> {
    HeaderName::from_bytes(name.as_str().as_bytes())
        .map_err(|_| WebhookSetupError::Header { name: name.to_string() })
}

const fn method(method: WebhookMethod) -> Method {
    match method {
        WebhookMethod::Post => Method::POST,
        WebhookMethod::Put => Method::PUT,
        WebhookMethod::Patch => Method::PATCH,
    }
}

/// With its character set, as the HTTP binding shows it (§3.2).
const STRUCTURED: &str = "application/cloudevents+json; charset=utf-8";
/// Octets of an event whose fields are put into a template: its text has at most 64 KiB.
const MOST_FIELDS: u64 = 128 << 10;
