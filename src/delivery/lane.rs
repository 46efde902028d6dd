//! One destination's deliveries: a task that decides when the next attempt goes and keeps the outcome.
//!
//! It sleeps until something concerns it: the spool has something due, an attempt ended, a commit ended, a probe or a
//! token is due, the operator asks. Each time it sends what may go, and never more than the transport's limits allow.
//! An attempt that finds the destination in trouble costs its message nothing, unless the message itself is what breaks
//! it. An attempt runs in a task of its own, so a defect in one costs one attempt. Where the transport likes many at once,
//! those that begin together are read from the spool in one go, and the lane hears of them together.
#![expect(clippy::disallowed_methods, reason = "this is the edge where deciding code is told the time")]

mod aftermath;
mod attempt;
mod ledger;
mod tell;
mod window;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::reports::Reporter;
use super::transport::{Limits, Transport};
use super::view::{DestinationView, LastReply, Views, label};
use crate::message::id::DestinationName;
use crate::policy::availability::{Availability, Errand, Pace, Permit, State};
use crate::policy::rate::TokenBucket;
use crate::policy::retry::Retry;
use crate::policy::suspects::{Passage, Suspects};
use crate::spool::{Due, Reach, Spool, SpoolError};
use crate::telemetry::metrics::Metrics;
use attempt::{Ended, Tools};
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
    suspects: Suspects,
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
    attempts: Vec<Going>,
}

/// An attempt under way.
#[derive(Debug)]
struct Going {
    passage: Passage,
    /// Of one message.
    copies: Vec<Due>,
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
        let window = Window::new(parts.limits.concurrency);
        Self {
            availability: Availability::new(parts.pace),
            bucket: parts.limits.rate.map(|rate| TokenBucket::new(rate, Instant::now())),
            next_token: None,
            suspects: Suspects::new(window.size() / 2),
            window,
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
            let attempts = self.choose(errand, room, now).await;
            if attempts.is_empty() {
                return;
            }
            self.send(errand, attempts);
        }
    }

    /// Takes what begins together, with a look into the spool where that may help.
    async fn choose(&mut self, errand: Errand, room: usize, now: Instant) -> Vec<Going> {
        let wants_rows = match errand {
            Errand::Deliver => self.window.wants_rows(now),
            Errand::Probe => self.window.is_stale(),
        };
        if wants_rows {
            self.look(now).await;
            return self.gather(errand, room, now);
        }
        let attempts = self.gather(errand, room, now);
        let no_token = self.next_token.is_some_and(|until| now < until);
        if !attempts.is_empty() || no_token || !self.window.is_stale() {
            return attempts;
        }
        // What is here waits for its turn; what came since may pass it.
        self.look(now).await;
        self.gather(errand, room, now)
    }

    /// At most `room` attempts, and as many as the rate allows.
    fn gather(&mut self, errand: Errand, room: usize, now: Instant) -> Vec<Going> {
        let most = match errand {
            Errand::Deliver => room.min(self.parts.limits.together),
            Errand::Probe => 1,
        };
        let mut attempts = Vec::new();
        while attempts.len() < most {
            let messages = self.window.messages();
            let place = match errand {
                Errand::Deliver => self.suspects.next(messages, now),
                Errand::Probe => self.suspects.probe(messages, now),
            };
            let Some(place) = place else { break };
            if let Some(Err(wait)) = self.bucket.as_mut().map(|bucket| bucket.take(now)) {
                self.next_token = now.checked_add(wait);
                break;
            }
            let copies = self.window.take(place, self.parts.limits.recipients);
            let Some(first) = copies.first() else { break };
            attempts.push(Going { passage: self.suspects.begin(first.id, now), copies });
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

    fn send(&mut self, errand: Errand, attempts: Vec<Going>) {
        if errand == Errand::Probe {
            self.availability.probe_started();
        }
        for going in &attempts {
            self.ledger.begin(copies(&going.copies));
        }
        let Parts { spool, transport, reporter, .. } = &self.parts;
        let tools =
            Tools { spool: spool.clone(), transport: transport.clone(), reporter: Arc::clone(reporter) };
        let rows = attempts.iter().map(|going| going.copies.clone()).collect();
        let task = self.running.spawn(attempt::all(tools, rows));
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

fn later(now: Instant, wait: Duration) -> Instant {
    now.checked_add(wait).unwrap_or(now)
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

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
