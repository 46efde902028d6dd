//! An owner of NetBIOS names on UDP 137: claims, answers, defends, refreshes and releases (RFC 1001 §15, RFC 1002 §5.1).
//!
//! On each link it is a B node: a name is registered three times by broadcast, and is ours when nobody objects. With WINS
//! servers it is an H node beside that, and registers each name that is ours there too. It answers questions about its own
//! names, objects to others who want them, and takes no part in elections, nor does it own names of browsers.
//!
//! Nothing on UDP 137 is authenticated. So a name that is ours is never given up because somebody says so: demands
//! (CONFLICT, RELEASE) and objections that come too late are told, and the name is asserted again. Who is answered
//! [`NameAskers`](crate::policy::name_askers::NameAskers) says; how often, an [`AnswerRate`] for each kind of answer; and no
//! answer is longer than eleven times its question, most are not much longer than it.
//!
//! The caller owns the socket: it feeds packets with `handle_input` and links with `handle_links`, calls `handle_timeout` when `poll_timeout`
//! has passed, and does what `poll_output` says until that returns `None`. Packets that ask for nothing from us cost one look
//! into a table.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use crate::policy::answer_rate::AnswerRate;
use crate::policy::rate::Rate;
use crate::wire::name_service::Packet;
use claim::Claim;
pub use event::Event;
pub use identity::{Identity, Link, Membership, OwnName};
use on_link::OnLink;
pub use verdict::{Ignored, Verdict};
use wins::Server;

mod answer;
mod claim;
mod event;
mod identity;
mod on_link;
mod on_packet;
mod registration;
mod verdict;
mod wins;

/// How a packet came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// Its source.
    pub source: SocketAddrV4,
    /// Where it was sent to, by its IP header: our own address or a broadcast one. The B flag does not tell.
    pub destination: Ipv4Addr,
    /// Index of the interface it came in by.
    pub interface: u32,
}

/// What the caller must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send this.
    Send(Datagram),
    /// Tell this.
    Tell(Event),
}

/// A packet to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// Its payload.
    pub payload: Vec<u8>,
    /// Where to.
    pub to: SocketAddrV4,
    /// The source address.
    pub from: Ipv4Addr,
    /// The interface to leave by; `None`: as the routes say.
    pub interface: Option<u32>,
}

/// Where the claim of a name stands, over all links and WINS servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Not ours yet.
    Claiming,
    /// Ours everywhere.
    Claimed,
    /// Another host's, on one of the links or in the eyes of a WINS server.
    Conflict,
}

/// The machine.
#[derive(Debug)]
pub struct NameOwner {
    identity: Identity,
    /// Our own port, by which packets of ours that come back are known.
    port: u16,
    next_transaction: u16,
    links: Vec<OnLink>,
    servers: Vec<Server>,
    outputs: VecDeque<Output>,
    rates: Rates,
    defence: Defence,
    leaving: Option<Leaving>,
}

/// What happens when another host claims a name of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Defence {
    /// It is refused, as an owner must (RFC 1002 §5.1.1.5).
    #[default]
    Refuse,
    /// It has the name: whoever is to own it after us must not find it defended.
    Yield,
}

/// Each kind of answer has bounds of its own, so that a flood of one does not silence the others: whoever silences
/// objections can take a name.
#[derive(Debug)]
struct Rates {
    answers: AnswerRate,
    node_statuses: AnswerRate,
    objections: AnswerRate,
}

/// The names are being released.
#[derive(Debug)]
struct Leaving {
    rounds: u8,
    next: Instant,
}

impl NameOwner {
    /// Releases of each name, [`Self::RELEASE_INTERVAL`] apart: they are not acknowledged.
    pub const RELEASES: u8 = 3;
    /// BCAST_REQ_RETRY_TIMEOUT (RFC 1002 §6).
    pub const RELEASE_INTERVAL: Duration = Claim::INTERVAL;
    /// Between the beginnings of two claims, so that many names are no burst.
    pub const STAGGER: Duration = Duration::from_millis(20);
    /// The port of the name service, where others are reached.
    pub const PORT: u16 = 137;

    /// An owner that has no links yet. `port` is that of its own socket; `first_transaction` should not be the same
    /// after each start.
    #[must_use]
    pub fn new(identity: Identity, port: u16, first_transaction: u16, now: Instant) -> Self {
        let server = |address: &Ipv4Addr| Server::new(*address, identity.names());
        let servers = identity.askers().wins.iter().map(server).collect();
        let rates = Rates {
            answers: AnswerRate::new(ANSWERS_PER_SOURCE, ANSWERS, now),
            node_statuses: AnswerRate::new(NODE_STATUSES_PER_SOURCE, NODE_STATUSES, now),
            objections: AnswerRate::new(ANSWERS_PER_SOURCE, ANSWERS, now),
        };
        Self {
            identity,
            port,
            next_transaction: first_transaction,
            links: Vec::new(),
            servers,
            outputs: VecDeque::new(),
            rates,
            defence: Defence::Refuse,
            leaving: None,
        }
    }

    /// How names are defended from now on.
    pub const fn defend(&mut self, defence: Defence) {
        self.defence = defence;
    }

    /// What it is called.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What to do next; call until `None` after every input and timeout.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Self::handle_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if let Some(Leaving { rounds, next }) = &self.leaving {
            return (*rounds > 0).then_some(*next);
        }
        let links = self.links.iter().filter_map(OnLink::poll_timeout);
        links.chain(self.servers.iter().filter_map(Server::poll_timeout)).min()
    }

    /// Whether everything was released after [`Self::leave`].
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.leaving.as_ref().is_some_and(|leaving| leaving.rounds == 0)
    }

    /// Where the claim of each name stands, in the order of [`Identity::names`].
    pub fn standings(&self) -> impl Iterator<Item = (OwnName, Standing)> {
        self.identity.names().iter().enumerate().map(|(name, own)| (*own, self.standing(name)))
    }

    fn standing(&self, name: usize) -> Standing {
        let claims = || self.links.iter().filter_map(|link| link.claims.get(name));
        if claims().any(|claim| claim.rival().is_some())
            || self.servers.iter().any(|server| server.refuses(name))
        {
            Standing::Conflict
        } else if !self.links.is_empty() && claims().all(Claim::is_owned) {
            Standing::Claimed
        } else {
            Standing::Claiming
        }
    }

    /// A packet was heard.
    pub fn handle_input(&mut self, now: Instant, packet: &Packet<'_>, heard: Heard) -> Verdict {
        if self.leaving.is_some() {
            return Verdict::Ignored(Ignored::Leaving);
        }
        self.on_packet(now, packet, heard)
    }

    /// All links that names are to be claimed on, whenever they may have changed: those that are new get claims, those
    /// that are gone are forgotten. `routes` has our address on the way to each WINS server, where there is a way.
    pub fn handle_links(&mut self, now: Instant, links: &[Link], routes: &[(Ipv4Addr, Ipv4Addr)]) {
        if self.leaving.is_none() {
            self.on_links(now, links, routes);
        }
    }

    /// The gateway stops: all names are released, and nothing is answered from now on. Everything is said when
    /// [`Self::has_left`].
    pub fn leave(&mut self, now: Instant) {
        self.leaving.get_or_insert(Leaving { rounds: Self::RELEASES, next: now });
        self.handle_timeout(now);
    }

    /// Time has passed. Harmless when called early.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some(Leaving { rounds, next }) = &mut self.leaving {
            if *rounds > 0 && *next <= now {
                *rounds = rounds.saturating_sub(1);
                *next = now.checked_add(Self::RELEASE_INTERVAL).unwrap_or(now);
                self.release_all();
            }
            return;
        }
        for link in 0..self.links.len() {
            self.advance_claims(now, link);
        }
        for server in 0..self.servers.len() {
            self.advance_registrations(now, server);
        }
    }

    fn transaction(&mut self) -> u16 {
        self.next_transaction = self.next_transaction.wrapping_add(1);
        self.next_transaction
    }

    fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Tell(event));
    }
}

const fn per_second(count: u32) -> Rate {
    Rate { count, period: Duration::from_secs(1) }
}

/// A host that looks names up asks each three times at most; this is a host that looks many up.
const ANSWERS_PER_SOURCE: Rate = per_second(20);
/// About 12 kB a second, however many sources ask.
const ANSWERS: Rate = per_second(200);
/// The one kind of answer that is much longer than its question: 2.7 kB a second to one address.
const NODE_STATUSES_PER_SOURCE: Rate = per_second(5);
/// 27 kB a second at most.
const NODE_STATUSES: Rate = per_second(50);

#[cfg(test)]
mod tests;
