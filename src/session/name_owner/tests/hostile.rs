//! Properties that hold whatever is heard.

use proptest::prelude::*;

use super::*;

/// A packet that a hostile neighbour might send: any flags, any of our names or another, any record, any transaction
/// near ours.
fn any_packet() -> impl Strategy<Value = Packet<'static>> {
    let names = prop_oneof![
        Just(name("ALERTS", 3)),
        Just(name("GW1", 0)),
        Just(name("GW1", 0x20)),
        Just(name("PLANT", 0)),
        Just(name("PLANT", 0x1D)),
        Just(name("*", 0)),
        Just(name("NOBODY", 3)),
    ];
    let flags = prop_oneof![
        any::<u16>(),
        prop::sample::select(vec![
            0x0110_u16, 0x0000, 0x2910, 0x2810, 0x7900, 0x4000, 0x4800, 0x3010, 0x3000, 0xAD80, 0xAD85,
            0xAD86, 0xAD87, 0xAD00, 0xBC00, 0x8500, 0x8583, 0xB400,
        ]),
    ];
    let transaction = prop_oneof![any::<u16>(), 0x0100_u16..0x0140];
    let record_type = prop_oneof![Just(RecordType::NB), Just(RecordType::NBSTAT), Just(RecordType::NULL)];
    (names, flags, transaction, record_type, any::<u16>(), any::<u8>(), any::<u32>()).prop_map(
        |(name, flags, transaction, record_type, nb_flags, number, ttl)| {
            let question = Question { record_type, ..about(name) };
            let address = NbAddress { flags: NameFlags(nb_flags), address: *host(number).ip() };
            let ttl = Duration::from_secs(ttl.into());
            let record = ResourceRecord::about(&question, ttl, RecordData::Addresses(vec![address]));
            Packet {
                answers: vec![record.clone()],
                additionals: vec![record],
                ..Packet::query(transaction, Flags(flags), question)
            }
        },
    )
}

fn any_destination() -> impl Strategy<Value = Ipv4Addr> {
    prop::sample::select(vec![OURS, BROADCAST, Ipv4Addr::BROADCAST, Ipv4Addr::new(203, 0, 113, 9)])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_name_that_is_ours_stays_ours_whatever_neighbours_send(
        acts in prop::collection::vec((any_packet(), any_destination(), 0_u8..=255, 0_u64..2000), 0..60)
    ) {
        let wins = vec![*host(5).ip()];
        let mut lab = Lab::with(identity(&["ALERTS"], NameAskers { wins, allow: Vec::new() })).settle();
        for (packet, destination, number, pause) in acts {
            lab.hear(host(number), destination, &packet);
            lab.pass(Duration::from_millis(pause));
        }
        for link in &lab.owner.links {
            prop_assert!(link.claims.iter().all(Claim::is_owned));
        }
    }

    #[test]
    fn no_packet_makes_more_leave_than_a_bounded_multiple_of_it(
        packet in any_packet(), destination in any_destination(), number in 0_u8..=255
    ) {
        let mut lab = Lab::settled();
        lab.hear(host(number), destination, &packet);
        let sent: usize = lab.payloads.iter().map(Vec::len).sum();
        prop_assert!(sent <= 11 * answer::emit(&packet).len());
        prop_assert!(lab.payloads.len() <= 1);
        // An answer goes to the source; what else leaves is our own claim to our own network.
        let source = host(number).to_string();
        prop_assert!(lab.sent.iter().all(|line| line.ends_with(&source) || line.contains(" 2810 ")));
    }

    #[test]
    fn nothing_is_ever_said_about_the_names_of_browsers(
        packets in prop::collection::vec((any_packet(), any_destination(), 0_u8..=255), 0..40)
    ) {
        let mut lab = Lab::new();
        lab.link(&[link()]);
        for (packet, destination, number) in packets {
            lab.hear(host(number), destination, &packet);
            lab.pass(Duration::from_millis(100));
        }
        // To a question to us alone we say that they are not ours.
        let of_browser = |line: &&String| line.contains("PLANT<1D>") && !line.contains(" 8503 ");
        prop_assert_eq!(lab.sent.iter().find(of_browser), None);
    }
}
