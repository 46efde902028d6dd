//! What the inventory of a running gateway, and of one that has stopped, says of SMTP clients.

mod support;

use serde_json::Value;

use support::gateway::{command, until};
use support::smtp::{Client, Config, FrontEnd, write_certificates};

const DEVICES: &str = "    - name: devices
      addresses: ['{any}']
      trusted_networks: [127.0.0.1]
      tls: { mode: starttls, {tls} }
";

/// The only client, once it is as `is_so` wants it.
fn client(front_end: &FrontEnd, is_so: impl Fn(&Value) -> bool) -> Value {
    let mut found = Value::Null;
    until("the client is in the inventory", || {
        found = inventory(&front_end.folder().join("mailslotd.yaml"))[0].clone();
        is_so(&found)
    });
    found
}

fn inventory(config: &std::path::Path) -> Value {
    let output = command(config).args(["inventory", "--smtp", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The record of a client that knows TLS 1.0 at most.
fn old_hello() -> Vec<u8> {
    let mut hello = vec![0x03, 0x01];
    hello.extend([7; 32]);
    hello.extend([0, 0, 4, 0x00, 0x05, 0x00, 0x0A, 1, 0]);
    let length = u8::try_from(hello.len()).unwrap();
    [&[0x16, 0x03, 0x01, 0, length + 4, 1, 0, 0, length], hello.as_slice()].concat()
}

#[test]
fn an_old_scanner_is_told_from_a_client_that_could_go_directly_and_why() {
    let dir = tempfile::tempdir().unwrap();
    write_certificates(dir.path());
    let mut front_end = FrontEnd::start_in(dir, &Config { listeners: DEVICES, ..Config::default() });
    let address = front_end.address("devices");
    let mut scanner = Client::greeted(address);
    assert_eq!(scanner.say("STARTTLS").code, 220);
    scanner.send(&old_hello()).unwrap();
    let failed =
        client(&front_end, |client| client["tls"] != "none" && client["client_name"] == "client.test");
    assert_eq!(failed["tls"], "failed: offers at most TLS 1.0");

    let mut scanner = Client::connect(address);
    scanner.reply();
    assert_eq!(scanner.say("HELO scan ner").code, 250);
    assert_eq!(scanner.say("MAIL FROM: scan@corp.example").code, 250);
    assert_eq!(scanner.say("RCPT TO:<ops@corp.example>").code, 250);
    assert_eq!(scanner.say("RCPT TO:<someone@elsewhere.example>").code, 554);
    assert_eq!(scanner.say("DATA").code, 354);
    scanner.send(b"Subject: scan\r\n\r\none\ntwo\r\n.\r\n").unwrap();
    assert_eq!(scanner.reply().code, 250);
    let known = client(&front_end, |client| client["messages"] == 1);
    assert_eq!(known["client_name"], "scan ner");
    assert_eq!(known["reverse_path"], "scan@corp.example");
    assert_eq!(known["tls"], "failed: offers at most TLS 1.0");
    let quirks = ["bare-line-end", "odd-helo", "path-without-brackets", "missing-date", "missing-message-id"];
    assert_eq!(known["quirks"], serde_json::json!(quirks));
    assert_eq!((&known["refused"], &known["acquaintance"]), (&1.into(), &"own".into()));
    assert_eq!(known["could_go_directly"], false);
    let reasons = known["reasons"].as_array().unwrap();
    assert_eq!(reasons.len(), 2 + quirks.len(), "{reasons:?}");
    drop(scanner);

    let kept = front_end.stop_and_keep();
    let config = kept.path().join("mailslotd.yaml");
    assert_eq!(inventory(&config)[0]["quirks"], known["quirks"]);
    let csv = command(&config).args(["inventory", "--smtp", "--format", "csv"]).output().unwrap();
    assert!(
        String::from_utf8_lossy(&csv.stdout).contains("127.0.0.1,devices,own,scan ner,scan@corp.example,"),
        "{csv:?}"
    );
    let hosts = command(&config).arg("inventory").output().unwrap();
    assert_eq!(hosts.status.code(), Some(0), "{hosts:?}");
    assert!(
        String::from_utf8_lossy(&hosts.stdout).starts_with("No host "),
        "SMTP clients are no legacy hosts"
    );
}
