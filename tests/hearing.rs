//! What becomes of messages that could be delivered: once and not twice, not more than their share, and not while the
//! switch is off.

mod support;

use std::process::Output;
use std::time::Duration;

use support::lan_gateway::{Gateway, PROGRAM};
use support::messngr::messngr;
use support::namespace::{BROADCAST, Host, Lan, output, wait_for};
use support::python::Python;
use support::require;

const PATIENCE: Duration = Duration::from_secs(30);

fn sends(host: &Host, text: &str) {
    output(host.command(PROGRAM).args(["send", "--from", "UPS7", "ALERTS", text])).unwrap();
}

#[test]
fn a_broadcast_that_two_interfaces_hear_is_one_mail() {
    let lan = require!(Lan::new(2));
    lan.add_interface(0, "192.0.2.101");
    let gateway = Gateway::start(lan.host(0));
    gateway.wait_until_ready();
    sends(&lan.host(1), "on battery");
    wait_for(PATIENCE, "both copies are heard", || {
        (gateway.sum("mailslotd_datagrams_received_total") == 2).then_some(())
    });
    wait_for(PATIENCE, "the mail is in the inbox", || (!gateway.inbox().is_empty()).then_some(()));
    let withheld = r#"mailslotd_notices_withheld_total{listener="datagram",reason="duplicate"}"#;
    assert_eq!((gateway.inbox().len(), gateway.sum(withheld)), (1, 1));
}

/// Sends `count` messages that differ, as fast as it goes.
const FLOOD: &str = r"
import socket, sys
sample, to, first, count = bytes.fromhex(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
for number in range(first, first + count):
    s.sendto(sample.replace(b'00000', b'%05d' % number), (to, 138))
";

fn flood(host: &Host, first: u32, count: u32) {
    let sample: String = messngr("CNC-07", "alarm 00000").iter().map(|byte| format!("{byte:02x}")).collect();
    let numbers = [first, count].map(|number| number.to_string());
    let mut python = host.command("python3");
    output(python.args(["-c", FLOOD, &sample, BROADCAST]).args(numbers)).unwrap();
}

#[test]
fn a_source_that_floods_is_throttled_and_another_is_served() {
    let lan = require!(Lan::new(3));
    require!(Python::find());
    let gateway = Gateway::start(lan.host(0));
    gateway.wait_until_ready();
    flood(&lan.host(1), 1, 5000);
    sends(&lan.host(2), "on battery");
    wait_for(PATIENCE, "the other one's mail is in the inbox", || {
        gateway.inbox().iter().any(|mail| mail.contains("on battery")).then_some(())
    });
    let throttled =
        gateway.sum(r#"mailslotd_notices_withheld_total{listener="datagram",reason="throttled"}"#);
    let lost = gateway.sum(r#"mailslotd_datagrams_dropped_total{reason="kernel"}"#);
    let taken = 5000 - throttled - lost;
    assert!((100..1000).contains(&taken), "{taken} of 5000 taken, {throttled} throttled, {lost} lost");
    assert!(gateway.said().contains("more than `netbios.rate` allows"), "{}", gateway.said());

    wait_for(PATIENCE, "a later message says how many were dropped", || {
        flood(&lan.host(1), 90_000, 1);
        let told = |mail: &&String| mail.contains("X-Mailslot-Held-Back: ");
        gateway.inbox().iter().find(told).map(|_| ())
    });
}

/// What a command of the gateway's host said, and its exit code.
fn ordered(gateway: &Gateway, arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = gateway.command(arguments).output().unwrap();
    let text = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    (status.code(), text)
}

#[test]
fn while_switched_off_nothing_is_delivered_and_a_restart_changes_nothing() {
    let lan = require!(Lan::new(2));
    let mut gateway = Gateway::start(lan.host(0));
    gateway.wait_until_ready();
    let (code, text) = ordered(&gateway, &["mailslots", "disable", "--inbound"]);
    assert!(code == Some(64) && text.contains("--yes"), "without a terminal nobody can say yes: {text}");
    let (code, text) = ordered(&gateway, &["mailslots", "disable", "--inbound", "--yes"]);
    assert!(code == Some(0) && text.contains("Inbound (messages heard): disabled"), "{text}");

    let switched_off = r#"mailslotd_notices_withheld_total{listener="datagram",reason="switched_off"}"#;
    let heard = |gateway: &Gateway| gateway.sum(switched_off);
    sends(&lan.host(1), "number 1");
    wait_for(PATIENCE, "it is heard", || (heard(&gateway) == 1).then_some(()));
    gateway.restart();
    assert!(gateway.said().contains("switched off"), "{}", gateway.said());
    assert_eq!(gateway.sum(r#"mailslotd_mailslots_enabled{direction="inbound"}"#), 0);
    sends(&lan.host(1), "number 2");
    wait_for(PATIENCE, "it is heard", || (heard(&gateway) == 1).then_some(()));
    let channel = |gateway: &Gateway| gateway.inventory()["hosts"][0]["messages"][0]["count"].as_u64();
    wait_for(PATIENCE, "it is inventoried all the same", || (channel(&gateway) >= Some(1)).then_some(()));
    assert_eq!(gateway.inbox().len(), 0);

    gateway.stop();
    let (code, text) = ordered(&gateway, &["mailslots", "enable", "--inbound", "--for", "7d", "--yes"]);
    assert!(code == Some(0) && text.contains("order: enabled by"), "without a running gateway: {text}");
    gateway.start_again();
    sends(&lan.host(1), "number 3");
    wait_for(PATIENCE, "it is delivered", || (gateway.inbox().len() == 1).then_some(()));
    assert!(gateway.inbox()[0].contains("number 3"));
    let (_, text) = ordered(&gateway, &["status"]);
    assert!(text.contains("see `mailslotd mailslots status`"), "{text}");
    let (_, text) = ordered(&gateway, &["mailslots", "reset", "--yes", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status["switches"][0]["state"]["passing"], "on", "{text}");
    assert_eq!(status["heard_lately"]["names"][0], "UPS7", "{text}");
}

#[test]
fn send_says_what_windows_says_unless_it_is_allowed_or_to_this_machine() {
    let lan = require!(Lan::new(1));
    let gateway = Gateway::start(lan.host(0));
    gateway.wait_until_ready();
    let send = |arguments: &[&str]| ordered(&gateway, &[&["send", "--from", "GW1"], arguments].concat());
    let (code, text) = send(&["ALERTS", "hello"]);
    assert!(code == Some(1) && text.contains("system error 3025"), "{text}");
    assert_eq!(gateway.host.packets_sent(), 0);
    for own in ["127.0.0.1", "192.0.2.1"] {
        let (code, text) = send(&["--address", own, "ALERTS", &format!("hello {own}")]);
        assert_eq!(code, Some(0), "{text}");
    }
    wait_for(PATIENCE, "what it sent to itself is delivered", || (gateway.inbox().len() == 2).then_some(()));
    let (code, text) = ordered(&gateway, &["mailslots", "enable", "--outbound", "--for", "1h", "--yes"]);
    assert!(code == Some(0) && text.contains("Outbound (messages sent): enabled until"), "{text}");
    let (code, text) = send(&["ALERTS", "hello"]);
    assert_eq!(code, Some(0), "{text}");
}
