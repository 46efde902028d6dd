use jiff::SignedDuration;
use tempfile::TempDir;

use super::*;
use crate::inventory::Host;

fn day(day: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap() + SignedDuration::from_hours(24 * day)
}

const OFF: Configured = Configured::Off { exception_until: None };

fn configured(inbound: Configured) -> Mailslots {
    Mailslots { inbound, outbound: OFF }
}

fn open(folder: &TempDir, inbound: Configured, now: Timestamp) -> Switches {
    Switches::open(folder.path(), &configured(inbound), Arc::new(Metrics::new()), now).unwrap()
}

fn enable(until: Option<Timestamp>) -> Order {
    Order { directions: vec![Direction::Inbound], action: Action::Enable { until }, by: "alice".into() }
}

#[test]
fn an_order_survives_a_restart_and_says_who_gave_it_and_when() {
    let folder = tempfile::tempdir().unwrap();
    let switches = open(&folder, OFF, day(0));
    assert!(!switches.inbound().lets_through(day(0)));
    switches.order(&enable(Some(day(7))), day(0)).unwrap();
    assert!(switches.inbound().lets_through(day(6)) && !switches.inbound().lets_through(day(7)));
    let again = open(&folder, OFF, day(1));
    assert!(again.inbound().lets_through(day(6)) && !again.inbound().lets_through(day(7)));
    let [inbound, outbound] = again.status(day(1)).try_into().unwrap();
    assert_eq!((inbound.state, outbound.state), (Passing::Until { end: day(7) }, Passing::Off));
    let command = inbound.command.unwrap();
    assert_eq!((command.by.as_str(), command.at), ("alice", day(0)));
    assert_eq!(look(folder.path(), &configured(OFF), day(8)).unwrap()[0].state, Passing::Off);
}

#[test]
fn a_changed_configuration_takes_the_order_back() {
    let folder = tempfile::tempdir().unwrap();
    let disable = Order {
        directions: vec![Direction::Inbound],
        action: Action::Disable { until: None },
        by: "bob".into(),
    };
    open(&folder, Configured::On, day(0)).order(&disable, day(0)).unwrap();
    assert!(!open(&folder, Configured::On, day(1)).inbound().lets_through(day(1)));
    let changed = Configured::Off { exception_until: Some(day(30)) };
    assert!(open(&folder, changed, day(1)).inbound().lets_through(day(1)));
}

#[test]
fn reset_gives_the_configuration_its_word_back() {
    let folder = tempfile::tempdir().unwrap();
    let switches = open(&folder, OFF, day(0));
    switches.order(&enable(None), day(0)).unwrap();
    let reset = Order { action: Action::Reset, ..enable(None) };
    let status = switches.order(&reset, day(1)).unwrap();
    assert_eq!((status[0].state, &status[0].command), (Passing::Off, &None));
    assert!(!switches.inbound().lets_through(day(1)));
}

#[test]
fn each_announcement_is_made_once_also_across_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let until = Configured::Off { exception_until: Some(day(30)) };
    let mut made = Vec::new();
    for today in 0..32 {
        let switches = open(&folder, until, day(today));
        for _ in 0..2 {
            let last = [(Direction::Inbound, Passing::Until { end: day(30) })];
            let events = switches.look_after(&last, day(today));
            made.extend(events.announcements.iter().map(|(_, due)| (today, due.stage)));
        }
    }
    assert_eq!(made, [(16, Stage::FourteenDays), (27, Stage::ThreeDays), (29, Stage::OneDay)]);
}

#[test]
fn who_orders_an_end_is_not_told_of_it_at_once_but_later() {
    let folder = tempfile::tempdir().unwrap();
    let switches = open(&folder, OFF, day(0));
    switches.order(&enable(Some(day(7))), day(0)).unwrap();
    let last = [(Direction::Inbound, Passing::Until { end: day(7) })];
    assert!(switches.look_after(&last, day(0)).announcements.is_empty());
    assert_eq!(switches.look_after(&last, day(0)).next, Some(day(4)));
    assert_eq!(switches.look_after(&last, day(4)).announcements[0].1.stage, Stage::ThreeDays);
    let ended = switches.look_after(&last, day(7));
    assert_eq!(ended.changes, [(Direction::Inbound, Passing::Off)]);
}

#[test]
fn a_disabled_gateway_opens_again_when_the_order_ends() {
    let folder = tempfile::tempdir().unwrap();
    let switches = open(&folder, Configured::On, day(0));
    let disable = Order { action: Action::Disable { until: Some(day(1)) }, ..enable(None) };
    switches.order(&disable, day(0)).unwrap();
    assert!(!switches.inbound().lets_through(day(0)));
    let events = switches.look_after(&[(Direction::Inbound, Passing::Off)], day(1));
    assert_eq!(events.changes, [(Direction::Inbound, Passing::On)]);
    assert!(switches.inbound().lets_through(day(1)) && !events.sends_again());
}

#[test]
fn when_an_outbound_order_ends_what_waited_for_it_goes_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let on = Mailslots { inbound: Configured::On, outbound: Configured::On };
    let switches = Switches::open(folder.path(), &on, Arc::new(Metrics::new()), day(0)).unwrap();
    let directions = vec![Direction::Outbound];
    let disable = Order { directions, action: Action::Disable { until: Some(day(1)) }, by: "alice".into() };
    switches.order(&disable, day(0)).unwrap();
    assert!(!switches.look_after(&[(Direction::Outbound, Passing::Off)], day(0)).sends_again());
    assert!(switches.look_after(&[(Direction::Outbound, Passing::Off)], day(1)).sends_again());
}

#[test]
fn a_damaged_file_is_set_aside_and_the_configuration_counts() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(record::FILE), b"{ \"inbound\": ").unwrap();
    assert!(look(folder.path(), &configured(OFF), day(0)).unwrap_err().to_string().contains("delete it"));
    assert!(open(&folder, Configured::On, day(0)).inbound().lets_through(day(0)));
    let names: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names, [format!("mailslots.json.damaged-{}", day(0).as_second())]);
}

#[test]
fn an_order_that_cannot_be_kept_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let switches = open(&folder, OFF, day(0));
    drop(folder);
    assert!(switches.order(&enable(None), day(0)).is_err());
    assert!(!switches.inbound().lets_through(day(0)));
}

#[test]
fn the_hosts_that_sent_messages_lately_are_named_and_the_rest_are_counted() {
    let host = |number: i64, last: Option<i64>| -> Host {
        let messages = last.map(|last| {
            serde_json::json!({
                "channel": "session", "from": "A", "to": "B", "count": 1, "last_seen": day(last).to_string(),
            })
        });
        serde_json::from_value(serde_json::json!({
            "name": format!("CNC-{number:02}"), "named_by": "computer", "roles": [], "addresses": [], "channels": [],
            "messages": messages.into_iter().collect::<Vec<_>>(), "sightings": 1,
            "first_seen": day(0).to_string(), "last_seen": day(100).to_string(),
        }))
        .unwrap()
    };
    let mut hosts: Vec<Host> = (1..=14).map(|number| host(number, Some(70 + number))).collect();
    hosts.extend([host(50, None), host(51, Some(69))]);
    let depending = Depending::among(&hosts, day(100));
    assert_eq!((depending.count, depending.names[0].as_str()), (14, "CNC-14"));
    assert!(depending.to_string().ends_with("CNC-03 and 2 others"), "{depending}");
    assert_eq!(Depending::default().to_string(), "nobody");
}
