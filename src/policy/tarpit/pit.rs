//! The state that all sessions share: a line and a debt for each client network.
//!
//! A RCPT joins the line of its network before its recipient is looked up. One is decided at a time. Whoever is accepted
//! leaves at once; a refusal is held, and the next turn comes only when the hold is over, whether its client has waited
//! for it or not: who hangs up leaves the unpaid time to the network. So silence tells a client in a hurry nothing, and
//! by any strategy one network learns at most one unknown name for each `time`.
//!
//! The caller keeps one [`Tarpit`] for all listeners. After each call, and when [`Tarpit::poll_timeout`] has passed, it
//! asks [`Tarpit::poll_woken`] until that returns `None`. Every operation costs O(log n).

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::TarpitPolicy;
use super::facts::{Delayed, TarpitFacts};
use super::line::{Line, Suspicion, after};
use super::memory::Room;
use super::networks::Networks;
use crate::policy::client_network::ClientNetwork;

/// A session's place. One that is used after its end does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// What a RCPT finds that wants to be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Nobody is before it and nothing is owed: its turn has come.
    Come(Ticket),
    /// [`Tarpit::poll_woken`] will name it.
    Wait(Ticket),
    /// The line of its network is longer than `max_line`: 421 4.7.0 and close.
    LineTooLong,
    /// Too many sessions wait already: 421 4.7.0 and close.
    Full,
}

/// What became of a session that waited for its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// Its turn has come.
    Come,
    /// It has waited for `max_line`, and those before it are not done: 421 4.7.0 and close.
    LineTooLong,
}

/// How long a reply is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Not at all.
    Not,
    /// So long. [`Tarpit::leave`] with this ticket when the client does not wait for it; when it does, nothing.
    For(Ticket, Duration),
    /// Too many sessions wait already: 421 4.7.0 and close.
    Full,
}

/// The tar pit.
#[derive(Debug)]
pub struct Tarpit {
    pub(super) policy: TarpitPolicy,
    pub(super) networks: Networks,
    pub(super) sessions: HashMap<Ticket, Session>,
    last_ticket: u64,
    /// Lines in which somebody waits, by when something may change for the first of them.
    pub(super) agenda: BTreeSet<(Instant, ClientNetwork)>,
    /// Networks of which nobody waits, by when they are forgotten.
    pub(super) settled: BTreeSet<(Instant, ClientNetwork)>,
    /// Replies that are held, by their end.
    pub(super) held: BTreeSet<(Instant, Ticket)>,
    pub(super) waiting: usize,
    pub(super) facts: TarpitFacts,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Session {
    pub(super) network: ClientNetwork,
    /// Since when it waits.
    pub(super) since: Instant,
    stage: Stage,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Waiting,
    Deciding,
    Held { until: Instant },
}

impl Tarpit {
    /// Of which nobody owes anything.
    #[must_use]
    pub fn new(policy: TarpitPolicy) -> Self {
        Self {
            policy,
            networks: Networks::default(),
            sessions: HashMap::new(),
            last_ticket: 0,
            agenda: BTreeSet::new(),
            settled: BTreeSet::new(),
            held: BTreeSet::new(),
            waiting: 0,
            facts: TarpitFacts::default(),
        }
    }

    /// Goes by another choice of the operator from the next refusal on. What networks owe they owe still.
    pub fn adopt(&mut self, policy: TarpitPolicy) {
        self.policy = policy;
    }

    /// The operator's choice.
    #[must_use]
    pub const fn policy(&self) -> &TarpitPolicy {
        &self.policy
    }

    /// A RCPT of an unauthenticated session wants to be decided.
    ///
    /// A ticket whose turn comes must end in [`Self::turn_over`], [`Self::refuse`] or [`Self::leave`]; one that waits may
    /// [`Self::leave`].
    pub fn join(&mut self, network: ClientNetwork, now: Instant) -> Place {
        self.expire(now);
        let network = self.networks.counted_under(network);
        let known = self.networks.get(&network);
        let free = known.map(|line| line.waiting.is_empty() && line.is_free(now));
        if free.is_none() && self.make_room(now) == Room::None {
            return self.turn_away(Place::Full);
        }
        if free.unwrap_or(true) {
            let ticket = self.admit(network, now, Stage::Deciding);
            self.line_of(network, now).deciding = Some(ticket);
            self.note(network, now);
            return Place::Come(ticket);
        }
        self.line_of(network, now);
        if self.is_in_debt(network, now) {
            return self.turn_away(Place::LineTooLong);
        }
        if self.delayed_now() >= self.policy.max_delayed {
            return self.turn_away(Place::Full);
        }
        let ticket = self.admit(network, now, Stage::Waiting);
        self.line_of(network, now).waiting.insert(ticket);
        self.waiting = self.waiting.saturating_add(1);
        self.note(network, now);
        Place::Wait(ticket)
    }

    /// The RCPT whose turn it was is answered without a delay: accepted, or refused for now (4yz).
    pub fn turn_over(&mut self, ticket: Ticket, now: Instant) {
        let Some(Session { network, stage: Stage::Deciding, .. }) = self.sessions.get(&ticket).copied()
        else {
            return;
        };
        self.sessions.remove(&ticket);
        self.end_turn(network, now);
    }

    /// The RCPT whose turn it was is refused (5yz). The next turn of its network comes when the hold is over.
    pub fn refuse(&mut self, ticket: Ticket, now: Instant) -> Hold {
        self.expire(now);
        let Some(Session { network, stage: Stage::Deciding, .. }) = self.sessions.get(&ticket).copied()
        else {
            return Hold::Not;
        };
        self.sessions.remove(&ticket);
        let duration = self.charge(network, now);
        self.end_turn(network, now);
        self.hold(network, duration, ticket, now)
    }

    /// Another command than RCPT of an unauthenticated session is refused (5yz). No name is learned by it, so it waits
    /// for nobody, but RCPTs of its network wait for it.
    pub fn refuse_apart(&mut self, network: ClientNetwork, now: Instant) -> Hold {
        self.expire(now);
        if self.policy.time.is_zero() {
            return Hold::Not;
        }
        let network = self.networks.counted_under(network);
        let known = self.networks.get(&network).is_some() || self.make_room(now) == Room::Made;
        let duration = if known { self.charge(network, now) } else { self.policy.hold(0) };
        self.note(network, now);
        let ticket = self.draw();
        self.hold(network, duration, ticket, now)
    }

    /// An AUTH of any session has failed. Nobody else waits for it: the way to authenticate stays open.
    pub fn fail_auth(&mut self, network: ClientNetwork, now: Instant) -> Hold {
        self.expire(now);
        let duration = self.policy.failed_auth;
        if duration.is_zero() {
            return Hold::Not;
        }
        let network = self.networks.counted_under(network);
        let ticket = self.draw();
        self.hold(network, duration, ticket, now)
    }

    /// The session has gone away, or was closed, before its reply was written. What it owes its network owes.
    ///
    /// Leaving in the middle of one's own turn counts as a refusal, since a quick client may take the silence for one.
    pub fn leave(&mut self, ticket: Ticket, now: Instant) {
        self.expire(now);
        let Some(Session { network, since, stage }) = self.sessions.remove(&ticket) else { return };
        match stage {
            Stage::Deciding => {
                self.charge(network, now);
                self.end_turn(network, now);
                return;
            }
            Stage::Waiting => {
                if let Some(line) = self.networks.get_mut(&network) {
                    line.waiting.remove(&ticket);
                }
                self.waiting = self.waiting.saturating_sub(1);
            }
            Stage::Held { until } => {
                self.held.remove(&(until, ticket));
            }
        }
        self.facts.gave_up = self.facts.gave_up.saturating_add(1);
        if let Some(line) = self.networks.get_mut(&network) {
            line.gave_up = line.gave_up.saturating_add(1);
        }
        self.count_delay(network, now.saturating_duration_since(since));
        self.note(network, now);
    }

    /// A session whose wait for its turn is over. To be asked again until it returns `None`.
    pub fn poll_woken(&mut self, now: Instant) -> Option<(Ticket, Woken)> {
        self.expire(now);
        while let Some(&(at, network)) = self.agenda.first() {
            if at > now {
                return None;
            }
            match self.wake_first_of(network, now) {
                Some(woken) => return Some(woken),
                None => self.note(network, now),
            }
        }
        None
    }

    /// When [`Self::poll_woken`] is to be asked again, if nothing else happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.agenda.first().map(|&(at, _)| at)
    }

    /// Whether MAIL of this network gets 421 4.7.0, since its line is longer than `max_line`; counts it. Never asked at
    /// the greeting, EHLO, STARTTLS or AUTH.
    #[must_use]
    pub fn turns_mail_away(&mut self, network: ClientNetwork, now: Instant) -> bool {
        let in_debt = self.is_in_debt(network, now);
        if in_debt {
            self.line_of(self.networks.counted_under(network), now);
            self.turn_away(Place::LineTooLong);
        }
        in_debt
    }

    /// Whether the line of this network is longer than `max_line`.
    #[must_use]
    pub fn is_in_debt(&self, network: ClientNetwork, now: Instant) -> bool {
        self.line_length(self.networks.counted_under(network), now) > self.policy.max_line
    }

    /// A client of this network has authenticated, or a message of it was accepted. What it was made to wait before, if
    /// it was: an administrator should know of it.
    pub fn proved_good(&mut self, network: ClientNetwork) -> Option<Delayed> {
        let network = self.networks.counted_under(network);
        let line = self.networks.get_mut(&network)?;
        match std::mem::take(&mut line.suspicion) {
            Suspicion::None => None,
            Suspicion::Delayed => {
                self.facts.proved_good = self.facts.proved_good.saturating_add(1);
                Some(line.delayed)
            }
        }
    }

    pub(super) fn delayed_now(&self) -> usize {
        self.waiting.saturating_add(self.held.len())
    }

    /// The line of a network of which a client is here now.
    fn line_of(&mut self, network: ClientNetwork, now: Instant) -> &mut Line {
        let line = self.networks.remember(network);
        line.last_seen = Some(now);
        line
    }

    fn draw(&mut self) -> Ticket {
        self.last_ticket = self.last_ticket.saturating_add(1);
        Ticket(self.last_ticket)
    }

    fn admit(&mut self, network: ClientNetwork, now: Instant, stage: Stage) -> Ticket {
        let ticket = self.draw();
        self.sessions.insert(ticket, Session { network, since: now, stage });
        ticket
    }

    fn turn_away(&mut self, place: Place) -> Place {
        match place {
            Place::LineTooLong => self.facts.line_too_long = self.facts.line_too_long.saturating_add(1),
            Place::Full => self.facts.full = self.facts.full.saturating_add(1),
            Place::Come(_) | Place::Wait(_) => {}
        }
        place
    }

    /// Has a network pay for one more refusal: how long.
    fn charge(&mut self, network: ClientNetwork, now: Instant) -> Duration {
        let refusals = self.line_of(network, now).refusals;
        let duration = self.policy.hold(refusals);
        self.line_of(network, now).charge(duration, now);
        duration
    }

    fn hold(&mut self, network: ClientNetwork, duration: Duration, ticket: Ticket, now: Instant) -> Hold {
        if self.delayed_now() >= self.policy.max_delayed {
            self.facts.full = self.facts.full.saturating_add(1);
            return Hold::Full;
        }
        let until = after(now, duration);
        self.sessions.insert(ticket, Session { network, since: now, stage: Stage::Held { until } });
        self.held.insert((until, ticket));
        self.facts.replies_held = self.facts.replies_held.saturating_add(1);
        if let Some(line) = self.networks.get_mut(&network) {
            line.delayed.replies = line.delayed.replies.saturating_add(1);
            line.suspicion = Suspicion::Delayed;
        }
        Hold::For(ticket, duration)
    }

    fn end_turn(&mut self, network: ClientNetwork, now: Instant) {
        if let Some(line) = self.networks.get_mut(&network) {
            line.deciding = None;
        }
        self.note(network, now);
    }

    fn wake_first_of(&mut self, network: ClientNetwork, now: Instant) -> Option<(Ticket, Woken)> {
        let line = self.networks.get_mut(&network)?;
        let ticket = *line.waiting.first()?;
        let session = self.sessions.get_mut(&ticket)?;
        let since = session.since;
        let woken = if line.is_free(now) {
            line.deciding = Some(ticket);
            session.stage = Stage::Deciding;
            Woken::Come
        } else if after(since, self.policy.max_line) <= now {
            self.sessions.remove(&ticket);
            self.facts.line_too_long = self.facts.line_too_long.saturating_add(1);
            Woken::LineTooLong
        } else {
            return None;
        };
        line.waiting.remove(&ticket);
        line.suspicion = Suspicion::Delayed;
        self.waiting = self.waiting.saturating_sub(1);
        self.facts.turns_waited_for = self.facts.turns_waited_for.saturating_add(1);
        self.count_delay(network, now.saturating_duration_since(since));
        self.note(network, now);
        Some((ticket, woken))
    }
}
