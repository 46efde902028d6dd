//! The way through the MIME tree, line by line (RFC 2046 §5.1).

use super::MAX_DEPTH;
use super::entity::{Entity, Kind};

/// What is met on the way.
#[derive(Debug)]
pub(super) enum Event<'a> {
    /// A header ended, and its body begins.
    Header(Entity),
    /// A line, or a piece of one too long to be held, of a part.
    Text {
        /// Its number, from 0.
        part: usize,
        /// Without its line end.
        text: &'a [u8],
        /// Whether a line end follows.
        ends: bool,
    },
    /// A line that belongs to no part, its line end included: a boundary, or what stands around the parts.
    Between(&'a [u8]),
}

/// How far it is.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// The line under way.
    line: Vec<u8>,
    /// Part of that line was given out already.
    continues: bool,
    /// The boundaries that may come, the innermost last.
    boundaries: Vec<Delimiter>,
    depth: usize,
    place: Place,
    begins: Begins,
    parts: usize,
}

/// A boundary that may come.
#[derive(Debug)]
struct Delimiter {
    text: Vec<u8>,
    /// How deep the parts between lie.
    depth: usize,
}

/// What a header is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Begins {
    #[default]
    Message,
    Part,
}

#[derive(Debug)]
enum Place {
    /// In a header, which has these lines so far.
    Header(Vec<u8>),
    Part(usize),
    Between,
}

impl Default for Place {
    fn default() -> Self {
        Self::Header(Vec::new())
    }
}

impl Walk {
    pub(super) fn push(&mut self, octets: &[u8], met: &mut impl FnMut(Event<'_>)) {
        for piece in octets.split_inclusive(|octet| *octet == b'\n') {
            self.line.extend_from_slice(piece);
            if self.line.ends_with(b"\n") || self.line.len() >= MAX_LINE {
                let line = std::mem::take(&mut self.line);
                self.take(&line, met);
            }
        }
    }

    pub(super) fn finish(&mut self, met: &mut impl FnMut(Event<'_>)) {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            self.take(&line, met);
        }
        if let Place::Header(header) = std::mem::replace(&mut self.place, Place::Between)
            && !header.is_empty()
        {
            self.end_header(header, b"", met);
        }
    }

    fn take(&mut self, line: &[u8], met: &mut impl FnMut(Event<'_>)) {
        let begins = !std::mem::replace(&mut self.continues, !line.ends_with(b"\n"));
        if begins && let Some(boundary) = self.boundary(line) {
            return self.on_boundary(boundary, line, met);
        }
        match &mut self.place {
            Place::Header(_) if begins && matches!(line, b"\r\n" | b"\n") => {
                if let Place::Header(header) = std::mem::replace(&mut self.place, Place::Between) {
                    self.end_header(header, b"\r\n", met);
                }
            }
            Place::Header(header) if header.len() > MAX_HEADER => {
                let header = std::mem::take(header);
                self.end_header(header, b"", met);
                self.give(line, met);
            }
            Place::Header(header) => header.extend_from_slice(line),
            Place::Part(_) | Place::Between => self.give(line, met),
        }
    }

    fn give(&self, line: &[u8], met: &mut impl FnMut(Event<'_>)) {
        match self.place {
            Place::Part(part) => {
                let text = line.strip_suffix(b"\n").map(|text| text.strip_suffix(b"\r").unwrap_or(text));
                met(Event::Text { part, text: text.unwrap_or(line), ends: text.is_some() });
            }
            Place::Between | Place::Header(_) => met(Event::Between(line)),
        }
    }

    fn end_header(&mut self, header: Vec<u8>, separator: &'static [u8], met: &mut impl FnMut(Event<'_>)) {
        let mut entity = Entity::new(header, separator, self.begins);
        let deeper = self.depth < MAX_DEPTH;
        match entity.boundary().filter(|_| deeper) {
            Some(boundary) => {
                entity.kind = Kind::Multipart;
                self.depth = self.depth.saturating_add(1);
                self.boundaries.push(Delimiter { text: boundary, depth: self.depth });
                self.place = Place::Between;
            }
            None if deeper && entity.is_message() => {
                entity.kind = Kind::Message;
                self.depth = self.depth.saturating_add(1);
                self.place = Place::Header(Vec::new());
                self.begins = Begins::Message;
            }
            None => {
                entity.kind = Kind::Leaf(self.parts);
                self.place = Place::Part(self.parts);
                self.parts = self.parts.saturating_add(1);
            }
        }
        met(Event::Header(entity));
    }

    fn on_boundary(&mut self, boundary: Boundary, line: &[u8], met: &mut impl FnMut(Event<'_>)) {
        // A header that a boundary cuts off has no body.
        if let Place::Header(header) = std::mem::replace(&mut self.place, Place::Between)
            && !header.is_empty()
        {
            self.end_header(header, b"", met);
        }
        let (level, place) = match boundary {
            Boundary::Opens(level) => (level.saturating_add(1), Place::Header(Vec::new())),
            Boundary::Closes(level) => (level, Place::Between),
        };
        self.boundaries.truncate(level);
        self.depth = self.boundaries.last().map_or(0, |delimiter| delimiter.depth);
        self.begins = Begins::Part;
        self.place = Place::Between;
        met(Event::Between(line));
        self.place = place;
    }

    /// Which of the boundaries that may come this line is, if any.
    fn boundary(&self, line: &[u8]) -> Option<Boundary> {
        let rest = line.strip_prefix(b"--")?;
        self.boundaries.iter().enumerate().rev().find_map(|(level, delimiter)| {
            let after = rest.strip_prefix(delimiter.text.as_slice())?;
            match after.trim_ascii_end() {
                b"" => Some(Boundary::Opens(level)),
                b"--" => Some(Boundary::Closes(level)),
                _ => None,
            }
        })
    }
}

/// A boundary, by its place among those that may come.
#[derive(Debug, Clone, Copy)]
enum Boundary {
    Opens(usize),
    Closes(usize),
}

/// A longer line is given out in pieces; no boundary or field that matters is so long.
const MAX_LINE: usize = 16 * 1024;

/// A longer header is taken for a part's text from there on.
const MAX_HEADER: usize = 512 * 1024;
