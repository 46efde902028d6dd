//! Whether a destination is up, down, throttled or paused, and when it is probed.
//!
//! What a connection tells of the destination concerns every message for it, so it is decided here once, and no
//! message pays for it with an attempt of its own. While a destination has trouble, one attempt at a time goes out as
//! a probe; after the first that succeeds, everything due goes at once.
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
}

impl Availability {
    /// A destination that is taken to work until an attempt shows otherwise.
    #[must_use]
    pub const fn new(pace: Pace) -> Self {
        Self { pace, paused: false, trouble: None }
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

    /// How many probes failed since the trouble began, for the choice of what to probe with.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.trouble.as_ref().map_or(0, |trouble| trouble.failures)
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
    /// Those that were on their way when the trouble began say little: they neither lengthen the wait, nor end more
    /// than a `Down`. A server that has just refused our password still serves the connection opened before.
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
        let trouble = self.trouble.as_ref()?;
        if errand == Errand::Deliver && trouble.state != State::Down {
            return None;
        }
        let after = now.saturating_duration_since(trouble.since);
        self.trouble = None;
        Some(Event::CameBack { after })
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
            if errand == Errand::Probe {
                trouble.failures = trouble.failures.saturating_add(1);
                trouble.probing = false;
                trouble.probe_at = later(now, self.pace.wait(state, trouble.failures, asked));
            }
            return None;
        }
        // A probe under way keeps its place: it was sent on another trouble and will report by itself.
        let probing = errand == Errand::Deliver && self.trouble.as_ref().is_some_and(|old| old.probing);
        let since = self.trouble.as_ref().map_or(now, |old| old.since);
        let probe_in = self.pace.wait(state, 1, asked);
        let trouble = Trouble {
            state,
            reason: reason.clone(),
            since,
            failures: 1,
            probe_at: later(now, probe_in),
            probing,
            remind_at: now,
        };
        let remind_at = self.reminds(&trouble).map_or(now, |every| later(now, every));
        self.trouble = Some(Trouble { remind_at, ..trouble });
        Some(Event::Began { state, reason, probe_in })
    }

    /// A probe that brought no answer of any kind is sent again after the same wait.
    fn probe_again(&mut self, now: Instant, errand: Errand) {
        let pace = self.pace;
        if let (Errand::Probe, Some(trouble)) = (errand, &mut self.trouble) {
            trouble.probing = false;
            trouble.probe_at = later(now, pace.wait(trouble.state, trouble.failures, None));
        }
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
mod tests {
    use super::*;

    /// A destination on virtual time.
    struct World {
        now: Instant,
        machine: Availability,
    }

    impl World {
        fn new() -> Self {
            #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
            let now = Instant::now();
            Self { now, machine: Availability::new(Pace::default()) }
        }

        fn pass(&mut self, seconds: u64) -> Option<Event> {
            self.now += Duration::from_secs(seconds);
            self.machine.handle_timeout(self.now)
        }

        fn permit(&self) -> Permit {
            self.machine.permit(self.now)
        }

        fn delivery(&mut self, finding: Finding) -> Option<Event> {
            self.machine.handle_finding(self.now, Errand::Deliver, finding)
        }

        /// Sends the probe that must be allowed now.
        fn probe(&mut self, finding: Finding) -> Option<Event> {
            assert_eq!(self.permit(), Permit::Probe);
            self.machine.probe_started();
            assert_eq!(self.permit(), Permit::None, "one probe at a time");
            self.machine.handle_finding(self.now, Errand::Probe, finding)
        }

        /// Seconds until the next probe.
        fn wait(&mut self) -> u64 {
            let start = self.now;
            while self.permit() == Permit::None {
                self.now = self.machine.poll_timeout(self.now).expect("a probe is planned");
                self.machine.handle_timeout(self.now);
            }
            (self.now - start).as_secs()
        }
    }

    fn down() -> Finding {
        Finding::Unreachable { reason: "connection refused".to_owned() }
    }

    fn fault() -> Finding {
        Finding::OperatorFault { reason: "535 5.7.8 password refused".to_owned() }
    }

    fn throttle(asked: Option<u64>) -> Finding {
        Finding::Wait { asked: asked.map(Duration::from_secs), reason: "432 4.3.2".to_owned() }
    }

    #[test]
    fn a_destination_is_up_until_an_attempt_shows_otherwise() {
        let world = World::new();
        assert_eq!((world.machine.state(), world.permit()), (State::Up, Permit::All));
        assert_eq!(world.machine.poll_timeout(world.now), None);
    }

    #[test]
    fn probes_of_a_destination_that_is_down_double_up_to_a_minute() {
        let mut world = World::new();
        assert!(matches!(world.delivery(down()), Some(Event::Began { state: State::Down, .. })));
        let waits: Vec<u64> = (0..9)
            .map(|_| {
                let waited = world.wait();
                assert_eq!(world.probe(down()), None, "told once");
                waited
            })
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn after_the_first_answer_everything_may_go() {
        let mut world = World::new();
        world.delivery(down());
        world.pass(90);
        assert_eq!(world.probe(Finding::Answered), Some(Event::CameBack { after: Duration::from_secs(90) }));
        assert_eq!((world.machine.state(), world.permit()), (State::Up, Permit::All));
        // And the next trouble begins with the short wait again.
        world.delivery(down());
        assert_eq!(world.wait(), 1);
    }

    #[test]
    fn attempts_that_were_on_their_way_do_not_lengthen_the_wait() {
        let mut world = World::new();
        for _ in 0..10 {
            world.delivery(down());
        }
        assert_eq!(world.wait(), 1);
        assert_eq!(world.machine.failures(), 1);
    }

    #[test]
    fn an_attempt_on_its_way_that_succeeds_ends_a_down_but_no_operator_fault() {
        let mut world = World::new();
        world.delivery(down());
        assert!(matches!(world.delivery(Finding::Answered), Some(Event::CameBack { .. })));
        world.delivery(fault());
        assert_eq!(world.delivery(Finding::Answered), None);
        assert_eq!(world.machine.state(), State::OperatorFault);
    }

    #[test]
    fn an_operator_fault_is_probed_slowly_and_told_again_every_four_hours() {
        let mut world = World::new();
        assert!(matches!(world.delivery(fault()), Some(Event::Began { state: State::OperatorFault, .. })));
        assert_eq!(world.pass(4 * 3600 - 1), None);
        let Some(Event::Persists { state, since, reason, .. }) = world.pass(1) else { panic!("silent") };
        assert_eq!((state, since.as_secs()), (State::OperatorFault, 4 * 3600));
        assert!(reason.contains("535"));
        assert_eq!(world.pass(1), None, "not twice");
        let mut world = World::new();
        world.delivery(fault());
        assert_eq!(world.wait(), 300);
    }

    #[test]
    fn the_operator_who_mended_it_need_not_wait() {
        let mut world = World::new();
        world.delivery(fault());
        assert_eq!(world.permit(), Permit::None);
        world.machine.retry_now(world.now);
        assert!(matches!(world.probe(Finding::Answered), Some(Event::CameBack { .. })));
    }

    #[test]
    fn a_wait_that_the_next_hop_asks_for_is_kept_within_reason() {
        for (asked, waited) in [(Some(300), 300), (Some(86_400), 3600), (None, 60)] {
            let mut world = World::new();
            world.delivery(throttle(asked));
            assert_eq!(world.machine.state(), State::Throttled);
            assert_eq!(world.wait(), waited);
            assert_eq!(world.permit(), Permit::Probe, "one attempt, not a burst");
        }
    }

    #[test]
    fn a_throttle_that_does_not_end_is_asked_ever_more_seldom() {
        let mut world = World::new();
        world.delivery(throttle(None));
        let waits: Vec<u64> = (0..7)
            .map(|_| {
                let waited = world.wait();
                world.probe(throttle(None));
                waited
            })
            .collect();
        assert_eq!(waits, [60, 120, 240, 480, 960, 1800, 1800]);
    }

    #[test]
    fn paused_means_nothing_goes_and_resuming_probes_what_was_wrong() {
        let mut world = World::new();
        world.machine.pause();
        assert_eq!((world.machine.state(), world.permit()), (State::Paused, Permit::None));
        world.machine.resume(world.now);
        assert_eq!(world.permit(), Permit::All);
        world.delivery(fault());
        world.machine.pause();
        world.pass(3600);
        assert_eq!(world.permit(), Permit::None);
        world.machine.resume(world.now);
        assert_eq!(world.permit(), Permit::Probe);
    }

    #[test]
    fn a_change_of_trouble_is_told_and_counts_from_the_last_time_it_worked() {
        let mut world = World::new();
        world.delivery(down());
        world.pass(10);
        assert!(matches!(world.probe(fault()), Some(Event::Began { state: State::OperatorFault, .. })));
        world.pass(300);
        assert_eq!(world.probe(Finding::Answered), Some(Event::CameBack { after: Duration::from_secs(310) }));
    }

    #[test]
    fn a_probe_that_broke_off_is_sent_again() {
        let mut world = World::new();
        world.delivery(down());
        world.wait();
        assert_eq!(world.probe(Finding::Nothing), None);
        assert_eq!(world.machine.state(), State::Down);
        assert_eq!(world.wait(), 1);
    }

    #[test]
    fn a_destination_that_stays_down_is_told_every_hour() {
        let mut world = World::new();
        world.delivery(down());
        let mut told = 0;
        for _ in 0..6 * 60 {
            told += usize::from(world.pass(30).is_some());
        }
        assert_eq!(told, 3);
    }
}
