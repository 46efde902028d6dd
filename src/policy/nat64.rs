//! IPv4 addresses behind the well-known prefix of address translators, `64:ff9b::/96` (RFC 6052 §2.1): an IPv4 client
//! that comes through NAT64 (RFC 6146) is still that client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

/// The address that a translator made this one of, or this one.
#[must_use]
pub fn untranslated(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(translated) => embedded(translated).map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// The IPv4 network whose addresses are translated to those of this one; all of IPv4 where it has them all.
#[must_use]
pub fn translated_part(network: IpNet) -> Option<Ipv4Net> {
    let IpNet::V6(network) = network else { return None };
    let own_prefix = match network.prefix_len().checked_sub(PREFIX) {
        Some(prefix) => (embedded(network.network())?, prefix),
        None => network.contains(&FIRST).then_some((Ipv4Addr::UNSPECIFIED, 0))?,
    };
    let (address, prefix) = own_prefix;
    Ipv4Net::new(address, prefix).ok().map(|network| network.trunc())
}

fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [head @ .., a, b, c, d] = address.octets();
    let [known @ .., _, _, _, _] = FIRST.octets();
    (head == known).then_some(Ipv4Addr::new(a, b, c, d))
}

const FIRST: Ipv6Addr = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0);
const PREFIX: u8 = 96;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_translated_address_is_the_ipv4_address_that_it_was() {
        for (address, before) in [
            ("64:ff9b::203.0.113.7", "203.0.113.7"),
            ("64:ff9b::1:203.0.113.7", "64:ff9b::1:203.0.113.7"),
            ("64:ff9b:1::203.0.113.7", "64:ff9b:1::203.0.113.7"),
            ("203.0.113.7", "203.0.113.7"),
        ] {
            assert_eq!(
                untranslated(address.parse().unwrap()),
                before.parse::<IpAddr>().unwrap(),
                "{address}"
            );
        }
    }

    #[test]
    fn a_network_has_the_ipv4_network_that_is_translated_to_it() {
        for (network, part) in [
            ("64:ff9b::/96", Some("0.0.0.0/0")),
            ("64:ff9b::/64", Some("0.0.0.0/0")),
            ("::/0", Some("0.0.0.0/0")),
            ("64:ff9b::cb00:7100/120", Some("203.0.113.0/24")),
            ("64:ff9b::203.0.113.7/128", Some("203.0.113.7/32")),
            ("64:ff9b:1::/48", None),
            ("2001:db8::/32", None),
            ("0.0.0.0/0", None),
        ] {
            let found = translated_part(network.parse().unwrap()).map(|part| part.to_string());
            assert_eq!(found.as_deref(), part, "{network}");
        }
    }
}
