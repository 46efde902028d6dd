//! The index that keeps a decision's cost independent of the number of rules.
//!
//! Every rule that can be is filed under one of its keys: the one that the fewest other rules share. A key is a literal
//! name, the literal beginning or end of a pattern, or a network; its hash leads to a bucket of rule numbers. For a
//! message, each kind of key in use takes one look-up for each literal length (or network prefix length) in use: a
//! number that depends on how differently the rules are written, not on how many there are. The rules in the buckets
//! found are then compared in full, so a hash shared by accident, or by a sender's design, costs time and nothing else.
//!
//! Rules that have only a `text`, or a `text` and keys that many share, are filed under the words that the text must
//! have ([`super::words`]); those whose pattern has no plain words are tried all at once by one [`RegexSet`].
//! What remains (patterns such as `*ups*` and nothing else to file them under) is compared one by one.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::net::IpAddr;

use regex::{RegexSet, RegexSetBuilder};

use super::facts::Facts;
use super::literal::{AsIs, Key, Kind, Shapes, bit, literal_key, network_hash, network_key};
use super::rule::{Keys, Match, NameKey, Rule};
use super::words::{Words, required};
use crate::message::notice::Notice;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Index {
    buckets: HashMap<u64, Box<[u32]>, BuildHasherDefault<AsIs>>,
    names: Box<[(NameKey, Shapes)]>,
    ipv4: Box<[u8]>,
    ipv6: Box<[u8]>,
    words: Words,
    texts: Box<[TextSet]>,
    rest: Box<[u32]>,
}

/// Text patterns that are looked for together.
#[derive(Debug)]
struct TextSet {
    patterns: RegexSet,
    /// The rule of each pattern, ascending.
    rules: Box<[u32]>,
}

impl Index {
    pub(super) fn new(rules: &[Rule]) -> Self {
        let ways: Vec<Vec<Vec<Key>>> = rules.iter().map(ways_to_file).collect();
        let mut shared: HashMap<u64, usize> = HashMap::new();
        for key in ways.iter().flatten().flatten() {
            let count = shared.entry(key.hash).or_default();
            *count = count.saturating_add(1);
        }
        let mut filing = Filing::default();
        for (number, (rule, ways)) in (0_u32..).zip(rules.iter().zip(ways)) {
            let company = |way: &[Key]| {
                way.iter().fold(0, |sum: usize, key| {
                    sum.saturating_add(shared.get(&key.hash).copied().unwrap_or_default())
                })
            };
            let best = ways.into_iter().min_by_key(|way| {
                let shortest = way.iter().map(|key| key.length).min();
                (company(way), std::cmp::Reverse(shortest))
            });
            let pattern = match rule.when() {
                Match::Keys(keys) => keys.text.as_ref(),
                Match::Any => None,
            };
            match (best, pattern) {
                (Some(way), None) => filing.file(number, &way),
                (Some(way), Some(_)) if company(&way) <= FEW => filing.file(number, &way),
                (_, Some(pattern)) => match required(pattern.as_str()) {
                    Some(words) => filing.words.push((number, words)),
                    None => filing.texts.push((number, pattern.as_str())),
                },
                (None, None) => filing.rest.push(number),
            }
        }
        filing.finish()
    }

    /// The first of `rules` (those that the index was made of) that matches.
    pub(super) fn first_match<'r>(&self, rules: &'r [Rule], notice: &Notice<'_>) -> Option<&'r Rule> {
        let facts = Facts::new(notice);
        let mut search = Search { rules, facts: &facts, best: u32::MAX };
        for (name, shapes) in &self.names {
            let (written, normal) = facts.name(*name);
            for form in std::iter::once(written).chain(normal) {
                shapes.each_hash(*name, form, |hash| self.look_up(hash, &mut search));
            }
        }
        let (kind, bits, lengths) = match facts.source() {
            IpAddr::V4(address) => (Kind::Ipv4, address.to_bits().into(), &self.ipv4),
            IpAddr::V6(address) => (Kind::Ipv6, address.to_bits(), &self.ipv6),
        };
        for length in lengths {
            self.look_up(network_hash(kind, bits, *length), &mut search);
        }
        search.compare(&self.rest);
        self.search_words(&mut search);
        self.texts.iter().for_each(|set| set.search(&mut search));
        usize::try_from(search.best).ok().and_then(|best| rules.get(best))
    }

    fn search_words(&self, search: &mut Search<'_>) {
        if self.words.first_rule().is_none_or(|first| first >= search.best) {
            return;
        }
        let (written, normal) = search.facts.text();
        let mut numbers = Vec::new();
        for text in std::iter::once(written).chain(normal) {
            self.words.find(text, &mut numbers);
        }
        numbers.sort_unstable();
        numbers.dedup();
        search.compare(&numbers);
    }

    fn look_up(&self, hash: u64, search: &mut Search<'_>) {
        if let Some(bucket) = self.buckets.get(&hash) {
            search.compare(bucket);
        }
    }
}

/// A rule with a text pattern is filed under another key only when at most so many rules share that.
const FEW: usize = 8;

/// The first rule found so far.
struct Search<'s> {
    rules: &'s [Rule],
    facts: &'s Facts<'s>,
    best: u32,
}

impl Search<'_> {
    /// Compares rules, given in ascending order, until one matches or none could be better than the best.
    fn compare(&mut self, numbers: &[u32]) {
        for &number in numbers.iter().take_while(|number| **number < self.best) {
            let rule = usize::try_from(number).ok().and_then(|number| self.rules.get(number));
            if rule.is_some_and(|rule| rule.matches(self.facts)) {
                self.best = number;
                return;
            }
        }
    }
}

impl TextSet {
    fn search(&self, search: &mut Search<'_>) {
        if self.rules.first().is_none_or(|first| *first >= search.best) {
            return;
        }
        let (written, normal) = search.facts.text();
        // Which ones is asked only when there are any: that answer takes memory.
        let mut numbers: Vec<u32> = [Some(written), normal]
            .into_iter()
            .flatten()
            .filter(|text| self.patterns.is_match(text))
            .flat_map(|text| self.patterns.matches(text))
            .filter_map(|pattern| self.rules.get(pattern).copied())
            .collect();
        numbers.sort_unstable();
        search.compare(&numbers);
    }
}

/// The index while it is made.
#[derive(Default)]
struct Filing<'r> {
    buckets: HashMap<u64, Vec<u32>>,
    names: Vec<(NameKey, Shapes)>,
    ipv4: Vec<u8>,
    ipv6: Vec<u8>,
    words: Vec<(u32, Vec<String>)>,
    texts: Vec<(u32, &'r str)>,
    rest: Vec<u32>,
}

impl Filing<'_> {
    fn file(&mut self, number: u32, way: &[Key]) {
        for key in way {
            let bucket = self.buckets.entry(key.hash).or_default();
            if bucket.last() != Some(&number) {
                bucket.push(number);
            }
            match key.kind {
                Kind::Whole(name) => self.shapes(name).whole = true,
                Kind::Prefix(name) => self.shapes(name).prefixes |= bit(key.length),
                Kind::Suffix(name) => self.shapes(name).suffixes |= bit(key.length),
                Kind::Ipv4 => self.ipv4.push(key.length),
                Kind::Ipv6 => self.ipv6.push(key.length),
            }
        }
    }

    fn shapes(&mut self, name: NameKey) -> &mut Shapes {
        let place = self.names.iter().position(|(other, _)| *other == name).unwrap_or(self.names.len());
        if place == self.names.len() {
            self.names.push((name, Shapes::default()));
        }
        &mut self.names.get_mut(place).unwrap_or_else(|| unreachable!("it was just pushed")).1
    }

    fn finish(mut self) -> Index {
        for lengths in [&mut self.ipv4, &mut self.ipv6] {
            lengths.sort_unstable();
            lengths.dedup();
        }
        let mut texts = Vec::new();
        for chunk in self.texts.chunks(SET_SIZE) {
            compile(chunk, &mut texts, &mut self.rest);
        }
        self.rest.sort_unstable();
        Index {
            buckets: self.buckets.into_iter().map(|(hash, bucket)| (hash, bucket.into())).collect(),
            names: self.names.into(),
            ipv4: self.ipv4.into(),
            ipv6: self.ipv6.into(),
            words: Words::new(&self.words),
            texts: texts.into(),
            rest: self.rest.into(),
        }
    }
}

/// Patterns in one set: more would compile slowly, and exceed the set's limit of size.
const SET_SIZE: usize = 256;

/// Makes one set of the patterns, or several when they are too large together.
fn compile(patterns: &[(u32, &str)], sets: &mut Vec<TextSet>, rest: &mut Vec<u32>) {
    let texts = patterns.iter().map(|(_, text)| text);
    match RegexSetBuilder::new(texts).multi_line(true).build() {
        Ok(set) => {
            let rules = patterns.iter().map(|(number, _)| *number).collect();
            sets.push(TextSet { patterns: set, rules });
        }
        Err(_) if patterns.len() <= 1 => rest.extend(patterns.iter().map(|(number, _)| *number)),
        Err(_) => {
            let (first, second) = patterns.split_at(patterns.len() / 2);
            compile(first, sets, rest);
            compile(second, sets, rest);
        }
    }
}

/// Every key that the rule could be filed under; all entries of one are needed. None when nothing in it is literal.
fn ways_to_file(rule: &Rule) -> Vec<Vec<Key>> {
    let Match::Keys(keys) = rule.when() else {
        return Vec::new();
    };
    let Keys { source, .. } = &**keys;
    let names = keys.names().into_iter().filter_map(|(name, globs)| {
        globs.iter().map(|glob| literal_key(name, glob)).collect::<Option<Vec<_>>>()
    });
    names
        .map(|ways| ways.into_iter().flatten().collect())
        .chain(source.iter().map(network_key).collect::<Option<Vec<Key>>>())
        .filter(|way: &Vec<Key>| !way.is_empty())
        .collect()
}
