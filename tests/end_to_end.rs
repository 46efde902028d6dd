//! The whole way, with the real binary and a real Postfix that demands STARTTLS and AUTH: a datagram on loopback ends
//! as a mail, whatever happens in between.
#![expect(clippy::disallowed_methods, reason = "the tests wait for other processes on the wall clock")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::fixtures::vectors;
use support::gateway::{Gateway, command, http_get, until, write_config};
use support::messngr::messngr;
use support::postfix::{DOMAIN, PASSWORD, Postfix, SENDER, USER};
use support::require;

/// Everything to the mailbox `ops` of this Postfix; `password` as the operator typed it.
fn to_postfix(postfix: &Postfix, dir: &Path, password: &str) -> String {
    let password_file = dir.join("password");
    std::fs::write(&password_file, password).unwrap();
    std::fs::set_permissions(&password_file, std::fs::Permissions::from_mode(0o600)).unwrap();
    format!(
        r"netbios: {{ code_page: cp850, rate: {{ per_source: off }} }}
destinations:
  smarthost:
    submission:
      host: localhost
      port: {port}
      tls: {{ mode: starttls, ca_file: {ca} }}
      auth: {{ user: {USER}, password_file: {password_file} }}
      from: {{ address: {SENDER} }}
rules:
  - name: everything
    match: any
    deliver: [{{ via: smarthost, to: ops@{DOMAIN} }}]
",
        port = postfix.starttls_port(),
        ca = postfix.ca_file().display(),
        password_file = password_file.display(),
    )
}

fn loopback() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").unwrap()
}

/// The value of a header of one line.
fn header<'m>(mail: &'m str, name: &str) -> &'m str {
    let line = mail
        .lines()
        .take_while(|line| !line.is_empty())
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("no {name} in\n{mail}"))
}

#[test]
fn a_messngr_write_in_each_senders_shape_ends_as_a_mail() {
    let postfix = require!(Postfix::start());
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(&write_config(dir.path(), &to_postfix(&postfix, dir.path(), PASSWORD)));
    let shapes = [
        ("Win98-like net send to workgroup", "WIN98USER: HELLO WORLD"),
        ("Win98-like directed", "WIN98USER: Drucker leer"),
        ("NT-like to domain", "ADMINISTRATOR: Server shuts down at 18:00"),
        ("NT-like padded to 4", "ADMINISTRATOR: aligned 4"),
        ("Samba-like", "SMBALPHA: samba style"),
        ("macOS-like", "MAC: mac style"),
        ("broadcast msg_type 0x12", "NT4SRV: to everyone"),
        ("no final NUL", "UPS1: power failure"),
        ("extra junk after final NUL", "UPS1: power back"),
    ];
    let vectors = vectors("11-crafted-messngr-mailslots");
    let socket = loopback();
    for (label, _) in shapes {
        let vector = vectors.iter().find(|vector| vector.label.starts_with(label)).unwrap();
        gateway.send(&socket, &vector.bytes);
    }
    until("every shape is delivered", || postfix.mails("ops").len() >= shapes.len());
    let mails = postfix.mails("ops");
    let subjects: BTreeSet<&str> = mails.iter().map(|mail| header(mail, "Subject")).collect();
    assert_eq!(subjects, shapes.iter().map(|(_, subject)| *subject).collect());
    for mail in &mails {
        assert_eq!(header(mail, "X-Mailslot-Mailslot"), r"\MAILSLOT\MESSNGR");
        assert_eq!(header(mail, "X-Mailslot-Source"), "127.0.0.1");
        assert_eq!(header(mail, "Auto-Submitted"), "auto-generated");
        assert!(
            mail.contains(&format!("Authenticated sender: {USER}")) || mail.contains("ESMTPSA"),
            "{mail}"
        );
    }
    assert_eq!(gateway.metric("mailslotd_netbios_packets_sent_total"), 0);
}

#[test]
fn a_smarthost_that_is_stopped_for_a_minute_loses_nothing_and_the_queue_drains_after() {
    let postfix = require!(Postfix::start());
    let dir = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start(&write_config(dir.path(), &to_postfix(&postfix, dir.path(), PASSWORD)));
    let socket = loopback();
    gateway.send(&socket, &messngr("UPS-1", "before"));
    until("the first is delivered", || postfix.mails("ops").len() == 1);
    postfix.stop();
    let stopped_at = Instant::now();
    for n in 0..100 {
        gateway.send(&socket, &messngr("UPS-1", &format!("meanwhile {n}")));
    }
    gateway.wait_for_metric("mailslotd_spool_accepted_total{class=\"notice\"}", 101);
    gateway.wait_for_metric("mailslotd_destination_state{destination=\"smarthost\",state=\"down\"}", 1);
    let (status, ready) = http_get(gateway.admin, "/readyz");
    assert_eq!(status, 200, "a destination that is down is no unreadiness: {ready}");
    assert!(ready.contains("\"down\""), "{ready}");
    std::thread::sleep(Duration::from_secs(60).saturating_sub(stopped_at.elapsed()));
    assert_eq!(gateway.metric("mailslotd_spool_messages{destination=\"smarthost\",state=\"queued\"}"), 100);
    postfix.start_again();
    until("the queue has drained", || postfix.mails("ops").len() >= 101);
    let mails = postfix.mails("ops");
    let subjects: BTreeSet<&str> = mails.iter().map(|mail| header(mail, "Subject")).collect();
    assert_eq!((mails.len(), subjects.len()), (101, 101), "each exactly once");
    gateway.wait_for_metric("mailslotd_destination_state{destination=\"smarthost\",state=\"up\"}", 1);
    let told = gateway.events().iter().filter(|event| event["level"] == "WARN").count();
    assert!(told < 10, "an outage fills no log: {told} warnings");
}

#[test]
fn a_refused_credential_holds_the_queue_and_goes_on_when_it_is_mended() {
    let postfix = require!(Postfix::start());
    let dir = tempfile::tempdir().unwrap();
    let config = write_config(dir.path(), &to_postfix(&postfix, dir.path(), "wrong"));
    let gateway = Gateway::start(&config);
    gateway.send(&loopback(), &messngr("UPS-1", "on battery"));
    gateway.wait_for_metric(
        "mailslotd_destination_state{destination=\"smarthost\",state=\"operator_fault\"}",
        1,
    );
    let listed = command(&config).args(["queue", "list"]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("queued") && listed.contains("smarthost:ops@plant.example"), "{listed}");
    let (status, events) = gateway.stop();
    assert!(status.success());
    let error =
        events.iter().find(|event| event["level"] == "ERROR").expect("someone must act, so it is an error");
    assert!(error.to_string().contains("535"), "{error}");
    assert!(!error.to_string().contains("wrong"), "no secret in a log: {error}");

    std::fs::write(dir.path().join("password"), PASSWORD).unwrap();
    let _gateway = Gateway::start(&config);
    until("the message that waited is delivered", || postfix.mails("ops").len() == 1);
}

#[test]
fn kill_9_at_random_moments_loses_no_accepted_message() {
    const ENOUGH: usize = 2000;
    const BURST: usize = 400;
    let postfix = require!(Postfix::start());
    let dir = tempfile::tempdir().unwrap();
    let config = write_config(dir.path(), &to_postfix(&postfix, dir.path(), PASSWORD));
    let (socket, mut accepted, mut sent, mut kills) = (loopback(), BTreeSet::new(), 0_usize, 0_usize);
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    while accepted.len() < ENOUGH {
        let gateway = Gateway::start(&config);
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let until_kill = Duration::from_millis(20 + (random >> 33) % 600);
        let begin = Instant::now();
        for n in 0..BURST {
            gateway.send(&socket, &messngr("UPS-1", &format!("number {}", sent + n)));
            if n % 20 == 0 {
                std::thread::sleep(Duration::from_millis(5));
            }
            if begin.elapsed() > until_kill {
                break;
            }
        }
        sent += BURST;
        std::thread::sleep(until_kill.saturating_sub(begin.elapsed()));
        accepted.extend(ids_accepted(&gateway.kill()));
        kills += 1;
    }
    let mut gateway = Gateway::start(&config);
    until("everything is delivered", || {
        gateway.metric("mailslotd_spool_messages{destination=\"smarthost\",state=\"queued\"}") == 0
    });
    accepted.extend(ids_accepted(&gateway.events()));
    let mails = postfix.mails("ops");
    let mut copies: BTreeMap<&str, usize> = BTreeMap::new();
    let mut ids_of: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for mail in &mails {
        let id = header(mail, "Message-ID");
        *copies.entry(id).or_default() += 1;
        ids_of.entry(header(mail, "Subject")).or_default().insert(id);
    }
    for id in &accepted {
        assert!(
            copies.keys().any(|message_id| message_id.contains(id.as_str())),
            "{id} was accepted and is lost"
        );
    }
    for (subject, ids) in &ids_of {
        assert_eq!(ids.len(), 1, "a repeat has the same Message-ID: {subject}");
    }
    let doubled: usize = copies.values().map(|count| count - 1).sum();
    assert!(doubled <= kills * MAX_CONNECTIONS, "{doubled} doubled by {kills} kills");
}

/// As `limits.max_connections` of a destination is when nothing is said: a kill cuts off at most so many answers.
const MAX_CONNECTIONS: usize = 3;

/// The queue ids in the events that say a message is durable.
fn ids_accepted(events: &[Value]) -> Vec<String> {
    let durable = events
        .iter()
        .filter(|event| event["message"].as_str().is_some_and(|text| text.starts_with("Accepted")));
    durable.map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}
