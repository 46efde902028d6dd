//! May this client send to this forward-path? Facts in, a verdict with its reason out.
//!
//! Three methods let mail through: by the recipient's domain ([`AcceptedDomains`]), by authentication
//! ([`Principal`](crate::policy::account::Principal)), by the client's network on a listener ([`TrustedNetwork`]).
//! What the sender calls itself is no method: anybody can write any reverse-path, so [`decide_relay`] is not even told
//! it, and [`decide_sender`] only ever says no because of it.

mod address;
mod decide;
mod domain;
mod explain;
mod exposure;

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

pub use self::address::{AddressPattern, NotAPattern, RouteSign};
pub use self::decide::{
    Facts, RelayRefusal, RelayVerdict, SenderRefusal, SenderVerdict, decide_relay, decide_sender,
};
pub use self::domain::{AcceptedDomains, DomainName, DomainPattern, NotADomain, in_ascii};
pub use self::explain::{Bearing, Finding, Method, RelayExplanation, RuleFinding, Supposed, explain_relay};
pub use self::exposure::{
    OpenRelayFault, TrustedProxy, TrustedRouter, domains_of_everybody, open_relay_faults, trusted_proxies,
    trusted_routers,
};
use crate::message::id::ListenerName;
use crate::policy::rate::Rate;
use crate::policy::route::Route;
use crate::wire::smtp::path::{ForwardPath, Mailbox};

/// What one listener lets through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerPolicy {
    /// Its name.
    pub name: ListenerName,
    /// Clients that need not authenticate; the first that contains the client's address decides.
    pub trusted_networks: Vec<TrustedNetwork>,
    /// Whether anybody may send without having authenticated.
    pub authentication: Authentication,
}

impl ListenerPolicy {
    /// The trusted network that a client is in: the first that contains its address. An IPv4 address mapped into IPv6
    /// counts as the IPv4 address, and so does a network of such.
    #[must_use]
    pub fn trusted_network_of(&self, client: IpAddr) -> Option<&TrustedNetwork> {
        let client = client.to_canonical();
        self.trusted_networks.iter().find(|trusted| canonical(trusted.network).contains(&client))
    }
}

/// Whether clients must authenticate before MAIL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authentication {
    /// MAIL before AUTH gets 530 5.7.0, from trusted networks too.
    Required,
    /// It widens what a client may do.
    Optional,
}

/// Clients that need not authenticate: method 3, by network and listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedNetwork {
    /// Where they are.
    pub network: IpNet,
    /// How far their mail may go.
    pub relay_to: RelayTo,
    /// The reverse-paths that they may use; `None`: any, the null one included.
    pub from: Option<Vec<AddressPattern>>,
    /// Messages in a time, each client address by itself, where limited.
    pub rate: Option<Rate>,
}

/// How far mail of a trusted network may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RelayTo {
    /// To accepted domains only.
    #[default]
    AcceptedDomains,
    /// Anywhere.
    Any,
}

/// Who may send what to whom, for every listener.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RelayPolicy {
    /// Recipient domains we are responsible for.
    pub accepted_domains: AcceptedDomains,
    /// Where accepted mail goes; the first that matches decides. Mail that none matches is refused at RCPT.
    pub routes: Vec<Route>,
    /// What we call ourselves: its postmaster is ours.
    pub hostname: Option<DomainName>,
}

impl RelayPolicy {
    /// Whether a forward-path means the operator's postmaster: `<postmaster>` without a domain, or at our own host
    /// (RFC 5321 §4.5.1). An accepted domain has a postmaster of its own, also where our host has its name.
    #[must_use]
    pub fn is_own_postmaster(&self, path: &ForwardPath) -> bool {
        let mailbox = match path {
            ForwardPath::Postmaster => return true,
            ForwardPath::Mailbox(mailbox) => mailbox,
        };
        let Some(hostname) = &self.hostname else { return false };
        mailbox.local_part().eq_ignore_ascii_case(POSTMASTER)
            && DomainName::parse(mailbox.domain()).is_ok_and(|domain| domain == *hostname)
            && self.accepted_domains.matching(hostname).is_none()
    }

    /// Whether a forward-path is the postmaster of this host or of an accepted domain, whom everybody must be able to
    /// reach (RFC 5321 §4.5.1).
    #[must_use]
    pub fn is_postmaster(&self, path: &ForwardPath) -> bool {
        let ForwardPath::Mailbox(mailbox) = path else { return true };
        let is_accepted = |domain: DomainName| {
            self.accepted_domains.matching(&domain).is_some() || self.is_own_postmaster(path)
        };
        mailbox.bare_local_part().eq_ignore_ascii_case(POSTMASTER)
            && DomainName::parse(mailbox.domain()).is_ok_and(is_accepted)
    }

    /// Whether two forward-paths are spellings of one: with the domain in another case or in A-labels, with quotes that
    /// the local part does not need, or both the operator's postmaster.
    #[must_use]
    pub fn is_one(&self, one: &ForwardPath, other: &ForwardPath) -> bool {
        match (one, other) {
            (ForwardPath::Mailbox(one), ForwardPath::Mailbox(other)) if is_one_mailbox(one, other) => true,
            _ => self.is_own_postmaster(one) && self.is_own_postmaster(other),
        }
    }

    /// The mailbox that a forward-path means, where the operator's postmaster is this one.
    #[must_use]
    pub fn mailbox_of<'p>(
        &self,
        path: &'p ForwardPath,
        postmaster: Option<&'p Mailbox>,
    ) -> Option<&'p Mailbox> {
        match path {
            ForwardPath::Mailbox(mailbox) if !self.is_own_postmaster(path) => Some(mailbox),
            ForwardPath::Mailbox(_) | ForwardPath::Postmaster => postmaster,
        }
    }
}

/// The same local part, to the letter (RFC 5321 §2.4), at the same domain.
fn is_one_mailbox(one: &Mailbox, other: &Mailbox) -> bool {
    if one.bare_local_part() != other.bare_local_part() {
        return false;
    }
    let (one, other) = (one.domain(), other.domain());
    one.eq_ignore_ascii_case(other)
        || DomainName::parse(one).is_ok_and(|one| DomainName::parse(other).is_ok_and(|other| one == other))
}

/// A network of IPv4 addresses mapped into IPv6 (`::ffff:192.0.2.0/120`) as the IPv4 network that it is.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(mapped) = network else { return network };
    let of_v4 = |prefix| Some(Ipv4Net::new(mapped.network().to_ipv4_mapped()?, prefix).ok()?.trunc());
    mapped.prefix_len().checked_sub(MAPPED_PREFIX).and_then(of_v4).map_or(network, IpNet::V4)
}

/// The mailbox that every domain has (RFC 5321 §4.5.1), in whatever case it is written.
const POSTMASTER: &str = "postmaster";

/// The length of `::ffff:0:0/96` (RFC 4291 §2.5.5.2).
const MAPPED_PREFIX: u8 = 96;

#[cfg(test)]
mod tests;
