use std::path::Path;

use bytes::Bytes;
use jiff::tz::TimeZone;

use super::*;
use crate::config::check::{Secrets, Source, Surroundings, check};
use crate::config::settings::DestinationKind;
use crate::message::id::QueueId;
use crate::message::mail::{Content, Gathered, Priority};
use crate::message::notice::{Arrival, Encoding, Kind, Listener, Name, Notice};
use crate::message::recipient::RecipientNumber;
use crate::wire::netbios_name::NameType;

/// The displays of a gateway GW1 that is ALERTS as well.
fn displays(keys: &str) -> Netbios {
    let text = format!(
        "netbios: {{ mode: answer, host_name: GW1, names: [ALERTS], code_page: cp850 }}\n\
         destinations: {{ displays: {{ netbios: {{ {keys} }} }} }}\n"
    );
    let surroundings = Surroundings {
        state_dir: Path::new("/var/lib/mailslotd").into(),
        timezone: TimeZone::UTC,
        routers: Vec::new(),
        interfaces: Vec::new(),
        secrets: Secrets::Offline,
    };
    let checked = check(&[Source { file: "mailslotd.yaml", text: &text }], &surroundings).unwrap();
    let destination = checked.settings.destinations.iter().find_map(|destination| {
        let DestinationKind::Netbios(displays) = &destination.kind else { return None };
        Some((destination.name.clone(), displays.clone()))
    });
    let (name, displays) = destination.unwrap();
    let metrics = Arc::new(Metrics::new());
    Netbios::new(name, &displays, &checked.settings, &LegacySide::default(), &metrics)
}

fn spooled(body: Body) -> Spooled {
    Spooled {
        id: QueueId::from_row(7).unwrap(),
        body,
        accepted_at: Timestamp::UNIX_EPOCH,
        expires_at: Timestamp::UNIX_EPOCH,
        priority: Priority::Normal,
        rule: None,
    }
}

fn notice(text: &str) -> Body {
    let name = |text: &'static str| Name { text: text.into(), name_type: NameType::MESSENGER };
    Body::Notice(Box::new(Gathered::one(Notice {
        arrival: Arrival {
            at: Timestamp::UNIX_EPOCH,
            source: "192.0.2.7:138".parse().unwrap(),
            destination: None,
            interface: None,
            listener: Listener::Datagram,
        },
        dgm_id: 1,
        source_name: name("UPS7"),
        destination_name: name("ALERTS"),
        mailslot: r"\MAILSLOT\MESSNGR".into(),
        originator: "UPS7".into(),
        to: "ALERTS".into(),
        text: text.to_owned().into(),
        encoding: Encoding { code_page: CodePage::Cp850, lossy: false },
        kind: Kind::Messenger,
        data: Vec::new().into(),
    })))
}

fn mail(content: &'static str) -> Body {
    Body::Mail {
        reverse_path: None,
        content: Content::Inline(Bytes::from_static(content.as_bytes())),
        submitted: Box::default(),
    }
}

/// The one recipient's outcome, as the queue shows it.
async fn delivered(displays: &Netbios, body: Body, to: &str) -> String {
    let recipient = Recipient::new(DestinationName::new("displays").unwrap(), to);
    let attempt = Attempt { message: spooled(body), recipients: vec![(RecipientNumber(0), recipient)] };
    let report = displays.deliver(attempt).await;
    assert_eq!(report.health, Health::Up);
    report.outcomes.first().unwrap().1.to_string()
}

#[tokio::test]
async fn a_name_of_our_own_is_a_circle_however_it_is_written() {
    let displays = displays("");
    for to in ["ALERTS", "alerts", "gw1", "alerts@displays.plant.example"] {
        let outcome = delivered(&displays, notice("door open"), to).await;
        let expected = "failed: 5.4.6 the message is for a name that this gateway itself answers to";
        assert_eq!(outcome, expected, "{to}");
    }
}

#[tokio::test]
async fn what_a_gateway_sent_to_a_display_goes_to_no_other_one() {
    let displays = displays("unconfirmed: accept");
    for body in [
        notice("UPS7: door open\n[mailslotd GW2]"),
        mail("Subject: UPS7\r\n\r\nUPS7: door open\r\n[mailslotd GW2]\r\n"),
    ] {
        let outcome = delivered(&displays, body, "PC01").await;
        assert!(outcome.starts_with("failed: 5.4.6 "), "{outcome}");
    }
}

#[tokio::test]
async fn nobody_confirms_a_broadcast_so_it_needs_a_word_of_the_operator() {
    let displays = displays("");
    for to in ["*", "/domain:PLANT"] {
        let outcome = delivered(&displays, notice("door open"), to).await;
        assert!(outcome.starts_with("failed: 5.3.3 nobody confirms"), "{outcome}");
    }
}

#[tokio::test]
async fn a_recipient_of_a_mail_is_one_display_and_never_everybody() {
    let displays = displays("unconfirmed: accept");
    for to in ["*@displays.plant.example", "\"/domain:PLANT\"@displays.plant.example"] {
        let outcome = delivered(&displays, mail("Subject: x\r\n\r\n"), to).await;
        assert!(outcome.contains("is no name of a display"), "{outcome}");
    }
    let outcome =
        delivered(&displays, mail("Subject: x\r\n\r\n"), "much.too.long.a.name@displays.example").await;
    assert!(outcome.starts_with("failed: 5.1.3 "), "{outcome}");
}

#[tokio::test]
async fn nobody_is_sent_their_own_message() {
    let displays = displays("unconfirmed: accept");
    let outcome = delivered(&displays, notice("door open"), "ups7").await;
    assert_eq!(outcome, "failed: 5.4.6 the message came from the host that it would go to");
}

#[tokio::test]
async fn while_it_is_switched_off_messages_wait_and_none_is_blamed() {
    let displays = displays("");
    displays.0.outbound.close();
    let recipient = Recipient::new(DestinationName::new("displays").unwrap(), "PC01");
    let attempt =
        Attempt { message: spooled(notice("door open")), recipients: vec![(RecipientNumber(0), recipient)] };
    let report = displays.deliver(attempt).await;
    assert!(report.outcomes.is_empty());
    let Health::OperatorFault { reason } = report.health else { panic!("{report:?}") };
    assert!(reason.starts_with("system error 3025 has occurred: "), "{reason}");
}

#[tokio::test]
async fn a_display_shows_who_sent_what_and_a_rules_subject_first() {
    let message = spooled(notice("on battery"));
    assert_eq!(text::of(&message, None).await.unwrap(), "UPS7: on battery");
    assert_eq!(text::of(&message, Some("UPS alarm")).await.unwrap(), "UPS alarm\non battery");
}

#[tokio::test]
async fn a_display_that_was_away_a_moment_ago_holds_up_nobody() {
    let displays = displays("");
    let name = NetbiosName::new(b"PC09", NameType::MESSENGER).unwrap();
    displays.0.away.was_away(name, Instant::now());
    let recipient = Recipient::new(DestinationName::new("displays").unwrap(), "pc09");
    let outcome = displays.0.deliver(&spooled(notice("door open")), &recipient).await;
    let Err(Outcome::Delayed { status, retry_after: Some(rest), .. }) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(status, NO_ANSWER);
    assert!(rest <= displays.0.away.rest() && !rest.is_zero(), "{rest:?}");
}

#[tokio::test]
async fn messages_that_waited_for_a_turn_go_back_when_the_one_before_them_found_nobody() {
    let displays = displays("");
    let (to, name) =
        (Addressee::Name("PC09".to_owned()), NetbiosName::new(b"PC09", NameType::MESSENGER).unwrap());
    let turn = displays.0.turn(&to, name).await.unwrap();
    let waiting = tokio::spawn({
        let (displays, to) = (displays.clone(), to.clone());
        async move { displays.0.turn(&to, name).await.map(drop) }
    });
    tokio::task::yield_now().await;
    displays.0.away.was_away(name, Instant::now());
    drop(turn);
    assert!(matches!(waiting.await.unwrap(), Err(Outcome::Delayed { .. })));
}
