//! The message on standard input, piece by piece.

use std::io::{self, BufRead, Read as _};

use super::Failure;
use crate::message::intake::MAX_HEADER;

/// What a line with a dot alone is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dot {
    /// The end of the message.
    Ends,
    /// A line like any other.
    IsText,
}

/// Reads a message; however long its lines are, no more than one piece is held.
pub(super) struct Input<R> {
    reader: R,
    dot: Dot,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    LineStart,
    Inside,
    End,
}

impl<R: BufRead> Input<R> {
    pub(super) const fn new(reader: R, dot: Dot) -> Self {
        Self { reader, dot, place: Place::LineStart }
    }

    /// A line or a part of one; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.place == Place::End {
            return Ok(None);
        }
        let mut piece = Vec::new();
        let length = self.reader.by_ref().take(PIECE).read_until(b'\n', &mut piece)?;
        let is_dot = self.place == Place::LineStart && matches!(piece.as_slice(), b".\n" | b".\r\n" | b".");
        if length == 0 || (is_dot && self.dot == Dot::Ends) {
            self.place = Place::End;
            return Ok(None);
        }
        self.place = if piece.ends_with(b"\n") { Place::LineStart } else { Place::Inside };
        Ok(Some(piece))
    }

    /// Everything up to the empty line, which is included; all of a message without one.
    pub(super) fn header(&mut self) -> Result<Vec<u8>, Failure> {
        let mut header = Vec::new();
        loop {
            let at_line_start = self.place == Place::LineStart;
            let Some(piece) = self.next().map_err(Failure::Input)? else { return Ok(header) };
            header.extend_from_slice(&piece);
            if at_line_start && matches!(piece.as_slice(), b"\n" | b"\r\n") {
                return Ok(header);
            }
            if header.len() > MAX_HEADER {
                return Err(Failure::HeaderTooLong);
            }
        }
    }
}

const PIECE: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, dot: Dot) -> (String, String) {
        let mut input = Input::new(text.as_bytes(), dot);
        let header = input.header().unwrap();
        let mut body = Vec::new();
        while let Some(piece) = input.next().unwrap() {
            body.extend(piece);
        }
        (String::from_utf8(header).unwrap(), String::from_utf8(body).unwrap())
    }

    #[test]
    fn a_dot_alone_ends_the_message_unless_it_is_told_not_to() {
        let text = "To: a\n\none\n.\ntwo\n";
        assert_eq!(read(text, Dot::Ends), ("To: a\n\n".to_owned(), "one\n".to_owned()));
        assert_eq!(read(text, Dot::IsText).1, "one\n.\ntwo\n");
        assert_eq!(read("To: a\n.\n", Dot::Ends), ("To: a\n".to_owned(), String::new()));
        let long = format!("To: a\n\n{}.\n", "x".repeat(64 * 1024));
        assert!(read(&long, Dot::Ends).1.ends_with("x.\n"), "no line of its own");
    }

    #[test]
    fn a_header_without_end_is_refused() {
        let endless = "X: y\n".repeat(MAX_HEADER);
        assert!(matches!(Input::new(endless.as_bytes(), Dot::IsText).header(), Err(Failure::HeaderTooLong)));
    }
}
