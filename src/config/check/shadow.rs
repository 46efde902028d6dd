//! Rules that can never match.

use std::collections::HashMap;

use super::super::problem::{Place, Problem, Problems};
use crate::policy::mapping::{Glob, Keys, Match, Rule};

/// Up to so many rules each is compared with all before it; of more, only `any` and equal ones are found, so that a
/// reload of ten thousand rules takes no longer for it.
const COMPARED: usize = 1000;

/// Notes every rule that an earlier one leaves nothing to.
pub(super) fn check(rules: &[(Rule, Place)], problems: &mut Problems) {
    let mut any: Option<&(Rule, Place)> = None;
    let mut equal: HashMap<String, &(Rule, Place)> = HashMap::new();
    for (number, rule) in rules.iter().enumerate() {
        let earlier = any.or_else(|| match rule.0.when() {
            Match::Any => None,
            Match::Keys(keys) => equal.insert(canonical(keys), rule).or_else(|| {
                let before = rules.get(..number.min(COMPARED)).unwrap_or_default();
                before.iter().take_while(|_| number < COMPARED).find(|earlier| covers(earlier.0.when(), keys))
            }),
        });
        if let Some((earlier, at)) = earlier {
            problems.push(never_matches(&rule.1, earlier, at));
        } else if matches!(rule.0.when(), Match::Any) {
            any = Some(rule);
        }
    }
}

fn never_matches(place: &Place, earlier: &Rule, at: &Place) -> Problem {
    let of_file = if at.file == place.file { String::new() } else { format!(" of {}", at.file) };
    let cause = format!(
        "can never match: rule {:?} on line {}{of_file} matches first",
        earlier.name().as_str(),
        at.line
    );
    Problem::subject(place, cause, format!("move it above line {}{of_file}, or delete it", at.line))
}

/// Whether every message that `narrow` holds for is one that `wide` holds for. `false` where that is not plain to see.
fn covers(wide: &Match, narrow: &Keys) -> bool {
    let Match::Keys(wide) = wide else { return true };
    let names = [
        (&wide.originator, &narrow.originator),
        (&wide.mailslot, &narrow.mailslot),
        (&wide.to, &narrow.to),
        (&wide.source_name, &narrow.source_name),
        (&wide.destination_name, &narrow.destination_name),
    ];
    names.into_iter().all(|(wide, narrow)| globs_cover(wide, narrow))
        && wide.listener.is_none_or(|listener| narrow.listener == Some(listener))
        && (wide.source.is_empty()
            || !narrow.source.is_empty()
                && narrow.source.iter().all(|narrow| wide.source.iter().any(|wide| wide.contains(narrow))))
        && wide
            .text
            .as_ref()
            .is_none_or(|wide| narrow.text.as_ref().is_some_and(|narrow| narrow.as_str() == wide.as_str()))
}

fn globs_cover(wide: &[Glob], narrow: &[Glob]) -> bool {
    let covered = |narrow: &Glob| wide.iter().any(|wide| glob_covers(wide, narrow));
    wide.is_empty()
        || wide.iter().any(Glob::is_everything)
        || !narrow.is_empty() && narrow.iter().all(covered)
}

/// A pattern covers another when it matches that one's very text, asterisks read as letters: each of them can only
/// stand where the wider one has an asterisk too. A `?` of the wider one could stand for an asterisk of the narrower
/// and then does not cover it.
fn glob_covers(wide: &Glob, narrow: &Glob) -> bool {
    let same = wide.as_str().eq_ignore_ascii_case(narrow.as_str());
    same || (narrow.is_literal() || !wide.as_str().contains('?')) && wide.matches(narrow.as_str())
}

/// A text that two matches share exactly when they have the same keys.
fn canonical(keys: &Keys) -> String {
    let globs = |globs: &[Glob]| {
        let mut texts: Vec<String> = globs.iter().map(|glob| glob.as_str().to_lowercase()).collect();
        texts.sort_unstable();
        texts
    };
    let mut source = keys.source.clone();
    source.sort_unstable();
    format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {source:?} {:?}",
        globs(&keys.mailslot),
        globs(&keys.originator),
        globs(&keys.to),
        globs(&keys.source_name),
        globs(&keys.destination_name),
        keys.listener,
        keys.text.as_ref().map(|text| text.as_str()),
    )
}
