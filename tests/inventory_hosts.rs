//! The inventory of legacy hosts: of a running gateway, of one that has stopped, of captures, and between two months.

mod support;

use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use mailslotd::wire::name_service::{Flags, Packet, Question, RecordType};
use mailslotd::wire::netbios_name::{NameType, NetbiosName, Scope};
use serde_json::Value;

use support::gateway::{Gateway, command, until, write_config};
use support::messngr::messngr;

/// Observes and discards everything; what is discarded is inventoried all the same.
const RULES: &str = "rules:\n  - { name: rest, match: any, discard: inventory-only }\n";

fn inventory(config: &Path, arguments: &[&str]) -> Output {
    let output = command(config).arg("inventory").args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    output
}

fn json(config: &Path, arguments: &[&str]) -> Value {
    serde_json::from_slice(&inventory(config, &[&["--json"], arguments].concat()).stdout).unwrap()
}

fn text(config: &Path, arguments: &[&str]) -> String {
    String::from_utf8(inventory(config, arguments).stdout).unwrap()
}

/// A command without a configuration file beside it.
fn of_capture(arguments: &[&str]) -> String {
    let nowhere = tempfile::tempdir().unwrap();
    let config = write_config(nowhere.path(), RULES);
    text(&config, arguments)
}

fn fixture(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pcap");
    folder.join(name).display().to_string()
}

#[test]
fn what_a_gateway_heard_outlives_it_and_two_exports_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_config(folder.path(), RULES);
    let gateway = Gateway::start(&config);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..3 {
        gateway.send(&socket, &messngr("UPS7", "on battery"));
    }
    let of = |found: &Value| found["hosts"][0]["messages"][0]["count"].as_u64();
    until("all messages are in the inventory", || of(&json(&config, &[])) == Some(3));
    let old = json(&config, &[]);
    let host = &old["hosts"][0];
    assert_eq!((&host["name"], &host["would_break"]), (&"UPS7".into(), &true.into()), "{host}");
    assert_eq!(host["messages"][0]["to"], "ALERTS");
    assert_eq!(host["roles"], serde_json::json!(["messenger"]));
    assert_eq!(gateway.metric("mailslotd_inventory_hosts"), 1);
    assert!(text(&config, &["--format", "html"]).contains("<h3>UPS7</h3>"));
    assert!(text(&config, &["--format", "csv"]).contains("UPS7,127.0.0.1,"));
    assert!(text(&config, &["--quiet-for", "30d"]).starts_with("No host"));
    gateway.stop();

    let export = folder.path().join("old.json");
    std::fs::write(&export, old.to_string()).unwrap();
    assert_eq!(of(&json(&config, &[])), Some(3), "of the file that it left");
    let gateway = Gateway::start(&config);
    gateway.send(&socket, &messngr("UPS7", "on battery"));
    gateway.send(&socket, &messngr("UPS8", "on battery"));
    until("the other is in the inventory", || json(&config, &[])["hosts"][1]["name"] == "UPS8");
    gateway.stop();
    let database = folder.path().join("state/inventory.db");
    let (old, new) = (export.to_str().unwrap(), database.to_str().unwrap());
    let difference = text(&config, &["diff", old, new]);
    assert!(difference.contains("\nNew: 1\n") && difference.contains("\n  UPS8 "), "{difference}");
    assert!(!difference.contains("Gone") && !difference.contains("Changed"), "{difference}");
    let same = text(&config, &["diff", old, old]);
    assert!(same.ends_with("Nothing has changed.\n"), "{same}");
}

#[test]
fn a_file_that_is_no_inventory_is_refused_with_the_fix() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_config(folder.path(), RULES);
    let path = config.to_str().unwrap();
    let output = command(&config).args(["inventory", "diff", path, path]).output().unwrap();
    assert_eq!(output.status.code(), Some(65));
    assert!(String::from_utf8_lossy(&output.stderr).contains("mailslotd inventory --json"), "{output:?}");
}

#[test]
fn hosts_come_straight_out_of_a_capture() {
    let table = of_capture(&[&fixture("01-nmbd-startup-election-announce.pcap")]);
    let lines: Vec<&str> = table.lines().collect();
    let words = |line: usize| lines[line].split_whitespace().collect::<Vec<_>>();
    assert_eq!(words(1)[..5], ["SMBALPHA", "10.77.0.10", "NBLAB", "Samba", "file-server,"], "{table}");
    assert_eq!(words(2)[..4], ["SMBBRAVO", "10.77.0.20", "NBLAB", "Samba"], "{table}");
    assert!(lines[1].ends_with("only announces itself"), "{table}");
    assert!(table.contains("Nothing would be missed"), "{table}");
}

#[test]
fn the_senders_of_a_capture_are_told_with_what_they_sent() {
    let file = fixture("11-crafted-messngr-mailslots.pcap");
    let found: Value = serde_json::from_str(&of_capture(&["--json", &file])).unwrap();
    let hosts = found["hosts"].as_array().unwrap();
    let of = |name: &str| hosts.iter().find(|host| host["name"] == name).unwrap_or_else(|| panic!("{name}"));
    assert_eq!(of("BKUP")["channels"][0]["channel"], r"\MAILSLOT\ARCSERVE\ALERT");
    assert_eq!(of("SMBPDC")["if_switched_off"], "announces");
    assert!(of("SMBPDC")["roles"].as_array().unwrap().contains(&"domain-controller".into()));
    assert!(hosts.iter().filter(|host| host["would_break"] == true).count() >= 10);
    let page = of_capture(&["--format", "html", &file]);
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</main></body></html>\n"));
    assert!(!page.contains("<script"), "EVIL sends markup");
}

#[test]
fn messages_over_tcp_139_are_found_in_a_capture() {
    let file = fixture("03-messenger-D0-and-session-edge-to-smbd.pcap");
    let found: Value = serde_json::from_str(&of_capture(&["--json", &file])).unwrap();
    let hosts = found["hosts"].as_array().unwrap();
    let messages: Vec<&Value> = hosts.iter().flat_map(|host| host["messages"].as_array().unwrap()).collect();
    assert!(!messages.is_empty() && messages.iter().all(|sent| sent["channel"] == "TCP 139"), "{found}");
}

/// A capture of raw IP packets: milliseconds, source, destination, payload, all of UDP 137.
fn capture(folder: &Path, packets: &[(u32, Ipv4Addr, Ipv4Addr, Vec<u8>)]) -> PathBuf {
    let mut file = [0xA1B2_C3D4_u32, 0x0002_0004, 0, 0, 65535, 101].map(u32::to_be_bytes).concat();
    for (milliseconds, source, destination, payload) in packets {
        let udp = u16::try_from(payload.len() + 8).unwrap();
        let mut packet = vec![0x45, 0];
        packet.extend((udp + 20).to_be_bytes());
        packet.extend([0, 0, 0, 0, 64, 17, 0, 0]);
        packet.extend(source.octets().into_iter().chain(destination.octets()));
        packet.extend([137, 137, udp, 0].map(u16::to_be_bytes).concat());
        packet.extend(payload);
        let length = u32::try_from(packet.len()).unwrap();
        let header = [1_790_000_000 + milliseconds / 1000, milliseconds % 1000 * 1000, length, length];
        file.extend(header.map(u32::to_be_bytes).concat());
        file.extend(packet);
    }
    let path = folder.join("names.pcap");
    std::fs::write(&path, file).unwrap();
    path
}

#[test]
fn names_to_claim_are_those_that_an_asker_repeats_its_question_for() {
    let query = |name: &str| {
        let name = NetbiosName::new(name.as_bytes(), NameType::MESSENGER).unwrap();
        let question = Question::new(name, Scope::default(), RecordType::NB);
        let mut bytes = Vec::new();
        Packet::query(1, Flags(0x0110), question).emit(&mut bytes);
        bytes
    };
    let (broadcast, scada, other) =
        (Ipv4Addr::new(192, 0, 2, 255), Ipv4Addr::new(192, 0, 2, 7), Ipv4Addr::new(192, 0, 2, 8));
    let folder = tempfile::tempdir().unwrap();
    let path = capture(
        folder.path(),
        &[
            (0, scada, broadcast, query("LEITSTAND")),
            (750, scada, broadcast, query("LEITSTAND")),
            (1500, scada, broadcast, query("LEITSTAND")),
            (2000, other, broadcast, query("PC02")),
            (9000, scada, broadcast, query("LEITSTAND")),
            (9750, scada, broadcast, query("LEITSTAND")),
        ],
    );
    let table = of_capture(&["--unanswered", path.to_str().unwrap()]);
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[1][..3], ["LEITSTAND<03>", "2", "2"], "{table}");
    assert_eq!(lines[1].last(), Some(&"192.0.2.7"), "{table}");
    assert_eq!(lines[2][..3], ["PC02<03>", "1", "0"], "{table}");
    assert!(
        table.contains("netbios.names") && table.contains("WINS") && table.contains("LMHOSTS"),
        "{table}"
    );
}

#[test]
fn help_says_what_it_is_for() {
    let help = Command::new(env!("CARGO_BIN_EXE_mailslotd")).args(["inventory", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for word in ["--unanswered", "--smtp", "--quiet-for", "diff", "vendor"] {
        assert!(help.contains(word), "{word} is not in\n{help}");
    }
}
