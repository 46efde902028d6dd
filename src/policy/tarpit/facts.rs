//! What an administrator needs to judge the tar pit by: above all, what it does to honest mail.

use std::fmt;
use std::time::Duration;

use crate::policy::client_network::ClientNetwork;

/// The tar pit as it stands, and what it has done since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TarpitFacts {
    /// Sessions that wait now: for their turn, or for a reply that is held.
    pub delayed_now: usize,
    /// Client networks that are remembered now.
    pub networks: usize,
    /// Replies that were held.
    pub replies_held: u64,
    /// RCPTs that had to wait for their turn.
    pub turns_waited_for: u64,
    /// All the time that sessions have waited, to its end or until they gave up.
    pub delay: Duration,
    /// Sessions that went away while they waited.
    pub gave_up: u64,
    /// RCPTs and MAILs that were turned away because the line of their network was longer than `max_line`, or because
    /// they had waited that long.
    pub line_too_long: u64,
    /// Replies that were not held, and turns that were not waited for, because `max_delayed` sessions waited already or
    /// no more networks could be remembered.
    pub full: u64,
    /// Networks that were delayed and proved good later, by AUTH or by a message that was accepted.
    pub proved_good: u64,
}

/// What a network has been made to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Delayed {
    /// Replies that were held.
    pub replies: u64,
    /// All the time that its sessions have waited.
    pub delay: Duration,
}

/// A client network and its share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Responsible {
    /// The network.
    pub network: ClientNetwork,
    /// Its refusals that are remembered.
    pub refusals: u32,
    /// What it has been made to wait since it is remembered.
    pub delayed: Delayed,
    /// Its sessions that wait for their turn now.
    pub waiting: usize,
    /// The time that it still owes.
    pub owed: Duration,
    /// Its sessions that went away while they waited.
    pub gave_up: u64,
}

impl fmt::Display for Responsible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { network, refusals, waiting, owed, .. } = self;
        write!(f, "{network} ({refusals} refusals, {waiting} waiting, {}s owed)", owed.as_secs())
    }
}
