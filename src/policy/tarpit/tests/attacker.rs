//! Harvesters on virtual time: whatever they try, one network learns at most one unknown name for each `time`.
//!
//! The bound is held against more than a real harvester could see: a name counts as learned in the moment in which the
//! server has refused it, whether the reply was ever written or not, since a quick client may take silence for one.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::strategy::Strategy as _;

use super::super::{Hold, Place, Tarpit, TarpitPolicy, Ticket, Woken};
use super::{harvester, network, origin, policy, seconds};
use crate::policy::client_network::ClientNetwork;

/// How a harvester goes about it.
#[derive(Debug, Clone, Copy)]
struct Strategy {
    /// Connections at once.
    connections: usize,
    /// How long it bears silence before it hangs up.
    patience: Option<Duration>,
    /// Names in one pipelined group.
    pipelined: usize,
    /// How long it takes to connect again.
    reconnect: Duration,
    /// How long our look-up takes.
    lookup: Duration,
    /// One name in so many exists; 0: none.
    every_known: usize,
    /// Whether it has other commands refused in between.
    noise: Noise,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Noise {
    None,
    Syntax,
    FailedAuth,
}

const PATIENT: Strategy = Strategy {
    connections: 1,
    patience: None,
    pipelined: 1,
    reconnect: Duration::from_millis(50),
    lookup: Duration::ZERO,
    every_known: 0,
    noise: Noise::None,
};

/// One connection of a harvester.
#[derive(Debug, Clone, Copy)]
enum Connection {
    Down { until: Instant },
    Ready { left: usize },
    InLine { ticket: Ticket, since: Instant, left: usize },
    LookedUp { ticket: Ticket, since: Instant, until: Instant, left: usize },
    Held { ticket: Ticket, since: Instant, until: Instant, left: usize },
}

struct Harvest {
    pit: Tarpit,
    strategy: Strategy,
    of: ClientNetwork,
    connections: Vec<Connection>,
    names: usize,
    refused: Vec<Instant>,
    accepted: usize,
    turned_away: usize,
}

impl Harvest {
    fn new(policy: TarpitPolicy, strategy: Strategy, start: Instant) -> Self {
        Self {
            pit: Tarpit::new(policy),
            strategy,
            of: harvester(),
            connections: vec![Connection::Down { until: start }; strategy.connections],
            names: 0,
            refused: Vec::new(),
            accepted: 0,
            turned_away: 0,
        }
    }

    fn wake(&mut self, now: Instant) {
        while let Some((woken, how)) = self.pit.poll_woken(now) {
            let index = self.connections.iter().position(
                |connection| matches!(connection, Connection::InLine { ticket, .. } if *ticket == woken),
            );
            let index = index.expect("only who waits is woken");
            let Connection::InLine { ticket, since, left } = self.connections[index] else { unreachable!() };
            self.connections[index] = match how {
                Woken::Come => {
                    Connection::LookedUp { ticket, since, until: now + self.strategy.lookup, left }
                }
                Woken::LineTooLong => {
                    self.turned_away += 1;
                    Connection::Down { until: now + self.strategy.reconnect }
                }
            };
        }
    }

    /// What one connection does in this moment; whether it may do more.
    fn act(&mut self, index: usize, now: Instant) -> Acted {
        let Strategy { patience, pipelined, reconnect, lookup, .. } = self.strategy;
        let down = Connection::Down { until: now + reconnect };
        let fed_up = |since: Instant| patience.is_some_and(|patience| now >= since + patience);
        let next = match self.connections[index] {
            Connection::Down { until } if now >= until => {
                if self.pit.is_in_debt(self.of, now) {
                    self.turned_away += 1;
                    down
                } else {
                    self.make_noise(now);
                    Connection::Ready { left: pipelined }
                }
            }
            Connection::Ready { left: 0 } => down,
            Connection::Ready { left } => match self.pit.join(self.of, now) {
                Place::Come(ticket) => {
                    Connection::LookedUp { ticket, since: now, until: now + lookup, left: left - 1 }
                }
                Place::Wait(ticket) => Connection::InLine { ticket, since: now, left: left - 1 },
                Place::LineTooLong | Place::Full => {
                    self.turned_away += 1;
                    down
                }
            },
            Connection::LookedUp { ticket, since, until, left } if now >= until => {
                self.decide(ticket, since, left, now)
            }
            Connection::InLine { ticket, since, .. }
            | Connection::LookedUp { ticket, since, .. }
            | Connection::Held { ticket, since, .. }
                if fed_up(since) =>
            {
                if matches!(self.connections[index], Connection::LookedUp { .. }) {
                    // The look-up goes on without it, and may have been a refusal.
                    self.refused.push(now);
                }
                self.pit.leave(ticket, now);
                down
            }
            Connection::Held { until, left, .. } if now >= until => Connection::Ready { left },
            Connection::Down { .. }
            | Connection::InLine { .. }
            | Connection::LookedUp { .. }
            | Connection::Held { .. } => return Acted::No,
        };
        self.connections[index] = next;
        if matches!(next, Connection::Down { .. }) { Acted::No } else { Acted::Yes }
    }

    fn make_noise(&mut self, now: Instant) {
        match self.strategy.noise {
            Noise::None => {}
            Noise::Syntax => drop(self.pit.refuse_apart(self.of, now)),
            Noise::FailedAuth => drop(self.pit.fail_auth(self.of, now)),
        }
    }

    fn decide(&mut self, ticket: Ticket, since: Instant, left: usize, now: Instant) -> Connection {
        self.names += 1;
        if self.strategy.every_known > 0 && self.names.is_multiple_of(self.strategy.every_known) {
            self.accepted += 1;
            self.pit.turn_over(ticket, now);
            return Connection::Ready { left };
        }
        self.refused.push(now);
        match self.pit.refuse(ticket, now) {
            Hold::For(ticket, duration) => Connection::Held { ticket, since, until: now + duration, left },
            Hold::Not | Hold::Full => Connection::Down { until: now + self.strategy.reconnect },
        }
    }

    fn run(&mut self, start: Instant, lasting: Duration) {
        let honest = network("198.51.100.1");
        let mut now = start;
        while now < start + lasting {
            self.wake(now);
            for index in 0..self.connections.len() {
                while self.act(index, now) == Acted::Yes {
                    self.wake(now);
                }
            }
            // An honest session of another network never waits, whatever goes on.
            let Place::Come(ticket) = self.pit.join(honest, now) else { panic!("honest mail waits") };
            self.pit.turn_over(ticket, now);
            now += TICK;
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Acted {
    Yes,
    No,
}

const TICK: Duration = Duration::from_millis(100);

fn harvest(policy: TarpitPolicy, strategy: Strategy, lasting: Duration) -> Harvest {
    let start = origin();
    let time = policy.time;
    let mut harvest = Harvest::new(policy, strategy, start);
    harvest.run(start, lasting);
    for pair in harvest.refused.windows(2) {
        let apart = pair[1] - pair[0];
        assert!(apart >= time, "{strategy:?}: two names within {apart:?}");
    }
    harvest
}

const TEN_MINUTES: Duration = Duration::from_secs(600);

#[test]
fn by_any_strategy_one_network_learns_at_most_one_name_per_time() {
    let hasty = Some(Duration::from_millis(300));
    let strategies = [
        PATIENT,
        Strategy { connections: 10, ..PATIENT },
        Strategy { connections: 50, ..PATIENT },
        Strategy { patience: hasty, ..PATIENT },
        Strategy { patience: hasty, connections: 10, ..PATIENT },
        Strategy { patience: hasty, connections: 50, reconnect: TICK, ..PATIENT },
        Strategy { patience: hasty, connections: 10, lookup: Duration::from_millis(200), ..PATIENT },
        Strategy { patience: hasty, connections: 10, lookup: Duration::from_millis(700), ..PATIENT },
        Strategy { pipelined: 100, ..PATIENT },
        Strategy { pipelined: 100, connections: 10, ..PATIENT },
        Strategy { pipelined: 100, connections: 10, patience: hasty, ..PATIENT },
        Strategy { connections: 10, every_known: 7, ..PATIENT },
        Strategy { connections: 10, every_known: 2, pipelined: 20, patience: hasty, ..PATIENT },
        Strategy { connections: 10, noise: Noise::Syntax, ..PATIENT },
        Strategy { connections: 10, noise: Noise::FailedAuth, patience: hasty, ..PATIENT },
    ];
    for strategy in strategies {
        let harvest = harvest(policy(), strategy, TEN_MINUTES);
        assert!(harvest.refused.len() <= 121, "{strategy:?}: {} names", harvest.refused.len());
    }
}

#[test]
fn who_waits_for_its_replies_is_served_at_the_full_pace_and_no_faster_by_many_connections() {
    let one = harvest(policy(), PATIENT, TEN_MINUTES);
    let ten = harvest(policy(), Strategy { connections: 10, ..PATIENT }, TEN_MINUTES);
    assert!((115..=121).contains(&one.refused.len()), "{}", one.refused.len());
    assert!((115..=121).contains(&ten.refused.len()), "{}", ten.refused.len());
    let fifty = harvest(policy(), Strategy { connections: 50, ..PATIENT }, TEN_MINUTES);
    assert!(fifty.turned_away > 0, "its line is longer than max_line");
}

#[test]
fn known_names_of_a_network_that_owes_pass_as_soon_as_their_turn_comes() {
    let strategy = Strategy { connections: 10, every_known: 2, ..PATIENT };
    let harvest = harvest(policy(), strategy, TEN_MINUTES);
    assert!(harvest.accepted + 1 >= harvest.refused.len(), "{} {}", harvest.accepted, harvest.refused.len());
}

#[test]
fn with_step_the_pace_falls_to_one_name_per_max() {
    let policy = TarpitPolicy { step: seconds(5), ..policy() };
    let harvest = harvest(policy, Strategy { connections: 10, ..PATIENT }, TEN_MINUTES);
    // 5 + 10 + … + 55 s, then one a minute.
    assert!(harvest.refused.len() <= 12 + 5, "{}", harvest.refused.len());
}

#[test]
fn past_the_cap_of_waiting_sessions_the_bound_still_holds() {
    let policy = TarpitPolicy { max_delayed: 3, ..policy() };
    let harvest = harvest(policy, Strategy { connections: 20, ..PATIENT }, TEN_MINUTES);
    assert!(harvest.refused.len() <= 121);
    assert!(harvest.pit.facts().full > 0);
}

/// What a test does at random.
#[derive(Debug, Clone, Copy)]
enum Act {
    Join(u8),
    Accept(usize),
    Refuse(usize),
    Leave(usize),
    RefuseApart(u8),
    FailAuth(u8),
    Wait(u16),
}

fn act() -> impl proptest::strategy::Strategy<Value = Act> {
    prop_oneof![
        4 => (0..3_u8).prop_map(Act::Join),
        2 => any::<usize>().prop_map(Act::Accept),
        3 => any::<usize>().prop_map(Act::Refuse),
        2 => any::<usize>().prop_map(Act::Leave),
        1 => (0..3_u8).prop_map(Act::RefuseApart),
        1 => (0..3_u8).prop_map(Act::FailAuth),
        3 => (0..4000_u16).prop_map(Act::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_in_whatever_order_turns_of_one_network_come_one_at_a_time_and_after_the_debt(
        acts in prop::collection::vec(act(), 1..200),
    ) {
        let mut now = origin();
        let mut pit = Tarpit::new(TarpitPolicy { max_line: seconds(20), ..policy() });
        let of = |number: u8| network(&format!("203.0.{number}.9"));
        let mut waiting: Vec<(Ticket, u8)> = Vec::new();
        let mut deciding: Vec<(Ticket, u8)> = Vec::new();
        let mut paid = [now; 3];
        for act in acts {
            match act {
                Act::Join(number) => match pit.join(of(number), now) {
                    Place::Come(ticket) => {
                        prop_assert!(now >= paid[usize::from(number)]);
                        prop_assert!(deciding.iter().all(|(_, other)| *other != number));
                        deciding.push((ticket, number));
                    }
                    Place::Wait(ticket) => waiting.push((ticket, number)),
                    Place::LineTooLong => prop_assert!(pit.is_in_debt(of(number), now)),
                    Place::Full => prop_assert!(false, "far from full"),
                },
                Act::Accept(which) if !deciding.is_empty() => {
                    pit.turn_over(deciding.swap_remove(which % deciding.len()).0, now);
                }
                Act::Refuse(which) if !deciding.is_empty() => {
                    let (ticket, number) = deciding.swap_remove(which % deciding.len());
                    prop_assert_eq!(pit.refuse(ticket, now), Hold::For(ticket, seconds(5)));
                    paid[usize::from(number)] = now + seconds(5);
                }
                Act::Leave(which) if !waiting.is_empty() => {
                    pit.leave(waiting.swap_remove(which % waiting.len()).0, now);
                }
                Act::Leave(which) if !deciding.is_empty() => {
                    let (ticket, number) = deciding.swap_remove(which % deciding.len());
                    pit.leave(ticket, now);
                    paid[usize::from(number)] = now + seconds(5);
                }
                Act::RefuseApart(number) => {
                    pit.refuse_apart(of(number), now);
                    paid[usize::from(number)] = now + seconds(5);
                }
                Act::FailAuth(number) => drop(pit.fail_auth(of(number), now)),
                Act::Wait(milliseconds) => now += Duration::from_millis(milliseconds.into()),
                Act::Accept(_) | Act::Refuse(_) | Act::Leave(_) => {}
            }
            while let Some((ticket, how)) = pit.poll_woken(now) {
                let index = waiting.iter().position(|(other, _)| *other == ticket).unwrap();
                let (_, number) = waiting.remove(index);
                if how == Woken::Come {
                    prop_assert!(now >= paid[usize::from(number)]);
                    prop_assert!(deciding.iter().all(|(_, other)| *other != number));
                    // First come, first served.
                    prop_assert!(waiting.iter().all(|(other, of)| *of != number || *other > ticket));
                    deciding.push((ticket, number));
                }
            }
            prop_assert!(pit.poll_timeout().is_none_or(|at| at > now));
            prop_assert_eq!(pit.poll_timeout().is_some(), !waiting.is_empty());
        }
        // Nobody is left behind: all who wait are woken in the end.
        for (ticket, _) in deciding {
            pit.turn_over(ticket, now);
        }
        while !waiting.is_empty() {
            let at = pit.poll_timeout().expect("somebody waits");
            now = now.max(at);
            while let Some((ticket, how)) = pit.poll_woken(now) {
                waiting.retain(|(other, _)| *other != ticket);
                if how == Woken::Come {
                    pit.turn_over(ticket, now);
                }
            }
        }
        pit.poll_woken(now + seconds(10_000));
        prop_assert_eq!((pit.facts().delayed_now, pit.facts().networks), (0, 0));
    }
}
