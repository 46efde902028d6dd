//! Content as it comes from a client (RFC 5321 §4.5.2, RFC 3030 §2): its end found, dots undone, line ends made whole.

mod folding;

use super::quirk::{Quirk, Quirks};
use super::tolerance::Tolerance;
use folding::Folder;

/// Reads the content of one message from octets that arrive in pieces of any size; piece borders do not show.
///
/// What it gives out has CRLF and no other CR or LF, no NUL, and no line over 1000 octets with its line end.
///
/// * [`Tolerance::Strict`]: what breaks these rules is a [`ContentFault`]. From there on nothing more is given out, but
///   everything is read up to the end, so that content is never taken for commands.
/// * [`Tolerance::Device`]: a bare LF or CR becomes CRLF (CR CR LF is one line end, as text mode writes it twice), NUL is
///   dropped, long lines are folded.
///
/// Neither changes what ends data: CRLF.CRLF alone. A line that a bare LF or CR began is none to that rule, so a dot
/// there is text, and so is one followed by NUL or by CR CR LF.
#[derive(Debug)]
pub struct ContentDecoder {
    framing: Framing,
    position: Position,
    lines: Lines,
}

/// What ends the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// DATA: CRLF.CRLF; dots at the start of a line are doubled.
    Dots,
    /// BDAT: the number of octets, which the caller counts.
    Chunks,
}

/// What the header of the message may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderOctets {
    /// ASCII (RFC 5322).
    Ascii,
    /// UTF-8 too, since MAIL said SMTPUTF8 (RFC 6532).
    Utf8,
}

/// Whether the end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// All octets were taken, and more are needed.
    More,
    /// CRLF.CRLF was taken; what is left belongs to the next command.
    End,
}

/// Why content is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentFault {
    /// A CR or an LF that does not belong to a CRLF.
    BareLineEnd,
    /// NUL.
    Nul,
    /// A line of more than 1000 octets with its line end (§4.5.3.1.6).
    LineTooLong,
    /// Octets above 127 in the header of a message without SMTPUTF8.
    EightBitHeader,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    /// Behind a CRLF, or at the start.
    LineStart,
    /// Behind CRLF and a dot that is not given out.
    Dot,
    /// Behind CRLF.CR.
    DotCr,
    /// Anywhere else.
    Inside,
    /// Behind a CR.
    Cr,
    /// Behind two.
    CrCr,
}

#[derive(Debug)]
enum Lines {
    Strict(StrictLines),
    Device(Folder),
}

#[derive(Debug)]
struct StrictLines {
    header: HeaderOctets,
    part: Part,
    /// Octets of the current line so far.
    column: usize,
    fault: Option<ContentFault>,
}

/// Where in the message the current line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Header,
    Body,
}

impl ContentDecoder {
    /// A decoder before the first octet of a message.
    #[must_use]
    pub const fn new(framing: Framing, tolerance: Tolerance, header: HeaderOctets) -> Self {
        let lines = match tolerance {
            Tolerance::Strict => {
                Lines::Strict(StrictLines { header, part: Part::Header, column: 0, fault: None })
            }
            Tolerance::Device => Lines::Device(Folder::new(header)),
        };
        Self { framing, position: Position::LineStart, lines }
    }

    /// Takes octets from the front of `bytes` up to the end, and appends to `out` what they are; at most twice as many
    /// octets and a line.
    pub fn decode(&mut self, bytes: &mut &[u8], out: &mut Vec<u8>) -> Progress {
        while let Some((&octet, rest)) = bytes.split_first() {
            match self.step(octet, out) {
                Step::Taken => *bytes = rest,
                Step::Again => {}
                Step::Text => {
                    let length = memchr::memchr3(b'\r', b'\n', 0, bytes).unwrap_or(bytes.len());
                    let (text, rest) = bytes.split_at_checked(length).unwrap_or((bytes, &[]));
                    self.lines.text(text, out);
                    *bytes = rest;
                }
                Step::End => {
                    *bytes = rest;
                    return Progress::End;
                }
            }
        }
        Progress::More
    }

    /// The last chunk has ended, or CRLF.CRLF was taken: appends what was kept back, and the last line's end where it
    /// has none. What was wrong, if anything was; then all that was given out is worthless. Nothing may come behind it.
    ///
    /// # Errors
    /// The first fault.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), ContentFault> {
        match self.position {
            Position::Cr => self.lines.bare(out),
            Position::CrCr => {
                self.lines.bare(out);
                self.lines.bare(out);
            }
            Position::LineStart | Position::Dot | Position::DotCr | Position::Inside => {}
        }
        self.lines.finish(out);
        self.fault().map_or(Ok(()), Err)
    }

    /// What is wrong so far.
    #[must_use]
    pub const fn fault(&self) -> Option<ContentFault> {
        match &self.lines {
            Lines::Strict(lines) => lines.fault,
            Lines::Device(_) => None,
        }
    }

    /// What was borne with so far.
    #[must_use]
    pub const fn quirks(&self) -> Quirks {
        match &self.lines {
            Lines::Strict(_) => Quirks::NONE,
            Lines::Device(folder) => folder.quirks(),
        }
    }

    fn step(&mut self, octet: u8, out: &mut Vec<u8>) -> Step {
        match (self.position, octet) {
            (Position::LineStart, b'.') if self.framing == Framing::Dots => self.go(Position::Dot),
            (Position::Dot, b'\r') => self.go(Position::DotCr),
            (Position::Dot, _) => self.again(Position::Inside),
            (Position::DotCr, b'\n') => Step::End,
            (Position::DotCr, _) => self.again(Position::Cr),
            (Position::Cr | Position::CrCr, b'\n') => {
                if self.position == Position::CrCr {
                    self.lines.doubled_cr();
                }
                self.lines.end(out);
                self.go(Position::LineStart)
            }
            (Position::Cr, b'\r') => self.go(Position::CrCr),
            (Position::Cr, _) => {
                self.lines.bare(out);
                self.again(Position::Inside)
            }
            (Position::CrCr, b'\r') => {
                self.lines.bare(out);
                Step::Taken
            }
            (Position::CrCr, _) => {
                self.lines.bare(out);
                self.lines.bare(out);
                self.again(Position::Inside)
            }
            (Position::LineStart | Position::Inside, b'\r') => self.go(Position::Cr),
            (Position::LineStart | Position::Inside, b'\n') => {
                self.lines.bare(out);
                self.go(Position::Inside)
            }
            (Position::LineStart | Position::Inside, 0) => {
                self.lines.nul();
                self.go(Position::Inside)
            }
            (Position::LineStart | Position::Inside, _) => {
                self.position = Position::Inside;
                Step::Text
            }
        }
    }

    const fn go(&mut self, position: Position) -> Step {
        self.position = position;
        Step::Taken
    }

    const fn again(&mut self, position: Position) -> Step {
        self.position = position;
        Step::Again
    }
}

/// What became of an octet.
enum Step {
    Taken,
    /// It was not taken: the position has changed, and it is looked at again.
    Again,
    /// Text begins with it.
    Text,
    /// It was the last.
    End,
}

impl Lines {
    fn text(&mut self, text: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Strict(lines) => lines.text(text, out),
            Self::Device(folder) => folder.text(text, out),
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Strict(lines) => lines.end(out),
            Self::Device(folder) => folder.end(out),
        }
    }

    fn bare(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Strict(lines) => lines.refuse(ContentFault::BareLineEnd),
            Self::Device(folder) => {
                folder.note(Quirk::BareLineEnd);
                folder.end(out);
            }
        }
    }

    fn doubled_cr(&mut self) {
        match self {
            Self::Strict(lines) => lines.refuse(ContentFault::BareLineEnd),
            Self::Device(folder) => folder.note(Quirk::BareLineEnd),
        }
    }

    fn nul(&mut self) {
        match self {
            Self::Strict(lines) => lines.refuse(ContentFault::Nul),
            Self::Device(folder) => folder.note(Quirk::Nul),
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Strict(lines) if lines.column > 0 => lines.end(out),
            Self::Strict(_) => {}
            Self::Device(folder) => folder.finish(out),
        }
    }
}

impl StrictLines {
    fn text(&mut self, text: &[u8], out: &mut Vec<u8>) {
        let room = MAX_TEXT.saturating_sub(self.column);
        // Of two faults the one that comes first in the line counts, wherever pieces end.
        if self.part == Part::Header
            && self.header == HeaderOctets::Ascii
            && text.iter().take(room).any(|octet| !octet.is_ascii())
        {
            self.refuse(ContentFault::EightBitHeader);
        }
        self.column = self.column.saturating_add(text.len());
        if self.column > MAX_TEXT {
            self.refuse(ContentFault::LineTooLong);
        }
        if self.fault.is_none() {
            out.extend_from_slice(text);
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if self.column == 0 {
            self.part = Part::Body;
        }
        self.column = 0;
        if self.fault.is_none() {
            out.extend_from_slice(b"\r\n");
        }
    }

    fn refuse(&mut self, fault: ContentFault) {
        self.fault.get_or_insert(fault);
    }
}

/// Octets of a line without its line end (§4.5.3.1.6).
const MAX_TEXT: usize = 998;

#[cfg(test)]
mod tests;
