//! A genuine nmbd on the same LAN: mailslotd hears it, sends nothing itself, and does not share a host with it.

use std::time::Duration;

use support::lan_gateway::Gateway;
use support::namespace::{Lan, output, wait_for};
use support::require;
use support::samba::Nmbd;

mod support;

#[test]
fn what_nmbd_announces_is_heard_and_not_one_packet_is_sent() {
    let lan = require!(Lan::new(2));
    let gateway = Gateway::start(lan.host(0));
    gateway.wait_until_ready();
    let nmbd = require!(Nmbd::start(&lan.host(1), "SMBALPHA"));

    let what = "nmbd's announcements are counted under their mailslot";
    wait_for(Duration::from_secs(60), what, || {
        assert!(!nmbd.said().contains("ERROR"), "{}", nmbd.said());
        (gateway.sum("mailslotd_notices_total{mailslot=\"browse\"") >= 1).then_some(())
    });
    for reason in ["malformed_datagram", "malformed_transaction", "malformed_message", "not_a_mailslot_write"]
    {
        let dropped = format!("mailslotd_datagrams_dropped_total{{reason=\"{reason}\"}}");
        assert_eq!(gateway.sum(&dropped), 0, "{dropped}");
    }
    assert!(gateway.sum("mailslotd_datagrams_received_total") >= 1);
    assert_eq!(gateway.sum("mailslotd_netbios_packets_sent_total"), 0);
    assert_eq!(gateway.host.packets_sent(), 0, "in mode observe nothing leaves the host");
}

#[test]
fn nmbd_is_inventoried_with_its_system_and_its_roles() {
    let lan = require!(Lan::new(2));
    let gateway = Gateway::start(lan.host(0));
    gateway.wait_until_ready();
    let nmbd = require!(Nmbd::start(&lan.host(1), "SMBALPHA"));

    let host = wait_for(Duration::from_secs(60), "nmbd is in the inventory", || {
        assert!(!nmbd.said().contains("ERROR"), "{}", nmbd.said());
        let inventory = gateway.inventory();
        let hosts = inventory["hosts"].as_array().unwrap();
        // Its announcements come one after the other, by BROWSE and by LANMAN.
        hosts.iter().find(|host| host["channels"].as_array().unwrap().len() == 2).cloned()
    });
    assert_eq!(host["name"], "SMBALPHA");
    assert_eq!((&host["workgroup"], &host["named_by"]), (&"NBLAB".into(), &"computer".into()));
    assert_eq!(host["system"], serde_json::json!({ "system": "Samba", "certainty": "high" }));
    let roles = host["roles"].as_array().unwrap();
    assert!(roles.contains(&"file-server".into()), "{host}");
    assert!(!roles.contains(&"master-browser".into()), "{host}");
    assert_eq!(host["addresses"][0]["address"], lan.host(1).address.as_str());
    // LAN Managers read it in upper case.
    assert!(host["comment"].as_str().unwrap().eq_ignore_ascii_case("a host of the lab"), "{host}");
    assert_eq!(host["if_switched_off"], "announces");
}

#[test]
fn beside_an_nmbd_on_the_same_host_it_refuses_to_start_and_says_whose_the_port_is() {
    let lan = require!(Lan::new(1));
    let _nmbd = require!(Nmbd::start(&lan.host(0), "SMBALPHA"));
    let host = lan.host(0);
    wait_for(Duration::from_secs(30), "nmbd has its port", || {
        let sockets = output(host.command("cat").arg("/proc/net/udp")).unwrap();
        sockets.contains(":008A ").then_some(())
    });
    let mut gateway = Gateway::start(host);
    let status = gateway.ended(Duration::from_secs(20));
    assert_eq!(status.code(), Some(69), "{}", gateway.said());
    assert!(gateway.said().contains("nmbd (pid "), "{}", gateway.said());
}
