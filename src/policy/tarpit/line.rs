//! One client network: who waits in its line, and what it owes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::facts::Delayed;
use super::pit::Ticket;

/// What is remembered of one client network.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// When everything is paid; no turn comes before.
    pub(super) owes_until: Option<Instant>,
    /// Refusals, for `step`.
    pub(super) refusals: u32,
    /// Who waits; tickets rise, so the first has waited longest.
    pub(super) waiting: BTreeSet<Ticket>,
    /// Whose turn it is.
    pub(super) deciding: Option<Ticket>,
    /// Where the line is noted.
    pub(super) noted: Option<Noted>,
    /// What its sessions have waited.
    pub(super) delayed: Delayed,
    /// Whether it has been delayed since it last proved good.
    pub(super) suspicion: Suspicion,
    /// Sessions that went away while they waited.
    pub(super) gave_up: u64,
    /// When a client of it last had to do with the tar pit.
    pub(super) last_seen: Option<Instant>,
}

/// Where a line is noted: in one place at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Noted {
    /// Somebody waits: when something may change for the first of them.
    Agenda(Instant),
    /// Nobody waits: when it may be forgotten.
    Settled(Instant),
}

/// Whether a network has been delayed since it last proved good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Suspicion {
    #[default]
    None,
    Delayed,
}

impl Line {
    /// How long it still has to wait.
    pub(super) fn owed(&self, now: Instant) -> Duration {
        self.owes_until.map(|until| until.saturating_duration_since(now)).unwrap_or_default()
    }

    /// Notes one more refusal, to be paid from now on.
    pub(super) fn charge(&mut self, hold: Duration, now: Instant) {
        self.refusals = self.refusals.saturating_add(1);
        self.owes_until = self.owes_until.max(Some(after(now, hold)));
    }

    /// Whether its next turn may come.
    pub(super) fn is_free(&self, now: Instant) -> bool {
        self.deciding.is_none() && self.owed(now).is_zero()
    }

    /// Whether there is nothing to remember of it.
    pub(super) fn is_blank(&self) -> bool {
        self.waiting.is_empty() && self.deciding.is_none() && self.owes_until.is_none()
    }
}

/// A time so far ahead that it cannot be told counts as now: nobody waits for ever.
pub(super) fn after(now: Instant, wait: Duration) -> Instant {
    now.checked_add(wait).unwrap_or(now)
}
