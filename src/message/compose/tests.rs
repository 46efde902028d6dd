use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::message::id::RuleName;
use crate::message::notice::{Arrival, Encoding, Kind, Listener, Name, Notice};
use crate::wire::netbios_name::NameType;

fn notice(originator: &str, text: &str) -> Notice<'static> {
    Notice {
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
        originator: originator.to_owned().into(),
        to: "ALERTS".into(),
        text: text.to_owned().into(),
        encoding: Encoding { code_page: CodePage::Cp932, lossy: false },
        kind: Kind::Messenger,
        data: b"UPS-07\0ALERTS\0on battery\0".as_slice().into(),
    }
}

fn spooled(gathered: Gathered) -> Spooled {
    Spooled {
        id: QueueId::from_row(0x1234_5678).unwrap(),
        accepted_at: gathered.first.arrival.at,
        expires_at: gathered.first.arrival.at,
        body: Body::Notice(Box::new(gathered)),
        priority: Priority::Normal,
        rule: Some(RuleName::new("ups-alarms").unwrap()),
    }
}

fn identity() -> Identity {
    let zone = TimeZone::get("Asia/Tokyo").unwrap();
    Identity::new(Some("gw1.plant.example"), "plant-1", Some("alerts@corp.example"), zone)
}

const TO_ONCALL: Addressees<'_> = Addressees::Mailboxes(&["oncall@corp.example"]);

fn mail(message: &Spooled, addressees: Addressees<'_>, subject: Option<&str>) -> Mail {
    match compose(message, addressees, subject, &identity()).unwrap() {
        Content::Inline(bytes) => Mail::parse(&bytes),
        Content::File { .. } => panic!("a notice has no file"),
    }
}

fn mail_of(notice: Notice<'static>) -> Mail {
    mail(&spooled(Gathered::one(notice)), TO_ONCALL, None)
}

/// A mail read as a receiver would: a second opinion that shares no code with what composed it.
struct Mail {
    fields: Vec<(String, String)>,
    body: String,
}

impl Mail {
    /// Asserts on the way what holds for every mail that leaves.
    fn parse(bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes).unwrap();
        assert!(
            bytes.iter().all(|&b| (0x20..0x7F).contains(&b) || b"\r\n\t".contains(&b)),
            "not 7-bit: {text:?}"
        );
        assert!(!text.replace("\r\n", "").contains(['\r', '\n']), "a bare CR or LF: {text:?}");
        let (header, body) = text.split_once("\r\n\r\n").unwrap();
        for row in text.split("\r\n") {
            assert!(row.len() <= 78, "{} bytes: {row:?}", row.len());
            for word in row.split([' ', '\t']).filter(|word| word.starts_with("=?") && word.ends_with("?=")) {
                assert!(word.len() <= 75, "{word}");
            }
        }
        let unfolded = header.replace("\r\n ", " ").replace("\r\n\t", "\t");
        let fields = unfolded
            .split("\r\n")
            .map(|row| row.split_once(": ").expect(row))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Self { fields, body: body.to_owned() }
    }

    fn names(&self) -> Vec<&str> {
        self.fields.iter().map(|(name, _)| name.as_str()).collect()
    }

    fn raw(&self, name: &str) -> &str {
        let mut values = self.fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        let (_, value) = values.next().unwrap_or_else(|| panic!("no {name}"));
        assert!(values.next().is_none(), "{name} twice");
        value
    }

    fn decoded(&self, name: &str) -> String {
        decode_words(self.raw(name))
    }

    /// The addr-specs of an address header: what is in `<…>` outside quotes; asserts that nothing else could be one.
    fn mailboxes(&self, name: &str) -> Vec<String> {
        let mut outside = String::new();
        let mut chars = self.raw(name).chars();
        let mut quoted = false;
        while let Some(c) = chars.next() {
            match c {
                '\\' if quoted => drop(chars.next()),
                '"' => quoted = !quoted,
                _ if quoted => {}
                _ => outside.push(c),
            }
        }
        assert!(!quoted, "{name}: an open quote");
        outside
            .split(',')
            .map(|each| {
                let (phrase, address) = each.split_once('<').unwrap();
                let address = address.strip_suffix('>').unwrap();
                assert!(!phrase.contains('@') && !address.contains(['<', '>', ' ', '"']), "{each}");
                address.to_owned()
            })
            .collect()
    }

    /// The text of a mail that has but one part.
    fn text(&self) -> String {
        decode_part(&self.fields, &self.body)
    }

    /// Header and decoded body of each part.
    fn parts(&self) -> Vec<Part> {
        let kind = self.raw("Content-Type");
        let boundary = kind.split_once("boundary=\"").unwrap().1.split('"').next().unwrap();
        let (inner, after) = self.body.split_once(&format!("\r\n--{boundary}--")).unwrap();
        assert_eq!(after.trim(), "");
        inner
            .split(&format!("--{boundary}\r\n"))
            .skip(1)
            .map(|part| {
                let (header, body) = part.split_once("\r\n\r\n").unwrap();
                let unfolded = header.replace("\r\n ", " ");
                let fields: Vec<_> = unfolded
                    .split("\r\n")
                    .map(|row| row.split_once(": ").unwrap())
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect();
                let bytes = decode_bytes(&fields, body);
                Part { fields, bytes }
            })
            .collect()
    }
}

struct Part {
    fields: Vec<(String, String)>,
    bytes: Vec<u8>,
}

fn decode_part(fields: &[(String, String)], body: &str) -> String {
    String::from_utf8(decode_bytes(fields, body)).unwrap().replace("\r\n", "\n")
}

fn decode_bytes(fields: &[(String, String)], body: &str) -> Vec<u8> {
    let fields: BTreeMap<_, _> = fields.iter().cloned().collect();
    match fields["Content-Transfer-Encoding"].as_str() {
        "7bit" => body.as_bytes().to_vec(),
        "base64" => STANDARD.decode(body.replace("\r\n", "")).unwrap(),
        "quoted-printable" => decode_q(&body.replace("=\r\n", "")),
        other => panic!("{other}"),
    }
}

fn decode_q(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'=' => {
                let hex = [rest.next().unwrap(), rest.next().unwrap()];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
            }
            other => bytes.push(other),
        }
    }
    bytes
}

/// RFC 2047: words decoded one by one, so a character split over two would fail here; blanks between words vanish.
fn decode_words(value: &str) -> String {
    let mut text = String::new();
    let mut after_word = false;
    for token in value.split(' ').filter(|token| !token.is_empty()) {
        let word = token.strip_prefix("=?").and_then(|rest| rest.strip_suffix("?="));
        let between_words = after_word && word.is_some();
        if !text.is_empty() && !between_words {
            text.push(' ');
        }
        after_word = word.is_some();
        let Some(word) = word else {
            text.push_str(token);
            continue;
        };
        let [_charset, form, payload] = word.split('?').collect::<Vec<_>>().try_into().unwrap();
        let bytes = match form {
            "B" => STANDARD.decode(payload).unwrap(),
            _ => decode_q(&payload.replace('_', " ")),
        };
        text.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    text
}

const ALONE: [&str; 15] = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
    "X-Mailslot-Originator",
    "X-Mailslot-Destination",
    "X-Mailslot-Mailslot",
    "X-Mailslot-Source",
    "X-Mailslot-Code-Page",
    "X-Mailslot-Rule",
    "MIME-Version",
    "Content-Type",
];

/// What no sender can change: the set of header fields and whom they name.
fn assert_untouched(mail: &Mail) {
    let mut expected = ALONE.to_vec();
    if mail.raw("Content-Type").starts_with("text/plain") {
        expected.push("Content-Transfer-Encoding");
    }
    assert_eq!(mail.names(), expected);
    assert_eq!(mail.mailboxes("From"), ["alerts@corp.example"]);
    assert_eq!(mail.mailboxes("To"), ["oncall@corp.example"]);
}

#[test]
fn a_notice_reads_as_its_sender_meant_it_and_says_what_is_only_claimed() {
    let mail = mail_of(notice("UPS-07", "UPS on battery\nLoad 40 %"));
    assert_untouched(&mail);
    assert_eq!(mail.raw("From"), r#""UPS-07" <alerts@corp.example>"#);
    assert_eq!(mail.raw("Subject"), "[plant-1] UPS-07: UPS on battery");
    assert_eq!(mail.raw("Date"), "Thu, 5 Mar 2026 08:30:00 +0900");
    let id = QueueId::from_row(0x1234_5678).unwrap();
    assert_eq!(mail.raw("Message-ID"), format!("<{id}.notice@gw1.plant.example>"));
    assert_eq!(mail.raw("X-Mailslot-Code-Page"), "cp932");
    assert_eq!(mail.raw("X-Mailslot-Source"), "192.0.2.7");
    let expected = "UPS on battery\nLoad 40 %\n\n----\n\
        Sent to \"ALERTS\" by a host that calls itself \"UPS-07\" (NetBIOS name UPS-07<03>),\n\
        from 192.0.2.7 at 2026-03-05 08:30:00 +09:00.\n\
        NetBIOS does not authenticate senders: the name is a claim.\n\
        Heard on \\MAILSLOT\\MESSNGR by gw1.plant.example; message 000000";
    assert!(mail.text().starts_with(expected), "{}", mail.text());
    assert!(mail.text().ends_with(", rule ups-alarms.\n"), "{}", mail.text());
}

#[test]
fn a_notice_that_a_session_brought_says_so() {
    let mut notice = notice("UPS-07", "UPS on battery");
    notice.arrival.listener = Listener::Messenger;
    let text = mail_of(notice).text();
    assert!(text.contains("\nTaken from a session on TCP 139 by gw1.plant.example; message "), "{text}");
}

#[test]
fn no_originator_adds_a_header_an_address_or_a_recipient() {
    let controls: String = (1..=15).map(char::from).collect();
    let long = "A".repeat(60_000);
    let hostile = [
        "x\r\nBcc: thief@example.net",
        "x\nTo: thief@example.net\n\nforged body",
        "\" <thief@example.net>, \"",
        "thief@example.net",
        "<thief@example.net>",
        "a, b <thief@example.net>, c",
        "\\\" <thief@example.net>",
        "=?utf-8?Q?=0D=0ABcc:_thief@example.net?=",
        "=?utf-8?B?IDx0aGllZkBleGFtcGxlLm5ldD4=?= <thief@example.net>",
        "\u{202E}moc.elpmaxe@feiht\u{202C}",
        "(comment) group: thief@example.net;",
        "\u{2028}Bcc: thief@example.net",
        "サーバー\r\nBcc: thief@example.net",
        "\u{FEFF}",
        "",
        " ",
        &controls,
        &long,
        "'; DROP TABLE",
        "~`!@#$%^&*()_+-=[]{}|;':,./<>?",
    ];
    for text in hostile {
        let mut notice = notice(text, text);
        notice.to = text.to_owned().into();
        notice.mailslot = text.to_owned().into();
        notice.source_name.text = text.to_owned().into();
        let mail = mail_of(notice.clone());
        assert_untouched(&mail);
        for name in ["From", "Subject", "X-Mailslot-Originator"] {
            let decoded = mail.decoded(name);
            assert!(!decoded.chars().any(|c| c.is_control() || c == '\u{202E}'), "{name}: {decoded:?}");
        }
        // The same through a rule's subject and as an attachment.
        notice.encoding.lossy = true;
        let mail = self::mail(&spooled(Gathered::one(notice)), TO_ONCALL, Some(text));
        assert_untouched(&mail);
        assert_eq!(mail.parts().len(), 2, "{text:?}");
    }
}

#[test]
fn an_originator_that_looks_like_an_encoded_word_is_shown_as_written() {
    let claim = "=?utf-8?Q?CEO?=";
    let mail = mail_of(notice(claim, claim));
    assert_eq!(mail.decoded("From"), format!("{claim} <alerts@corp.example>"));
    assert_eq!(mail.decoded("Subject"), format!("[plant-1] {claim}: {claim}"));
    assert_eq!(mail.decoded("X-Mailslot-Originator"), claim);
}

#[test]
fn texts_that_end_data_or_overflow_lines_arrive_as_they_were() {
    let endless = "x".repeat(65_536);
    for text in
        ["a\n.\nb", ".", ".\n.\n", "From here\n\n\nto there", "tab\tand trailing blank \nnext", &endless]
    {
        let mail = mail_of(notice("UPS-07", text));
        let expected = format!("{}\n\n----\n", text.trim_end_matches('\n'));
        assert!(mail.text().starts_with(&expected), "{:?}", mail.text());
    }
}

#[test]
fn control_characters_in_a_text_are_shown_as_unreadable() {
    let mail = mail_of(notice("UPS-07", "a\r\nb\rc\0d\u{1B}[2J"));
    assert!(mail.text().starts_with("a\nb\u{FFFD}c\u{FFFD}d\u{FFFD}[2J\n\n"), "{:?}", mail.text());
}

#[test]
fn japanese_folds_between_characters_and_reads_back() {
    let text = "瞬時電圧低下を検出しました。バッテリー運転に切り替えます。".repeat(4);
    let mail = mail_of(notice("受電設備監視装置", &text));
    assert!(mail.decoded("From").starts_with("受電設備監視装置 <"), "{}", mail.decoded("From"));
    assert_eq!(mail.decoded("Subject"), format!("[plant-1] 受電設備監視装置: {text}"));
    assert!(mail.text().starts_with(&text));
}

#[test]
fn an_empty_notice_is_still_a_mail() {
    let mut empty = notice("", "");
    empty.data = b"".as_slice().into();
    let mail = mail_of(empty);
    assert_untouched(&mail);
    assert_eq!(mail.raw("From"), "<alerts@corp.example>");
    assert_eq!(mail.raw("Subject"), "[plant-1] (no name): (no text)");
    assert!(mail.text().starts_with("(no text)\n\n----\n"));
}

#[test]
fn data_that_is_no_text_is_attached_under_a_plain_name() {
    let mut binary = notice("PLC", "");
    binary.kind = Kind::Binary;
    binary.mailslot = r"\MAILSLOT\ACME\..\LOG 1".into();
    binary.data = (0..=255).collect::<Vec<u8>>().into();
    let mail = mail_of(binary);
    let parts = mail.parts();
    let [text, data] = parts.as_slice() else { panic!("{} parts", parts.len()) };
    assert!(String::from_utf8_lossy(&text.bytes).contains("The 256 bytes as they came are attached."));
    assert!(data.bytes.iter().copied().eq(0..=255));
    assert!(data.fields.contains(&(
        "Content-Disposition".to_owned(),
        "attachment; filename=\"ACME----LOG-1.bin\"".to_owned()
    )));
}

#[test]
fn a_sender_cannot_close_the_part_it_writes_in() {
    let mut binary = notice("PLC", "x");
    binary.encoding.lossy = true;
    let boundary = |text: &str| {
        let mut each = binary.clone();
        each.text = text.to_owned().into();
        let mail = mail_of(each);
        assert_eq!(mail.parts().len(), 2, "{text}");
        mail.raw("Content-Type").split('"').nth(1).unwrap().to_owned()
    };
    // It may know the boundary that one text gets; writing that one into the text gives another.
    let known = boundary("x");
    assert_ne!(boundary(&format!("x\n--{known}--\n")), known);
}

#[test]
fn a_group_says_how_often_and_shows_the_last_text_where_it_differs() {
    let mut last = notice("UPS-07", "Load 80 %");
    last.arrival.at = "2026-03-04T23:41:02Z".parse().unwrap();
    let gathered =
        Gathered { first: notice("UPS-07", "Load 40 %"), count: 37, last: Some(last), held_back: 0 };
    let mail = mail(&spooled(gathered), TO_ONCALL, None);
    assert_eq!(mail.raw("Subject"), "[plant-1] UPS-07: Load 40 % (37 times)");
    assert_eq!(mail.raw("X-Mailslot-Count"), "37");
    let text = mail.text();
    assert!(text.starts_with("Load 40 %\n\nThe last one was:\n\nLoad 80 %\n\n----\n"), "{text}");
    let repeated = "Repeated 37 times, first 2026-03-05 08:30:00 +09:00, last 2026-03-05 08:41:02 +09:00.\n";
    assert!(text.ends_with(repeated), "{text}");
}

#[test]
fn a_text_that_was_only_recognised_as_utf8_keeps_its_bytes_beside_it() {
    let mut sent = notice("UPS-07", "5 €");
    sent.encoding.code_page = CodePage::Utf8;
    sent.data = "5 €".as_bytes().into();
    let mail = mail_of(sent);
    assert_eq!(mail.raw("X-Mailslot-Code-Page"), "utf-8 (recognised)");
    let parts = mail.parts();
    let [text, data] = parts.as_slice() else { panic!("{} parts", parts.len()) };
    assert!(text.bytes.starts_with("5 €\r\n".as_bytes()), "{:?}", text.bytes);
    assert_eq!(data.bytes, "5 €".as_bytes());
}

#[test]
fn messages_of_the_same_source_that_were_dropped_before_it_are_told_of() {
    let gathered = Gathered { held_back: 95, ..Gathered::one(notice("UPS-07", "Load 40 %")) };
    let mail = mail(&spooled(gathered), TO_ONCALL, None);
    assert_eq!(mail.raw("X-Mailslot-Held-Back"), "95");
    let told = "Before it 95 messages from this address came too fast and were dropped.\n";
    assert!(mail.text().ends_with(told), "{}", mail.text());
}

#[test]
fn the_same_message_gives_the_same_bytes_and_other_subjects_other_ids() {
    let mut lossy = notice("UPS-07", "x");
    lossy.encoding.lossy = true;
    let message = spooled(Gathered::one(lossy));
    let compose = |subject| compose(&message, TO_ONCALL, subject, &identity()).unwrap();
    assert_eq!(compose(Some("UPS")), compose(Some("UPS")));
    let id = |subject| message_id(message.id, subject, &identity());
    assert_eq!(id(Some("UPS")), id(Some("UPS")));
    assert_ne!(id(Some("UPS")), id(Some("Door")));
    assert_ne!(id(Some("UPS")), id(None));
}

#[test]
fn priorities_are_told_to_the_reader() {
    let mut message = spooled(Gathered::one(notice("UPS-07", "x")));
    message.priority = Priority::Urgent;
    assert_eq!(mail(&message, TO_ONCALL, None).raw("Importance"), "high");
    message.priority = Priority::Bulk;
    assert_eq!(mail(&message, TO_ONCALL, None).raw("Precedence"), "bulk");
}

#[test]
fn a_folder_is_an_address_that_never_resolves() {
    let message = spooled(Gathered::one(notice("UPS-07", "x")));
    for (folder, expected) in [
        ("operator", "operator@localhost.invalid"),
        ("", "inbox@localhost.invalid"),
        ("a b", "inbox@localhost.invalid"),
    ] {
        assert_eq!(mail(&message, Addressees::Folder(folder), None).mailboxes("To"), [expected]);
    }
}

#[test]
fn what_is_no_mailbox_stays_out_of_the_header() {
    let message = spooled(Gathered::one(notice("UPS-07", "x")));
    let three = ["a@corp.example", "b@corp.example, c@corp.example", "d@corp.example"];
    let mail = mail(&message, Addressees::Mailboxes(&three), None);
    assert_eq!(mail.mailboxes("To"), ["a@corp.example", "d@corp.example"]);
    let none = compose(&message, Addressees::Mailboxes(&["nobody"]), None, &identity());
    assert_eq!(none, Err(ComposeError::NoMailbox));
    let bad_from = Identity { from: "x\r\n@y".to_owned(), ..identity() };
    assert_eq!(compose(&message, TO_ONCALL, None, &bad_from), Err(ComposeError::BadFrom));
}

#[test]
fn a_quoted_local_part_stands_in_the_header_as_it_is() {
    let message = spooled(Gathered::one(notice("UPS-07", "x")));
    let long = format!("\"{}\"@{}.example", "night shift ".repeat(5), "d".repeat(60));
    for address in ["\"night shift\"@corp.example", "\"a\\\"b, c@d;\"@corp.example", &long] {
        let from = Identity { from: address.to_owned(), ..identity() };
        let addresses = [address, "it@corp.example"];
        let content = compose(&message, Addressees::Mailboxes(&addresses), None, &from).unwrap();
        let Content::Inline(bytes) = content else { panic!("a notice has no file") };
        let header = String::from_utf8(bytes.to_vec()).unwrap().replace("\r\n ", " ").replace("\r\n\t", " ");
        assert!(header.contains(&format!("\r\nTo: <{address}>, <it@corp.example>\r\n")), "{header}");
        assert!(header.starts_with(&format!("From: \"UPS-07\" <{address}>\r\n")), "{header}");
    }
}

#[test]
fn a_mail_passes_as_it_is() {
    let content = Content::Inline(Bytes::from_static(b"Subject: x\r\n\r\ny\r\n"));
    let mut message = spooled(Gathered::one(notice("UPS-07", "x")));
    message.body = Body::Mail { reverse_path: None, content: content.clone(), submitted: Box::default() };
    assert_eq!(compose(&message, TO_ONCALL, None, &identity()), Ok(content));
}
