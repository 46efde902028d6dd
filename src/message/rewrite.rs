//! The sender in a mail's header, replaced by the one mailbox that a next hop allows.
//!
//! Pure, on the header block. Nothing that the sender wrote gets into the new From but through an encoder, and what moves to
//! another field moves with its folding, whose lines begin with blanks: no field can be added. A signature that covers From
//! (DKIM) does not survive, and none of an own device is lost by that; the next hop signs.

mod author;
mod recipients;

use super::compose::{DISPLAY_LIMIT, encoded_words, line};
use crate::wire::smtp::path::Mailbox;
pub use author::{Author, author};
pub use recipients::name_recipients;

/// The header with `licensed` as its only author, under the display name `name`.
///
/// * From is replaced; further ones go.
/// * What it said is in X-Original-From, and in Reply-To unless there is one. A From that names no address cannot be
///   replied to: then `reverse_path` goes there.
/// * Sender would name somebody whom the next hop does not know: it becomes X-Original-Sender.
/// * Fields of these new names that the mail brought along go.
#[must_use]
pub fn rewrite(header: &[u8], licensed: &Mailbox, name: &str, reverse_path: Option<&Mailbox>) -> Vec<u8> {
    let all: Vec<Field<'_>> = fields(header).collect();
    let original = all.iter().find(|field| field.is("From"));
    let has_reply_to = all.iter().any(|field| field.is("Reply-To"));
    let mut out = Vec::with_capacity(header.len().saturating_add(256));
    let mut placed = false;
    for field in &all {
        let begins = field.is("From") || field.is_separator();
        if begins && !placed {
            placed = true;
            out.extend_from_slice(from(licensed, name).as_bytes());
            place_original(&mut out, original, has_reply_to, reverse_path);
        }
        if field.is("From") || field.is(ORIGINAL_FROM) || field.is(ORIGINAL_SENDER) {
            continue;
        }
        if field.is("Sender") {
            renamed(&mut out, ORIGINAL_SENDER, field);
        } else {
            out.extend_from_slice(field.whole);
        }
    }
    if !placed {
        out.extend_from_slice(from(licensed, name).as_bytes());
        place_original(&mut out, original, has_reply_to, reverse_path);
    }
    out
}

fn place_original(
    out: &mut Vec<u8>,
    original: Option<&Field<'_>>,
    has_reply_to: bool,
    reverse_path: Option<&Mailbox>,
) {
    let answerable = original.filter(|field| author::of(field.value()).address.is_some());
    match (answerable, reverse_path) {
        _ if has_reply_to => {}
        (Some(field), _) => renamed(out, "Reply-To", field),
        (None, Some(path)) => out.extend_from_slice(format!("Reply-To: <{path}>\r\n").as_bytes()),
        (None, None) => {}
    }
    if let Some(field) = original {
        renamed(out, ORIGINAL_FROM, field);
    }
}

/// The field under another name, its value as it was.
fn renamed(out: &mut Vec<u8>, name: &str, field: &Field<'_>) {
    out.extend_from_slice(name.as_bytes());
    out.push(b':');
    out.extend_from_slice(field.value());
}

fn from(licensed: &Mailbox, name: &str) -> String {
    format!("From: {}\r\n", mailbox(name, licensed))
}

/// A display name and an address, for a field; folded where the name needs encoding.
fn mailbox(name: &str, address: &Mailbox) -> String {
    let name = line(name, DISPLAY_LIMIT);
    if name.is_empty() {
        format!("<{address}>")
    } else if name.is_ascii() && !name.contains("=?") {
        let escaped = name.replace('\\', "\\\\").replace('"', "\\\"");
        format!("\"{escaped}\" <{address}>")
    } else {
        let words = encoded_words(&name).replace(' ', "\r\n ");
        format!("{words}\r\n <{address}>")
    }
}

/// One field, or the empty line at the end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    name: &'a [u8],
    whole: &'a [u8],
}

impl<'a> Field<'a> {
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.trim_ascii_end().eq_ignore_ascii_case(name.as_bytes())
    }

    fn is_separator(&self) -> bool {
        matches!(self.whole, b"\r\n" | b"\n")
    }

    /// All of it, line ends included.
    pub(super) const fn whole(&self) -> &'a [u8] {
        self.whole
    }

    /// What follows the colon, line ends included.
    pub(super) fn value(&self) -> &'a [u8] {
        self.whole.get(self.name.len().saturating_add(1)..).unwrap_or_default()
    }
}

/// The fields of a header block, each with its continuation lines.
pub(super) fn fields(header: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut rest = header;
    std::iter::from_fn(move || {
        let (whole, after) =
            rest.split_at_checked(field_length(rest)).filter(|(whole, _)| !whole.is_empty())?;
        rest = after;
        let name = whole.iter().position(|octet| *octet == b':').and_then(|at| whole.get(..at));
        Some(Field { name: name.unwrap_or_default(), whole })
    })
}

fn field_length(rest: &[u8]) -> usize {
    let mut length: usize = 0;
    for line in rest.split_inclusive(|octet| *octet == b'\n') {
        if length > 0 && !matches!(line.first(), Some(b' ' | b'\t')) {
            break;
        }
        length = length.saturating_add(line.len());
    }
    length
}

const ORIGINAL_FROM: &str = "X-Original-From";
const ORIGINAL_SENDER: &str = "X-Original-Sender";

#[cfg(test)]
mod tests;
