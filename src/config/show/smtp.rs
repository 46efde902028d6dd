//! The SMTP front-end as the operator would write it.

use std::net::SocketAddr;
use std::path::Path;

use ipnet::IpNet;
use serde::Serialize;

use super::super::check::{SecretOrigin, SecretOwner, spelled};
use super::super::settings::{
    Bounces, ClientException, OnFailure, Pickup, Route, RouteTo, ServerAuth, ServerTls, SmtpFrontEnd,
    SmtpLimits, SmtpListener, TlsStart,
};
use super::destinations::mechanism;
use super::recipients::Recipients;
use super::{limit, rate, size};
use crate::policy::account::Cleartext;
use crate::policy::auth_guard::AuthGuardPolicy;
use crate::policy::relay::{AddressPattern, Authentication, RelayTo, TrustedNetwork};
use crate::policy::tarpit::{TarpitPolicy, Trusted};
use crate::wire::smtp::tolerance::Tolerance;

#[derive(Serialize)]
pub(super) struct Listener<'s> {
    name: &'s str,
    addresses: &'s [SocketAddr],
    trusted_networks: Vec<Network<'s>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    clients: Vec<Client<'s>>,
    tls: Tls<'s>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth: Option<Auth>,
    dnsbl: &'s [String],
    proxy_protocol_from: Vec<String>,
}

#[derive(Serialize)]
struct Network<'s> {
    network: String,
    relay_to: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Vec<&'s str>>,
    rate: String,
}

#[derive(Serialize)]
struct Client<'s> {
    source: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hide: Option<&'s [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<&'static str>,
}

#[derive(Serialize)]
struct Tls<'s> {
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<&'s Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_file: Option<&'s Path>,
}

#[derive(Serialize)]
struct Auth {
    mechanisms: Vec<&'static str>,
    require_tls: bool,
    required: bool,
}

impl<'s> Listener<'s> {
    pub(super) fn of(listener: &'s SmtpListener) -> Self {
        Self {
            name: listener.policy.name.as_str(),
            addresses: &listener.addresses,
            trusted_networks: listener.policy.trusted_networks.iter().map(Network::of).collect(),
            profile: listener.tolerance.map(tolerance),
            clients: listener.clients.iter().map(Client::of).collect(),
            tls: Tls::of(listener.tls.as_ref()),
            auth: listener.auth.as_ref().map(|auth| Auth::of(auth, listener.policy.authentication)),
            dnsbl: &listener.dnsbl,
            proxy_protocol_from: networks(&listener.proxy_protocol_from),
        }
    }
}

impl<'s> Network<'s> {
    fn of(trusted: &'s TrustedNetwork) -> Self {
        Self {
            network: trusted.network.to_string(),
            relay_to: relay_to(trusted.relay_to),
            from: trusted.from.as_deref().map(patterns),
            rate: limit(trusted.rate, rate),
        }
    }
}

impl<'s> Client<'s> {
    fn of(client: &'s ClientException) -> Self {
        Self {
            source: networks(&client.source),
            hide: Some(&*client.hide).filter(|hide| !hide.is_empty()),
            profile: client.tolerance.map(tolerance),
        }
    }
}

impl<'s> Tls<'s> {
    fn of(tls: Option<&'s ServerTls>) -> Self {
        Self {
            mode: match tls.map(|tls| tls.start) {
                None => "none",
                Some(TlsStart::StartTls) => "starttls",
                Some(TlsStart::Implicit) => "implicit",
            },
            certificate: tls.map(|tls| &*tls.files.certificate),
            key_file: tls.map(|tls| &*tls.files.key_file),
        }
    }
}

impl Auth {
    fn of(auth: &ServerAuth, authentication: Authentication) -> Self {
        Self {
            mechanisms: auth.mechanisms.iter().copied().map(mechanism).collect(),
            require_tls: auth.cleartext == Cleartext::Refused,
            required: authentication == Authentication::Required,
        }
    }
}

#[derive(Serialize)]
pub(super) struct Relay<'s> {
    accepted_domains: Vec<String>,
    recipients: Vec<Recipients<'s>>,
    on_directory_failure: &'static str,
    routes: Vec<ShownRoute<'s>>,
    limits: Limits,
    bounces: &'static str,
    delay_report: String,
}

#[derive(Serialize)]
struct ShownRoute<'s> {
    domain: String,
    via: &'s str,
    #[serde(skip_serializing_if = "Option::is_none")]
    folder: Option<&'s str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'s str>,
}

#[derive(Serialize)]
struct Limits {
    message_size: String,
    recipients: usize,
    connections_per_network: String,
    messages: String,
    connections: String,
    connections_in_all: usize,
}

impl<'s> Relay<'s> {
    pub(super) fn of(smtp: &'s SmtpFrontEnd, secrets: &'s [(SecretOwner, SecretOrigin)]) -> Self {
        let recipients = smtp.recipients.iter().enumerate();
        Self {
            accepted_domains: smtp
                .relay
                .accepted_domains
                .patterns()
                .iter()
                .map(ToString::to_string)
                .collect(),
            recipients: recipients.map(|(number, source)| Recipients::of(number, source, secrets)).collect(),
            on_directory_failure: match smtp.on_directory_failure {
                OnFailure::Defer => "defer",
                OnFailure::Accept => "accept",
            },
            routes: smtp.relay.routes.iter().map(ShownRoute::of).collect(),
            limits: Limits::of(&smtp.limits),
            bounces: match smtp.bounces {
                Bounces::OwnUsers => "own-users",
                Bounces::Everyone => "everyone",
                Bounces::Off => "off",
            },
            delay_report: limit(smtp.delay_report, spelled),
        }
    }
}

impl<'s> ShownRoute<'s> {
    fn of(route: &'s Route) -> Self {
        let (folder, to) = match &route.to {
            RouteTo::Recipient => (None, None),
            RouteTo::Folder(folder) => (Some(folder.as_str()), None),
            RouteTo::Address(address) => (None, Some(address.as_str()).filter(|to| !to.is_empty())),
        };
        Self { domain: route.domain.to_string(), via: route.via.as_str(), folder, to }
    }
}

impl Limits {
    fn of(limits: &SmtpLimits) -> Self {
        Self {
            message_size: limit(limits.message_size, size),
            recipients: limits.recipients,
            connections_per_network: limit(limits.connections_per_network, |count| count.to_string()),
            messages: limit(limits.messages, rate),
            connections: limit(limits.connections, rate),
            connections_in_all: limits.connections_in_all,
        }
    }
}

#[derive(Serialize)]
pub(super) struct Tarpit {
    time: String,
    step: String,
    max: String,
    max_line: String,
    failed_auth: String,
    max_delayed: usize,
    trusted: &'static str,
    exempt: Vec<String>,
    prefix: Prefix,
}

#[derive(Serialize)]
struct Prefix {
    ipv4: u8,
    ipv6: u8,
    private: u8,
}

impl Tarpit {
    pub(super) fn of(tarpit: &TarpitPolicy) -> Self {
        let prefixes = tarpit.prefixes;
        Self {
            time: spelled(tarpit.time),
            step: spelled(tarpit.step),
            max: spelled(tarpit.max),
            max_line: spelled(tarpit.max_line),
            failed_auth: spelled(tarpit.failed_auth),
            max_delayed: tarpit.max_delayed,
            trusted: match tarpit.trusted {
                Trusted::Exempt => "exempt",
                Trusted::Delay => "delay",
            },
            exempt: networks(&tarpit.exempt),
            prefix: Prefix { ipv4: prefixes.ipv4, ipv6: prefixes.ipv6, private: prefixes.private },
        }
    }
}

#[derive(Serialize)]
pub(super) struct ShownAuthGuard {
    failures: String,
    within: String,
    refused_for: String,
    line: usize,
    line_per_network: usize,
}

impl ShownAuthGuard {
    pub(super) fn of(guard: &AuthGuardPolicy) -> Self {
        Self {
            failures: limit(guard.failures, |count| count.to_string()),
            within: spelled(guard.within),
            refused_for: spelled(guard.refused_for),
            line: guard.line,
            line_per_network: guard.line_of_network,
        }
    }
}

#[derive(Serialize)]
pub(super) struct ShownPickup<'s> {
    path: &'s Path,
    #[serde(skip_serializing_if = "Option::is_none")]
    relay_to: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Vec<&'s str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<String>,
    badmail_keep: String,
}

impl<'s> ShownPickup<'s> {
    pub(super) fn of(pickup: &'s Pickup) -> Self {
        // What is written for it holds for every address of this machine.
        let trusted = pickup.policy.trusted_networks.first();
        Self {
            path: &pickup.path,
            relay_to: trusted.map(|trusted| relay_to(trusted.relay_to)),
            from: trusted.and_then(|trusted| trusted.from.as_deref()).map(patterns),
            rate: trusted.map(|trusted| limit(trusted.rate, rate)),
            badmail_keep: limit(pickup.badmail_keep, spelled),
        }
    }
}

fn networks(networks: &[IpNet]) -> Vec<String> {
    networks.iter().map(ToString::to_string).collect()
}

pub(super) fn patterns(patterns: &[AddressPattern]) -> Vec<&str> {
    patterns.iter().map(AddressPattern::as_str).collect()
}

const fn relay_to(relay_to: RelayTo) -> &'static str {
    match relay_to {
        RelayTo::AcceptedDomains => "accepted-domains",
        RelayTo::Any => "any",
    }
}

const fn tolerance(tolerance: Tolerance) -> &'static str {
    match tolerance {
        Tolerance::Strict => "strict",
        Tolerance::Device => "device",
    }
}
