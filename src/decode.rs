//! A datagram, or a message of a session, to a [`Notice`].

mod session;

use std::borrow::Cow;

use crate::message::notice::{Arrival, Encoding, Kind, Name, Notice};
use crate::wire::datagram::Direct;
use crate::wire::mailslot::{MailslotName, MailslotWrite};
use crate::wire::message_text::{message_text, name_text};
use crate::wire::messenger::Text;
use crate::wire::netbios_name::NetbiosName;
use crate::wire::oem_text::SenderText;
use crate::wire::reader::{Reason, WireError};
pub use session::decode_session;

/// A datagram that holds no message, and where that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{layer}: {error}")]
pub struct Undecodable {
    /// The layer that refused it.
    pub layer: Layer,
    /// The field that broke its rule. Its offset counts from the SMB header, or in [`Layer::Message`] from the start of
    /// the mailslot's data.
    pub error: WireError,
}

/// A layer of a mailslot write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layer {
    /// The datagram carries something else: another protocol, another SMB, another mailslot opcode.
    NotAMailslotWrite,
    /// The SMB, its transaction or the mailslot's name is broken.
    Transaction,
    /// The data is not what its mailslot wants.
    Message,
}

impl std::fmt::Display for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotAMailslotWrite => "no mailslot write",
            Self::Transaction => "transaction",
            Self::Message => "message",
        })
    }
}

impl Undecodable {
    /// What is merely not allowed here is something else; what contradicts itself is broken.
    const fn transaction(error: WireError) -> Self {
        let layer = match error.reason() {
            Reason::NotAllowed { .. } => Layer::NotAMailslotWrite,
            Reason::Truncated { .. } | Reason::OutOfBounds { .. } | Reason::Malformed(_) => {
                Layer::Transaction
            }
        };
        Self { layer, error }
    }

    const fn message(error: WireError) -> Self {
        Self { layer: Layer::Message, error }
    }
}

/// Decodes the mailslot write in `direct`, which came from a sender whose text is `sender`.
///
/// Nothing is copied while the text is ASCII and free of control characters other than line feeds. The frames of
/// announcement mailslots are not looked into: most are discarded, so their `text` stays empty until
/// [`Notice::into_owned`] or [`Notice::full_text`] needs it.
///
/// # Errors
/// [`Undecodable`], when no message is in it.
pub fn decode<'a>(
    direct: &'a Direct<'a>,
    arrival: Arrival,
    sender: SenderText,
) -> Result<Notice<'a>, Undecodable> {
    let write = MailslotWrite::parse(direct.user_data).map_err(Undecodable::transaction)?;
    let source_name = name(&direct.source_name, sender);
    let destination_name = name(&direct.destination_name, sender);
    let reading = match Known::of(&write.name) {
        Known::Messenger => Reading::messenger(write.data, sender).map_err(Undecodable::message)?,
        Known::Announcement => Reading::nothing(Kind::Announcement, sender),
        Known::Vendor => Reading::vendor(write.data, sender),
    };
    Ok(Notice {
        arrival,
        dgm_id: direct.header.dgm_id,
        originator: or_name(reading.from, &source_name),
        to: or_name(reading.to, &destination_name),
        source_name,
        destination_name,
        mailslot: write.name.into_text(),
        text: reading.text,
        encoding: reading.encoding,
        kind: reading.kind,
        data: Cow::Borrowed(write.data),
    })
}

/// What a mailslot's name says about its data.
enum Known {
    Messenger,
    Announcement,
    Vendor,
}

impl Known {
    fn of(name: &MailslotName<'_>) -> Self {
        let announcements =
            [MailslotName::BROWSE, MailslotName::LANMAN, MailslotName::NETLOGON, MailslotName::NTLOGON];
        if *name == MailslotName::MESSNGR {
            Self::Messenger
        } else if announcements.contains(name) {
            Self::Announcement
        } else {
            Self::Vendor
        }
    }
}

fn or_name<'a>(said: Cow<'a, str>, name: &Name<'a>) -> Cow<'a, str> {
    if said.is_empty() { name.text.clone() } else { said }
}

fn name(name: &NetbiosName, sender: SenderText) -> Name<'_> {
    let (text, _) = name_field(name.text(), sender);
    Name { text, name_type: name.name_type() }
}

/// What the data of a mailslot write says.
struct Reading<'a> {
    /// Empty where it names nobody.
    from: Cow<'a, str>,
    /// As `from`.
    to: Cow<'a, str>,
    text: Cow<'a, str>,
    encoding: Encoding,
    kind: Kind,
}

impl<'a> Reading<'a> {
    const fn nothing(kind: Kind, sender: SenderText) -> Self {
        let [from, to, text] = [const { Cow::Borrowed("") }; 3];
        Self { from, to, text, encoding: Encoding { code_page: sender.code_page, lossy: false }, kind }
    }

    fn messenger(data: &'a [u8], sender: SenderText) -> Result<Self, WireError> {
        Ok(Self::of_fields(data, Text::parse(data)?, sender))
    }

    /// The fields of a message, none of which has a NUL, and the data that they are in.
    fn of_fields(data: &'a [u8], message: Text<'a>, sender: SenderText) -> Self {
        if let Some([from, to, text]) = plain_fields(data, message) {
            let [from, to] = [from, to].map(|name| Cow::Borrowed(name.trim_ascii()));
            let text = Cow::Borrowed(text);
            return Self { from, to, text, ..Self::nothing(Kind::Messenger, sender) };
        }
        Self::of_any_fields(message, sender)
    }

    fn of_any_fields(message: Text<'a>, sender: SenderText) -> Self {
        let (from, from_lossy) = name_field(message.from, sender);
        let (to, to_lossy) = name_field(message.to, sender);
        let text = sender.decode(message.text);
        let lossy = text.lossy || from_lossy || to_lossy;
        let encoding = Encoding { code_page: text.code_page, lossy };
        Self { from, to, text: message_text(text.text), encoding, kind: Kind::Messenger }
    }

    /// Data of which no specification tells: a text if it reads as one, with or without NULs behind it.
    fn vendor(data: &'a [u8], sender: SenderText) -> Self {
        let length = data.iter().rposition(|&byte| byte != 0).map_or(0, |last| last.saturating_add(1));
        let decoded = sender.decode(data.get(..length).unwrap_or_default());
        let printable = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r' | '\u{14}');
        if length > 0 && !decoded.lossy && decoded.text.chars().all(printable) {
            let encoding = Encoding { code_page: decoded.code_page, lossy: false };
            Self { text: message_text(decoded.text), encoding, ..Self::nothing(Kind::Text, sender) }
        } else {
            let encoding = Encoding { code_page: sender.code_page, lossy: true };
            Self { encoding, ..Self::nothing(Kind::Binary, sender) }
        }
    }
}

/// The fields of a message whose data is printable ASCII, as most are: checked all at once.
fn plain_fields<'a>(data: &'a [u8], message: Text<'a>) -> Option<[&'a str; 3]> {
    let mut rest = ascii_of(data, |byte| matches!(byte, b' '..=b'~' | 0))?;
    let mut field = |bytes: &[u8]| {
        let (field, behind) = rest.split_at_checked(bytes.len())?;
        rest = behind.strip_prefix('\0').unwrap_or_default();
        Some(field)
    };
    Some([field(message.from)?, field(message.to)?, field(message.text)?])
}

/// A field that is a name, and whether a byte of it had no meaning.
fn name_field(bytes: &[u8], sender: SenderText) -> (Cow<'_, str>, bool) {
    if let Some(text) = ascii_of(bytes, |byte| matches!(byte, b' '..=b'~')) {
        return (Cow::Borrowed(text.trim_ascii()), false);
    }
    let decoded = sender.decode(bytes);
    (name_text(decoded.text), decoded.lossy)
}

/// The text of `bytes` if all of them are `plain`: characters of ASCII that mean the same in every code page and need
/// not be cleaned. Most fields of most senders are, and every datagram is decoded, wanted or not.
fn ascii_of(bytes: &[u8], plain: impl Fn(&u8) -> bool) -> Option<&str> {
    // Without a branch inside, a block is looked at as a whole. The last one overlaps the one before it.
    let block = |block: &[u8; 16]| block.iter().fold(true, |all, byte| all & plain(byte));
    let (blocks, few) = bytes.as_chunks::<16>();
    let all = match bytes.last_chunk() {
        Some(last) => blocks.iter().chain([last]).all(block),
        None => few.iter().all(&plain),
    };
    if all { str::from_utf8(bytes).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use jiff::Timestamp;

    use super::*;
    use crate::message::notice::Listener;
    use crate::wire::datagram::Datagram;
    use crate::wire::netbios_name::NameType;
    use crate::wire::oem_text::{CodePage, Utf8};
    use crate::wire::vectors::{ANNOUNCEMENTS, MAILSLOT_WRITES, vector};

    fn arrival() -> Arrival {
        Arrival {
            at: Timestamp::UNIX_EPOCH,
            source: SocketAddr::from(([192, 0, 2, 30], 138)),
            destination: None,
            interface: None,
            listener: Listener::Datagram,
        }
    }

    /// What is decoded from a UDP payload of a sender with this code page.
    fn decoded(bytes: &[u8], code_page: CodePage, utf8: Utf8) -> Result<Notice<'static>, Undecodable> {
        match Datagram::parse(bytes) {
            Ok(Datagram::Direct(direct)) => {
                decode(&direct, arrival(), SenderText { code_page, utf8 }).map(Notice::into_owned)
            }
            other => panic!("{other:?}"),
        }
    }

    fn notice(label: &str, code_page: CodePage) -> Notice<'static> {
        decoded(&vector(MAILSLOT_WRITES, label), code_page, Utf8::Never).unwrap()
    }

    /// `NT-like to domain` with other data in the place of its own.
    fn with_data(mailslot: &[u8], data: &[u8]) -> Vec<u8> {
        let mut bytes = vector(MAILSLOT_WRITES, "NT-like to domain");
        let count = u16::try_from(data.len()).unwrap().to_le_bytes();
        let offset = u16::try_from(70 + mailslot.len()).unwrap().to_le_bytes();
        bytes.truncate(82 + 69);
        for (at, word) in [(35, count), (55, count), (57, offset)] {
            bytes[82 + at..82 + at + 2].copy_from_slice(&word);
        }
        bytes.extend([mailslot, b"\0", data].concat());
        bytes
    }

    #[test]
    fn every_sender_of_messages_is_understood() {
        for (label, originator, to, text) in [
            ("Win98-like net send", "WIN98USER", "WORKGROUP", "HELLO WORLD"),
            ("Win98-like directed", "WIN98USER", "ALERTS", "Drucker leer"),
            ("NT-like to domain", "ADMINISTRATOR", "NBLAB", "Server shuts down at 18:00"),
            ("NT-like padded to 4", "ADMINISTRATOR", "NBLAB", "aligned 4"),
            ("Samba-like", "SMBALPHA", "NBLAB", "samba style"),
            ("macOS-like", "MAC", "NBLAB", "mac style"),
            ("broadcast msg_type", "NT4SRV", "*", "to everyone"),
            ("no final NUL", "UPS1", "ALERTS", "power failure"),
        ] {
            let notice = notice(label, CodePage::Cp850);
            assert_eq!((&*notice.originator, &*notice.to, &*notice.text), (originator, to, text), "{label}");
            assert_eq!((notice.kind, notice.encoding.lossy), (Kind::Messenger, false), "{label}");
            assert_eq!(notice.mailslot, r"\MAILSLOT\MESSNGR");
        }
    }

    #[test]
    fn a_control_character_is_left_out_of_names_and_ends_a_line_of_text_alone() {
        let mut bytes = with_data(br"\MAILSLOT\MESSNGR", b"UP\x01S1\0ALERTS\0one\x14two\0\xFFjunk");
        // SOURCE_NAME begins `A`, NUL, `B`.
        bytes[15..21].copy_from_slice(b"EBAAEC");
        let notice = decoded(&bytes, CodePage::Cp850, Utf8::Auto).unwrap();
        assert!(notice.source_name.text.starts_with("AB"), "{:?}", notice.source_name);
        assert_eq!((&*notice.originator, &*notice.to, &*notice.text), ("UPS1", "ALERTS", "one\ntwo"));
        assert_eq!(notice.encoding, Encoding { code_page: CodePage::Cp850, lossy: false });
    }

    #[test]
    fn nothing_is_copied_for_an_ascii_message() {
        let bytes = vector(MAILSLOT_WRITES, "NT-like to domain");
        let Ok(Datagram::Direct(direct)) = Datagram::parse(&bytes) else { panic!() };
        let sender = SenderText { code_page: CodePage::Cp932, utf8: Utf8::Never };
        let notice = decode(&direct, arrival(), sender).unwrap();
        let texts = [
            &notice.originator,
            &notice.to,
            &notice.text,
            &notice.mailslot,
            &notice.source_name.text,
            &notice.destination_name.text,
        ];
        assert!(texts.iter().all(|text| matches!(text, Cow::Borrowed(_))), "{texts:?}");
        assert!(matches!(notice.data, Cow::Borrowed(_)));
    }

    #[test]
    fn empty_names_inside_the_message_fall_back_to_the_header() {
        let notice = notice("empty sender", CodePage::Cp850);
        assert_eq!(notice.originator, notice.source_name.text);
        assert!(!notice.originator.is_empty());
        let both =
            decoded(&with_data(br"\MAILSLOT\MESSNGR", b"\0\0x\0"), CodePage::Cp850, Utf8::Never).unwrap();
        assert_eq!((both.to, &*both.text), (both.destination_name.text, "x"));
    }

    #[test]
    fn an_empty_text_is_still_a_message() {
        assert_eq!(notice("empty text", CodePage::Cp850).text, "");
    }

    #[test]
    fn the_code_page_of_the_sender_decides() {
        assert!(notice("CP437/850 umlauts", CodePage::Cp850).text.contains('ü'));
        assert!(notice("CP866 cyrillic", CodePage::Cp866).text.chars().any(|c| ('а'..='я').contains(&c)));
        let japanese = notice("CP932 japanese", CodePage::Cp932);
        assert!(japanese.text.contains('表') && !japanese.text.contains('\\'), "{}", japanese.text);
        assert_eq!(japanese.encoding, Encoding { code_page: CodePage::Cp932, lossy: false });
    }

    #[test]
    fn bytes_without_a_meaning_make_the_message_lossy() {
        let bytes = with_data(br"\MAILSLOT\MESSNGR", b"A\0B\0\x81");
        let notice = decoded(&bytes, CodePage::Cp932, Utf8::Never).unwrap();
        assert_eq!((&*notice.text, notice.encoding.lossy), ("\u{FFFD}", true));
    }

    #[test]
    fn utf8_of_samba_is_marked_as_what_was_applied() {
        let bytes = with_data(br"\MAILSLOT\MESSNGR", "A\0B\x005 €\0".as_bytes());
        let notice = decoded(&bytes, CodePage::Cp850, Utf8::Auto).unwrap();
        assert_eq!((&*notice.text, notice.encoding.code_page), ("5 €", CodePage::Utf8));
    }

    #[test]
    fn line_ends_of_both_kinds_are_newlines() {
        let text = notice("CRLF and 0x14", CodePage::Cp850).text;
        assert!(text.lines().count() > 1 && !text.contains(['\r', '\u{14}']), "{text:?}");
    }

    #[test]
    fn names_cannot_smuggle_headers_and_the_wildcard_is_a_name() {
        let bytes = with_data(br"\MAILSLOT\MESSNGR", b"CEO\r\nBcc: x\0\x01*\x02\0hi\0");
        let notice = decoded(&bytes, CodePage::Cp850, Utf8::Never).unwrap();
        assert_eq!((&*notice.originator, &*notice.to), ("CEOBcc: x", "*"));
        let broadcast = self::notice("broadcast msg_type", CodePage::Cp850);
        assert_eq!(broadcast.destination_name.to_string(), "*<00>");
        assert_eq!(broadcast.destination_name.name_type, NameType::WORKSTATION);
    }

    #[test]
    fn a_lower_case_mailslot_is_the_same_and_a_large_text_is_whole() {
        assert_eq!(notice("mailslot name lower case", CodePage::Cp850).mailslot, r"\MAILSLOT\MESSNGR");
        assert_eq!(notice("oversize unfragmented", CodePage::Cp850).text.len(), 1200);
    }

    #[test]
    fn a_vendor_mailslot_is_text_where_it_reads_as_text() {
        let vendor =
            |data: &[u8]| decoded(&with_data(br"\MAILSLOT\VENDOR", data), CodePage::Cp932, Utf8::Never);
        let text = vendor(b"Line 3 stopped\r\n\x95\x5C\0\0").unwrap();
        assert_eq!((text.kind, &*text.text), (Kind::Text, "Line 3 stopped\n表"));
        for data in [b"\x01\x02".as_slice(), b"a\0b", b"\0\0\0", b"a\x81", b"h\0i\0"] {
            let notice = vendor(data).unwrap();
            assert_eq!((notice.kind, &*notice.text, notice.encoding.lossy), (Kind::Binary, "", true));
            assert_eq!(notice.data, data);
        }
        assert_eq!(text.originator, text.source_name.text);
    }

    #[test]
    fn an_announcement_is_summed_up_only_when_it_is_kept() {
        let bytes = vector(ANNOUNCEMENTS, "frame 6 ");
        let Ok(Datagram::Direct(direct)) = Datagram::parse(&bytes) else { panic!() };
        let sender = SenderText { code_page: CodePage::Cp850, utf8: Utf8::Never };
        let notice = decode(&direct, arrival(), sender).unwrap();
        assert_eq!((notice.kind, &*notice.text), (Kind::Announcement, ""));
        assert!(notice.announcement().is_some());
        let full = notice.full_text().into_owned();
        assert!(full.starts_with("HostAnnouncement (0x01) of SMBALPHA: version 6.1, "), "{full}");
        let owned = notice.into_owned();
        assert_eq!(owned.text, full);
        assert_eq!(owned.clone().into_owned(), owned, "a second copy changes nothing");
    }

    #[test]
    fn a_broken_announcement_says_so() {
        let bytes = with_data(br"\MAILSLOT\BROWSE", b"\x01\x00");
        let text = decoded(&bytes, CodePage::Cp850, Utf8::Never).unwrap().text;
        assert!(text.starts_with("an announcement that cannot be read: "), "{text}");
    }

    fn layer(change: impl FnOnce(&mut Vec<u8>)) -> Layer {
        let mut bytes = vector(MAILSLOT_WRITES, "NT-like to domain");
        change(&mut bytes);
        decoded(&bytes, CodePage::Cp850, Utf8::Never).unwrap_err().layer
    }

    #[test]
    fn what_is_refused_says_in_which_layer() {
        assert_eq!(layer(|bytes| bytes[82] = 0xFE), Layer::NotAMailslotWrite);
        assert_eq!(layer(|bytes| bytes[82 + 4] = 0x72), Layer::NotAMailslotWrite);
        assert_eq!(layer(|bytes| bytes[82 + 61] = 2), Layer::NotAMailslotWrite);
        assert_eq!(layer(|bytes| bytes.truncate(100)), Layer::Transaction);
        assert_eq!(layer(|bytes| bytes[82 + 57] = 0), Layer::Transaction);
        assert_eq!(layer(|bytes| bytes[82 + 71] = 0x07), Layer::Transaction);
        assert_eq!(layer(|bytes| *bytes = with_data(br"\MAILSLOT\MESSNGR", b"no nul")), Layer::Message);
    }

    #[test]
    fn every_truncation_is_refused_in_some_layer() {
        let bytes = vector(MAILSLOT_WRITES, "NT-like to domain");
        for length in 82..bytes.len() {
            assert!(decoded(&bytes[..length], CodePage::Cp850, Utf8::Never).is_err(), "{length}");
        }
    }
}
