//! A message of a session to a [`Notice`].

use std::borrow::Cow;

use super::{Reading, name, or_name};
use crate::message::notice::{Arrival, Notice};
use crate::message::session_message::SessionMessage;
use crate::wire::mailslot::MailslotName;
use crate::wire::oem_text::SenderText;

/// Decodes a message that came over a session from a sender whose text is `sender`. It counts as written to
/// `\MAILSLOT\MESSNGR`, so that a rule for messages holds however they come; its listener tells them apart.
///
/// As [`super::decode`], it copies nothing while the text is ASCII and free of control characters.
#[must_use]
pub fn decode_session(message: &SessionMessage, arrival: Arrival, sender: SenderText) -> Notice<'_> {
    let source_name = name(message.calling(), sender);
    let destination_name = name(message.called(), sender);
    let fields = message.fields();
    let reading = if fields.text.contains(&0) {
        Reading::of_any_fields(fields, sender)
    } else {
        Reading::of_fields(message.data(), fields, sender)
    };
    Notice {
        arrival,
        dgm_id: 0,
        originator: or_name(reading.from, &source_name),
        to: or_name(reading.to, &destination_name),
        source_name,
        destination_name,
        mailslot: MailslotName::MESSNGR.into_text(),
        text: reading.text,
        encoding: reading.encoding,
        kind: reading.kind,
        data: Cow::Borrowed(message.data()),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::message::notice::{Encoding, Kind, Listener};
    use crate::wire::netbios_name::{NameType, NetbiosName};
    use crate::wire::oem_text::{CodePage, Utf8};

    fn message(from: &[u8], to: &[u8], blocks: &[&[u8]]) -> SessionMessage {
        let called = NetbiosName::new(b"ALERTS", NameType::MESSENGER).unwrap();
        let calling = NetbiosName::new(b"WIN98PC", NameType::WORKSTATION).unwrap();
        let mut message = SessionMessage::new(called, calling, from, to);
        blocks.iter().for_each(|block| message.push(block));
        message
    }

    fn decoded(message: &SessionMessage, code_page: CodePage) -> Notice<'_> {
        let arrival = Arrival {
            at: Timestamp::UNIX_EPOCH,
            source: "192.0.2.7:1027".parse().unwrap(),
            destination: None,
            interface: None,
            listener: Listener::Messenger,
        };
        decode_session(message, arrival, SenderText { code_page, utf8: Utf8::Never })
    }

    #[test]
    fn a_message_counts_as_a_write_to_messngr_and_copies_nothing() {
        let message = message(b"UPS1", b"ALERTS", &[b"on ", b"battery"]);
        let notice = decoded(&message, CodePage::Cp932);
        assert_eq!((&*notice.originator, &*notice.to, &*notice.text), ("UPS1", "ALERTS", "on battery"));
        assert_eq!((&*notice.mailslot, notice.kind), (r"\MAILSLOT\MESSNGR", Kind::Messenger));
        assert_eq!(notice.source_name.to_string(), "WIN98PC<00>");
        assert_eq!(notice.destination_name.to_string(), "ALERTS<03>");
        assert!(matches!(notice.text, Cow::Borrowed(_)));
    }

    #[test]
    fn a_double_byte_character_that_two_blocks_share_is_whole_again() {
        let message = message(b"CNC", b"ALERTS", &[b"\x8E\xE5\x8E\xB2\x89\xB7\x93\x78 \x95", b"\x5C 80"]);
        let notice = decoded(&message, CodePage::Cp932);
        assert_eq!(notice.text, "主軸温度 表 80");
        assert_eq!(notice.encoding, Encoding { code_page: CodePage::Cp932, lossy: false });
    }

    #[test]
    fn who_names_nobody_is_known_by_the_session_request() {
        let message = message(b"", b"", &[]);
        let notice = decoded(&message, CodePage::Cp850);
        assert_eq!((&*notice.originator, &*notice.to, &*notice.text), ("WIN98PC", "ALERTS", ""));
    }

    #[test]
    fn nuls_within_a_text_neither_end_it_nor_stay() {
        let message = message(b"A", b"B", &[b"one\0", b"two\x14\0"]);
        let notice = decoded(&message, CodePage::Cp850);
        assert_eq!((&*notice.text, &*notice.data), ("onetwo\n", b"A\0B\0one\0two\x14\0".as_slice()));
    }
}
