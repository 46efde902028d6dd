//! Messages across a LAN of several hosts, broadcasts included.

use std::time::Duration;

use support::lan_gateway::{Gateway, PROGRAM};
use support::namespace::{BROADCAST, Lan, output, wait_for};
use support::require;

mod support;

#[test]
fn a_message_broadcast_to_a_name_arrives_in_the_inbox_of_another_host() {
    let lan = require!(Lan::new(2));
    let gateway = Gateway::start(lan.host(0));
    gateway.wait_until_ready();
    let sender = lan.host(1);

    let mut send = sender.command(PROGRAM);
    let said = output(send.args(["send", "--from", "UPS7", "ALERTS", "on", "battery"])).unwrap();
    assert_eq!(said, format!("sent to {}:138\n", BROADCAST));

    let mail = wait_for(Duration::from_secs(30), "the mail is in the inbox", || gateway.inbox().pop());
    for part in ["UPS7", "ALERTS", "on battery", &sender.address] {
        assert!(mail.contains(part), "{part} is not in\n{mail}");
    }
    assert_eq!(gateway.sum("mailslotd_notices_total{mailslot=\"messngr\""), 1);
    assert_eq!(gateway.host.packets_sent(), 0, "in mode observe nothing leaves the host");
}

#[test]
fn a_message_to_a_workgroup_and_one_to_everyone_are_heard_as_well() {
    let lan = require!(Lan::new(2));
    let gateway = Gateway::start(lan.host(0));
    gateway.wait_until_ready();
    for to in ["/domain:PLANT", "*"] {
        output(lan.host(1).command(PROGRAM).args(["send", "--from", "NT4SRV", to, "backup failed"])).unwrap();
    }
    wait_for(Duration::from_secs(30), "both are in the inbox", || (gateway.inbox().len() == 2).then_some(()));
}
