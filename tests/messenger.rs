//! `net send` over TCP 139 to the real binary, by Samba's client and by senders that behave worse.

mod support;

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use mailslotd::wire::messenger::{MessageGroupId, Request, Response};
use mailslotd::wire::netbios_name::NameType;
use mailslotd::wire::smb::Status;
use support::gateway::{Gateway, command, until, write_config};
use support::namespace::{Host, Lan, wait_for};
use support::net_send::{self, Sender, Smbclient};
use support::{lan_gateway, require};

/// A gateway that answers as ALERTS, with everything but what a DOOR says delivered to the folder `operator`, and with these
/// further settings.
fn answering(dir: &Path, settings: &str) -> PathBuf {
    let inbox = dir.join("inbox");
    write_config(
        dir,
        &format!(
            "{settings}netbios: {{ mode: answer, names: [ALERTS], code_page: cp850, utf8: auto, rate: {{ per_source: off }} }}\n\
             destinations:\n  inbox: {{ maildir: {{ path: {} }} }}\n\
             rules:\n  - name: doors\n    match: {{ originator: DOOR }}\n    discard: doors\n  - name: rest\n    match: any\n    \
             deliver: [{{ via: inbox, to: operator }}]\n",
            inbox.display()
        ),
    )
}

/// The mails that were delivered, each as text.
fn inbox(dir: &Path) -> Vec<String> {
    let Ok(files) = std::fs::read_dir(dir.join("inbox/operator/new")) else { return Vec::new() };
    files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect()
}

/// The body of the only mail, once it is there.
fn delivered(dir: &Path) -> String {
    until("the mail is in the inbox", || !inbox(dir).is_empty());
    let [mail] = <[String; 1]>::try_from(inbox(dir)).unwrap();
    mail
}

fn messages(gateway: &Gateway, outcome: &str) -> u64 {
    gateway.metric(&format!("mailslotd_messenger_messages_total{{outcome=\"{outcome}\"}}"))
}

/// Has Samba's client on `host` send a text to ALERTS at this address.
fn smbclient(samba: &Smbclient, host: &Host, address: &str, text: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = samba.command(host, folder.path(), "ALERTS");
    command.args(["-I", address]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    // It ends with success also when it was refused.
    assert!(output.status.success() && !said.contains("NT_STATUS"), "{said}");
}

/// The message in a mail: what is before the line `----`, out of quoted-printable.
fn text(mail: &str) -> String {
    let mail = mail.replace("\r\n", "\n");
    let (_, body) = mail.split_once("\n\n").unwrap();
    let (body, _) = body.split_once("\n\n----\n").unwrap();
    let body = body.replace("=\n", "");
    let mut parts = body.split('=');
    let mut octets = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at(2);
        octets.push(u8::from_str_radix(code, 16).unwrap());
        octets.extend(rest.bytes());
    }
    String::from_utf8(octets).unwrap()
}

#[test]
fn what_smbclient_sends_arrives_as_it_was_sent() {
    let samba = require!(Smbclient::find());
    let lan = require!(Lan::new(2));
    let gateway = lan_gateway::Gateway::start_with(
        lan.host(0),
        "hostname: gw.test\nnetbios: { mode: answer, names: [ALERTS], code_page: cp850 }\n",
    );
    gateway.wait_until_ready();
    const UMLAUTS: &str = "Lüfter 3 steht, Öl über 90 Grad\nbitte prüfen";
    let long = "0123456789".repeat(150);
    for (number, text) in (1..).zip([UMLAUTS, &long, ""]) {
        smbclient(&samba, &lan.host(1), &lan.host(0).address, text.as_bytes());
        assert_eq!(gateway.sum("mailslotd_messenger_messages_total{outcome=\"durable\"}"), number);
    }
    wait_for(Duration::from_secs(30), "all three are in the inbox", || {
        (gateway.inbox().len() == 3).then_some(())
    });
    let mut texts: Vec<String> = gateway.inbox().iter().map(|mail| text(mail)).collect();
    texts.sort();
    assert_eq!(texts, ["(no text)", &long, UMLAUTS]);
}

#[test]
fn what_a_sender_was_told_is_taken_survives_a_kill_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let config = answering(dir.path(), "");
    let gateway = Gateway::start(&config);
    let mut sender = Sender::open(gateway.messenger.unwrap(), "ALERTS");
    assert_eq!(sender.single("UPS1", "on battery"), Response::Done);
    gateway.kill();
    let _gateway = Gateway::start(&config);
    until("the mail is in the inbox", || !inbox(dir.path()).is_empty());
    assert!(inbox(dir.path())[0].contains("on battery"));
}

#[test]
fn a_rule_that_discards_and_a_spool_without_room_are_told_to_the_sender() {
    let dir = tempfile::tempdir().unwrap();
    let refused = Response::Refused(Status::REQUEST_NOT_ACCEPTED);
    let config = answering(dir.path(), "");
    let gateway = Gateway::start(&config);
    let mut sender = Sender::open(gateway.messenger.unwrap(), "ALERTS");
    assert_eq!(sender.single("DOOR", "open"), refused);
    assert_eq!(sender.single("UPS1", "on battery"), Response::Done, "the session goes on");
    assert_eq!((messages(&gateway, "discarded"), messages(&gateway, "durable")), (1, 1));
    let inventory = command(&config).args(["inventory", "--format", "csv"]).output().unwrap().stdout;
    let inventory = String::from_utf8(inventory).unwrap();
    for part in ["TCP 139 (2)", "DOOR -> ", "UPS1 -> "] {
        assert!(inventory.contains(part), "{part} is not in\n{inventory}");
    }
    drop(gateway);

    let gateway = Gateway::start(&answering(dir.path(), "spool: { min_free: 900000GiB }\n"));
    let mut sender = Sender::open(gateway.messenger.unwrap(), "GW");
    assert_eq!(sender.single("UPS1", "on battery"), refused);
    assert_eq!(messages(&gateway, "spool_refused"), 1);
}

#[test]
fn a_repeat_is_answered_as_delivered_and_an_over_eager_source_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(&answering(dir.path(), ""));
    let target = gateway.messenger.unwrap();
    for _ in 0..3 {
        assert_eq!(Sender::open(target, "ALERTS").single("UPS1", "on battery"), Response::Done);
    }
    assert_eq!((messages(&gateway, "durable"), messages(&gateway, "duplicate")), (1, 2));
    delivered(dir.path());
    drop(gateway);

    let config = answering(dir.path(), "");
    let yaml = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, yaml.replace("per_source: off", "per_source: 1/h, burst: 2")).unwrap();
    let gateway = Gateway::start(&config);
    let mut sender = Sender::open(gateway.messenger.unwrap(), "ALERTS");
    let answers = ["one", "two", "three"].map(|text| sender.single("UPS1", text));
    let refused = Response::Refused(Status::REQUEST_NOT_ACCEPTED);
    assert_eq!(answers, [Response::Done, Response::Done, refused]);
    assert_eq!(messages(&gateway, "throttled"), 1);
}

#[test]
fn what_a_sender_repeats_is_counted_in_the_inventory_soon_and_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let config = answering(dir.path(), "");
    let heard = |times: &str| {
        let inventory = command(&config).args(["inventory", "--format", "csv"]).output().unwrap().stdout;
        String::from_utf8(inventory).unwrap().contains(&format!("TCP 139 ({times})"))
    };
    let gateway = Gateway::start(&config);
    let mut sender = Sender::open(gateway.messenger.unwrap(), "ALERTS");
    for _ in 0..3 {
        assert_eq!(sender.single("UPS1", "on battery"), Response::Done);
    }
    until("all three are counted", || heard("3"));
    for _ in 0..2 {
        assert_eq!(sender.single("UPS1", "on battery"), Response::Done);
    }
    assert!(gateway.stop().0.success());
    let _gateway = Gateway::start(&config);
    assert!(heard("5"), "what was counted last is not forgotten");
}

#[test]
fn while_messages_are_switched_off_their_senders_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(&answering(dir.path(), "mailslots: { inbound: { enabled: false } }\n"));
    let mut sender = Sender::open(gateway.messenger.unwrap(), "ALERTS");
    let refused = Response::Refused(Status::REQUEST_NOT_ACCEPTED);
    assert_eq!(sender.single("UPS1", "on battery"), refused);
    assert_eq!((messages(&gateway, "switched_off"), messages(&gateway, "durable")), (1, 0));
}

#[test]
fn a_name_of_others_and_a_file_server_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(&answering(dir.path(), ""));
    for (name, kind, code) in [
        ("OTHERS", NameType::MESSENGER, 0x82),
        ("ALERTS", NameType::FILE_SERVER, 0x82),
        ("GW", NameType::FILE_SERVER, 0x80),
    ] {
        let mut sender = Sender::connect(Ipv4Addr::LOCALHOST, gateway.messenger.unwrap()).unwrap();
        sender.send(&net_send::request(name, kind));
        assert_eq!(sender.answer(), Some(vec![0x83, 0, 0, 1, code]));
        assert_eq!(sender.answer(), None, "the connection is closed");
    }
    let ended =
        |ending| gateway.metric(&format!("mailslotd_messenger_sessions_ended_total{{ending=\"{ending}\"}}"));
    until("all three are counted", || (ended("name_not_present"), ended("not_listening")) == (2, 1));
}

#[test]
fn in_mode_observe_nobody_listens() {
    let dir = tempfile::tempdir().unwrap();
    let config = write_config(dir.path(), "");
    assert_eq!(Gateway::start(&config).messenger, None);
}

#[test]
fn idle_connections_of_one_source_do_not_keep_another_out() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(&answering(dir.path(), ""));
    let target = gateway.messenger.unwrap();
    let source = Ipv4Addr::new(127, 0, 0, 2);
    let mut idle: Vec<Sender> = (0..200).map(|_| Sender::connect(source, target).unwrap()).collect();
    let refused = r#"mailslotd_messenger_connections_refused_total{reason="connections_of_source"}"#;
    gateway.wait_for_metric(refused, 72);
    assert_eq!(gateway.metric("mailslotd_messenger_connections"), 128);
    // Who is turned away can read why.
    for mut refused in idle.split_off(128) {
        assert_eq!(refused.answer(), Some(vec![0x83, 0, 0, 1, 0x83]));
    }
    let mut sender = Sender::open(target, "ALERTS");
    assert_eq!(sender.single("UPS1", "on battery"), Response::Done);
    drop(idle);
    until("they are gone", || gateway.metric("mailslotd_messenger_connections") == 1);
}

#[test]
fn senders_that_vanish_in_mid_message_leave_nothing_and_slow_ones_are_heard() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(&answering(dir.path(), ""));
    let target = gateway.messenger.unwrap();
    for _ in 0..20 {
        let mut sender = Sender::open(target, "ALERTS");
        sender.send(&net_send::begun("UPS1", "half of"));
        sender.answer().unwrap();
    }
    let mut slow = TcpStream::connect(target).unwrap();
    let octets = [
        net_send::request("ALERTS", NameType::MESSENGER),
        net_send::begun("UPS2", "slow but sure"),
        net_send::message(&Request::End { group: MessageGroupId(1) }),
    ];
    for octet in octets.concat() {
        slow.write_all(&[octet]).unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
    let mail = delivered(dir.path());
    assert!(mail.contains("slow but sure"), "{mail}");
    gateway.wait_for_metric(r#"mailslotd_messenger_messages_total{outcome="incomplete"}"#, 20);
    assert_eq!(messages(&gateway, "durable"), 1);
}

#[test]
fn a_text_that_is_too_long_is_refused_and_said_with_its_source() {
    let dir = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start(&answering(dir.path(), ""));
    let mut sender = Sender::open(gateway.messenger.unwrap(), "ALERTS");
    assert!(matches!(sender.ask(&Request::Start { from: b"UPS1", to: b"ALERTS" }), Response::Started { .. }));
    let block = "0123456789abcdef".repeat(64);
    let last =
        (0..=64).map(|_| sender.ask(&Request::Block { group: MessageGroupId(1), text: block.as_bytes() }));
    assert!(matches!(last.last(), Some(Response::Refused(_))));
    let event = gateway.wait_for("longer than 64 KiB");
    assert_eq!((event["source"].as_str(), event["level"].as_str()), (Some("127.0.0.1"), Some("WARN")));
    assert_eq!(messages(&gateway, "too_long"), 1);
}

#[test]
fn at_the_end_a_message_that_is_under_way_is_still_taken() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(&answering(dir.path(), ""));
    let target = gateway.messenger.unwrap();
    let mut idle = Sender::open(target, "ALERTS");
    let mut sender = Sender::open(target, "ALERTS");
    sender.send(&net_send::begun("UPS1", "last words"));
    assert!(sender.answer().is_some() && sender.answer().is_some());
    let stopping = std::thread::spawn(move || gateway.stop());
    assert_eq!(idle.answer(), None, "a session without a message ends at once");
    assert_eq!(sender.ask(&Request::End { group: MessageGroupId(1) }), Response::Done);
    assert_eq!(sender.answer(), None);
    let (status, events) = stopping.join().unwrap();
    assert!(status.success() && events.iter().any(|event| event["message"] == "Stopped."), "{events:?}");
    let _gateway = Gateway::start(&answering(dir.path(), ""));
    assert!(delivered(dir.path()).contains("last words"));
}
