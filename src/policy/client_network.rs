//! What counts as one client: limits, debts and failures are kept by network, not by address.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::nat64::untranslated;

/// The network that a client is counted under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientNetwork(IpNet);

impl ClientNetwork {
    /// As a network with its prefix length.
    #[must_use]
    pub const fn network(self) -> IpNet {
        self.0
    }

    /// The /48 that it is a part of, such as one customer may have whole (RFC 6177 §2). `None`: it is IPv4, private or no
    /// smaller than that.
    #[must_use]
    pub fn site(self) -> Option<Self> {
        let IpNet::V6(network) = self.0 else { return None };
        let address = network.network();
        let is_private =
            address.is_unique_local() || address.is_loopback() || address.is_unicast_link_local();
        if is_private || network.prefix_len() <= SITE {
            return None;
        }
        Ipv6Net::new(address, SITE).ok().map(|site| Self(IpNet::V6(site.trunc())))
    }
}

impl std::fmt::Display for ClientNetwork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// How many leading bits of an address make one client network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefixes {
    /// Of public IPv4 addresses; 0 to 32.
    pub ipv4: u8,
    /// Of IPv6 addresses that are not private; 0 to 128.
    pub ipv6: u8,
    /// Of private IPv4 addresses (RFC 1918), loopback and link-local ones; 0 to 32. IPv6 ones (RFC 4193, link-local,
    /// loopback) always count one by one.
    pub private: u8,
}

impl Default for Prefixes {
    /// /24, /64, and private addresses one by one: a /24 of scanners must not pay for one stale address book.
    fn default() -> Self {
        Self { ipv4: 24, ipv6: 64, private: 32 }
    }
}

impl Prefixes {
    /// The network that this address counts under. An IPv4 address mapped into IPv6 counts as the IPv4 address, and so
    /// does one translated by NAT64 (RFC 6052), or all of IPv4 would be one client.
    #[must_use]
    pub fn network_of(&self, address: IpAddr) -> ClientNetwork {
        let address = untranslated(address.to_canonical());
        let network = match address {
            IpAddr::V4(address) => {
                let private = address.is_private() || address.is_loopback() || address.is_link_local();
                let prefix = if private { self.private } else { self.ipv4 };
                Ipv4Net::new(address, prefix).map(|network| IpNet::V4(network.trunc()))
            }
            IpAddr::V6(address) => {
                let private =
                    address.is_unique_local() || address.is_loopback() || address.is_unicast_link_local();
                let prefix = if private { 128 } else { self.ipv6 };
                Ipv6Net::new(address, prefix).map(|network| IpNet::V6(network.trunc()))
            }
        };
        // A prefix that is too long counts the address alone.
        ClientNetwork(network.unwrap_or_else(|_| IpNet::from(address)))
    }
}

/// The prefix length of a site.
const SITE: u8 = 48;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_addresses_count_by_network_and_private_ones_one_by_one() {
        let network = |text: &str| Prefixes::default().network_of(text.parse().unwrap()).to_string();
        assert_eq!(network("203.0.113.77"), "203.0.113.0/24");
        assert_eq!(network("::ffff:203.0.113.77"), "203.0.113.0/24");
        assert_eq!(network("64:ff9b::203.0.113.77"), "203.0.113.0/24");
        assert_eq!(network("64:ff9b::192.168.7.9"), "192.168.7.9/32");
        assert_eq!(network("2001:db8:1:2:3::4"), "2001:db8:1:2::/64");
        assert_eq!(network("192.168.7.9"), "192.168.7.9/32");
        assert_eq!(network("127.3.4.1"), "127.3.4.1/32");
        assert_eq!(network("fe80::1"), "fe80::1/128");
    }

    #[test]
    fn a_public_ipv6_network_is_part_of_a_site_and_others_are_not() {
        let site = |address: &str, ipv6| {
            let prefixes = Prefixes { ipv6, ..Prefixes::default() };
            prefixes.network_of(address.parse().unwrap()).site().map(|site| site.to_string())
        };
        assert_eq!(site("2001:db8:1:2:3::4", 64).as_deref(), Some("2001:db8:1::/48"));
        assert_eq!(site("2001:db8:1:2:3::4", 128).as_deref(), Some("2001:db8:1::/48"));
        assert_eq!(site("2001:db8:1:2:3::4", 48), None);
        for address in ["203.0.113.77", "::ffff:203.0.113.77", "fd00:1:2:3::4", "fe80::1", "::1"] {
            assert_eq!(site(address, 64), None, "{address}");
        }
    }
}
