//! The settings in effect as the operator would write them, every default included, secrets as the place they came
//! from.

mod amqp;
mod broker;
mod destinations;
mod graph;
mod mqtt;
mod nats;
mod netbios;
mod oauth;
mod operator;
mod outbound_proxy;
mod queue;
mod recipients;
mod redis;
mod rules;
mod smtp;
mod submission;
mod webhook;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::check::{SecretOrigin, SecretOwner, spelled};
use super::settings::{Log, Settings};
use crate::policy::rate::Rate;
use destinations::{Named, named};
use netbios::{Mailslots, Netbios};
use outbound_proxy::ShownProxy;
use rules::ShownRule;

/// The whole configuration, to be written as YAML or JSON. What it writes can be loaded again.
#[must_use]
pub fn show<'s>(settings: &'s Settings, secrets: &'s [(SecretOwner, SecretOrigin)]) -> impl Serialize + 's {
    Shown {
        hostname: settings.hostname.as_deref(),
        site: &settings.site,
        timezone: settings.timezone.iana_name(),
        state_dir: &settings.state_dir,
        netbios: Netbios::of(settings),
        mailslots: Mailslots::of(settings),
        listeners: Listeners {
            datagram: Address { address: settings.datagram.to_string() },
            name_service: Address { address: settings.name_service.to_string() },
            messenger: Address { address: settings.messenger.to_string() },
            smtp: settings.smtp.listeners.iter().map(smtp::Listener::of).collect(),
            admin: Address { address: settings.admin.to_string() },
        },
        destinations: Named(
            settings.destinations.iter().map(|destination| named(destination, secrets)).collect(),
        ),
        outbound_proxy: settings.outbound_proxy.as_ref().map(ShownProxy::of),
        rules: settings.rules.rules().iter().map(ShownRule::of).collect(),
        relay: smtp::Relay::of(&settings.smtp, secrets),
        tarpit: smtp::Tarpit::of(&settings.smtp.tarpit),
        users_file: settings.smtp.users_file.as_deref(),
        auth: smtp::ShownAuthGuard::of(&settings.smtp.auth_guard),
        dns_server: settings.smtp.dns_server,
        pickup: settings.smtp.pickup.as_ref().map(smtp::ShownPickup::of),
        operator: operator::Operator::of(settings),
        retry: Retry {
            first: spelled(settings.retry.first),
            max: spelled(settings.retry.max),
            expire: spelled(settings.retry.expire),
        },
        spool: Spool {
            max_size: limit(settings.spool.max_size, size),
            min_free: size(settings.spool.min_free),
            reserved_for_notices: size(settings.spool.reserved_for_notices),
            failed_keep: spelled(settings.spool.failed_keep),
            nats: settings.spool_group.as_ref().map(|group| group.via.as_str()),
            replicas: settings.spool_group.as_ref().map(|group| group.replicas),
        },
        log: ShownLog {
            format: match settings.log {
                Log::Human => "human",
                Log::Json => "json",
            },
        },
    }
}

#[derive(Serialize)]
struct Shown<'s> {
    #[serde(skip_serializing_if = "Option::is_none")]
    hostname: Option<&'s str>,
    site: &'s str,
    #[serde(skip_serializing_if = "Option::is_none")]
    timezone: Option<&'s str>,
    state_dir: &'s Path,
    netbios: Netbios<'s>,
    mailslots: Mailslots,
    listeners: Listeners<'s>,
    destinations: Named<'s>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outbound_proxy: Option<ShownProxy<'s>>,
    rules: Vec<ShownRule<'s>>,
    relay: smtp::Relay<'s>,
    tarpit: smtp::Tarpit,
    #[serde(skip_serializing_if = "Option::is_none")]
    users_file: Option<&'s Path>,
    auth: smtp::ShownAuthGuard,
    #[serde(skip_serializing_if = "Option::is_none")]
    dns_server: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pickup: Option<smtp::ShownPickup<'s>>,
    operator: operator::Operator<'s>,
    retry: Retry,
    spool: Spool<'s>,
    log: ShownLog,
}

#[derive(Serialize)]
struct Listeners<'s> {
    datagram: Address,
    name_service: Address,
    messenger: Address,
    smtp: Vec<smtp::Listener<'s>>,
    admin: Address,
}

#[derive(Serialize)]
struct Address {
    address: String,
}

#[derive(Serialize)]
struct Retry {
    first: String,
    max: String,
    expire: String,
}

#[derive(Serialize)]
struct Spool<'s> {
    max_size: String,
    min_free: String,
    reserved_for_notices: String,
    failed_keep: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    nats: Option<&'s str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replicas: Option<usize>,
}

#[derive(Serialize)]
struct ShownLog {
    format: &'static str,
}

fn limit<T>(limit: Option<T>, spell: impl FnOnce(T) -> String) -> String {
    limit.map_or_else(|| "off".to_owned(), spell)
}

/// Bytes in the greatest unit that divides them: `35MiB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    [("TiB", 1_u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]
        .into_iter()
        .chain([("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1000)])
        .find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit))
        .map_or_else(|| format!("{bytes}B"), |(name, unit)| format!("{}{name}", bytes / unit))
}

/// A rate as the configuration has it: `30/min`.
#[must_use]
pub fn rate(rate: Rate) -> String {
    let period = match rate.period {
        period if period <= Duration::from_secs(1) => "s",
        period if period <= Duration::from_secs(60) => "min",
        period if period <= Duration::from_secs(3600) => "h",
        _ => "d",
    };
    format!("{}/{period}", rate.count)
}
