//! Words that a text must contain for a pattern to be found in it, and the search for many of them at once.
//!
//! Most `text` patterns of rules are words: `on battery|バッテリ`. One pass over a text finds which words of all rules
//! are in it, at a cost that hardly depends on how many there are; only the patterns of those are then matched.

use std::collections::HashMap;

/// The words of some patterns: the pattern itself is found only in a text that has at least one of them.
///
/// `None` where that is not plain to see: flags such as `(?i)`, classes within classes, an alternative without a word
/// of at least [`WINDOW`] bytes.
pub(super) fn required(pattern: &str) -> Option<Vec<String>> {
    let mut alternatives = Vec::new();
    let mut reader = Runs::default();
    let mut rest = pattern.chars();
    while let Some(letter) = rest.next() {
        match letter {
            '|' => alternatives.push(reader.end_alternative()?),
            '\\' => match rest.next()? {
                'd' | 'D' | 'w' | 'W' | 's' | 'S' | 'b' | 'B' | 'A' | 'z' | 'n' | 'r' | 't' | 'f' | 'v' => {
                    reader.break_run()
                }
                escaped if escaped.is_ascii_punctuation() && !matches!(escaped, '<' | '>') => {
                    reader.run.push(escaped)
                }
                _ => return None,
            },
            '.' | '^' | '$' | '+' => reader.break_run(),
            '*' | '?' => reader.drop_last(),
            '{' => {
                reader.drop_last();
                rest.find(|letter| *letter == '}')?;
            }
            '[' => {
                reader.break_run();
                skip_class(&mut rest)?;
            }
            '(' => {
                reader.break_run();
                skip_group(&mut rest)?;
            }
            letter => reader.run.push(letter),
        }
    }
    alternatives.push(reader.end_alternative()?);
    Some(alternatives)
}

/// The runs of letters in one alternative.
#[derive(Default)]
struct Runs {
    run: String,
    longest: String,
}

impl Runs {
    fn break_run(&mut self) {
        if self.run.len() > self.longest.len() {
            self.longest = std::mem::take(&mut self.run);
        }
        self.run.clear();
    }

    /// The last letter may be absent, so the run ends before it.
    fn drop_last(&mut self) {
        self.run.pop();
        self.break_run();
    }

    fn end_alternative(&mut self) -> Option<String> {
        self.break_run();
        Some(std::mem::take(&mut self.longest)).filter(|word| word.len() >= WINDOW)
    }
}

/// Skips a class behind its `[`; `None` for one with another class or a bracket in it.
fn skip_class(rest: &mut std::str::Chars<'_>) -> Option<()> {
    let text = rest.as_str();
    if text.strip_prefix('^').unwrap_or(text).starts_with(']') {
        return None;
    }
    loop {
        match rest.next()? {
            '\\' => drop(rest.next()?),
            '[' => return None,
            ']' => return Some(()),
            _ => {}
        }
    }
}

/// Skips a group behind its `(`; `None` for one with flags or a name.
fn skip_group(rest: &mut std::str::Chars<'_>) -> Option<()> {
    let mut depth = 1_usize;
    let opens = |rest: &std::str::Chars<'_>| {
        let text = rest.as_str();
        (!text.starts_with('?') || text.starts_with("?:")).then_some(())
    };
    opens(rest)?;
    while depth > 0 {
        match rest.next()? {
            '\\' => drop(rest.next()?),
            '[' => skip_class(rest)?,
            '(' => {
                opens(rest)?;
                depth = depth.saturating_add(1);
            }
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Some(())
}

/// A word is looked for by so many bytes of it first.
pub(super) const WINDOW: usize = 3;

/// Words and the rules that need them.
#[derive(Debug)]
pub(super) struct Words {
    words: Box<[Word]>,
    /// Which words have these bytes as their window.
    windows: HashMap<u32, Box<[usize]>>,
    /// A bit for each hash of a window in use: most places of a text end here.
    sieve: Box<[u64; SIEVE_WORDS]>,
    first_rule: Option<u32>,
}

#[derive(Debug)]
struct Word {
    text: Box<str>,
    /// Where in `text` its window is.
    window: usize,
    rules: Box<[u32]>,
}

impl Words {
    /// The words of rules by their numbers.
    pub(super) fn new(rules: &[(u32, Vec<String>)]) -> Self {
        let mut of_word: HashMap<&str, Vec<u32>> = HashMap::new();
        for (number, words) in rules {
            words.iter().for_each(|word| of_word.entry(word).or_default().push(*number));
        }
        let mut shared: HashMap<&[u8], usize> = HashMap::new();
        for window in of_word.keys().flat_map(|word| word.as_bytes().windows(WINDOW)) {
            let count = shared.entry(window).or_default();
            *count = count.saturating_add(1);
        }
        let mut words = Vec::new();
        let mut windows: HashMap<u32, Vec<usize>> = HashMap::new();
        let mut sieve = Box::new([0_u64; SIEVE_WORDS]);
        for (text, rules) in &of_word {
            let rarest =
                text.as_bytes().windows(WINDOW).enumerate().min_by_key(|(_, window)| shared.get(window));
            let Some((place, window)) = rarest else { continue };
            let window = window.iter().fold(0, |window, byte| slide(window, *byte));
            windows.entry(window).or_default().push(words.len());
            let (word, bit) = sieve_place(window);
            sieve.get_mut(word).into_iter().for_each(|word| *word |= bit);
            words.push(Word { text: (*text).into(), window: place, rules: rules.clone().into() });
        }
        Self {
            words: words.into(),
            windows: windows.into_iter().map(|(window, words)| (window, words.into())).collect(),
            sieve,
            first_rule: rules.iter().map(|(number, _)| *number).min(),
        }
    }

    /// The lowest number of a rule that has words.
    pub(super) const fn first_rule(&self) -> Option<u32> {
        self.first_rule
    }

    /// Adds the rules of every word in `text` to `rules`, some more than once. Takes memory only for words found.
    pub(super) fn find(&self, text: &str, rules: &mut Vec<u32>) {
        let mut found: Vec<u64> = Vec::new();
        let mut window = 0;
        for (last, byte) in text.bytes().enumerate() {
            window = slide(window, byte);
            let (word, bit) = sieve_place(window);
            if self.sieve.get(word).is_none_or(|word| word & bit == 0) {
                continue;
            }
            let Some(place) = last.checked_sub(WINDOW - 1) else { continue };
            for &number in self.windows.get(&window).into_iter().flatten() {
                let Some(word) = self.words.get(number) else { continue };
                let here = place.checked_sub(word.window).and_then(|start| text.as_bytes().get(start..));
                if here.is_some_and(|here| here.starts_with(word.text.as_bytes()))
                    && first_time(&mut found, number)
                {
                    rules.extend(&word.rules);
                }
            }
        }
    }
}

/// Notes a word as found; `false` when it was before, so that a text of one word over and over costs no more.
fn first_time(found: &mut Vec<u64>, number: usize) -> bool {
    let (place, bit) = (number / 64, 1_u64 << (number % 64));
    if place >= found.len() {
        found.resize(place.saturating_add(1), 0);
    }
    found.get_mut(place).is_some_and(|word| {
        let new = *word & bit == 0;
        *word |= bit;
        new
    })
}

/// 2¹⁵ bits: a few thousand words leave it mostly empty, and it stays in the fastest cache.
const SIEVE_WORDS: usize = 512;

/// The last [`WINDOW`] bytes, `byte` the latest.
fn slide(window: u32, byte: u8) -> u32 {
    (window << 8 | u32::from(byte)) & 0x00FF_FFFF
}

fn sieve_place(window: u32) -> (usize, u64) {
    let hash = window.wrapping_mul(0x9e37_79b1) >> 17;
    let place = usize::try_from(hash / 64).unwrap_or_default();
    (place, 1 << (hash % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, words: &[&str]) {
        assert!(regex::Regex::new(pattern).is_ok(), "{pattern}");
        let required = required(pattern);
        assert_eq!(required.as_deref().unwrap_or_default(), words, "{pattern}");
    }

    #[test]
    fn the_longest_run_of_each_alternative_is_its_word() {
        check("on battery|バッテリ", &["on battery", "バッテリ"]);
        check(r"^Tool \d+ broken$", &[" broken"]);
        check(r"E\.STOP\|x", &["E.STOP|x"]);
        check("alarms?", &["alarm"]);
        check("abcd*e", &["abc"]);
        check("abcd+e", &["abcd"]);
        check("abcd{0,3}ef", &["abc"]);
        check("door (open|shut) [0-9]+ times", &[" times"]);
        check(r"(a\)b(c)[)])xyz", &["xyz"]);
        check("電{2}圧低下", &["圧低下"]);
    }

    #[test]
    fn a_pattern_whose_words_are_not_plain_has_none() {
        for pattern in [
            "(?i)off",
            "ab",
            "battery|",
            "x*",
            r"\x41BCD",
            r"\pLabc",
            "[[:alpha:]]abc",
            "[]x]abc",
            "(?P<n>abc)def",
            r"\u{41}abc",
            ".*",
        ] {
            check(pattern, &[]);
        }
    }

    #[test]
    fn every_word_of_a_text_is_found_once_wherever_it_stands() {
        let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let set = Words::new(&[
            (3, words(&["battery", "電池"])),
            (5, words(&["bat"])),
            (7, words(&["terry", "zzz"])),
        ]);
        let found = |text: &str| {
            let mut rules = Vec::new();
            set.find(text, &mut rules);
            rules.sort_unstable();
            rules
        };
        assert_eq!(found("battery"), [3, 5]);
        assert_eq!(found("on batterry"), [5, 7]);
        assert_eq!(found(&"bat".repeat(1000)), [5]);
        assert_eq!(found("低い電池"), [3]);
        assert!(found("ba").is_empty());
        assert_eq!(set.first_rule(), Some(3));
    }
}
