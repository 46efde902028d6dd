//! Patterns of texts: regular expressions.

use std::fmt;

use regex::{Regex, RegexBuilder};
use unicode_normalization::{UnicodeNormalization as _, is_nfkc};

/// A regular expression that is looked for anywhere in a text: in the text as written and, only where it is another
/// one, in its NFKC form. So `バッテリ` finds half-width `ﾊﾞｯﾃﾘ` too.
///
/// `^` and `$` stand for the ends of a line. Matching takes time linear in the text, whatever a sender writes.
#[derive(Debug, Clone)]
pub struct TextPattern(Regex);

impl TextPattern {
    /// The most bytes that one compiled pattern may take.
    pub const MAX_SIZE: usize = 256 * 1024;

    /// Compiles a pattern in the syntax of the `regex` crate.
    ///
    /// # Errors
    /// What is wrong with the syntax and where, or that the compiled pattern would be over [`Self::MAX_SIZE`].
    pub fn new(text: &str) -> Result<Self, NotAPattern> {
        RegexBuilder::new(text)
            .size_limit(Self::MAX_SIZE)
            .dfa_size_limit(Self::MAX_SIZE)
            .multi_line(true)
            .build()
            .map(Self)
            .map_err(|error| NotAPattern(error.into()))
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether it is found in a text whose NFKC form, where it is another one, is `normal`.
    pub(super) fn matches_forms(&self, written: &str, normal: Option<&str>) -> bool {
        self.0.is_match(written) || normal.is_some_and(|normal| self.0.is_match(normal))
    }
}

impl fmt::Display for TextPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no regular expression; displays as what is wrong, on one line.
#[derive(Debug, Clone)]
pub struct NotAPattern(Box<regex::Error>);

/// What is wrong with a text that should be a regular expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatternFault {
    /// It is not written as one.
    Syntax,
    /// Compiled it would be over [`TextPattern::MAX_SIZE`].
    Size,
}

impl NotAPattern {
    /// What is wrong.
    #[must_use]
    pub const fn reason(&self) -> PatternFault {
        if matches!(*self.0, regex::Error::CompiledTooBig(_)) {
            PatternFault::Size
        } else {
            PatternFault::Syntax
        }
    }
}

impl fmt::Display for NotAPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            // The library repeats the pattern with markings below it and says last what is wrong.
            regex::Error::Syntax(text) => {
                let line = text.lines().last().unwrap_or_default().trim();
                f.write_str(line.strip_prefix("error: ").unwrap_or(line))
            }
            regex::Error::CompiledTooBig(limit) => {
                write!(f, "it would take more than {} KiB compiled", limit / 1024)
            }
            other => write!(f, "{other}"),
        }
    }
}

impl std::error::Error for NotAPattern {}

/// The text in NFKC, where that is another one.
pub(super) fn normalized(text: &str) -> Option<String> {
    if text.is_ascii() || is_nfkc(text) { None } else { Some(text.nfkc().collect()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(pattern: &str, text: &str) -> bool {
        TextPattern::new(pattern).unwrap().matches_forms(text, normalized(text).as_deref())
    }

    #[test]
    fn a_pattern_is_found_anywhere_as_written_or_after_nfkc() {
        assert!(finds("on battery|バッテリ", "UPS is on battery"));
        assert!(finds("on battery|バッテリ", "ﾊﾞｯﾃﾘ ｶﾞ"));
        assert!(finds("ﾊﾞｯﾃﾘ", "ﾊﾞｯﾃﾘ"), "as written");
        assert!(!finds("on battery", "ON BATTERY"));
        assert!(finds("(?i)on battery", "ON BATTERY"));
        assert!(finds("^Tool 7$", "Machine 3\nTool 7\nstopped"));
    }

    #[test]
    fn a_pattern_that_cannot_be_compiled_says_why_on_one_line() {
        let summary = |text| TextPattern::new(text).unwrap_err().to_string();
        assert_eq!(summary("(on battery"), "unclosed group");
        assert_eq!(summary(r"\w{1000}{1000}"), "it would take more than 256 KiB compiled");
    }
}
