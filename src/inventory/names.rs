//! Names that are asked for by broadcast and that nobody was heard to answer for: the names to claim.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::kept::{Changes, Entry, Kept};
use crate::message::host::{NameQuerySeen, Silence};
use crate::wire::netbios_name::NameType;

/// A name that hosts ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedName {
    /// The name without its type, in upper case; one bounded line.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub name_type: NameType,
    /// Who asks, the last first; at most [`AskedName::MOST_ASKERS`].
    pub askers: Vec<Asker>,
    /// How often it was asked for in all.
    pub asked: u64,
    /// How often the question was repeated, which says that nobody answered.
    pub repeated: u64,
    /// When it was first asked for.
    pub first_seen: Timestamp,
    /// When it was last asked for.
    pub last_seen: Timestamp,
}

/// A host that asks for a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asker {
    /// Where it is.
    pub address: IpAddr,
    /// How often it asked.
    pub asked: u64,
    /// How often it had to repeat its question.
    pub repeated: u64,
    /// When it last asked.
    pub last_seen: Timestamp,
}

impl AskedName {
    /// Askers that are kept of a name.
    pub const MOST_ASKERS: usize = 16;

    fn new(seen: &NameQuerySeen) -> Self {
        let mut name = Self {
            name: seen.name.clone(),
            name_type: seen.name_type,
            askers: Vec::new(),
            asked: 0,
            repeated: 0,
            first_seen: seen.at,
            last_seen: seen.at,
        };
        name.add(seen);
        name
    }

    fn add(&mut self, seen: &NameQuerySeen) {
        let repeated = u64::from(seen.silence == Silence::Repeated);
        self.asked = self.asked.saturating_add(1);
        self.repeated = self.repeated.saturating_add(repeated);
        self.last_seen = self.last_seen.max(seen.at);
        match self.askers.iter_mut().find(|asker| asker.address == seen.asker) {
            Some(asker) => {
                asker.asked = asker.asked.saturating_add(1);
                asker.repeated = asker.repeated.saturating_add(repeated);
                asker.last_seen = asker.last_seen.max(seen.at);
            }
            None => {
                self.askers.push(Asker { address: seen.asker, asked: 1, repeated, last_seen: seen.at });
            }
        }
        self.askers.sort_by_key(|asker| std::cmp::Reverse(asker.last_seen));
        self.askers.truncate(Self::MOST_ASKERS);
    }
}

impl Entry for AskedName {
    type Key = (String, NameType);
    type Rank = (bool, Timestamp);

    fn key(&self) -> Self::Key {
        (self.name.clone(), self.name_type)
    }

    /// Those that were asked for once only go first, then those that were not asked for for the longest time.
    fn rank(&self) -> Self::Rank {
        (self.asked > 1, self.last_seen)
    }
}

/// All names that are asked for. Pure: the caller writes what [`Names::take_changes`] gives it.
#[derive(Debug)]
pub(super) struct Names(Kept<AskedName>);

impl Names {
    /// Names that one asker alone may bring up; past it, new ones of its are not taken up.
    const MOST_OF_ONE_ASKER: usize = 128;

    /// Those of the database, of which at most `most` are kept.
    pub(super) fn new(written: Vec<AskedName>, most: usize) -> Self {
        Self(Kept::new(written, most))
    }

    pub(super) fn add(&mut self, seen: &NameQuerySeen) {
        if let Some(name) = self.0.change(&(seen.name.clone(), seen.name_type)) {
            return name.add(seen);
        }
        let alone =
            |name: &&AskedName| matches!(name.askers.as_slice(), [only] if only.address == seen.asker);
        if self.0.iter().filter(alone).count() < Self::MOST_OF_ONE_ASKER {
            self.0.insert(AskedName::new(seen));
        }
    }

    /// The one that is asked for most first.
    pub(super) fn list(&self) -> Vec<AskedName> {
        let mut list: Vec<AskedName> = self.0.iter().cloned().collect();
        sort(&mut list);
        list
    }

    pub(super) fn take_changes(&mut self) -> Changes<AskedName> {
        self.0.take_changes()
    }

    pub(super) fn not_written(&mut self, changes: Changes<AskedName>) {
        self.0.not_written(changes);
    }

    pub(super) fn write_all(&mut self) {
        self.0.write_all();
    }
}

pub(super) fn sort(names: &mut [AskedName]) {
    names.sort_by(|a, b| {
        let order = (b.repeated, b.asked).cmp(&(a.repeated, a.asked));
        order.then_with(|| (&a.name, a.name_type).cmp(&(&b.name, b.name_type)))
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(name: &str, asker: &str, second: i64, silence: Silence) -> NameQuerySeen {
        NameQuerySeen {
            at: Timestamp::from_second(second).unwrap(),
            asker: asker.parse().unwrap(),
            name: name.to_owned(),
            name_type: NameType::MESSENGER,
            silence,
        }
    }

    #[test]
    fn who_asks_and_how_often_adds_up() {
        let mut names = Names::new(Vec::new(), 10);
        names.add(&question("PC01", "192.0.2.7", 1, Silence::Repeated));
        names.add(&question("PC01", "192.0.2.7", 2, Silence::AskedOnce));
        names.add(&question("PC01", "192.0.2.8", 3, Silence::Repeated));
        names.add(&question("PC02", "192.0.2.8", 4, Silence::AskedOnce));
        let [first, second] = names.list().try_into().unwrap();
        assert_eq!((first.name.as_str(), first.asked, first.repeated), ("PC01", 3, 2));
        let askers: Vec<_> = first.askers.iter().map(|asker| (asker.asked, asker.repeated)).collect();
        assert_eq!(askers, [(1, 1), (2, 1)], "the last first");
        assert_eq!((second.name.as_str(), second.repeated), ("PC02", 0));
        assert_eq!(names.take_changes().changed.len(), 2);
        assert!(names.take_changes().is_empty());
    }

    #[test]
    fn an_asker_that_invents_names_leaves_room_for_those_of_others() {
        let mut names = Names::new(Vec::new(), 200);
        for number in 0..1000 {
            names.add(&question(&format!("X{number}"), "192.0.2.9", number, Silence::Repeated));
        }
        names.add(&question("PC01", "192.0.2.7", 1, Silence::AskedOnce));
        let list = names.list();
        assert_eq!(list.len(), Names::MOST_OF_ONE_ASKER + 1);
        assert!(list.iter().any(|name| name.name == "PC01"));
    }
}
