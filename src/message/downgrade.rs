//! A mail with octets above 127 for a next hop without 8BITMIME (RFC 6152 §3): the parts that have them become
//! quoted-printable or base64, everything else stays as it is.
//!
//! Pure, and streaming by lines over the MIME tree (RFC 2045, RFC 2046): multipart and message/rfc822 are gone into, at any
//! depth up to [`MAX_DEPTH`]. A mail is read twice: [`Survey`] finds the parts concerned, [`Downgrade`] encodes them. Text
//! becomes quoted-printable, which a person can read in part, the rest base64.
//!
//! What breaks: a signature over a part that is encoded (DKIM over the body, multipart/signed over its first part) does not
//! verify any more. Without that the mail could only be refused. Octets above 127 where nothing can be encoded (between
//! the parts of a multipart, in a part that is encoded already) become `?`; in a header they become encoded-words, in the
//! charset `unknown-8bit` (RFC 1428) where they are no UTF-8.

mod encoders;
mod entity;
mod walk;

use encoders::{Base64, QuotedPrintable, ascii_header, without_high_octets};
use entity::{Entity, Kind};
use walk::{Event, Walk};

/// Entities within entities; what is deeper is one part.
pub const MAX_DEPTH: usize = 32;

/// Parts whose octets are known one by one; of a mail with more, all further are encoded.
const MAX_PARTS: usize = 10_000;

/// Finds the parts of a mail that have octets above 127.
#[derive(Debug, Default)]
pub struct Survey {
    walk: Walk,
    plan: Plan,
}

/// The parts of a mail that must be encoded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan(Vec<Octets>);

/// What a part has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Octets {
    Low,
    High,
}

impl Survey {
    /// Before the first octet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at the next octets.
    pub fn push(&mut self, octets: &[u8]) {
        let plan = &mut self.plan;
        self.walk.push(octets, &mut |event| plan.note(&event));
    }

    /// What was found.
    #[must_use]
    pub fn finish(mut self) -> Plan {
        let plan = &mut self.plan;
        self.walk.finish(&mut |event| plan.note(&event));
        self.plan
    }
}

impl Plan {
    fn note(&mut self, event: &Event<'_>) {
        match event {
            Event::Header(Entity { kind: Kind::Leaf(_), .. }) if self.0.len() < MAX_PARTS => {
                self.0.push(Octets::Low)
            }
            Event::Text { part, text, .. } if !text.is_ascii() => {
                if let Some(octets) = self.0.get_mut(*part) {
                    *octets = Octets::High;
                }
            }
            Event::Header(_) | Event::Text { .. } | Event::Between(_) => {}
        }
    }

    fn encodes(&self, part: usize) -> bool {
        self.0.get(part).is_none_or(|octets| *octets == Octets::High)
    }
}

/// Encodes the parts that a [`Plan`] names.
#[derive(Debug)]
pub struct Downgrade {
    walk: Walk,
    writer: Writer,
}

#[derive(Debug)]
struct Writer {
    plan: Plan,
    coder: Coder,
}

/// What becomes of the part under way.
#[derive(Debug)]
enum Coder {
    /// It passes as it is; octets above 127 that are not supposed to be there become `?`.
    Pass,
    QuotedPrintable(QuotedPrintable),
    Base64(Base64),
}

impl Downgrade {
    /// Before the first octet of the mail that `plan` is of.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        Self { walk: Walk::default(), writer: Writer { plan, coder: Coder::Pass } }
    }

    /// Appends to `out` what becomes of the next octets; none of it is above 127.
    pub fn push(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        let writer = &mut self.writer;
        self.walk.push(octets, &mut |event| writer.write(event, out));
    }

    /// Appends the rest.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        let writer = &mut self.writer;
        self.walk.finish(&mut |event| writer.write(event, out));
        self.writer.end_part(out, LastLineEnd::OfPart);
    }
}

/// Whose the line end before a border is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastLineEnd {
    /// That of a boundary belongs to it (RFC 2046 §5.1.1).
    OfBoundary,
    /// At the end of the mail it belongs to the part.
    OfPart,
}

impl Writer {
    fn write(&mut self, event: Event<'_>, out: &mut Vec<u8>) {
        match event {
            Event::Header(entity) => {
                self.end_part(out, LastLineEnd::OfBoundary);
                self.begin_part(&entity, out);
            }
            Event::Between(line) => {
                self.end_part(out, LastLineEnd::OfBoundary);
                without_high_octets(line, out);
            }
            Event::Text { text, ends, .. } => match &mut self.coder {
                Coder::Pass => {
                    without_high_octets(text, out);
                    if ends {
                        out.extend_from_slice(b"\r\n");
                    }
                }
                Coder::QuotedPrintable(coder) => coder.encode(text, ends, out),
                Coder::Base64(coder) => coder.encode(text, ends, out),
            },
        }
    }

    fn begin_part(&mut self, entity: &Entity, out: &mut Vec<u8>) {
        let coding = match entity.kind {
            Kind::Leaf(part) if self.plan.encodes(part) && entity.is_encodable() => {
                if entity.is_text() {
                    self.coder = Coder::QuotedPrintable(QuotedPrintable::default());
                    Some("quoted-printable")
                } else {
                    self.coder = Coder::Base64(Base64::default());
                    Some("base64")
                }
            }
            // What is inside has 7 bits now (RFC 2045 §6.4).
            Kind::Multipart | Kind::Message if !entity.is_seven_bit() => Some("7bit"),
            Kind::Leaf(_) | Kind::Multipart | Kind::Message => None,
        };
        ascii_header(&entity.header_with(coding), out);
        out.extend_from_slice(entity.separator);
    }

    fn end_part(&mut self, out: &mut Vec<u8>, last: LastLineEnd) {
        match std::mem::replace(&mut self.coder, Coder::Pass) {
            Coder::Pass | Coder::QuotedPrintable(_) => {}
            Coder::Base64(coder) => coder.finish(last, out),
        }
    }
}

#[cfg(test)]
mod tests;
