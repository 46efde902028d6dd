//! The claim of one name on one link (RFC 1002 §5.1.1.1).

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// Where the claim stands.
///
/// ```text
///            ┌── 3 registrations, 250 ms apart ──┐
///  retry ──▶ Asking ──── nobody objects ───────▶ Owned ─┐
///    ▲         │                                   │    │ demands to give it up: asserted again,
///    └─ Lost ◀─┴── the owner objects ◀── within 2 s ┘    ┘ once a minute at most
/// ```
#[derive(Debug)]
pub(super) struct Claim {
    /// NAME_TRN_ID of its packets: an objection must carry it.
    pub(super) transaction: u16,
    stage: Stage,
    /// Who objected last, until the name is ours.
    rival: Option<Ipv4Addr>,
    /// How long the next loss keeps us from trying again.
    wait: Duration,
    asserted_at: Option<Instant>,
}

#[derive(Debug)]
enum Stage {
    /// So many registrations were sent; what is next is due then.
    Asking { sent: u8, next: Instant },
    /// Ours.
    Owned { since: Instant },
    /// The rival's; tried again then.
    Lost { retry: Instant },
}

/// What is to be broadcast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// NAME REGISTRATION REQUEST.
    Register,
    /// NAME OVERWRITE DEMAND: it is ours now.
    Overwrite,
}

/// What an objection to the claim changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Objection {
    /// The name is another host's, and was not known to be.
    Lost,
    /// It is still the same host's.
    StillLost,
    /// Too late: it is ours, and we stay with that.
    Contested,
    /// Nobody was asked.
    Unasked,
}

impl Claim {
    /// BCAST_REQ_RETRY_TIMEOUT (RFC 1002 §6).
    pub(super) const INTERVAL: Duration = Duration::from_millis(250);
    /// BCAST_REQ_RETRY_COUNT (RFC 1002 §6).
    pub(super) const REGISTRATIONS: u8 = 3;
    /// How long an owner that is slow may still object after the overwrite demand.
    pub(super) const LATE: Duration = Duration::from_secs(2);
    /// After which another host's name is tried for again the first time; then doubled.
    pub(super) const FIRST_RETRY: Duration = Duration::from_secs(60);
    /// The longest time between two tries.
    pub(super) const LONGEST_RETRY: Duration = Duration::from_secs(480);
    /// How often at most a name is asserted again.
    pub(super) const ASSERT_EVERY: Duration = Duration::from_secs(60);

    /// A claim that begins at `start`.
    pub(super) const fn new(transaction: u16, start: Instant) -> Self {
        Self::at(transaction, Stage::Asking { sent: 0, next: start })
    }

    /// A name on a link where nobody can be asked.
    pub(super) const fn unasked(transaction: u16, now: Instant) -> Self {
        Self::at(transaction, Stage::Owned { since: now })
    }

    const fn at(transaction: u16, stage: Stage) -> Self {
        Self { transaction, stage, rival: None, wait: Self::FIRST_RETRY, asserted_at: None }
    }

    pub(super) const fn is_owned(&self) -> bool {
        matches!(self.stage, Stage::Owned { .. })
    }

    /// Who has the name, as far as is known.
    pub(super) const fn rival(&self) -> Option<Ipv4Addr> {
        self.rival
    }

    /// When [`Self::handle_timeout`] has something to do.
    pub(super) const fn poll_timeout(&self) -> Option<Instant> {
        match self.stage {
            Stage::Asking { next, .. } => Some(next),
            Stage::Lost { retry } => Some(retry),
            Stage::Owned { .. } => None,
        }
    }

    /// What is to be sent now; after [`Step::Overwrite`] the name is ours.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<Step> {
        if self.poll_timeout().is_none_or(|due| now < due) {
            return None;
        }
        let sent = match self.stage {
            Stage::Asking { sent, .. } => sent,
            Stage::Lost { .. } => 0,
            Stage::Owned { .. } => return None,
        };
        if sent < Self::REGISTRATIONS {
            let next = now.checked_add(Self::INTERVAL).unwrap_or(now);
            self.stage = Stage::Asking { sent: sent.saturating_add(1), next };
            return Some(Step::Register);
        }
        self.stage = Stage::Owned { since: now };
        self.rival = None;
        Some(Step::Overwrite)
    }

    /// `owner` says that the name is its own.
    pub(super) fn on_objection(&mut self, now: Instant, owner: Ipv4Addr) -> Objection {
        match self.stage {
            Stage::Asking { sent: 0, .. } | Stage::Lost { .. } => return Objection::Unasked,
            Stage::Owned { since } if now.saturating_duration_since(since) > Self::LATE => {
                return Objection::Contested;
            }
            Stage::Asking { .. } | Stage::Owned { .. } => {}
        }
        self.stage = Stage::Lost { retry: now.checked_add(self.wait).unwrap_or(now) };
        self.wait = self.wait.saturating_mul(2).min(Self::LONGEST_RETRY);
        if self.rival.replace(owner) == Some(owner) { Objection::StillLost } else { Objection::Lost }
    }

    /// The owner of a lost name gives it up: it is tried for at once.
    pub(super) fn on_release(&mut self, now: Instant, owner: Ipv4Addr) {
        if let Stage::Lost { retry } = &mut self.stage
            && self.rival == Some(owner)
        {
            *retry = now.min(*retry);
        }
    }

    /// Somebody demands that an owned name be given up. Whether it is to be asserted now.
    pub(super) fn assert_again(&mut self, now: Instant) -> bool {
        let lately = |at| now.saturating_duration_since(at) < Self::ASSERT_EVERY;
        if !self.is_owned() || self.asserted_at.is_some_and(lately) {
            return false;
        }
        self.asserted_at = Some(now);
        true
    }
}
