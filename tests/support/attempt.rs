//! Attempts to deliver, as a lane makes them.

use mailslotd::delivery::outcome::{Attempt, RecipientNumber};
use mailslotd::message::id::{DestinationName, QueueId};
use mailslotd::message::mail::{Body, Gathered, Priority, Spooled};
use mailslotd::message::notice::{Arrival, Encoding, Kind, Listener, Name, Notice};
use mailslotd::message::recipient::Recipient;
use mailslotd::wire::netbios_name::NameType;
use mailslotd::wire::oem_text::CodePage;

use super::postfix::DOMAIN;

/// A notice for these mailboxes of Postfix.
pub(crate) fn notice(id: i64, mailboxes: &[&str]) -> Attempt {
    let notice = Notice {
        arrival: Arrival {
            at: "2026-03-04T23:30:00Z".parse().unwrap(),
            source: "192.0.2.7:138".parse().unwrap(),
            destination: None,
            interface: None,
            listener: Listener::Datagram,
        },
        dgm_id: 7,
        source_name: Name { text: "UPS-07".into(), name_type: NameType::MESSENGER },
        destination_name: Name { text: "ALERTS".into(), name_type: NameType::MESSENGER },
        mailslot: r"\MAILSLOT\MESSNGR".into(),
        originator: "UPS-07".into(),
        to: "ALERTS".into(),
        text: "on battery".into(),
        encoding: Encoding { code_page: CodePage::Cp932, lossy: false },
        kind: Kind::Messenger,
        data: b"on battery".as_slice().into(),
    };
    attempt(id, Body::Notice(Box::new(Gathered::one(notice))), mailboxes)
}

/// Any message for these mailboxes of Postfix.
pub(crate) fn attempt(id: i64, body: Body, mailboxes: &[&str]) -> Attempt {
    let at = "2026-03-04T23:30:00Z".parse().unwrap();
    let recipient = |(number, mailbox): (usize, &&str)| {
        let via = DestinationName::new("smarthost").unwrap();
        let recipient = Recipient::new(via, format!("{mailbox}@{DOMAIN}"));
        (RecipientNumber(u32::try_from(number).unwrap()), recipient)
    };
    Attempt {
        message: Spooled {
            id: QueueId::from_row(id).unwrap(),
            body,
            accepted_at: at,
            expires_at: at,
            priority: Priority::Normal,
            rule: None,
        },
        recipients: mailboxes.iter().enumerate().map(recipient).collect(),
    }
}
