//! Replies of an SMTP server (RFC 5321 §4.2), read as they arrive.

use std::fmt;

use super::status::EnhancedStatus;
use crate::wire::reader::{Reason, WireError};

/// A reply code: three digits, the first 2 to 5.
///
/// RFC 5321 §4.2 allows only 0 to 5 as second digit, but servers in use send codes like 571, and §4.3.2 has a client
/// act on the first digit of a code that it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplyCode(u16);

/// What the first digit of a [`ReplyCode`] says (RFC 5321 §4.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// 2yz: done.
    Positive,
    /// 3yz: go on, more is expected.
    Intermediate,
    /// 4yz: not now.
    Transient,
    /// 5yz: never.
    Permanent,
}

impl ReplyCode {
    /// The code as a number, 200 to 599.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// What its first digit says.
    #[must_use]
    pub const fn severity(self) -> Severity {
        match self.0 {
            0..=299 => Severity::Positive,
            300..=399 => Severity::Intermediate,
            400..=499 => Severity::Transient,
            _ => Severity::Permanent,
        }
    }

    fn parse(digits: [u8; 3]) -> Option<Self> {
        let text = std::str::from_utf8(&digits).ok()?;
        let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())??;
        (200..=599).contains(&number).then_some(Self(number))
    }
}

impl fmt::Display for ReplyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03}", self.0)
    }
}

/// One complete reply: a code and at least one line of text, which may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    code: ReplyCode,
    lines: Vec<String>,
}

impl Reply {
    /// The code that all its lines carry.
    #[must_use]
    pub const fn code(&self) -> ReplyCode {
        self.code
    }

    /// What its code says.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        self.code.severity()
    }

    /// Its lines without code and line end, as the server sent them; bytes that are no UTF-8 became U+FFFD. Not
    /// escaped: use `Display` for logs.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// The enhanced status code its text begins with, if the class agrees with the reply code (RFC 2034 §4).
    #[must_use]
    pub fn status(&self) -> Option<EnhancedStatus> {
        let (status, _) = EnhancedStatus::leading(self.lines.first()?)?;
        let class = match self.severity() {
            Severity::Positive => 2,
            Severity::Transient => 4,
            Severity::Permanent => 5,
            Severity::Intermediate => return None,
        };
        (status.class == class).then_some(status)
    }

    /// Whether one of its lines contains `words`, which are in lower case; ASCII case is ignored.
    #[must_use]
    pub fn mentions(&self, words: &str) -> bool {
        self.lines.iter().any(|line| line.to_ascii_lowercase().contains(words))
    }
}

/// One line for logs and for the operator: control characters and those that reorder text are escaped, an enhanced
/// status code that every line repeats is written once, and all is cut after [`MAX_SHOWN`] characters.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let repeated = self.status();
        let mut text = self.code.to_string();
        for (number, line) in self.lines.iter().enumerate() {
            let shown = match EnhancedStatus::leading(line) {
                Some((status, rest)) if number > 0 && Some(status) == repeated => rest,
                _ => line,
            };
            if !shown.is_empty() {
                text.push(' ');
                text.push_str(shown);
            }
        }
        for (number, character) in text.chars().enumerate() {
            if number >= MAX_SHOWN {
                return f.write_str("…");
            }
            if is_unprintable(character) {
                write!(f, "{}", character.escape_default())?;
            } else {
                fmt::Write::write_char(f, character)?;
            }
        }
        Ok(())
    }
}

/// Reads replies from bytes that arrive in pieces of any size.
///
/// Holds at most [`MAX_LINES`] lines and [`MAX_OCTETS`] octets of one reply. A line may end with LF alone: nothing
/// hangs on it in this direction. After an error the stream has lost its meaning; the connection must be closed.
#[derive(Debug, Default)]
pub struct ReplyParser {
    line: Vec<u8>,
    code: Option<ReplyCode>,
    lines: Vec<String>,
    octets: usize,
}

impl ReplyParser {
    /// A parser before the first octet of a reply.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes octets from the front of `bytes` up to the end of one reply. `None`: all were taken and more are needed.
    ///
    /// # Errors
    /// When the octets are no reply, or one past the limits. The offset counts from the first octet of the reply.
    pub fn parse(&mut self, bytes: &mut &[u8]) -> Result<Option<Reply>, WireError> {
        while let Some((&byte, rest)) = bytes.split_first() {
            *bytes = rest;
            self.octets = self.octets.saturating_add(1);
            if self.octets > MAX_OCTETS {
                return Err(
                    self.bad(Reason::OutOfBounds { value: wide(self.octets), limit: wide(MAX_OCTETS) })
                );
            }
            if byte != b'\n' {
                self.line.push(byte);
                self.refuse_early()?;
            } else if let Some(reply) = self.end_line()? {
                return Ok(Some(reply));
            }
        }
        Ok(None)
    }

    /// Whether it stands inside a reply.
    #[must_use]
    pub const fn is_inside(&self) -> bool {
        self.octets > 0
    }

    /// A peer that speaks something else (a TLS alert, HTTP) need not end a line to be found out.
    fn refuse_early(&self) -> Result<(), WireError> {
        match self.line.as_slice() {
            [first] if !(b'2'..=b'5').contains(first) => {
                Err(self.bad(Reason::NotAllowed { value: u64::from(*first) }))
            }
            _ => Ok(()),
        }
    }

    fn end_line(&mut self) -> Result<Option<Reply>, WireError> {
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        let Some((digits, rest)) = line.split_first_chunk::<3>() else {
            return Err(self.bad(Reason::Malformed("a line of a reply has fewer than three digits")));
        };
        let Some(code) = ReplyCode::parse(*digits) else {
            return Err(self.bad(Reason::Malformed("not three digits from 200 to 599")));
        };
        if self.code.is_some_and(|first| first != code) {
            return Err(self.bad(Reason::Malformed("the code changes inside a reply")));
        }
        self.code = Some(code);
        let (last, text) = match rest.split_first() {
            None => (true, rest),
            Some((b' ', text)) => (true, text),
            Some((b'-', text)) => (false, text),
            Some((&other, _)) => return Err(self.bad(Reason::NotAllowed { value: u64::from(other) })),
        };
        self.lines.push(String::from_utf8_lossy(text).into_owned());
        if last {
            let lines = std::mem::take(self).lines;
            return Ok(Some(Reply { code, lines }));
        }
        if self.lines.len() >= MAX_LINES {
            return Err(self.bad(Reason::Malformed("more than 128 lines")));
        }
        Ok(None)
    }

    fn bad(&self, reason: Reason) -> WireError {
        WireError::new("Reply-line", self.octets.saturating_sub(1), reason)
    }
}

/// Whether a character has no place in one line of a log: controls, line separators, and what reorders text.
pub(crate) fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// Lines of one reply; EHLO replies in use have about 15.
pub const MAX_LINES: usize = 128;
/// Octets of one reply with line ends.
pub const MAX_OCTETS: usize = 64 * 1024;
/// Characters of a reply that logs and the queue view show.
pub const MAX_SHOWN: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    fn one(bytes: &[u8]) -> Result<Option<Reply>, WireError> {
        ReplyParser::new().parse(&mut &bytes[..])
    }

    #[test]
    fn a_reply_in_several_lines_is_one_reply() {
        let reply = one(b"250-mx.example.net\r\n250-SIZE 1000\r\n250 DSN\r\n").unwrap().unwrap();
        assert_eq!(reply.code().number(), 250);
        assert_eq!(reply.lines(), ["mx.example.net", "SIZE 1000", "DSN"]);
    }

    #[test]
    fn a_reply_split_at_any_octet_is_the_same_reply() {
        let bytes = b"550-5.1.1 no\r\n550 5.1.1 such user\r\n";
        let whole = one(bytes).unwrap().unwrap();
        for cut in 0..bytes.len() {
            let (mut head, mut tail) = bytes.split_at(cut);
            let mut parser = ReplyParser::new();
            assert_eq!(parser.parse(&mut head).unwrap(), None);
            assert_eq!(parser.parse(&mut tail).unwrap().as_ref(), Some(&whole), "cut at {cut}");
            assert!(!parser.is_inside());
        }
    }

    #[test]
    fn octets_behind_a_reply_are_left_for_the_next() {
        let mut bytes = &b"250 2.1.0 ok\r\n354 go"[..];
        assert!(ReplyParser::new().parse(&mut bytes).unwrap().is_some());
        assert_eq!(bytes, b"354 go");
    }

    #[test]
    fn a_code_alone_and_a_lone_line_feed_are_accepted() {
        assert_eq!(one(b"250\r\n").unwrap().unwrap().lines(), [""]);
        assert_eq!(one(b"250-a\n250 b\n").unwrap().unwrap().lines(), ["a", "b"]);
    }

    #[test]
    fn what_is_no_reply_is_refused_with_the_place() {
        let refused: [(&[u8], &str); 7] = [
            (b"HTTP/1.1 400", "Reply-line at byte 0: value 0x48 not allowed"),
            (b"\x15\x03\x01", "Reply-line at byte 0: value 0x15 not allowed"),
            (b"25\r\n", "Reply-line at byte 3: a line of a reply has fewer than three digits"),
            (b"2x0 ok\r\n", "Reply-line at byte 7: not three digits from 200 to 599"),
            (b"250_ok\r\n", "Reply-line at byte 7: value 0x5f not allowed"),
            (b"250-a\r\n550 b\r\n", "Reply-line at byte 13: the code changes inside a reply"),
            (b"\r\n", "Reply-line at byte 0: value 0x0d not allowed"),
        ];
        for (bytes, text) in refused {
            assert_eq!(one(bytes).unwrap_err().to_string(), text);
        }
    }

    #[test]
    fn a_reply_without_end_is_refused_before_it_fills_memory() {
        let many = b"250-x\r\n".repeat(MAX_LINES);
        assert!(one(&many).unwrap_err().to_string().ends_with("more than 128 lines"));
        let mut long = b"250 ".to_vec();
        long.resize(MAX_OCTETS + 1, b'x');
        assert!(matches!(one(&long).unwrap_err().reason(), Reason::OutOfBounds { .. }));
    }

    #[test]
    fn a_status_counts_only_when_its_class_agrees_with_the_code() {
        assert_eq!(one(b"550 5.7.1 no\r\n").unwrap().unwrap().status(), Some(EnhancedStatus::new(5, 7, 1)));
        assert_eq!(one(b"550 4.7.1 no\r\n").unwrap().unwrap().status(), None);
        assert_eq!(one(b"550 no\r\n").unwrap().unwrap().status(), None);
    }

    #[test]
    fn what_a_log_shows_is_one_line_without_controls_and_without_repeated_status() {
        let reply = one(b"550-5.7.1 a\x1b[2J\r\n550 5.7.1 b\xff\xe2\x80\xae\r\n").unwrap().unwrap();
        assert_eq!(reply.to_string(), "550 5.7.1 a\\u{1b}[2J b\u{fffd}\\u{202e}");
        let long = format!("550 {}\r\n", "x".repeat(2000));
        assert_eq!(one(long.as_bytes()).unwrap().unwrap().to_string().chars().count(), MAX_SHOWN + 1);
    }
}
