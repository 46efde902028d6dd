//! `mailslotd send` and the `netbios` destination on a LAN: to a genuine smbd, to a gateway of ours, to nobody.

use std::io::Write as _;
use std::process::{Output, Stdio};
use std::time::Duration;

use support::display::Display;
use support::lan_gateway::{Gateway, PROGRAM};
use support::namespace::{Host, Lan, output, wait_for};
use support::require;
use support::samba::Nmbd;

mod support;

/// A gateway that claims GW1 and ALERTS and may send.
const ANSWERS: &str = "netbios: { mode: answer, host_name: GW1, names: [ALERTS], workgroup: PLANT, code_page: cp850 }\n\
                       mailslots: { outbound: { enabled: true } }\n";

fn send(host: &Host, arguments: &[&str]) -> Output {
    let mut command = host.command(PROGRAM);
    command.args(["send", "--from", "UPS7", "--code-page", "cp850"]).args(arguments);
    command.output().unwrap()
}

/// What it said on stdout, on stderr, and its exit code.
fn said(output: &Output) -> (String, String, Option<i32>) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

/// Sends until the display's name is its own, which takes nmbd a few seconds.
fn send_until_confirmed(host: &Host, arguments: &[&str]) -> String {
    wait_for(Duration::from_secs(60), "the message is confirmed", || {
        let (told, complaint, code) = said(&send(host, arguments));
        match code {
            Some(0) => Some(told),
            _ if complaint.contains("nobody owns the name") => None,
            _ => panic!("{code:?}: {complaint}"),
        }
    })
}

#[test]
fn a_genuine_smbd_is_found_by_its_name_and_confirms_short_and_long_messages() {
    let lan = require!(Lan::new(2));
    let display = require!(Display::start(&lan.host(0), "NBPEER"));
    let told = send_until_confirmed(&lan.host(1), &["--via", "session", "nbpeer", "Lüfter 3", "steht"]);
    assert_eq!(told, "nbpeer (192.0.2.1) confirmed it\n");
    assert_eq!(display.message(), "Lüfter 3 steht");

    let long = "Größe 0123456789 ".repeat(100);
    let (told, complaint, code) = said(&send(&lan.host(1), &["--json", "NBPEER", long.trim_end()]));
    assert_eq!(code, Some(0), "{complaint}");
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!((told["receipt"].as_bool(), told["confirmed_by"].as_str()), (Some(true), Some("192.0.2.1")));
    wait_for(Duration::from_secs(30), "the long message is there", || {
        display.messages().iter().any(|text| text == long.trim_end()).then_some(())
    });
}

#[test]
fn our_own_gateway_confirms_what_it_keeps_and_refuses_what_it_would_discard() {
    let lan = require!(Lan::new(3));
    let keeps = Gateway::start_with(lan.host(0), ANSWERS);
    let discards = "netbios: { mode: answer, host_name: GW2, names: [NOISE], workgroup: PLANT, code_page: cp850 }\n\
                    rules: [{ name: nothing, match: any, discard: not-wanted }]\n";
    let discards = Gateway::start_with(lan.host(1), discards);
    keeps.wait_until_claimed(4);
    discards.wait_until_claimed(4);

    let (told, complaint, code) = said(&send(&lan.host(2), &["ALERTS", "on battery"]));
    assert_eq!((told.as_str(), code), ("ALERTS (192.0.2.1) confirmed it\n", Some(0)), "{complaint}");
    let mail = wait_for(Duration::from_secs(30), "the mail is in the inbox", || keeps.inbox().pop());
    assert!(mail.contains("on battery") && mail.contains("UPS7"), "{mail}");

    let (told, complaint, code) = said(&send(&lan.host(2), &["NOISE", "on battery"]));
    assert_eq!((told.as_str(), code), ("", Some(1)), "{complaint}");
    assert!(complaint.contains("192.0.2.2:139") && complaint.contains("accepts no messages"), "{complaint}");
}

#[test]
fn where_nobody_owns_the_name_it_is_said_and_only_the_mailslot_is_left() {
    let lan = require!(Lan::new(1));
    let (told, complaint, code) = said(&send(&lan.host(0), &["--via", "session", "NOBODY", "hello"]));
    assert_eq!((told.as_str(), code), ("", Some(1)));
    assert!(complaint.contains("nobody owns the name NOBODY<03>"), "{complaint}");

    let (told, complaint, code) = said(&send(&lan.host(0), &["NOBODY", "hello"]));
    assert_eq!((told.as_str(), code), ("sent to 192.0.2.255:138\n", Some(0)));
    for part in ["nobody owns the name NOBODY<03>", "UDP gives no receipt"] {
        assert!(complaint.contains(part), "{complaint}");
    }

    let (told, complaint, code) = said(&send(&lan.host(0), &["NOBODY", &"x".repeat(600)]));
    assert_eq!((told.as_str(), code), ("", Some(1)), "{complaint}");
    assert!(complaint.contains("fit into one datagram"), "{complaint}");
}

#[test]
fn a_legacy_message_goes_on_to_a_legacy_display_which_confirms_it() {
    let lan = require!(Lan::new(3));
    let display = require!(Display::start(&lan.host(1), "NBPEER"));
    let rules = "destinations: { displays: { netbios: {} } }\n\
                 retry: { first: 1s, max: 1s }\n\
                 rules:\n\
                 - { name: chatter, match: { mailslot: ['\\MAILSLOT\\BROWSE', '\\MAILSLOT\\LANMAN'] }, discard: chatter }\n\
                 - { name: all, match: any, deliver: [{ via: displays, to: NBPEER }] }\n";
    let gateway = Gateway::start_with(lan.host(0), &format!("{ANSWERS}{rules}"));
    gateway.wait_until_claimed(4);
    let (_, complaint, code) = said(&send(&lan.host(2), &["ALERTS", "Tür offen"]));
    assert_eq!(code, Some(0), "{complaint}");
    assert_eq!(display.message(), "UPS7: Tür offen\n[mailslotd GW1]");
    let delivered = "mailslotd_deliveries_total{destination=\"displays\",outcome=\"delivered\"}";
    wait_for(Duration::from_secs(30), "it counts as delivered", || {
        (gateway.sum(delivered) == 1).then_some(())
    });
    assert_eq!(display.messages().len(), 1);
}

#[test]
fn messages_to_a_display_that_is_away_hold_up_none_to_one_that_is_there() {
    let lan = require!(Lan::new(3));
    let display = require!(Display::start(&lan.host(1), "NBPEER"));
    send_until_confirmed(&lan.host(2), &["--via", "session", "NBPEER", "is it there?"]);
    let rules = "destinations: { displays: { netbios: {} } }\n\
                 rules:\n\
                 - { name: doors, match: { originator: DOOR }, deliver: [{ via: displays, to: NBPEER }] }\n\
                 - { name: alarms, match: { originator: UPS7 }, deliver: [{ via: displays, to: PC09 }] }\n\
                 - { name: rest, match: any, discard: chatter }\n";
    let gateway = Gateway::start_with(lan.host(0), &format!("{ANSWERS}{rules}"));
    gateway.wait_until_claimed(4);
    let told = |arguments: &[&str]| output(&mut gateway.command(arguments)).unwrap();
    told(&["queue", "pause", "displays"]);
    let alarm =
        |from, text: &str| output(&mut gateway.command(&["send", "--from", from, "ALERTS", text])).unwrap();
    for number in 0..20 {
        alarm("UPS7", &format!("on battery {number}"));
    }
    alarm("DOOR", "open");
    told(&["queue", "resume", "displays"]);
    // Each question for a name that nobody has takes most of a second, and there would be twenty before it.
    wait_for(Duration::from_secs(6), "the display shows what is for it", || {
        display.messages().into_iter().find(|text| text.starts_with("DOOR: open"))
    });
    assert!(gateway.said().contains("PC09 was away a moment ago"), "{}", gateway.said());
}

#[test]
fn a_mail_is_shown_on_the_display_that_its_recipient_names() {
    let lan = require!(Lan::new(2));
    let display = require!(Display::start(&lan.host(1), "NBPEER"));
    let folder = tempfile::tempdir().unwrap();
    let mail = format!(
        "hostname: gw1.plant.example\n\
         operator: {{ postmaster: it@plant.example }}\n\
         retry: {{ first: 1s, max: 1s }}\n\
         destinations: {{ displays: {{ netbios: {{}} }} }}\n\
         relay:\n  accepted_domains: [displays.plant.example, plant.example]\n  routes:\n  \
         - {{ domain: displays.plant.example, via: displays }}\n  - {{ domain: '*', via: inbox }}\n\
         pickup: {{ path: {} }}\n",
        folder.path().join("pickup").display()
    );
    let gateway = Gateway::start_with(lan.host(0), &format!("{ANSWERS}{mail}"));
    gateway.wait_until_claimed(4);
    let mut sendmail =
        gateway.command(&["sendmail", "-f", "press@plant.example", "nbpeer@displays.plant.example"]);
    let mut sendmail = sendmail.stdin(Stdio::piped()).spawn().unwrap();
    let text = "From: Press <press@plant.example>\nSubject: =?utf-8?q?Papier_f=C3=A4llt_aus?=\n\nTray 2\n";
    sendmail.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(sendmail.wait().unwrap().success());
    assert_eq!(display.message(), "From: Press\nSubject: Papier fällt aus\nTray 2\n[mailslotd GW1]");
}

#[test]
fn two_gateways_that_send_on_to_everyone_send_a_message_once_each_and_no_further() {
    let lan = require!(Lan::new(3));
    let gateways: Vec<Gateway> = ["GW1", "GW2"]
        .iter()
        .enumerate()
        .map(|(number, name)| {
            let settings = format!(
                "netbios: {{ mode: answer, host_name: {name}, workgroup: PLANT, code_page: cp850 }}\n\
                 mailslots: {{ outbound: {{ enabled: true }} }}\n\
                 destinations: {{ displays: {{ netbios: {{ unconfirmed: accept }} }} }}\n\
                 rules: [{{ name: all, match: any, deliver: [{{ via: displays, to: '*' }}] }}]\n"
            );
            Gateway::start_with(lan.host(number), &settings)
        })
        .collect();
    for gateway in &gateways {
        gateway.wait_until_claimed(3);
    }
    let (_, complaint, code) = said(&send(&lan.host(2), &["*", "shift ends"]));
    assert_eq!(code, Some(0), "{complaint}");
    let count = |outcome: &str| {
        let name = format!("mailslotd_deliveries_total{{destination=\"displays\",outcome=\"{outcome}\"}}");
        gateways.iter().map(|gateway| gateway.sum(&name)).collect::<Vec<_>>()
    };
    // Each sends it on once, hears the other's copy, and sees the mark in it.
    wait_for(Duration::from_secs(30), "both have seen the other's copy", || {
        (count("failed") == [1, 1]).then_some(())
    });
    assert_eq!(count("delivered"), [1, 1]);
}

#[test]
fn while_it_is_switched_off_nothing_leaves_and_send_says_what_windows_says() {
    let lan = require!(Lan::new(2));
    let settings = "netbios: { mode: answer, host_name: GW1, names: [ALERTS], workgroup: PLANT, code_page: cp850 }\n\
                    destinations: { displays: { netbios: { unconfirmed: accept } } }\n\
                    rules: [{ name: all, match: any, deliver: [{ via: displays, to: '*' }] }]\n";
    let gateway = Gateway::start_with(lan.host(0), settings);
    gateway.wait_until_claimed(4);
    let (_, complaint, code) = said(&send(&lan.host(1), &["ALERTS", "door open"]));
    assert_eq!(code, Some(0), "{complaint}");
    let fault = "mailslotd_destination_state{destination=\"displays\",state=\"operator_fault\"}";
    wait_for(Duration::from_secs(30), "the destination waits", || (gateway.sum(fault) == 1).then_some(()));
    assert!(gateway.said().contains("system error 3025"), "{}", gateway.said());
    for outcome in ["delivered", "failed"] {
        let name = format!("mailslotd_deliveries_total{{destination=\"displays\",outcome=\"{outcome}\"}}");
        assert_eq!(gateway.sum(&name), 0);
    }

    let (_, complaint, code) =
        said(&gateway.command(&["send", "--from", "UPS7", "NOBODY", "hello"]).output().unwrap());
    assert_eq!(code, Some(1), "{complaint}");
    assert!(complaint.contains("system error 3025"), "{complaint}");

    let order = ["mailslots", "enable", "--outbound", "--for", "1h", "--yes"];
    let (_, complaint, code) = said(&gateway.command(&order).output().unwrap());
    assert_eq!(code, Some(0), "{complaint}");
    let delivered = "mailslotd_deliveries_total{destination=\"displays\",outcome=\"delivered\"}";
    wait_for(Duration::from_secs(30), "what waited goes", || (gateway.sum(delivered) == 1).then_some(()));
}

#[test]
fn a_wins_server_tells_the_owner_where_no_broadcast_reaches_it_and_that_there_is_none() {
    let lan = require!(Lan::new(3));
    let _wins = require!(Nmbd::start_with(&lan.host(1), "WINSSRV", "wins support = yes\n"));
    let settings = ANSWERS.replace("workgroup: PLANT", "workgroup: PLANT, wins: [192.0.2.2]");
    let gateway = Gateway::start_with(lan.host(0), &settings);
    gateway.wait_until_claimed(4);
    // This sender has no interface to broadcast by.
    let folder = tempfile::tempdir().unwrap();
    let configuration = folder.path().join("mailslotd.yaml");
    let text = "netbios: { interfaces: [none0] }\nmailslots: { outbound: { enabled: true } }\n";
    std::fs::write(&configuration, text).unwrap();
    let by_wins = ["--config", configuration.to_str().unwrap(), "--via", "session", "--wins", "192.0.2.2"];
    let asked = |to: &'static str| [&by_wins[..], &[to, "on battery"]].concat();
    let told = send_until_confirmed(&lan.host(2), &asked("ALERTS"));
    assert_eq!(told, "ALERTS (192.0.2.1) confirmed it\n");
    let (_, complaint, code) = said(&send(&lan.host(2), &asked("NOBODY")));
    assert_eq!(code, Some(1));
    assert!(complaint.contains("the name server 192.0.2.2 does not know it"), "{complaint}");
}
