//! `net send`: who owns the name, then a session with it on TCP 139, else a write to its mailslot over UDP 138.
//!
//! For the `netbios` destination and for `mailslotd send` alike. What to say is decided by
//! [`crate::session::name_query`] and [`crate::session::netbios_client`]; here are the sockets and the clock. Every step
//! ends in a bounded time.
#![expect(clippy::disallowed_methods, reason = "the edge where the deciding code is told the time")]

mod mailslot;
mod names;
mod session;
mod verdict;

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Mutex};

use crate::config::settings::Interfaces;
use crate::message::net_send::{Addressee, NetSend};
use crate::net::link::{Link, LinkKind};
use crate::policy::own_datagrams::OwnDatagrams;
use crate::session::name_query::Answer;
use crate::session::netbios_client::Outcome;
use crate::telemetry::metrics::Metrics;
use crate::wire::netbios_name::{NetbiosName, Scope};
pub use verdict::{NoSession, NotSent, Sent};

/// Sends messages to legacy displays.
#[derive(Debug)]
pub struct NetSender {
    network: Network,
    gateway: Option<Traces>,
}

/// Where names are asked for, and where broadcasts go.
#[derive(Debug, Clone)]
pub struct Network {
    /// By which interfaces.
    pub interfaces: Interfaces,
    /// Name servers, asked before everybody.
    pub servers: Vec<Ipv4Addr>,
    /// The scope of all names.
    pub scope: Scope,
}

/// What a running gateway notes of the packets that it sends.
#[derive(Debug, Clone)]
pub struct Traces {
    /// So that it does not hear its own broadcasts.
    pub own: Arc<Mutex<OwnDatagrams>>,
    /// So that somebody can count them.
    pub metrics: Arc<Metrics>,
}

/// How a message may travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By a session with a host that confirms it; where there is none, by the mailslot.
    SessionElseMailslot,
    /// By a session alone.
    Session,
    /// By the mailslot alone.
    Mailslot,
}

/// Where to send instead of where the name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// A host, or a broadcast address.
    pub host: Ipv4Addr,
    /// Of TCP for a session, else of UDP; `None`: the port of the service.
    pub port: Option<u16>,
}

/// Where a message can go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Targets {
    /// Where a session may be had, in this order.
    pub hosts: Vec<SocketAddrV4>,
    /// Where the mailslot may be written to: all of them.
    pub mailslots: Vec<SocketAddrV4>,
    /// Why no host is there.
    pub obstacle: Option<NoSession>,
}

/// A message in the length that each way takes.
#[derive(Debug, Clone, Copy)]
pub struct Lengths<'a> {
    /// For a session.
    pub session: &'a NetSend,
    /// For a datagram.
    pub mailslot: &'a NetSend,
}

impl NetSender {
    /// A sender in this network; `gateway` is told of what is sent.
    #[must_use]
    pub const fn new(network: Network, gateway: Option<Traces>) -> Self {
        Self { network, gateway }
    }

    /// Where a message to `to`, whose name on the wire is `name`, can go: to `addresses` where there are any, else where
    /// the name's owner is.
    ///
    /// # Errors
    /// What the system says about sockets and interfaces.
    pub async fn locate(
        &self,
        to: &Addressee,
        name: NetbiosName,
        way: Way,
        addresses: &[Address],
    ) -> io::Result<Targets> {
        if !addresses.is_empty() {
            return Ok(Targets::at(addresses, to, way));
        }
        let broadcasts = self.network.broadcasts()?;
        let everywhere = || broadcasts.iter().map(|to| SocketAddrV4::new(*to, MAILSLOT_PORT)).collect();
        let Addressee::Name(_) = to else {
            return Ok(Targets {
                mailslots: everywhere(),
                obstacle: Some(NoSession::Several),
                ..Targets::default()
            });
        };
        let answer = names::owner_of(name, &self.network, &broadcasts, self.gateway.as_ref()).await?;
        let (hosts, obstacle) = match answer {
            Answer::Owner(hosts) => (hosts, None),
            Answer::Group => (Vec::new(), Some(NoSession::Several)),
            Answer::Nobody { denied_by } => (Vec::new(), Some(NoSession::Nobody { name, denied_by })),
        };
        let at = |port: u16| hosts.iter().map(move |host| SocketAddrV4::new(*host, port)).collect();
        Ok(match (way, hosts.is_empty()) {
            (Way::Mailslot, false) => Targets { mailslots: at(MAILSLOT_PORT), ..Targets::default() },
            (_, false) => Targets { hosts: at(SESSION_PORT), mailslots: at(MAILSLOT_PORT), obstacle },
            (_, true) => Targets { hosts: Vec::new(), mailslots: everywhere(), obstacle },
        })
    }

    /// Sends the message to the first host that takes it, or else, where `way` permits it, to the mailslots.
    pub async fn send(&self, message: Lengths<'_>, targets: &Targets, way: Way) -> Sent {
        let mut obstacle = targets.obstacle.clone();
        for host in targets.hosts.iter().filter(|_| way != Way::Mailslot) {
            match session::converse(message.session, *host).await {
                Ok(Outcome::Confirmed) => return Sent::Confirmed { by: *host },
                Ok(outcome) => obstacle = Some(NoSession::Ended { host: *host, outcome }),
                Err(error) => {
                    obstacle = Some(NoSession::Unreachable { host: *host, error: error.to_string() })
                }
            }
            if obstacle.as_ref().is_some_and(NoSession::is_final) {
                break;
            }
        }
        match (way, obstacle) {
            (Way::SessionElseMailslot, Some(obstacle)) if obstacle.is_final() => {
                Sent::Not(NotSent::NoSession { obstacle, too_long: None })
            }
            (Way::Session, obstacle) => {
                let obstacle = obstacle.unwrap_or(NoSession::Several);
                Sent::Not(NotSent::NoSession { obstacle, too_long: None })
            }
            (Way::SessionElseMailslot | Way::Mailslot, obstacle) => {
                self.write(message.mailslot, &targets.mailslots, obstacle)
            }
        }
    }

    fn write(&self, message: &NetSend, mailslots: &[SocketAddrV4], obstacle: Option<NoSession>) -> Sent {
        match (message.fits_into_a_datagram(), obstacle) {
            (Err(too_long), Some(obstacle)) => {
                Sent::Not(NotSent::NoSession { obstacle, too_long: Some(too_long) })
            }
            (Err(too_long), None) => Sent::Not(NotSent::TooLong(too_long)),
            (Ok(()), _) if mailslots.is_empty() => Sent::Not(NotSent::Nowhere),
            (Ok(()), obstacle) => match mailslot::write(message, mailslots, self.gateway.as_ref()) {
                Ok((to, left_out)) if to.is_empty() => Sent::Not(NotSent::Faults(left_out)),
                Ok((to, left_out)) => Sent::Unconfirmed { to, left_out, obstacle },
                Err(error) => Sent::Not(NotSent::System(error.to_string())),
            },
        }
    }
}

impl Network {
    /// The broadcast address of each interface, once each.
    fn broadcasts(&self) -> io::Result<Vec<Ipv4Addr>> {
        let links = Link::all()?;
        let segments =
            links.iter().filter(|link| link.kind == LinkKind::Broadcast && link.is_among(&self.interfaces));
        let mut found: Vec<Ipv4Addr> =
            segments.flat_map(|link| &link.addresses).filter_map(|address| address.broadcast).collect();
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }
}

impl Targets {
    /// A port that was given is that of one service: of TCP where only a session is wanted, else of UDP.
    fn at(addresses: &[Address], to: &Addressee, way: Way) -> Self {
        let several = !matches!(to, Addressee::Name(_));
        let by_session = |address: &&Address| match way {
            Way::Session => true,
            Way::SessionElseMailslot => address.port.is_none(),
            Way::Mailslot => false,
        };
        let at = |address: &Address, port| SocketAddrV4::new(address.host, address.port.unwrap_or(port));
        let hosts = addresses.iter().filter(by_session).filter(|_| !several);
        Self {
            hosts: hosts.map(|address| at(address, SESSION_PORT)).collect(),
            mailslots: addresses.iter().map(|address| at(address, MAILSLOT_PORT)).collect(),
            obstacle: several.then_some(NoSession::Several),
        }
    }

    /// Every address that something may be sent to.
    pub fn all(&self) -> impl Iterator<Item = SocketAddrV4> {
        self.hosts.iter().chain(&self.mailslots).copied()
    }
}

impl Traces {
    /// A packet is about to leave.
    fn packet_sent(&self) {
        self.metrics.netbios_packet_sent();
    }
}

/// RFC 1002 §4.2, §4.4, §4.3.
const NAME_PORT: u16 = 137;
const MAILSLOT_PORT: u16 = 138;
const SESSION_PORT: u16 = 139;

#[cfg(test)]
mod tests;
