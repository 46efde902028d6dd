//! Text of a peer as one line.

/// One line of at most `most` characters of `text`, in which nothing moves a terminal or reorders what stands around it
/// (UAX #9 §2). What was escaped already stays as it is; an escape may make the line longer.
#[must_use]
pub fn bounded_line(text: &str, most: usize) -> String {
    let mut line = String::new();
    for c in text.chars().take(most) {
        let spoils = c.is_control()
            || matches!(c, '\u{061C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}');
        if spoils { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}
