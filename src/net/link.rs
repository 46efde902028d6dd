//! The interfaces of this machine.

use std::io;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::{InterfaceFlags, if_nametoindex};

use crate::config::settings::Interfaces;
use crate::policy::reach;

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

fn is_public(address: Ipv4Addr) -> bool {
    reach::special(address.into()).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

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
