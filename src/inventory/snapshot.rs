//! The legacy hosts and names at one moment: what is exported, compared, and gathered from captures.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Inventory;
use super::host::Host;
use super::hosts::Hosts;
use super::names::{AskedName, Names};
use super::schema::Contents;
use crate::message::host::{HostSighting, NameQuerySeen};

/// Hosts and names as they were known at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The moment.
    pub taken_at: Timestamp,
    /// The hosts, by name.
    pub hosts: Vec<Host>,
    /// The names that nobody was heard to answer for, the one that is asked for most first.
    pub asked_names: Vec<AskedName>,
}

impl Snapshot {
    /// Of a file that nobody has open: its moment is when the last thing in it was heard.
    #[must_use]
    pub fn of_contents(contents: Contents) -> Self {
        let Contents { hosts, asked_names, .. } = contents;
        let heard = hosts.iter().map(|host| host.last_seen);
        let asked = asked_names.iter().map(|name| name.last_seen);
        let taken_at = heard.chain(asked).max().unwrap_or(Timestamp::UNIX_EPOCH);
        Self { taken_at, hosts, asked_names }
    }
}

/// An inventory in memory alone, bounded like that of the gateway: for captures.
#[derive(Debug)]
pub struct Gathering {
    hosts: Hosts,
    names: Names,
    last: Timestamp,
}

impl Gathering {
    /// Nothing was heard yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            hosts: Hosts::new(Vec::new(), Inventory::MOST),
            names: Names::new(Vec::new(), Inventory::MOST_NAMES),
            last: Timestamp::UNIX_EPOCH,
        }
    }

    /// A host was heard.
    pub fn host(&mut self, seen: HostSighting) {
        self.last = self.last.max(seen.at);
        self.hosts.add(seen, 1);
    }

    /// A name was asked for.
    pub fn name(&mut self, seen: &NameQuerySeen) {
        self.last = self.last.max(seen.at);
        self.names.add(seen);
    }

    /// All of it; its moment is when the last thing was heard.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { taken_at: self.last, hosts: self.hosts.list(), asked_names: self.names.list() }
    }
}

impl Default for Gathering {
    fn default() -> Self {
        Self::new()
    }
}
