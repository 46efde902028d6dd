//! A datagram to a [`Notice`].

use std::borrow::Cow;

use crate::message::notice::{Arrival, Encoding, Kind, Name, Notice};
use crate::wire::datagram::Direct;
use crate::wire::mailslot::{MailslotName, MailslotWrite};
use crate::wire::message_text::{message_text, name_text};
use crate::wire::messenger::Text;
use crate::wire::netbios_name::NetbiosName;
use crate::wire::oem_text::SenderText;
use crate::wire::reader::{Reason, WireError};

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
    let known = Known::of(&write.name);
    let source_name = name(&direct.source_name, sender);
    let destination_name = name(&direct.destination_name, sender);
    let mut notice = Notice {
        arrival,
        dgm_id: direct.header.dgm_id,
        originator: source_name.text.clone(),
        to: destination_name.text.clone(),
        source_name,
        destination_name,
        mailslot: write.name.into_text(),
        text: Cow::Borrowed(""),
        encoding: Encoding { code_page: sender.code_page, lossy: false },
        kind: Kind::Announcement,
        data: Cow::Borrowed(write.data),
    };
    match known {
        Known::Messenger => {
            let message = Text::parse(write.data).map_err(Undecodable::message)?;
            read_messenger(&mut notice, message, sender);
        }
        Known::Announcement => {}
        Known::Vendor => read_vendor(&mut notice, write.data, sender),
    }
    Ok(notice)
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

fn name(name: &NetbiosName, sender: SenderText) -> Name<'_> {
    Name { text: name_text(sender.decode(name.text()).text), name_type: name.name_type() }
}

fn read_messenger<'a>(notice: &mut Notice<'a>, message: Text<'a>, sender: SenderText) {
    let [from, to, text] = [message.from, message.to, message.text].map(|field| sender.decode(field));
    let lossy = from.lossy || to.lossy || text.lossy;
    notice.kind = Kind::Messenger;
    notice.encoding = Encoding { code_page: text.code_page, lossy };
    notice.text = message_text(text.text);
    let (from, to) = (name_text(from.text), name_text(to.text));
    if !from.is_empty() {
        notice.originator = from;
    }
    if !to.is_empty() {
        notice.to = to;
    }
}

/// Data of which no specification tells: a text if it reads as one, with or without NULs behind it.
fn read_vendor<'a>(notice: &mut Notice<'a>, data: &'a [u8], sender: SenderText) {
    let length = data.iter().rposition(|&byte| byte != 0).map_or(0, |last| last.saturating_add(1));
    let decoded = sender.decode(data.get(..length).unwrap_or_default());
    let printable = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r' | '\u{14}');
    if length > 0 && !decoded.lossy && decoded.text.chars().all(printable) {
        notice.kind = Kind::Text;
        notice.encoding = Encoding { code_page: decoded.code_page, lossy: false };
        notice.text = message_text(decoded.text);
    } else {
        notice.kind = Kind::Binary;
        notice.encoding.lossy = true;
    }
}
