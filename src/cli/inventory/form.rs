//! Rows as they are printed: columns for people, records for spreadsheets.

use std::borrow::Cow;

use crate::cli::table::aligned;

/// The heading and a line for each row, columns aligned.
pub(super) fn table<const N: usize>(heading: [&str; N], rows: Vec<[String; N]>) -> Vec<String> {
    let rows: Vec<[String; N]> = std::iter::once(heading.map(str::to_owned)).chain(rows).collect();
    aligned(&rows)
}

/// The heading and a record for each row (RFC 4180), without line ends.
pub(super) fn csv<const N: usize>(heading: [&str; N], rows: Vec<[String; N]>) -> Vec<String> {
    let record = |cells: [String; N]| cells.map(|cell| csv_cell(&cell)).join(",");
    std::iter::once(heading.map(str::to_owned)).chain(rows).map(record).collect()
}

/// A cell that a spreadsheet does not take for a formula, whatever a peer called itself.
///
/// Where lists are separated by semicolons, spreadsheets may split a cell at each: what follows one begins a cell too.
fn csv_cell(text: &str) -> String {
    let text = text.split(';').map(disarmed).collect::<Vec<_>>().join(";");
    if text.contains(['"', ',', ';', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

fn disarmed(part: &str) -> Cow<'_, str> {
    // Those of East Asian code pages as well: some spreadsheets take a full-width sign for the plain one.
    let begins_a_formula =
        part.trim_start_matches(' ').starts_with(['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠']);
    if begins_a_formula { Cow::Owned(format!("'{part}")) } else { Cow::Borrowed(part) }
}

/// A list with at most `most` of its words, and how many more there are.
pub(super) fn few<T: std::fmt::Display>(words: impl IntoIterator<Item = T>, most: usize) -> String {
    let words: Vec<String> = words.into_iter().map(|word| word.to_string()).collect();
    let more = words.len().saturating_sub(most);
    let shown = words.into_iter().take(most).collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_formula_is_text_in_every_width() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "＝1+1", "＋1", "－1", "＠SUM"] {
            assert_eq!(csv_cell(formula), format!("'{formula}"));
        }
        assert_eq!(csv_cell("UPS-7"), "UPS-7");
        assert_eq!(csv_cell("SEMI;=1+1"), "\"SEMI;'=1+1\"");
        assert_eq!(csv_cell("A; @B; C"), "\"A;' @B; C\"");
    }
}
