//! Tables for people's eyes.

use unicode_normalization::char::is_combining_mark;

use crate::admin::words::spoils;

/// The rows, the heading first, with their columns aligned.
pub(super) fn aligned<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = columns(cell).max(*width);
        }
    }
    let pad =
        |cell: &String, width: usize| format!("{cell}{}", " ".repeat(width.saturating_sub(columns(cell))));
    rows.iter()
        .map(|row| {
            let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| pad(cell, width)).collect();
            cells.join("  ").trim_end().to_owned()
        })
        .collect()
}

/// One line in which nothing moves the terminal. What a transport escaped already stays as it is: neither quotes nor
/// backslashes are escaped, which would double its escapes.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if spoils(c) { plain.extend(c.escape_default()) } else { plain.push(c) }
    }
    plain
}

/// Columns of a terminal that a text takes.
pub(super) fn columns(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

/// Columns of a terminal that a character takes: two for East Asian wide ones (UAX #11), none for marks.
pub(super) fn columns_of(c: char) -> usize {
    match c {
        '\u{1100}'..='\u{115F}'
        | '\u{2E80}'..='\u{303E}'
        | '\u{3041}'..='\u{A4CF}'
        | '\u{AC00}'..='\u{D7A3}'
        | '\u{F900}'..='\u{FAFF}'
        | '\u{FE30}'..='\u{FE6F}'
        | '\u{FF00}'..='\u{FF60}'
        | '\u{FFE0}'..='\u{FFE6}'
        | '\u{20000}'..='\u{3FFFD}' => 2,
        c if is_combining_mark(c) => 0,
        _ => 1,
    }
}
