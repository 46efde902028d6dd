//! How a map of the configuration becomes a struct.

use std::sync::Arc;

use super::super::document::{Entry, Node, Value};
use super::super::problem::{Place, Problem, Problems};
use crate::policy::spelling::nearest;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(in crate::config) struct At<T> {
    pub(in crate::config) value: T,
    pub(in crate::config) place: Place,
}

impl<T> At<T> {
    /// A problem with this value.
    pub(in crate::config) fn problem(&self, cause: impl Into<String>, fix: impl Into<String>) -> Problem {
        Problem::new(&self.place, cause, fix)
    }
}

/// What can be read from the tree. `None` means that what is wrong was noted.
pub(in crate::config) trait Read: Sized {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self>;
}

impl<T: Read> Read for At<T> {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        T::read(node, place, problems).map(|value| Self { value, place: place.clone() })
    }
}

/// A list; what cannot be read of it is noted and left out.
#[derive(Debug)]
pub(in crate::config) struct Many<T>(pub(in crate::config) Vec<At<T>>);

impl<T: Read> Read for Many<T> {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        let Value::List(items) = &node.value else {
            let fix = "write each item on a line of its own that begins with `- `";
            problems.push(Problem::new(place, format!("{} is not a list", shown(node)), fix));
            return None;
        };
        let mut read = Vec::new();
        let mut number = 0;
        let mut file = None;
        for item in items {
            // Lists of several files are one, but are counted as each file has them.
            if file.replace(&item.file) != Some(&item.file) {
                number = items
                    .iter()
                    .take_while(|other| !std::ptr::eq(*other, item))
                    .filter(|other| other.file == item.file)
                    .count();
            }
            let mut place = place.item(number, item.line);
            place.file = Arc::clone(&item.file);
            read.extend(At::read(item, &place, problems));
            number += 1;
        }
        Some(Self(read))
    }
}

/// One value, or a list; an empty one means none.
#[derive(Debug)]
pub(in crate::config) struct Listed<T>(pub(in crate::config) Vec<At<T>>);

impl<T: Read> Read for Listed<T> {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        let Value::List(items) = &node.value else {
            return At::read(node, place, problems).map(|one| Self(vec![one]));
        };
        let read = Many::read(node, place, problems)?.0;
        // With one less it would mean something else.
        (read.len() == items.len()).then_some(Self(read))
    }
}

/// One value, or a list of at least one: with none, what it belongs to would be there for nothing.
#[derive(Debug)]
pub(in crate::config) struct OneOrMany<T>(pub(in crate::config) Vec<At<T>>);

impl<T: Read> Read for OneOrMany<T> {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        let Listed(read) = Listed::read(node, place, problems)?;
        if read.is_empty() {
            let fix = "name at least one, or leave the key away";
            problems.push(Problem::new(place, "the list is empty", fix));
            return None;
        }
        Some(Self(read))
    }
}

/// The entries of a map, each key once. `key:` with nothing behind it, as remains when every line under it is made a
/// comment, is an empty map.
pub(super) fn entries<'n>(node: &'n Node, place: &Place, problems: &mut Problems) -> Option<Vec<&'n Entry>> {
    let entries: &[Entry] = match &node.value {
        Value::Map(entries) => entries,
        Value::Nothing => &[],
        Value::Truth(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => {
            let fix = "write its keys on the following lines, indented, each as `key: value`";
            problems.push(Problem::new(place, format!("{} is not a map of keys", shown(node)), fix));
            return None;
        }
    };
    let mut kept: Vec<&Entry> = Vec::new();
    for entry in entries {
        match kept.iter().find(|earlier| earlier.key == entry.key) {
            None => kept.push(entry),
            Some(earlier) => {
                let mut place = place.key(&entry.key, entry.line);
                place.file = Arc::clone(&entry.node.file);
                let file = if earlier.node.file == entry.node.file {
                    String::new()
                } else {
                    format!(" of {}", earlier.node.file)
                };
                let cause = format!("is set on line {}{file} already", earlier.line);
                problems.push(Problem::subject(&place, cause, "keep one of the two"));
            }
        }
    }
    Some(kept)
}

/// Keys of one map whose values are not known, though something was written for them.
#[derive(Debug, Default)]
pub(in crate::config) struct Lost(Vec<&'static str>);

impl Lost {
    pub(super) fn push(&mut self, key: &'static str) {
        self.0.push(key);
    }

    /// Whether something was written for this key.
    pub(in crate::config) fn has(&self, key: &str) -> bool {
        self.0.contains(&key)
    }

    /// Whether everything that was written is known.
    pub(in crate::config) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Notes a key that is none of `known`; gives the one that was probably meant, or nothing.
pub(super) fn unknown_key(
    entry: &Entry,
    place: &Place,
    known: &'static [&'static str],
    later: &[&str],
    problems: &mut Problems,
) -> &'static str {
    let mut place = place.key(&entry.key, entry.line);
    place.file = Arc::clone(&entry.node.file);
    if later.contains(&&*entry.key) {
        let fix = "remove it; a later version will have it";
        problems.push(Problem::new(&place, "this version does not have it yet", fix));
        return "";
    }
    if entry.key == "password" && known.contains(&"password_hash") {
        let fix = "remove it, and run `mailslotd user passwd` for this account";
        problems.push(Problem::new(
            &place,
            "passwords do not stand in this file, only what is made of them",
            fix,
        ));
        return "password_hash";
    }
    if entry.key == "password" {
        let fix = "put it into a file of its own that only the service may read, and name that: `password_file: /etc/mailslotd/smarthost.pw`";
        problems.push(Problem::new(&place, "secrets do not stand in the configuration", fix));
        return "password_file";
    }
    if entry.key == "client_secret" && known.contains(&"client_secret_file") {
        let fix = "put it into a file of its own that only the service may read, and name that: `client_secret_file: /etc/mailslotd/oauth.secret`";
        problems.push(Problem::new(&place, "secrets do not stand in the configuration", fix));
        return "client_secret_file";
    }
    if let Some(meant) = nearest(&entry.key, known.iter().copied()) {
        let cause = format!("there is no such key; did you mean `{meant}`?");
        problems.push(Problem::new(&place, cause, format!("write `{meant}:`, or remove it")));
        return meant;
    }
    let cause = format!("there is no such key here; there are {}", quoted(known, "and"));
    problems.push(Problem::new(&place, cause, "remove it"));
    ""
}

/// The words in quotes: `a`, `b` and `c`, with another word for the `and` where that is wanted.
pub(super) fn quoted(words: &[&str], and: &str) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, first)) => format!("{} {and} {last}", first.join(", ")),
        None => String::new(),
    }
}

/// What stands there, for a message: texts and numbers themselves, everything else by its kind.
pub(super) fn shown(node: &Node) -> String {
    match &node.value {
        Value::Text(text) if text.chars().count() <= 60 => format!("{text:?}"),
        Value::Number(number) => number.clone(),
        Value::Truth(truth) => truth.to_string(),
        Value::Text(_) | Value::Nothing | Value::List(_) | Value::Map(_) => node.kind().to_owned(),
    }
}

/// Declares the struct of a map: every key optional, its type one that can be [`Read`].
///
/// `later` are the keys that the manual has for a later version. `label` is the key whose value names the map in the
/// places of problems: `rules[1] "ups-alarms"`.
macro_rules! section {
    (
        $(#[$doc:meta])*
        $vis:vis struct $name:ident {
            $($(#[$field_doc:meta])* $field:ident $(= $key:literal)?: $type:ty,)*
        }
        later: [$($later:literal),*]
        $(label: $label:ident)?
    ) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        $vis struct $name {
            /// Where it stands.
            #[allow(dead_code, reason = "not every map has problems as a whole")]
            $vis place: Place,
            /// Keys that stand there, but whose values could not be read: they are not missing.
            #[allow(dead_code, reason = "not every map has keys that it needs")]
            $vis lost: Lost,
            $($(#[$field_doc])* $vis $field: Option<At<$type>>,)*
        }

        impl $name {
            /// Its keys, in the order of the manual.
            const KEYS: &[&str] = &[$(section!(@key $field $($key)?)),*];
        }

        impl Read for $name {
            fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
                let entries = $crate::config::raw::read::entries(node, place, problems)?;
                let place = place.clone();
                $(let place = $crate::config::raw::read::label(&entries, stringify!($label), place);)?
                let mut section = Self { place: place.clone(), ..Self::default() };
                for entry in entries {
                    match &*entry.key {
                        $(section!(@key $field $($key)?) => {
                            let mut place = place.key(&entry.key, entry.line);
                            place.file = std::sync::Arc::clone(&entry.node.file);
                            section.$field = Read::read(&entry.node, &place, problems);
                            if section.$field.is_none() {
                                section.lost.push(section!(@key $field $($key)?));
                            }
                        })*
                        _ => section.lost.push($crate::config::raw::read::unknown_key(
                            entry, &place, Self::KEYS, &[$($later),*], problems,
                        )),
                    }
                }
                Some(section)
            }
        }
    };
    (@key $field:ident) => { stringify!($field) };
    (@key $field:ident $key:literal) => { $key };
}
pub(super) use section;

/// The place of a map with the name that it gives itself.
pub(super) fn label(entries: &[&Entry], key: &str, mut place: Place) -> Place {
    let name = entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node.value);
    if let Some(Value::Text(name) | Value::Number(name)) = name {
        let name: String = name.chars().take(64).collect();
        place.path = format!("{} {name:?}", place.path);
    }
    place
}
