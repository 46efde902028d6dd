//! The claims of all names on one link, and of them with the WINS servers: what is sent of our own accord.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use super::claim::{Claim, Step};
use super::event::Event;
use super::identity::{Link, OwnName};
use super::registration::{self, Registration};
use super::wins::{Reach, Sending};
use super::{Datagram, NameOwner, Output, answer};
use crate::wire::name_service::{Flags, Packet, Question, RecordType};

/// A link, and the claim of each name there.
#[derive(Debug)]
pub(super) struct OnLink {
    pub(super) link: Link,
    /// One for each of our names, in their order.
    pub(super) claims: Vec<Claim>,
}

impl OnLink {
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.claims.iter().filter_map(Claim::poll_timeout).min()
    }

    pub(super) fn owns(&self, name: usize) -> bool {
        self.claims.get(name).is_some_and(Claim::is_owned)
    }

    /// Whether claims made on this link hold on `link`.
    fn is_same(&self, link: &Link) -> bool {
        Link { unit_id: self.link.unit_id, ..*link } == self.link
    }
}

impl NameOwner {
    /// The links have changed, or may have.
    pub(super) fn on_links(&mut self, now: Instant, links: &[Link], routes: &[(Ipv4Addr, Ipv4Addr)]) {
        let mut before = std::mem::take(&mut self.links);
        for link in links {
            let seen =
                |other: &OnLink| other.link.interface == link.interface && other.link.network == link.network;
            // A second address in the same network would claim against the first.
            if self.links.iter().any(seen) {
                continue;
            }
            let known = before.iter().position(|other| other.is_same(link));
            let claims = match known {
                Some(known) => before.swap_remove(known).claims,
                None => self.begin_claims(now, link),
            };
            self.links.push(OnLink { link: *link, claims });
        }
        for server in 0..self.servers.len() {
            self.take_route(now, server, routes);
        }
        self.handle_timeout(now);
    }

    fn begin_claims(&mut self, now: Instant, link: &Link) -> Vec<Claim> {
        let mut start = now;
        let names = self.identity.names().len();
        let claims = (0..names).map(|_| {
            let transaction = self.transaction();
            if link.broadcast.is_none() {
                return Claim::unasked(transaction, now);
            }
            let claim = Claim::new(transaction, start);
            start = start.checked_add(Self::STAGGER).unwrap_or(start);
            claim
        });
        claims.collect()
    }

    /// Where a WINS server is reached from; what it has under another address of ours is registered anew.
    fn take_route(&mut self, now: Instant, server: usize, routes: &[(Ipv4Addr, Ipv4Addr)]) {
        let Some(server) = self.servers.get_mut(server) else { return };
        let route = routes.iter().find(|(address, _)| *address == server.address).map(|(_, from)| *from);
        let link = self.links.iter().find(|other| Some(other.link.address) == route);
        let from = link.map(|link| link.link.address);
        match server.reach(from) {
            Reach::AsBefore => return,
            Reach::Changed => {}
            Reach::Lost => {
                self.outputs.push_back(Output::Tell(Event::WinsOutOfReach { server: server.address }));
            }
        }
        let owned = link.into_iter().flat_map(|link| (0..link.claims.len()).filter(|name| link.owns(*name)));
        owned.for_each(|name| server.want(name, now));
    }

    /// What is due of the claims on one link.
    pub(super) fn advance_claims(&mut self, now: Instant, link: usize) {
        for name in 0..self.identity.names().len() {
            let Some(on_link) = self.links.get_mut(link) else { return };
            let Some(claim) = on_link.claims.get_mut(name) else { return };
            let Some(step) = claim.handle_timeout(now) else { continue };
            match step {
                Step::Register => self.broadcast(link, name, Flags::REGISTRATION, Registration::TTL),
                Step::Overwrite => {
                    let address = on_link.link.address;
                    self.broadcast(link, name, Flags::OVERWRITE, Registration::TTL);
                    self.claimed(now, name, address);
                }
            }
        }
    }

    /// A name is ours where our address is `address`.
    fn claimed(&mut self, now: Instant, name: usize, address: Ipv4Addr) {
        if let Some(own) = self.identity.names().get(name) {
            self.outputs.push_back(Output::Tell(Event::Claimed { name: own.name, address }));
        }
        // A slow owner may still object.
        let at = now.checked_add(Claim::LATE).unwrap_or(now);
        for server in self.servers.iter_mut().filter(|server| server.from == Some(address)) {
            server.want(name, at);
        }
    }

    /// What is due of the registrations with one WINS server.
    pub(super) fn advance_registrations(&mut self, now: Instant, server: usize) {
        let (mut events, next) = (Vec::new(), &mut self.next_transaction);
        let Some(server) = self.servers.get_mut(server) else { return };
        let transactions = || {
            *next = next.wrapping_add(1);
            *next
        };
        let sendings = server.handle_timeout(now, transactions, &mut events);
        let (address, from) = (server.address, server.from);
        self.outputs.extend(events.into_iter().map(Output::Tell));
        for sending in sendings {
            self.send_to_wins(sending, address, from);
        }
    }

    fn send_to_wins(&mut self, sending: Sending, server: Ipv4Addr, from: Option<Ipv4Addr>) {
        let Sending { name, transaction, step } = sending;
        let (Some(own), Some(from)) = (self.identity.names().get(name).copied(), from) else { return };
        let (to, packet) = match step {
            registration::Step::Claim(flags) => {
                (server, self.claim(transaction, flags, own, Registration::TTL, from))
            }
            registration::Step::Query(owner) => {
                (owner, Packet::query(transaction, Flags::QUERY, self.question(own)))
            }
        };
        let payload = answer::emit(&packet);
        self.send(Datagram { payload, to: SocketAddrV4::new(to, Self::PORT), from, interface: None });
    }

    /// Releases everything that is ours (RFC 1002 §5.1.1.4, §5.1.2.4).
    pub(super) fn release_all(&mut self) {
        for link in 0..self.links.len() {
            for name in 0..self.identity.names().len() {
                if self.links.get(link).is_some_and(|link| link.owns(name)) {
                    self.broadcast(link, name, Flags::RELEASE, Duration::ZERO);
                }
            }
        }
        let mut releases = Vec::new();
        for server in &self.servers {
            releases.extend(server.registered().map(|name| (name, server.address, server.from)));
        }
        for (name, server, from) in releases {
            let transaction = self.transaction();
            let step = registration::Step::Claim(Flags::RELEASE);
            self.send_to_wins(Sending { name, transaction, step }, server, from);
        }
    }

    /// Tells all hosts of a link about a name.
    pub(super) fn broadcast(&mut self, link: usize, name: usize, flags: Flags, ttl: Duration) {
        let (Some(on_link), Some(own)) = (self.links.get(link), self.identity.names().get(name)) else {
            return;
        };
        let (Some(broadcast), Some(claim)) = (on_link.link.broadcast, on_link.claims.get(name)) else {
            return;
        };
        let Link { address, interface, .. } = on_link.link;
        let packet = self.claim(claim.transaction, flags.with(Flags::BROADCAST), *own, ttl, address);
        let payload = answer::emit(&packet);
        let to = SocketAddrV4::new(broadcast, Self::PORT);
        self.send(Datagram { payload, to, from: address, interface: Some(interface) });
    }

    fn claim(
        &self,
        transaction: u16,
        flags: Flags,
        own: OwnName,
        ttl: Duration,
        address: Ipv4Addr,
    ) -> Packet<'static> {
        Packet::claim(transaction, flags, self.question(own), ttl, self.identity.address_of(own, address))
    }

    fn question(&self, own: OwnName) -> Question {
        Question::new(own.name, self.identity.scope().clone(), RecordType::NB)
    }

    pub(super) fn send(&mut self, datagram: Datagram) {
        self.outputs.push_back(Output::Send(datagram));
    }
}
