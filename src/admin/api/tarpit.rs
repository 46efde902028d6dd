//! The tar pit at a glance: what it does to clients, honest ones above all, and who is responsible.

use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::listen::smtp::TarpitReport;
use crate::policy::tarpit::Responsible;

/// The tar pit at a glance; counts are since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TarpitStatus {
    /// How long a refusal is held at least; 0: it is off.
    pub time_seconds: u64,
    /// Sessions that wait now: for their turn, or for a reply that is held.
    pub waiting: u64,
    /// Client networks that are remembered now.
    pub networks: u64,
    /// Replies that were held.
    pub delayed_replies: u64,
    /// RCPTs that had to wait for their turn.
    pub turns_waited: u64,
    /// All the time that sessions have waited.
    pub delay_seconds: u64,
    /// Sessions that went away while they waited.
    pub gave_up: u64,
    /// Networks that were delayed and proved good later, by AUTH or by a message that was accepted.
    pub proved_good: u64,
    /// Commands that got 421.
    pub turned_away: TurnedAway,
    /// The client networks that owe most, and behind them those that were delayed most.
    pub most_responsible: Vec<ClientNetworkStatus>,
}

/// Commands that got 421, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnedAway {
    /// Their network owed more than `tarpit.max_line`.
    pub line_too_long: u64,
    /// `tarpit.max_delayed` sessions waited already.
    pub full: u64,
}

/// A client network and its share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientNetworkStatus {
    /// The network.
    pub network: IpNet,
    /// The time that it still owes.
    pub owed_seconds: u64,
    /// Its sessions that wait for their turn now.
    pub waiting: u64,
    /// Its refusals that are remembered.
    pub refusals: u32,
    /// Its replies that were held.
    pub delayed_replies: u64,
    /// All the time that its sessions have waited.
    pub delay_seconds: u64,
    /// Its sessions that went away while they waited.
    pub gave_up: u64,
    /// When a client of it last had to do with the tar pit.
    pub last_seen: Timestamp,
}

impl TarpitStatus {
    /// Whether nobody has had to do with it since the start.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        *self == Self { time_seconds: self.time_seconds, ..Self::default() }
    }

    /// Of a report that was made just now.
    #[must_use]
    pub fn of(report: &TarpitReport, now: Timestamp) -> Self {
        let facts = &report.facts;
        Self {
            time_seconds: report.time.as_secs(),
            waiting: whole(facts.delayed_now),
            networks: whole(facts.networks),
            delayed_replies: facts.replies_held,
            turns_waited: facts.turns_waited_for,
            delay_seconds: facts.delay.as_secs(),
            gave_up: facts.gave_up,
            proved_good: facts.proved_good,
            turned_away: TurnedAway { line_too_long: facts.line_too_long, full: facts.full },
            most_responsible: report
                .most_responsible
                .iter()
                .map(|network| ClientNetworkStatus::of(network, now))
                .collect(),
        }
    }
}

impl ClientNetworkStatus {
    fn of(responsible: &Responsible, now: Timestamp) -> Self {
        let ago = SignedDuration::try_from(responsible.seen_ago).unwrap_or_default();
        Self {
            network: responsible.network.network(),
            owed_seconds: responsible.owed.as_secs(),
            waiting: whole(responsible.waiting),
            refusals: responsible.refusals,
            delayed_replies: responsible.delayed.replies,
            delay_seconds: responsible.delayed.delay.as_secs(),
            gave_up: responsible.gave_up,
            last_seen: now.checked_sub(ago).unwrap_or(now),
        }
    }
}

fn whole(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
