//! All hosts, bounded, and which of them are to be written.

use std::collections::HashMap;
use std::net::IpAddr;

use super::host::{Host, NamedBy};
use super::kept::{Changes, Kept};
use crate::message::host::{HostName, HostSighting};

/// All hosts. Pure: the caller writes what [`Hosts::take_changes`] gives it.
#[derive(Debug)]
pub(super) struct Hosts {
    kept: Kept<Host>,
    /// The names of the hosts that were at an address.
    at: HashMap<IpAddr, Vec<String>>,
}

impl Hosts {
    /// Hosts that one address may bring up. A terminal server or a cluster has several names; past the limit the longest
    /// unseen of those that were nowhere else goes, so whoever invents names pushes out none but its own.
    pub(super) const MOST_OF_ONE_ADDRESS: usize = 32;

    /// Those of the database, of which at most `most` are kept.
    pub(super) fn new(written: Vec<Host>, most: usize) -> Self {
        let mut hosts = Self { kept: Kept::new(written, most), at: HashMap::new() };
        for host in hosts.kept.iter() {
            for seen in &host.addresses {
                hosts.at.entry(seen.address).or_default().push(host.name.clone());
            }
        }
        hosts
    }

    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// The same was heard `count` times, last at the time of `seen`.
    pub(super) fn add(&mut self, seen: HostSighting, count: u64) {
        let address = seen.address;
        let name = self.name_of(&seen);
        if let Some(host) = self.kept.change(&name) {
            let before: Vec<IpAddr> = host.addresses.iter().map(|seen| seen.address).collect();
            host.add(seen, count);
            let after: Vec<IpAddr> = host.addresses.iter().map(|seen| seen.address).collect();
            if !before.contains(&address) {
                before.into_iter().filter(|was| !after.contains(was)).for_each(|was| self.left(&name, was));
                self.came(name, address);
            }
            return;
        }
        let host = match self.take_nameless(&seen) {
            Some(mut host) => {
                host.name.clone_from(&name);
                host.named_by = NamedBy::Computer;
                host.add(seen, count);
                host
            }
            None => Host::new(seen, count),
        };
        let evicted = self.kept.insert(host);
        evicted.iter().for_each(|host| self.forget(host));
        self.came(name, address);
    }

    /// By name.
    pub(super) fn list(&self) -> Vec<Host> {
        let mut list: Vec<Host> = self.kept.iter().cloned().collect();
        list.sort_by(|a, b| a.name.cmp(&b.name));
        list
    }

    pub(super) fn take_changes(&mut self) -> Changes<Host> {
        self.kept.take_changes()
    }

    pub(super) fn not_written(&mut self, changes: Changes<Host>) {
        self.kept.not_written(changes);
    }

    pub(super) fn write_all(&mut self) {
        self.kept.write_all();
    }

    /// Under which name a sighting is kept. A messenger name may be a user's, so it is taken for one where a computer is
    /// known at the address.
    fn name_of(&self, seen: &HostSighting) -> String {
        let computer = || self.at_address(seen.address, |host| host.named_by == NamedBy::Computer);
        match &seen.name {
            Some(HostName::Computer(name)) => name.clone(),
            Some(HostName::Messenger(name)) if self.kept.get(name).is_some() => name.clone(),
            Some(HostName::Messenger(name)) => computer().unwrap_or_else(|| name.clone()),
            None => self.at_address(seen.address, |_| true).unwrap_or_else(|| seen.address.to_string()),
        }
    }

    /// The last heard of the hosts at an address of which `is_so` is true.
    fn at_address(&self, address: IpAddr, is_so: impl Fn(&Host) -> bool) -> Option<String> {
        let hosts = self.at.get(&address)?.iter().filter_map(|name| self.kept.get(name));
        hosts.filter(|host| is_so(host)).max_by_key(|host| host.last_seen).map(|host| host.name.clone())
    }

    /// A host that was known by no computer's name, and is at the address of one that now gives it.
    fn take_nameless(&mut self, seen: &HostSighting) -> Option<Host> {
        if !matches!(seen.name, Some(HostName::Computer(_))) {
            return None;
        }
        let nameless = |host: &Host| host.named_by != NamedBy::Computer && host.addresses.len() == 1;
        let name = self.at_address(seen.address, nameless)?;
        let host = self.kept.remove(&name)?;
        self.forget(&host);
        Some(host)
    }

    /// A host was not at this address before.
    fn came(&mut self, name: String, address: IpAddr) {
        let there = self.at.entry(address).or_default();
        if !there.contains(&name) {
            there.push(name);
        }
        if there.len() <= Self::MOST_OF_ONE_ADDRESS {
            return;
        }
        let own = |host: &&Host| host.addresses.len() == 1;
        let hosts = || there.iter().filter_map(|name| self.kept.get(name));
        let surplus = hosts().filter(own).min_by_key(|host| host.last_seen).map(|host| host.name.clone());
        match surplus {
            Some(name) => {
                if let Some(host) = self.kept.remove(&name) {
                    self.forget(&host);
                }
            }
            // All of them were elsewhere too: only that they were here is forgotten, the first come first.
            None => drop(there.remove(0)),
        }
    }

    fn left(&mut self, name: &str, address: IpAddr) {
        if let Some(there) = self.at.get_mut(&address) {
            there.retain(|each| each != name);
            if there.is_empty() {
                self.at.remove(&address);
            }
        }
    }

    fn forget(&mut self, host: &Host) {
        host.addresses.iter().for_each(|seen| self.left(&host.name, seen.address));
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use jiff::Timestamp;

    use super::*;
    use crate::inventory::tests::{messenger, sighting};
    use crate::message::host::{MessageSeen, Presence};

    fn names(hosts: &Hosts) -> Vec<String> {
        hosts.list().into_iter().map(|host| host.name).collect()
    }

    #[test]
    fn a_host_that_changes_its_address_stays_one_host() {
        let mut hosts = Hosts::new(Vec::new(), 10);
        for last in 1..=20_u8 {
            hosts.add(sighting("PC01", &format!("192.0.2.{last}"), last.into()), 1);
        }
        let [host] = hosts.list().try_into().unwrap();
        assert_eq!((host.addresses.len(), host.sightings), (Host::MOST_ADDRESSES, 20));
        assert_eq!(host.addresses[0].address.to_string(), "192.0.2.20");
        assert_eq!(hosts.at.len(), Host::MOST_ADDRESSES, "where it no longer was is forgotten");
    }

    #[test]
    fn what_a_user_sends_belongs_to_the_computer_at_that_address_whichever_is_heard_first() {
        let mut hosts = Hosts::new(Vec::new(), 10);
        hosts.add(messenger("ALICE", "192.0.2.7", 1), 1);
        assert_eq!(hosts.list()[0].named_by, NamedBy::Messenger);
        hosts.add(sighting("PC01", "192.0.2.7", 2), 1);
        hosts.add(messenger("BOB", "192.0.2.7", 3), 2);
        let [host] = hosts.list().try_into().unwrap();
        assert_eq!((host.name.as_str(), host.named_by, host.sightings), ("PC01", NamedBy::Computer, 4));
        let from: Vec<&str> = host.messages.iter().map(|sent| sent.from.as_str()).collect();
        assert_eq!(from, ["ALICE", "BOB"]);
        let changes = hosts.take_changes();
        assert_eq!((changes.changed.len(), changes.gone), (1, vec!["ALICE".to_owned()]));
    }

    #[test]
    fn a_host_without_a_name_is_known_by_its_address_until_it_gives_one() {
        let mut hosts = Hosts::new(Vec::new(), 10);
        hosts.add(HostSighting { name: None, ..sighting("", "192.0.2.7", 1) }, 1);
        assert_eq!(names(&hosts), ["192.0.2.7"]);
        hosts.add(sighting("PC01", "192.0.2.7", 2), 1);
        hosts.add(HostSighting { name: None, ..sighting("", "192.0.2.7", 3) }, 1);
        assert_eq!(names(&hosts), ["PC01"]);
        assert_eq!(hosts.list()[0].sightings, 3);
    }

    #[test]
    fn an_address_that_invents_names_pushes_out_none_but_its_own() {
        let mut hosts = Hosts::new(Vec::new(), 1000);
        for number in 0..40_u8 {
            hosts.add(sighting(&format!("PC{number}"), &format!("192.0.2.{number}"), 1), 1);
        }
        // It takes the names of others, too.
        for number in 0..40_u8 {
            hosts.add(sighting(&format!("PC{number}"), "192.0.2.99", 2), 1);
        }
        for number in 0..5000 {
            hosts.add(sighting(&format!("X{number}"), "192.0.2.99", 10 + number), 1);
        }
        let names = names(&hosts);
        assert_eq!(names.iter().filter(|name| name.starts_with("PC")).count(), 40);
        assert!(names.len() <= 40 + Hosts::MOST_OF_ONE_ADDRESS, "{}", names.len());
        assert!(hosts.at[&"192.0.2.99".parse::<IpAddr>().unwrap()].len() <= Hosts::MOST_OF_ONE_ADDRESS);
    }

    #[test]
    fn past_the_limit_the_longest_unseen_go_and_those_of_one_day_before_the_others() {
        let mut hosts = Hosts::new(Vec::new(), 160);
        let day = 24 * 60 * 60;
        hosts.add(sighting("OLD", "192.0.2.1", 0), 1);
        hosts.add(sighting("OLD", "192.0.2.1", day), 1);
        for number in 0..1000_u32 {
            let address = Ipv4Addr::from(0x0A00_0001 + number).to_string();
            hosts.add(sighting(&format!("X{number}"), &address, 2 * day + i64::from(number)), 1);
            assert!(hosts.len() <= 160);
        }
        let names = names(&hosts);
        assert!(names.contains(&"OLD".to_owned()) && names.contains(&"X999".to_owned()));
        assert!(!names.contains(&"X0".to_owned()));
        let indexed: usize = hosts.at.values().map(Vec::len).sum();
        assert_eq!(indexed, hosts.len(), "the index forgets with the hosts");
    }

    #[test]
    fn lists_of_a_host_are_bounded_and_counts_are_not_lost() {
        let mut hosts = Hosts::new(Vec::new(), 10);
        for number in 0..100 {
            let message = MessageSeen { from: "PC01".to_owned(), to: format!("USER{number}") };
            hosts.add(HostSighting { message: Some(message), ..messenger("PC01", "192.0.2.7", number) }, 2);
        }
        let [host] = hosts.list().try_into().unwrap();
        assert_eq!((host.messages.len(), host.channels[0].count), (Host::MOST_MESSAGES, 200));
        assert!(host.messages.iter().any(|sent| sent.to == "USER99" && sent.count == 2));
    }

    #[test]
    fn a_host_that_said_goodbye_has_left_until_it_is_heard_again() {
        let mut hosts = Hosts::new(Vec::new(), 10);
        hosts.add(HostSighting { presence: Presence::Leaves, ..sighting("PC01", "192.0.2.7", 5) }, 1);
        assert_eq!(hosts.list()[0].left_at, Timestamp::from_second(5).ok());
        hosts.add(sighting("PC01", "192.0.2.7", 6), 1);
        assert_eq!(hosts.list()[0].left_at, None);
    }
}
