//! The data of legacy messages.

use std::net::IpAddr;

use bytes::Bytes;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::EventType;
use super::values::{Base64, cut, json};
use crate::message::host::{HostSighting, Presence, Roles, SystemGuess};
use crate::message::mail::{Gathered, Spooled};
use crate::message::notice::{Kind, Listener, Name, Notice};
use crate::message::recipient::Recipient;
use crate::wire::announcement::Announcement;

/// A legacy message.
#[derive(Serialize, JsonSchema)]
pub(super) struct NoticeData<'a> {
    /// The message's number in the gateway's queue; all copies of one message have the same.
    queue_id: String,
    /// Who wrote it, by its own words: the From inside the message, else the NetBIOS name of the sender.
    originator: &'a str,
    /// For whom it is: the To inside the message, else the NetBIOS name that it was sent to.
    to: &'a str,
    /// The text, with `\n` line ends. Empty where the data is binary; a summary in words where it is an announcement.
    text: &'a str,
    /// Only the beginning of the text is here, since the destination takes no more.
    #[serde(skip_serializing_if = "is_false")]
    #[schemars(default)]
    truncated: bool,
    /// The line that the rule's `subject` makes, for people. Absent where the rule has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    /// How the text came from bytes.
    encoding: EncodingData,
    /// The bytes as they came, where the text is no full record of them: it lost characters, its code page is in doubt, or
    /// there is none; and of every announcement. Left out where the destination takes no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Base64<'a>>,
    /// The mailslot, in upper case.
    mailslot: &'a str,
    /// Who sent it.
    source: SourceData<'a>,
    /// Whom it was sent to.
    destination: DestinationData<'a>,
    /// The listener that heard it: UDP 138, or a session on TCP 139.
    #[schemars(with = "ListenerName")]
    listener: Listener,
    /// The operating system's index of the interface that it came in by, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    interface: Option<u32>,
    /// The identifier in the datagram (DGM_ID, RFC 1002 §4.4.1). 0 for a session, which has none.
    dgm_id: u16,
    /// How often it came, where the rule gathers repeats and there were some.
    #[serde(skip_serializing_if = "Option::is_none")]
    repeats: Option<Repeats<'a>>,
    /// How many other messages of its source were dropped before it because there were too many.
    #[serde(skip_serializing_if = "is_zero")]
    #[schemars(default)]
    held_back: u64,
}

/// A write to an announcement mailslot.
#[derive(Serialize, JsonSchema)]
pub(super) struct AnnouncementData<'a> {
    #[serde(flatten)]
    notice: &'a NoticeData<'a>,
    /// What it tells of the host that sent it.
    announcement: &'a HostData,
}

/// How text came from bytes.
#[derive(Serialize, JsonSchema)]
struct EncodingData {
    /// The code page that was applied: `cp932`, `utf-8`.
    code_page: String,
    /// Some byte has no meaning in it; the text has U+FFFD there, and `data` the bytes.
    lossy: bool,
}

/// Who sent a legacy message.
#[derive(Serialize, JsonSchema)]
struct SourceData<'a> {
    /// The IP address of the packet. On UDP even that can be forged.
    #[schemars(with = "String")]
    address: IpAddr,
    /// The port of the packet.
    port: u16,
    /// The name in the NetBIOS header, without padding.
    name: &'a str,
    /// The name's sixteenth byte in hexadecimal: `00` workstation, `03` messenger, `20` file server.
    #[schemars(regex(pattern = "^[0-9A-F]{2}$"))]
    name_type: String,
}

/// Whom a legacy message was sent to.
#[derive(Serialize, JsonSchema)]
struct DestinationData<'a> {
    /// The IP address that the packet was sent to, where that is known: the gateway's own, or a broadcast one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    address: Option<IpAddr>,
    /// The name in the NetBIOS header, without padding.
    name: &'a str,
    /// The name's sixteenth byte in hexadecimal.
    #[schemars(regex(pattern = "^[0-9A-F]{2}$"))]
    name_type: String,
}

/// Repeats that became one event.
#[derive(Serialize, JsonSchema)]
struct Repeats<'a> {
    /// How many there were in all, the first included.
    #[schemars(range(min = 2))]
    count: u64,
    /// When the first came.
    #[schemars(with = "String", extend("format" = "date-time"))]
    first_at: Timestamp,
    /// When the last came.
    #[schemars(with = "String", extend("format" = "date-time"))]
    last_at: Timestamp,
    /// The text of the last one, where it is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_text: Option<&'a str>,
}

/// What an announcement tells of the host that sent it. All of it is the host's own word.
#[derive(Serialize, JsonSchema)]
struct HostData {
    /// The frame: its name in MS-BRWS or MS-ADTS and its code, such as `HostAnnouncement (0x01)`. Absent where it cannot be
    /// read.
    #[serde(skip_serializing_if = "Option::is_none")]
    frame: Option<String>,
    /// The host's name, in upper case.
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    /// The workgroup or domain that it speaks to or of, in upper case.
    #[serde(skip_serializing_if = "Option::is_none")]
    workgroup: Option<String>,
    /// The operating system that it seems to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    operating_system: Option<SystemData>,
    /// What it is and does: `file-server`, `master-browser` and so on.
    #[schemars(with = "Vec<String>")]
    roles: Roles,
    /// The text for people with which it announces itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    /// It says goodbye.
    #[serde(skip_serializing_if = "is_false")]
    #[schemars(default)]
    leaves: bool,
}

/// A guess at an operating system.
#[derive(Serialize, JsonSchema)]
struct SystemData {
    /// Its name for people: `Windows 7`, `Samba`.
    name: &'static str,
    /// How sure that is.
    #[schemars(extend("enum" = ["low", "medium", "high"]))]
    certainty: &'static str,
}

/// A listener for legacy messages.
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Listener")]
#[expect(dead_code, reason = "it is the schema of another type")]
enum ListenerName {
    /// UDP 138.
    Datagram,
    /// TCP 139.
    Messenger,
}

/// The type of event that a message of this kind is.
pub(super) const fn event_type(kind: Kind) -> EventType {
    match kind {
        Kind::Messenger => EventType::Messenger,
        Kind::Announcement => EventType::Announcement,
        Kind::Text | Kind::Binary => EventType::Mailslot,
    }
}

/// The data in JSON, of at most `room` octets where it can be brought down to that.
pub(super) fn data(message: &Spooled, gathered: &Gathered, recipient: &Recipient, room: usize) -> Bytes {
    let text = gathered.first.full_text();
    let notice = NoticeData::new(message, gathered, recipient, &text);
    if gathered.first.kind != Kind::Announcement {
        return fitted(notice, room, json);
    }
    let announcement = HostData::of(&gathered.first);
    fitted(notice, room, |notice| json(&AnnouncementData { notice, announcement: &announcement }))
}

/// Whole; where that is too much, without the text of the last repeat, with as much of the text as fits, and with the
/// data only where it fits beside it.
fn fitted<'a>(mut notice: NoticeData<'a>, room: usize, written: impl Fn(&NoticeData<'a>) -> Bytes) -> Bytes {
    let whole = written(&notice);
    if whole.len() <= room {
        return whole;
    }
    if let Some(repeats) = &mut notice.repeats {
        repeats.last_text = None;
    }
    let (text, data) = (std::mem::take(&mut notice.text), notice.data.take());
    notice.truncated = true;
    let room = room.saturating_sub(written(&notice).len());
    let (kept, octets) = cut(text, room);
    notice.text = kept;
    notice.truncated = kept.len() < text.len();
    let room = room.saturating_sub(octets).saturating_sub(r#""data":,"#.len());
    notice.data = data.filter(|data| Base64::json_length(data.0.len()) <= room);
    written(&notice)
}

impl<'a> NoticeData<'a> {
    fn new(message: &Spooled, gathered: &'a Gathered, recipient: &'a Recipient, text: &'a str) -> Self {
        let notice = &gathered.first;
        let arrival = &notice.arrival;
        let with_data = notice.text_is_in_doubt() || notice.kind == Kind::Announcement;
        Self {
            queue_id: message.id.to_string(),
            originator: cut(&notice.originator, MOST_NAME).0,
            to: cut(&notice.to, MOST_NAME).0,
            text,
            truncated: false,
            title: recipient.subject.as_deref(),
            encoding: EncodingData {
                code_page: notice.encoding.code_page.to_string(),
                lossy: notice.encoding.lossy,
            },
            data: (with_data && !notice.data.is_empty()).then_some(Base64(&notice.data)),
            mailslot: &notice.mailslot,
            source: SourceData {
                address: arrival.source.ip().to_canonical(),
                port: arrival.source.port(),
                name: &notice.source_name.text,
                name_type: name_type(&notice.source_name),
            },
            destination: DestinationData {
                address: arrival.destination.map(|address| address.to_canonical()),
                name: &notice.destination_name.text,
                name_type: name_type(&notice.destination_name),
            },
            listener: arrival.listener,
            interface: arrival.interface,
            dgm_id: notice.dgm_id,
            repeats: Repeats::of(gathered),
            held_back: gathered.held_back,
        }
    }
}

impl<'a> Repeats<'a> {
    fn of(gathered: &'a Gathered) -> Option<Self> {
        let first = &gathered.first;
        let last = gathered.last.as_ref().unwrap_or(first);
        (gathered.count > 1).then(|| Self {
            count: gathered.count,
            first_at: first.arrival.at,
            last_at: last.arrival.at,
            last_text: (last.text != first.text).then_some(&*last.text),
        })
    }
}

impl HostData {
    fn of(notice: &Notice<'_>) -> Self {
        let sighting = HostSighting::of(notice);
        let system = |guess: SystemGuess| SystemData {
            name: guess.system.as_str(),
            certainty: guess.certainty.as_str(),
        };
        Self {
            frame: notice.announcement().map(|announcement| match announcement {
                Announcement::Browser(frame) => frame.opcode().to_string(),
                Announcement::Lanman(frame) => frame.command().to_string(),
                Announcement::Netlogon(frame) => frame.opcode().to_string(),
            }),
            host: sighting.name.map(|name| name.text().to_owned()),
            workgroup: sighting.workgroup,
            operating_system: sighting.system.map(system),
            roles: sighting.roles,
            comment: sighting.comment,
            leaves: sighting.presence == Presence::Leaves,
        }
    }
}

fn name_type(name: &Name<'_>) -> String {
    format!("{:02X}", name.name_type.0)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it a reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Octets of a name inside the message: NetBIOS names have 15, and a From in a session may have thousands.
const MOST_NAME: usize = 1024;
