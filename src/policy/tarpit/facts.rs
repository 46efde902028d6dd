//! What an administrator needs to judge the tar pit by: above all, what it does to honest mail.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::time::{Duration, Instant};

use super::line::Line;
use super::pit::Tarpit;
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
    /// How long ago a client of it last had to do with the tar pit.
    pub seen_ago: Duration,
}

impl fmt::Display for Responsible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { network, refusals, waiting, owed, .. } = self;
        write!(f, "{network} ({refusals} refusals, {waiting} waiting, {}s owed)", owed.as_secs())
    }
}

impl Tarpit {
    /// How it stands.
    #[must_use]
    pub fn facts(&self) -> TarpitFacts {
        TarpitFacts { delayed_now: self.delayed_now(), networks: self.networks.len(), ..self.facts }
    }

    /// The client networks that owe most, and behind them those that have been delayed most; at most `count`. Looks at
    /// every network once and sorts only those it names: for people, not for each session.
    #[must_use]
    pub fn most_responsible(&self, count: usize, now: Instant) -> Vec<Responsible> {
        let mut most = BinaryHeap::with_capacity(count.saturating_add(1));
        for (network, line) in self.networks.iter().filter(|(_, line)| line.refusals > 0) {
            most.push(Reverse((line.owed(now), line.delayed.delay, line.refusals, network)));
            if most.len() > count {
                most.pop();
            }
        }
        let named = most.into_sorted_vec();
        let lines = named
            .into_iter()
            .filter_map(|Reverse((.., network))| Some((network, self.networks.get(&network)?)));
        lines.map(|(network, line)| Responsible::of(network, line, now)).collect()
    }
}

impl Responsible {
    fn of(network: ClientNetwork, line: &Line, now: Instant) -> Self {
        let seen_ago = line.last_seen.map(|seen| now.saturating_duration_since(seen));
        Self {
            network,
            refusals: line.refusals,
            delayed: line.delayed,
            waiting: line.waiting.len(),
            owed: line.owed(now),
            gave_up: line.gave_up,
            seen_ago: seen_ago.unwrap_or_default(),
        }
    }
}
