//! Content between DATA and `<CRLF>.<CRLF>` (RFC 5321 §4.5.2): dots doubled, line ends made whole.

/// Makes content fit to be sent after DATA, in pieces of any size.
///
/// A dot at the start of a line is doubled. A CR or an LF alone becomes CRLF, for some servers take one for a line end
/// and then see an end of data that this client did not mean ("SMTP smuggling"); so what leaves here never has
/// `<LF>.<LF>`, `<CR>.<CR>` or `<LF>.<CRLF>` with a bare CR or LF in it, whatever came in. Lines are not folded.
#[derive(Debug, Default)]
pub struct ContentEncoder {
    position: Position,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Position {
    /// At the start of a line, where a dot is doubled.
    #[default]
    LineStart,
    /// The same, behind a CR for which CRLF was written already: an LF that follows belongs to it.
    AfterCr,
    /// Anywhere else.
    Inside,
}

impl ContentEncoder {
    /// An encoder before the first octet of a message.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `chunk` to `out`, encoded.
    pub fn encode(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        out.reserve(chunk.len());
        for line in chunk.split_inclusive(|byte| matches!(byte, b'\r' | b'\n')) {
            let (text, end) = match line.split_last() {
                Some((end @ (b'\r' | b'\n'), text)) => (text, Some(*end)),
                _ => (line, None),
            };
            if let Some(first) = text.first() {
                if self.position != Position::Inside && *first == b'.' {
                    out.push(b'.');
                }
                out.extend_from_slice(text);
                self.position = Position::Inside;
            }
            match end {
                Some(b'\r') => {
                    out.extend_from_slice(b"\r\n");
                    self.position = Position::AfterCr;
                }
                Some(_) => {
                    if self.position != Position::AfterCr {
                        out.extend_from_slice(b"\r\n");
                    }
                    self.position = Position::LineStart;
                }
                None => {}
            }
        }
    }

    /// Appends the end of data, with the line end before it if the content had none.
    pub fn finish(self, out: &mut Vec<u8>) {
        if self.position == Position::Inside {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b".\r\n");
    }
}

/// Which octets a content has; decides whether the next hop must offer 8BITMIME (RFC 6152).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Coding {
    /// Below 128 only.
    #[default]
    SevenBit,
    /// Any.
    EightBit,
}

impl Coding {
    /// The coding of a content of which `chunk` is the next piece.
    #[must_use]
    pub const fn and(self, chunk: &[u8]) -> Self {
        match self {
            Self::SevenBit if chunk.is_ascii() => Self::SevenBit,
            Self::SevenBit | Self::EightBit => Self::EightBit,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(chunks: &[&[u8]]) -> Vec<u8> {
        let (mut encoder, mut out) = (ContentEncoder::new(), Vec::new());
        for chunk in chunks {
            encoder.encode(chunk, &mut out);
        }
        encoder.finish(&mut out);
        out
    }

    #[test]
    fn dots_at_line_starts_are_doubled_and_the_end_is_added() {
        assert_eq!(encode(&[b".a\r\n..\r\nb.c\r\n"]), b"..a\r\n...\r\nb.c\r\n.\r\n");
        assert_eq!(encode(&[b"no line end"]), b"no line end\r\n.\r\n");
        assert_eq!(encode(&[]), b".\r\n");
        assert_eq!(encode(&[b"."]), b"..\r\n.\r\n");
    }

    #[test]
    fn nothing_that_some_server_takes_for_an_end_of_data_survives() {
        let smuggled: [&[u8]; 7] = [
            b"a\n.\nMAIL FROM:<x@example.net>\r\n",
            b"a\n.\r\nMAIL FROM:<x@example.net>\r\n",
            b"a\r.\rMAIL FROM:<x@example.net>\r\n",
            b"a\r\n.\rMAIL FROM:<x@example.net>\r\n",
            b"a\r\n.\nMAIL FROM:<x@example.net>\r\n",
            b"a\r\n.\r\r\nMAIL FROM:<x@example.net>\r\n",
            b"a\r.\r\nMAIL FROM:<x@example.net>\r\n",
        ];
        for content in smuggled {
            let out = encode(&[content]);
            let body = out.strip_suffix(b".\r\n").unwrap();
            assert!(body.windows(3).all(|three| three != b"\n.\r" && three != b"\n.\n"), "{out:?}");
            assert!(
                out.windows(10).any(|ten| ten == b"a\r\n..\r\nMAI" || ten == b"a\r\n..\r\n\r\nM"),
                "{out:?}"
            );
        }
    }

    #[test]
    fn eight_bit_octets_anywhere_make_the_content_eight_bit() {
        assert_eq!(Coding::default().and(b"plain").and("ü".as_bytes()).and(b"plain"), Coding::EightBit);
        assert_eq!(Coding::default().and(b"plain"), Coding::SevenBit);
    }

    fn piece() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), Just(b'a')], 0..24)
    }

    proptest! {
        #[test]
        fn chunk_borders_do_not_show(pieces in proptest::collection::vec(piece(), 0..6)) {
            let chunks: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(encode(&chunks), encode(&[&chunks.concat()]));
        }

        #[test]
        fn every_cr_has_its_lf_and_only_the_end_is_a_lone_dot(content in piece()) {
            let out = encode(&[&content]);
            let text = String::from_utf8(out).unwrap();
            prop_assert_eq!(text.replace("\r\n", "").find(['\r', '\n']), None);
            let lines: Vec<&str> = text.split("\r\n").collect();
            prop_assert_eq!(lines.iter().position(|line| *line == "."), Some(lines.len() - 2));
        }
    }
}
