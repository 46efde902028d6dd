//! How long a reply is held back, and whose turn it is: the tar pit (KB842851).
//!
//! [`TarpitPolicy`] is the operator's choice, [`Tarpit`] what is remembered of the client networks. Only unauthenticated
//! sessions that [`TarpitPolicy::exemption`] does not exempt have to do with it.

mod facts;
mod line;
mod memory;
mod networks;
mod pit;

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

pub use self::facts::{Delayed, Responsible, TarpitFacts};
pub use self::pit::{Hold, Place, Tarpit, Ticket, Woken};
use crate::policy::client_network::Prefixes;
use crate::policy::relay::ListenerPolicy;

/// The operator's choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TarpitPolicy {
    /// How long each 5yz reply to an unauthenticated client is held; zero: off.
    pub time: Duration,
    /// Added for each further 5yz of the same client network.
    pub step: Duration,
    /// No reply is held longer; below 5 minutes, which a client waits for the reply to MAIL or RCPT at least
    /// (RFC 5321 §4.5.3.2).
    pub max: Duration,
    /// A network that owes more than this gets 421 4.7.0 at its next MAIL or RCPT.
    pub max_line: Duration,
    /// How long the reply to a failed AUTH is held.
    pub failed_auth: Duration,
    /// Sessions that may wait at once, in all; past it 421 and close.
    pub max_delayed: usize,
    /// Whether clients in a listener's trusted networks are held.
    pub trusted: Trusted,
    /// Networks that are never held.
    pub exempt: Vec<IpNet>,
    /// What counts as one client network.
    pub prefixes: Prefixes,
}

/// Whether clients in a listener's trusted networks are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trusted {
    /// They are not.
    #[default]
    Exempt,
    /// As everybody.
    Delay,
}

/// Why a client's replies are not held, failed AUTH apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exemption {
    /// The tar pit is off.
    Off,
    /// It is in this trusted network of the listener.
    TrustedNetwork(IpNet),
    /// It is in this exempt network.
    Network(IpNet),
}

impl TarpitPolicy {
    /// Why the replies to a client of this listener are not held; `None`: they are, until it authenticates.
    #[must_use]
    pub fn exemption(&self, listener: &ListenerPolicy, client: IpAddr) -> Option<Exemption> {
        let client = client.to_canonical();
        let trusted = || match self.trusted {
            Trusted::Exempt => listener.trusted_network_of(client).map(|trusted| trusted.network),
            Trusted::Delay => None,
        };
        let exempt = || self.exempt.iter().find(|network| network.contains(&client)).copied();
        if self.time.is_zero() {
            Some(Exemption::Off)
        } else {
            trusted().map(Exemption::TrustedNetwork).or_else(|| exempt().map(Exemption::Network))
        }
    }

    /// How long a refusal is held that comes after so many others of the same network.
    fn hold(&self, refusals_before: u32) -> Duration {
        if self.time.is_zero() {
            return Duration::ZERO;
        }
        self.time.saturating_add(self.step.saturating_mul(refusals_before)).min(self.max.max(self.time))
    }
}

impl Default for TarpitPolicy {
    /// Off, with the other values as they count once `time` is set.
    fn default() -> Self {
        Self {
            time: Duration::ZERO,
            step: Duration::ZERO,
            max: Duration::from_secs(60),
            max_line: Duration::from_secs(60),
            failed_auth: Duration::from_secs(5),
            max_delayed: 10_000,
            trusted: Trusted::Exempt,
            exempt: Vec::new(),
            prefixes: Prefixes::default(),
        }
    }
}

#[cfg(test)]
mod tests;
