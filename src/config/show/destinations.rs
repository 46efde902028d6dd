//! `destinations` as the operator would write them.

use std::path::Path;

use serde::{Serialize, Serializer};

use super::super::check::{SecretOrigin, SecretOwner, spelled};
use super::super::settings::{
    Destination, DestinationKind, Displays, Maildir, Mechanism, Tls, TlsMode, Unconfirmed,
};
use super::amqp::ShownAmqp;
use super::graph::ShownGraph;
use super::mqtt::ShownMqtt;
use super::nats::ShownNats;
use super::redis::ShownRedis;
use super::submission::ShownSubmission;
use super::webhook::ShownWebhook;
use super::{limit, rate, size};
use crate::wire::oem_text::CodePage;

/// A map in the order it has.
pub(super) struct Named<'s>(pub(super) Vec<(&'s str, ShownDestination<'s>)>);

impl Serialize for Named<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, destination)| (name, destination)))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ShownDestination<'s> {
    Submission(Box<ShownSubmission<'s>>),
    Graph(Box<ShownGraph<'s>>),
    Maildir(ShownMaildir<'s>),
    Netbios(ShownDisplays<'s>),
    Nats(Box<ShownNats<'s>>),
    Webhook(Box<ShownWebhook<'s>>),
    Amqp(ShownAmqp<'s>),
    Mqtt(ShownMqtt<'s>),
    Redis(ShownRedis<'s>),
}

#[derive(Serialize)]
pub(super) struct ShownTls<'s> {
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_file: Option<&'s Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_certificate: Option<&'s Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_file: Option<&'s Path>,
}

impl<'s> ShownTls<'s> {
    pub(super) fn of(tls: &'s Tls) -> Self {
        let client = tls.client_certificate.as_ref();
        Self {
            mode: tls_mode(tls.mode),
            ca_file: tls.ca_file.as_deref(),
            client_certificate: client.map(|files| &*files.certificate),
            key_file: client.map(|files| &*files.key_file),
        }
    }
}

#[derive(Serialize)]
pub(super) struct ShownMaildir<'s> {
    path: &'s Path,
    max_size: String,
    keep: String,
}

#[derive(Serialize)]
pub(super) struct ShownDisplays<'s> {
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'s str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code_page: Option<CodePage>,
    unconfirmed: &'static str,
    max_text: String,
    rate: String,
}

pub(super) fn named<'s>(
    destination: &'s Destination,
    secrets: &'s [(SecretOwner, SecretOrigin)],
) -> (&'s str, ShownDestination<'s>) {
    let shown = match &destination.kind {
        DestinationKind::Submission(submission) => {
            let owner = SecretOwner::Destination(destination.name.clone());
            let secret = secrets.iter().find(|(other, _)| *other == owner).map(|(_, origin)| origin);
            ShownDestination::Submission(Box::new(ShownSubmission::of(submission, secret)))
        }
        DestinationKind::Maildir(Maildir { path, max_size, keep }) => {
            ShownDestination::Maildir(ShownMaildir {
                path,
                max_size: limit(*max_size, size),
                keep: limit(*keep, spelled),
            })
        }
        DestinationKind::Netbios(displays) => ShownDestination::Netbios(ShownDisplays::of(displays)),
        DestinationKind::Nats(nats) => ShownDestination::Nats(Box::new(ShownNats::of(nats))),
        DestinationKind::Graph(graph) => ShownDestination::Graph(Box::new(ShownGraph::of(graph))),
        DestinationKind::Webhook(webhook) => ShownDestination::Webhook(Box::new(ShownWebhook::of(webhook))),
        DestinationKind::Amqp(amqp) => ShownDestination::Amqp(ShownAmqp::of(amqp)),
        DestinationKind::Mqtt(mqtt) => ShownDestination::Mqtt(ShownMqtt::of(mqtt)),
        DestinationKind::Redis(redis) => ShownDestination::Redis(ShownRedis::of(redis)),
    };
    (destination.name.as_str(), shown)
}

impl<'s> ShownDisplays<'s> {
    fn of(displays: &'s Displays) -> Self {
        Self {
            from: displays.from.as_deref(),
            code_page: displays.code_page,
            unconfirmed: match displays.unconfirmed {
                Unconfirmed::Accept => "accept",
                Unconfirmed::Never => "never",
            },
            max_text: size(u64::try_from(displays.max_text).unwrap_or(u64::MAX)),
            rate: limit(displays.rate, rate),
        }
    }
}

pub(super) const fn tls_mode(mode: TlsMode) -> &'static str {
    match mode {
        TlsMode::StartTls => "starttls",
        TlsMode::Implicit => "implicit",
        TlsMode::None => "none",
    }
}

pub(super) const fn mechanism(mechanism: Mechanism) -> &'static str {
    match mechanism {
        Mechanism::ScramSha256 => "scram-sha-256",
        Mechanism::Plain => "plain",
        Mechanism::Login => "login",
        Mechanism::CramMd5 => "cram-md5",
    }
}
