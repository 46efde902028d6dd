//! The body of a composed notice: its text, where it came from, and its data where the text does not say all.

use std::fmt::Write as _;

use jiff::Timestamp;
use mail_builder::headers::content_type::ContentType;
use mail_builder::mime::{BodyPart, MimePart};

use super::line::{LINE_LIMIT, line, lines};
use super::{Identity, hash_text};
use crate::message::mail::{Gathered, Spooled};
use crate::message::notice::{Listener, Notice};

/// What stands where a text is missing.
pub(super) const NO_TEXT: &str = "(no text)";

/// The text part, and around both a `multipart/mixed` where the data is attached. `preface` stands before the text.
pub(super) fn body<'a>(
    preface: &str,
    message: &Spooled,
    gathered: &'a Gathered,
    identity: &Identity,
) -> MimePart<'a> {
    let text = lines(&format!("{preface}{}", text(message, gathered, identity)));
    let notice = &gathered.first;
    if !attaches_data(notice) {
        return MimePart::new("text/plain", text);
    }
    // `=_` occurs in neither quoted-printable nor base64, and the hash keeps a sender from writing the boundary itself.
    let boundary = format!("=_{}_{}", message.id, hash_text(&[text.as_bytes(), &notice.data]));
    let data = MimePart::new("application/octet-stream", BodyPart::Binary(notice.data.as_ref().into()))
        .attachment(file_name(&notice.mailslot));
    MimePart::new(
        ContentType::new("multipart/mixed").attribute("boundary", boundary),
        vec![MimePart::new("text/plain", text), data],
    )
}

fn attaches_data(notice: &Notice<'_>) -> bool {
    !notice.data.is_empty() && notice.text_is_in_doubt()
}

fn text(message: &Spooled, gathered: &Gathered, identity: &Identity) -> String {
    let first = &gathered.first;
    let mut text = readable(first);
    let last = gathered.last.as_ref().filter(|_| gathered.count > 1);
    if let Some(last) = last.filter(|last| last.text != first.text) {
        text.push_str("\n\nThe last one was:\n\n");
        text.push_str(&readable(last));
    }
    text.push_str("\n\n----\n");
    text.push_str(&provenance(message, first, identity));
    if gathered.count > 1 {
        let first_at = clock(first.arrival.at, identity);
        let last_at = clock(last.unwrap_or(first).arrival.at, identity);
        // Writing to a String cannot fail.
        writeln!(text, "Repeated {} times, first {first_at}, last {last_at}.", gathered.count)
            .unwrap_or_default();
    }
    if gathered.held_back > 0 {
        let (count, noun) =
            (gathered.held_back, if gathered.held_back == 1 { "message" } else { "messages" });
        writeln!(text, "Before it {count} {noun} from this address came too fast and were dropped.")
            .unwrap_or_default();
    }
    if attaches_data(first) {
        writeln!(text, "The {} bytes as they came are attached.", first.data.len()).unwrap_or_default();
    }
    text.truncate(text.trim_end_matches('\n').len());
    text
}

fn readable(notice: &Notice<'_>) -> String {
    match notice.text.trim_end_matches('\n') {
        "" => NO_TEXT.to_owned(),
        text => text.to_owned(),
    }
}

/// Who claims to have sent it, from where, when and to whom, in words for a person.
fn provenance(message: &Spooled, notice: &Notice<'_>, identity: &Identity) -> String {
    let arrival = notice.arrival;
    let originator = line(&notice.originator, LINE_LIMIT);
    let rule = message.rule.as_ref().map(|rule| format!(", rule {rule}")).unwrap_or_default();
    format!(
        "Sent to \"{to}\" by a host that calls itself \"{originator}\" (NetBIOS name {name}),\n\
         from {source} at {at}.\n\
         NetBIOS does not authenticate senders: the name is a claim.\n\
         {heard} by {hostname}; message {id}{rule}.\n",
        to = line(&notice.to, LINE_LIMIT),
        name = line(&notice.source_name.to_string(), LINE_LIMIT),
        source = arrival.source.ip(),
        at = clock(arrival.at, identity),
        heard = match arrival.listener {
            Listener::Datagram => format!("Heard on {}", line(&notice.mailslot, LINE_LIMIT)),
            Listener::Messenger => "Taken from a session on TCP 139".to_owned(),
        },
        hostname = identity.hostname,
        id = message.id,
    )
}

pub(super) fn clock(at: Timestamp, identity: &Identity) -> String {
    at.to_zoned(identity.timezone.clone()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
}

/// `\MAILSLOT\ACME\ALARM` → `ACME-ALARM.bin`: letters, digits and hyphens only.
fn file_name(mailslot: &str) -> String {
    let name = mailslot.strip_prefix(r"\MAILSLOT\").unwrap_or(mailslot);
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = name.chars().map(plain).take(40).collect();
    match name.trim_matches('-') {
        "" => "mailslot.bin".to_owned(),
        name => format!("{name}.bin"),
    }
}
