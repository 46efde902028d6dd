//! All clients, bounded, and which of them are to be written.

use std::collections::HashMap;
use std::net::IpAddr;

use super::client::SmtpClient;
use super::sighting::SmtpClientSeen;
use crate::message::id::ListenerName;

/// What tells clients apart.
pub(super) type Key = (ListenerName, IpAddr);

/// All clients. Pure: the caller writes what [`Clients::take_changes`] gives it.
#[derive(Debug)]
pub(super) struct Clients {
    all: HashMap<Key, Known>,
    gone: Vec<Key>,
    most: usize,
}

#[derive(Debug)]
struct Known {
    client: SmtpClient,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Written,
    Changed,
}

/// What differs from the database.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) changed: Vec<SmtpClient>,
    pub(super) gone: Vec<Key>,
}

impl Changes {
    pub(super) const fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.gone.is_empty()
    }
}

impl Clients {
    /// Those of the database, of which at most `most` are kept.
    pub(super) fn new(written: Vec<SmtpClient>, most: usize) -> Self {
        let known = |client: SmtpClient| (key_of(&client), Known { client, state: State::Written });
        let mut clients = Self { all: written.into_iter().map(known).collect(), gone: Vec::new(), most };
        clients.make_room();
        clients
    }

    pub(super) fn add(&mut self, seen: SmtpClientSeen) {
        let key = (seen.listener.clone(), seen.address);
        if let Some(known) = self.all.get_mut(&key) {
            known.client.add(seen);
            known.state = State::Changed;
            return;
        }
        self.all.insert(key, Known { client: SmtpClient::new(seen), state: State::Changed });
        self.make_room();
    }

    /// The last seen first.
    pub(super) fn list(&self) -> Vec<SmtpClient> {
        let mut list: Vec<SmtpClient> = self.all.values().map(|known| known.client.clone()).collect();
        list.sort_by(|a, b| b.last_seen.cmp(&a.last_seen).then_with(|| a.address.cmp(&b.address)));
        list
    }

    /// What is to be written; it counts as written from now on.
    pub(super) fn take_changes(&mut self) -> Changes {
        let mut changed = Vec::new();
        for known in self.all.values_mut().filter(|known| known.state == State::Changed) {
            known.state = State::Written;
            changed.push(known.client.clone());
        }
        Changes { changed, gone: std::mem::take(&mut self.gone) }
    }

    /// It could not be written after all.
    pub(super) fn not_written(&mut self, changes: Changes) {
        for client in changes.changed {
            if let Some(known) = self.all.get_mut(&key_of(&client)) {
                known.state = State::Changed;
            }
        }
        // A database that cannot be written for long must not make this grow; rows that stay too long do no harm.
        if self.gone.len() < self.most {
            self.gone.extend(changes.gone);
        }
    }

    /// Every client is to be written: into a database that was begun anew.
    pub(super) fn write_all(&mut self) {
        self.gone.clear();
        self.all.values_mut().for_each(|known| known.state = State::Changed);
    }

    /// Past the limit a sixteenth goes at once, so that a flood of new clients costs little for each.
    fn make_room(&mut self) {
        if self.all.len() <= self.most {
            return;
        }
        let mut order: Vec<_> = self
            .all
            .iter()
            .map(|(key, known)| ((known.client.acquaintance, known.client.last_seen), key.clone()))
            .collect();
        let surplus = (self.all.len() - self.most).saturating_add(self.most / 16).min(order.len() - 1);
        order.select_nth_unstable_by_key(surplus, |(rank, _)| *rank);
        order.truncate(surplus);
        for (_, key) in order {
            self.all.remove(&key);
            self.gone.push(key);
        }
    }
}

pub(super) fn key_of(client: &SmtpClient) -> Key {
    (client.listener.clone(), client.address)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::inventory::client::tests::seen;
    use crate::inventory::sighting::Acquaintance;

    #[test]
    fn a_client_that_comes_often_is_written_once() {
        let mut clients = Clients::new(Vec::new(), 10);
        (0..100).for_each(|second| clients.add(seen("192.0.2.7", second)));
        assert_eq!(clients.take_changes().changed.len(), 1);
        assert!(clients.take_changes().is_empty());
        clients.add(seen("192.0.2.7", 200));
        let changes = clients.take_changes();
        clients.not_written(changes);
        assert_eq!(clients.take_changes().changed.len(), 1, "a failed write is tried again");
    }

    #[test]
    fn a_flood_of_strangers_pushes_out_the_longest_unseen_of_them_and_none_of_ours() {
        let mut clients = Clients::new(Vec::new(), 160);
        clients.add(seen("192.0.2.7", 0));
        for number in 1..=1000_u32 {
            let address = Ipv4Addr::from(0xCB00_7100 + number).to_string();
            let stranger =
                SmtpClientSeen { acquaintance: Acquaintance::Stranger, ..seen(&address, number.into()) };
            clients.add(stranger);
            assert!(clients.all.len() <= 160);
        }
        let list = clients.list();
        assert_eq!(list.last().unwrap().address.to_string(), "192.0.2.7");
        assert_eq!(list.first().unwrap().last_seen.as_second(), 1000);
        let kept = list.len();
        assert!(list.iter().rev().skip(1).all(|client| client.last_seen.as_second() > 1000 - 160), "{kept}");
        let changes = clients.take_changes();
        assert_eq!(changes.changed.len() + changes.gone.len(), 1001);
    }
}
