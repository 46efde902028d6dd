//! Octets above 127 as ASCII: quoted-printable, base64 (RFC 2045 §6.7, §6.8), and encoded-words in a header (RFC 2047).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::LastLineEnd;
use super::entity::fields;

/// Quoted-printable, line by line.
#[derive(Debug, Default)]
pub(super) struct QuotedPrintable {
    column: usize,
}

impl QuotedPrintable {
    pub(super) fn encode(&mut self, text: &[u8], ends: bool, out: &mut Vec<u8>) {
        for (at, octet) in text.iter().enumerate() {
            // Blanks at the end of a line get lost on the way; of a piece nobody knows whether it is the end.
            let last = at.saturating_add(1) == text.len();
            match octet {
                b'!'..=b'<' | b'>'..=b'~' => self.put(&[*octet], out),
                b' ' | b'\t' if !last => self.put(&[*octet], out),
                _ => self.put(format!("={octet:02X}").as_bytes(), out),
            }
        }
        if ends {
            out.extend_from_slice(b"\r\n");
            self.column = 0;
        }
    }

    fn put(&mut self, symbol: &[u8], out: &mut Vec<u8>) {
        if self.column.saturating_add(symbol.len()) > 75 {
            out.extend_from_slice(b"=\r\n");
            self.column = 0;
        }
        out.extend_from_slice(symbol);
        self.column = self.column.saturating_add(symbol.len());
    }
}

/// Base64 in lines of 76.
#[derive(Debug, Default)]
pub(super) struct Base64 {
    held: Vec<u8>,
    /// A line end was met, and whose it is turns out by what follows.
    line_end: bool,
}

impl Base64 {
    pub(super) fn encode(&mut self, text: &[u8], ends: bool, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.line_end, ends) {
            self.held.extend_from_slice(b"\r\n");
        }
        self.held.extend_from_slice(text);
        let whole = self.held.len().saturating_sub(self.held.len() % LINE);
        for line in self.held.drain(..whole).as_slice().chunks(LINE) {
            put_line(line, out);
        }
    }

    pub(super) fn finish(mut self, last: LastLineEnd, out: &mut Vec<u8>) {
        if self.line_end && last == LastLineEnd::OfPart {
            self.held.extend_from_slice(b"\r\n");
        }
        for line in self.held.chunks(LINE) {
            put_line(line, out);
        }
    }
}

fn put_line(line: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(STANDARD.encode(line).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// As it is, but for octets that cannot be said.
pub(super) fn without_high_octets(line: &[u8], out: &mut Vec<u8>) {
    out.extend(line.iter().map(|octet| if octet.is_ascii() { *octet } else { b'?' }));
}

/// A header with encoded-words for what is not ASCII in it.
pub(super) fn ascii_header(header: &[u8], out: &mut Vec<u8>) {
    for field in fields(header) {
        match field.iter().position(|octet| *octet == b':').and_then(|at| field.split_at_checked(at)) {
            Some((name, value)) if !field.is_ascii() => {
                without_high_octets(name, out);
                encode_value(value, out);
            }
            _ => without_high_octets(field, out),
        }
    }
}

/// Words with high octets, and the blanks between two such, which an encoded-word must carry (RFC 2047 §6.2).
fn encode_value(value: &[u8], out: &mut Vec<u8>) {
    let charset = if std::str::from_utf8(value).is_ok() { "utf-8" } else { "unknown-8bit" };
    let tokens: Vec<&[u8]> = value.chunk_by(|one, next| is_word(*one) && is_word(*next)).collect();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        if token.is_ascii() {
            out.extend_from_slice(token);
            at = at.saturating_add(1);
            continue;
        }
        let mut run = token.to_vec();
        at = at.saturating_add(1);
        while let Some((blanks, word)) = joined(tokens.get(at..).unwrap_or_default()) {
            run.push(b' ');
            run.extend_from_slice(word);
            at = at.saturating_add(blanks).saturating_add(1);
        }
        put_words(&run, charset, out);
    }
}

/// How many tokens of blanks lie before a next word with high octets, and that word.
fn joined<'a>(tokens: &[&'a [u8]]) -> Option<(usize, &'a [u8])> {
    let blanks = tokens.iter().take_while(|token| token.iter().all(u8::is_ascii_whitespace)).count();
    let word = tokens.get(blanks)?;
    (blanks > 0 && !word.is_ascii()).then_some((blanks, word))
}

const fn is_word(octet: u8) -> bool {
    !matches!(octet, b' ' | b'\t' | b'\r' | b'\n' | b'<' | b'>' | b',' | b';' | b':' | b'"' | b'(' | b')')
}

fn put_words(text: &[u8], charset: &str, out: &mut Vec<u8>) {
    let mut rest = text;
    let mut first = true;
    while !rest.is_empty() {
        let mut end = rest.len().min(WORD);
        // Not amid a character of UTF-8.
        while end > 1 && rest.get(end).is_some_and(|octet| octet & 0xC0 == 0x80) {
            end = end.saturating_sub(1);
        }
        let (word, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
        if !first {
            out.extend_from_slice(b"\r\n ");
        }
        out.extend_from_slice(format!("=?{charset}?B?{}?=", STANDARD.encode(word)).as_bytes());
        rest = after;
        first = false;
    }
}

/// Octets of a line of 76 letters.
const LINE: usize = 57;

/// Octets of one encoded-word: with its charset it has at most 75 letters (RFC 2047 §2).
const WORD: usize = 36;
