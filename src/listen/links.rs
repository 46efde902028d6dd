//! The interfaces of this machine: which are heard, and who is reached through them without a router.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::Ipv4Net;

use crate::config::settings::Interfaces;
use crate::message::notice::Arrival;
pub use crate::net::link::{Link, LinkAddress, LinkKind};
use crate::policy::allowed_sources::AllowedSources;

/// Whose messages are heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// The interfaces they come by.
    pub interfaces: Interfaces,
    /// The addresses they come from.
    pub allow: AllowedSources,
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
}
