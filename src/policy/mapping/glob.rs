//! Patterns of names: `UPS-*`.

use std::fmt;

use unicode_normalization::UnicodeNormalization as _;

/// A pattern for a whole name: `*` stands for any characters or none, `?` for exactly one, everything else for itself.
/// Case is ignored. A name matches as it is written, or when both it and the pattern are brought to Unicode's form
/// NFKC, so that half-width and full-width kana and letters are the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    source: Box<str>,
    written: Box<[Token]>,
    /// The pattern in NFKC, where that is another one.
    normal: Option<Box<[Token]>>,
}

/// One step of a pattern; letters are folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Letter(char),
    One,
    Many,
}

/// A pattern of more than [`Glob::MAX_LENGTH`] characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAGlob {
    /// Nothing but the empty name would match.
    #[error("the pattern is empty; `*` matches every name")]
    Empty,
    /// It could not be matched in reasonable time.
    #[error("the pattern has more than {} characters", Glob::MAX_LENGTH)]
    TooLong,
}

impl Glob {
    /// The most characters of a pattern. A NetBIOS name has 15, a mailslot's path may be longer.
    pub const MAX_LENGTH: usize = 255;

    /// Reads a pattern.
    ///
    /// # Errors
    /// An empty one and one over [`Self::MAX_LENGTH`].
    pub fn new(text: &str) -> Result<Self, NotAGlob> {
        if text.is_empty() {
            return Err(NotAGlob::Empty);
        }
        if text.chars().count() > Self::MAX_LENGTH {
            return Err(NotAGlob::TooLong);
        }
        let written: Box<[Token]> = tokens(text, |literal| literal.chars().collect());
        let normal: Box<[Token]> = tokens(text, |literal| literal.nfkc().collect());
        let normal = (normal != written).then_some(normal);
        Ok(Self { source: text.into(), written, normal })
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// Whether it stands for exactly one name (and its spellings).
    #[must_use]
    pub fn is_literal(&self) -> bool {
        self.written.iter().all(|token| matches!(token, Token::Letter(_)))
    }

    /// Whether every name matches.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        matches!(&*self.written, [Token::Many])
    }

    /// Whether `name` matches.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        if name.is_ascii() {
            self.matches_forms(name, None)
        } else {
            let normal: String = name.nfkc().collect();
            self.matches_forms(name, (normal != name).then_some(&normal))
        }
    }

    /// Whether a name matches whose NFKC form, where it is another one, is `normal`.
    pub(super) fn matches_forms(&self, written: &str, normal: Option<&str>) -> bool {
        tokens_match(&self.written, written)
            || (self.normal.is_some() || normal.is_some())
                && tokens_match(self.normal.as_ref().unwrap_or(&self.written), normal.unwrap_or(written))
    }

    /// The forms of the pattern: as written, and in NFKC where that is another one.
    pub(super) fn forms(&self) -> impl Iterator<Item = &[Token]> {
        std::iter::once(&*self.written).chain(self.normal.as_deref())
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

/// The character that stands for all that differ from it only by case (Unicode's simple folding; the few whose other
/// case is more than one character stand for themselves).
#[must_use]
pub(super) fn fold(letter: char) -> char {
    if letter.is_ascii() {
        return letter.to_ascii_lowercase();
    }
    let upper = only(letter.to_uppercase()).unwrap_or(letter);
    only(upper.to_lowercase()).unwrap_or(upper)
}

fn only(mut letters: impl Iterator<Item = char>) -> Option<char> {
    let letter = letters.next()?;
    letters.next().is_none().then_some(letter)
}

/// Splits a pattern; `literal` gives the letters of each run between wildcards, so that a full-width `＊` which
/// becomes `*` there is still a letter.
fn tokens(text: &str, literal: impl Fn(&str) -> Vec<char>) -> Box<[Token]> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        let end = rest.find(['*', '?']).unwrap_or(rest.len());
        let (run, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
        tokens.extend(literal(run).into_iter().map(|letter| Token::Letter(fold(letter))));
        let mut tail = tail.chars();
        match tail.next() {
            None => return tokens.into(),
            Some('?') => tokens.push(Token::One),
            Some(_) if tokens.last() == Some(&Token::Many) => {}
            Some(_) => tokens.push(Token::Many),
        }
        rest = tail.as_str();
    }
}

/// Whether the whole of `name` matches. After a mismatch only the latest `*` takes one character more, so the time is
/// at most the product of both lengths.
fn tokens_match(pattern: &[Token], name: &str) -> bool {
    let mut pattern = pattern;
    let mut name = name.chars();
    let mut retry: Option<(&[Token], std::str::Chars<'_>)> = None;
    loop {
        if let [Token::Many, after @ ..] = pattern {
            if after.is_empty() {
                return true;
            }
            pattern = after;
            retry = Some((after, name.clone()));
            continue;
        }
        let step = match (pattern, name.next()) {
            ([], None) => return true,
            ([Token::Letter(wanted), after @ ..], Some(letter)) if fold(letter) == *wanted => Some(after),
            ([Token::One, after @ ..], Some(_)) => Some(after),
            (_, Some(_)) => None,
            (_, None) => return false,
        };
        if let Some(after) = step {
            pattern = after;
            continue;
        }
        let Some((after, from)) = &mut retry else {
            return false;
        };
        if from.next().is_none() {
            return false;
        }
        pattern = after;
        name = from.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        let glob = Glob::new(pattern).unwrap();
        for name in yes {
            assert!(glob.matches(name), "{pattern} should match {name:?}");
        }
        for name in no {
            assert!(!glob.matches(name), "{pattern} should not match {name:?}");
        }
    }

    #[test]
    fn wildcards_match_the_whole_name_and_ignore_case() {
        check("UPS-*", &["UPS-", "ups-7", "Ups-A-B"], &["UPS", "XUPS-1", ""]);
        check("CNC-??", &["cnc-07"], &["CNC-7", "CNC-007"]);
        check("*-UPS", &["HALL-UPS", "-ups"], &["HALL-UPS2"]);
        check("*a*b*a", &["aba", "xaxbxa", "aabbaa"], &["ab", "abab"]);
        check("*", &["", "x"], &[]);
        check("ALERTS", &["alerts"], &["alert", "alerts1"]);
    }

    #[test]
    fn case_is_ignored_beyond_ascii() {
        check("ÄRZTE-*", &["ärzte-1"], &["arzte-1"]);
        check("ΠΟΣ", &["πος", "ποσ"], &[]);
        check("ß", &["ß"], &["ss"]);
    }

    #[test]
    fn half_width_kana_match_full_width_ones_in_either_place() {
        check("バッテリ*", &["ﾊﾞｯﾃﾘ1", "バッテリ"], &["ハッテリ"]);
        check("ﾊﾞｯﾃﾘ*", &["バッテリ2", "ﾊﾞｯﾃﾘ"], &["ﾊｯﾃﾘ"]);
        check("ＵＰＳ-?", &["ups-1", "ＵＰＳ-１"], &["ups-"]);
        check("??", &["ｶﾞ", "ガガ"], &["ガ"]);
    }

    #[test]
    fn a_full_width_asterisk_is_a_letter() {
        check("A＊", &["a＊", "a*"], &["ab"]);
    }

    #[test]
    fn many_stars_against_a_long_name_end_soon() {
        let glob = Glob::new(&format!("{}b", "*a".repeat(120))).unwrap();
        assert!(!glob.matches(&"a".repeat(60_000)));
    }

    #[test]
    fn empty_and_endless_patterns_are_refused() {
        assert_eq!(Glob::new(""), Err(NotAGlob::Empty));
        assert_eq!(Glob::new(&"x".repeat(256)), Err(NotAGlob::TooLong));
    }
}
