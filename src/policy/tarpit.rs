//! How long a reply is held back, and whose turn it is: the tar pit (KB842851).

use std::time::Duration;

use ipnet::IpNet;

use crate::policy::client_network::Prefixes;

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
