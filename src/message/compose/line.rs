//! What others wrote, made fit for one line of a header.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Characters of a display name. NetBIOS names have 15; a From inside a message may have any length.
pub(in crate::message) const DISPLAY_LIMIT: usize = 64;

/// Characters of any other value in a header.
pub(super) const LINE_LIMIT: usize = 250;

/// `text` as one line of at most `limit` characters: control characters and line separators become blanks, runs of
/// blanks one, and characters that reorder or hide what stands around them are left out (UAX #9 §2). A longer text is
/// cut and ends in `…`.
pub(in crate::message) fn line(text: &str, limit: usize) -> String {
    let mut line = String::new();
    let mut length: usize = 0;
    let mut blank = false;
    for c in text.chars().filter(|&c| !reorders(c)) {
        if c.is_control() || c.is_whitespace() {
            blank = !line.is_empty();
            continue;
        }
        if length.saturating_add(2) > limit {
            line.push('…');
            break;
        }
        if blank {
            line.push(' ');
            length = length.saturating_add(1);
            blank = false;
        }
        line.push(c);
        length = length.saturating_add(1);
    }
    line
}

/// `text` with `\r\n` line ends and no other control characters but tabs: each becomes U+FFFD.
pub(super) fn lines(text: &str) -> String {
    let mut lines = String::with_capacity(text.len());
    for line in text.split('\n') {
        let line = line.strip_suffix('\r').unwrap_or(line);
        lines.extend(line.chars().map(|c| if c.is_control() && c != '\t' { '\u{FFFD}' } else { c }));
        lines.push_str("\r\n");
    }
    lines
}

/// `text` as encoded-words with blanks between (RFC 2047 §2): none over 52 characters, no character split.
pub(in crate::message) fn encoded_words(text: &str) -> String {
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.floor_char_boundary(WORD_BYTES);
        let (word, after) = rest.split_at(end);
        words.push(format!("=?UTF-8?B?{}?=", STANDARD.encode(word)));
        rest = after;
    }
    words.join(" ")
}

/// Embeddings, overrides and isolates, and the byte order mark.
const fn reorders(c: char) -> bool {
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

/// Bytes of text in one encoded-word: 40 letters of base64 and 12 around them, so that even the first fits the line of
/// 76 (RFC 2047 §2) beside the longest field name.
const WORD_BYTES: usize = 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_break_a_line_becomes_one_blank() {
        assert_eq!(line(" UPS\r\nBcc: x@y\u{2028}\0\t07 ", 80), "UPS Bcc: x@y 07");
        assert_eq!(line("\u{202E}gnp.exe\u{202C}", 80), "gnp.exe");
        assert_eq!(line("\r\n\u{1}", 80), "");
    }

    #[test]
    fn a_long_text_is_cut_at_its_limit_and_says_so() {
        let cut = line(&"あ".repeat(300), 250);
        assert_eq!((cut.chars().count(), cut.chars().last()), (250, Some('…')));
        assert_eq!(line("four", 5), "four");
    }
}
