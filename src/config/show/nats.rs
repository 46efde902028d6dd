//! Destinations of kind `nats` as the operator would write them.

use std::path::Path;

use serde::Serialize;

use super::super::check::spelled;
use super::super::settings::{Discard, Nats, NatsAuth, NatsCluster, StreamPlan};
use super::queue::{ShownBrokerTls, ShownQueueLimits, event_mode, file_of, variable_of};
use super::{limit, size};

#[derive(Serialize)]
pub(super) struct ShownNats<'s> {
    servers: Vec<String>,
    stream: &'s str,
    #[serde(skip_serializing_if = "Option::is_none")]
    create: Option<Create<'s>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<ShownBrokerTls<'s>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth: Option<Auth<'s>>,
    event: &'static str,
    limits: ShownQueueLimits,
}

#[derive(Serialize)]
struct Create<'s> {
    subjects: &'s [String],
    replicas: usize,
    max_age: String,
    max_bytes: String,
    max_messages: String,
    discard: &'static str,
    duplicate_window: String,
}

#[derive(Serialize, Default)]
struct Auth<'s> {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'s str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password_file: Option<&'s Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password_env: Option<&'s str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_file: Option<&'s Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_env: Option<&'s str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nkey_file: Option<&'s Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credentials_file: Option<&'s Path>,
}

impl<'s> ShownNats<'s> {
    pub(super) fn of(nats: &'s Nats) -> Self {
        let NatsCluster { servers, tls, auth } = &nats.cluster;
        let scheme = if tls.is_some() { "tls" } else { "nats" };
        Self {
            servers: servers.iter().map(|server| format!("{scheme}://{server}")).collect(),
            stream: nats.stream.as_str(),
            create: nats.create.as_ref().map(Create::of),
            tls: tls.as_ref().and_then(ShownBrokerTls::of),
            auth: Auth::of(auth),
            event: event_mode(nats.event),
            limits: ShownQueueLimits::of(&nats.limits),
        }
    }
}

impl<'s> Create<'s> {
    fn of(plan: &'s StreamPlan) -> Self {
        Self {
            subjects: &plan.subjects,
            replicas: plan.replicas,
            max_age: limit(plan.max_age, spelled),
            max_bytes: limit(plan.max_bytes, size),
            max_messages: limit(plan.max_messages, |count| count.to_string()),
            discard: match plan.discard {
                Discard::Old => "old",
                Discard::New => "new",
            },
            duplicate_window: spelled(plan.duplicate_window),
        }
    }
}

impl<'s> Auth<'s> {
    fn of(auth: &'s NatsAuth) -> Option<Self> {
        let file = |secret| file_of(Some(secret));
        let variable = |secret| variable_of(Some(secret));
        let none = Self::default();
        Some(match auth {
            NatsAuth::None => return None,
            NatsAuth::Password { user, password } => Self {
                user: Some(user),
                password_file: file(password),
                password_env: variable(password),
                ..none
            },
            NatsAuth::Token(token) => Self { token_file: file(token), token_env: variable(token), ..none },
            NatsAuth::Nkey(seed) => Self { nkey_file: file(seed), ..none },
            NatsAuth::Credentials(file_text) => Self { credentials_file: file(file_text), ..none },
        })
    }
}
