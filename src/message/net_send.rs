//! A message to legacy displays: whom it is for, and its strings in the receivers' OEM code page.

use std::fmt;
use std::net::SocketAddrV4;
use std::str::FromStr;

use crate::wire::datagram::{Flags, Header, MsgType};
use crate::wire::messenger::Text;
use crate::wire::netbios_name::{NameType, NetbiosName};
use crate::wire::oem_text::{CodePage, Unencodable};
use crate::wire::reader::WireError;

/// Whom a message is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Addressee {
    /// A computer or user: the unique name `NAME<03>`.
    Name(String),
    /// Whoever hears it.
    Everyone,
    /// A workgroup or domain: the group name `NAME<00>`.
    Workgroup(String),
}

/// Why a text names nobody; the text is the fix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoAddressee(&'static str);

impl FromStr for Addressee {
    type Err = NoAddressee;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let prefix = text.get(..8).filter(|prefix| prefix.eq_ignore_ascii_case("/domain:"));
        match (prefix, text) {
            (Some(prefix), _) => match text.strip_prefix(prefix) {
                Some(name) if !name.is_empty() => Ok(Self::Workgroup(name.to_owned())),
                _ => Err(NoAddressee("write the workgroup behind the colon, for example /domain:PLANT")),
            },
            (None, "") => Err(NoAddressee("a name has at least one character")),
            (None, "*") => Ok(Self::Everyone),
            (None, name) if name.starts_with('/') => {
                Err(NoAddressee("a workgroup is written /domain:NAME, everyone is written *"))
            }
            (None, name) => Ok(Self::Name(name.to_owned())),
        }
    }
}

/// As it is written.
impl fmt::Display for Addressee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Everyone => f.write_str("*"),
            Self::Workgroup(name) => write!(f, "/domain:{name}"),
        }
    }
}

/// A message whose parts are in the receivers' code page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetSend {
    from: Vec<u8>,
    to: Vec<u8>,
    text: Vec<u8>,
    msg_type: MsgType,
    source_name: NetbiosName,
    destination_name: NetbiosName,
}

/// Why a message cannot be sent as it is.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsendable {
    /// A character has no place in the code page.
    #[error("{part}: {error}; leave it out, or give the receivers' code page with --code-page")]
    Character {
        /// Which part it is in.
        part: &'static str,
        /// Which one.
        error: Unencodable,
    },
    /// A name is too long.
    #[error("the name {name:?} takes {bytes} bytes in {code_page}; a NetBIOS name has at most 15")]
    LongName {
        /// The name.
        name: String,
        /// Its length.
        bytes: usize,
        /// In which.
        code_page: CodePage,
    },
    /// A name that receivers would not show.
    #[error("the name {0:?} is empty or has a control character, which receivers would not show")]
    UnfitName(String),
    /// A NUL within the text.
    #[error("the text has a NUL, which would end it for the receivers")]
    Nul,
}

/// The text does not fit into a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the text takes {bytes} bytes; beside these names {limit} fit into one datagram")]
pub struct LongText {
    /// Its length in the receivers' code page.
    pub bytes: usize,
    /// The most that fits.
    pub limit: usize,
}

impl NetSend {
    /// Bytes of From, To and Text with their NULs in one datagram. A datagram carries one more, but Windows reads no
    /// mailslot message between computers of over 424 bytes.
    pub const MAX_DATA: usize = 424;

    /// The message that `from` sends to `to`. Names become upper case, as NetBIOS names are compared; line breaks become
    /// CR LF.
    ///
    /// # Errors
    /// [`Unsendable`].
    pub fn new(from: &str, to: &Addressee, text: &str, code_page: CodePage) -> Result<Self, Unsendable> {
        let (from, source_name) = name(from, NameType::MESSENGER, code_page)?;
        let (msg_type, (to, destination_name)) = match to {
            Addressee::Name(to) => (MsgType::DirectUnique, name(to, NameType::MESSENGER, code_page)?),
            Addressee::Workgroup(to) => (MsgType::DirectGroup, name(to, NameType::WORKSTATION, code_page)?),
            Addressee::Everyone => (MsgType::Broadcast, name("*", NameType::WORKSTATION, code_page)?),
        };
        if text.contains('\0') {
            return Err(Unsendable::Nul);
        }
        let text = code_page
            .encode(&with_crlf(text))
            .map_err(|error| Unsendable::Character { part: "the text", error })?;
        Ok(Self { from, to, text, msg_type, source_name, destination_name })
    }

    /// The same message with as much of `text` as has room in `limit` bytes, [`CUT`] where that is not all, and behind it
    /// `end`, which is never cut. What the code page does not have becomes `?`.
    ///
    /// # Errors
    /// [`Unsendable`], for the names alone.
    pub fn fitted(
        from: &str,
        to: &Addressee,
        (text, end): (&str, &str),
        limit: usize,
        code_page: CodePage,
    ) -> Result<Self, Unsendable> {
        let mut message = Self::new(from, to, "", code_page)?;
        let end = encode_all(&with_crlf(end), code_page);
        let whole: String = text.chars().filter(|letter| *letter != '\0').collect();
        message.text = fit(&with_crlf(whole.trim_end()), limit.saturating_sub(end.len()), code_page);
        message.text.extend(end);
        Ok(message)
    }

    /// The name that answers to it.
    #[must_use]
    pub const fn destination_name(&self) -> NetbiosName {
        self.destination_name
    }

    /// The name that it comes from.
    #[must_use]
    pub const fn source_name(&self) -> NetbiosName {
        self.source_name
    }

    /// From, To and Text.
    #[must_use]
    pub fn fields(&self) -> Text<'_> {
        Text { from: &self.from, to: &self.to, text: &self.text }
    }

    /// The most text that fits into one datagram beside these names, in bytes of the code page.
    #[must_use]
    pub fn datagram_limit(&self) -> usize {
        let names = self.from.len().saturating_add(self.to.len()).saturating_add(3);
        Self::MAX_DATA.saturating_sub(names)
    }

    /// Whether it fits into one datagram.
    ///
    /// # Errors
    /// [`LongText`].
    pub fn fits_into_a_datagram(&self) -> Result<(), LongText> {
        let limit = self.datagram_limit();
        let bytes = self.text.len();
        if bytes > limit { Err(LongText { bytes, limit }) } else { Ok(()) }
    }

    /// The payload of a datagram from `source`.
    ///
    /// # Errors
    /// What [`Text::datagram`] refuses.
    pub fn datagram(&self, dgm_id: u16, source: SocketAddrV4) -> Result<Vec<u8>, WireError> {
        let header =
            Header { flags: Flags::FIRST, dgm_id, source_ip: *source.ip(), source_port: source.port() };
        self.fields().datagram(header, self.msg_type, self.source_name, self.destination_name)
    }
}

/// What stands where a text was cut.
pub const CUT: &str = " [...]";

fn with_crlf(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\n', "\r\n")
}

/// A name in upper case, in bytes and as the header has it.
fn name(text: &str, kind: NameType, code_page: CodePage) -> Result<(Vec<u8>, NetbiosName), Unsendable> {
    if text.trim().is_empty() || text.chars().any(char::is_control) {
        return Err(Unsendable::UnfitName(text.to_owned()));
    }
    let upper = text.to_uppercase();
    let bytes =
        code_page.encode(&upper).map_err(|error| Unsendable::Character { part: "the name", error })?;
    let name = NetbiosName::new(&bytes, kind).map_err(|_| Unsendable::LongName {
        name: upper,
        bytes: bytes.len(),
        code_page,
    })?;
    Ok((bytes, name))
}

/// As much of the text as fits, cut between characters.
fn fit(text: &str, limit: usize, code_page: CodePage) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Where it can be cut so that the mark still fits.
    let mut cut_at = 0;
    for letter in text.chars() {
        bytes.extend(encoded(letter, code_page));
        if bytes.len().saturating_add(CUT.len()) <= limit {
            cut_at = bytes.len();
        }
        if bytes.len() > limit {
            bytes.truncate(cut_at);
            let mark = CUT.bytes().take(limit.saturating_sub(cut_at));
            bytes.extend(mark);
            return bytes;
        }
    }
    bytes
}

fn encode_all(text: &str, code_page: CodePage) -> Vec<u8> {
    text.chars().flat_map(|letter| encoded(letter, code_page)).collect()
}

fn encoded(letter: char, code_page: CodePage) -> Vec<u8> {
    code_page.encode(letter.encode_utf8(&mut [0; 4])).unwrap_or_else(|_| b"?".to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::datagram::Datagram;
    use crate::wire::mailslot::MailslotWrite;

    fn message(from: &str, to: &str, text: &str, code_page: CodePage) -> Result<NetSend, Unsendable> {
        NetSend::new(from, &to.parse().unwrap(), text, code_page)
    }

    /// What a receiver reads: MSG_TYPE, the names of the header, From, To and Text.
    fn received(bytes: &[u8]) -> (MsgType, String, String, Vec<u8>, Vec<u8>, Vec<u8>) {
        let Ok(Datagram::Direct(direct)) = Datagram::parse(bytes) else { panic!("no direct datagram") };
        assert!(!direct.length_mismatch());
        let write = MailslotWrite::parse(direct.user_data).unwrap();
        assert_eq!(write.name.as_str(), r"\MAILSLOT\MESSNGR");
        let text = Text::parse(write.data).unwrap();
        let (source, destination) = (direct.source_name.to_string(), direct.destination_name.to_string());
        (direct.msg_type, source, destination, text.from.to_vec(), text.to.to_vec(), text.text.to_vec())
    }

    #[test]
    fn each_kind_of_receiver_has_its_own_name_type_and_msg_type() {
        for (to, msg_type, destination) in [
            ("alerts", MsgType::DirectUnique, "ALERTS<03>"),
            ("*", MsgType::Broadcast, "*<00>"),
            ("/domain:plant", MsgType::DirectGroup, "PLANT<00>"),
            ("/DOMAIN:plant", MsgType::DirectGroup, "PLANT<00>"),
        ] {
            let message = message("ups7", to, "on battery", CodePage::Cp437).unwrap();
            let source = "192.0.2.7:138".parse().unwrap();
            let (kind, from, name, claimed, addressed, text) =
                received(&message.datagram(7, source).unwrap());
            assert_eq!((kind, from.as_str(), name.as_str()), (msg_type, "UPS7<03>", destination));
            let (to, _) = destination.split_once('<').unwrap();
            assert_eq!(
                (&claimed[..], &addressed[..], &text[..]),
                (&b"UPS7"[..], to.as_bytes(), &b"on battery"[..])
            );
        }
    }

    #[test]
    fn receivers_that_make_no_sense_are_refused() {
        for text in ["", "/domain:", "/users", "/domain"] {
            assert!(text.parse::<Addressee>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn text_goes_in_the_receivers_code_page_with_their_line_breaks() {
        let message = message("küche", "alerts", "Öl\nläuft", CodePage::Cp850).unwrap();
        assert_eq!(message.from, b"K\x9ACHE");
        assert_eq!(message.text, b"\x99l\r\nl\x84uft");
    }

    #[test]
    fn a_character_without_a_place_is_named_and_not_replaced() {
        let error = message("UPS7", "ALERTS", "5 €", CodePage::Cp437).unwrap_err().to_string();
        assert_eq!(
            error,
            "the text: '€' (U+20AC) has no place in cp437; leave it out, or give the receivers' code page with --code-page"
        );
        assert!(
            message("UPS7", "電源", "x", CodePage::Cp850).unwrap_err().to_string().starts_with("the name: ")
        );
    }

    #[test]
    fn a_text_of_just_the_limit_goes_and_one_byte_more_is_refused_with_the_number() {
        // 424 bytes less UPS7, ALERTS and three NULs.
        let whole = message("UPS7", "ALERTS", &"x".repeat(411), CodePage::Cp437).unwrap();
        assert_eq!(whole.fits_into_a_datagram(), Ok(()));
        assert!(whole.datagram(1, "192.0.2.7:138".parse().unwrap()).is_ok());
        let longer = message("UPS7", "ALERTS", &"x".repeat(412), CodePage::Cp437).unwrap();
        let error = longer.fits_into_a_datagram().unwrap_err();
        assert_eq!(
            error.to_string(),
            "the text takes 412 bytes; beside these names 411 fit into one datagram"
        );
        // The limit is in bytes, and in CP932 a kana takes two.
        let kana = message("UPS7", "ALERTS", &"ア".repeat(206), CodePage::Cp932).unwrap();
        assert!(kana.fits_into_a_datagram().is_err());
    }

    #[test]
    fn a_name_of_sixteen_bytes_and_a_nul_are_refused() {
        let error = message("UPS7", "SIXTEENBYTENAME1", "x", CodePage::Cp437).unwrap_err().to_string();
        assert_eq!(
            error,
            "the name \"SIXTEENBYTENAME1\" takes 16 bytes in cp437; a NetBIOS name has at most 15"
        );
        assert_eq!(message("UPS7", "ALERTS", "a\0b", CodePage::Cp437), Err(Unsendable::Nul));
    }

    #[test]
    fn a_name_that_nobody_would_see_is_refused() {
        for from in ["", " ", "UP\0", "A\nBcc: x@y"] {
            let unfit = message(from, "ALERTS", "x", CodePage::Cp437);
            assert!(matches!(unfit, Err(Unsendable::UnfitName(_))));
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters_with_a_mark_and_its_end_stays() {
        let fitted = |text: &str, limit| {
            let to = "ALERTS".parse().unwrap();
            let message = NetSend::fitted("GW1", &to, (text, "\n[end]"), limit, CodePage::Cp932).unwrap();
            CodePage::Cp932.decode(message.fields().text).0.into_owned()
        };
        assert_eq!(fitted("door open", 100), "door open\r\n[end]");
        assert_eq!(fitted("door open", 16), "door open\r\n[end]");
        assert_eq!(fitted("door open", 15), "do [...]\r\n[end]");
        assert_eq!(fitted("アアアアアアアア", 16), "ア [...]\r\n[end]", "no half of a character");
        assert_eq!(fitted("smile 😀\0 now\n", 100), "smile ? now\r\n[end]");
        for limit in 0..30 {
            let text = fitted("long enough for every limit of these", limit);
            assert!(text.len() <= limit.max("\r\n[end]".len()), "{limit}: {text:?}");
        }
    }
}
