//! Whether a destination is up, down, throttled or paused, and when it is probed.
//!
//! What a connection tells of the destination concerns every message for it, so it is decided here once, and no
//! message pays for it with an attempt of its own. While a destination has trouble, one attempt at a time goes out as
//! a probe; after the first that succeeds, everything due goes at once. Answers to attempts that were on their way when
//! the trouble began end nothing: they may be of before.
//!
//! Where the destination has just answered others, one attempt that fails is no trouble to speak of yet: the first probe
//! goes at once, and only if that fails too is the operator told and the next one waited for. Whether it is one message
//! that breaks the destination decides [`super::suspects`].
//!
//! ```text
//!            unreachable              operator fault               wait
//!   Up ──────────────────▶ Down ──────────────────▶ Fault     ┌────────────▶ Throttled
//!    ▲                      │ probe after 1 s … 60 s  │ 5 min … 1 h   │ as asked, else 1 … 30 min
//!    └──────────────────────┴──── a probe answered ───┴───────────────┘
//! ```
//!
//! Any finding leads from any state to its own. *Paused* lies over all of them: nothing goes, and the state beneath is
//! kept.

use std::time::{Duration, Instant};

/// The intervals of one destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// To the probe after a destination went down, the first time and at most; doubled after each that failed.
    pub down: Backoff,
    /// The same for an operator fault: slow, since many servers lock an account after a few refused passwords.
    pub fault: Backoff,
    /// The same for a next hop that wants no more for a while and did not say for how long. What it asks for instead
    /// is honoured up to twice `most`: a daily quota must not stop the asking for a day.
    pub throttle: Backoff,
    /// Between two reminders that a destination is still down.
    pub remind_down: Duration,
    /// Between two reminders that an operator fault still waits.
    pub remind_fault: Duration,
}

/// Waits that double.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The first wait.
    pub first: Duration,
    /// Never longer than this.
    pub most: Duration,
}

impl Backoff {
    fn after(self, failures: u32) -> Duration {
        self.first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(self.most)
    }
}

impl Default for Pace {
    fn default() -> Self {
        let seconds =
            |first, most| Backoff { first: Duration::from_secs(first), most: Duration::from_secs(most) };
        Self {
            down: seconds(1, 60),
            fault: seconds(5 * 60, 60 * 60),
            throttle: seconds(60, 30 * 60),
            remind_down: Duration::from_secs(60 * 60),
            remind_fault: Duration::from_secs(4 * 60 * 60),
        }
    }
}

/// What an attempt found out about the destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// It answered and works.
    Answered,
    /// It cannot be reached or does not speak.
    Unreachable {
        /// A sentence for the operator.
        reason: String,
    },
    /// Someone must act before it can work.
    OperatorFault {
        /// A sentence for the operator.
        reason: String,
    },
    /// It answers but wants no more for a while.
    Wait {
        /// For how long, where it said so.
        asked: Option<Duration>,
        /// What it said.
        reason: String,
    },
    /// The attempt ended without learning anything: it broke off, or there was nothing to send.
    Nothing,
}

/// Why an attempt went out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errand {
    /// To deliver.
    Deliver,
    /// To see whether the destination works again, by delivering.
    Probe,
}

/// Whether an attempt may go out now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// As many as the limits of the transport allow.
    All,
    /// One, and no other until it has ended: [`Availability::probe_started`].
    Probe,
    /// None before [`Availability::poll_timeout`] or a change from outside.
    None,
}

/// The kind of state, without its figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Works, as far as is known.
    Up,
    /// Cannot be reached.
    Down,
    /// Waits for the operator.
    OperatorFault,
    /// Wants no more for a while.
    Throttled,
    /// Stopped by the operator.
    Paused,
}

/// What is worth telling the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The destination went from another state into this trouble.
    Began {
        /// `Down`, `OperatorFault` or `Throttled`.
        state: State,
        /// Why, in a sentence.
        reason: String,
        /// When it is probed, if nobody asks earlier.
        probe_in: Duration,
    },
    /// It is still there; told at intervals.
    Persists {
        /// `Down` or `OperatorFault`.
        state: State,
        /// The latest reason.
        reason: String,
        /// How long this trouble has lasted.
        since: Duration,
        /// How many attempts failed meanwhile.
        failures: u32,
    },
    /// It works again.
    CameBack {
        /// How long it did not.
        after: Duration,
    },
}

/// The state of one destination. It has no clock: `now` must not go backwards.
#[derive(Debug, Clone)]
pub struct Availability {
    pace: Pace,
    paused: bool,
    trouble: Option<Trouble>,
    answered_at: Option<Instant>,
}

/// A state that is neither up nor paused.
#[derive(Debug, Clone)]
struct Trouble {
    state: State,
    reason: String,
    /// When the destination last worked.
    since: Instant,
    /// Attempts that failed in this state.
    failures: u32,
    probe_at: Instant,
    probing: bool,
    remind_at: Instant,
    certainty: Certainty,
}

/// How much there is to a trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Certainty {
    /// One attempt failed, and others were answered just before.
    Doubtful,
    /// The operator was told.
    Told,
}

impl Availability {
    /// A destination that is taken to work until an attempt shows otherwise.
    #[must_use]
    pub const fn new(pace: Pace) -> Self {
        Self { pace, paused: false, trouble: None, answered_at: None }
    }

    /// Its state now.
    #[must_use]
    pub fn state(&self) -> State {
        match &self.trouble {
            _ if self.paused => State::Paused,
            Some(trouble) => trouble.state,
            None => State::Up,
        }
    }

    /// Why it is in trouble, also while it is paused.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.trouble.as_ref().map(|trouble| trouble.reason.as_str())
    }

    /// Whether an attempt may go out at `now`.
    #[must_use]
    pub fn permit(&self, now: Instant) -> Permit {
        match &self.trouble {
            _ if self.paused => Permit::None,
            None => Permit::All,
            Some(trouble) if trouble.probing || now < trouble.probe_at => Permit::None,
            Some(_) => Permit::Probe,
        }
    }

    /// An attempt went out on [`Permit::Probe`]; it must be reported with [`Errand::Probe`].
    pub fn probe_started(&mut self) {
        if let Some(trouble) = &mut self.trouble {
            trouble.probing = true;
        }
    }

    /// An attempt ended.
    ///
    /// Those that were on their way when the trouble began say little: they neither lengthen the wait nor end anything. A
    /// server that has just refused our password, or goes down, still serves a connection opened before.
    pub fn handle_finding(&mut self, now: Instant, errand: Errand, finding: Finding) -> Option<Event> {
        match finding {
            Finding::Nothing => {
                self.probe_again(now, errand);
                None
            }
            Finding::Answered => self.answered(now, errand),
            Finding::Unreachable { reason } => self.worsen(now, errand, State::Down, reason, None),
            Finding::OperatorFault { reason } => self.worsen(now, errand, State::OperatorFault, reason, None),
            Finding::Wait { asked, reason } => self.worsen(now, errand, State::Throttled, reason, asked),
        }
    }

    /// The operator stops it.
    pub const fn pause(&mut self) {
        self.paused = true;
    }

    /// The operator starts it; what was wrong before is probed at once.
    pub fn resume(&mut self, now: Instant) {
        self.paused = false;
        self.retry_now(now);
    }

    /// The operator asks for a probe now.
    pub fn retry_now(&mut self, now: Instant) {
        if let Some(trouble) = &mut self.trouble {
            trouble.probe_at = now;
        }
    }

    /// When [`Self::permit`] may change by itself, or [`Self::handle_timeout`] has something to say. May change after
    /// every other call; asking at other times is harmless.
    #[must_use]
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let trouble = self.trouble.as_ref()?;
        let probe = (!self.paused && !trouble.probing && trouble.probe_at > now).then_some(trouble.probe_at);
        let remind = self.reminds(trouble).is_some().then_some(trouble.remind_at);
        probe.into_iter().chain(remind).min()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Event> {
        let every = self.reminds(self.trouble.as_ref()?)?;
        let trouble = self.trouble.as_mut()?;
        if now < trouble.remind_at {
            return None;
        }
        trouble.remind_at = later(now, every);
        Some(Event::Persists {
            state: trouble.state,
            reason: trouble.reason.clone(),
            since: now.saturating_duration_since(trouble.since),
            failures: trouble.failures,
        })
    }

    fn reminds(&self, trouble: &Trouble) -> Option<Duration> {
        match trouble.state {
            State::Down => Some(self.pace.remind_down),
            State::OperatorFault => Some(self.pace.remind_fault),
            State::Up | State::Throttled | State::Paused => None,
        }
    }

    fn answered(&mut self, now: Instant, errand: Errand) -> Option<Event> {
        self.answered_at = Some(now);
        if errand == Errand::Deliver {
            return None;
        }
        let trouble = self.trouble.take()?;
        let after = now.saturating_duration_since(trouble.since);
        (trouble.certainty == Certainty::Told).then_some(Event::CameBack { after })
    }

    fn worsen(
        &mut self,
        now: Instant,
        errand: Errand,
        state: State,
        reason: String,
        asked: Option<Duration>,
    ) -> Option<Event> {
        if let Some(trouble) = self.trouble.as_mut().filter(|trouble| trouble.state == state) {
            trouble.reason = reason;
            return (errand == Errand::Probe).then(|| trouble.probe_failed(now, &self.pace, asked)).flatten();
        }
        // A probe under way keeps its place: it was sent on another trouble and will report by itself.
        let probing = errand == Errand::Deliver && self.trouble.as_ref().is_some_and(|old| old.probing);
        let since = self.trouble.as_ref().map_or(now, |old| old.since);
        let doubtful = self.trouble.is_none() && state != State::Throttled && self.has_just_answered(now);
        let (certainty, failures, probe_in) = if doubtful {
            (Certainty::Doubtful, 0, Duration::ZERO)
        } else {
            (Certainty::Told, 1, self.pace.wait(state, 1, asked))
        };
        let probe_at = later(now, probe_in);
        let trouble = Trouble {
            state,
            reason: reason.clone(),
            since,
            failures,
            probe_at,
            probing,
            remind_at: now,
            certainty,
        };
        let remind_at = self.reminds(&trouble).map_or(now, |every| later(now, every));
        self.trouble = Some(Trouble { remind_at, ..trouble });
        (!doubtful).then_some(Event::Began { state, reason, probe_in })
    }

    /// Within the time that a first probe would wait for.
    fn has_just_answered(&self, now: Instant) -> bool {
        self.answered_at.is_some_and(|at| now.saturating_duration_since(at) < self.pace.down.first)
    }

    /// A probe that brought no answer of any kind is sent again after the same wait; where there is a doubt only, at once.
    fn probe_again(&mut self, now: Instant, errand: Errand) {
        let pace = self.pace;
        if let (Errand::Probe, Some(trouble)) = (errand, &mut self.trouble) {
            trouble.probing = false;
            trouble.probe_at = match trouble.certainty {
                Certainty::Doubtful => now,
                Certainty::Told => later(now, pace.wait(trouble.state, trouble.failures, None)),
            };
        }
    }
}

impl Trouble {
    fn probe_failed(&mut self, now: Instant, pace: &Pace, asked: Option<Duration>) -> Option<Event> {
        self.failures = self.failures.saturating_add(1);
        self.probing = false;
        let probe_in = pace.wait(self.state, self.failures, asked);
        self.probe_at = later(now, probe_in);
        let told = std::mem::replace(&mut self.certainty, Certainty::Told);
        (told == Certainty::Doubtful).then(|| Event::Began {
            state: self.state,
            reason: self.reason.clone(),
            probe_in,
        })
    }
}

impl Pace {
    fn wait(&self, state: State, failures: u32, asked: Option<Duration>) -> Duration {
        match state {
            State::Throttled => asked.map_or_else(
                || self.throttle.after(failures),
                |asked| asked.min(self.throttle.most.saturating_mul(2)),
            ),
            State::OperatorFault => self.fault.after(failures),
            State::Down | State::Up | State::Paused => self.down.after(failures),
        }
    }
}

/// `now + wait`, or `now` beyond the end of time.
fn later(now: Instant, wait: Duration) -> Instant {
    now.checked_add(wait).unwrap_or(now)
}

#[cfg(test)]
mod tests;
