//! Why a rule matched or did not, in words.

use serde::Serialize;

use super::Glob;
use super::facts::Facts;
use super::rule::{Keys, Match, Rule};
use crate::message::notice::Notice;

/// What one rule makes of one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Whether it decides.
    pub verdict: Verdict,
    /// What each key that the rule has says; empty for `match: any`.
    pub clauses: Vec<Clause>,
}

/// Whether a rule decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is the first that matches.
    Decides,
    /// It would match, but an earlier one decides.
    TooLate,
    /// Some key does not hold.
    NoMatch,
}

/// What one key of a rule says of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Clause {
    /// The key as written in rules.
    pub key: &'static str,
    /// Whether it holds.
    pub holds: bool,
    /// Why, as a sentence without its full stop; what the sender wrote is quoted and escaped.
    pub words: String,
}

pub(super) fn explain(rule: &Rule, notice: &Notice<'_>, decided: &mut bool) -> Explanation {
    let clauses = match rule.when() {
        Match::Any => Vec::new(),
        Match::Keys(keys) => clauses(keys, &Facts::new(notice)),
    };
    let verdict = if clauses.iter().any(|clause| !clause.holds) {
        Verdict::NoMatch
    } else if std::mem::replace(decided, true) {
        Verdict::TooLate
    } else {
        Verdict::Decides
    };
    Explanation { verdict, clauses }
}

fn clauses(keys: &Keys, facts: &Facts<'_>) -> Vec<Clause> {
    let mut clauses = Vec::new();
    for (key, globs) in keys.names().into_iter().rev().filter(|(_, globs)| !globs.is_empty()) {
        let (written, normal) = facts.name(key);
        clauses.push(name_clause(key.as_str(), globs, written, normal));
    }
    if !keys.source.is_empty() {
        let source = facts.source();
        let within = keys.source.iter().find(|network| network.contains(&source));
        let words = match within {
            Some(network) => format!("source {source} is in {network}"),
            None => format!("source {source} is not in {}", listed(&keys.source)),
        };
        clauses.push(Clause { key: "source", holds: within.is_some(), words });
    }
    if let Some(listener) = keys.listener {
        let heard = facts.listener();
        let holds = listener == heard;
        let words = if holds {
            format!("listener is {}", heard.as_str())
        } else {
            format!("listener is {}, not {}", heard.as_str(), listener.as_str())
        };
        clauses.push(Clause { key: "listener", holds, words });
    }
    if let Some(pattern) = &keys.text {
        let (written, normal) = facts.text();
        let (holds, words) = if pattern.matches_forms(written, None) {
            (true, format!("text contains /{pattern}/"))
        } else if pattern.matches_forms(written, normal) {
            (true, format!("text contains /{pattern}/ after NFKC"))
        } else {
            (false, format!("text {} does not contain /{pattern}/", quoted(written)))
        };
        clauses.push(Clause { key: "text", holds, words });
    }
    clauses
}

fn name_clause(key: &'static str, globs: &[Glob], written: &str, normal: Option<&str>) -> Clause {
    let name = quoted(written);
    let found = globs.iter().find(|glob| glob.matches_forms(written, normal));
    let words = match found {
        Some(glob) if glob.is_literal() => format!("{key} is {name}"),
        Some(glob) => format!("{key} {name} matches {glob}"),
        None if globs.iter().all(Glob::is_literal) => format!("{key} is {name}, not {}", listed(globs)),
        None => format!("{key} {name} does not match {}", listed(globs)),
    };
    Clause { key, holds: found.is_some(), words }
}

/// `a`, `a or b`, `a, b or c`, and of many the first three.
pub(in crate::policy) fn listed<T: std::fmt::Display>(items: &[T]) -> String {
    let mut words: Vec<String> = items.iter().take(3).map(T::to_string).collect();
    match items.len().checked_sub(3) {
        Some(more) if more > 0 => words.push(format!("{more} more")),
        _ => {}
    }
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, first)) => format!("{} or {last}", first.join(", ")),
        None => String::new(),
    }
}

/// At most 60 characters of what a sender wrote, in quotes, with everything escaped that is not printable. Backslashes
/// stay single, since every mailslot has two.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    let mut letters = text.chars();
    for letter in letters.by_ref().take(60) {
        match letter {
            '\\' | '\'' => out.push(letter),
            letter => out.extend(letter.escape_debug()),
        }
    }
    out.push('"');
    if letters.next().is_some() {
        out.push('…');
    }
    out
}
