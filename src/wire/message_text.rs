//! Decoded text made fit for mail, logs and templates. Works on characters, hence only after the code page was applied:
//! the bytes 14, 5C and others may be halves of a double-byte character.

use std::borrow::Cow;

/// The text of a message with `\n` line ends and no other control characters.
///
/// - CR LF, CR, the 14 that Windows' own senders use, VT, FF, NEL, U+2028 and U+2029 end a line;
/// - tabs become blanks up to the next of the stops that lie 8 columns apart;
/// - all other C0 and C1 controls, DEL, and the controls that override or embed a writing direction (U+202A–202E,
///   U+2066–2069), by which a text can show something other than it says, are left out.
///
/// Text that needs none of this is returned as it is.
#[must_use]
pub fn message_text(text: Cow<'_, str>) -> Cow<'_, str> {
    let plain = text.bytes().all(|byte| matches!(byte, b'\n' | b' '..=b'~'));
    if plain || text.chars().all(|c| c == '\n' || !is_special(c)) {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut column = 0_usize;
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\t' => {
                let blanks = TAB_STOP.saturating_sub(column % TAB_STOP);
                out.extend(std::iter::repeat_n(' ', blanks));
                column = column.saturating_add(blanks);
            }
            '\r' if characters.peek() == Some(&'\n') => {}
            '\n' | '\r' | '\u{0B}' | '\u{0C}' | '\u{14}' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                out.push('\n');
                column = 0;
            }
            c if is_special(c) => {}
            c => {
                out.push(c);
                column = column.saturating_add(columns(c));
            }
        }
    }
    Cow::Owned(out)
}

/// A name, an originator, an addressee: without blanks around it and without any of the characters that
/// [`message_text`] removes or takes for a line end.
#[must_use]
pub fn name_text(text: Cow<'_, str>) -> Cow<'_, str> {
    let plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if !plain && text.contains(is_special) {
        let visible: String = text.chars().filter(|&c| !is_special(c)).collect();
        return Cow::Owned(visible.trim().to_owned());
    }
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) if text.trim().len() == text.len() => Cow::Owned(text),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

/// Whether a text may hold `c` as it is; line ends are among the special.
pub(crate) fn is_special(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// How many columns of a screen `c` takes: two for the wide characters of East Asia, whose pages hold no others.
const fn columns(c: char) -> usize {
    match c {
        '\u{1100}'..='\u{115F}'
        | '\u{2E80}'..='\u{A4CF}'
        | '\u{AC00}'..='\u{D7A3}'
        | '\u{F900}'..='\u{FAFF}'
        | '\u{FE30}'..='\u{FE6F}'
        | '\u{FF00}'..='\u{FF60}'
        | '\u{FFE0}'..='\u{FFE6}' => 2,
        _ => 1,
    }
}

const TAB_STOP: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::oem_text::CodePage;

    fn text(text: &str) -> String {
        message_text(text.into()).into_owned()
    }

    #[test]
    fn every_line_end_of_every_sender_becomes_one_newline() {
        assert_eq!(
            text("a\r\nb\rc\x14d\ne\u{85}f\u{2028}g\u{2029}h\x0Bi\x0Cj"),
            "a\nb\nc\nd\ne\nf\ng\nh\ni\nj"
        );
        assert_eq!(text("a\r\n\r\nb\r\rc"), "a\n\nb\n\nc");
    }

    #[test]
    fn tabs_reach_their_stops_also_behind_wide_characters() {
        assert_eq!(text("a\tb"), "a       b");
        assert_eq!(text("12345678\tb"), "12345678        b");
        assert_eq!(text("温度\t80\n\tx"), "温度    80\n        x");
        assert_eq!(text("ｱｲ\tb"), "ｱｲ      b");
    }

    #[test]
    fn controls_and_direction_overrides_are_left_out() {
        assert_eq!(text("a\0b\x07c\x1B[0m\x7Fd\u{9B}e\u{202E}f\u{2066}g"), "abc[0mdefg");
    }

    #[test]
    fn a_14_between_double_byte_characters_ends_a_line_and_their_5c_stays() {
        let (decoded, _) = CodePage::Cp932.decode(b"\x95\x5C\x14\x83\x5C");
        assert_eq!(message_text(decoded), "表\nソ");
    }

    #[test]
    fn clean_text_is_not_copied() {
        assert!(matches!(message_text(Cow::Borrowed("two\nlines äöü")), Cow::Borrowed(_)));
        assert!(matches!(name_text(Cow::Borrowed(" UPS-01 ")), Cow::Borrowed("UPS-01")));
    }

    #[test]
    fn a_name_cannot_carry_a_header_or_a_line_of_its_own() {
        let name = |name: &'static str| name_text(name.into()).into_owned();
        assert_eq!(name("CEO\r\nBcc: x\0 "), "CEOBcc: x");
        assert_eq!(name("\x01\x02__MSBROWSE__\x02\x01"), "__MSBROWSE__");
        assert_eq!(name("\u{2028}a\u{202E}b"), "ab");
        assert_eq!(name_text(Cow::Owned(" a ".to_owned())), "a");
    }
}
