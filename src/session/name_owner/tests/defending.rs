//! Others want our names.

use super::*;

#[test]
fn whoever_registers_takes_or_refreshes_a_name_of_ours_is_refused() {
    let mut lab = Lab::settled();
    // Registration, overwrite, multi-homed registration, refresh under both of its opcodes.
    for flags in [0x2910, 0x2900, 0x2810, 0x2800, 0x7900, 0x7800, 0x4000, 0x4800] {
        assert_eq!(
            lab.unicast(66, &claim(name("ALERTS", 3), flags, 0, 66)),
            Verdict::Objection,
            "{flags:04X}"
        );
        let packet = Packet::parse(&lab.payloads[0]).unwrap();
        assert_eq!((packet.transaction, packet.flags.rcode().0), (0x7777, 6));
        let record = NbAddress { flags: NameFlags(0), address: *host(66).ip() };
        assert_eq!(packet.answers[0].data, RecordData::Addresses(vec![record]), "the record of the claim");
        lab.expect_sent(&["AD86 ALERTS<03> 192.0.2.10 > 192.0.2.66:137"]);
    }
    assert_eq!(lab.broadcast(66, &claim(name("ALERTS", 3), 0x2910, 0, 66)), Verdict::Objection);
    assert_eq!(
        lab.broadcast(66, &claim(name("ALERTS", 3), 0x2910, 0x8000, 66)),
        Verdict::Objection,
        "as a group"
    );
    assert_eq!(lab.told.len(), 10);
    assert_eq!(lab.told[0], Event::Defended { name: name("ALERTS", 3), claimant: *host(66).ip() });
    assert_eq!(lab.standing("ALERTS<03>"), Standing::Claimed);
}

#[test]
fn one_that_nothing_else_vouches_for_any_more_answers_for_its_names_and_yields_them_without_a_word() {
    let mut lab = Lab::settled();
    lab.owner.defend(Defence::Yield);
    assert_eq!(lab.broadcast(66, &query(name("ALERTS", 3), 0x0110)), Verdict::Positive);
    lab.payloads.clear();
    assert_eq!(
        lab.broadcast(66, &claim(name("OTHER", 3), 0x2910, 0, 66)),
        Verdict::Ignored(Ignored::NotOurs)
    );
    assert_eq!(lab.broadcast(66, &claim(name("ALERTS", 3), 0x2910, 0, 66)), Verdict::Yielded);
    lab.owner.defend(Defence::Refuse);
    assert_eq!(lab.broadcast(66, &claim(name("ALERTS", 3), 0x2910, 0, 66)), Verdict::Objection);
}

#[test]
fn the_workgroup_has_many_members_but_no_single_owner() {
    let mut lab = Lab::settled();
    let group = name("PLANT", 0);
    assert_eq!(lab.broadcast(66, &claim(group, 0x2910, 0x8000, 66)), Verdict::Ignored(Ignored::NotOurs));
    lab.expect_sent(&[]);
    assert_eq!(lab.broadcast(66, &claim(group, 0x2910, 0, 66)), Verdict::Objection);
    lab.expect_sent(&["AD86 PLANT<00> 192.0.2.10 > 192.0.2.66:137"]);
    assert_eq!(lab.broadcast(66, &claim(group, 0x3010, 0x8000, 66)), Verdict::Ignored(Ignored::NotOurs));
}

#[test]
fn names_of_others_are_not_defended() {
    let mut lab = Lab::settled();
    assert_eq!(
        lab.broadcast(66, &claim(name("NOBODY", 3), 0x2910, 0, 66)),
        Verdict::Ignored(Ignored::NotOurs)
    );
    assert_eq!(
        lab.broadcast(66, &claim(name("PLANT", 0x1D), 0x2910, 0, 66)),
        Verdict::Ignored(Ignored::NotOurs)
    );
    lab.expect_sent(&[]);
}

#[test]
fn our_own_registration_that_a_relay_sends_on_is_no_rival() {
    let mut lab = Lab::settled();
    assert_eq!(lab.broadcast(1, &claim(name("ALERTS", 3), 0x2910, 0, 10)), Verdict::Ignored(Ignored::Own));
    lab.expect_sent(&[]);
}

#[test]
fn a_demand_to_give_a_name_up_is_told_and_answered_with_the_claim_once_a_minute() {
    let conflict = response(0x9999, 0xAD87, name("ALERTS", 3), 0, 66);
    let release = claim(name("ALERTS", 3), 0x3010, 0, 10);
    for demand in [conflict, release] {
        let mut lab = Lab::settled();
        for _ in 0..100 {
            assert_eq!(lab.unicast(66, &demand), Verdict::Ignored(Ignored::Demand));
        }
        lab.expect_sent(&["2810 ALERTS<03> 192.0.2.10 > 192.0.2.255:137"]);
        assert_eq!(lab.told, [Event::Demanded { name: name("ALERTS", 3), from: *host(66).ip() }]);
        assert_eq!(lab.standing("ALERTS<03>"), Standing::Claimed);
        assert_eq!(lab.broadcast(7, &query(name("ALERTS", 3), 0x0110)), Verdict::Positive);
        lab.forget();
        lab.pass(Claim::ASSERT_EVERY);
        assert_eq!(lab.unicast(66, &demand), Verdict::Ignored(Ignored::Demand));
        lab.expect_sent(&["2810 ALERTS<03> 192.0.2.10 > 192.0.2.255:137"]);
    }
}

#[test]
fn an_objection_that_comes_when_the_name_has_long_been_ours_changes_nothing() {
    let mut lab = Lab::new();
    lab.link(&[link()]);
    lab.pass(Duration::from_secs(10));
    let late = response(lab.transaction_of("ALERTS<03>"), 0xAD86, name("ALERTS", 3), 0, 66);
    let unsolicited = response(0x9999, 0xAD86, name("ALERTS", 3), 0, 66);
    lab.forget();
    assert_eq!(lab.unicast(66, &unsolicited), Verdict::Ignored(Ignored::Unsolicited));
    lab.expect_sent(&[]);
    assert_eq!(lab.unicast(66, &late), Verdict::Ignored(Ignored::Demand));
    lab.expect_sent(&["2810 ALERTS<03> 192.0.2.10 > 192.0.2.255:137"]);
    assert_eq!(lab.standing("ALERTS<03>"), Standing::Claimed);
}

#[test]
fn a_flood_of_claims_is_refused_at_its_rate_and_a_flood_of_questions_does_not_silence_refusals() {
    let mut lab = Lab::settled();
    for number in 0..=250 {
        for _ in 0..30 {
            lab.forget();
            let verdict = lab.broadcast(number, &query(name("ALERTS", 3), 0x0110));
            assert_ne!(verdict, Verdict::Objection);
        }
    }
    assert_eq!(lab.broadcast(251, &query(name("ALERTS", 3), 0x0110)), Verdict::Ignored(Ignored::RateLimited));
    assert_eq!(lab.broadcast(66, &claim(name("ALERTS", 3), 0x2910, 0, 66)), Verdict::Objection);
    let refused =
        (0..100).filter(|_| lab.unicast(66, &claim(name("GW1", 0), 0x2910, 0, 66)) == Verdict::Objection);
    assert_eq!(refused.count(), 19);
}
