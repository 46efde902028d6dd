//! What the configuration means: only valid values, every default filled in.

mod amqp;
mod broker;
mod displays;
mod graph;
mod mqtt;
mod nats;
mod netbios;
mod oauth;
mod outbound_proxy;
mod queue;
mod redis;
mod sender;
mod smtp;
mod webhook;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use jiff::tz::TimeZone;
use zeroize::Zeroizing;

use crate::message::event::{LARGEST_EVENT, mail_capacity};
use crate::message::id::DestinationName;
use crate::policy::mapping::RuleSet;
use crate::policy::operator::OperatorPolicy;
use crate::policy::rate::Rate;
use crate::policy::replies::ReplyTable;
use crate::policy::retry::Retry;
pub use crate::policy::route::{FolderName, Route, RouteDomain, RouteTo};
use crate::policy::template::AddressForm;
use crate::wire::oem_text::SenderText;
pub use crate::wire::smtp::mechanism::{BearerMechanism, Mechanism};
pub use amqp::Amqp;
pub use broker::{Broker, WrittenBroker, WrittenUrl};
pub use displays::{Displays, Unconfirmed};
pub use graph::Graph;
pub use mqtt::Mqtt;
pub use nats::{
    Discard, Nats, NatsAuth, NatsCluster, NatsServer, StreamName, StreamPlan, check_subject_filter,
    covers_subject,
};
pub use netbios::{Claims, Interfaces, Mailslots, Mode, Netbios, Sessions};
pub use oauth::{Algorithm, BearerCredentials, ClientProof, Grant, OAuth};
pub use outbound_proxy::{OutboundProxy, ProxyException, ProxyLogin};
pub use queue::{BrokerTls, EventMode, QueueLimits, Secret};
pub use redis::Redis;
pub use sender::{DisplayName, DisplayNameError, Sender};
pub use smtp::{
    Bounces, CallForward, CallForwardTls, ClientException, Ldap, OnFailure, Pickup, RecipientSource,
    RouteSizes, ServerAuth, ServerTls, SmtpFrontEnd, SmtpLimits, SmtpListener, TlsStart,
};
pub use webhook::{
    FieldName, HeaderText, NotAFieldName, Webhook, WebhookBody, WebhookHeader, WebhookHmac, WebhookMethod,
};

/// The whole configuration in effect.
#[derive(Debug, Clone)]
pub struct Settings {
    /// EHLO name and Message-ID domain, a fully qualified domain name in ASCII; `None` only while no destination needs it.
    pub hostname: Option<String>,
    /// A free label for templates and subjects; may be empty.
    pub site: String,
    /// Of times in mail and templates.
    pub timezone: TimeZone,
    /// Spool, inbox, control socket, lock.
    pub state_dir: PathBuf,
    /// How legacy messages are decoded.
    pub decoding: Decoding,
    /// How the gateway takes part in NetBIOS.
    pub netbios: Netbios,
    /// Whether legacy messages pass at all.
    pub mailslots: Mailslots,
    /// Where datagrams are heard; always IPv4.
    pub datagram: SocketAddr,
    /// Where the name service is heard; always IPv4.
    pub name_service: SocketAddr,
    /// Where sessions of the messenger are accepted, in [`Mode::Answer`]; always IPv4.
    pub messenger: SocketAddr,
    /// Where `/metrics`, `/healthz` and `/readyz` are served; always a loopback address.
    pub admin: SocketAddr,
    /// Where messages go.
    pub destinations: Vec<Destination>,
    /// Which messages go where.
    pub rules: Arc<RuleSet>,
    /// When a delayed delivery is tried again and when it is given up.
    pub retry: Retry,
    /// How much the spool may hold.
    pub spool: SpoolLimits,
    /// Where the spool is that several gateways share; `None`: it is this machine's.
    pub spool_group: Option<SpoolGroup>,
    /// How the operator is told of notices that could not be delivered.
    pub operator: OperatorPolicy,
    /// How the log looks.
    pub log: Log,
    /// Through what HTTP goes out: tokens, Graph, webhooks.
    pub outbound_proxy: Option<OutboundProxy>,
    /// Mail from devices, applications and the Internet; without listeners and pickup nothing of it runs.
    pub smtp: SmtpFrontEnd,
}

impl Settings {
    /// The spool's own folder.
    #[must_use]
    pub fn spool_dir(&self) -> PathBuf {
        self.state_dir.join("spool")
    }
}

/// How the bytes of legacy senders become text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoding {
    /// The code page of senders that no exception names.
    pub code_page: SenderText,
    /// Exceptions by source address; the first that contains it decides.
    pub exceptions: Vec<(IpNet, SenderText)>,
    /// The NetBIOS scope that is heard; others are counted and dropped.
    pub scope: Vec<u8>,
}

impl Decoding {
    /// What the bytes of the sender at `source` mean.
    #[must_use]
    pub fn of(&self, source: IpAddr) -> SenderText {
        self.exceptions
            .iter()
            .find(|(network, _)| network.contains(&source))
            .map_or(self.code_page, |(_, text)| *text)
    }
}

/// One place that messages go.
#[derive(Debug, Clone)]
pub struct Destination {
    /// Its name in rules, metrics and commands.
    pub name: DestinationName,
    /// How to reach it.
    pub kind: DestinationKind,
}

/// How to reach a destination.
#[derive(Debug, Clone)]
pub enum DestinationKind {
    /// Authenticated SMTP submission, or relay to a next hop.
    Submission(Box<Submission>),
    /// Mail through Microsoft Graph.
    Graph(Box<Graph>),
    /// Files in a Maildir.
    Maildir(Maildir),
    /// Messages on legacy displays.
    Netbios(Displays),
    /// Events in a stream of NATS JetStream.
    Nats(Box<Nats>),
    /// Events as HTTP requests.
    Webhook(Box<Webhook>),
    /// Events for an exchange of an AMQP broker.
    Amqp(Box<Amqp>),
    /// Events for topics of an MQTT broker.
    Mqtt(Box<Mqtt>),
    /// Events in streams of Redis.
    Redis(Box<Redis>),
}

impl DestinationKind {
    /// What an address there is.
    #[must_use]
    pub const fn address_form(&self) -> AddressForm {
        match self {
            Self::Submission(_) | Self::Graph(_) => AddressForm::Mailbox,
            Self::Maildir(_) => AddressForm::Folder,
            Self::Netbios(_) => AddressForm::Display,
            Self::Nats(_) => AddressForm::NatsSubject,
            Self::Webhook(_) => AddressForm::EventSubject,
            Self::Amqp(_) => AddressForm::RoutingKey,
            Self::Mqtt(_) => AddressForm::MqttTopic,
            Self::Redis(_) => AddressForm::RedisStream,
        }
    }

    /// Octets of the greatest mail that may be accepted for it; `None`: nothing limits it. Less than it takes by what we
    /// add on the way; of an event, what leaves room for the original beside all else. Where no limit of events is
    /// written, what the usual broker takes counts.
    #[must_use]
    pub fn mail_size(&self) -> Option<u64> {
        match self {
            Self::Submission(submission) => Some(submission.message_size?.saturating_sub(ADDED)),
            Self::Graph(graph) => Some(graph.limits.message_size?.saturating_sub(ADDED)),
            Self::Maildir(_) | Self::Netbios(_) => None,
            Self::Nats(nats) => Some(mail_capacity(nats.limits.message_size.unwrap_or(Nats::USUAL_SIZE))),
            Self::Webhook(webhook) => match webhook.body {
                WebhookBody::Event(_) => {
                    Some(mail_capacity(webhook.limits.message_size.unwrap_or(LARGEST_EVENT)))
                }
                // The original is no part of it.
                WebhookBody::Other(_) => None,
            },
            Self::Amqp(amqp) => Some(mail_capacity(amqp.limits.message_size.unwrap_or(Amqp::USUAL_SIZE))),
            Self::Mqtt(mqtt) => Some(mail_capacity(mqtt.limits.message_size.unwrap_or(LARGEST_EVENT))),
            Self::Redis(redis) => Some(mail_capacity(redis.limits.message_size.unwrap_or(LARGEST_EVENT))),
        }
    }

    /// The address where a rule or a route names none; `None` where it must. Empty where none is needed.
    #[must_use]
    pub fn default_address(&self) -> Option<&str> {
        match self {
            Self::Webhook(webhook) => webhook.default_subject(),
            Self::Submission(_)
            | Self::Graph(_)
            | Self::Maildir(_)
            | Self::Netbios(_)
            | Self::Nats(_)
            | Self::Amqp(_)
            | Self::Mqtt(_) => None,
            Self::Redis(redis) => Some(&redis.stream),
        }
    }
}

/// Octets of a trace header, Date, Message-ID and the sender's rewriting, at most.
const ADDED: u64 = 4 << 10;

/// An SMTP next hop.
#[derive(Debug, Clone)]
pub struct Submission {
    /// Host name (checked against its certificate) or IP address.
    pub host: String,
    /// Usually 587, or 465 with implicit TLS.
    pub port: u16,
    /// How the connection is protected.
    pub tls: Tls,
    /// Who we are there; `None` where the configuration says `auth: none`.
    pub auth: Option<Auth>,
    /// The sender of notices, and of mail whose own sender the next hop would not take; `None`: mail goes as it came,
    /// and no rule sends notices here.
    pub from: Option<Sender>,
    /// Connections at once; at least 1.
    pub max_connections: usize,
    /// Messages in a time, where limited.
    pub rate: Option<Rate>,
    /// The greatest message in bytes, where limited.
    pub message_size: Option<u64>,
    /// Recipients of one transaction, where the next hop takes fewer than RFC 5321 asks for; at least 1.
    pub max_recipients: Option<usize>,
    /// How long one reply may take; RFC 5321 §4.5.3.2 wants minutes.
    pub timeout: Duration,
    /// What its replies mean, beside what holds for every next hop.
    pub replies: ReplyTable,
    /// Whose defaults these settings began with.
    pub preset: Option<ProviderPreset>,
}

/// A provider whose hosts, limits and replies are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderPreset {
    /// Microsoft 365, SMTP AUTH client submission.
    M365,
    /// Microsoft 365, the tenant's MX host, which knows this host by a connector.
    M365Connector,
    /// Microsoft 365, High Volume Email.
    M365Hve,
    /// Gmail and Google Workspace.
    Google,
    /// The SMTP relay service of Google Workspace.
    GoogleRelay,
    /// Amazon Simple Email Service.
    AmazonSes,
}

impl ProviderPreset {
    /// As the configuration spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::M365 => "m365",
            Self::M365Connector => "m365-connector",
            Self::M365Hve => "m365-hve",
            Self::Google => "google",
            Self::GoogleRelay => "google-relay",
            Self::AmazonSes => "amazon-ses",
        }
    }
}

/// Who we are at a next hop.
#[derive(Debug, Clone)]
pub enum Auth {
    /// A user with a password.
    Password(Credentials),
    /// A mailbox with tokens.
    Bearer(Box<BearerCredentials>),
}

/// How a connection to a next hop is protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// When TLS begins.
    pub mode: TlsMode,
    /// PEM file with the authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// What we show to a next hop that asks who we are; never with [`TlsMode::None`].
    pub client_certificate: Option<CertificateFiles>,
}

/// A certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM file with the certificate and those that lead to its root.
    pub certificate: PathBuf,
    /// PEM file with its key.
    pub key_file: PathBuf,
}

/// When TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// By STARTTLS, and required: without it nothing is sent.
    StartTls,
    /// With the first byte (RFC 8314).
    Implicit,
    /// Never. Passwords are not sent then.
    None,
}

/// A user and the secret that proves it.
#[derive(Clone)]
pub struct Credentials {
    /// The authentication identity.
    pub user: String,
    /// Read from its file or environment variable at start; wiped when dropped, never logged.
    pub password: Zeroizing<String>,
    /// Mechanisms that the operator allows, in order of preference.
    pub mechanisms: Vec<Mechanism>,
}

/// Shows the user only.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// A Maildir of our own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maildir {
    /// Its folder; made when absent.
    pub path: PathBuf,
    /// Oldest mail goes when it would grow over this many bytes.
    pub max_size: Option<u64>,
    /// Mail older than this goes.
    pub keep: Option<Duration>,
}

/// How much the spool may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolLimits {
    /// Bytes of messages; past it nothing more is accepted.
    pub max_size: Option<u64>,
    /// Bytes that stay free on its file system.
    pub min_free: u64,
    /// Bytes of both limits that only notices may use.
    pub reserved_for_notices: u64,
    /// How long failed messages are kept for the operator.
    pub failed_keep: Duration,
}

/// The spool that several gateways share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolGroup {
    /// The destination whose servers it lies on.
    pub via: DestinationName,
    /// These servers.
    pub cluster: NatsCluster,
    /// On how many of them.
    pub replicas: usize,
    /// It holds at most so many bytes; only where that was written, as the servers set aside as much.
    pub max_bytes: Option<u64>,
}

/// How the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Log {
    /// Lines for people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}
