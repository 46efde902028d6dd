//! Others ask.

use super::*;

#[test]
fn broadcast_and_unicast_questions_for_our_names_are_answered_to_the_asker_alone() {
    let mut lab = Lab::settled();
    for flags in [0x0110, 0x0100, 0x0010, 0x0000] {
        let source = SocketAddrV4::new(*host(7).ip(), 50_000);
        assert_eq!(lab.hear(source, BROADCAST, &query(name("ALERTS", 3), flags)), Verdict::Positive);
        assert_eq!(lab.unicast(7, &query(name("GW1", 0x20), flags)), Verdict::Positive);
        let packet = Packet::parse(&lab.payloads[0]).unwrap();
        let [record] = &packet.answers[..] else { panic!("{packet:?}") };
        assert_eq!((packet.transaction, record.ttl), (0x7777, Duration::from_secs(300_000)));
        assert_eq!(
            record.data,
            RecordData::Addresses(vec![NbAddress { flags: NameFlags(0), address: OURS }])
        );
        lab.expect_sent(&[
            "8500 ALERTS<03> 192.0.2.10 > 192.0.2.7:50000",
            "8500 GW1<20> 192.0.2.10 > 192.0.2.7:137",
        ]);
    }
}

#[test]
fn a_question_for_our_workgroup_gets_a_groups_answer() {
    let mut lab = Lab::settled();
    assert_eq!(lab.broadcast(7, &query(name("PLANT", 0), 0x0110)), Verdict::Positive);
    let packet = Packet::parse(&lab.payloads[0]).unwrap();
    let address = NbAddress { flags: NameFlags::GROUP, address: OURS };
    assert_eq!(packet.answers[0].data, RecordData::Addresses(vec![address]));
}

#[test]
fn to_a_broadcast_for_a_foreign_name_an_end_node_is_silent_and_a_question_to_it_alone_is_denied() {
    let mut lab = Lab::settled();
    let foreign =
        [name("NOBODY", 3), name("GW1", 3), name("ALERTS", 0), name("PLANT", 0x1D), name("PLANT", 0x1E)];
    for foreign in foreign {
        assert_eq!(lab.broadcast(7, &query(foreign, 0x0110)), Verdict::Ignored(Ignored::NotOurs));
    }
    lab.expect_sent(&[]);
    assert_eq!(lab.unicast(7, &query(name("NOBODY", 3), 0x0100)), Verdict::Negative);
    lab.expect_sent(&["8503 NOBODY<03> 192.0.2.10 > 192.0.2.7:137"]);
}

#[test]
fn a_sender_that_does_not_convert_to_upper_case_means_the_same_name_and_scope() {
    let scope = |text: &[u8]| Scope::new(text).unwrap();
    let identity = Identity::new(
        name("GW1", 0),
        &[name("ALERTS", 3)],
        name("PLANT", 0),
        scope(b"plant"),
        NameAskers::default(),
    );
    let mut lab = Lab::with(identity).settle();
    let question = Question { scope: scope(b"PLANT"), ..about(name("alerts", 3)) };
    assert_eq!(lab.broadcast(7, &Packet::query(1, Flags(0x0110), question.clone())), Verdict::Positive);
    let packet = Packet::parse(&lab.payloads[0]).unwrap();
    assert_eq!(
        (packet.answers[0].name, &packet.answers[0].scope),
        (question.name, &question.scope),
        "as asked"
    );
}

#[test]
fn before_a_name_is_ours_it_is_not_answered() {
    let mut lab = Lab::new();
    lab.link(&[link()]);
    lab.pass(Duration::from_millis(600));
    lab.forget();
    assert_eq!(lab.broadcast(7, &query(name("ALERTS", 3), 0x0110)), Verdict::Ignored(Ignored::NotOurs));
    lab.expect_sent(&[]);
}

#[test]
fn whoever_asks_for_the_wildcard_finds_this_host() {
    let mut lab = Lab::settled();
    assert_eq!(lab.broadcast(7, &query(name("*", 0), 0x0110)), Verdict::Positive);
    lab.expect_sent(&["8500 *<00> 192.0.2.10 > 192.0.2.7:137"]);
}

#[test]
fn a_node_status_names_all_that_is_ours_with_the_mac_address() {
    let mut lab = Lab::settled();
    for asked in [name("*", 0), name("GW1", 0x20), name("ALERTS", 3)] {
        assert_eq!(lab.unicast(7, &node_status_request(asked)), Verdict::NodeStatus);
        let packet = Packet::parse(&lab.payloads[0]).unwrap();
        assert_eq!(packet.flags, Flags::NODE_STATUS_RESPONSE);
        let RecordData::NodeStatus(status) = &packet.answers[0].data else { panic!("{packet:?}") };
        let names: Vec<_> = status.names.iter().map(|(name, flags)| format!("{name} {flags}")).collect();
        assert_eq!(
            names,
            [
                "GW1<00> unique, B node, active",
                "GW1<20> unique, B node, active",
                "PLANT<00> group, B node, active",
                "ALERTS<03> unique, B node, active",
                "OPERATORS<03> unique, B node, active",
            ]
        );
        assert_eq!((status.unit_id(), status.statistics.len()), (Some([2, 0, 0, 0, 0, 1]), 46));
        lab.forget();
    }
    assert_eq!(lab.unicast(7, &node_status_request(name("NOBODY", 3))), Verdict::Ignored(Ignored::NotOurs));
}

#[test]
fn a_node_status_tells_which_name_is_in_conflict() {
    let mut lab = Lab::new();
    lab.link(&[link()]);
    lab.pass(Duration::from_millis(300));
    let objection = response(lab.transaction_of("ALERTS<03>"), 0xAD86, name("ALERTS", 3), 0, 10);
    assert_eq!(lab.unicast(66, &objection), Verdict::Taken);
    lab.pass(Duration::from_secs(5));
    lab.forget();
    assert_eq!(lab.unicast(7, &node_status_request(name("*", 0))), Verdict::NodeStatus);
    let packet = Packet::parse(&lab.payloads[0]).unwrap();
    let RecordData::NodeStatus(NodeStatus { names, .. }) = &packet.answers[0].data else {
        panic!("{packet:?}")
    };
    assert!(names.contains(&(name("ALERTS", 3), NameFlags(0x0C00))), "{names:?}");
}

#[test]
fn a_node_status_request_that_was_broadcast_is_not_answered() {
    let mut lab = Lab::settled();
    assert_eq!(lab.broadcast(7, &node_status_request(name("*", 0))), Verdict::Ignored(Ignored::NotOurs));
    lab.expect_sent(&[]);
}

#[test]
fn with_a_hundred_names_a_node_status_is_truncated_to_what_every_host_takes() {
    let names: Vec<String> = (0..100).map(|number| format!("NAME{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut lab = Lab::with(identity(&names, NameAskers::default())).settle();
    let request = node_status_request(name("*", 0));
    assert_eq!(lab.unicast(7, &request), Verdict::NodeStatus);
    let packet = Packet::parse(&lab.payloads[0]).unwrap();
    assert_eq!(packet.flags, Flags(0x8600));
    assert_eq!(lab.payloads[0].len(), 535);
    assert!(lab.payloads[0].len() <= 11 * answer::emit(&request).len());
}

#[test]
fn of_two_links_the_address_of_the_one_that_the_question_came_in_by_is_answered() {
    let second = Link {
        interface: 3,
        address: Ipv4Addr::new(10, 1, 2, 3),
        network: "10.1.0.0/16".parse().unwrap(),
        broadcast: Some(Ipv4Addr::new(10, 1, 255, 255)),
        unit_id: [0; 6],
    };
    let mut lab = Lab::new();
    lab.link(&[link(), second]);
    lab.pass(Duration::from_secs(5));
    lab.forget();
    let source = SocketAddrV4::new(Ipv4Addr::new(10, 1, 9, 9), 137);
    for destination in [Ipv4Addr::new(10, 1, 255, 255), Ipv4Addr::BROADCAST, second.address] {
        let heard = Heard { source, destination, interface: 3 };
        assert_eq!(
            lab.owner.handle_input(lab.now, &query(name("ALERTS", 3), 0x0110), heard),
            Verdict::Positive
        );
        lab.collect();
        lab.expect_sent(&["8500 ALERTS<03> 10.1.2.3 > 10.1.9.9:137"]);
    }
    let elsewhere = Heard { source, destination: Ipv4Addr::BROADCAST, interface: 4 };
    let verdict = lab.owner.handle_input(lab.now, &query(name("ALERTS", 3), 0x0110), elsewhere);
    assert_eq!(verdict, Verdict::Ignored(Ignored::NoLink));
}

#[test]
fn a_program_of_this_host_may_ask_though_it_comes_by_the_loopback_interface() {
    let mut lab = Lab::settled();
    let heard = Heard { source: SocketAddrV4::new(OURS, 40_000), destination: OURS, interface: 1 };
    assert_eq!(
        lab.owner.handle_input(lab.now, &node_status_request(name("*", 0)), heard),
        Verdict::NodeStatus
    );
}

#[test]
fn a_question_in_another_scope_stays_unanswered() {
    let mut lab = Lab::settled();
    let scope = Scope::new(b"PLANT.LOCAL").unwrap();
    let foreign = Packet::query(1, Flags(0x0110), Question { scope, ..about(name("ALERTS", 3)) });
    assert_eq!(lab.broadcast(7, &foreign), Verdict::Ignored(Ignored::ForeignScope));
    lab.expect_sent(&[]);
}

#[test]
fn only_neighbours_wins_servers_and_allowed_networks_are_answered() {
    let askers = NameAskers {
        wins: vec![Ipv4Addr::new(198, 51, 100, 5)],
        allow: vec!["203.0.113.0/24".parse().unwrap()],
    };
    let mut lab = Lab::with(identity(&["ALERTS"], askers)).settle();
    for (source, verdict) in [
        ("198.51.100.5:137", Verdict::Positive),
        ("203.0.113.77:1025", Verdict::Positive),
        ("198.51.100.6:137", Verdict::Ignored(Ignored::Stranger)),
        ("192.0.2.255:137", Verdict::Ignored(Ignored::Stranger)),
        ("192.0.2.7:0", Verdict::Ignored(Ignored::Stranger)),
        ("0.0.0.0:137", Verdict::Ignored(Ignored::Stranger)),
    ] {
        let source = source.parse().unwrap();
        assert_eq!(lab.hear(source, OURS, &query(name("ALERTS", 3), 0x0100)), verdict, "{source}");
    }
    lab.expect_sent(&[
        "8500 ALERTS<03> 192.0.2.10 > 198.51.100.5:137",
        "8500 ALERTS<03> 192.0.2.10 > 203.0.113.77:1025",
    ]);
}

#[test]
fn an_eager_asker_is_answered_twenty_times_a_second_and_others_none_the_less() {
    let mut lab = Lab::settled();
    let verdicts: Vec<_> = (0..1000).map(|_| lab.broadcast(7, &query(name("ALERTS", 3), 0x0110))).collect();
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Positive).count(), 20);
    assert_eq!(verdicts[999], Verdict::Ignored(Ignored::RateLimited));
    assert_eq!(lab.broadcast(8, &query(name("ALERTS", 3), 0x0110)), Verdict::Positive);
    assert_eq!(lab.unicast(7, &node_status_request(name("*", 0))), Verdict::NodeStatus, "a kind of its own");
}

#[test]
fn our_own_packets_that_come_back_are_ignored() {
    let mut lab = Lab::new();
    lab.link(&[link()]);
    lab.pass(Duration::from_secs(2));
    for payload in std::mem::take(&mut lab.payloads) {
        let packet = Packet::parse(&payload).unwrap();
        assert_eq!(lab.broadcast(10, &packet), Verdict::Ignored(Ignored::Own));
    }
}

#[test]
fn whether_a_packet_was_broadcast_its_destination_tells_and_not_its_flags() {
    let mut lab = Lab::settled();
    assert_eq!(lab.unicast(7, &query(name("NOBODY", 3), 0x0110)), Verdict::Negative);
    assert_eq!(lab.broadcast(7, &query(name("NOBODY", 3), 0x0100)), Verdict::Ignored(Ignored::NotOurs));
    assert_eq!(
        lab.hear(host(7), Ipv4Addr::BROADCAST, &query(name("ALERTS", 3), 0x0100)),
        Verdict::Positive,
        "a limited broadcast is one too"
    );
}
