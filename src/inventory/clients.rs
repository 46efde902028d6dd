//! All clients, bounded, and which of them are to be written.

use std::net::IpAddr;

use jiff::Timestamp;

use super::client::SmtpClient;
use super::kept::{Changes, Entry, Kept};
use super::sighting::{Acquaintance, SmtpClientSeen};
use crate::message::id::ListenerName;

/// All clients. Pure: the caller writes what [`Clients::take_changes`] gives it.
#[derive(Debug)]
pub(super) struct Clients(Kept<SmtpClient>);

impl Entry for SmtpClient {
    type Key = (ListenerName, IpAddr);
    type Rank = (Acquaintance, Timestamp);

    fn key(&self) -> Self::Key {
        (self.listener.clone(), self.address)
    }

    /// Strangers go first, the longest unseen before others.
    fn rank(&self) -> Self::Rank {
        (self.acquaintance, self.last_seen)
    }
}

impl Clients {
    /// Those of the database, of which at most `most` are kept.
    pub(super) fn new(written: Vec<SmtpClient>, most: usize) -> Self {
        Self(Kept::new(written, most))
    }

    pub(super) fn add(&mut self, seen: SmtpClientSeen) {
        let key = (seen.listener.clone(), seen.address);
        match self.0.change(&key) {
            Some(client) => client.add(seen),
            None => drop(self.0.insert(SmtpClient::new(seen))),
        }
    }

    /// The last seen first.
    pub(super) fn list(&self) -> Vec<SmtpClient> {
        let mut list: Vec<SmtpClient> = self.0.iter().cloned().collect();
        list.sort_by(|a, b| b.last_seen.cmp(&a.last_seen).then_with(|| a.address.cmp(&b.address)));
        list
    }

    pub(super) fn take_changes(&mut self) -> Changes<SmtpClient> {
        self.0.take_changes()
    }

    pub(super) fn not_written(&mut self, changes: Changes<SmtpClient>) {
        self.0.not_written(changes);
    }

    pub(super) fn write_all(&mut self) {
        self.0.write_all();
    }
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
            assert!(clients.0.len() <= 160);
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
