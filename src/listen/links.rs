//! The interfaces of this machine: which are heard, and who is reached through them without a router.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use ipnet::Ipv4Net;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::{InterfaceFlags, if_nametoindex};

use crate::config::settings::Interfaces;
use crate::message::notice::Arrival;
use crate::policy::allowed_sources::AllowedSources;

/// Whose messages are heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// The interfaces they come by.
    pub interfaces: Interfaces,
    /// The addresses they come from.
    pub allow: AllowedSources,
}

/// An interface that is up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// As `ip link` shows it.
    pub name: String,
    /// Its number in the kernel.
    pub index: u32,
    /// Its IPv4 addresses.
    pub addresses: Vec<LinkAddress>,
    /// Its link-layer address, where it has one.
    pub mac: Option<[u8; 6]>,
    /// What it leads to.
    pub kind: LinkKind,
}

/// What an interface leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkKind {
    /// This machine itself.
    Loopback,
    /// A segment on which everybody hears a broadcast.
    Broadcast,
    /// One other host.
    PointToPoint,
}

/// An IPv4 address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkAddress {
    /// The address.
    pub address: Ipv4Addr,
    /// What is reached without a router.
    pub network: Ipv4Net,
    /// Where everybody on it is reached, where there is such an address.
    pub broadcast: Option<Ipv4Addr>,
}

impl Link {
    /// The interfaces that are up now.
    ///
    /// # Errors
    /// What the system reports.
    pub fn all() -> io::Result<Vec<Self>> {
        let mut links: Vec<Self> = Vec::new();
        for entry in getifaddrs()?.filter(|entry| entry.flags.contains(InterfaceFlags::IFF_UP)) {
            // An interface that has gone since has no number any more. An alias, `eth0:1`, is its interface.
            let name = entry.interface_name.split(':').next().unwrap_or_default();
            let position = links.iter().position(|link| link.name == name);
            let link = match position.and_then(|position| links.get_mut(position)) {
                Some(link) => link,
                None => {
                    let Ok(index) = if_nametoindex(name) else { continue };
                    let kind = LinkKind::of(entry.flags);
                    links.push(Self { name: name.to_owned(), index, addresses: Vec::new(), mac: None, kind });
                    let Some(link) = links.last_mut() else { continue };
                    link
                }
            };
            let Some(address) = entry.address else { continue };
            if let Some(mac) = address.as_link_addr().and_then(|link| link.addr()) {
                link.mac = Some(mac).filter(|mac| *mac != [0; 6]);
            }
            let Some(address) = address.as_sockaddr_in().map(|address| address.ip()) else { continue };
            let netmask = entry.netmask.as_ref().and_then(|mask| mask.as_sockaddr_in());
            let length = netmask.map_or(32, |mask| mask.ip().to_bits().leading_ones());
            let network = Ipv4Net::new_assert(address, u8::try_from(length).unwrap_or(32)).trunc();
            let broadcast = entry.broadcast.as_ref().and_then(|broadcast| broadcast.as_sockaddr_in());
            let broadcast =
                broadcast.map(|broadcast| broadcast.ip()).filter(|_| link.kind == LinkKind::Broadcast);
            link.addresses.push(LinkAddress { address, network, broadcast });
        }
        Ok(links)
    }

    /// Whether NetBIOS is heard and answered on it. Loopback always is: who can send there is this machine.
    #[must_use]
    pub fn is_among(&self, interfaces: &Interfaces) -> bool {
        self.kind == LinkKind::Loopback
            || match interfaces {
                Interfaces::All => !self.has_public_address(),
                Interfaces::Named(names) => names.contains(&self.name),
            }
    }

    /// Whether the Internet may reach it.
    #[must_use]
    pub fn has_public_address(&self) -> bool {
        self.addresses.iter().any(|address| is_public(address.address))
    }
}

impl LinkKind {
    fn of(flags: InterfaceFlags) -> Self {
        if flags.contains(InterfaceFlags::IFF_LOOPBACK) {
            Self::Loopback
        } else if flags.contains(InterfaceFlags::IFF_POINTOPOINT) {
            Self::PointToPoint
        } else {
            Self::Broadcast
        }
    }
}

/// Whether an address is of the Internet, and of none of the blocks set apart for other uses (RFC 6890).
fn is_public(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let benchmarking = a == 198 && (18..20).contains(&b);
    let protocol_assignments = (a, b, c) == (192, 0, 0);
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || shared
        || benchmarking
        || protocol_assignments
        || a == 0
        || a >= 224)
}

/// What is known of the interfaces. It is read again from time to time, and when a message comes from where, as far as
/// is known, none can come from: an address that was assigned a moment ago costs nobody's message.
#[derive(Debug, Default)]
pub struct Links {
    links: Vec<Link>,
    read_at: Option<Instant>,
    told: Vec<String>,
}

impl Links {
    /// Nothing read yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a message that arrived so is heard.
    #[must_use]
    pub fn admit(&mut self, reach: &Reach, arrival: &Arrival, now: Instant) -> bool {
        // What has this source address was sent by this machine: no router brings it.
        if arrival.source.ip().to_canonical().is_loopback() {
            return true;
        }
        if self.is_older(KEPT, now) {
            self.read(reach, now);
        }
        self.reaches(reach, arrival)
            || self.is_older(AGAIN, now) && {
                self.read(reach, now);
                self.reaches(reach, arrival)
            }
    }

    fn reaches(&self, reach: &Reach, arrival: &Arrival) -> bool {
        let is_its_own = |link: &&Link| match (arrival.interface, arrival.destination) {
            (Some(index), _) => link.index == index,
            (None, Some(IpAddr::V4(own))) => link.addresses.iter().any(|address| address.address == own),
            (None, _) => false,
        };
        let came_by = self.links.iter().find(is_its_own);
        let is_heard = match (came_by, &reach.interfaces) {
            (Some(link), interfaces) => link.is_among(interfaces),
            // One without an address hears broadcasts all the same.
            (None, Interfaces::All) => true,
            (None, Interfaces::Named(_)) => false,
        };
        is_heard && reach.allow.contains(arrival.source.ip(), self.networks())
    }

    fn networks(&self) -> impl Iterator<Item = Ipv4Net> {
        self.links.iter().flat_map(|link| &link.addresses).map(|address| address.network)
    }

    fn is_older(&self, age: Duration, now: Instant) -> bool {
        self.read_at.is_none_or(|at| now.saturating_duration_since(at) >= age)
    }

    fn read(&mut self, reach: &Reach, now: Instant) {
        self.read_at = Some(now);
        match Link::all() {
            Ok(links) => self.links = links,
            Err(error) => {
                tracing::warn!(%error, "The interfaces could not be read; what was known of them is used.");
            }
        }
        for link in self.links.iter().filter(|link| !link.is_among(&reach.interfaces)) {
            if reach.interfaces == Interfaces::All && !self.told.contains(&link.name) {
                self.told.push(link.name.clone());
                tracing::warn!(
                    interface = %link.name,
                    "An interface has a public address, so NetBIOS is not heard there; if its segment is yours, \
                     name it in `netbios.interfaces`."
                );
            }
        }
    }
}

/// How old what is known may be.
const KEPT: Duration = Duration::from_secs(30);

/// How long it is good enough to say no.
const AGAIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::message::notice::Listener;

    fn link(name: &str, index: u32, address: &str, kind: LinkKind) -> Link {
        let network: Ipv4Net = address.parse().unwrap();
        let broadcast = Some(network.broadcast());
        let address = LinkAddress { address: network.addr(), network: network.trunc(), broadcast };
        Link { name: name.to_owned(), index, addresses: vec![address], mac: None, kind }
    }

    fn links() -> Vec<Link> {
        vec![
            link("lo", 1, "127.0.0.1/8", LinkKind::Loopback),
            link("eth0", 2, "192.0.2.1/24", LinkKind::Broadcast),
            link("wan0", 3, "8.8.4.4/24", LinkKind::Broadcast),
            Link { addresses: Vec::new(), ..link("bare0", 4, "192.0.2.1/24", LinkKind::Broadcast) },
        ]
    }

    fn reach(interfaces: Interfaces) -> Reach {
        Reach { interfaces, allow: AllowedSources::OnLink }
    }

    fn reaches(reach: &Reach, source: &str, interface: Option<u32>, destination: &str) -> bool {
        let arrival = Arrival {
            at: Timestamp::UNIX_EPOCH,
            source: format!("{source}:138").parse().unwrap(),
            destination: Some(destination.parse().unwrap()),
            interface,
            listener: Listener::Datagram,
        };
        Links { links: links(), ..Links::new() }.reaches(reach, &arrival)
    }

    #[test]
    fn all_are_those_without_a_public_address() {
        let reach = reach(Interfaces::All);
        assert!(reaches(&reach, "192.0.2.7", Some(2), "192.0.2.255"));
        assert!(!reaches(&reach, "8.8.4.5", Some(3), "8.8.4.255"), "the Internet");
        assert!(
            !reaches(&reach, "192.0.2.7", Some(3), "8.8.4.4"),
            "forged, through the Internet's interface"
        );
        assert!(reaches(&reach, "192.0.2.7", Some(4), "255.255.255.255"), "a mirror port has no address");
        assert!(reaches(&reach, "192.0.2.1", Some(1), "192.0.2.1"), "this machine to itself");
    }

    #[test]
    fn a_public_one_is_heard_when_it_is_named_and_the_others_are_not() {
        let reach = reach(Interfaces::Named(vec!["wan0".to_owned()]));
        assert!(reaches(&reach, "8.8.4.5", Some(3), "8.8.4.255"));
        assert!(!reaches(&reach, "192.0.2.7", Some(2), "192.0.2.255"));
        assert!(!reaches(&reach, "8.8.4.5", Some(9), "8.8.4.255"), "one that nobody knows");
    }

    #[test]
    fn a_session_came_by_the_interface_that_has_its_address() {
        let reach = reach(Interfaces::All);
        assert!(reaches(&reach, "192.0.2.7", None, "192.0.2.1"));
        assert!(!reaches(&reach, "192.0.2.7", None, "8.8.4.4"));
    }

    #[test]
    fn blocks_set_apart_are_not_the_internet() {
        for text in [
            "10.1.2.3",
            "172.31.0.1",
            "192.168.1.1",
            "127.0.0.1",
            "169.254.1.1",
            "100.64.0.1",
            "192.0.0.8",
            "192.0.2.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "0.0.0.0",
            "255.255.255.255",
            "240.0.0.1",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        for text in ["8.8.8.8", "172.32.0.1", "100.128.0.1", "192.0.1.1", "198.20.0.1", "1.1.1.1"] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn this_machine_has_a_loopback_interface() {
        let links = Link::all().unwrap();
        let lo = links.iter().find(|link| link.kind == LinkKind::Loopback).unwrap();
        assert!(lo.addresses.iter().any(|address| address.network.to_string() == "127.0.0.0/8"));
        assert_eq!(if_nametoindex(lo.name.as_str()).unwrap(), lo.index);
    }
}
