//! The messages of all sessions, judged like those of datagrams.
#![expect(clippy::disallowed_methods, reason = "the edge where the inventory's ear is told the time")]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::decode::decode_session;
use crate::inventory::HostRecorder;
use crate::listen::judge::{Hearing, Judge, Verdict};
use crate::message::notice::Arrival;
use crate::message::session_message::SessionMessage;
use crate::policy::heard::Claim;

/// A judge for all sessions, who goes by the newest settings.
#[derive(Debug)]
pub(super) struct Judgement {
    sitting: Mutex<Sitting>,
    /// Told when the inventory is to be told, and was not before.
    due: Notify,
}

#[derive(Debug)]
struct Sitting {
    judge: Judge,
    hearing: watch::Receiver<Arc<Hearing>>,
    hosts: Option<HostRecorder>,
}

impl Judgement {
    /// Of this judge, who adopts what `hearing` has; `hosts` hears every message, whatever becomes of it.
    pub(super) fn new(
        judge: Judge,
        hearing: watch::Receiver<Arc<Hearing>>,
        hosts: Option<HostRecorder>,
    ) -> Self {
        Self { sitting: Mutex::new(Sitting { judge, hearing, hosts }), due: Notify::new() }
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
        if let Some(hosts) = &mut sitting.hosts {
            let was_due = hosts.poll_timeout();
            hosts.heard(&notice, now);
            if was_due.is_none() && hosts.poll_timeout().is_some() {
                self.due.notify_one();
            }
        }
        sitting.judge.decide(notice, now, |_, _| {})
    }

    /// Tells the inventory what was counted, in time, until `stop`; what is counted after that, when the last session is
    /// over.
    pub(super) async fn tell_inventory(&self, stop: CancellationToken) {
        loop {
            let timeout = self.sitting().hosts.as_ref().and_then(HostRecorder::poll_timeout);
            let wake = tokio::time::Instant::from_std(timeout.unwrap_or_else(Instant::now));
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.due.notified() => {}
                () = tokio::time::sleep_until(wake), if timeout.is_some() => {
                    if let Some(hosts) = &mut self.sitting().hosts {
                        hosts.handle_timeout(Instant::now());
                    }
                }
            }
        }
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
        let mut sitting = self.sitting.lock().unwrap_or_else(PoisonError::into_inner);
        if sitting.hearing.has_changed().unwrap_or_default() {
            let hearing = Arc::clone(&sitting.hearing.borrow_and_update());
            sitting.judge.adopt(hearing);
        }
        sitting
    }
}
