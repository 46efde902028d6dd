//! HTML that nothing from outside can get into: markup is this program's own, everything else is text.

use std::fmt::{self, Display, Write as _};

use crate::admin::words::spoils;

/// A document in the making.
#[derive(Debug, Default)]
pub(super) struct Html(String);

/// What a cell of a table shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cell {
    /// Words.
    Text(String),
    /// A figure, set to the right.
    Figure(String),
    /// Words that say how something stands.
    Mark(Tone, String),
}

/// How something stands. Never said by colour alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// As it should.
    Good,
    /// Somebody should look at it.
    Warning,
    /// Somebody must act.
    Bad,
}

impl Tone {
    const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warning => "warning",
            Self::Bad => "bad",
        }
    }
}

impl Cell {
    /// A figure.
    pub(super) fn figure(figure: impl Display) -> Self {
        Self::Figure(figure.to_string())
    }

    /// Words.
    pub(super) fn text(text: impl Display) -> Self {
        Self::Text(text.to_string())
    }
}

impl Html {
    /// Adds markup; `'static`, since it must be written in this program.
    pub(super) fn markup(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Adds text.
    pub(super) fn text(&mut self, text: impl Display) -> &mut Self {
        let written = write!(Escaping(&mut self.0), "{text}");
        debug_assert!(written.is_ok(), "a String takes everything");
        self
    }

    /// Adds a paragraph.
    pub(super) fn paragraph(&mut self, text: impl Display) -> &mut Self {
        self.markup("<p>").text(text).markup("</p>\n")
    }

    /// Adds words that say how something stands.
    pub(super) fn mark(&mut self, tone: Tone, text: impl Display) -> &mut Self {
        self.markup("<span class=\"").markup(tone.class()).markup("\">").text(text).markup("</span>")
    }

    /// Adds what is known under names.
    pub(super) fn known(&mut self, known: &[(&'static str, String)]) -> &mut Self {
        self.markup("<dl>\n");
        for (name, value) in known {
            self.markup("<div><dt>").markup(name).markup("</dt><dd>").text(value).markup("</dd></div>\n");
        }
        self.markup("</dl>\n")
    }

    /// Adds a table; of each row, as many cells as there are headings.
    pub(super) fn table<const N: usize>(
        &mut self,
        headings: [&'static str; N],
        rows: impl IntoIterator<Item = [Cell; N]>,
    ) -> &mut Self {
        self.markup("<div class=\"wide\"><table>\n<thead><tr>");
        for heading in headings {
            self.markup("<th scope=\"col\">").markup(heading).markup("</th>");
        }
        self.markup("</tr></thead>\n<tbody>\n");
        for row in rows {
            self.markup("<tr>");
            for cell in &row {
                self.cell(cell);
            }
            self.markup("</tr>\n");
        }
        self.markup("</tbody></table></div>\n")
    }

    /// The document.
    pub(super) fn into_string(self) -> String {
        self.0
    }

    fn cell(&mut self, cell: &Cell) {
        match cell {
            Cell::Text(text) => self.markup("<td>").text(text),
            Cell::Figure(figure) => self.markup("<td class=\"figure\">").text(figure),
            Cell::Mark(tone, text) => self.markup("<td>").mark(*tone, text),
        };
        self.markup("</td>");
    }
}

/// Writes text as it must stand between tags and in attributes; what would move, reorder or hide the text around it is
/// shown as what it is.
struct Escaping<'a>(&'a mut String);

impl fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                c if spoils(c) => self.0.extend(c.escape_default()),
                c => self.0.push(c),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_can_be_neither_a_tag_nor_an_attribute_nor_a_trick() {
        let mut html = Html::default();
        html.paragraph("</p><script>alert(1)</script> \" onload='x' & \u{202E}evil\0 表");
        assert_eq!(
            html.into_string(),
            "<p>&lt;/p&gt;&lt;script&gt;alert(1)&lt;/script&gt; &quot; onload=&#39;x&#39; &amp; \\u{202e}evil\\u{0} 表</p>\n"
        );
    }

    #[test]
    fn cells_of_a_table_are_text_too() {
        let mut html = Html::default();
        html.table(["what"], [[Cell::Mark(Tone::Bad, "<b>".to_owned())], [Cell::figure(7)]]);
        let html = html.into_string();
        assert!(html.contains("<td><span class=\"bad\">&lt;b&gt;</span></td>"), "{html}");
        assert!(html.contains("<td class=\"figure\">7</td>"), "{html}");
    }
}
