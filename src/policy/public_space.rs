//! Which IPv4 networks have addresses of the Internet.

use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};

/// Whether a network has IPv4 addresses of the Internet: whether no block set apart for other uses has all of it.
#[must_use]
pub fn covers_public(network: IpNet) -> bool {
    match network {
        IpNet::V4(network) => !SET_APART.iter().any(|&(address, prefix)| {
            Ipv4Net::new(address, prefix).is_ok_and(|block| block.contains(&network))
        }),
        IpNet::V6(_) => false,
    }
}

/// Of RFC 6890, §2.2.2, with RFC 5771 §3 (multicast).
const SET_APART: [(Ipv4Addr, u8); 13] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    // Multicast and reserved addresses.
    (Ipv4Addr::new(224, 0, 0, 0), 3),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_wider_than_a_block_set_apart_has_addresses_of_the_internet() {
        for (text, public) in [
            ("0.0.0.0/0", true),
            ("10.0.0.0/7", true),
            ("8.8.8.0/24", true),
            ("10.0.0.0/8", false),
            ("::/0", false),
        ] {
            assert_eq!(covers_public(text.parse().unwrap()), public, "{text}");
        }
    }
}
