//! Names become ours, or turn out to be another host's.

use super::*;

#[test]
fn a_name_is_registered_three_times_and_then_taken() {
    let mut lab = Lab::with(identity(&[], NameAskers::default()));
    lab.link(&[link()]);
    assert_eq!(lab.standing("GW1<20>"), Standing::Claiming);
    lab.pass(Duration::from_secs(600));
    assert_eq!(
        lab.sent,
        [
            "0.000 2910 GW1<00> 192.0.2.10 > 192.0.2.255:137",
            "0.020 2910 GW1<20> 192.0.2.10 > 192.0.2.255:137",
            "0.040 2910 PLANT<00> 192.0.2.10 > 192.0.2.255:137",
            "0.250 2910 GW1<00> 192.0.2.10 > 192.0.2.255:137",
            "0.270 2910 GW1<20> 192.0.2.10 > 192.0.2.255:137",
            "0.290 2910 PLANT<00> 192.0.2.10 > 192.0.2.255:137",
            "0.500 2910 GW1<00> 192.0.2.10 > 192.0.2.255:137",
            "0.520 2910 GW1<20> 192.0.2.10 > 192.0.2.255:137",
            "0.540 2910 PLANT<00> 192.0.2.10 > 192.0.2.255:137",
            "0.750 2810 GW1<00> 192.0.2.10 > 192.0.2.255:137",
            "0.770 2810 GW1<20> 192.0.2.10 > 192.0.2.255:137",
            "0.790 2810 PLANT<00> 192.0.2.10 > 192.0.2.255:137",
        ]
    );
    assert_eq!(lab.told.len(), 3);
    assert!(lab.owner.standings().all(|(_, standing)| standing == Standing::Claimed));
}

#[test]
fn a_registration_is_what_windows_sends() {
    let mut lab = Lab::new();
    lab.link(&[link()]);
    lab.pass(Duration::from_millis(100));
    let at = lab.sent.iter().position(|line| line.contains("ALERTS<03>")).unwrap();
    let packet = Packet::parse(&lab.payloads[at]).unwrap();
    let [record] = &packet.additionals[..] else { panic!("{packet:?}") };
    assert_eq!((record.name, record.ttl), (name("ALERTS", 3), Duration::from_secs(300_000)));
    assert_eq!(record.data, RecordData::Addresses(vec![NbAddress { flags: NameFlags(0), address: OURS }]));
    assert_eq!(lab.payloads[at].len(), 68);
    let group = lab.sent.iter().position(|line| line.contains("PLANT<00>")).unwrap();
    let packet = Packet::parse(&lab.payloads[group]).unwrap();
    let RecordData::Addresses(addresses) = &packet.additionals[0].data else { panic!("{packet:?}") };
    assert_eq!(addresses[0].flags, NameFlags::GROUP);
}

#[test]
fn the_owner_of_a_name_objects_and_the_rest_goes_on() {
    let mut lab = Lab::new();
    lab.link(&[link()]);
    lab.pass(Duration::from_millis(300));
    let objection = response(lab.transaction_of("ALERTS<03>"), 0xAD86, name("ALERTS", 3), 0, 10);
    assert_eq!(lab.unicast(66, &objection), Verdict::Taken);
    lab.forget();
    lab.pass(Duration::from_secs(5));
    assert!(!lab.sent.iter().any(|line| line.contains("ALERTS")), "{:?}", lab.sent);
    assert_eq!(lab.standing("ALERTS<03>"), Standing::Conflict);
    assert_eq!(lab.standing("OPERATORS<03>"), Standing::Claimed);
    assert_eq!(lab.broadcast(7, &query(name("ALERTS", 3), 0x0110)), Verdict::Ignored(Ignored::NotOurs));
}

#[test]
fn an_owner_that_objects_twice_is_one_owner() {
    let mut lab = Lab::new();
    lab.link(&[link()]);
    lab.pass(Duration::from_millis(300));
    let objection = response(lab.transaction_of("ALERTS<03>"), 0xAD86, name("ALERTS", 3), 0, 10);
    assert_eq!(lab.unicast(66, &objection), Verdict::Taken);
    assert_eq!(lab.unicast(66, &objection), Verdict::Ignored(Ignored::Unsolicited));
    assert_eq!(lab.told.iter().filter(|event| matches!(event, Event::Conflict { .. })).count(), 1);
}

#[test]
fn a_lost_name_is_told_once_with_its_owner_and_tried_for_again_at_growing_intervals() {
    let mut lab = Lab::with(identity(&["ALERTS"], NameAskers::default()));
    lab.link(&[link()]);
    let end = lab.now + Duration::from_secs(3600);
    let mut tries = Vec::new();
    while lab.now < end {
        lab.pass(Duration::from_millis(100));
        if lab.sent.iter().any(|line| line.contains("2910 ALERTS<03>")) {
            tries.push(lab.now.duration_since(lab.start).as_secs());
            let objection = response(lab.transaction_of("ALERTS<03>"), 0xAD86, name("ALERTS", 3), 0, 10);
            assert_eq!(lab.unicast(66, &objection), Verdict::Taken);
            lab.sent.clear();
            lab.payloads.clear();
        }
    }
    assert_eq!(tries, [0, 60, 180, 420, 900, 1380, 1860, 2340, 2820, 3300]);
    let conflicts: Vec<_> = lab.told.iter().filter(|event| matches!(event, Event::Conflict { .. })).collect();
    assert_eq!(
        conflicts,
        [&Event::Conflict { name: name("ALERTS", 3), address: OURS, owner: *host(66).ip() }]
    );
}

#[test]
fn when_the_owner_gives_a_name_up_it_is_claimed_at_once() {
    let mut lab = Lab::new();
    lab.link(&[link()]);
    lab.pass(Duration::from_millis(300));
    let objection = response(lab.transaction_of("ALERTS<03>"), 0xAD86, name("ALERTS", 3), 0, 10);
    assert_eq!(lab.unicast(66, &objection), Verdict::Taken);
    lab.pass(Duration::from_secs(10));
    lab.forget();
    assert_eq!(
        lab.broadcast(65, &claim(name("ALERTS", 3), 0x3010, 0, 65)),
        Verdict::Ignored(Ignored::NotOurs)
    );
    lab.pass(Duration::from_secs(1));
    assert!(lab.sent.is_empty(), "another host's release is not the owner's");
    assert_eq!(
        lab.broadcast(66, &claim(name("ALERTS", 3), 0x3010, 0, 66)),
        Verdict::Ignored(Ignored::NotOurs)
    );
    lab.pass(Duration::from_secs(1));
    assert_eq!(lab.standing("ALERTS<03>"), Standing::Claimed);
}

#[test]
fn an_owner_that_objects_only_to_the_overwrite_demand_keeps_its_name() {
    let mut lab = Lab::new();
    lab.link(&[link()]);
    lab.pass(Duration::from_millis(1500));
    let objection = response(lab.transaction_of("ALERTS<03>"), 0xAD86, name("ALERTS", 3), 0, 10);
    assert_eq!(lab.unicast(66, &objection), Verdict::Taken);
    assert_eq!(lab.standing("ALERTS<03>"), Standing::Conflict);
}

#[test]
fn the_messenger_name_of_a_machine_is_ours_while_the_machine_keeps_its_other_names() {
    let mut lab = Lab::with(identity(&["PC01"], NameAskers::default()));
    lab.link(&[link()]);
    lab.pass(Duration::from_secs(2));
    assert_eq!(lab.standing("PC01<03>"), Standing::Claimed);
    lab.forget();
    for kind in [0x00, 0x20] {
        assert_eq!(
            lab.broadcast(1, &claim(name("PC01", kind), 0x2910, 0, 1)),
            Verdict::Ignored(Ignored::NotOurs)
        );
        assert_eq!(lab.broadcast(7, &query(name("PC01", kind), 0x0110)), Verdict::Ignored(Ignored::NotOurs));
    }
    assert_eq!(lab.broadcast(7, &query(name("PC01", 3), 0x0110)), Verdict::Positive);
    lab.expect_sent(&["8500 PC01<03> 192.0.2.10 > 192.0.2.7:137"]);
}

#[test]
fn the_names_of_browsers_are_never_claimed_whatever_types_the_names_have() {
    let odd = [0x1B, 0x1D, 0x1E].map(|kind| name("ODD", kind));
    let identity =
        Identity::new(name("GW1", 0x1D), &odd, name("PLANT", 0x1E), Scope::default(), NameAskers::default());
    let names: Vec<_> = identity.names().iter().map(|own| own.name.to_string()).collect();
    assert_eq!(names, ["GW1<00>", "GW1<20>", "PLANT<00>", "ODD<03>"]);
}

#[test]
fn each_link_has_claims_of_its_own_and_one_that_comes_later_gets_them_too() {
    let second = Link {
        interface: 3,
        address: Ipv4Addr::new(10, 1, 2, 3),
        network: "10.1.0.0/16".parse().unwrap(),
        broadcast: Some(Ipv4Addr::new(10, 1, 255, 255)),
        unit_id: [0; 6],
    };
    let mut lab = Lab::settled();
    lab.link(&[link(), second]);
    assert_eq!(lab.standing("ALERTS<03>"), Standing::Claiming);
    lab.pass(Duration::from_secs(5));
    assert!(lab.sent.iter().all(|line| line.contains("10.1.2.3 > 10.1.255.255:137")), "{:?}", lab.sent);
    assert_eq!((lab.sent.len(), lab.standing("ALERTS<03>")), (20, Standing::Claimed));
    lab.forget();
    lab.link(&[second]);
    lab.pass(Duration::from_secs(5));
    assert!(lab.sent.is_empty(), "what is claimed stays so: {:?}", lab.sent);
    lab.link(&[]);
    assert_eq!(lab.standing("ALERTS<03>"), Standing::Claiming);
}

#[test]
fn a_second_address_in_the_same_network_does_not_claim_against_the_first() {
    let mut lab = Lab::new();
    lab.link(&[link(), Link { address: Ipv4Addr::new(192, 0, 2, 11), ..link() }]);
    lab.pass(Duration::from_secs(5));
    assert_eq!(lab.sent.len(), 20);
    assert!(lab.sent.iter().all(|line| line.contains(" 192.0.2.10 > ")), "{:?}", lab.sent);
}

#[test]
fn a_mac_address_that_changes_is_no_new_link() {
    let mut lab = Lab::settled();
    lab.link(&[Link { unit_id: [9; 6], ..link() }]);
    lab.pass(Duration::from_secs(5));
    assert!(lab.sent.is_empty(), "{:?}", lab.sent);
}

#[test]
fn where_nobody_can_be_asked_names_are_answered_at_once() {
    let mut lab = Lab::new();
    let loopback = Link {
        interface: 2,
        address: Ipv4Addr::LOCALHOST,
        network: "127.0.0.0/8".parse().unwrap(),
        broadcast: None,
        unit_id: [0; 6],
    };
    lab.link(&[loopback]);
    let source = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 40_000);
    assert_eq!(lab.hear(source, Ipv4Addr::LOCALHOST, &query(name("ALERTS", 3), 0x0100)), Verdict::Positive);
    lab.expect_sent(&["8500 ALERTS<03> 127.0.0.1 > 127.0.0.1:40000"]);
}

#[test]
fn at_the_stop_everything_is_released_three_times_and_nothing_answered_any_more() {
    let mut lab = Lab::with(identity(&["ALERTS"], NameAskers::default())).settle();
    lab.owner.leave(lab.now);
    lab.collect();
    assert!(!lab.owner.has_left());
    let ours = query(name("ALERTS", 3), 0x0110);
    assert_eq!(lab.broadcast(7, &ours), Verdict::Ignored(Ignored::Leaving));
    lab.pass(Duration::from_secs(5));
    assert!(lab.owner.has_left());
    let round = ["GW1<00>", "GW1<20>", "PLANT<00>", "ALERTS<03>"]
        .map(|name| format!("3010 {name} 192.0.2.10 > 192.0.2.255:137"));
    let lines: Vec<_> = [&round[..], &round, &round].concat();
    lab.expect_sent(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(lab.owner.poll_timeout(), None);
}

#[test]
fn what_is_not_ours_is_not_released() {
    let mut lab = Lab::new();
    lab.link(&[link()]);
    lab.pass(Duration::from_millis(100));
    lab.forget();
    lab.owner.leave(lab.now);
    lab.pass(Duration::from_secs(5));
    assert!(lab.owner.has_left());
    assert!(lab.sent.is_empty(), "{:?}", lab.sent);
}
