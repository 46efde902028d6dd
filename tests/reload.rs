//! A gateway that reads its configuration again: by `mailslotd reload` and by SIGHUP.

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::path::Path;
use std::time::Duration;

use support::free_port;
use support::gateway::{Gateway, command, until, write_config};
use support::messngr::messngr;

/// Alarms go where `alarms` says; the rest of the file is this.
fn write(dir: &Path, alarms: &str, rest: &str) -> std::path::PathBuf {
    write_config(
        dir,
        &format!(
            "{rest}rules:\n  - {{ name: alarms, match: {{ originator: 'UPS*' }}, {alarms} }}\n  \
             - {{ name: rest, match: any, discard: chatter }}\n"
        ),
    )
}

const DELIVER: &str = "deliver: [{ via: inbox, to: alarms }]";
const DISCARD: &str = "discard: not-wanted";

fn send(gateway: &Gateway, text: &str) {
    gateway.send(&UdpSocket::bind("127.0.0.1:0").unwrap(), &messngr("UPS7", text));
}

/// What `reload` said on stdout, on stderr, and its exit code.
fn reload(config: &Path) -> (String, String, Option<i32>) {
    let output = command(config).arg("reload").output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

fn discarded(gateway: &Gateway) -> u64 {
    gateway.metric("mailslotd_notices_discarded_total{reason=\"not-wanted\"}")
}

fn mails(dir: &Path) -> usize {
    std::fs::read_dir(dir.join("state/inbox/alarms/new")).map_or(0, Iterator::count)
}

#[test]
fn another_rule_decides_about_the_next_message_and_the_log_says_which() {
    let dir = tempfile::tempdir().unwrap();
    let config = write(dir.path(), DISCARD, "");
    let mut gateway = Gateway::start(&config);
    assert_eq!(reload(&config).0, "nothing has changed\n");
    send(&gateway, "one");
    gateway.wait_for_metric("mailslotd_notices_discarded_total{reason=\"not-wanted\"}", 1);

    write(dir.path(), DELIVER, "netbios: { dedup_window: off }\n");
    let (told, complaint, code) = reload(&config);
    assert_eq!(code, Some(0), "{complaint}");
    assert_eq!(
        told,
        "in force now: netbios.dedup_window, rules \"alarms\" deliver, rules \"alarms\" discard\n"
    );
    let event = gateway.wait_for("read again and is in force");
    assert!(event["changed"].as_str().unwrap().contains("rules \"alarms\""), "{event}");
    send(&gateway, "two");
    send(&gateway, "two");
    until("both are in the inbox", || mails(dir.path()) == 2);
    assert_eq!(discarded(&gateway), 1);
}

#[test]
fn a_file_with_mistakes_changes_nothing_and_the_log_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let config = write(dir.path(), DISCARD, "");
    let mut gateway = Gateway::start(&config);
    std::fs::write(&config, "rules: [{ name: alarms, match: any, delivr: [] }]\n").unwrap();
    gateway.hang_up();
    let event = gateway.wait_for("has problems");
    assert_eq!(event["level"], "ERROR");
    assert!(event["problems"].as_str().unwrap().contains("did you mean `deliver`?"), "{event}");
    send(&gateway, "one");
    gateway.wait_for_metric("mailslotd_notices_discarded_total{reason=\"not-wanted\"}", 1);
    let (_, complaint, code) = reload(&config);
    assert_eq!(code, Some(78));
    assert!(complaint.contains("did you mean `deliver`?"), "{complaint}");

    write(dir.path(), DELIVER, "");
    gateway.hang_up();
    gateway.wait_for("read again and is in force");
    send(&gateway, "two");
    until("it is in the inbox", || mails(dir.path()) == 1);
}

#[test]
fn what_needs_a_restart_is_refused_by_name_and_nothing_beside_it_is_in_force() {
    let dir = tempfile::tempdir().unwrap();
    let config = write(dir.path(), DISCARD, "");
    let gateway = Gateway::start(&config);
    write(
        dir.path(),
        DELIVER,
        "netbios: { interfaces: [lo] }\nspool: { failed_keep: 3d }\ndestinations: { more: { maildir: { path: /nowhere } } }\n",
    );
    let (told, complaint, code) = reload(&config);
    assert_eq!((told.as_str(), code), ("", Some(1)));
    for part in ["restart", "destinations.more", "netbios.interfaces", "spool.failed_keep"] {
        assert!(complaint.contains(part), "{part} is not in {complaint}");
    }
    assert!(!complaint.contains("rules"), "{complaint}");
    send(&gateway, "one");
    gateway.wait_for_metric("mailslotd_notices_discarded_total{reason=\"not-wanted\"}", 1);
}

#[test]
fn a_new_password_in_the_same_file_is_not_passed_over_in_silence() {
    let smarthost = "submission:\n      host: 127.0.0.1\n      auth: { user: a, password_file: SECRET }\n      \
                     from: { address: a@plant.example }";
    let bus = "nats: { servers: ['nats://127.0.0.1:4222'], stream: PLANT, auth: { token_file: SECRET } }";
    for (kind, to) in [(smarthost, "it@plant.example"), (bus, "plant.alarms")] {
        let dir = tempfile::tempdir().unwrap();
        let secret = dir.path().join("destination.secret");
        std::fs::write(&secret, "hunter2\n").unwrap();
        let kind = kind.replace("SECRET", &secret.display().to_string());
        let rest = format!("netbios: {{ code_page: cp850 }}\ndestinations:\n  there:\n    {kind}\n");
        let config = write(dir.path(), &format!("deliver: [{{ via: there, to: {to} }}]"), &rest);
        let _gateway = Gateway::start(&config);
        std::fs::write(&secret, "hunter3\n").unwrap();
        let (_, complaint, code) = reload(&config);
        assert_eq!(code, Some(1), "{complaint}");
        assert!(complaint.contains(&format!("the secret in {}", secret.display())), "{complaint}");
        assert!(!complaint.contains("hunter"), "{complaint}");
    }
}

#[test]
fn another_network_may_relay_from_the_next_session_on_and_open_sessions_go_on_as_they_began() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let write = |trusted: &str, time: &str| {
        let mail = format!(
            "operator: {{ postmaster: it@corp.example }}\ntarpit: {{ time: {time} }}\n\
             relay: {{ accepted_domains: [corp.example], routes: [{{ domain: '*', via: inbox }}] }}\n"
        );
        let config = write(dir.path(), DELIVER, &mail);
        let yaml = std::fs::read_to_string(&config).unwrap();
        let smtp = format!(
            "listeners:\n  smtp: [{{ name: devices, addresses: ['127.0.0.1:{port}'], trusted_networks: [{trusted}] }}]\n"
        );
        std::fs::write(&config, yaml.replacen("listeners:\n", &smtp, 1)).unwrap();
        config
    };
    let config = write("", "0s");
    let _gateway = Gateway::start(&config);
    let mut old = Smtp::connect(port);
    assert!(old.relays().starts_with("5"), "nobody may relay");
    write("{ network: 127.0.0.1, relay_to: any }", "7s");
    let (told, complaint, code) = reload(&config);
    assert_eq!(code, Some(0), "{complaint}");
    assert_eq!(told, "in force now: listeners.smtp \"devices\" trusted_networks, tarpit.time\n");
    assert!(old.relays().starts_with("5"), "it began as a stranger");
    assert!(Smtp::connect(port).relays().starts_with("250 "), "it is trusted");
}

/// A client that asks whether it may relay.
struct Smtp(BufReader<TcpStream>);

impl Smtp {
    fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut client = Self(BufReader::new(stream));
        client.reply();
        client.say("HELO client.example");
        client
    }

    fn say(&mut self, command: &str) -> String {
        self.0.get_mut().write_all(format!("{command}\r\n").as_bytes()).unwrap();
        self.reply()
    }

    fn reply(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line
    }

    /// What is said to a recipient elsewhere.
    fn relays(&mut self) -> String {
        self.say("RSET");
        self.say("MAIL FROM:<a@client.example>");
        self.say("RCPT TO:<b@elsewhere.example>")
    }
}

#[test]
fn the_switch_goes_by_the_new_configuration_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let config = write(dir.path(), DELIVER, "");
    let gateway = Gateway::start(&config);
    write(dir.path(), DELIVER, "mailslots: { inbound: { enabled: false } }\n");
    assert_eq!(reload(&config).0, "in force now: mailslots.inbound.enabled\n");
    send(&gateway, "one");
    gateway.wait_for_metric(
        "mailslotd_notices_withheld_total{listener=\"datagram\",reason=\"switched_off\"}",
        1,
    );
    assert_eq!(mails(dir.path()), 0);
}
