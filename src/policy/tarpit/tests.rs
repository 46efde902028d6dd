//! Situations on virtual time; what attackers try is in [`attacker`].

mod attacker;

use std::time::Instant;

use super::*;
use crate::message::id::ListenerName;
use crate::policy::client_network::ClientNetwork;
use crate::policy::relay::{Authentication, RelayTo, TrustedNetwork};

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn policy() -> TarpitPolicy {
    TarpitPolicy { time: seconds(5), ..TarpitPolicy::default() }
}

#[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
fn origin() -> Instant {
    Instant::now()
}

fn network(address: &str) -> ClientNetwork {
    Prefixes::default().network_of(address.parse().unwrap())
}

fn harvester() -> ClientNetwork {
    network("203.0.113.9")
}

fn come(place: Place) -> Ticket {
    let Place::Come(ticket) = place else { panic!("its turn should have come: {place:?}") };
    ticket
}

fn waits(place: Place) -> Ticket {
    let Place::Wait(ticket) = place else { panic!("it should wait: {place:?}") };
    ticket
}

fn held(hold: Hold) -> (Ticket, u64) {
    let Hold::For(ticket, duration) = hold else { panic!("it should be held: {hold:?}") };
    (ticket, duration.as_secs())
}

#[test]
fn an_accepted_recipient_of_a_network_that_owes_nothing_never_waits_and_leaves_no_trace() {
    let (mut pit, now) = (Tarpit::new(policy()), origin());
    for _ in 0..1000 {
        let ticket = come(pit.join(harvester(), now));
        pit.turn_over(ticket, now);
    }
    assert_eq!(pit.facts(), TarpitFacts::default());
    assert_eq!(pit.poll_timeout(), None);
}

#[test]
fn a_refusal_is_held_and_the_next_turn_comes_when_the_hold_is_over() {
    let (mut pit, now) = (Tarpit::new(policy()), origin());
    let first = come(pit.join(harvester(), now));
    let second = waits(pit.join(harvester(), now));
    let third = waits(pit.join(harvester(), now));
    assert_eq!(held(pit.refuse(first, now)), (first, 5));
    assert_eq!(pit.poll_woken(now + seconds(4)), None);
    assert_eq!(pit.poll_timeout(), Some(now + seconds(5)));
    // The second is accepted and leaves at once; the third follows in the same moment.
    let paid = now + seconds(5);
    assert_eq!(pit.poll_woken(paid), Some((second, Woken::Come)));
    assert_eq!(pit.poll_woken(paid), None);
    pit.turn_over(second, paid);
    assert_eq!(pit.poll_woken(paid), Some((third, Woken::Come)));
    assert_eq!(held(pit.refuse(third, paid)), (third, 5));
    let facts = pit.facts();
    assert_eq!((facts.replies_held, facts.turns_waited_for, facts.delay), (2, 2, seconds(15)));
}

#[test]
fn who_hangs_up_leaves_the_unpaid_time_to_its_network() {
    let (mut pit, now) = (Tarpit::new(policy()), origin());
    let first = come(pit.join(harvester(), now));
    held(pit.refuse(first, now));
    let gone = now + Duration::from_millis(300);
    pit.leave(first, gone);
    let again = waits(pit.join(harvester(), gone));
    assert_eq!(pit.poll_woken(now + Duration::from_millis(4999)), None);
    assert_eq!(pit.poll_woken(now + seconds(5)), Some((again, Woken::Come)));
    let facts = pit.facts();
    assert_eq!((facts.gave_up, facts.delay), (1, Duration::from_millis(300 + 4700)));
}

#[test]
fn who_leaves_in_the_middle_of_its_turn_pays_as_if_refused() {
    let (mut pit, now) = (Tarpit::new(policy()), origin());
    let first = come(pit.join(harvester(), now));
    pit.leave(first, now + seconds(1));
    waits(pit.join(harvester(), now + seconds(2)));
    assert_eq!(pit.poll_timeout(), Some(now + seconds(6)));
}

#[test]
fn who_leaves_while_waiting_lets_the_next_one_move_up_and_lightens_nothing_else() {
    let (mut pit, now) = (Tarpit::new(policy()), origin());
    let first = come(pit.join(harvester(), now));
    let second = waits(pit.join(harvester(), now));
    let third = waits(pit.join(harvester(), now));
    held(pit.refuse(first, now));
    pit.leave(second, now + seconds(1));
    assert_eq!(pit.poll_woken(now + seconds(4)), None);
    assert_eq!(pit.poll_woken(now + seconds(5)), Some((third, Woken::Come)));
    // What has ended already does nothing.
    pit.leave(second, now + seconds(5));
    pit.turn_over(second, now + seconds(5));
    assert_eq!(pit.refuse(first, now + seconds(5)), Hold::Not);
    assert_eq!(pit.facts().delayed_now, 0);
}

#[test]
fn each_further_refusal_costs_a_step_more_up_to_the_greatest_and_quiet_makes_it_forgotten() {
    let policy = TarpitPolicy { step: seconds(20), ..policy() };
    let (mut pit, mut now) = (Tarpit::new(policy), origin());
    for expected in [5, 25, 45, 60, 60] {
        let ticket = come(pit.join(harvester(), now));
        assert_eq!(held(pit.refuse(ticket, now)), (ticket, expected));
        now += seconds(60);
    }
    now += seconds(60 * 60);
    let ticket = come(pit.join(harvester(), now));
    assert_eq!(held(pit.refuse(ticket, now)).1, 5);
}

#[test]
fn a_line_longer_than_max_line_turns_the_next_away_until_it_has_shortened() {
    let (mut pit, now) = (Tarpit::new(policy()), origin());
    let first = come(pit.join(harvester(), now));
    held(pit.refuse(first, now));
    // 5 s are owed; eleven that wait make it 60.
    for waiting in 0..12 {
        assert!(!pit.is_in_debt(harvester(), now), "{waiting}");
        waits(pit.join(harvester(), now));
    }
    assert!(pit.is_in_debt(harvester(), now));
    assert_eq!(pit.join(harvester(), now), Place::LineTooLong);
    assert!(pit.turns_mail_away(harvester(), now));
    assert!(!pit.turns_mail_away(network("198.51.100.1"), now));
    // It still owes: the line moves as before, and there is room for as many as have left.
    let paid = now + seconds(5);
    assert!(matches!(pit.poll_woken(paid), Some((_, Woken::Come))));
    assert!(!pit.turns_mail_away(harvester(), paid));
    assert_eq!(pit.facts().line_too_long, 2, "a RCPT and a MAIL");
}

#[test]
fn nobody_waits_longer_than_max_line_for_its_turn() {
    let policy = TarpitPolicy { time: seconds(50), ..policy() };
    let (mut pit, now) = (Tarpit::new(policy), origin());
    // All come before anything is owed, so none is turned away at the door.
    let first = come(pit.join(harvester(), now));
    let second = waits(pit.join(harvester(), now));
    let third = waits(pit.join(harvester(), now));
    held(pit.refuse(first, now));
    assert_eq!(pit.poll_woken(now + seconds(50)), Some((second, Woken::Come)));
    held(pit.refuse(second, now + seconds(50)));
    assert_eq!(pit.poll_woken(now + seconds(59)), None);
    assert_eq!(pit.poll_woken(now + seconds(60)), Some((third, Woken::LineTooLong)));
    assert_eq!(pit.poll_timeout(), None);
}

#[test]
fn a_lookup_that_takes_long_holds_the_others_of_its_network_for_max_line_at_most() {
    let (mut pit, now) = (Tarpit::new(policy()), origin());
    come(pit.join(harvester(), now));
    let second = waits(pit.join(harvester(), now));
    assert_eq!(pit.poll_woken(now + seconds(59)), None);
    assert_eq!(pit.poll_woken(now + seconds(60)), Some((second, Woken::LineTooLong)));
}

#[test]
fn honest_mail_that_only_waits_for_lookups_is_not_counted_against_its_network() {
    let (mut pit, now) = (Tarpit::new(policy()), origin());
    let mut turn = come(pit.join(harvester(), now));
    for _ in 0..49 {
        waits(pit.join(harvester(), now));
    }
    assert!(!pit.is_in_debt(harvester(), now));
    for _ in 0..49 {
        pit.turn_over(turn, now);
        let Some((next, Woken::Come)) = pit.poll_woken(now) else { panic!("the next should come at once") };
        turn = next;
    }
    pit.turn_over(turn, now);
    assert_eq!((pit.facts().delay, pit.facts().networks), (Duration::ZERO, 0));
}

#[test]
fn a_delay_never_touches_another_network() {
    let (mut pit, now) = (Tarpit::new(policy()), origin());
    let first = come(pit.join(harvester(), now));
    held(pit.refuse(first, now));
    waits(pit.join(network("203.0.113.250"), now));
    for address in ["203.0.114.9", "192.168.7.8", "2001:db8::1"] {
        let ticket = come(pit.join(network(address), now));
        pit.turn_over(ticket, now);
    }
    // Scanners of one private network count one by one.
    held(pit.refuse_apart(network("192.168.7.8"), now));
    waits(pit.join(network("192.168.7.8"), now));
    come(pit.join(network("192.168.7.9"), now));
}

#[test]
fn other_refusals_are_held_side_by_side_and_recipients_wait_for_them() {
    let (mut pit, now) = (Tarpit::new(policy()), origin());
    for _ in 0..3 {
        assert_eq!(held(pit.refuse_apart(harvester(), now)).1, 5);
    }
    waits(pit.join(harvester(), now));
    assert_eq!(pit.poll_timeout(), Some(now + seconds(5)));
    assert_eq!(pit.facts().replies_held, 3);
}

#[test]
fn a_failed_auth_is_held_by_itself_and_nobody_waits_for_it() {
    let (mut pit, now) = (Tarpit::new(policy()), origin());
    let (ticket, duration) = held(pit.fail_auth(harvester(), now));
    assert_eq!(duration, 5);
    come(pit.join(harvester(), now));
    pit.leave(ticket, now + seconds(1));
    assert_eq!((pit.facts().gave_up, pit.facts().delay), (1, seconds(1)));
    // With the tar pit off it is held all the same.
    let mut off = Tarpit::new(TarpitPolicy::default());
    assert_eq!(held(off.fail_auth(harvester(), now)).1, 5);
    assert_eq!(off.refuse_apart(harvester(), now), Hold::Not);
    let mut never = Tarpit::new(TarpitPolicy { failed_auth: Duration::ZERO, ..policy() });
    assert_eq!(never.fail_auth(harvester(), now), Hold::Not);
}

#[test]
fn past_the_cap_in_all_nobody_more_waits_and_who_need_not_wait_passes() {
    let policy = TarpitPolicy { max_delayed: 2, ..policy() };
    let (mut pit, now) = (Tarpit::new(policy), origin());
    let first = come(pit.join(harvester(), now));
    held(pit.refuse(first, now));
    waits(pit.join(harvester(), now));
    assert_eq!(pit.join(harvester(), now), Place::Full);
    let elsewhere = network("198.51.100.1");
    let honest = come(pit.join(elsewhere, now));
    pit.turn_over(honest, now);
    // One that is refused is turned away without a delay, and its network owes all the same.
    let other = come(pit.join(elsewhere, now));
    assert_eq!(pit.refuse(other, now), Hold::Full);
    assert_eq!(pit.facts().full, 2);
    let later = now + seconds(6);
    assert!(pit.poll_woken(later).is_some());
    come(pit.join(elsewhere, later));
}

#[test]
fn a_network_that_was_delayed_and_proves_good_is_told_of_once() {
    let (mut pit, now) = (Tarpit::new(policy()), origin());
    assert_eq!(pit.proved_good(harvester()), None);
    let first = come(pit.join(harvester(), now));
    held(pit.refuse(first, now));
    let second = waits(pit.join(harvester(), now));
    let paid = now + seconds(5);
    assert_eq!(pit.poll_woken(paid), Some((second, Woken::Come)));
    pit.turn_over(second, paid);
    assert_eq!(pit.proved_good(harvester()), Some(Delayed { replies: 1, delay: seconds(10) }));
    assert_eq!(pit.proved_good(harvester()), None);
    assert_eq!(pit.facts().proved_good, 1);
}

#[test]
fn the_page_names_the_networks_most_responsible() {
    let (mut pit, now) = (Tarpit::new(policy()), origin());
    for (address, refusals) in [("203.0.113.9", 3), ("198.51.100.1", 1), ("192.0.2.1", 2)] {
        let mut now = now;
        for _ in 0..refusals {
            let ticket = come(pit.join(network(address), now));
            held(pit.refuse(ticket, now));
            now += seconds(5);
        }
        come(pit.join(network(address), now));
    }
    come(pit.join(network("2001:db8::1"), now));
    let worst = pit.most_responsible(2, now + seconds(15));
    let named: Vec<_> = worst.iter().map(|one| (one.network.to_string(), one.refusals)).collect();
    assert_eq!(named, [("203.0.113.0/24".to_owned(), 3), ("192.0.2.0/24".to_owned(), 2)]);
    assert_eq!(worst[0].delayed, Delayed { replies: 3, delay: seconds(15) });
    assert_eq!(worst[0].to_string(), "203.0.113.0/24 (3 refusals, 0 waiting, 0s owed)");
    assert_eq!(worst.iter().map(|one| one.seen_ago).collect::<Vec<_>>(), [seconds(0), seconds(5)]);
    // Who owes comes before those that have been delayed more.
    assert_eq!(pit.most_responsible(1, now + seconds(15)).len(), 1);
    held(pit.refuse_apart(network("198.51.100.1"), now + seconds(15)));
    let worst = pit.most_responsible(1, now + seconds(16));
    assert_eq!(worst[0].network, network("198.51.100.1"));
    assert_eq!((worst[0].owed, worst[0].seen_ago), (seconds(4), seconds(1)));
}

#[test]
fn memory_is_bounded_and_a_network_that_owes_is_never_forgotten_for_a_fresh_one() {
    let (mut pit, now) = (Tarpit::new(policy()), origin());
    let fresh = |number: u32| network(&std::net::Ipv4Addr::from((1 << 30) + (number << 8)).to_string());
    let indebted = come(pit.join(harvester(), now));
    let later = now + seconds(4);
    for number in 0..65_535 {
        let ticket = come(pit.join(fresh(number), now));
        pit.refuse(ticket, now);
    }
    // The harvester is decided last, so that it owes longest.
    pit.refuse(indebted, later);
    assert_eq!(pit.facts().networks, 65_536);
    assert_eq!(pit.join(fresh(70_000), later), Place::Full);
    // A second later all but the harvester have paid, and the one that has owed nothing for longest makes room.
    let paid = now + seconds(6);
    for number in 70_000..71_000 {
        let ticket = come(pit.join(fresh(number), paid));
        pit.refuse(ticket, paid);
    }
    assert_eq!(pit.facts().networks, 65_536);
    assert!(matches!(pit.join(harvester(), paid), Place::Wait(_)));
    // An hour of quiet, and nothing is left but who waits.
    let quiet = now + seconds(2 * 60 * 60);
    assert!(pit.poll_woken(quiet).is_some());
    assert_eq!(pit.facts().networks, 1);
}

#[test]
fn who_has_a_whole_48_neither_learns_much_nor_fills_the_memory_for_its_many_networks_share_one_line() {
    let (mut pit, now) = (Tarpit::new(policy()), origin());
    let of_site = |number: u32| network(&format!("2001:db8:1:{number:x}::1"));
    let mut learned = 0;
    for number in 0..65_536 {
        if let Place::Come(ticket) = pit.join(of_site(number), now) {
            pit.refuse(ticket, now);
            learned += 1;
        }
    }
    assert_eq!((learned, pit.facts().networks), (17, 17));
    assert!(pit.turns_mail_away(of_site(65_535), now), "the line of the /48 is long");
    assert!(!pit.turns_mail_away(of_site(1), now), "that of a /64 which has its own is not");
    for newcomer in ["2001:db8:2::1", "203.0.113.9"] {
        let ticket = come(pit.join(network(newcomer), now));
        pit.turn_over(ticket, now);
    }
    // Those that have their own line are the few that are named.
    assert!(pit.most_responsible(300, now).iter().any(|one| one.network.to_string() == "2001:db8:1::/48"));
    let quiet = now + seconds(2 * 60 * 60);
    while let Some((ticket, _)) = pit.poll_woken(quiet) {
        pit.turn_over(ticket, quiet);
    }
    assert_eq!(pit.facts().networks, 0);
    let ticket = come(pit.join(of_site(65_535), quiet));
    pit.refuse(ticket, quiet);
    assert_eq!(pit.most_responsible(9, quiet)[0].network, of_site(65_535), "by itself again");
}

#[test]
fn ten_thousand_sessions_of_ten_thousand_networks_wait_and_exactly_those_whose_turn_comes_are_woken() {
    let policy = TarpitPolicy { max_delayed: 20_000, ..policy() };
    let (mut pit, now) = (Tarpit::new(policy), origin());
    let of = |number: u32| network(&std::net::Ipv4Addr::from((1 << 30) + (number << 8)).to_string());
    let mut expected = Vec::new();
    for number in 0..10_000_u32 {
        let at = now + Duration::from_millis(number.into());
        let ticket = come(pit.join(of(number), at));
        held(pit.refuse(ticket, at));
        expected.push((waits(pit.join(of(number), at)), at + seconds(5)));
    }
    assert_eq!(pit.facts().networks, 10_000);
    for (ticket, due) in expected {
        assert_eq!(pit.poll_timeout(), Some(due));
        assert_eq!(pit.poll_woken(due), Some((ticket, Woken::Come)));
        assert_eq!(pit.poll_woken(due), None);
        pit.turn_over(ticket, due);
    }
    assert_eq!(pit.facts().delayed_now, 0);
}

#[test]
fn who_is_exempt_and_why() {
    let listener = ListenerPolicy {
        name: ListenerName::new("devices").unwrap(),
        trusted_networks: vec![TrustedNetwork {
            network: "192.0.2.0/24".parse().unwrap(),
            relay_to: RelayTo::AcceptedDomains,
            from: None,
            rate: None,
        }],
        authentication: Authentication::Optional,
    };
    let exempt = TarpitPolicy { exempt: vec!["198.51.100.0/24".parse().unwrap()], ..policy() };
    let of = |policy: &TarpitPolicy, client: &str| policy.exemption(&listener, client.parse().unwrap());
    let trusted = Exemption::TrustedNetwork("192.0.2.0/24".parse().unwrap());
    assert_eq!(of(&exempt, "192.0.2.7"), Some(trusted));
    assert_eq!(of(&exempt, "::ffff:192.0.2.7"), Some(trusted));
    assert_eq!(of(&exempt, "198.51.100.7"), Some(Exemption::Network("198.51.100.0/24".parse().unwrap())));
    assert_eq!(of(&exempt, "203.0.113.9"), None);
    assert_eq!(of(&TarpitPolicy { trusted: Trusted::Delay, ..exempt }, "192.0.2.7"), None);
    assert_eq!(of(&TarpitPolicy::default(), "203.0.113.9"), Some(Exemption::Off));
}
