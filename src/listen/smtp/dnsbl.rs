//! DNS block lists (RFC 5782): is the client on one that the operator believes?
//!
//! A list is a favour of a third party, and the resolver on the way to it may lie. So nobody is refused but by a clear
//! answer of the list itself: silence, errors, answers outside of 127.0.0.0/8 and the codes by which lists turn away
//! those who ask too much all mean "not listed", are counted and, where the operator can mend them, logged.

#[cfg(feature = "dns")]
mod answer;
#[cfg(feature = "dns")]
mod asking;
#[cfg(feature = "dns")]
mod name;
#[cfg(feature = "dns")]
mod resolver;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::telemetry::metrics::Metrics;

/// The block lists of a listener. Clones share what is remembered.
#[derive(Debug, Clone, Default)]
pub struct BlockLists(#[cfg(feature = "dns")] Option<Arc<asking::Asking>>);

/// Which DNS servers are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameServers {
    /// Those of `/etc/resolv.conf`.
    System,
    /// This one, by UDP and TCP.
    At(SocketAddr),
}

impl From<Option<SocketAddr>> for NameServers {
    /// As the configuration says it.
    fn from(configured: Option<SocketAddr>) -> Self {
        configured.map_or(Self::System, Self::At)
    }
}

/// Why block lists cannot be asked; each a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The list's domain is no domain, or so long that no address fits before it.
    #[error("dnsbl: {0:?} is no domain of a block list; write for example zen.dnsbl.example")]
    Domain(String),
    /// The system's configuration cannot be used.
    #[error("dnsbl: the system's resolver configuration cannot be used: {0}; correct /etc/resolv.conf")]
    System(String),
    /// It was left out when this program was built.
    #[error("dnsbl: this build has no DNS; build with the Cargo feature `dns`, or remove `dnsbl`")]
    WithoutDns,
}

impl BlockLists {
    /// The lists of these domains. Reads `/etc/resolv.conf`: call it at start.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(domains: &[String], servers: NameServers, metrics: Arc<Metrics>) -> Result<Self, SetupError> {
        if domains.is_empty() {
            return Ok(Self::default());
        }
        #[cfg(feature = "dns")]
        return asking::Asking::new(domains, servers, metrics).map(|asking| Self(Some(Arc::new(asking))));
        #[cfg(not(feature = "dns"))]
        {
            let _ = (servers, metrics);
            Err(SetupError::WithoutDns)
        }
    }

    /// The text for the 550 5.7.1 of a client that is listed, in printable ASCII; `None` for everybody else.
    ///
    /// Never asks about addresses that are not public. Ends within [`TIME_LIMIT`].
    pub async fn listed(&self, client: IpAddr) -> Option<Arc<str>> {
        #[cfg(feature = "dns")]
        return self.0.as_ref()?.listed(client.to_canonical()).await;
        #[cfg(not(feature = "dns"))]
        {
            let _ = client;
            None
        }
    }
}

/// For the lists of one client, the reason in their TXT record included. Lists that did not answer by then do not count.
pub const TIME_LIMIT: Duration = Duration::from_secs(2);

#[cfg(all(test, feature = "dns"))]
mod tests;
