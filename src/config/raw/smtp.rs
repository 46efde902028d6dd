//! `listeners.smtp` and `pickup` as they are written: where mail comes in.

use std::net::SocketAddr;
use std::time::Duration;

use super::super::document::{Node, Value};
use super::super::problem::{Place, Problems};
use super::destinations::{Mechanism, TlsMode};
use super::read::{At, Listed, Lost, Many, OneOrMany, Read, section};
use super::scalar::{Network, OrOff};
use crate::message::id::ListenerName;
use crate::policy::rate::Rate;
use crate::policy::relay::{AddressPattern, RelayTo};
use crate::wire::smtp::tolerance::Tolerance;

section! {
    /// TCP addresses on which mail is taken, and from whom.
    pub(in crate::config) struct SmtpListener {
        /// 1 to 64 letters, digits, `-`, `_` or `.`; unique. No default.
        name: ListenerName,
        /// IP addresses with their ports. No default.
        addresses: OneOrMany<SocketAddr>,
        /// Clients that need not authenticate; the first that contains the client decides. Default: none.
        trusted_networks: Many<TrustedEntry>,
        /// `strict` or `device`. Default: `device` for clients in `trusted_networks`, `strict` for everybody else.
        profile: Tolerance,
        /// Stubborn devices; the first that contains the client decides. Default: none.
        clients: Many<Client>,
        /// How connections are protected. Default: not at all.
        tls: ServerTls,
        /// How clients authenticate. Default: not at all.
        auth: ServerAuth,
        /// DNS block lists, by domain, that are asked about clients that are neither trusted nor have authenticated.
        /// Default: none.
        dnsbl: Many<String>,
        /// Load balancers that must speak the PROXY protocol, version 1 or 2; nobody else may. Default: none.
        proxy_protocol_from: Many<Network>,
    }
    later: []
    label: name
}

/// A trusted network: the network alone, or a map with what it may do.
#[derive(Debug)]
pub(in crate::config) struct TrustedEntry(pub(in crate::config) TrustedNetwork);

section! {
    /// Clients that need not authenticate, and what they may do.
    pub(in crate::config) struct TrustedNetwork {
        /// A network or an address. No default.
        network: Network,
        /// `accepted-domains` or `any`. Default: `accepted-domains`.
        relay_to: RelayTo,
        /// The senders they may use: addresses, `*@corp.example`, `*@.corp.example`, `<>`, `*`. Default: any.
        from: Listed<AddressPattern>,
        /// Messages in a time, each client address by itself. Default: `off`.
        rate: OrOff<Rate>,
    }
    later: []
}

section! {
    /// One stubborn device, or several.
    pub(in crate::config) struct Client {
        /// A network or an address, or a list of them. No default.
        source: OneOrMany<Network>,
        /// Extensions that EHLO does not offer it: `STARTTLS`, `CHUNKING`, … Default: none.
        hide: Listed<Keyword>,
        /// As the listener's, for these. Default: the listener's.
        profile: Tolerance,
    }
    later: []
}

/// An extension as EHLO names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) struct Keyword(pub(in crate::config) &'static str);

section! {
    /// How connections of clients are protected.
    pub(in crate::config) struct ServerTls {
        /// `none`, `starttls` (offered to those who want it) or `implicit` (from the first byte). Default: `starttls`.
        mode: TlsMode,
        /// Absolute path of a PEM file with the certificate and those that lead to its root. No default.
        certificate: String,
        /// Absolute path of a PEM file with its key. No default.
        key_file: String,
    }
    later: []
}

section! {
    /// How clients authenticate.
    pub(in crate::config) struct ServerAuth {
        /// In the order they are offered: `plain`, `login`, `scram-sha-256`, `cram-md5`. Default: the first two.
        mechanisms: OneOrMany<Mechanism>,
        /// Whether AUTH waits for TLS. Default: true.
        require_tls: RequireTls,
        /// Whether nobody may send without it, trusted networks included. Default: false.
        required: Required,
    }
    later: []
}

/// Whether AUTH waits for TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum RequireTls {
    Yes,
    No,
}

/// Whether nobody may send without AUTH.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Required {
    Yes,
    No,
}

section! {
    /// A directory that mail is picked up from.
    pub(in crate::config) struct Pickup {
        /// Absolute path of the directory; made when absent. No default.
        path: String,
        /// As of a trusted network. Default: `accepted-domains`.
        relay_to: RelayTo,
        /// As of a trusted network. Default: any.
        from: Listed<AddressPattern>,
        /// Messages in a time, all together. Default: `off`.
        rate: OrOff<Rate>,
        /// How long refused files stay in `badmail`, or `off`: until somebody removes them. Default: `30d`.
        badmail_keep: OrOff<Duration>,
    }
    later: []
}

impl Read for TrustedEntry {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        if let Value::Text(_) | Value::Number(_) = &node.value {
            let network = At::read(node, place, problems)?;
            let network = Some(network);
            return Some(Self(TrustedNetwork { place: place.clone(), network, ..TrustedNetwork::default() }));
        }
        TrustedNetwork::read(node, place, problems).map(Self)
    }
}
