use std::borrow::Cow;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::*;
use crate::message::id::{DestinationName, ListenerName, QueueId, RuleName};
use crate::message::mail::{Body, Client, Content, Priority, Submitted};
use crate::message::notice::{Arrival, Encoding, Kind, Listener, Name, Notice};
use crate::wire::netbios_name::NameType;
use crate::wire::oem_text::CodePage;

fn notice(text: &'static str) -> Notice<'static> {
    let name = |text: &'static str, name_type| Name { text: text.into(), name_type };
    Notice {
        arrival: Arrival {
            at: "2026-11-21T10:25:01Z".parse().unwrap(),
            source: "192.0.2.7:138".parse().unwrap(),
            destination: Some("192.0.2.255".parse().unwrap()),
            interface: Some(2),
            listener: Listener::Datagram,
        },
        dgm_id: 7,
        source_name: name("UPS-1", NameType::WORKSTATION),
        destination_name: name("ALERTS", NameType::MESSENGER),
        mailslot: r"\MAILSLOT\MESSNGR".into(),
        originator: "UPS-1".into(),
        to: "ALERTS".into(),
        text: text.into(),
        encoding: Encoding { code_page: CodePage::Cp850, lossy: false },
        kind: Kind::Messenger,
        data: text.as_bytes().into(),
    }
}

fn spooled(body: Body) -> Spooled {
    Spooled {
        id: QueueId::from_row(0x1234_5678_9ABC).unwrap(),
        body,
        accepted_at: "2026-11-21T10:25:01.5Z".parse().unwrap(),
        expires_at: "2026-11-21T12:25:01.5Z".parse().unwrap(),
        priority: Priority::Urgent,
        rule: Some(RuleName::new("ups-alarms").unwrap()),
    }
}

fn recipient(to: &str) -> Recipient {
    Recipient::new(DestinationName::new("bus").unwrap(), to)
}

fn identity() -> EventIdentity {
    EventIdentity::new(Some("gw1.plant.example"), "plant-1")
}

fn of_notice(gathered: Gathered, limit: u64) -> Event {
    let message = spooled(Body::Notice(Box::new(gathered.clone())));
    Event::of_notice(&message, &gathered, &recipient("plant.ups.alarm"), &identity(), limit)
}

fn of_mail(octets: &[u8], limit: u64) -> Event {
    let submitted = Submitted {
        client: Some(Client {
            listener: ListenerName::new("devices").unwrap(),
            address: "192.0.2.31".parse().unwrap(),
            principal: None,
        }),
        ..Submitted::default()
    };
    let content = MailContent {
        reverse_path: Some("scanner@plant.example"),
        submitted: &submitted,
        octets,
        length: octets.len().try_into().unwrap(),
        sha256: Sha256::digest(octets).into(),
    };
    let body = Body::Mail {
        reverse_path: Some("scanner@plant.example".to_owned()),
        content: Content::Inline(octets.to_vec().into()),
        submitted: Box::new(submitted.clone()),
    };
    let message = Spooled { rule: None, ..spooled(body) };
    Event::of_mail(&message, &content, &recipient("office@corp.example"), &identity(), limit)
}

fn structured(event: &Event) -> Value {
    serde_json::from_slice(&event.structured()).unwrap()
}

#[test]
fn a_notice_is_told_with_all_that_is_known_of_it() {
    let mut gathered = Gathered::one(notice("on battery\nload 40 %"));
    gathered.count = 37;
    gathered.last = Some(Notice {
        arrival: Arrival { at: "2026-11-21T10:31:12Z".parse().unwrap(), ..gathered.first.arrival },
        ..notice("battery low")
    });
    gathered.held_back = 12;
    let event = structured(&of_notice(gathered, LARGEST_EVENT));
    assert_eq!(
        event,
        json!({
            "specversion": "1.0",
            "id": event["id"],
            "source": "//gw1.plant.example/mailslotd",
            "type": "mailslotd.messenger.v1",
            "subject": "plant.ups.alarm",
            "time": "2026-11-21T10:25:01Z",
            "datacontenttype": "application/json",
            "site": "plant-1",
            "rule": "ups-alarms",
            "priority": "urgent",
            "expirytime": "2026-11-21T12:25:01.5Z",
            "data": {
                "queue_id": "0000J6HB7H6NW",
                "originator": "UPS-1",
                "to": "ALERTS",
                "text": "on battery\nload 40 %",
                "encoding": { "code_page": "cp850", "lossy": false },
                "mailslot": "\\MAILSLOT\\MESSNGR",
                "source": { "address": "192.0.2.7", "port": 138, "name": "UPS-1", "name_type": "00" },
                "destination": { "address": "192.0.2.255", "name": "ALERTS", "name_type": "03" },
                "listener": "datagram",
                "interface": 2,
                "dgm_id": 7,
                "repeats": {
                    "count": 37,
                    "first_at": "2026-11-21T10:25:01Z",
                    "last_at": "2026-11-21T10:31:12Z",
                    "last_text": "battery low",
                },
                "held_back": 12,
            },
        })
    );
}

#[test]
fn an_announcement_tells_what_the_host_said_of_itself() {
    let data = b"\x01\x00\x80\xFC\x0A\x00CNC-07\0\0\0\0\0\0\0\0\0\0\x06\x01\x03\x10\x00\x00\x0F\x01\x55\xAAMilling\0";
    let mut announcement = notice("");
    announcement.kind = Kind::Announcement;
    announcement.mailslot = r"\MAILSLOT\BROWSE".into();
    announcement.destination_name = Name { text: "HALL-3".into(), name_type: NameType::LOCAL_MASTER };
    announcement.data = data.as_slice().into();
    let event = structured(&of_notice(Gathered::one(announcement), LARGEST_EVENT));
    assert_eq!(event["type"], "mailslotd.announcement.v1");
    assert_eq!(
        event["data"]["announcement"],
        json!({
            "frame": "HostAnnouncement (0x01)",
            "host": "CNC-07",
            "workgroup": "HALL-3",
            "operating_system": { "name": "Windows 7", "certainty": "high" },
            "roles": ["file-server"],
            "comment": "Milling",
        })
    );
    assert!(event["data"]["text"].as_str().unwrap().starts_with("HostAnnouncement (0x01) of CNC-07"));
    assert!(event["data"]["data"].is_string(), "the frame itself is there too");
}

#[test]
fn a_vendors_binary_write_is_there_as_base64() {
    let mut write = notice("");
    write.kind = Kind::Binary;
    write.mailslot = r"\MAILSLOT\ACME\ALARM".into();
    write.data = b"\x00\xFF\x10".as_slice().into();
    let event = structured(&of_notice(Gathered::one(write), LARGEST_EVENT));
    assert_eq!((&event["type"], &event["data"]["data"]), (&json!("mailslotd.mailslot.v1"), &json!("AP8Q")));
}

#[test]
fn a_mail_is_told_with_envelope_header_text_and_original() {
    let mail = "From: Scanner <scanner@plant.example>\r\nTo: office@corp.example, \"B, C\" <b@corp.example>\r\n\
                Subject: =?utf-8?q?Rechnung_f=C3=BCr?= May\r\nDate: Sat, 21 Nov 2026 19:25:01 +0900\r\n\
                Message-ID: <1@scanner>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n\
                --x\r\n\r\nSee attached.\r\n--x\r\nContent-Type: application/pdf; name=scan.pdf\r\n\
                Content-Transfer-Encoding: base64\r\n\r\nJVBERi0=\r\n--x--\r\n";
    let event = structured(&of_mail(mail.as_bytes(), LARGEST_EVENT));
    assert_eq!(event["type"], "mailslotd.mail.v1");
    let mut data = event["data"].clone();
    let original = data.as_object_mut().unwrap().remove("original").unwrap();
    assert_eq!(
        base64::Engine::decode(&base64::engine::general_purpose::STANDARD, original.as_str().unwrap())
            .unwrap(),
        mail.as_bytes()
    );
    assert_eq!(
        data,
        json!({
            "queue_id": "0000J6HB7H6NW",
            "envelope": { "reverse_path": "scanner@plant.example", "recipient": "office@corp.example" },
            "header": {
                "from": [{ "name": "Scanner", "address": "scanner@plant.example" }],
                "to": [{ "address": "office@corp.example" }, { "name": "B, C", "address": "b@corp.example" }],
                "subject": "Rechnung für May",
                "date": "2026-11-21T19:25:01+09:00",
                "message_id": "1@scanner",
            },
            "text": "See attached.",
            "attachments": [{ "name": "scan.pdf", "media_type": "application/pdf", "length": 5 }],
            "original_length": mail.len(),
            "original_sha256": data["original_sha256"],
            "client": { "address": "192.0.2.31", "listener": "devices" },
        })
    );
}

#[test]
fn the_id_is_the_same_in_every_attempt_and_another_for_every_other_copy() {
    let first = of_notice(Gathered::one(notice("on battery")), LARGEST_EVENT);
    let mut repeated = Gathered::one(notice("on battery"));
    repeated.count = 3;
    assert_eq!(of_notice(repeated, 1 << 16).id(), first.id(), "what is gathered later changes nothing");
    assert!(first.id().len() <= 128 && first.id().bytes().all(|octet| octet.is_ascii_graphic()));

    let gathered = Gathered::one(notice("on battery"));
    let message = spooled(Body::Notice(Box::new(gathered.clone())));
    let id = |message: &Spooled, recipient: &Recipient, gathered: &Gathered| {
        Event::of_notice(message, gathered, recipient, &identity(), LARGEST_EVENT).id().to_owned()
    };
    assert_eq!(id(&message, &recipient("plant.ups.alarm"), &gathered), first.id());
    let elsewhere = Recipient::new(DestinationName::new("rabbit").unwrap(), "plant.ups.alarm");
    let other_gateway = spooled(Body::Notice(Box::new(Gathered::one(notice("door open")))));
    for other in [
        id(&message, &recipient("plant.ups"), &gathered),
        id(&message, &elsewhere, &gathered),
        id(&other_gateway, &recipient("plant.ups.alarm"), &gathered),
    ] {
        assert_ne!(other, first.id());
    }
}

#[test]
fn what_a_sender_writes_stays_inside_its_string() {
    let hostile = "\"},\"id\":\"forged\",\u{0}\u{1B}[31m\u{202E}\u{FFFE}\u{10FFFF}\\";
    let mut notice = notice(hostile);
    notice.originator = Cow::Borrowed("a\r\nb\0");
    let event = of_notice(Gathered::one(notice), LARGEST_EVENT);
    let value = structured(&event);
    assert_eq!((&value["data"]["text"], &value["id"]), (&json!(hostile), &json!(event.id())));
    assert_eq!(value["data"]["originator"], "a\r\nb\0");
}

#[test]
fn attributes_hold_no_control_characters_and_have_a_form_for_headers() {
    let gathered = Gathered::one(notice("x"));
    let message = spooled(Body::Notice(Box::new(gathered.clone())));
    let event =
        Event::of_notice(&message, &gathered, &recipient("a\r\nb\u{85}\u{FFFF}"), &identity(), LARGEST_EVENT);
    let attributes = event.attributes();
    let subject = attributes.iter().find(|(name, _)| *name == "subject").unwrap();
    assert_eq!(subject.1, "a\u{FFFD}\u{FFFD}b\u{FFFD}\u{FFFD}");
    assert!(
        attributes.iter().all(|(name, _)| name.bytes().all(|b| b.is_ascii_lowercase()) && name.len() <= 20)
    );
    let whole = structured(&event);
    for (name, value) in &attributes {
        assert_eq!(whole[name], json!(value), "{name}");
    }
    // The examples of the HTTP binding, §3.1.3.2.
    assert_eq!(header_value("Euro € 😀"), "Euro%20%E2%82%AC%20%F0%9F%98%80");
    assert_eq!(header_value("a\"b%c"), "a%22b%25c");
    assert!(matches!(header_value("//gw1/mailslotd"), Cow::Borrowed(_)));
}

#[test]
fn no_event_is_larger_than_its_destination_takes() {
    for text in ["x", "\"\\\n\u{1}", "電"] {
        let long: &'static str = text.repeat((64 << 10) / text.len()).leak();
        let mut gathered = Gathered::one(notice(long));
        gathered.first.encoding.lossy = true;
        gathered.count = 2;
        gathered.last = Some(notice("another"));
        for limit in [8 << 10, 100 << 10, 300 << 10] {
            let event = of_notice(gathered.clone(), limit);
            let length = event.structured().len() as u64;
            assert!(length <= limit, "{length} of {limit}");
            let value = structured(&event);
            let kept = value["data"]["text"].as_str().unwrap();
            assert!(long.starts_with(kept) && !kept.is_empty());
            assert_eq!(kept.len() < long.len(), value["data"]["truncated"] == json!(true));
        }
    }
}

#[test]
fn a_mail_within_the_capacity_keeps_its_original_and_a_longer_one_gives_it_up() {
    let limit: u64 = 256 << 10;
    let capacity = usize::try_from(mail_capacity(limit)).unwrap();
    let header = format!(
        "From: {0}\r\nTo: {0}\r\nCc: {0}\r\nReply-To: {0}\r\nSubject: {1}\r\n\r\n",
        vec!["\"\\\"\\\"\" <a@corp.example>"; 200].join(", "),
        "\"".repeat(2000),
    );
    let mail = format!("{header}{}", "\"\\".repeat(capacity));
    for (length, is_kept) in [(capacity, true), (capacity + (64 << 10), false)] {
        let event = of_mail(&mail.as_bytes()[..length], limit);
        assert!(event.structured().len() as u64 <= limit);
        let data = &structured(&event)["data"];
        assert_eq!(data.get("original").is_some(), is_kept, "{length}");
        assert_eq!((&data["truncated"], &data["original_length"]), (&json!(true), &json!(length)));
        assert!(is_kept || !data["text"].as_str().unwrap().is_empty());
    }
}

#[test]
fn the_schema_is_of_this_draft_and_describes_every_field() {
    fn undescribed(value: &Value, path: &str, found: &mut Vec<String>) {
        if let Some(properties) = value.get("properties").and_then(Value::as_object) {
            for (name, property) in properties {
                let constant = property.get("const").is_some() || property.get("$ref").is_some();
                if property.get("description").is_none() && !constant {
                    found.push(format!("{path}/{name}"));
                }
            }
        }
        if let Some(object) = value.as_object() {
            object.iter().for_each(|(key, inner)| undescribed(inner, &format!("{path}/{key}"), found));
        } else if let Some(list) = value.as_array() {
            list.iter().for_each(|inner| undescribed(inner, path, found));
        }
    }
    let schema = schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    let mut found = Vec::new();
    undescribed(&schema, "", &mut found);
    assert!(found.is_empty(), "{found:?}\n{schema:#}");
}
