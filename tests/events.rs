//! Events: what the README says of them, what the schema says, and what is written are the same.

mod support;

use std::collections::BTreeSet;
use std::process::Command;

use mailslotd::message::event::{Event, EventIdentity, LARGEST_EVENT, MailContent};
use mailslotd::message::id::{DestinationName, ListenerName, QueueId, RuleName};
use mailslotd::message::mail::{Body, Client, Content, Gathered, Priority, Spooled, Submitted};
use mailslotd::message::notice::{Arrival, Encoding, Kind, Listener, Name, Notice};
use mailslotd::message::recipient::Recipient;
use mailslotd::wire::netbios_name::NameType;
use mailslotd::wire::oem_text::CodePage;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use support::json_schema::JsonSchema;
use support::require;

#[test]
fn the_readmes_examples_are_what_the_gateway_writes() {
    let written: Vec<Value> = readme().split("```json\n").skip(1).map(example).collect();
    let expected: Vec<Value> = examples().iter().map(structured).collect();
    assert_eq!(written.len(), expected.len(), "{}", serde_json::to_string_pretty(&expected).unwrap());
    for (written, expected) in written.iter().zip(&expected) {
        assert_eq!(written, expected, "{}", serde_json::to_string_pretty(expected).unwrap());
    }
}

#[test]
fn the_readme_names_every_field_of_the_schema() {
    fn names(value: &Value, found: &mut BTreeSet<String>) {
        if let Some(properties) = value.get("properties").and_then(Value::as_object) {
            found.extend(properties.keys().cloned());
        }
        match value {
            Value::Object(object) => object.values().for_each(|inner| names(inner, found)),
            Value::Array(list) => list.iter().for_each(|inner| names(inner, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut found = BTreeSet::new();
    names(&schema(), &mut found);
    assert!(found.len() > 50, "{found:?}");
    let section = readme();
    found.retain(|name| !section.contains(&format!("`{name}`")));
    assert!(found.is_empty(), "the README does not name {found:?}");
}

#[test]
fn every_event_is_valid_for_a_validator_that_is_not_ours() {
    let validator = require!(JsonSchema::find());
    let mut events = examples();
    events.extend(hostile());
    let documents: Vec<Value> = events.iter().map(structured).collect();
    for (faults, document) in validator.faults(&schema(), &documents).iter().zip(&documents) {
        assert!(faults.is_empty(), "{faults:?}\n{document:#}");
    }
}

#[test]
fn what_is_no_event_of_ours_is_invalid() {
    let validator = require!(JsonSchema::find());
    let sound = structured(&examples()[0]);
    let changed = |pointer: &str, value: Value| {
        let mut document = sound.clone();
        *document.pointer_mut(pointer).unwrap() = value;
        document
    };
    let without = |name: &str| {
        let mut document = sound.clone();
        document.as_object_mut().unwrap().remove(name).unwrap();
        document
    };
    let documents = [
        without("id"),
        without("data"),
        changed("/specversion", json!("0.3")),
        changed("/type", json!("mailslotd.mail.v1")),
        changed("/priority", json!("high")),
        changed("/data/source/name_type", json!("3")),
        changed("/data/dgm_id", json!(70_000)),
        changed("/data/repeats/count", json!(1)),
    ];
    for (faults, document) in validator.faults(&schema(), &documents).iter().zip(&documents) {
        assert!(!faults.is_empty(), "{document:#}");
    }
    let mut later = sound.clone();
    later["data"]["of_a_later_version"] = json!(true);
    assert_eq!(validator.faults(&schema(), &[later]), [Vec::<String>::new()], "readers pass over new fields");
}

/// The section of the README.
fn readme() -> String {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let section = readme.split("\n### Events").nth(1).expect("a section on events");
    let end = ["\n## ", "\n### "].iter().filter_map(|heading| section.find(heading)).min();
    section.get(..end.unwrap_or(section.len())).unwrap_or(section).to_owned()
}

fn example(block: &str) -> Value {
    let text = block.split("\n```").next().unwrap();
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn schema() -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_mailslotd")).args(["schema", "event"]).output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

fn structured(event: &Event) -> Value {
    serde_json::from_slice(&event.structured()).unwrap()
}

/// Those of the README, in its order.
fn examples() -> Vec<Event> {
    vec![messenger(), announcement(), mailslot(), mail(SCAN)]
}

/// What senders may do to an event.
fn hostile() -> Vec<Event> {
    let texts = ["", "\"},\"id\":\"x\"", "\u{0}\u{1B}[2J\u{202E}\u{FFFF}", "\u{10FFFF}\\u0000\r\n"];
    let mut events: Vec<Event> = texts
        .iter()
        .map(|text| {
            let mut notice = notice(Kind::Messenger, text);
            notice.originator = (*text).into();
            notice.source_name.text = (*text).into();
            notice.encoding = Encoding { code_page: CodePage::Utf8, lossy: true };
            of_notice(Gathered::one(notice), Recipient::new(bus(), *text))
        })
        .collect();
    let mut broken = notice(Kind::Announcement, "");
    broken.mailslot = r"\MAILSLOT\BROWSE".into();
    broken.data = b"\x01".as_slice().into();
    events.push(of_notice(Gathered::one(broken), Recipient::new(bus(), "x")));
    let mails = [
        "",
        "no header at all",
        "From: <>\r\nDate: 31 Feb 2026 25:61:00 +9999\r\nSubject: =?utf-8?b?AAAA?=\r\n\r\n\0\x1b",
        "From: a: b@c;,,,\r\nTo: undisclosed-recipients:;\r\nContent-Type: message/rfc822\r\n\r\nFrom: x\r\n\r\n",
        "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: image/png; name=\"../\u{202E}gnp.exe\"\r\n\r\n--x",
    ];
    events.extend(mails.map(mail));
    events
}

fn bus() -> DestinationName {
    DestinationName::new("bus").unwrap()
}

fn identity() -> EventIdentity {
    EventIdentity::new(Some("gw1.plant.example"), "plant-1")
}

fn notice(kind: Kind, text: &str) -> Notice<'static> {
    let name = |text: &'static str, name_type| Name { text: text.into(), name_type };
    Notice {
        arrival: Arrival {
            at: "2026-11-21T10:25:01.254Z".parse().unwrap(),
            source: "192.0.2.7:138".parse().unwrap(),
            destination: Some("192.0.2.255".parse().unwrap()),
            interface: Some(2),
            listener: Listener::Datagram,
        },
        dgm_id: 31337,
        source_name: name("UPS-3", NameType::MESSENGER),
        destination_name: name("ALERTS", NameType::MESSENGER),
        mailslot: r"\MAILSLOT\MESSNGR".into(),
        originator: "UPS-3".into(),
        to: "ALERTS".into(),
        text: text.to_owned().into(),
        encoding: Encoding { code_page: CodePage::Cp932, lossy: false },
        kind,
        data: text.as_bytes().to_vec().into(),
    }
}

fn spooled(id: i64, body: Body, rule: Option<&str>, priority: Priority) -> Spooled {
    Spooled {
        id: QueueId::from_row(id).unwrap(),
        body,
        accepted_at: "2026-11-21T10:25:01.254Z".parse().unwrap(),
        expires_at: "2026-11-21T12:25:01.254Z".parse().unwrap(),
        priority,
        rule: rule.map(|rule| RuleName::new(rule).unwrap()),
    }
}

fn of_notice(gathered: Gathered, recipient: Recipient) -> Event {
    let body = Body::Notice(Box::new(gathered.clone()));
    let message = spooled(1_921_338_201_243, body, Some("ups-alarms"), Priority::Urgent);
    Event::of_notice(&message, &gathered, &recipient, &identity(), LARGEST_EVENT)
}

fn messenger() -> Event {
    let first = notice(Kind::Messenger, "バッテリ運転中\n残り 12 分");
    let mut last = notice(Kind::Messenger, "バッテリ運転中\n残り 4 分");
    last.arrival.at = "2026-11-21T10:33:12.801Z".parse().unwrap();
    let gathered = Gathered { first, count: 9, last: Some(last), held_back: 2 };
    let title = Some("UPS UPS-3: バッテリ運転中".to_owned());
    of_notice(gathered, Recipient { subject: title, ..Recipient::new(bus(), "plant.plant-1.ups.UPS-3") })
}

fn announcement() -> Event {
    let mut notice = notice(Kind::Announcement, "");
    notice.mailslot = r"\MAILSLOT\BROWSE".into();
    notice.source_name = Name { text: "CNC-07".into(), name_type: NameType::WORKSTATION };
    notice.destination_name = Name { text: "HALL-3".into(), name_type: NameType::LOCAL_MASTER };
    (notice.originator, notice.to) = ("CNC-07".into(), "HALL-3".into());
    notice.data =
        b"\x01\x00\x80\xFC\x0A\x00CNC-07\0\0\0\0\0\0\0\0\0\0\x05\x01\x03\x10\x00\x00\x0F\x01\x55\xAAMilling\0"
            .as_slice()
            .into();
    let gathered = Gathered::one(notice.into_owned());
    let body = Body::Notice(Box::new(gathered.clone()));
    let message = spooled(1_921_338_201_244, body, Some("signs-of-life"), Priority::Bulk);
    let recipient = Recipient::new(bus(), "plant.plant-1.hosts");
    Event::of_notice(&message, &gathered, &recipient, &identity(), LARGEST_EVENT)
}

fn mailslot() -> Event {
    let mut notice = notice(Kind::Binary, "");
    notice.mailslot = r"\MAILSLOT\ACME\DOOR".into();
    notice.source_name = Name { text: "GATE-1".into(), name_type: NameType::WORKSTATION };
    notice.originator = "GATE-1".into();
    notice.data = b"\x02\x00\x01\xFE".as_slice().into();
    let gathered = Gathered::one(notice);
    let body = Body::Notice(Box::new(gathered.clone()));
    let message = spooled(1_921_338_201_245, body, Some("doors"), Priority::Normal);
    let recipient = Recipient::new(bus(), "plant.plant-1.doors");
    Event::of_notice(&message, &gathered, &recipient, &identity(), LARGEST_EVENT)
}

fn mail(text: &str) -> Event {
    let submitted = Submitted {
        client: Some(Client {
            listener: ListenerName::new("devices").unwrap(),
            address: "192.0.2.31".parse().unwrap(),
            principal: Some("scanner".to_owned()),
        }),
        ..Submitted::default()
    };
    let reverse_path = Some("scanner@plant.example");
    let content = MailContent {
        reverse_path,
        submitted: &submitted,
        octets: text.as_bytes(),
        length: text.len().try_into().unwrap(),
        sha256: Sha256::digest(text).into(),
    };
    let body = Body::Mail {
        reverse_path: reverse_path.map(str::to_owned),
        content: Content::Inline(text.as_bytes().to_vec().into()),
        submitted: Box::new(submitted.clone()),
    };
    let message = spooled(1_921_338_201_246, body, None, Priority::Normal);
    let mailbox = Some("office@corp.example".to_owned());
    let recipient = Recipient { mailbox, ..Recipient::new(bus(), "mail.corp%2Eexample.office") };
    Event::of_mail(&message, &content, &recipient, &identity(), LARGEST_EVENT)
}

const SCAN: &str = "From: Scanner <scanner@plant.example>\r\nReply-To: it@plant.example\r\nTo: office@corp.example\r\n\
    Cc: archive@corp.example\r\nSubject: =?utf-8?q?Lieferschein_f=C3=BCr?= Halle 3\r\n\
    Date: Sat, 21 Nov 2026 19:25:00 +0900\r\nMessage-ID: <20261121.1@scanner>\r\nMIME-Version: 1.0\r\n\
    Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nOne page.\r\n--x\r\n\
    Content-Type: application/pdf; name=scan.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERi0=\r\n--x--\r\n";
