//! YAML text → a tree in which every value knows its line.
//!
//! Nothing is judged here but the syntax of YAML. Keys that occur twice are kept twice, numbers stay as they were
//! written, and aliases and merge keys (`<<`) are resolved; what all that means, [`super::raw`] says.

use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::Spanned;
use serde_yaml::options::{DuplicateKeyPolicy, Options};

use super::problem::{Place, Problem};

/// One value with its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) file: Arc<str>,
    /// From 1.
    pub(super) line: u32,
}

/// What a value is.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// Nothing was written, or `null`, or `~`.
    Nothing,
    /// `true` or `false`.
    Truth(bool),
    /// A number, as it was written.
    Number(String),
    /// Anything else of one piece; `off` too.
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One key of a map and its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    /// Of the key.
    pub(super) line: u32,
    pub(super) node: Node,
}

impl Node {
    /// What it is, with its article.
    pub(super) const fn kind(&self) -> &'static str {
        match self.value {
            Value::Nothing => "nothing",
            Value::Truth(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }
}

/// Reads one file's text.
///
/// # Errors
/// What is wrong with its YAML; the first only, since the rest of the file depends on it.
pub(super) fn parse(file: &Arc<str>, text: &str) -> Result<Node, Problem> {
    let options = serde_yaml::options! {
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
    };
    if is_blank(text) {
        // A file of comments says nothing, and nothing is a valid configuration.
        return Ok(Node { value: Value::Map(Vec::new()), file: Arc::clone(file), line: 1 });
    }
    read(text, options).map(|piece| piece.into_node(file, text)).map_err(|error| syntax_problem(file, &error))
}

fn read(text: &str, options: Options) -> Result<Piece, serde_yaml::Error> {
    serde_yaml::from_str_with_options(text, options)
}

fn is_blank(text: &str) -> bool {
    let text = text.trim_start_matches('\u{FEFF}');
    text.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#') || line == "---")
}

fn syntax_problem(file: &Arc<str>, error: &serde_yaml::Error) -> Problem {
    let line = error.location().map_or(1, |location| u32::try_from(location.line()).unwrap_or(u32::MAX));
    let words = error.without_snippet().to_string();
    // The library ends its sentence with the place, which stands in front of ours.
    let words = words.rsplit_once(" at line ").map_or(&*words, |(words, _)| words);
    let words =
        words.split_once(": ").filter(|(head, _)| head.starts_with("error: line")).map_or(words, |(_, w)| w);
    let cause = format!("not valid YAML: {}", words.lines().next().unwrap_or_default());
    let fix = if words.contains("tab") {
        "indent with blanks; YAML allows no tabs there"
    } else if words.contains("escape") {
        r"write the text in single quotes, for example '\MAILSLOT\MESSNGR': in double quotes a backslash has a meaning of its own"
    } else {
        "compare the indentation, quotes and brackets of this line and the one before; put a text with `: ` or ` #` in it, or a `*`, `&`, `!`, `{` or `[` in front, in single quotes"
    };
    Problem::new(&Place { file: Arc::clone(file), line, path: String::new() }, cause, fix)
}

/// A value as the library gives it: with its place in the text, from which a number's spelling is taken.
struct Piece(Spanned<Bare>);

enum Bare {
    Nothing,
    Truth(bool),
    Number(String),
    Text(String),
    List(Vec<Piece>),
    Map(Vec<(Spanned<String>, Piece)>),
}

impl<'de> Deserialize<'de> for Piece {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::deserialize(deserializer).map(Self)
    }
}

impl<'de> Deserialize<'de> for Bare {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BareVisitor)
    }
}

struct BareVisitor;

impl<'de> Visitor<'de> for BareVisitor {
    type Value = Bare;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Bare, E> {
        Ok(Bare::Nothing)
    }

    fn visit_none<E>(self) -> Result<Bare, E> {
        Ok(Bare::Nothing)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Bare, E> {
        Ok(Bare::Truth(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Bare, E> {
        Ok(Bare::Number(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Bare, E> {
        Ok(Bare::Number(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Bare, E> {
        Ok(Bare::Number(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Bare, E> {
        Ok(Bare::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Bare, E> {
        Ok(Bare::Number(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Bare, E> {
        Ok(Bare::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Bare, E> {
        Ok(Bare::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Bare, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Bare::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Bare, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Bare::Map(entries))
    }
}

impl Piece {
    fn into_node(self, file: &Arc<str>, text: &str) -> Node {
        let Spanned { value, referenced, defined } = self.0;
        let value = match value {
            Bare::Nothing => Value::Nothing,
            Bare::Truth(truth) => Value::Truth(truth),
            Bare::Number(number) => Value::Number(spelling(text, defined).unwrap_or(number)),
            Bare::Text(text) => Value::Text(text),
            Bare::List(items) => {
                Value::List(items.into_iter().map(|item| item.into_node(file, text)).collect())
            }
            Bare::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|(key, piece)| Entry {
                        line: line(key.referenced),
                        key: key.value,
                        node: piece.into_node(file, text),
                    })
                    .collect(),
            ),
        };
        Node { value, file: Arc::clone(file), line: line(referenced) }
    }
}

fn line(location: serde_yaml::Location) -> u32 {
    u32::try_from(location.line()).unwrap_or(u32::MAX).max(1)
}

/// How a number was written: `0x1F`, `1_000`, `138`.
fn spelling(text: &str, location: serde_yaml::Location) -> Option<String> {
    let span = location.span();
    let start = usize::try_from(span.byte_offset()?).ok()?;
    let end = start.checked_add(usize::try_from(span.byte_len()?).ok()?)?;
    text.get(start..end).map(|spelling| spelling.trim().to_owned()).filter(|spelling| !spelling.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Node {
        parse(&"test.yaml".into(), text).unwrap()
    }

    fn entries(node: &Node) -> &[Entry] {
        let Value::Map(entries) = &node.value else { panic!("{node:?}") };
        entries
    }

    #[test]
    fn every_value_knows_its_line_and_duplicates_are_kept() {
        let node = tree("# first\nhostname: a\nspool:\n  max_size: 10\n\n  max_size: 0x1F\nhostname: b\n");
        let keys: Vec<_> = entries(&node).iter().map(|entry| (&*entry.key, entry.line)).collect();
        assert_eq!(keys, [("hostname", 2), ("spool", 3), ("hostname", 7)]);
        let spool = entries(&entries(&node)[1].node);
        assert_eq!((spool[0].node.line, spool[1].node.line), (4, 6));
        assert!(matches!(&spool[1].node.value, Value::Number(number) if number == "0x1F"), "{spool:?}");
    }

    #[test]
    fn off_and_no_are_texts_and_an_empty_file_is_an_empty_map() {
        let node = tree("a: off\nb: no\nc: true\nd:\ne: 0137\n");
        let values: Vec<_> = entries(&node).iter().map(|entry| entry.node.kind()).collect();
        assert_eq!(values, ["a text", "a text", "true or false", "nothing", "a text"]);
        assert!(entries(&tree("# nothing but a comment\n")).is_empty());
    }

    #[test]
    fn merge_keys_and_aliases_are_resolved_at_the_line_that_uses_them() {
        let node = tree("x: &x { a: 1 }\ny:\n  <<: *x\n  b: 2\n");
        let y = &entries(&node)[1].node;
        let mut keys: Vec<_> = entries(y).iter().map(|entry| &*entry.key).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["a", "b"]);
    }

    #[test]
    fn broken_yaml_is_one_problem_with_its_line() {
        for (text, line) in [("a: [1, 2\nb: 3\n", 2), ("a: 'x\n", 1), ("a:\n\tb: 1\n", 2), ("a: b: c\n", 1)] {
            let problem = parse(&"test.yaml".into(), text).unwrap_err();
            assert!(problem.place().line.abs_diff(line) <= 1, "{text:?}: {problem}");
        }
    }
}
