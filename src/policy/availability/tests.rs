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
    world.pass(1);
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
}

#[test]
fn attempts_that_were_on_their_way_and_are_answered_end_no_trouble() {
    for (trouble, state) in
        [(down(), State::Down), (fault(), State::OperatorFault), (throttle(None), State::Throttled)]
    {
        let mut world = World::new();
        world.delivery(trouble);
        assert_eq!(world.delivery(Finding::Answered), None);
        assert_eq!((world.machine.state(), world.permit()), (state, Permit::None));
        world.wait();
        assert!(matches!(world.probe(Finding::Answered), Some(Event::CameBack { .. })));
    }
}

#[test]
fn one_failure_among_answers_is_probed_at_once_and_told_only_when_that_fails_too() {
    for trouble in [down, fault] {
        let mut world = World::new();
        world.delivery(Finding::Answered);
        assert_eq!(world.delivery(trouble()), None);
        assert_eq!(world.probe(Finding::Answered), None, "not worth a word");
        assert_eq!(world.permit(), Permit::All);

        assert_eq!(world.delivery(trouble()), None);
        assert_eq!(world.delivery(trouble()), None, "another that was on its way");
        assert!(matches!(world.probe(trouble()), Some(Event::Began { .. })));
        assert_ne!(world.wait(), 0, "the next one waits");
        assert_eq!(world.probe(trouble()), None, "told once");
        world.wait();
        assert!(matches!(world.probe(Finding::Answered), Some(Event::CameBack { .. })));
    }
}

#[test]
fn a_doubt_whose_probe_learns_nothing_is_probed_by_the_next_at_once() {
    for trouble in [down, fault] {
        let mut world = World::new();
        world.delivery(Finding::Answered);
        assert_eq!(world.delivery(trouble()), None);
        // Its message was gone by then.
        assert_eq!(world.probe(Finding::Nothing), None);
        assert_eq!(world.wait(), 0, "nobody has been told of a trouble");
        assert!(matches!(world.probe(trouble()), Some(Event::Began { .. })));
        let waited = world.wait();
        assert_eq!(world.probe(Finding::Nothing), None);
        assert_eq!(world.wait(), waited, "a trouble waits as before");
    }
}

#[test]
fn one_that_wants_no_more_is_not_asked_at_once_though_it_has_just_answered() {
    let mut world = World::new();
    world.delivery(Finding::Answered);
    assert!(matches!(world.delivery(throttle(Some(9))), Some(Event::Began { .. })));
    assert_eq!(world.wait(), 9);
}

#[test]
fn a_doubt_that_turns_out_to_be_another_trouble_is_told_as_that() {
    let mut world = World::new();
    world.delivery(Finding::Answered);
    world.delivery(down());
    assert!(matches!(world.probe(fault()), Some(Event::Began { state: State::OperatorFault, .. })));
    assert_eq!(world.wait(), 300);
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
