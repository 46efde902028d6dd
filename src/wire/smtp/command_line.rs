//! Command lines of a client, framed as they arrive (RFC 5321 §2.3.8, §4.5.3.1.4).

use zeroize::Zeroizing;

/// Frames command lines from octets that arrive in pieces of any size.
///
/// A line ends at CRLF and nowhere else. A bare LF ends nothing: what was before it is refused at once, so that a
/// client that sends nothing but LF learns of it, and what follows is passed over up to the next line end. Holds at
/// most the longest line that is allowed; what is longer is counted and dropped.
#[derive(Debug, Default)]
pub struct LineReader {
    line: Zeroizing<Vec<u8>>,
    /// Octets of the current line, those that were dropped included.
    octets: usize,
    fault: Option<LineFault>,
    /// The latest octet was a CR.
    after_cr: bool,
    /// The line was refused at a bare LF already.
    refused: bool,
}

/// What may stand in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineKind {
    /// A command: 512 octets with its line end, 2048 for MAIL and RCPT, whose extensions lengthen it, 12 288 for AUTH.
    Command,
    /// A response to a challenge of AUTH: 12 288 octets (RFC 4954 §4).
    Response,
}

/// A line that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineFault {
    /// It has a CR or an LF that does not belong to a CRLF.
    BareLineEnd,
    /// It is longer than [`LineKind`] allows.
    TooLong,
    /// It went on past [`MAX_DROPPED`] octets: there is no sense in waiting for its end.
    Endless,
}

impl LineReader {
    /// A reader before the first octet of a line.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes octets from the front of `bytes` up to the end of one line, and returns that without its line end.
    /// `None`: all were taken and more are needed.
    ///
    /// # Errors
    /// When the line, or what was there of it up to a bare LF, is to be refused. The next call goes on behind it.
    pub fn take(
        &mut self,
        bytes: &mut &[u8],
        kind: LineKind,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, LineFault> {
        while let Some((&octet, rest)) = bytes.split_first() {
            *bytes = rest;
            self.octets = self.octets.saturating_add(1);
            match (octet, std::mem::replace(&mut self.after_cr, octet == b'\r')) {
                (b'\n', true) => {
                    if let Some(ended) = self.end_line() {
                        return ended.map(Some);
                    }
                }
                (b'\n', false) => return Err(self.refuse_bare_lf()),
                (b'\r', false) => {}
                (b'\r', true) => self.fault = Some(LineFault::BareLineEnd),
                (other, after_cr) => {
                    if after_cr {
                        self.fault = Some(LineFault::BareLineEnd);
                    }
                    self.push(other, kind);
                }
            }
            if self.octets > MAX_DROPPED {
                *self = Self::default();
                return Err(LineFault::Endless);
            }
        }
        Ok(None)
    }

    /// Whether it stands inside a line.
    #[must_use]
    pub const fn is_inside(&self) -> bool {
        self.octets > 0
    }

    fn push(&mut self, octet: u8, kind: LineKind) {
        // Two are for the line end.
        if self.fault.is_none() && self.line.len().saturating_add(2) >= self.limit(kind) {
            self.fault = Some(LineFault::TooLong);
            self.line = Zeroizing::default();
        }
        if self.fault.is_none() && !self.refused {
            self.line.push(octet);
        }
    }

    /// What the line that ends here is; `None` when it is what is left behind a bare LF.
    fn end_line(&mut self) -> Option<Result<Zeroizing<Vec<u8>>, LineFault>> {
        let Self { line, fault, refused, .. } = std::mem::take(self);
        if refused {
            return None;
        }
        Some(fault.map_or(Ok(line), Err))
    }

    fn refuse_bare_lf(&mut self) -> LineFault {
        // The count stays: lines of LF alone that never see a CRLF have no end either.
        self.line = Zeroizing::default();
        self.fault = None;
        self.refused = true;
        LineFault::BareLineEnd
    }

    fn limit(&self, kind: LineKind) -> usize {
        match kind {
            LineKind::Response => MAX_AUTH,
            LineKind::Command if self.line.len() < MAX_COMMAND.saturating_sub(2) => MAX_COMMAND,
            LineKind::Command => {
                let verb = self.line.split(|octet| *octet == b' ').next().unwrap_or_default();
                let is = |name: &[u8]| verb.eq_ignore_ascii_case(name);
                if is(b"AUTH") {
                    MAX_AUTH
                } else if is(b"MAIL") || is(b"RCPT") {
                    MAX_ENVELOPE
                } else {
                    MAX_COMMAND
                }
            }
        }
    }
}

/// Octets of a command line with its line end (RFC 5321 §4.5.3.1.4).
pub const MAX_COMMAND: usize = 512;
/// Octets of MAIL and RCPT with their parameters.
pub const MAX_ENVELOPE: usize = 2048;
/// Octets of AUTH, and of responses to its challenges (RFC 4954 §4.1): tokens of OAuth are long.
pub const MAX_AUTH: usize = 12_288;
/// Octets after which a line counts as endless.
pub const MAX_DROPPED: usize = 65_536;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<Result<String, LineFault>> {
        let (mut reader, mut found) = (LineReader::new(), Vec::new());
        for piece in pieces {
            let mut rest = *piece;
            loop {
                match reader.take(&mut rest, LineKind::Command) {
                    Ok(Some(line)) => found.push(Ok(String::from_utf8_lossy(&line).into_owned())),
                    Ok(None) => break,
                    Err(fault) => found.push(Err(fault)),
                }
            }
        }
        found
    }

    fn line(text: &str) -> Result<String, LineFault> {
        Ok(text.to_owned())
    }

    #[test]
    fn a_line_ends_at_crlf() {
        assert_eq!(lines(&[b"NOOP\r\n\r\nQUIT\r", b"\nRS"]), [line("NOOP"), line(""), line("QUIT")]);
    }

    #[test]
    fn a_bare_lf_is_refused_at_once_and_what_follows_is_no_command() {
        let bare = || Err(LineFault::BareLineEnd);
        assert_eq!(lines(&[b"NOOP\nRSET\r\nQUIT\r\n"]), [bare(), line("QUIT")]);
        assert_eq!(lines(&[b"NOOP\n", b"QUIT\n"]), [bare(), bare()]);
    }

    #[test]
    fn a_bare_cr_is_refused_when_the_line_ends() {
        let bare = || Err(LineFault::BareLineEnd);
        assert_eq!(lines(&[b"NOOP\rRSET\r\nQUIT\r\r\nNOOP\r\n"]), [bare(), bare(), line("NOOP")]);
    }

    #[test]
    fn each_command_has_its_own_limit() {
        let padded = |verb: &str, length: usize| {
            let mut line = verb.to_owned().into_bytes();
            line.resize(length - 2, b'x');
            line.extend_from_slice(b"\r\n");
            line
        };
        for (verb, limit) in
            [("NOOP ", 512), ("mail FROM:", 2048), ("RCPT TO:", 2048), ("Auth PLAIN ", 12_288)]
        {
            let most = padded(verb, limit);
            assert!(lines(&[&most])[0].is_ok(), "{verb}");
            let over = padded(verb, limit + 1);
            assert_eq!(lines(&[&over, b"NOOP\r\n"]), [Err(LineFault::TooLong), line("NOOP")], "{verb}");
        }
    }

    #[test]
    fn a_line_without_end_is_given_up_within_bounds() {
        let mut reader = LineReader::new();
        let flood = [b'x'; 1000];
        let mut faults = 0;
        for _ in 0..200 {
            let mut rest = &flood[..];
            while !rest.is_empty() {
                faults += usize::from(reader.take(&mut rest, LineKind::Command) == Err(LineFault::Endless));
            }
            assert!(reader.line.capacity() <= 1024);
        }
        assert_eq!(faults, 3);
    }

    proptest! {
        #[test]
        fn piece_borders_do_not_show(
            octets in proptest::collection::vec(proptest::sample::select(b"\r\r\n\nA ".to_vec()), 0..60),
            piece in 1_usize..8,
        ) {
            let pieces: Vec<&[u8]> = octets.chunks(piece).collect();
            prop_assert_eq!(lines(&pieces), lines(&[&octets]));
        }
    }
}
