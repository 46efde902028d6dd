//! One destination's deliveries: a task that decides when the next attempt goes and keeps the outcome.
//!
//! It sleeps until something concerns it: the spool has something due, an attempt ended, a commit ended, a probe or a
//! token is due, the operator asks. Each time it sends what may go, and never more than the transport's limits allow.
//! An attempt runs in a task of its own, so a defect in one costs one attempt. Where the transport likes many at once,
//! those that begin together are read from the spool in one go, and the lane hears of them together.
#![expect(clippy::disallowed_methods, reason = "this is the edge where deciding code is told the time")]

mod attempt;
mod ledger;
mod tell;
mod window;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::outcome::{Health, Outcome, Report};
use super::reports::Reporter;
use super::transport::{Limits, Transport};
use super::view::{DestinationView, LastReply, Views, label};
use crate::message::id::DestinationName;
use crate::message::recipient::EnhancedStatus;
use crate::policy::availability::{Availability, Errand, Finding, Pace, Permit, State};
use crate::policy::rate::TokenBucket;
use crate::policy::retry::Retry;
use crate::spool::{Due, Fate, Reach, Settled, Spool, SpoolError};
use crate::telemetry::metrics::{DeliveryResult, Metrics};
use attempt::{Attempted, Ended, Tools};
use ledger::Ledger;
use window::{Extent, Window, copies};

/// What a lane works with.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) name: DestinationName,
    pub(super) transport: Transport,
    pub(super) limits: Limits,
    pub(super) pace: Pace,
    pub(super) retry: Retry,
    pub(super) spool: Spool,
    pub(super) metrics: Arc<Metrics>,
    pub(super) views: Views,
    pub(super) reporter: Arc<Reporter>,
    /// The operator did something that may concern this destination.
    pub(super) poke: Arc<Notify>,
    /// No new attempts from here on.
    pub(super) stop: CancellationToken,
}

/// A destination at work.
#[derive(Debug)]
pub(super) struct Lane {
    parts: Parts,
    availability: Availability,
    bucket: Option<TokenBucket>,
    /// No token before this.
    next_token: Option<Instant>,
    window: Window,
    /// When to look into the spool although nothing was heard of it.
    next_look: Option<Instant>,
    /// The spool could not be read; not before this again.
    spool_rests: Option<Instant>,
    spool_told_at: Option<Instant>,
    spool: Access,
    running: JoinSet<Vec<Ended>>,
    sent: HashMap<Id, Sent>,
    /// Attempts under way.
    in_flight: usize,
    ledger: Ledger,
    last_delivery: Option<Timestamp>,
    last_reply: Option<LastReply>,
    /// As it was last published.
    view: DestinationView,
}

/// Attempts that began together.
#[derive(Debug)]
struct Sent {
    errand: Errand,
    /// The copies of each.
    attempts: Vec<Vec<Due>>,
}

/// Whether the spool can be asked at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Open,
    /// It was closed under a lane that nobody stopped: what was sent could not be recorded, so nothing is sent.
    Closed,
}

impl Lane {
    pub(super) fn new(parts: Parts) -> Self {
        let state = label(State::Up);
        let view = DestinationView {
            state,
            since: Timestamp::now(),
            reason: None,
            in_flight: 0,
            last_delivery: None,
            last_reply: None,
        };
        parts.views.set(&parts.name, view.clone());
        parts.metrics.set_destination_state(&parts.name, state);
        Self {
            availability: Availability::new(parts.pace),
            bucket: parts.limits.rate.map(|rate| TokenBucket::new(rate, Instant::now())),
            next_token: None,
            window: Window::new(parts.limits.concurrency),
            next_look: None,
            spool_rests: None,
            spool_told_at: None,
            spool: Access::Open,
            running: JoinSet::new(),
            sent: HashMap::new(),
            in_flight: 0,
            ledger: Ledger::new(),
            last_delivery: None,
            last_reply: None,
            view,
            parts,
        }
    }

    /// Delivers until `stop`, then waits for the attempts under way and for their record.
    pub(super) async fn run(mut self) {
        let due = self.parts.spool.subscribe(&self.parts.name);
        let (poke, stop) = (Arc::clone(&self.parts.poke), self.parts.stop.clone());
        self.read_pause().await;
        while !stop.is_cancelled() {
            self.send_due().await;
            self.ledger.commit(&self.parts.spool, Instant::now());
            self.show();
            let wake = self.wake_at();
            tokio::select! {
                () = stop.cancelled() => {}
                Some(ended) = self.running.join_next_with_id() => self.end_all(ended),
                commit = self.ledger.committed() => self.committed(commit),
                () = poke.notified() => self.poked().await,
                () = due.notified() => self.told_of_due().await,
                () = sleep_until(wake) => self.time_passed(),
            }
        }
        self.finish().await;
    }

    async fn finish(mut self) {
        while !(self.running.is_empty() && self.ledger.is_settled()) {
            self.ledger.commit(&self.parts.spool, Instant::now());
            let wake = self.ledger.poll_timeout();
            tokio::select! {
                Some(ended) = self.running.join_next_with_id() => self.end_all(ended),
                commit = self.ledger.committed() => self.committed(commit),
                () = sleep_until(wake) => {}
            }
        }
        self.show();
        self.parts.transport.close().await;
    }

    /// Sends all that is due and may go now.
    async fn send_due(&mut self) {
        loop {
            let now = Instant::now();
            let errand = match self.availability.permit(now) {
                Permit::All => Errand::Deliver,
                Permit::Probe => Errand::Probe,
                Permit::None => return self.hand_back(),
            };
            let connections = self.connections(now);
            if connections == 0 {
                return self.hand_back();
            }
            let room = connections.saturating_sub(self.in_flight);
            let busy = room == 0 || !self.ledger.has_room();
            let rests = |until: Option<Instant>| until.is_some_and(|until| now < until);
            let closed = self.spool == Access::Closed;
            if closed || busy || rests(self.next_token) || rests(self.spool_rests) {
                return;
            }
            if self.window.wants_rows(now) {
                self.look(now).await;
            }
            let attempts = self.gather(errand, room, now);
            if attempts.is_empty() {
                return;
            }
            self.send(errand, attempts);
        }
    }

    /// Takes what begins together: at most `room` attempts, and as many as the rate allows.
    fn gather(&mut self, errand: Errand, room: usize, now: Instant) -> Vec<Vec<Due>> {
        let (skip, most) = match errand {
            Errand::Deliver => (0, room.min(self.parts.limits.together)),
            // Another message each time: one that breaks the next hop must not keep the others.
            Errand::Probe => (self.availability.failures(), 1),
        };
        let mut attempts = Vec::new();
        while attempts.len() < most && !self.window.is_empty() {
            if let Some(Err(wait)) = self.bucket.as_mut().map(|bucket| bucket.take(now)) {
                self.next_token = now.checked_add(wait);
                break;
            }
            attempts.push(self.window.take(skip, self.parts.limits.recipients));
        }
        attempts
    }

    /// How many attempts may be under way: those that the other gateways of a group leave to this one, and as large a
    /// part of the rate.
    fn connections(&mut self, now: Instant) -> usize {
        let whole = self.parts.limits.concurrency;
        let part = self.parts.spool.part(&self.parts.name, whole);
        if let Some(bucket) = &mut self.bucket {
            bucket.set_share(now, part, whole);
        }
        part
    }

    /// Nothing goes for a while: what was handed out is for the others of a group.
    fn hand_back(&mut self) {
        if self.parts.spool.reach() == Reach::Group && !self.window.is_empty() {
            self.parts.spool.put_back(self.window.give_up());
        }
    }

    fn send(&mut self, errand: Errand, attempts: Vec<Vec<Due>>) {
        if errand == Errand::Probe {
            self.availability.probe_started();
        }
        for rows in &attempts {
            self.ledger.begin(copies(rows));
        }
        let Parts { spool, transport, reporter, .. } = &self.parts;
        let tools =
            Tools { spool: spool.clone(), transport: transport.clone(), reporter: Arc::clone(reporter) };
        let task = self.running.spawn(attempt::all(tools, attempts.clone()));
        self.in_flight = self.in_flight.saturating_add(attempts.len());
        self.sent.insert(task.id(), Sent { errand, attempts });
    }

    /// Asks the spool what is due.
    async fn look(&mut self, now: Instant) {
        let Parts { spool, name, .. } = &self.parts;
        let wall = Timestamp::now();
        let result = match spool.due(name, wall, self.window.size(), self.ledger.open()).await {
            Ok(rows) => match self.window.fill(rows, now) {
                Extent::Part => Ok(None),
                Extent::Whole => spool.next_due(name).await,
            },
            Err(error) => Err(error),
        };
        match result {
            Ok(next) => {
                self.spool_rests = None;
                self.next_look = next.map(|at| {
                    // Copies under way count in it, so it may lie in the past.
                    let wait = Duration::try_from(at.duration_since(wall)).unwrap_or_default();
                    later(now, wait.clamp(SHORTEST_LOOK, LONGEST_LOOK))
                });
            }
            Err(error) => self.spool_failed(now, &error),
        }
    }

    /// Ends these attempts and those that have ended besides.
    fn end_all(&mut self, first: Result<(Id, Vec<Ended>), JoinError>) {
        self.end(first);
        while let Some(ended) = self.running.try_join_next_with_id() {
            self.end(ended);
        }
    }

    fn end(&mut self, ended: Result<(Id, Vec<Ended>), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(Sent { errand, attempts }) = self.sent.remove(&id) else { return };
        self.in_flight = self.in_flight.saturating_sub(attempts.len());
        let mut ends = ended.map(|(_, ends)| ends).unwrap_or_default().into_iter();
        let now = Instant::now();
        for rows in attempts {
            let finding = self.end_one(&rows, ends.next().unwrap_or(Ended::BrokeOff), now);
            if let Some(event) = self.availability.handle_finding(now, errand, finding) {
                tell::event(&self.parts.name, &event);
            }
        }
    }

    fn end_one(&mut self, rows: &[Due], ended: Ended, now: Instant) -> Finding {
        match ended {
            Ended::Reported(attempted) => {
                let Attempted { report, told } = *attempted;
                let finding = self.reported(rows, report);
                self.ledger.report(told);
                return finding;
            }
            Ended::Gone => self.release(rows),
            Ended::Unreadable(error) => {
                self.release(rows);
                self.window.expire();
                self.spool_failed(now, &error);
            }
            Ended::BrokeOff => self.broke_off(rows),
        }
        Finding::Nothing
    }

    fn reported(&mut self, rows: &[Due], report: Report) -> Finding {
        let mut outcomes: HashMap<_, _> = report.outcomes.into_iter().collect();
        for row in rows {
            match outcomes.remove(&row.number) {
                Some(outcome) => self.settle(row, outcome),
                // An answer that leaves someone out must not be asked for in a circle.
                None if report.health == Health::Up => self.settle(row, delayed(LEFT_OUT)),
                None => {
                    self.release(std::slice::from_ref(row));
                    self.window.expire();
                }
            }
        }
        match report.health {
            Health::Up => Finding::Answered,
            Health::Down { reason } => Finding::Unreachable { reason },
            Health::OperatorFault { reason } => Finding::OperatorFault { reason },
            Health::Throttled { retry_after, reason } => Finding::Wait { asked: retry_after, reason },
        }
    }

    fn settle(&mut self, row: &Due, outcome: Outcome) {
        let Parts { name, metrics, retry, .. } = &self.parts;
        let at = Timestamp::now();
        let (Outcome::Delivered { text, .. } | Outcome::Delayed { text, .. } | Outcome::Failed { text, .. }) =
            &outcome;
        let said = Arc::from(text.as_str());
        let (fate, result) = match outcome {
            Outcome::Delivered { text, .. } => {
                tell::delivered(name, row, &text);
                self.last_delivery = Some(at);
                (Fate::Delivered, DeliveryResult::Delivered)
            }
            Outcome::Delayed { status, text, retry_after } => {
                let wait = retry.delay(row.attempts.saturating_add(1), retry_after);
                let due = at.checked_add(SignedDuration::try_from(wait).unwrap_or_default()).unwrap_or(at);
                tell::delayed(name, row, status, &text, due);
                (Fate::Deferred { due, status, text }, DeliveryResult::Delayed)
            }
            Outcome::Failed { status, text } => {
                tell::failed(name, row, status, &text);
                (Fate::Failed { status, text }, DeliveryResult::Failed)
            }
        };
        metrics.delivery(name, result);
        self.last_reply = Some(LastReply { at, result, text: said });
        self.ledger.settle(Settled { id: row.id, number: row.number, fate, at });
    }

    fn release(&mut self, rows: &[Due]) {
        for row in rows {
            self.ledger.release(&(row.id, row.number));
        }
        self.parts.spool.put_back(copies(rows).collect());
    }

    /// The task of an attempt panicked.
    fn broke_off(&mut self, rows: &[Due]) {
        self.parts.metrics.panicked();
        tell::broke_off(&self.parts.name, rows);
        for row in rows {
            self.settle(row, delayed(BROKE_OFF));
        }
    }

    fn committed(&mut self, commit: Result<Result<(), SpoolError>, JoinError>) {
        let now = Instant::now();
        match commit {
            Ok(Ok(())) => self.ledger.close(),
            // Too late to keep anything; what was delivered is delivered again after the next start.
            Ok(Err(SpoolError::Closed)) if self.parts.stop.is_cancelled() => self.ledger.close(),
            Ok(Err(error)) => {
                self.ledger.reopen(now);
                self.spool_told(now, &error);
            }
            Err(_) => {
                self.parts.metrics.panicked();
                self.ledger.reopen(now);
            }
        }
    }

    /// The operator did something: a pause, its end, or a retry, which probes at once.
    async fn poked(&mut self) {
        self.read_pause().await;
        self.availability.retry_now(Instant::now());
        self.window.expire();
    }

    /// The spool has something due, or where others change it too: a pause, or another part of the limits.
    async fn told_of_due(&mut self) {
        if self.parts.spool.reach() == Reach::Group {
            self.read_pause().await;
        }
        self.window.expire();
    }

    async fn read_pause(&mut self) {
        match self.parts.spool.paused().await {
            Ok(pauses) if pauses.iter().any(|pause| pause.destination == self.parts.name) => {
                self.availability.pause();
            }
            Ok(_) => self.availability.resume(Instant::now()),
            Err(error) => self.spool_failed(Instant::now(), &error),
        }
    }

    fn time_passed(&mut self) {
        let now = Instant::now();
        let passed = |at: &mut Option<Instant>| at.take_if(|at| *at <= now).is_some();
        if passed(&mut self.next_look) {
            self.window.expire();
        }
        passed(&mut self.next_token);
        passed(&mut self.spool_rests);
        if let Some(event) = self.availability.handle_timeout(now) {
            tell::event(&self.parts.name, &event);
        }
    }

    /// When [`Self::time_passed`] is due. Every time in it lies ahead or is taken out when it has passed.
    fn wake_at(&self) -> Option<Instant> {
        let probe = self.availability.poll_timeout(Instant::now());
        let times = [self.next_look, self.next_token, self.spool_rests, probe, self.ledger.poll_timeout()];
        times.into_iter().flatten().min()
    }

    fn spool_failed(&mut self, now: Instant, error: &SpoolError) {
        self.spool_rests = Some(later(now, SPOOL_RESTS));
        self.spool_told(now, error);
    }

    fn spool_told(&mut self, now: Instant, error: &SpoolError) {
        if matches!(error, SpoolError::Closed) {
            if self.parts.stop.is_cancelled() {
                return;
            }
            self.spool = Access::Closed;
        }
        let told = self.spool_told_at.is_some_and(|at| now.saturating_duration_since(at) < SPOOL_TOLD);
        if !told {
            self.spool_told_at = Some(now);
            tell::spool(&self.parts.name, error);
        }
    }

    /// Publishes the state where it changed.
    fn show(&mut self) {
        let mut view = DestinationView {
            state: label(self.availability.state()),
            reason: self.availability.reason().map(str::to_owned),
            in_flight: self.in_flight,
            last_delivery: self.last_delivery,
            last_reply: self.last_reply.clone(),
            since: self.view.since,
        };
        if view.state != self.view.state {
            view.since = Timestamp::now();
            self.parts.metrics.set_destination_state(&self.parts.name, view.state);
        }
        if view != self.view {
            self.parts.views.set(&self.parts.name, view.clone());
            self.view = view;
        }
    }
}

fn delayed(text: &str) -> Outcome {
    // RFC 3463 §3.4: other or undefined mail system status.
    Outcome::Delayed { status: EnhancedStatus::new(4, 3, 0), text: text.to_owned(), retry_after: None }
}

fn later(now: Instant, wait: Duration) -> Instant {
    now.checked_add(wait).unwrap_or(now)
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

const BROKE_OFF: &str = "the delivery ended by a defect in this program";
const LEFT_OUT: &str = "the transport reported no outcome";

/// The spool's clock is the wall's: it is asked again after this even when nothing seems due sooner.
const LONGEST_LOOK: Duration = Duration::from_secs(60);

/// And never more often than this on account of time alone.
const SHORTEST_LOOK: Duration = Duration::from_secs(1);

/// After the spool could not be read.
const SPOOL_RESTS: Duration = Duration::from_secs(1);

/// Between two lines in the log about a spool that fails.
const SPOOL_TOLD: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests;
