//! The messages of all sessions, judged like those of datagrams.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

use crate::decode::decode_session;
use crate::inventory::Inventory;
use crate::listen::judge::{Hearing, Judge, Verdict};
use crate::message::host::HostSighting;
use crate::message::notice::Arrival;
use crate::message::session_message::SessionMessage;
use crate::policy::heard::Claim;

/// A judge for all sessions, who goes by the newest settings.
#[derive(Debug)]
pub(super) struct Judgement(Mutex<Sitting>);

#[derive(Debug)]
struct Sitting {
    judge: Judge,
    hearing: watch::Receiver<Arc<Hearing>>,
    inventory: Option<Inventory>,
}

impl Judgement {
    /// Of this judge, who adopts what `hearing` has; `inventory` is told of every message, whatever becomes of it.
    pub(super) const fn new(
        judge: Judge,
        hearing: watch::Receiver<Arc<Hearing>>,
        inventory: Option<Inventory>,
    ) -> Self {
        Self(Mutex::new(Sitting { judge, hearing, inventory }))
    }

    /// Whether the source of a connection is heard at all.
    pub(super) fn is_heard(&self, arrival: &Arrival, now: Instant) -> bool {
        self.sitting().judge.admit(arrival, now).is_ok()
    }

    /// What becomes of a message that is whole.
    pub(super) fn of(&self, message: &SessionMessage, arrival: Arrival, now: Instant) -> Verdict {
        let mut sitting = self.sitting();
        let sender = sitting.judge.hearing().decoding.of(arrival.source.ip());
        let notice = decode_session(message, arrival, sender);
        if let Some(inventory) = &sitting.inventory {
            inventory.record_host(HostSighting::of(&notice), 1);
        }
        sitting.judge.decide(notice, now, |_, _| {})
    }

    /// A message that was to be delivered is in the spool.
    pub(super) fn durable(&self, claim: Claim, now: Instant) {
        self.sitting().judge.durable(claim, now);
    }

    /// A message that was to be delivered did not reach the spool.
    pub(super) fn lost(&self, claim: Claim) {
        self.sitting().judge.lost(claim);
    }

    /// With the newest settings. A defect elsewhere cannot leave the judge half changed in a way that matters: what it
    /// counts may be off by one.
    fn sitting(&self) -> MutexGuard<'_, Sitting> {
        let mut sitting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sitting.hearing.has_changed().unwrap_or_default() {
            let hearing = Arc::clone(&sitting.hearing.borrow_and_update());
            sitting.judge.adopt(hearing);
        }
        sitting
    }
}
