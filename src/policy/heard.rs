//! What was heard lately, and whether one more message is to be taken: repeats and shares together.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::dedup::{Dedup, Fingerprint};
use super::source_rate::{Shares, SourceRate};
use crate::message::notice::{Listener, Notice};

/// Memory of the messages that were taken in lately, for all listeners together.
#[derive(Debug, Default)]
pub struct Heard {
    dedup: Dedup,
    shares: Shares,
}

/// Whether a message is taken.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is new, and its source may send it.
    New(Claim),
    /// The same was taken already.
    Copy,
    /// Its source sent more than its share.
    OverRate,
}

/// What is remembered of a message that was taken. The one that brings it to the spool says how that went: a message
/// that was lost may come again, and one that came in a session counts only once it is durable.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "whether the message reached the spool decides what becomes of its copies"]
pub struct Claim {
    fingerprint: Fingerprint,
    source: IpAddr,
    at: Instant,
    held_back: u64,
}

impl Claim {
    /// How many messages of the same source were held back since the last one that was taken.
    #[must_use]
    pub const fn held_back(&self) -> u64 {
        self.held_back
    }
}

impl Heard {
    /// Nothing heard yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Decides about a message that is to be delivered. `None` for `window`: each copy is a message of its own; for
    /// `rate`: there is no share.
    ///
    /// A copy does not use up its source's share, and a message that exceeds it is not remembered: when it comes again
    /// within the share, it is taken.
    pub fn admit(
        &mut self,
        notice: &Notice<'_>,
        window: Option<Duration>,
        rate: Option<SourceRate>,
        now: Instant,
    ) -> Admission {
        let listener = notice.arrival.listener;
        let fingerprint = self.dedup.fingerprint(notice);
        if window.is_some_and(|window| self.dedup.is_copy(fingerprint, listener, window, now)) {
            return Admission::Copy;
        }
        let source = notice.arrival.source.ip().to_canonical();
        let held_back = match rate.map(|rate| self.shares.take(source, rate, now)) {
            None => 0,
            Some(Ok(held_back)) => held_back,
            Some(Err(_)) => return Admission::OverRate,
        };
        if let (Some(window), Listener::Datagram) = (window, listener) {
            self.dedup.heard(fingerprint, window, now);
        }
        Admission::New(Claim { fingerprint, source, at: now, held_back })
    }

    /// The message is in the spool.
    pub fn durable(&mut self, claim: Claim, window: Option<Duration>, now: Instant) {
        if let Some(window) = window {
            self.dedup.durable(claim.fingerprint, claim.at, window, now);
        }
    }

    /// The message did not reach the spool.
    pub fn lost(&mut self, claim: Claim) {
        self.dedup.lost(claim.fingerprint, claim.at);
        self.shares.untold(claim.source, claim.held_back);
    }
}
