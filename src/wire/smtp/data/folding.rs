//! Lines of content that are too long, folded so that what they mean survives as far as it can.

use super::{HeaderOctets, MAX_TEXT, Part};
use crate::wire::smtp::quirk::{Quirk, Quirks};

/// Writes lines, and folds those over 998 octets.
///
/// A fold goes before a space or tab wherever the line has one: that keeps a header field one field (RFC 5322 §2.2.3),
/// a field of a MIME part too, and costs a text nothing but a line end. Without one, a header gets CRLF and a space,
/// since what begins a line there would be a field of its own, or end the header. A body gets CRLF, and then not within
/// `=XX` of quoted-printable, not beside octets above 127 where an encoding of several octets might be cut, not within
/// the shifted text of ISO-2022-JP, and not before a hyphen, so that no boundary appears that was none.
#[derive(Debug)]
pub(super) struct Folder {
    /// The current line so far.
    line: Vec<u8>,
    part: Part,
    header: HeaderOctets,
    quirks: Quirks,
}

impl Folder {
    pub(super) const fn new(header: HeaderOctets) -> Self {
        Self { line: Vec::new(), part: Part::Header, header, quirks: Quirks::NONE }
    }

    /// What was borne with so far.
    pub(super) const fn quirks(&self) -> Quirks {
        self.quirks
    }

    pub(super) const fn note(&mut self, quirk: Quirk) {
        self.quirks.insert(quirk);
    }

    pub(super) fn text(&mut self, mut text: &[u8], out: &mut Vec<u8>) {
        if self.part == Part::Header && self.header == HeaderOctets::Ascii && !text.is_ascii() {
            self.note(Quirk::EightBitHeader);
        }
        while !text.is_empty() {
            let room = MAX_TEXT.saturating_sub(self.line.len());
            if room == 0 {
                self.fold(out);
                continue;
            }
            let (now, later) = text.split_at_checked(room).unwrap_or((text, &[]));
            self.line.extend_from_slice(now);
            text = later;
        }
    }

    pub(super) fn end(&mut self, out: &mut Vec<u8>) {
        if self.line.is_empty() {
            self.part = Part::Body;
        }
        out.append(&mut self.line);
        out.extend_from_slice(b"\r\n");
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        if !self.line.is_empty() {
            self.end(out);
        }
    }

    fn fold(&mut self, out: &mut Vec<u8>) {
        self.note(Quirk::LongLine);
        let space = last_space(&self.line);
        let at = space.unwrap_or_else(|| hard_cut(&self.line));
        let rest = self.line.split_off(at.min(self.line.len()));
        self.end(out);
        if space.is_none() && self.part == Part::Header {
            self.line.push(b' ');
        }
        self.line.extend_from_slice(&rest);
    }
}

/// The last space or tab with text on both sides.
fn last_space(line: &[u8]) -> Option<usize> {
    let is_space = |octet: &u8| matches!(octet, b' ' | b'\t');
    let text_begins = line.iter().position(|octet| !is_space(octet))?;
    let found = line.array_windows::<2>().rposition(|[one, next]| is_space(one) && !is_space(next))?;
    (found > text_begins).then_some(found)
}

/// Where a line without spaces is cut: the last place in its second half that cuts nothing, else the last that cuts no
/// character of UTF-8, else before its last octet, since what follows that is not known yet.
fn hard_cut(line: &[u8]) -> usize {
    let places = || (MAX_TEXT / 2..line.len()).rev();
    let cuts_nothing = |at: &usize| {
        let (before, behind) = line.split_at_checked(*at).unwrap_or((line, &[]));
        let borders = |octet: Option<&u8>| octet.is_none_or(u8::is_ascii);
        let in_escape = before.iter().rev().take(2).any(|octet| *octet == b'=');
        borders(before.last())
            && borders(behind.first())
            && !in_escape
            && !is_shifted(before)
            && behind.first() != Some(&b'-')
    };
    let in_character = |at: &usize| line.get(*at).is_some_and(|octet| matches!(octet, 0x80..=0xBF));
    let found = places().find(cuts_nothing).or_else(|| places().find(|at| !in_character(at)));
    found.unwrap_or(line.len().saturating_sub(1))
}

/// Whether a text of ISO-2022-JP (RFC 1468) that ends here would end amid characters of two octets.
fn is_shifted(text: &[u8]) -> bool {
    let escape = memchr::memrchr(0x1B, text);
    escape.is_some_and(|place| !matches!(text.get(place.saturating_add(1)), Some(b'(')))
}
