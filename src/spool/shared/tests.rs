//! What the tests of this folder share.

use std::borrow::Cow;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use jiff::Timestamp;

use super::carried::{Carried, Text};
use super::key::{Heard, Key};
use super::record::Record;
use crate::message::id::DestinationName;
use crate::message::mail::{Body, Content, Gathered, Message, Priority};
use crate::message::notice::{Arrival, Encoding, Kind, Listener, Name, Notice};
use crate::message::recipient::Recipient;
use crate::spool::NoticeFailures;
use crate::spool::rows::{Prepared, Promises, Times};
use crate::wire::netbios_name::NameType;
use crate::wire::oem_text::CodePage;

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

pub(super) fn destination(name: &str) -> DestinationName {
    DestinationName::new(name).unwrap()
}

pub(super) fn recipient(via: &str, to: &str) -> Recipient {
    Recipient::new(destination(via), to)
}

pub(super) fn alarm(text: &str, at: Timestamp) -> Message {
    let name = |text: &'static str| Name { text: Cow::Borrowed(text), name_type: NameType::MESSENGER };
    let notice = Notice {
        arrival: Arrival {
            at,
            source: SocketAddr::from((Ipv4Addr::new(192, 0, 2, 31), 138)),
            destination: None,
            interface: Some(2),
            listener: Listener::Datagram,
        },
        dgm_id: 7,
        source_name: name("UPS-1"),
        destination_name: name("ALERTS"),
        mailslot: Cow::Borrowed(r"\MAILSLOT\MESSNGR"),
        originator: Cow::Borrowed("UPS-1"),
        to: Cow::Borrowed("ALERTS"),
        text: Cow::Owned(text.to_owned()),
        encoding: Encoding { code_page: CodePage::Cp850, lossy: false },
        kind: Kind::Messenger,
        data: Cow::Owned(text.as_bytes().to_vec()),
    };
    Message {
        body: Body::Notice(Box::new(Gathered::one(notice))),
        accepted_at: at,
        expire: None,
        priority: Priority::Normal,
        rule: Some("ups-alarms".parse().unwrap()),
        group: None,
        recipients: vec![recipient("smarthost", "oncall@corp.example")],
    }
}

pub(super) fn mail(content: &str, at: Timestamp) -> Message {
    let reverse_path = Some("scanner@corp.example".to_owned());
    let content = Content::Inline(content.to_owned().into());
    let body = Body::Mail { reverse_path, content, submitted: Box::default() };
    Message { body, ..alarm("", at) }
}

pub(super) fn prepared(message: Message) -> Prepared {
    let times = Times { expire: Duration::from_secs(3600), delay_report: None };
    let promises = Promises { times, notice_failures: NoticeFailures::Kept };
    Prepared::new(message, promises, |_| unreachable!("no file")).unwrap()
}

pub(super) fn carried(message: Message) -> Carried {
    let heard = Heard::of(&message.body);
    let prepared = prepared(message);
    let key = Key::of(heard, &prepared);
    let record = Record::of(&prepared, key, prepared.accepted_at);
    let text = Text { body: prepared.body, content: prepared.content };
    Carried { id: key.queue_id(prepared.accepted_at), record, group: prepared.group, text }
}

pub(super) fn record(message: Message) -> Record {
    carried(message).record
}
