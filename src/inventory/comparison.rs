//! What has changed between two moments, such as the ends of two months.

use std::collections::HashMap;
use std::fmt;

use serde::{Serialize, Serializer};

use super::host::Host;
use super::migration::{Dependence, is_recent};
use super::snapshot::Snapshot;
use crate::message::host::{Channel, Purpose};

/// The differences between two snapshots, each list by the hosts' names.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Comparison<'a> {
    /// Hosts that the old one does not have.
    pub new: Vec<&'a Host>,
    /// Hosts that were heard in the 30 days before the old one, and not in those before the new one.
    pub gone: Vec<&'a Host>,
    /// Hosts that are still heard, and what is otherwise with them.
    pub changed: Vec<ChangedHost<'a>>,
}

/// A host that has changed.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct ChangedHost<'a> {
    /// As it is now.
    pub host: &'a Host,
    /// What is otherwise than before.
    pub changes: Vec<Change>,
}

/// What has changed with a host. Displays as a clause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It was not heard for 30 days before the old snapshot, and is heard again.
    Back,
    /// It seems to run another system.
    System {
        /// Before; empty where none was known.
        old: String,
        /// Now.
        new: String,
    },
    /// It is in another workgroup.
    Workgroup {
        /// Before; empty where none was known.
        old: String,
        /// Now.
        new: String,
    },
    /// It uses a channel that it did not use before.
    Began(Channel),
    /// It used a channel within the 30 days before the old snapshot, and not within those before the new one.
    Ceased(Channel),
    /// It depends on the legacy protocols in another way.
    Dependence {
        /// Before.
        old: Dependence,
        /// Now.
        new: Dependence,
    },
}

impl<'a> Comparison<'a> {
    /// What is otherwise in `new` than in `old`.
    #[must_use]
    pub fn between(old: &'a Snapshot, new: &'a Snapshot) -> Self {
        let now: HashMap<&str, &Host> = new.hosts.iter().map(|host| (host.name.as_str(), host)).collect();
        let before: HashMap<&str, &Host> = old.hosts.iter().map(|host| (host.name.as_str(), host)).collect();
        let is_gone = |host: &&Host| {
            let now = now.get(host.name.as_str());
            is_recent(host.last_seen, old.taken_at)
                && now.is_none_or(|host| !is_recent(host.last_seen, new.taken_at))
        };
        let mut comparison =
            Self { new: Vec::new(), gone: old.hosts.iter().filter(is_gone).collect(), changed: Vec::new() };
        for host in &new.hosts {
            let Some(was) = before.get(host.name.as_str()) else {
                comparison.new.push(host);
                continue;
            };
            if !is_recent(host.last_seen, new.taken_at) {
                continue;
            }
            let changes = changes((was, old.taken_at), (host, new.taken_at));
            if !changes.is_empty() {
                comparison.changed.push(ChangedHost { host, changes });
            }
        }
        comparison
    }

    /// Whether nothing has changed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.new.is_empty() && self.gone.is_empty() && self.changed.is_empty()
    }
}

type At<'a> = (&'a Host, jiff::Timestamp);

fn changes((old, then): At<'_>, (new, now): At<'_>) -> Vec<Change> {
    let mut changes = Vec::new();
    if !is_recent(old.last_seen, then) {
        changes.push(Change::Back);
    }
    let system = |host: &Host| host.system.map(|guess| guess.system.as_str().to_owned());
    if let Some(new) = system(new).filter(|now| system(old).as_ref() != Some(now)) {
        changes.push(Change::System { old: system(old).unwrap_or_default(), new });
    }
    if let Some(workgroup) = new.workgroup.clone().filter(|_| old.workgroup != new.workgroup) {
        changes.push(Change::Workgroup { old: old.workgroup.clone().unwrap_or_default(), new: workgroup });
    }
    let needed = |channel: &Channel| channel.purpose() != Purpose::Browsing;
    for used in new.channels.iter().filter(|used| needed(&used.channel)) {
        match old.channels.iter().find(|was| was.channel == used.channel) {
            None => changes.push(Change::Began(used.channel.clone())),
            Some(was) if is_recent(was.last_seen, then) && !is_recent(used.last_seen, now) => {
                changes.push(Change::Ceased(used.channel.clone()));
            }
            Some(_) => {}
        }
    }
    let (old, new) = (Dependence::of(old, then), Dependence::of(new, now));
    if old != new {
        changes.push(Change::Dependence { old, new });
    }
    changes
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Back => f.write_str("is heard again"),
            Self::System { old, new } if old.is_empty() => write!(f, "seems to run {new}"),
            Self::System { old, new } => write!(f, "seems to run {new}, no longer {old}"),
            Self::Workgroup { old, new } if old.is_empty() => write!(f, "is in {new}"),
            Self::Workgroup { old, new } => write!(f, "is in {new}, no longer in {old}"),
            Self::Began(channel) => write!(f, "began to use {channel}"),
            Self::Ceased(channel) => write!(f, "no longer uses {channel}"),
            Self::Dependence { old, new } => {
                write!(f, "switched off today: {}; before: {}", new.words(), old.words())
            }
        }
    }
}

impl Serialize for Change {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::inventory::snapshot::Gathering;
    use crate::inventory::tests::{messenger, sighting};
    use crate::message::host::{Certainty, HostSighting, System, SystemGuess};

    const DAY: i64 = 24 * 60 * 60;

    fn names(hosts: &[&Host]) -> Vec<String> {
        hosts.iter().map(|host| host.name.clone()).collect()
    }

    fn snapshot(gathering: &Gathering, day: i64) -> Snapshot {
        Snapshot { taken_at: Timestamp::from_second(day * DAY).unwrap(), ..gathering.snapshot() }
    }

    #[test]
    fn hosts_of_an_inventory_that_forgets_none_are_gone_once_they_are_silent() {
        let mut gathering = Gathering::new();
        gathering.host(sighting("LONGGONE", "192.0.2.1", 0));
        gathering.host(sighting("GOING", "192.0.2.2", 85 * DAY));
        gathering.host(sighting("STAYS", "192.0.2.3", 85 * DAY));
        let old = snapshot(&gathering, 90);
        gathering.host(sighting("STAYS", "192.0.2.3", 110 * DAY));
        gathering.host(sighting("NEW", "192.0.2.4", 111 * DAY));
        let new = snapshot(&gathering, 120);
        let comparison = Comparison::between(&old, &new);
        assert_eq!(names(&comparison.new), ["NEW"]);
        assert_eq!(names(&comparison.gone), ["GOING"]);
        assert_eq!(comparison.changed, []);
        assert!(Comparison::between(&old, &old).is_empty());
    }

    #[test]
    fn what_is_otherwise_with_a_host_is_said_in_words() {
        let guess = |system| Some(SystemGuess { system, certainty: Certainty::High });
        let mut gathering = Gathering::new();
        gathering.host(HostSighting {
            system: guess(System::WindowsXp),
            ..sighting("PC01", "192.0.2.1", 80 * DAY)
        });
        gathering.host(messenger("PC01", "192.0.2.1", 80 * DAY));
        let old = snapshot(&gathering, 90);
        gathering.host(HostSighting {
            system: guess(System::Windows10),
            workgroup: Some("OFFICE".to_owned()),
            channel: Channel::named(r"\MAILSLOT\ACME"),
            ..sighting("PC01", "192.0.2.1", 100 * DAY)
        });
        let new = snapshot(&gathering, 125);
        let comparison = Comparison::between(&old, &new);
        let words: Vec<String> = comparison.changed[0].changes.iter().map(Change::to_string).collect();
        assert_eq!(
            words,
            [
                "seems to run Windows 10 or 11, no longer Windows XP",
                "is in OFFICE, no longer in PLANT",
                r"no longer uses \MAILSLOT\MESSNGR",
                r"began to use \MAILSLOT\ACME",
            ]
        );
    }

    #[test]
    fn a_host_that_sends_nothing_more_depends_no_longer() {
        let mut gathering = Gathering::new();
        gathering.host(messenger("PC01", "192.0.2.1", 80 * DAY));
        let old = snapshot(&gathering, 90);
        gathering.host(sighting("PC01", "192.0.2.1", 120 * DAY));
        let new = snapshot(&gathering, 125);
        let changed = &Comparison::between(&old, &new).changed[0];
        let words: Vec<String> = changed.changes.iter().map(Change::to_string).collect();
        assert_eq!(
            words,
            [
                r"no longer uses \MAILSLOT\MESSNGR",
                "switched off today: nothing for 30 days; before: its messages would be lost",
            ]
        );
    }

    #[test]
    fn a_host_that_was_silent_for_long_and_speaks_again_is_back() {
        let mut gathering = Gathering::new();
        gathering.host(sighting("PC01", "192.0.2.1", 0));
        let old = snapshot(&gathering, 90);
        gathering.host(sighting("PC01", "192.0.2.1", 100 * DAY));
        let new = snapshot(&gathering, 120);
        assert_eq!(Comparison::between(&old, &new).changed[0].changes, [Change::Back]);
    }
}
