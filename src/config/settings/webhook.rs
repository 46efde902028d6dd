//! A webhook as a place that messages go.

use std::fmt;

use super::{BrokerTls, EventMode, QueueLimits, Secret};
use crate::config::check::SecretOrigin;
use crate::policy::reach::Reach;
use crate::policy::webhook::{Body, Preset};
use crate::wire::url::HttpUrl;

/// A service that takes each event as an HTTP request.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// Where it listens. Path and query may be a secret.
    pub url: HttpUrl,
    /// The place of the URL, where it does not stand in the configuration.
    pub url_origin: Option<SecretOrigin>,
    /// The method.
    pub method: WebhookMethod,
    /// Header fields, beside those that go with the body.
    pub headers: Vec<WebhookHeader>,
    /// What goes there.
    pub body: WebhookBody,
    /// How requests are signed, where they are.
    pub hmac: Option<WebhookHmac>,
    /// How far it may lie.
    pub reach: Reach,
    /// Whom to trust, and what to show.
    pub tls: BrokerTls,
    /// How much it takes.
    pub limits: QueueLimits,
}

impl Webhook {
    /// The subject of events where a rule or a route names none: empty, but ntfy needs a topic.
    #[must_use]
    pub const fn default_subject(&self) -> Option<&str> {
        match &self.body {
            WebhookBody::Other(Body::Preset(Preset::Ntfy)) => None,
            WebhookBody::Event(_) | WebhookBody::Other(_) => Some(""),
        }
    }
}

/// A method that has a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WebhookMethod {
    /// POST
    #[default]
    Post,
    /// PUT
    Put,
    /// PATCH
    Patch,
}

impl WebhookMethod {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
        }
    }
}

/// A header field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookHeader {
    /// Its name, in lower case.
    pub name: FieldName,
    /// Its value.
    pub value: HeaderText,
}

/// The name of a header field: a token (RFC 9110 §5.1) in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldName(String);

/// A text is no name of a header field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a header field's name has letters, digits and `-` only")]
pub struct NotAFieldName;

impl FieldName {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// [`NotAFieldName`].
    pub fn new(text: &str) -> Result<Self, NotAFieldName> {
        let fits = |octet: u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet);
        if (1..=100).contains(&text.len()) && text.bytes().all(fits) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(NotAFieldName)
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The value of a header field: printable ASCII.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderText {
    /// As the configuration has it.
    Written(String),
    /// From a file or a variable.
    Secret(Secret),
}

impl HeaderText {
    /// The value.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Written(text) => text,
            Self::Secret(secret) => &secret.text,
        }
    }
}

/// What goes to a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebhookBody {
    /// A CloudEvent (HTTP binding 1.0.2).
    Event(EventMode),
    /// Something else.
    Other(Body),
}

/// How requests are signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookHmac {
    /// What both sides know.
    pub secret: Secret,
    /// The field of the signature.
    pub header: FieldName,
}
