//! Whose packets of the name service are answered.

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};

use ipnet::{IpNet, Ipv4Net};

/// Who is answered beside the hosts of the network that a packet came in by.
///
/// Nobody else is: an answer to an address far away, which anyone can write into a packet, would make this host a
/// reflector.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NameAskers {
    /// WINS servers that names are registered with: they ask the owner before they give a name to somebody else.
    pub wins: Vec<Ipv4Addr>,
    /// Further networks.
    pub allow: Vec<IpNet>,
}

impl NameAskers {
    /// Whether a packet from `source` is answered that came in by an interface of these networks.
    #[must_use]
    pub fn contain(&self, source: SocketAddrV4, on_link: impl Iterator<Item = Ipv4Net>) -> bool {
        let address = *source.ip();
        let nobody = address.is_unspecified() || address.is_multicast() || address.is_broadcast();
        if nobody || source.port() == 0 {
            return false;
        }
        let mut is_neighbour = false;
        for network in on_link.filter(|network| network.contains(&address)) {
            if is_everybody_of(network, address) {
                return false;
            }
            is_neighbour = true;
        }
        is_neighbour
            || self.wins.contains(&address)
            || self.allow.iter().any(|network| network.contains(&IpAddr::V4(address)))
    }
}

/// Whether `address` is no host's: the network's own address, or its broadcast address.
fn is_everybody_of(network: Ipv4Net, address: Ipv4Addr) -> bool {
    network.prefix_len() < 31 && (address == network.network() || address == network.broadcast())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_wins_servers_and_allowed_networks_are_answered_and_nobody_else() {
        let askers = NameAskers {
            wins: vec![Ipv4Addr::new(198, 51, 100, 5)],
            allow: vec!["203.0.113.0/25".parse().unwrap()],
        };
        let on_link: [Ipv4Net; 2] = ["192.0.2.0/24".parse().unwrap(), "10.0.0.0/31".parse().unwrap()];
        for (source, answered) in [
            ("192.0.2.77:1025", true),
            ("198.51.100.5:137", true),
            ("198.51.100.6:137", false),
            ("203.0.113.9:137", true),
            ("203.0.113.200:137", false),
            ("10.0.0.0:137", true),
            ("192.0.2.0:137", false),
            ("192.0.2.255:137", false),
            ("192.0.2.77:0", false),
            ("0.0.0.0:137", false),
            ("255.255.255.255:137", false),
            ("224.0.0.1:137", false),
        ] {
            assert_eq!(askers.contain(source.parse().unwrap(), on_link.into_iter()), answered, "{source}");
        }
    }

    #[test]
    fn even_where_everybody_is_allowed_nobody_is_made_to_answer_a_whole_network() {
        let askers = NameAskers { wins: Vec::new(), allow: vec!["0.0.0.0/0".parse().unwrap()] };
        let on_link: Ipv4Net = "192.0.2.0/24".parse().unwrap();
        for source in
            ["0.0.0.0:137", "255.255.255.255:137", "239.1.1.1:137", "192.0.2.255:137", "192.0.2.0:137"]
        {
            assert!(!askers.contain(source.parse().unwrap(), std::iter::once(on_link)), "{source}");
        }
    }
}
