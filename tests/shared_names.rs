//! Names on UDP 137 in a group of gateways: one owns them, and another when that one goes.
#![cfg(feature = "nats")]

use std::time::Duration;

use support::lan_gateway::Gateway;
use support::namespace::{Host, Lan, Running, wait_for};
use support::{nats_server, require};

mod support;

/// A nats-server on a host.
fn server(host: &Host, dir: &std::path::Path) -> Running {
    let config = dir.join("nats.conf");
    let text = format!("listen: {}:4222\njetstream: {{ store_dir: \"{}\" }}\n", host.address, dir.display());
    std::fs::write(&config, text).unwrap();
    host.start("nats-server", &["--config", config.to_str().unwrap()], dir.join("log"))
}

fn gateway(lan: &Lan, number: usize) -> Gateway {
    let host = lan.host(number);
    let settings = format!(
        "hostname: gw{number}.plant.example
netbios: {{ code_page: cp850, mode: answer, names: [ALERTS] }}
destinations:
  inbox: {{ maildir: {{ path: /var/lib/mailslotd/never-used }} }}
  bus: {{ nats: {{ servers: ['nats://{}:4222'], stream: EVENTS }} }}
rules:
  - {{ name: all, match: any, deliver: [{{ via: inbox, to: notices }}] }}
spool: {{ nats: bus, replicas: 1 }}
",
        lan.host(0).address
    );
    Gateway::start_with(host, &settings)
}

fn owned(gateway: &Gateway) -> u64 {
    let metrics = gateway.host.get(9138, "/metrics").unwrap_or_default();
    let claimed = metrics.lines().filter(|line| {
        line.starts_with("mailslotd_netbios_names{")
            && line.contains("state=\"claimed\"")
            && line.ends_with(" 1")
    });
    u64::try_from(claimed.count()).unwrap()
}

#[test]
fn one_gateway_of_a_group_owns_the_names_and_another_when_it_stops_or_dies() {
    require!(nats_server::installed());
    let lan = require!(Lan::new(3));
    let dir = tempfile::tempdir().unwrap();
    let _server = server(&lan.host(0), dir.path());
    let within = Duration::from_secs(40);
    let owns = |gateway: &Gateway| (owned(gateway) > 0).then_some(());

    let mut one = gateway(&lan, 1);
    wait_for(within, "the first owns the names", || owns(&one));
    let other = gateway(&lan, 2);
    other.wait_until_ready();
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!((owned(&one) > 0, owned(&other)), (true, 0), "the first keeps them");

    one.stop();
    wait_for(within, "the other owns them", || owns(&other));
    one.start_again();
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!((owned(&one), owned(&other) > 0), (0, true), "nobody takes them from a gateway that lives");

    // As a power cut would end it.
    drop(other);
    wait_for(within, "the first owns them again", || owns(&one));
}
