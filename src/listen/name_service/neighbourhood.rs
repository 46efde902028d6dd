//! The networks that names are claimed on, and who is heard in them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use crate::config::settings::{Claims, Interfaces, Mode, Settings};
use crate::listen::links;
use crate::listen::receive::Received;
use crate::policy::allowed_sources::AllowedSources;
use crate::policy::name_askers::NameAskers;
use crate::session::name_owner::{Heard, Identity, Ignored, Link, NameOwner, Verdict};
use crate::wire::netbios_name::Scope;

/// The networks, read from the system from time to time.
#[derive(Debug)]
pub(super) struct Neighbourhood {
    interfaces: Interfaces,
    /// The address that the socket is bound to: what comes in by others it does not hear.
    bound: Ipv4Addr,
    wins: Vec<Ipv4Addr>,
    links: Vec<Link>,
    next: Instant,
    read_at: Option<Instant>,
}

impl Neighbourhood {
    /// Nothing is known yet, so that it is read at once.
    pub(super) fn new(interfaces: Interfaces, bound: Ipv4Addr, wins: Vec<Ipv4Addr>) -> Self {
        Self { interfaces, bound, wins, links: Vec::new(), next: Instant::now(), read_at: None }
    }

    pub(super) fn links(&self) -> &[Link] {
        &self.links
    }

    /// When to [`Self::read`] it.
    pub(super) const fn poll_timeout(&self) -> Instant {
        self.next
    }

    /// Reads it from the system; what was known stays where that fails.
    pub(super) fn read(&mut self, now: Instant) {
        (self.next, self.read_at) = (now + READ_EVERY, Some(now));
        match links::Link::all() {
            Ok(all) => {
                let served = all.iter().filter(|link| link.is_among(&self.interfaces));
                let hears = |link: &Link| self.bound.is_unspecified() || link.address == self.bound;
                self.links = served.flat_map(links_of).filter(hears).collect();
            }
            Err(error) => {
                tracing::warn!(%error, "The interfaces could not be read; names stay claimed where they are.");
            }
        }
    }

    /// Whether a packet that got this verdict may have come by an address that was assigned a moment ago.
    pub(super) const fn may_have_grown(&self, verdict: Verdict) -> bool {
        matches!(verdict, Verdict::Ignored(Ignored::NoLink | Ignored::Stranger))
    }

    /// Does not wait for the next regular time, but leaves a second in between.
    pub(super) fn read_again_soon(&mut self, now: Instant) {
        let soon = self.read_at.map_or(now, |at| at + READ_AGAIN).max(now);
        self.next = self.next.min(soon);
    }

    /// The interfaces are read at the next occasion.
    pub(super) const fn read_now(&mut self, now: Instant) {
        self.next = now;
    }

    /// Our address on the way to each WINS server. Nothing is sent to find it out.
    pub(super) fn routes(&self) -> Vec<(Ipv4Addr, Ipv4Addr)> {
        let route = |server: &Ipv4Addr| {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
            socket.connect((*server, NameOwner::PORT)).ok()?;
            match socket.local_addr().ok()?.ip() {
                IpAddr::V4(from) => Some((*server, from)),
                IpAddr::V6(_) => None,
            }
        };
        self.wins.iter().filter_map(route).collect()
    }

    /// Whether a packet was broadcast by another host of a network that we are in.
    pub(super) fn is_broadcast_of_neighbour(&self, heard: Heard) -> bool {
        let Heard { source, destination, interface } = heard;
        let is_ours = self.links.iter().any(|link| link.address == *source.ip());
        let mut on_interface = self.links.iter().filter(|link| link.interface == interface);
        !is_ours
            && on_interface.any(|link| {
                (destination.is_broadcast() || link.broadcast == Some(destination))
                    && link.network.contains(source.ip())
            })
    }
}

/// What an owner has to know of an interface: a link for each of its addresses.
fn links_of(link: &links::Link) -> impl Iterator<Item = Link> {
    link.addresses.iter().map(|own| Link {
        interface: link.index,
        address: own.address,
        network: own.network,
        broadcast: own.broadcast,
        unit_id: link.mac.unwrap_or_default(),
    })
}

/// What we are called, in mode answer.
pub(super) fn identity_of(settings: &Settings) -> Option<Identity> {
    let Mode::Answer(claims) = &settings.netbios.mode else { return None };
    let Claims { host_name, names, workgroup, wins } = &**claims;
    let allow = match &settings.netbios.allow {
        AllowedSources::OnLink => Vec::new(),
        AllowedSources::Networks(networks) => networks.clone(),
    };
    let scope = Scope::new(&settings.decoding.scope).unwrap_or_default();
    let askers = NameAskers { wins: wins.clone(), allow };
    Some(Identity::new(*host_name, names, *workgroup, scope, askers))
}

/// How a packet came; `None` where the kernel did not tell, or it was not IPv4.
pub(super) fn heard(received: &Received<'_>) -> Option<Heard> {
    let SocketAddr::V4(source) = received.source else { return None };
    let Some(IpAddr::V4(destination)) = received.destination else { return None };
    Some(Heard {
        source: SocketAddrV4::new(*source.ip(), source.port()),
        destination,
        interface: received.interface?,
    })
}

/// Whether a question that got this verdict is one that somebody else would have to answer.
pub(super) const fn is_unanswered(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Ignored(Ignored::NotOurs))
}

const READ_EVERY: Duration = Duration::from_secs(30);
const READ_AGAIN: Duration = Duration::from_secs(1);
