use super::*;
use crate::wire::name_service::{NameFlags, NbAddress, ResourceRecord};
use crate::wire::netbios_name::NameType;

#[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
fn start() -> Instant {
    Instant::now()
}

fn name(text: &str) -> NetbiosName {
    NetbiosName::new(text.as_bytes(), NameType::MESSENGER).unwrap()
}

const fn host(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, last)
}

const BROADCAST: Ipv4Addr = host(255);
const UNIQUE: NameFlags = NameFlags(0x0000);
const GROUP: NameFlags = NameFlags(0x8000);

fn query(now: Instant, servers: &[Ipv4Addr], broadcasts: &[Ipv4Addr]) -> NameQuery {
    NameQuery::new(now, (name("ALERTS"), Scope::default()), 7, servers, broadcasts)
}

fn response(transaction: u16, text: &str, owners: &[(NameFlags, Ipv4Addr)]) -> Vec<u8> {
    let addresses = owners.iter().map(|&(flags, address)| NbAddress { flags, address }).collect();
    let question = Question::new(name(text), Scope::default(), RecordType::NB);
    let data = RecordData::Addresses(addresses);
    let record = ResourceRecord::about(&question, Duration::from_secs(300_000), data);
    emitted(&Packet::response(transaction, Flags::QUERY_RESPONSE, record))
}

fn negative(transaction: u16) -> Vec<u8> {
    let question = Question::new(name("ALERTS"), Scope::default(), RecordType::NB);
    let record = ResourceRecord::about(&question, Duration::ZERO, RecordData::Other(&[]));
    emitted(&Packet::response(transaction, Flags::NEGATIVE_QUERY_RESPONSE, record))
}

fn emitted(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.emit(&mut bytes);
    bytes
}

/// Where the query went since the last call.
fn asked(query: &mut NameQuery) -> Vec<Ipv4Addr> {
    let mut to = Vec::new();
    while let Some(Output::Send { to: address, bytes }) = query.poll_output() {
        let packet = Packet::parse(&bytes).unwrap();
        let is_broadcast = packet.flags == Flags::QUERY.with(Flags::BROADCAST);
        assert_eq!(is_broadcast, address == BROADCAST || address.octets()[3] == 127);
        assert_eq!(packet.questions.first().unwrap().name, name("ALERTS"));
        to.push(address);
    }
    to
}

fn answer(query: &mut NameQuery) -> Option<Answer> {
    std::iter::from_fn(|| query.poll_output()).find_map(|output| match output {
        Output::Done(answer) => Some(answer),
        Output::Send { .. } => None,
    })
}

#[test]
fn a_broadcast_goes_out_three_times_on_every_interface_and_then_nobody_owns_the_name() {
    let now = start();
    let mut query = query(now, &[], &[BROADCAST, host(127)]);
    assert_eq!(asked(&mut query), [BROADCAST, host(127)]);
    for repeat in 1..3 {
        let at = now + NameQuery::BROADCAST_TIMEOUT * repeat;
        assert_eq!(query.poll_timeout(), Some(at));
        query.handle_timeout(at - Duration::from_millis(1));
        assert!(asked(&mut query).is_empty());
        query.handle_timeout(at);
        assert_eq!(asked(&mut query), [BROADCAST, host(127)]);
    }
    query.handle_timeout(now + NameQuery::BROADCAST_TIMEOUT * 3);
    assert_eq!(answer(&mut query), Some(Answer::Nobody { denied_by: None }));
    assert_eq!(query.poll_timeout(), None);
}

#[test]
fn the_first_answer_counts_and_its_copy_does_no_harm() {
    let now = start();
    let mut query = query(now, &[], &[BROADCAST]);
    let bytes = response(7, "ALERTS", &[(UNIQUE, host(9))]);
    query.handle_input(now, host(9), &bytes);
    assert_eq!(answer(&mut query), Some(Answer::Owner(vec![host(9)])));
    query.handle_input(now, host(9), &bytes);
    query.handle_timeout(now + Duration::from_secs(9));
    assert_eq!(query.poll_output(), None);
}

#[test]
fn several_addresses_are_kept_once_each_and_in_bounds() {
    let now = start();
    let mut many: Vec<_> = (1..=20).map(|last| (UNIQUE, host(last))).collect();
    many.insert(1, (UNIQUE, host(1)));
    let mut query = query(now, &[], &[BROADCAST]);
    query.handle_input(now, host(1), &response(7, "ALERTS", &many));
    let Some(Answer::Owner(addresses)) = answer(&mut query) else { panic!("no owner") };
    assert_eq!(addresses, (1..=8).map(host).collect::<Vec<_>>());
}

#[test]
fn a_group_is_nobody_in_particular() {
    let now = start();
    let mut query = query(now, &[], &[BROADCAST]);
    query.handle_input(now, host(9), &response(7, "ALERTS", &[(GROUP, host(9))]));
    assert_eq!(answer(&mut query), Some(Answer::Group));
}

#[test]
fn what_answers_something_else_or_points_at_everybody_is_ignored() {
    let now = start();
    let mut query = query(now, &[], &[BROADCAST]);
    asked(&mut query);
    for bytes in [
        response(8, "ALERTS", &[(UNIQUE, host(9))]),
        response(7, "OTHER", &[(UNIQUE, host(9))]),
        response(7, "ALERTS", &[(UNIQUE, Ipv4Addr::BROADCAST)]),
        response(7, "ALERTS", &[(UNIQUE, Ipv4Addr::UNSPECIFIED)]),
        response(7, "ALERTS", &[]),
        negative(7),
        b"\x00\x07\x85\x00".to_vec(),
    ] {
        query.handle_input(now, host(9), &bytes);
        assert_eq!(query.poll_output(), None, "{bytes:02X?}");
    }
}

#[test]
fn servers_are_asked_one_after_the_other_and_then_everybody() {
    let now = start();
    let mut query = query(now, &[host(5), host(6)], &[BROADCAST]);
    assert_eq!(asked(&mut query), [host(5)]);
    query.handle_input(now, host(66), &response(7, "ALERTS", &[(UNIQUE, host(66))]));
    assert_eq!(query.poll_output(), None, "only the server that was asked is believed");
    query.handle_input(now, host(5), &negative(7));
    assert_eq!(asked(&mut query), [host(6)]);
    let mut at = now;
    for _ in 0..2 {
        at = query.poll_timeout().unwrap();
        query.handle_timeout(at);
        assert_eq!(asked(&mut query), [host(6)]);
    }
    assert_eq!(at, now + NameQuery::SERVER_TIMEOUT * 2);
    query.handle_timeout(at + NameQuery::SERVER_TIMEOUT);
    assert_eq!(asked(&mut query), [BROADCAST]);
    for _ in 0..3 {
        query.handle_timeout(query.poll_timeout().unwrap());
    }
    assert_eq!(answer(&mut query), Some(Answer::Nobody { denied_by: Some(host(5)) }));
}

#[test]
fn a_server_that_asks_to_wait_is_waited_for_in_bounds_and_not_asked_again() {
    let now = start();
    let mut query = query(now, &[host(5)], &[]);
    asked(&mut query);
    let question = Question::new(name("ALERTS"), Scope::default(), RecordType::NB);
    let wait = RecordData::Wait(Flags::QUERY);
    let record = ResourceRecord::about(&question, Duration::from_secs(1_000_000), wait);
    query.handle_input(now, host(5), &emitted(&Packet::response(7, Flags::WAIT, record)));
    assert_eq!(query.poll_timeout(), Some(now + NameQuery::LONGEST_WAIT));
    query.handle_timeout(now + Duration::from_secs(5));
    assert!(asked(&mut query).is_empty());
    query.handle_timeout(now + NameQuery::LONGEST_WAIT);
    assert_eq!(answer(&mut query), Some(Answer::Nobody { denied_by: None }));
}

#[test]
fn with_nobody_to_ask_it_is_over_at_once() {
    let mut query = query(start(), &[], &[]);
    assert_eq!(answer(&mut query), Some(Answer::Nobody { denied_by: None }));
}
