//! Who a connection belongs to, and what its session is told of it.

use std::net::IpAddr;
use std::sync::Arc;

use crate::config::settings::{ClientException, SmtpListener, TlsStart};
use crate::message::id::ListenerName;
use crate::policy::admission::Acquaintance;
use crate::policy::client_network::ClientNetwork;
use crate::policy::relay::{ListenerPolicy, TrustedNetwork};
use crate::session::smtp_server::Offers;
use crate::wire::proxy::Proxied;
use crate::wire::smtp::tolerance::Tolerance;

/// A client, as far as it is known before it says anything.
#[derive(Debug, Clone)]
pub(super) struct Client {
    address: IpAddr,
    network: ClientNetwork,
    policy: Arc<ListenerPolicy>,
}

/// Where a connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// From the client itself.
    Direct(IpAddr),
    /// From this named proxy, which says for whom.
    Proxy(IpAddr, Proxied),
}

impl Source {
    /// The client's address; the proxy's own where it names none.
    #[must_use]
    pub(super) const fn address(self) -> IpAddr {
        match self {
            Self::Direct(address) | Self::Proxy(address, Proxied::Nobody) => address.to_canonical(),
            Self::Proxy(_, Proxied::Client(client)) => client.ip(),
        }
    }
}

impl Client {
    /// A client of the listener with this policy.
    #[must_use]
    pub(super) const fn new(address: IpAddr, network: ClientNetwork, policy: Arc<ListenerPolicy>) -> Self {
        Self { address, network, policy }
    }

    /// Its address.
    #[must_use]
    pub(super) const fn address(&self) -> IpAddr {
        self.address
    }

    /// The network that it is counted under.
    #[must_use]
    pub(super) const fn network(&self) -> ClientNetwork {
        self.network
    }

    /// What the listener lets through that it came to.
    #[must_use]
    pub(super) const fn policy(&self) -> &Arc<ListenerPolicy> {
        &self.policy
    }

    /// The listener that it came to.
    #[must_use]
    pub(super) fn listener(&self) -> &ListenerName {
        &self.policy.name
    }

    /// The listener's trusted network that it is in.
    #[must_use]
    pub(super) fn trusted_network(&self) -> Option<&TrustedNetwork> {
        self.policy.trusted_network_of(self.address)
    }

    /// Whether it is in one of the listener's trusted networks.
    #[must_use]
    pub(super) fn is_trusted(&self) -> bool {
        self.trusted_network().is_some()
    }

    /// Whether it is one of the operator's own, as far as its address tells.
    #[must_use]
    pub(super) fn acquaintance(&self) -> Acquaintance {
        if self.is_trusted() { Acquaintance::Trusted } else { Acquaintance::Stranger }
    }

    /// The exception that the operator made for it.
    fn exception<'l>(&self, settings: &'l SmtpListener) -> Option<&'l ClientException> {
        settings
            .clients
            .iter()
            .find(|exception| exception.source.iter().any(|network| network.contains(&self.address)))
    }

    /// How forgiving the grammar is towards it.
    #[must_use]
    pub(super) fn tolerance(&self, settings: &SmtpListener) -> Tolerance {
        let by_trust = if self.is_trusted() { Tolerance::Device } else { Tolerance::Strict };
        self.exception(settings)
            .and_then(|exception| exception.tolerance)
            .or(settings.tolerance)
            .unwrap_or(by_trust)
    }

    /// Whether the operator hides keywords of EHLO from it.
    #[must_use]
    pub(super) fn needs_hiding(&self, settings: &SmtpListener) -> bool {
        self.exception(settings).is_some_and(|exception| !exception.hide.is_empty())
    }

    /// What EHLO offers it.
    #[must_use]
    pub(super) fn offers(&self, settings: &SmtpListener) -> Offers {
        let tls = settings.tls.as_ref();
        let auth = settings.auth.as_ref();
        Offers {
            starttls: tls.is_some_and(|tls| tls.start == TlsStart::StartTls),
            mechanisms: auth.map(|auth| auth.mechanisms.clone()).unwrap_or_default(),
            cleartext: auth.map_or(crate::policy::account::Cleartext::Refused, |auth| auth.cleartext),
            hidden: self.exception(settings).map(|exception| Arc::clone(&exception.hide)).unwrap_or_default(),
        }
    }
}
