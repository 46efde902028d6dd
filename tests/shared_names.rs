//! Names on UDP 137 in a group of gateways: one owns them, and another when that one goes.
#![cfg(feature = "nats")]
#![expect(clippy::disallowed_methods, reason = "real processes live on the real clock")]

use std::io::Write as _;
use std::time::{Duration, Instant};

use support::lan_gateway::Gateway;
use support::namespace::{Host, Lan, Running, output, wait_for};
use support::{nats_server, require};

mod support;

/// A line past the test harness.
macro_rules! note {
    ($($said:tt)*) => {
        writeln!(std::io::stderr(), $($said)*).unwrap()
    };
}

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

/// How long it takes until a gateway owns the names.
fn until_owned(gateway: &Gateway) -> Duration {
    let begun = Instant::now();
    wait_for(Duration::from_secs(40), "it owns the names", || (owned(gateway) > 0).then_some(()));
    begun.elapsed()
}

#[test]
fn one_gateway_of_a_group_owns_the_names_and_another_within_seconds_when_it_stops_or_dies() {
    require!(nats_server::installed());
    let lan = require!(Lan::new(3));
    let dir = tempfile::tempdir().unwrap();
    let _server = server(&lan.host(0), dir.path());

    let mut one = gateway(&lan, 1);
    until_owned(&one);
    let other = gateway(&lan, 2);
    other.wait_until_ready();
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!((owned(&one) > 0, owned(&other)), (true, 0), "the first keeps them");

    one.stop();
    let stopped = until_owned(&other);
    one.start_again();
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!((owned(&one), owned(&other) > 0), (0, true), "nobody takes them from a gateway that lives");

    // As a power cut would end it.
    drop(other);
    let killed = until_owned(&one);
    note!("taken over {stopped:?} after a stop, {killed:?} after a kill");
    assert!(stopped < Duration::from_secs(5), "{stopped:?} after a stop");
    assert!(killed < Duration::from_secs(9), "{killed:?} after a kill");
}

#[test]
fn a_leader_that_is_cut_off_from_nats_alone_gives_the_names_up_to_whoever_takes_over_and_to_nobody_else() {
    require!(nats_server::installed());
    let lan = require!(Lan::new(3));
    let dir = tempfile::tempdir().unwrap();
    let mut nats = Some(server(&lan.host(0), dir.path()));
    let one = gateway(&lan, 1);
    until_owned(&one);
    let other = gateway(&lan, 2);
    other.wait_until_ready();
    wait_for(Duration::from_secs(20), "the other is in the group", || {
        other.host.get(9138, "/metrics").filter(|text| text.contains("mailslotd_spool_group_gateways 2"))
    });

    let road = format!("{}/32", lan.host(0).address);
    ip_route(&one.host, &["add", "unreachable", &road]);
    let cut_off = Instant::now();
    wait_for(Duration::from_secs(40), "the other owns the names", || (owned(&other) > 0).then_some(()));
    assert_eq!(owned(&one), 0, "they are owned twice");
    note!("taken over {:?} after it was cut off", cut_off.elapsed());
    assert!(cut_off.elapsed() < Duration::from_secs(9), "{:?}", cut_off.elapsed());
    ip_route(&one.host, &["del", "unreachable", &road]);
    wait_for(Duration::from_secs(40), "it is back", || {
        one.host.get(9138, "/metrics").filter(|text| text.contains("mailslotd_spool_group{state=\"open\"} 1"))
    });
    assert_eq!((owned(&one), owned(&other) > 0), (0, true), "nobody takes them from a gateway that lives");

    // While no server answers, nobody can take over, and names that nobody owns reach nobody.
    drop(nats.take());
    for _ in 0..40 {
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!((owned(&one), owned(&other) > 0), (0, true), "the names stay where they are");
    }
    nats = Some(server(&lan.host(0), dir.path()));
    wait_for(Duration::from_secs(40), "one leads again and owns them alone", || {
        let leads = |gateway: &Gateway| {
            let metrics = gateway.host.get(9138, "/metrics").unwrap_or_default();
            metrics.contains("mailslotd_spool_group_lead{state=\"ours\"} 1")
        };
        let alone = |one: &Gateway, other: &Gateway| leads(one) && owned(one) > 0 && owned(other) == 0;
        (alone(&one, &other) || alone(&other, &one)).then_some(())
    });
    drop(nats);
}

fn ip_route(host: &Host, arguments: &[&str]) {
    output(host.command("ip").arg("route").args(arguments)).unwrap();
}
