//! One decoded legacy message and how it arrived.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::wire::announcement::Announcement;
use crate::wire::netbios_name::NameType;
use crate::wire::oem_text::CodePage;

/// One legacy message, decoded: text is valid Unicode, every field is bounded by one datagram or by the longest
/// text of a session (64 KiB).
///
/// Borrowed from the datagram on the receive path, where most messages are discarded by a rule and nothing need be
/// copied; [`Notice::into_owned`] is what the spool keeps. Every name in it is what the sender *claims*: NetBIOS
/// authenticates nobody. Only the source address is not chosen freely, and on UDP even that can be forged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice<'a> {
    /// When, from where and over which listener it came.
    pub arrival: Arrival,
    /// The datagram's identifier (RFC 1002 §4.4.1); the sender counts it up, so repeats can be told from copies. 0 for a
    /// message of a session, which has none.
    pub dgm_id: u16,
    /// The sender's name in the NetBIOS header; of a session, the calling name.
    pub source_name: Name<'a>,
    /// The receiver's name in the NetBIOS header; of a session, the called name.
    pub destination_name: Name<'a>,
    /// The mailslot in upper case, for example `\MAILSLOT\MESSNGR`.
    pub mailslot: Cow<'a, str>,
    /// The From inside the message, else the text of `source_name`.
    pub originator: Cow<'a, str>,
    /// The To inside the message, else the text of `destination_name`.
    pub to: Cow<'a, str>,
    /// The message as text with `\n` line ends and no other control characters; empty where the data is binary. A
    /// summary for announcements, but only after [`Notice::into_owned`]: on the receive path it is empty.
    pub text: Cow<'a, str>,
    /// What the text was made from.
    pub encoding: Encoding,
    /// What the mailslot's data turned out to be.
    pub kind: Kind,
    /// The mailslot's data as it came; of a session, From, To and the joined text, a NUL behind each of the first two.
    #[serde(with = "base64_bytes")]
    pub data: Cow<'a, [u8]>,
}

/// A NetBIOS name as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Name<'a> {
    /// The name without padding, decoded from the OEM code page.
    pub text: Cow<'a, str>,
    /// The sixteenth byte.
    #[serde(rename = "type")]
    pub name_type: NameType,
}

/// When a message came, from where, and to which of our sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// When it was read from the socket (or the capture's own time in `replay`).
    pub at: Timestamp,
    /// Address and port of the packet, not those that the NetBIOS header claims.
    pub source: SocketAddr,
    /// Where the packet was addressed: our own address, or a broadcast one.
    pub destination: Option<IpAddr>,
    /// Index of the interface it came in by.
    pub interface: Option<u32>,
    /// The listener that heard it.
    pub listener: Listener,
}

/// A listener for legacy messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Listener {
    /// UDP 138.
    Datagram,
    /// TCP 139.
    Messenger,
}

impl Listener {
    /// As written in rules and templates.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Datagram => "datagram",
            Self::Messenger => "messenger",
        }
    }
}

/// How text came from bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encoding {
    /// The code page that was applied.
    pub code_page: CodePage,
    /// Some byte had no meaning in that code page, or the message has none as text: the data is worth keeping.
    pub lossy: bool,
}

impl Encoding {
    /// Whether the text was taken as UTF-8 because it is valid as such: it may mean something else in the code page of
    /// its sender.
    #[must_use]
    pub fn is_recognised(&self) -> bool {
        self.code_page == CodePage::Utf8
    }
}

/// What the data of a mailslot write turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A text for a person (`\MAILSLOT\MESSNGR`, or a `net send` session).
    Messenger,
    /// A host tells of itself or of others (`BROWSE`, `LANMAN`, `NET\NETLOGON`).
    Announcement,
    /// A mailslot of some vendor whose data decodes as text.
    Text,
    /// A mailslot of some vendor whose data is binary.
    Binary,
}

impl Notice<'_> {
    /// A copy that borrows nothing, with [`Self::full_text`] as its text.
    #[must_use]
    pub fn into_owned(self) -> Notice<'static> {
        let summary = match self.full_text() {
            Cow::Owned(summary) => Some(summary),
            Cow::Borrowed(_) => None,
        };
        Notice {
            arrival: self.arrival,
            dgm_id: self.dgm_id,
            source_name: self.source_name.into_owned(),
            destination_name: self.destination_name.into_owned(),
            mailslot: Cow::Owned(self.mailslot.into_owned()),
            originator: Cow::Owned(self.originator.into_owned()),
            to: Cow::Owned(self.to.into_owned()),
            text: Cow::Owned(summary.unwrap_or_else(|| self.text.into_owned())),
            encoding: self.encoding,
            kind: self.kind,
            data: Cow::Owned(self.data.into_owned()),
        }
    }

    /// What the data of an announcement says, read on demand because most announcements are discarded unread; `None`
    /// for other kinds, and for a frame that is broken.
    #[must_use]
    pub fn announcement(&self) -> Option<Announcement<'_>> {
        Announcement::parse(&self.mailslot, &self.data)?.ok()
    }

    /// The text, which for an announcement on the receive path is its summary, made now.
    #[must_use]
    pub fn full_text(&self) -> Cow<'_, str> {
        if self.kind != Kind::Announcement || !self.text.is_empty() {
            return Cow::Borrowed(&self.text);
        }
        match Announcement::parse(&self.mailslot, &self.data) {
            Some(Ok(announcement)) => Cow::Owned(announcement.summary(self.encoding.code_page)),
            Some(Err(error)) => Cow::Owned(format!("an announcement that cannot be read: {error}")),
            None => Cow::Borrowed(&self.text),
        }
    }

    /// Whether the text alone is no record of what was sent: it lost characters, or there is none, or it was recognised as
    /// UTF-8 and may be a wrong one. Then the data goes with it.
    #[must_use]
    pub fn text_is_in_doubt(&self) -> bool {
        let recognised = self.encoding.is_recognised() && !self.text.is_ascii();
        self.encoding.lossy || recognised || self.kind == Kind::Binary
    }

    /// The first line of the text that is not blank, at most 200 characters of it.
    #[must_use]
    pub fn first_line(&self) -> &str {
        let line = self.text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        line.char_indices().nth(200).and_then(|(end, _)| line.get(..end)).unwrap_or(line)
    }
}

impl Name<'_> {
    /// A copy that borrows nothing.
    #[must_use]
    pub fn into_owned(self) -> Name<'static> {
        Name { text: Cow::Owned(self.text.into_owned()), name_type: self.name_type }
    }
}

/// `ALERTS<03>`
impl std::fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.text, self.name_type)
    }
}

/// Bytes as base64 in JSON.
mod base64_bytes {
    use std::borrow::Cow;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&base64::display::Base64Display::new(bytes, &STANDARD))
    }

    pub(super) fn deserialize<'de, 'a, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Cow<'a, [u8]>, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        STANDARD.decode(text.as_bytes()).map(Cow::Owned).map_err(serde::de::Error::custom)
    }
}
