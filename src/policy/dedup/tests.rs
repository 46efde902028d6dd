use jiff::Timestamp;

use super::*;
use crate::message::notice::{Arrival, Encoding, Name};
use crate::wire::netbios_name::NameType;
use crate::wire::oem_text::CodePage;

const WINDOW: Duration = Duration::from_secs(5);
const SECOND: Duration = Duration::from_secs(1);

#[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
fn start() -> Instant {
    Instant::now()
}

fn notice(source: &str, text: &'static str) -> Notice<'static> {
    let name = || Name { text: "UPS7".into(), name_type: NameType::MESSENGER };
    Notice {
        arrival: Arrival {
            at: Timestamp::UNIX_EPOCH,
            source: source.parse().unwrap(),
            destination: None,
            interface: None,
            listener: Listener::Datagram,
        },
        dgm_id: 7,
        source_name: name(),
        destination_name: name(),
        mailslot: r"\MAILSLOT\MESSNGR".into(),
        originator: "UPS7".into(),
        to: "ALERTS".into(),
        text: text.into(),
        encoding: Encoding { code_page: CodePage::Cp850, lossy: false },
        kind: Kind::Messenger,
        data: text.as_bytes().into(),
    }
}

#[test]
fn a_copy_within_the_window_is_one_whatever_its_identifier_port_and_interface() {
    let (mut dedup, now) = (Dedup::new(), start());
    let first = dedup.fingerprint(&notice("192.0.2.7:138", "on battery"));
    dedup.heard(first, WINDOW, now);
    let mut copy = notice("192.0.2.7:49152", "on battery");
    (copy.dgm_id, copy.arrival.interface) = (8, Some(3));
    let copy = dedup.fingerprint(&copy);
    assert!(dedup.is_copy(copy, Listener::Datagram, WINDOW, now + 4 * SECOND));
    assert!(!dedup.is_copy(copy, Listener::Datagram, WINDOW, now + WINDOW));
}

#[test]
fn another_source_text_name_or_mailslot_is_another_message() {
    let (mut dedup, now) = (Dedup::new(), start());
    dedup.heard(dedup.fingerprint(&notice("192.0.2.7:138", "on battery")), WINDOW, now);
    let base = || notice("192.0.2.7:138", "on battery");
    let others = [
        notice("192.0.2.8:138", "on battery"),
        notice("192.0.2.7:138", "on mains"),
        Notice { originator: "UPS8".into(), ..base() },
        Notice { to: "OPS".into(), ..base() },
        Notice { mailslot: r"\MAILSLOT\OTHER".into(), ..base() },
        // The same bytes, cut at another place.
        Notice { originator: "UPS".into(), to: "7ALERTS".into(), ..base() },
    ];
    for other in others {
        let fingerprint = dedup.fingerprint(&other);
        assert!(!dedup.is_copy(fingerprint, Listener::Datagram, WINDOW, now), "{other:?}");
    }
}

#[test]
fn binary_data_is_compared_though_it_has_no_text() {
    let dedup = Dedup::new();
    let binary = |data: &'static [u8]| Notice {
        kind: Kind::Binary,
        text: "".into(),
        data: data.into(),
        ..notice("192.0.2.7:138", "")
    };
    assert_ne!(dedup.fingerprint(&binary(b"\x01")), dedup.fingerprint(&binary(b"\x02")));
    assert_eq!(dedup.fingerprint(&binary(b"\x01")), dedup.fingerprint(&binary(b"\x01")));
}

#[test]
fn copies_do_not_prolong_the_window_so_an_alarm_every_two_seconds_is_heard_again() {
    let (mut dedup, now) = (Dedup::new(), start());
    let alarm = dedup.fingerprint(&notice("192.0.2.7:138", "on battery"));
    let mut heard = Vec::new();
    for second in (0..20).step_by(2) {
        let at = now + SECOND * second;
        if !dedup.is_copy(alarm, Listener::Datagram, WINDOW, at) {
            heard.push(second);
        }
        dedup.heard(alarm, WINDOW, at);
    }
    assert_eq!(heard, [0, 6, 12, 18]);
}

#[test]
fn a_session_is_told_that_its_message_is_safe_only_when_the_first_copy_is() {
    let (mut dedup, now) = (Dedup::new(), start());
    let alarm = dedup.fingerprint(&notice("192.0.2.7:138", "on battery"));
    dedup.heard(alarm, WINDOW, now);
    assert!(!dedup.is_copy(alarm, Listener::Messenger, WINDOW, now), "a datagram may still be lost");
    dedup.durable(alarm, now, WINDOW, now + SECOND);
    assert!(dedup.is_copy(alarm, Listener::Messenger, WINDOW, now + SECOND));
    assert!(dedup.is_copy(alarm, Listener::Datagram, WINDOW, now + SECOND));
    assert!(!dedup.is_copy(alarm, Listener::Messenger, WINDOW, now + WINDOW), "counted from the first");
}

#[test]
fn a_message_that_was_lost_on_its_way_to_the_spool_has_no_copies() {
    let (mut dedup, now) = (Dedup::new(), start());
    let alarm = dedup.fingerprint(&notice("192.0.2.7:138", "on battery"));
    dedup.heard(alarm, WINDOW, now);
    dedup.lost(alarm, now + SECOND);
    assert!(dedup.is_copy(alarm, Listener::Datagram, WINDOW, now), "another one was lost");
    dedup.lost(alarm, now);
    assert!(!dedup.is_copy(alarm, Listener::Datagram, WINDOW, now));
    dedup.durable(alarm, now, WINDOW, now);
    dedup.lost(alarm, now);
    assert!(dedup.is_copy(alarm, Listener::Datagram, WINDOW, now), "what is durable cannot be lost");
}

#[test]
fn a_flood_of_different_messages_keeps_only_the_newest() {
    let (mut dedup, now) = (Dedup::new(), start());
    for number in 0..u64::try_from(Dedup::LIMIT * 2).unwrap() {
        dedup.heard(Fingerprint(number), WINDOW, now);
    }
    assert_eq!((dedup.taken.len(), dedup.in_order.len()), (Dedup::LIMIT, Dedup::LIMIT));
    assert!(!dedup.is_copy(Fingerprint(0), Listener::Datagram, WINDOW, now));
    dedup.heard(Fingerprint(u64::MAX), WINDOW, now + WINDOW);
    assert_eq!((dedup.taken.len(), dedup.in_order.len()), (1, 1), "what is old makes room without a timer");
}
