//! One line for a header or an address.

use std::fmt::Write as _;

/// The most characters of a rendered line.
pub const MAX_LINE: usize = 200;

/// One line that grows up to [`MAX_LINE`] characters.
#[derive(Default)]
pub(super) struct Line {
    text: String,
    characters: usize,
    cut: bool,
}

impl Line {
    pub(super) fn push_str(&mut self, text: &str) {
        for letter in text.chars() {
            if self.cut {
                return;
            }
            let letter = match letter {
                '\n' | '\r' | '\t' | '\u{0B}' | '\u{0C}' | '\u{85}' | '\u{2028}' | '\u{2029}' => ' ',
                letter if is_invisible(letter) => continue,
                letter => letter,
            };
            if self.characters >= MAX_LINE {
                self.cut = true;
            } else if letter != ' ' || !self.text.ends_with(' ') {
                self.text.push(letter);
                self.characters = self.characters.saturating_add(1);
            }
        }
    }

    pub(super) fn finish(mut self) -> String {
        if self.cut {
            self.text.pop();
            self.text.truncate(self.text.trim_end().len());
            self.text.write_char('…').unwrap_or_default();
        }
        self.text.trim().to_owned()
    }
}

/// Whether a character shows nothing of its own but changes how others look: controls, marks of direction, joiners of
/// words, tags. The zero-width (non-)joiners stay; Persian and Indic scripts and emoji need them.
pub(in crate::policy) fn is_invisible(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{AD}' | '\u{61C}' | '\u{180E}' | '\u{200B}' | '\u{200E}' | '\u{200F}'
                | '\u{202A}'..='\u{202E}'
                | '\u{2060}'..='\u{206F}'
                | '\u{FEFF}'
                | '\u{FFF9}'..='\u{FFFB}'
                | '\u{E0000}'..='\u{E007F}'
        )
}
