//! The tar pit as all sessions share it: who waits is woken, what it does is counted.
#![expect(clippy::disallowed_methods, reason = "the edge where time is read for the tar pit")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use crate::policy::client_network::ClientNetwork;
use crate::policy::tarpit::{Hold, Place, Responsible, Tarpit, TarpitFacts, TarpitPolicy, Ticket, Woken};
use crate::telemetry::log::Recurring;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::smtp::{TarpitMetrics, TurnedAway};

/// The tar pit of all listeners.
#[derive(Debug)]
pub(super) struct SharedTarpit {
    inner: Mutex<Inner>,
    /// The earliest time at which somebody is to be woken has changed.
    earlier: Notify,
    metrics: TarpitMetrics,
    /// What people were told last, and when.
    reported: Mutex<Option<(Instant, TarpitReport)>>,
}

/// The tar pit for people's eyes. Clones show the same one.
#[derive(Debug, Clone)]
pub struct TarpitView(Arc<SharedTarpit>);

/// How the tar pit stands, and who is responsible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TarpitReport {
    /// How long a refusal is held at least; zero: it is off.
    pub time: Duration,
    /// What it has done since the start.
    pub facts: TarpitFacts,
    /// The client networks that owe most, and behind them those that were delayed most; at most
    /// [`TarpitReport::NETWORKS`].
    pub most_responsible: Vec<Responsible>,
}

impl TarpitReport {
    /// Networks that it names at most.
    pub const NETWORKS: usize = 20;
}

impl TarpitView {
    /// The view of a tar pit.
    pub(super) fn of(tarpit: &Arc<SharedTarpit>) -> Self {
        Self(Arc::clone(tarpit))
    }

    /// How it stands, or stood at most a second ago: sessions wait while all networks are looked at, so that however many
    /// ask, it is done once a second.
    #[must_use]
    pub fn report(&self) -> TarpitReport {
        let mut reported = self.0.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some((at, report)) = &*reported
            && now.saturating_duration_since(*at) < REPORT_AGE
        {
            return report.clone();
        }
        let inner = self.0.lock();
        let report = TarpitReport {
            time: inner.tarpit.policy().time,
            facts: inner.tarpit.facts(),
            most_responsible: inner.tarpit.most_responsible(TarpitReport::NETWORKS, now),
        };
        drop(inner);
        reported.insert((now, report)).1.clone()
    }
}

#[derive(Debug)]
struct Inner {
    tarpit: Tarpit,
    waiting: HashMap<Ticket, oneshot::Sender<Woken>>,
    told: TarpitFacts,
    /// When the log was told last that clients are turned away.
    turned_away: Recurring,
    /// What the timer waits for.
    timer: Option<Instant>,
}

/// A session's place in the tar pit. Dropped, the client has gone: what it owes its network owes.
#[derive(Debug)]
pub(super) struct Seat {
    tarpit: Arc<SharedTarpit>,
    ticket: Ticket,
    state: SeatState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SeatState {
    Taken,
    GivenBack,
}

/// What speaks for a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// A client of it has authenticated.
    Authentication,
    /// A message of it was accepted.
    Message,
}

/// What a RCPT finds that wants to be decided.
#[derive(Debug)]
pub(super) enum Entry {
    /// Its turn has come.
    Come(Seat),
    /// It has to wait.
    Wait(Waiting),
    /// The line of its network is too long.
    LineTooLong,
    /// Too many sessions wait already.
    Full,
}

/// A session that waits for its turn.
#[derive(Debug)]
pub(super) struct Waiting {
    seat: Seat,
    woken: oneshot::Receiver<Woken>,
}

/// How a wait ended.
#[derive(Debug)]
pub(super) enum TurnCome {
    /// The turn has come.
    Come(Seat),
    /// It took too long.
    LineTooLong,
}

/// A reply that is held.
#[derive(Debug)]
pub(super) enum Held {
    /// It is not.
    Not,
    /// So long, unless the client goes before.
    For(Seat, Duration),
    /// Too many sessions wait already.
    Full,
}

/// What the log is told of clients that are turned away.
#[derive(Debug)]
struct Complaint {
    count: u64,
    networks: Vec<Responsible>,
}

impl Complaint {
    fn tell(&self) {
        let networks: Vec<String> = self.networks.iter().map(Responsible::to_string).collect();
        tracing::warn!(
            count = self.count,
            networks = networks.join(", "),
            "The tar pit turns clients away; these networks are most responsible. `tarpit.exempt` spares honest ones."
        );
    }
}

impl SharedTarpit {
    /// Of which nobody owes anything.
    #[must_use]
    pub(super) fn new(policy: TarpitPolicy, metrics: &Metrics) -> Arc<Self> {
        let inner = Inner {
            tarpit: Tarpit::new(policy),
            waiting: HashMap::new(),
            told: TarpitFacts::default(),
            turned_away: Recurring::new(TELL_EVERY),
            timer: None,
        };
        Arc::new(Self {
            inner: Mutex::new(inner),
            earlier: Notify::new(),
            metrics: metrics.tarpit(),
            reported: Mutex::default(),
        })
    }

    /// Goes by another choice of the operator.
    pub(super) fn adopt(&self, policy: TarpitPolicy) {
        self.change(|inner, _| inner.tarpit.adopt(policy));
    }

    /// Wakes who has waited long enough, until `stop`. One task does it for all.
    pub(super) async fn run(self: Arc<Self>, stop: CancellationToken) {
        loop {
            let at = self.change(|_, _| ()).1;
            let sleep = tokio::time::sleep_until(at.unwrap_or_else(Instant::now).into());
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.earlier.notified() => {}
                () = sleep, if at.is_some() => {}
            }
        }
    }

    /// A RCPT of an unauthenticated session wants to be decided.
    pub(super) fn join(self: &Arc<Self>, network: ClientNetwork) -> Entry {
        let ((place, woken), _) = self.change(|inner, now| {
            let place = inner.tarpit.join(network, now);
            let woken = match place {
                Place::Wait(ticket) => {
                    let (wake, woken) = oneshot::channel();
                    inner.waiting.insert(ticket, wake);
                    Some(woken)
                }
                Place::Come(_) | Place::LineTooLong | Place::Full => None,
            };
            (place, woken)
        });
        match (place, woken) {
            (Place::Come(ticket), _) => Entry::Come(self.seat(ticket)),
            (Place::Wait(ticket), Some(woken)) => Entry::Wait(Waiting { seat: self.seat(ticket), woken }),
            (Place::LineTooLong, _) => Entry::LineTooLong,
            (Place::Full | Place::Wait(_), _) => Entry::Full,
        }
    }

    /// A reply of 5yz to an unauthenticated client, to a RCPT in its turn (`seat`) or to another command.
    pub(super) fn refuse(self: &Arc<Self>, seat: Option<Seat>, network: ClientNetwork) -> Held {
        let ticket = seat.map(Seat::give_back);
        let (hold, _) = self.change(|inner, now| match ticket {
            Some(ticket) => inner.tarpit.refuse(ticket, now),
            None => inner.tarpit.refuse_apart(network, now),
        });
        self.held(hold)
    }

    /// A failed AUTH.
    pub(super) fn fail_auth(self: &Arc<Self>, network: ClientNetwork) -> Held {
        let (hold, _) = self.change(|inner, now| inner.tarpit.fail_auth(network, now));
        self.held(hold)
    }

    /// Whether MAIL of this network gets 421.
    #[must_use]
    pub(super) fn turns_mail_away(&self, network: ClientNetwork) -> bool {
        self.change(|inner, now| inner.tarpit.turns_mail_away(network, now)).0
    }

    /// What a client of this network did speaks for it.
    pub(super) fn proved_good(&self, network: ClientNetwork, by: Proof) {
        let (delayed, _) = self.change(|inner, _| inner.tarpit.proved_good(network));
        let Some(delayed) = delayed else { return };
        let (replies, seconds) = (delayed.replies, delayed.delay.as_secs());
        match by {
            Proof::Authentication => tracing::warn!(
                %network,
                replies,
                seconds,
                "The tar pit has delayed a network from which a client authenticated now; `tarpit.exempt` spares it."
            ),
            // Who sends to lists of guessed names delivers to some of them, too.
            Proof::Message => tracing::warn!(
                %network,
                replies,
                seconds,
                "The tar pit has delayed a network from which a message was accepted now; if its mail is wanted, \
                 `tarpit.exempt` spares it."
            ),
        }
    }

    fn held(self: &Arc<Self>, hold: Hold) -> Held {
        match hold {
            Hold::Not => Held::Not,
            Hold::For(ticket, duration) => Held::For(self.seat(ticket), duration),
            Hold::Full => Held::Full,
        }
    }

    fn seat(self: &Arc<Self>, ticket: Ticket) -> Seat {
        Seat { tarpit: Arc::clone(self), ticket, state: SeatState::Taken }
    }

    /// Changes what is remembered, wakes those whose time has come, and counts. Also when the next are to be woken.
    fn change<T>(&self, change: impl FnOnce(&mut Inner, Instant) -> T) -> (T, Option<Instant>) {
        let mut inner = self.lock();
        let now = Instant::now();
        let result = change(&mut inner, now);
        while let Some((ticket, woken)) = inner.tarpit.poll_woken(now) {
            // One that has just gone gives its place back by itself.
            if let Some(wake) = inner.waiting.remove(&ticket) {
                wake.send(woken).ok();
            }
        }
        let next = inner.tarpit.poll_timeout();
        let earlier = next.is_some_and(|next| inner.timer.is_none_or(|timer| next < timer));
        inner.timer = next;
        let complaint = self.count(&mut inner, now);
        drop(inner);
        if let Some(complaint) = complaint {
            complaint.tell();
        }
        if earlier {
            self.earlier.notify_one();
        }
        (result, next)
    }

    /// Counts what was done since it was counted last; what the log is to be told of it.
    fn count(&self, inner: &mut Inner, now: Instant) -> Option<Complaint> {
        let facts = inner.tarpit.facts();
        let told = std::mem::replace(&mut inner.told, facts);
        let metrics = &self.metrics;
        metrics.delayed.set(i64::try_from(facts.delayed_now).unwrap_or(i64::MAX));
        metrics.replies.inc_by(facts.replies_held.saturating_sub(told.replies_held));
        metrics.seconds.inc_by(facts.delay.saturating_sub(told.delay).as_secs_f64());
        metrics.turns_waited.inc_by(facts.turns_waited_for.saturating_sub(told.turns_waited_for));
        let line_too_long = facts.line_too_long.saturating_sub(told.line_too_long);
        let full = facts.full.saturating_sub(told.full);
        metrics.turned_away(TurnedAway::LineTooLong, line_too_long);
        metrics.turned_away(TurnedAway::Full, full);
        metrics.gave_up.inc_by(facts.gave_up.saturating_sub(told.gave_up));
        metrics.proved_good.inc_by(facts.proved_good.saturating_sub(told.proved_good));
        let count = inner.turned_away.happened(line_too_long.saturating_add(full), now)?;
        Some(Complaint { count, networks: inner.tarpit.most_responsible(NAMED, now) })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Returns when the wait is over. Dropped before, the client has gone.
    pub(super) async fn over(self) -> TurnCome {
        match self.woken.await {
            Ok(Woken::Come) => TurnCome::Come(self.seat),
            Ok(Woken::LineTooLong) | Err(_) => {
                self.seat.give_back();
                TurnCome::LineTooLong
            }
        }
    }
}

impl Seat {
    /// The RCPT is answered without a delay.
    pub(super) fn turn_over(self) {
        let tarpit = Arc::clone(&self.tarpit);
        let ticket = self.give_back();
        tarpit.change(|inner, now| inner.tarpit.turn_over(ticket, now));
    }

    /// The client has waited for its reply to the end.
    pub(super) fn waited(self) {
        self.give_back();
    }

    fn give_back(mut self) -> Ticket {
        self.state = SeatState::GivenBack;
        self.ticket
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.state == SeatState::Taken {
            let ticket = self.ticket;
            self.tarpit.change(|inner, now| {
                inner.waiting.remove(&ticket);
                inner.tarpit.leave(ticket, now);
            });
        }
    }
}

/// How often the log is told that clients are turned away.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// Networks that it names.
const NAMED: usize = 5;
/// How old the answer to people may be.
const REPORT_AGE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::client_network::Prefixes;

    #[test]
    fn who_is_turned_away_is_counted_and_the_log_names_who_is_responsible_once_a_minute() {
        let metrics = Metrics::new();
        let policy = TarpitPolicy {
            time: Duration::from_secs(50),
            max_line: Duration::from_secs(40),
            max_delayed: 1,
            ..TarpitPolicy::default()
        };
        let tarpit = SharedTarpit::new(policy, &metrics);
        let [scanner, other] = ["203.0.113.9", "198.51.100.1"]
            .map(|address| Prefixes::default().network_of(address.parse().unwrap()));
        let held = tarpit.refuse(None, scanner);
        assert!(matches!(held, Held::For(..)));
        assert!(tarpit.turns_mail_away(scanner));
        assert!(matches!(tarpit.join(scanner), Entry::LineTooLong));
        assert!(matches!(tarpit.refuse(None, other), Held::Full));
        let text = metrics.encode();
        for (reason, count) in [("full", 1), ("line_too_long", 2)] {
            let line = format!("mailslotd_tarpit_turned_away_total{{reason=\"{reason}\"}} {count}\n");
            assert!(text.contains(&line), "{line} in {text}");
        }
        // The first was told; those behind it when the minute is over.
        let (mut inner, now) = (tarpit.lock(), Instant::now());
        assert!(tarpit.count(&mut inner, now).is_none());
        let complaint = tarpit.count(&mut inner, now + TELL_EVERY).unwrap();
        assert_eq!(complaint.count, 2);
        let named: Vec<_> = complaint.networks.iter().map(|one| one.network).collect();
        assert!(named.contains(&scanner), "{named:?}");
        drop(inner);
        drop(held);
    }
}
