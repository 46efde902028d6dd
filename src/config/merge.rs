//! Several files as one.
//!
//! The main file comes first, then those of `conf.d` in the order of their names. Maps are merged key by key. The rules
//! of `conf.d` come after those of the main file but before its last one when that is `match: any`, so that the main
//! file's end stays the end. Any other value belongs to one file: a key that two files set is a problem that names both
//! places, since which of them should win would depend on the names of files.

use super::document::{Entry, Node, Value};

/// Adds `other` to `base`. A key that both set stays twice, for the reader to complain of.
pub(super) fn merge(base: &mut Node, other: Node) {
    match (&mut base.value, other.value) {
        (Value::Map(entries), Value::Map(others)) => {
            others.into_iter().for_each(|other| merge_entry(entries, other));
        }
        // Nothing was written in one of them.
        (_, Value::Nothing) => {}
        // One of them is no map; the reader complains of whichever that is.
        (Value::Nothing | Value::Map(_), value) => *base = Node { value, file: other.file, line: other.line },
        (Value::Truth(_) | Value::Number(_) | Value::Text(_) | Value::List(_), _) => {}
    }
}

fn merge_entry(entries: &mut Vec<Entry>, other: Entry) {
    let Some(mine) = entries.iter_mut().find(|entry| entry.key == other.key) else {
        entries.push(other);
        return;
    };
    match (&mut mine.node.value, other.node.value) {
        (Value::Map(mine), Value::Map(others)) => {
            others.into_iter().for_each(|other| merge_entry(mine, other));
        }
        (Value::List(rules), Value::List(others)) if other.key == "rules" => {
            let end = rules.len() - usize::from(rules.last().is_some_and(matches_any));
            rules.splice(end..end, others);
        }
        (_, value) => entries.push(Entry { node: Node { value, ..other.node }, ..other }),
    }
}

fn matches_any(rule: &Node) -> bool {
    let Value::Map(entries) = &rule.value else { return false };
    entries
        .iter()
        .any(|entry| entry.key == "match" && matches!(&entry.node.value, Value::Text(text) if text == "any"))
}
