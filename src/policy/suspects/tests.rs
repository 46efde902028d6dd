use super::*;

/// A destination on virtual time.
struct World {
    now: Instant,
    suspects: Suspects,
}

impl World {
    fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        let now = Instant::now();
        Self { now, suspects: Suspects::new(100) }
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    fn begin(&mut self, id: i64) -> Passage {
        self.suspects.begin(message(id), self.now)
    }

    /// Begins all of these and ends them a second later, all without an answer.
    fn break_with(&mut self, ids: &[i64]) -> Vec<Blame> {
        let passages: Vec<Passage> = ids.iter().map(|id| self.begin(*id)).collect();
        self.pass(1);
        let broke = |passage| self.suspects.broke(passage, Errand::Deliver, self.now);
        passages.into_iter().map(broke).collect()
    }

    fn probe_in_vain(&mut self, id: i64) -> Blame {
        let passage = self.begin(id);
        self.pass(1);
        self.suspects.broke(passage, Errand::Probe, self.now)
    }

    fn deliver(&mut self, id: i64) {
        let passage = self.begin(id);
        self.pass(1);
        self.suspects.delivered(passage);
    }

    /// Sends as many of these as may go now.
    fn send(&mut self, mut waiting: Vec<i64>) -> Vec<i64> {
        let mut sent = Vec::new();
        while let Some(place) = self.suspects.next(waiting.iter().map(|id| message(*id)), self.now) {
            let id = waiting.remove(place);
            sent.push((id, self.begin(id)));
        }
        sent.into_iter().map(|(id, _)| id).collect()
    }

    fn probe_of(&self, waiting: &[i64]) -> i64 {
        waiting[self.suspects.probe(waiting.iter().map(|id| message(*id)), self.now).unwrap()]
    }
}

fn message(id: i64) -> QueueId {
    QueueId::from_row(id).unwrap()
}

#[test]
fn only_a_message_that_breaks_it_again_while_others_are_delivered_is_to_blame() {
    let mut world = World::new();
    world.deliver(9);
    assert_eq!(world.break_with(&[1]), [Blame::Destination], "it may be down from here on");
    assert_eq!(world.break_with(&[1]), [Blame::Destination], "nothing was delivered since");
    world.deliver(2);
    assert_eq!(world.break_with(&[3]), [Blame::Destination], "it may be down from here on");
    assert_eq!(world.break_with(&[1]), [Blame::Message]);
    assert_eq!(world.break_with(&[1]), [Blame::Message], "though nothing else comes");
    world.deliver(1);
    assert_eq!(world.break_with(&[1]), [Blame::Destination], "it has been delivered since");
}

#[test]
fn an_outage_of_days_blames_nobody() {
    let mut world = World::new();
    world.break_with(&[1, 2, 3]);
    world.deliver(4);
    // Now it goes down for good, in the middle of everything.
    assert_eq!(world.break_with(&[5, 6, 7]), [Blame::Destination; 3]);
    for probe in 0..3 * 24 * 60 {
        world.pass(60);
        assert_eq!(world.probe_in_vain(1 + probe % 7), Blame::Destination);
    }
}

#[test]
fn an_outage_that_finds_suspects_alone_makes_few_of_them_pay_and_then_is_one() {
    let mut world = World::new();
    world.break_with(&[1, 2, 3, 4, 5, 6]);
    world.deliver(9);
    // From here on nothing is taken any more.
    let mut blames: Vec<Blame> = (1..=6).flat_map(|id| world.break_with(&[id])).collect();
    assert_eq!(blames.split_off(IN_A_ROW), [Blame::Destination; 6 - IN_A_ROW]);
    assert_eq!(blames, [Blame::Message; IN_A_ROW]);
    assert_eq!(world.break_with(&[1]), [Blame::Message], "it was told apart before");
    world.deliver(10);
    assert_eq!(world.break_with(&[6]), [Blame::Message]);
}

#[test]
fn a_delivery_that_was_under_way_already_proves_nothing() {
    let mut world = World::new();
    let early = world.begin(2);
    world.break_with(&[1]);
    world.suspects.delivered(early);
    assert_eq!(world.break_with(&[1]), [Blame::Destination]);
}

#[test]
fn a_delivery_of_long_ago_proves_nothing() {
    let mut world = World::new();
    world.break_with(&[1]);
    world.deliver(2);
    world.pass(3600);
    assert_eq!(world.break_with(&[1]), [Blame::Destination]);
    world.deliver(3);
    assert_eq!(world.break_with(&[1]), [Blame::Message]);
}

#[test]
fn of_those_that_broke_a_shared_connection_the_innocent_pay_nothing() {
    let mut world = World::new();
    let all: Vec<i64> = (1..=64).collect();
    assert!(world.break_with(&all).iter().all(|blame| *blame == Blame::Destination));
    world.deliver(100);
    // The 20th is the culprit: it breaks the connection for all that are under way.
    let (mut waiting, mut innocent_paid, mut rounds) = (all, 0, 0);
    while waiting.contains(&20) {
        rounds += 1;
        let mut passages = Vec::new();
        let mut left = waiting.clone();
        while let Some(place) = world.suspects.next(left.iter().map(|id| message(*id)), world.now) {
            let id = left.remove(place);
            passages.push((id, world.begin(id)));
        }
        let breaks = passages.iter().any(|(id, _)| *id == 20);
        world.pass(1);
        for (id, passage) in passages {
            // What went before it has passed by then.
            if breaks && id >= 20 {
                let blame = world.suspects.broke(passage, Errand::Deliver, world.now);
                innocent_paid += usize::from(blame == Blame::Message && id != 20);
                waiting.retain(|other| *other != id || blame == Blame::Destination);
            } else {
                world.suspects.delivered(passage);
                waiting.retain(|other| *other != id);
            }
        }
    }
    assert_eq!(innocent_paid, 0);
    assert!(rounds < 10, "{rounds}");
}

#[test]
fn suspects_go_one_by_one_then_more_at_once_and_others_pass_them() {
    let mut world = World::new();
    let suspects: Vec<i64> = (1..=20).collect();
    world.break_with(&suspects);
    assert_eq!(world.send(vec![1, 2, 3, 30, 4, 31]), [1, 30, 31]);
    let mut world = World::new();
    world.break_with(&suspects);
    for id in 1..=3 {
        world.deliver(id);
    }
    assert_eq!(world.send((4..=20).collect()), [4, 5, 6, 7]);
}

#[test]
fn who_is_blamed_goes_alone_and_is_not_passed_by_other_suspects() {
    let mut world = World::new();
    world.break_with(&[1]);
    world.deliver(9);
    world.break_with(&[1]);
    world.break_with(&[2, 3]);
    assert_eq!(world.send(vec![1, 2, 3, 30]), [1, 30]);
    let mut world = World::new();
    world.break_with(&[1]);
    world.deliver(9);
    world.break_with(&[1]);
    world.break_with(&[2, 3]);
    assert_eq!(world.send(vec![2, 1, 3, 30]), [2, 30]);
}

#[test]
fn a_probe_is_one_that_was_not_tried_in_vain_or_the_one_tried_longest_ago() {
    let mut world = World::new();
    world.break_with(&[1]);
    assert_eq!(world.probe_of(&[1, 2, 3]), 2);
    world.probe_in_vain(2);
    assert_eq!(world.probe_of(&[1, 2, 3]), 3);
    world.probe_in_vain(3);
    let probes: Vec<i64> = (0..4)
        .map(|_| {
            let probe = world.probe_of(&[1, 2, 3]);
            world.probe_in_vain(probe);
            probe
        })
        .collect();
    assert_eq!(probes, [1, 2, 3, 1]);
    assert_eq!(world.suspects.probe([], world.now), None);
}

#[test]
fn one_that_was_put_off_is_no_suspect() {
    let mut world = World::new();
    let passage = world.begin(1);
    world.suspects.put_off(passage, world.now);
    assert_eq!(world.probe_of(&[1, 2]), 2);
    world.deliver(2);
    assert_eq!(world.break_with(&[1]), [Blame::Destination]);
    assert_eq!(world.send(vec![1, 3]), [1, 3]);
}

#[test]
fn memory_is_bounded_and_what_is_forgotten_is_clear() {
    let mut world = World::new();
    for id in 1..=1000 {
        world.break_with(&[id]);
    }
    assert_eq!(world.suspects.known.len(), 100);
    assert_eq!(world.probe_of(&[1000, 900, 901]), 900);
    world.pass(24 * 3600);
    assert_eq!(world.probe_of(&[1000, 999]), 1000);
}
