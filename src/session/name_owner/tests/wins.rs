//! WINS servers: registration, refresh, and what they may answer.

use super::*;
use crate::session::name_owner::registration::Registration;

const SERVER: u8 = 5;

fn with_wins(names: &[&str]) -> Lab {
    let askers = NameAskers { wins: vec![*host(SERVER).ip()], allow: Vec::new() };
    Lab::with(identity(names, askers))
}

/// On the link, with all names claimed there, and the first requests to the server sent.
fn asking(names: &[&str]) -> Lab {
    let mut lab = with_wins(names);
    lab.link(&[link()]);
    lab.pass(Duration::from_millis(2900));
    lab.sent.retain(|line| line.ends_with("192.0.2.5:137"));
    lab
}

/// With everything registered for `ttl` seconds.
fn registered(names: &[&str], ttl: u64) -> Lab {
    let mut lab = asking(names);
    answer_all(&mut lab, 0xAD80, ttl);
    lab
}

/// The server answers all requests that it has got.
fn answer_all(lab: &mut Lab, flags: u16, ttl: u64) {
    lab.sent.clear();
    for payload in std::mem::take(&mut lab.payloads) {
        let packet = Packet::parse(&payload).unwrap();
        let to_server = [Flags::REGISTRATION, Flags::REFRESH].contains(&packet.flags);
        if to_server {
            let name = packet.questions[0].name;
            assert_eq!(
                lab.unicast(SERVER, &response(packet.transaction, flags, name, ttl, 10)),
                Verdict::Taken
            );
        }
    }
}

#[test]
fn a_name_that_is_ours_is_registered_with_the_server_once_nobody_can_object_any_more() {
    let mut lab = with_wins(&["ALERTS"]);
    lab.link(&[link()]);
    lab.pass(Duration::from_millis(2700));
    assert!(!lab.sent.iter().any(|line| line.ends_with(".5:137")), "{:?}", lab.sent);
    lab.forget();
    lab.pass(Duration::from_millis(200));
    lab.expect_sent(&[
        "2900 GW1<00> 192.0.2.10 > 192.0.2.5:137",
        "2900 GW1<20> 192.0.2.10 > 192.0.2.5:137",
        "2900 PLANT<00> 192.0.2.10 > 192.0.2.5:137",
        "2900 ALERTS<03> 192.0.2.10 > 192.0.2.5:137",
    ]);
}

#[test]
fn with_a_server_names_are_an_h_nodes_as_on_windows() {
    let lab = asking(&["ALERTS"]);
    let packet = Packet::parse(lab.payloads.last().unwrap()).unwrap();
    let address = NbAddress { flags: NameFlags(0x6000), address: OURS };
    assert_eq!(packet.additionals[0].data, RecordData::Addresses(vec![address]));
}

#[test]
fn a_registration_is_refreshed_after_half_its_time_and_again_and_again() {
    let mut lab = registered(&["ALERTS"], 7200);
    let told = lab.told.iter().filter(|event| matches!(event, Event::Registered { .. })).count();
    assert_eq!(told, 4);
    lab.forget();
    lab.pass(Duration::from_secs(3590));
    lab.expect_sent(&[]);
    lab.pass(Duration::from_secs(10));
    let refreshes = ["GW1<00>", "GW1<20>", "PLANT<00>", "ALERTS<03>"]
        .map(|name| format!("4000 {name} 192.0.2.10 > 192.0.2.5:137"));
    assert_eq!(lab.sent.len(), 4);
    answer_all(&mut lab, 0xAD80, 7200);
    lab.pass(Duration::from_secs(3600));
    lab.expect_sent(&refreshes.each_ref().map(String::as_str));
    assert!(lab.told.is_empty(), "a refresh that works is no news: {:?}", lab.told);
}

#[test]
fn a_time_to_live_of_zero_or_of_seconds_is_no_storm() {
    for ttl in [0, 1, 30] {
        let mut lab = registered(&[], ttl);
        lab.forget();
        lab.pass(Duration::from_secs(58));
        assert!(lab.sent.is_empty(), "{ttl}: {:?}", lab.sent);
    }
}

#[test]
fn a_server_that_asks_to_wait_is_waited_for() {
    let mut lab = asking(&[]);
    for payload in std::mem::take(&mut lab.payloads) {
        let packet = Packet::parse(&payload).unwrap();
        if packet.flags == Flags::REGISTRATION {
            let data = RecordData::Wait(packet.flags);
            let record = ResourceRecord::about(&packet.questions[0], Duration::from_secs(20), data);
            let wait = Packet::response(packet.transaction, Flags::WAIT, record);
            assert_eq!(lab.unicast(SERVER, &wait), Verdict::Taken);
        }
    }
    lab.forget();
    lab.pass(Duration::from_secs(19));
    lab.expect_sent(&[]);
    lab.pass(Duration::from_secs(2));
    assert_eq!(lab.sent.len(), 3, "asked again: {:?}", lab.sent);
}

#[test]
fn no_server_can_make_us_wait_for_ever() {
    let mut lab = asking(&[]);
    let transaction = lab.transaction_of("GW1<00>");
    let data = RecordData::Wait(Flags::REGISTRATION);
    let record = ResourceRecord::about(&about(name("GW1", 0)), Duration::from_secs(u32::MAX.into()), data);
    assert_eq!(lab.unicast(SERVER, &Packet::response(transaction, Flags::WAIT, record)), Verdict::Taken);
    lab.forget();
    lab.pass(Registration::LONGEST_WAIT + Duration::from_secs(1));
    assert!(lab.sent.iter().any(|line| line.contains("2900 GW1<00>")), "{:?}", lab.sent);
}

#[test]
fn a_server_that_has_another_owner_is_believed_and_asked_again_later() {
    let mut lab = asking(&["ALERTS"]);
    let refusal = response(lab.transaction_of("ALERTS<03>"), 0xAD86, name("ALERTS", 3), 0, 10);
    assert_eq!(lab.unicast(SERVER, &refusal), Verdict::Taken);
    assert_eq!(lab.standing("ALERTS<03>"), Standing::Conflict);
    let server = *host(SERVER).ip();
    let refused =
        Event::RefusedByWins { name: name("ALERTS", 3), server, rcode: Rcode::ACT_ERR, owner: None };
    assert!(lab.told.contains(&refused), "{:?}", lab.told);
    answer_all_but(&mut lab, "ALERTS<03>");
    lab.forget();
    lab.pass(Duration::from_secs(61));
    lab.expect_sent(&["2900 ALERTS<03> 192.0.2.10 > 192.0.2.5:137"]);
    let transaction = {
        lab.pass(Duration::from_secs(2));
        lab.transaction_of("ALERTS<03>")
    };
    assert_eq!(
        lab.unicast(SERVER, &response(transaction, 0xAD80, name("ALERTS", 3), 7200, 10)),
        Verdict::Taken
    );
    assert_eq!(lab.standing("ALERTS<03>"), Standing::Claimed);
}

/// The server takes all names but this one.
fn answer_all_but(lab: &mut Lab, but: &str) {
    lab.payloads.retain(|payload| Packet::parse(payload).unwrap().questions[0].name.to_string() != but);
    answer_all(lab, 0xAD80, 300_000);
}

#[test]
fn a_server_that_forgot_us_is_told_again() {
    let mut lab = registered(&[], 7200);
    lab.forget();
    lab.pass(Duration::from_secs(3601));
    assert_eq!(lab.sent.len(), 3);
    answer_all(&mut lab, 0xAD83, 0);
    lab.pass(Duration::from_secs(1));
    lab.expect_sent(&[
        "2900 GW1<00> 192.0.2.10 > 192.0.2.5:137",
        "2900 GW1<20> 192.0.2.10 > 192.0.2.5:137",
        "2900 PLANT<00> 192.0.2.10 > 192.0.2.5:137",
    ]);
}

#[test]
fn a_dead_server_gets_one_question_at_growing_intervals_and_everything_when_it_is_back() {
    let mut lab = asking(&["ALERTS", "OPERATORS"]);
    lab.forget();
    lab.pass(Duration::from_secs(10));
    let server = *host(SERVER).ip();
    assert_eq!(lab.told, [Event::WinsSilent { server }], "told once");
    assert_eq!(lab.owner.standings().filter(|(_, standing)| *standing == Standing::Claimed).count(), 5);
    lab.forget();
    lab.pass(Duration::from_secs(3600));
    // Three packets each at 30 s, 60 s, … 600 s.
    assert!((20..40).contains(&lab.sent.len()), "{:?}", lab.sent);
    assert!(lab.told.is_empty());
    lab.forget();
    while lab.payloads.is_empty() {
        lab.pass(Duration::from_secs(1));
    }
    answer_all(&mut lab, 0xAD80, 300_000);
    assert!(lab.told.contains(&Event::WinsAnswers { server }), "{:?}", lab.told);
    lab.pass(Duration::from_secs(1));
    answer_all(&mut lab, 0xAD80, 300_000);
    let registered = lab.told.iter().filter(|event| matches!(event, Event::Registered { .. })).count();
    assert_eq!(registered, 5);
}

#[test]
fn a_hundred_names_are_not_asked_for_all_at_once() {
    let names: Vec<String> = (0..100).map(|number| format!("NAME{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut lab = with_wins(&names);
    lab.link(&[link()]);
    lab.pass(Duration::from_secs(6));
    lab.sent.retain(|line| line.ends_with("192.0.2.5:137"));
    assert!(lab.sent.len() <= 3 * Server::MAX_UNDER_WAY, "{:?}", lab.sent);
}

#[test]
fn an_answer_from_elsewhere_or_to_nothing_we_asked_registers_nothing() {
    let mut lab = asking(&["ALERTS"]);
    let transaction = lab.transaction_of("ALERTS<03>");
    let yes = |transaction| response(transaction, 0xAD80, name("ALERTS", 3), 300_000, 10);
    assert_eq!(lab.unicast(66, &yes(transaction)), Verdict::Ignored(Ignored::Unsolicited));
    assert_eq!(lab.unicast(SERVER, &yes(transaction ^ 0x4000)), Verdict::Ignored(Ignored::Unsolicited));
    let other = response(transaction, 0xAD80, name("GW1", 3), 300_000, 10);
    assert_eq!(lab.unicast(SERVER, &other), Verdict::Ignored(Ignored::Unsolicited));
    assert!(!lab.told.iter().any(|event| matches!(event, Event::Registered { .. })));
}

#[test]
fn the_servers_challenge_of_an_owner_is_answered_by_its_query() {
    let mut lab = registered(&["ALERTS"], 7200);
    lab.forget();
    assert_eq!(lab.unicast(SERVER, &query(name("ALERTS", 3), 0x0100)), Verdict::Positive);
    assert_eq!(lab.unicast(SERVER, &query(name("GONE", 3), 0x0100)), Verdict::Negative);
    lab.expect_sent(&[
        "8500 ALERTS<03> 192.0.2.10 > 192.0.2.5:137",
        "8503 GONE<03> 192.0.2.10 > 192.0.2.5:137",
    ]);
}

#[test]
fn a_demand_in_the_servers_name_makes_us_ask_the_server_itself() {
    let mut lab = registered(&["ALERTS"], 7200);
    lab.forget();
    for demand in
        [claim(name("ALERTS", 3), 0x3000, 0, 10), response(0x9999, 0xAD87, name("ALERTS", 3), 0, 10)]
    {
        assert_eq!(lab.unicast(SERVER, &demand), Verdict::Ignored(Ignored::Demand));
    }
    lab.expect_sent(&[
        "2810 ALERTS<03> 192.0.2.10 > 192.0.2.255:137",
        "2900 ALERTS<03> 192.0.2.10 > 192.0.2.5:137",
    ]);
    assert_eq!(lab.standing("ALERTS<03>"), Standing::Claimed);
}

#[test]
fn a_server_that_leaves_the_challenge_to_us_gets_the_name_of_an_owner_that_is_gone() {
    for is_there in [true, false] {
        let mut lab = asking(&["ALERTS"]);
        let transaction = lab.transaction_of("ALERTS<03>");
        answer_all_but(&mut lab, "ALERTS<03>");
        lab.forget();
        let challenge = response(transaction, 0xAD00, name("ALERTS", 3), 7200, 66);
        assert_eq!(lab.unicast(SERVER, &challenge), Verdict::Taken);
        lab.expect_sent(&["0100 ALERTS<03> 192.0.2.10 > 192.0.2.66:137"]);
        if is_there {
            let answer = response(transaction, 0x8500, name("ALERTS", 3), 300_000, 66);
            assert_eq!(lab.unicast(66, &answer), Verdict::Taken);
            let server = *host(SERVER).ip();
            let owner = Some(*host(66).ip());
            let refused =
                Event::RefusedByWins { name: name("ALERTS", 3), server, rcode: Rcode::ACT_ERR, owner };
            assert_eq!(lab.told, [refused]);
        } else {
            lab.pass(Duration::from_secs(7));
            let query = "0100 ALERTS<03> 192.0.2.10 > 192.0.2.66:137";
            lab.expect_sent(&[query, query, "2800 ALERTS<03> 192.0.2.10 > 192.0.2.5:137"]);
            assert_eq!(lab.standing("ALERTS<03>"), Standing::Claimed);
        }
    }
}

#[test]
fn a_name_that_is_lost_on_the_link_is_not_registered() {
    let mut lab = with_wins(&["ALERTS"]);
    lab.link(&[link()]);
    lab.pass(Duration::from_millis(1200));
    let objection = response(lab.transaction_of("ALERTS<03>"), 0xAD86, name("ALERTS", 3), 0, 10);
    assert_eq!(lab.unicast(66, &objection), Verdict::Taken);
    lab.forget();
    lab.pass(Duration::from_secs(5));
    assert!(!lab.sent.iter().any(|line| line.contains("ALERTS")), "{:?}", lab.sent);
    assert!(lab.sent.iter().any(|line| line.contains("2900 GW1<20>")), "{:?}", lab.sent);
}

#[test]
fn a_server_that_no_link_leads_to_is_told_once() {
    let mut lab = with_wins(&[]);
    for _ in 0..3 {
        lab.owner.handle_links(lab.now, &[link()], &[]);
        lab.collect();
        lab.pass(Duration::from_secs(30));
    }
    let out_of_reach = Event::WinsOutOfReach { server: *host(SERVER).ip() };
    assert_eq!(lab.told.iter().filter(|event| **event == out_of_reach).count(), 1);
    assert!(!lab.sent.iter().any(|line| line.ends_with(".5:137")));
}

#[test]
fn under_another_address_everything_is_registered_anew() {
    let mut lab = registered(&[], 300_000);
    lab.forget();
    lab.link(&[Link { address: Ipv4Addr::new(192, 0, 2, 11), ..link() }]);
    lab.pass(Duration::from_secs(5));
    lab.sent.retain(|line| line.ends_with("192.0.2.5:137"));
    assert!(lab.sent[0].contains("2900 GW1<00> 192.0.2.11 > "), "{:?}", lab.sent);
}

#[test]
fn at_the_stop_the_server_is_told_as_well() {
    let mut lab = registered(&["ALERTS"], 300_000);
    lab.forget();
    lab.owner.leave(lab.now);
    lab.collect();
    lab.sent.retain(|line| line.ends_with("192.0.2.5:137"));
    assert_eq!(lab.sent.len(), 4);
    assert!(lab.sent[3].contains("3000 ALERTS<03>"), "{:?}", lab.sent);
}
