//! May this client send to this forward-path? Facts in, a verdict with its reason out.

use std::fmt;

use ipnet::IpNet;

use crate::message::id::ListenerName;
use crate::policy::rate::Rate;

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

/// A pattern for a whole address: an address, or `*@domain` (any local part of exactly this domain), or `*`.
///
/// Domains match label by label without regard to case; local parts without regard to case too, since these are the
/// operator's own addresses.
#[derive(Clone, PartialEq, Eq)]
pub struct AddressPattern(String);

impl AddressPattern {
    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AddressPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Recipient domains we are responsible for (method 1).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AcceptedDomains(Vec<DomainPattern>);

/// A domain, or with a leading dot its sub-domains (and not itself).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DomainPattern {
    /// Exactly this one, in lower case, without a trailing dot.
    Exact(String),
    /// Every domain below this one: `.corp.example`.
    Below(String),
}

/// Who may send what to whom, for every listener.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RelayPolicy {
    /// Recipient domains we are responsible for.
    pub accepted_domains: AcceptedDomains,
}
