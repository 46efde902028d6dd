//! Configurations that would make an open relay: refused by `check`, and so at start.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::domain::{AcceptedDomains, DomainPattern};
use super::{ListenerPolicy, canonical};
use crate::policy::account::Cleartext;
use crate::policy::nat64::translated_part;

/// Why a listener would relay for strangers. Displays as the cause, without a full stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenRelayFault {
    /// These of its trusted networks are together everybody.
    Everybody {
        /// Their places in `trusted_networks`, ascending.
        networks: Vec<usize>,
        /// What they add up to: `0.0.0.0/0` or `::/0`.
        sum: IpNet,
    },
    /// These of its trusted networks are together a public network that no one organisation has.
    TooWide {
        /// Their places in `trusted_networks`, ascending.
        networks: Vec<usize>,
        /// What they add up to: IPv4 wider than /16, IPv6 wider than /32.
        sum: IpNet,
    },
    /// All its trusted networks together have more public IPv4 addresses than a /8.
    TooMany {
        /// The places of those that are public, ascending.
        networks: Vec<usize>,
    },
    /// Anybody may send a password without TLS: that is for devices in trusted networks, and there are none.
    CleartextForAnybody,
}

impl OpenRelayFault {
    /// The places in `trusted_networks` that it is about; empty: the listener's `auth`.
    #[must_use]
    pub fn networks(&self) -> &[usize] {
        match self {
            Self::Everybody { networks, .. }
            | Self::TooWide { networks, .. }
            | Self::TooMany { networks } => networks,
            Self::CleartextForAnybody => &[],
        }
    }

    /// How to mend it, beginning in lower case and without a full stop.
    #[must_use]
    pub const fn fix(&self) -> &'static str {
        match self {
            Self::Everybody { .. } => {
                "name the networks of your own devices; who may send from anywhere must authenticate"
            }
            Self::TooWide { .. } | Self::TooMany { .. } => {
                "name your own networks only: public ones of at most /16 (IPv4) or /32 (IPv6) each; others must \
                 authenticate"
            }
            Self::CleartextForAnybody => {
                "set require_tls: true, or name the networks of the devices that cannot use TLS in trusted_networks"
            }
        }
    }
}

impl fmt::Display for OpenRelayFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everybody { networks, sum } if networks.len() == 1 => {
                write!(f, "{sum} is everybody: this would be an open relay")
            }
            Self::Everybody { sum, .. } => {
                write!(f, "these networks add up to {sum}, everybody: this would be an open relay")
            }
            Self::TooWide { networks, sum } if networks.len() == 1 => {
                write!(f, "{sum} is wider than any one organisation's network: strangers could relay")
            }
            Self::TooWide { sum, .. } => write!(
                f,
                "these networks add up to {sum}, wider than any one organisation's network: strangers could relay"
            ),
            Self::TooMany { .. } => f.write_str(
                "the public networks have more addresses than a /8 together: strangers could relay",
            ),
            Self::CleartextForAnybody => f.write_str(
                "anybody could read passwords on their way here: they may come without TLS, from anywhere",
            ),
        }
    }
}

/// What would make a listener an open relay; empty: nothing. `cleartext` is that of its AUTH, where it has one.
///
/// Trust is refused to whoever could be a stranger however far `relay_to` goes, since trust also lifts limits, rates and
/// the tar pit.
#[must_use]
pub fn open_relay_faults(listener: &ListenerPolicy, cleartext: Option<Cleartext>) -> Vec<OpenRelayFault> {
    let public: Vec<(usize, IpNet)> = listener
        .trusted_networks
        .iter()
        .map(|trusted| exposed(trusted.network))
        .enumerate()
        .filter(|(_, network)| !is_private(*network))
        .collect();
    let sums = IpNet::aggregate(&public.iter().map(|(_, network)| *network).collect());
    let within = |sum: &IpNet| -> Vec<usize> {
        public.iter().filter(|(_, network)| sum.contains(network)).map(|(place, _)| *place).collect()
    };
    let mut faults: Vec<OpenRelayFault> = sums
        .iter()
        .filter(|sum| sum.prefix_len() < widest(sum))
        .map(|sum| match sum.prefix_len() {
            0 => OpenRelayFault::Everybody { networks: within(sum), sum: *sum },
            _ => OpenRelayFault::TooWide { networks: within(sum), sum: *sum },
        })
        .collect();
    if faults.is_empty() && addresses(&sums) > ADDRESSES_OF_AN_8 {
        let networks = public.iter().filter(|(_, network)| matches!(network, IpNet::V4(_)));
        faults.push(OpenRelayFault::TooMany { networks: networks.map(|(place, _)| *place).collect() });
    }
    if cleartext == Some(Cleartext::Allowed) && listener.trusted_networks.is_empty() {
        faults.push(OpenRelayFault::CleartextForAnybody);
    }
    faults
}

/// The places of accepted domains that are all domains below a top-level domain (`.com`): everybody's.
///
/// Names that no registry gives out (`.local`, `.internal`, …) are nobody's but the operator's.
#[must_use]
pub fn domains_of_everybody(accepted: &AcceptedDomains) -> Vec<usize> {
    let everybody = |pattern: &DomainPattern| match pattern {
        DomainPattern::Below(parent) => {
            !parent.as_str().contains('.') && !NOT_DELEGATED.contains(&parent.as_str())
        }
        DomainPattern::Exact(_) => false,
    };
    let places = accepted.patterns().iter().enumerate();
    places.filter(|(_, pattern)| everybody(pattern)).map(|(place, _)| place).collect()
}

/// A proxy that is inside a trusted network, or has one inside its own: should it pass a connection on without a PROXY
/// header, the client would be trusted for the proxy's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrustedProxy {
    /// Its place among the proxies.
    pub proxy: usize,
    /// The trusted network's place in `trusted_networks`.
    pub network: usize,
}

/// The proxies of a listener that are in its trusted networks: worth a warning.
#[must_use]
pub fn trusted_proxies(listener: &ListenerPolicy, proxies: &[IpNet]) -> Vec<TrustedProxy> {
    let overlap = |one: IpNet, other: IpNet| one.contains(&other) || other.contains(&one);
    let first = |proxy: IpNet| {
        listener.trusted_networks.iter().position(|trusted| overlap(canonical(trusted.network), proxy))
    };
    proxies
        .iter()
        .enumerate()
        .filter_map(|(proxy, network)| Some(TrustedProxy { proxy, network: first(canonical(*network))? }))
        .collect()
}

/// A router that is inside a trusted network: what it lets in under its own address, as one does that translates
/// addresses, would be trusted wherever it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrustedRouter {
    /// Its address.
    pub router: IpAddr,
    /// The trusted network's place in `trusted_networks`.
    pub network: usize,
}

/// The routers that are in a listener's trusted networks: worth a warning. One whose entry is for it alone was thought
/// of.
#[must_use]
pub fn trusted_routers(listener: &ListenerPolicy, routers: &[IpAddr]) -> Vec<TrustedRouter> {
    let deciding = |router: IpAddr| {
        let networks = listener.trusted_networks.iter().map(|trusted| canonical(trusted.network));
        let (network, found) = networks.enumerate().find(|(_, found)| found.contains(&router))?;
        (found.prefix_len() < found.max_prefix_len()).then_some(TrustedRouter { router, network })
    };
    routers.iter().filter_map(|router| deciding(router.to_canonical())).collect()
}

/// Who could come from a network: from addresses that NAT64 makes, all IPv4 clients that they stand for.
fn exposed(network: IpNet) -> IpNet {
    let network = canonical(network).trunc();
    match translated_part(network) {
        // One that is too wide already is told as it is written.
        Some(part) if network.prefix_len() >= widest(&network) => IpNet::V4(part),
        Some(_) | None => network,
    }
}

/// The shortest prefix of a public network that one organisation may have.
const fn widest(network: &IpNet) -> u8 {
    match network {
        IpNet::V4(_) => 16,
        IpNet::V6(_) => 32,
    }
}

fn is_private(network: IpNet) -> bool {
    match network {
        IpNet::V4(network) => PRIVATE_IPV4
            .iter()
            .any(|&(address, prefix)| Ipv4Net::new(address, prefix).is_ok_and(|own| own.contains(&network))),
        IpNet::V6(network) => PRIVATE_IPV6
            .iter()
            .any(|&(address, prefix)| Ipv6Net::new(address, prefix).is_ok_and(|own| own.contains(&network))),
    }
}

/// IPv4 addresses of networks that do not overlap.
fn addresses(networks: &[IpNet]) -> u64 {
    networks.iter().fold(0, |sum: u64, network| match network {
        IpNet::V4(network) => {
            let host_bits = 32_u32.saturating_sub(network.prefix_len().into());
            sum.saturating_add(1_u64.checked_shl(host_bits).unwrap_or(u64::MAX))
        }
        IpNet::V6(_) => sum,
    })
}

const ADDRESSES_OF_AN_8: u64 = 1 << 24;

/// RFC 1918, RFC 6598 (shared address space, used behind carriers and inside overlay networks), loopback, link-local.
const PRIVATE_IPV4: [(Ipv4Addr, u8); 6] = [
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
];

/// RFC 4193, link-local, loopback.
const PRIVATE_IPV6: [(Ipv6Addr, u8); 3] = [
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
    (Ipv6Addr::LOCALHOST, 128),
];

/// Top-level names that are kept out of the DNS (RFC 2606, RFC 6762 §3 and appendix G, `internal` by ICANN).
const NOT_DELEGATED: [&str; 11] = [
    "corp",
    "example",
    "home",
    "internal",
    "intranet",
    "invalid",
    "lan",
    "local",
    "localhost",
    "private",
    "test",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::id::ListenerName;
    use crate::policy::relay::{Authentication, RelayTo, TrustedNetwork};

    fn listener(networks: &[&str]) -> ListenerPolicy {
        let trusted = |text: &&str| TrustedNetwork {
            network: text.parse().unwrap(),
            relay_to: RelayTo::AcceptedDomains,
            from: None,
            rate: None,
        };
        ListenerPolicy {
            name: ListenerName::new("mx").unwrap(),
            trusted_networks: networks.iter().map(trusted).collect(),
            authentication: Authentication::Optional,
        }
    }

    fn told(networks: &[&str]) -> Vec<(Vec<usize>, String)> {
        open_relay_faults(&listener(networks), None)
            .iter()
            .map(|fault| (fault.networks().to_vec(), fault.to_string()))
            .collect()
    }

    #[test]
    fn everybody_is_refused_however_it_is_cut_into_pieces() {
        let everybody = "these networks add up to 0.0.0.0/0, everybody: this would be an open relay";
        let alone = "0.0.0.0/0 is everybody: this would be an open relay";
        assert_eq!(told(&["0.0.0.0/0"]), [(vec![0], alone.to_owned())]);
        assert_eq!(told(&["::ffff:0:0/96"]), [(vec![0], alone.to_owned())]);
        assert_eq!(
            told(&["128.0.0.0/1", "192.0.2.1/32", "0.0.0.0/1"]),
            [(vec![0, 1, 2], everybody.to_owned())]
        );
        let quarters = ["192.168.0.0/16", "0.0.0.0/2", "64.0.0.0/2", "128.0.0.0/2", "192.0.0.0/2"];
        assert_eq!(told(&quarters), [(vec![1, 2, 3, 4], everybody.to_owned())]);
        let eighths: Vec<String> = (0..256).map(|first| format!("{first}.0.0.0/8")).collect();
        let eighths: Vec<&str> = eighths.iter().map(String::as_str).collect();
        assert!(!told(&eighths).is_empty());
        assert_eq!(told(&["::/1", "8000::/1"])[0].0, [0, 1]);
        assert_eq!(told(&["::/0"])[0].1, "::/0 is everybody: this would be an open relay");
        // A whole Internet of IPv4 in sixteens is told too, and quickly.
        let sixteens: Vec<String> =
            (0..=u16::MAX).map(|n| format!("{}.{}.0.0/16", n >> 8, n & 255)).collect();
        let sixteens: Vec<&str> = sixteens.iter().map(String::as_str).collect();
        assert!(!told(&sixteens).is_empty());
    }

    #[test]
    fn a_public_network_wider_than_one_organisation_has_is_refused() {
        for (networks, places) in [
            (&["203.0.0.0/15"][..], &[0][..]),
            (&["203.0.0.0/16"], &[]),
            (&["192.0.2.0/24", "203.0.0.0/16", "203.1.0.0/16"], &[1, 2]),
            (&["203.0.0.0/16", "203.2.0.0/16"], &[]),
            (&["2001:db8::/31"], &[0]),
            (&["2001:db8::/32"], &[]),
            (&["10.0.0.0/7"], &[0]),
            (&["172.16.0.0/11"], &[0]),
            (&["192.168.0.0/15"], &[0]),
            (&["fe00::/6"], &[0]),
            // Private ones may be as wide as they are.
            (&["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16"], &[]),
            (&["100.64.0.0/10", "fc00::/7", "fe80::/10", "::1/128"], &[]),
        ] {
            let found: Vec<usize> = told(networks).into_iter().flat_map(|(places, _)| places).collect();
            assert_eq!(found, places, "{networks:?}");
        }
        let (_, words) = told(&["203.0.0.0/16", "203.1.0.0/16"]).remove(0);
        assert_eq!(
            words,
            "these networks add up to 203.0.0.0/15, wider than any one organisation's network: strangers could relay"
        );
    }

    #[test]
    fn the_ipv4_internet_behind_nat64_is_everybody_too() {
        let everybody = "0.0.0.0/0 is everybody: this would be an open relay";
        for network in ["64:ff9b::/96", "64:ff9b::/64", "64:ff9b::/32"] {
            assert_eq!(told(&[network]), [(vec![0], everybody.to_owned())], "{network}");
        }
        assert_eq!(told(&["64:ff9b::/97", "2001:db8::/32", "128.0.0.0/1"])[0].0, [0, 2]);
        assert_eq!(told(&["64:ff9b::cb00:0/111"])[0].0, [0]);
        assert_eq!(told(&["64:ff9b::cb00:7100/120", "64:ff9b::10.0.0.0/104", "64:ff9b:1::/48"]), []);
        assert_eq!(told(&["::/0"])[0].1, "::/0 is everybody: this would be an open relay");
    }

    #[test]
    fn many_networks_that_touch_nowhere_are_counted_together() {
        let every_second: Vec<String> =
            (0..600).map(|n| format!("{}.{}.0.0/16", 1 + (n >> 7), (n & 127) * 2)).collect();
        let list: Vec<&str> = every_second.iter().map(String::as_str).collect();
        assert_eq!(told(list.get(..256).unwrap()), []);
        assert_eq!(told(&list)[0].0.len(), 600);
    }

    #[test]
    fn passwords_in_the_clear_are_for_devices_in_trusted_networks_only() {
        let clear = Some(Cleartext::Allowed);
        assert_eq!(open_relay_faults(&listener(&[]), clear), [OpenRelayFault::CleartextForAnybody]);
        assert_eq!(open_relay_faults(&listener(&["192.0.2.0/24"]), clear), []);
        assert_eq!(open_relay_faults(&listener(&[]), Some(Cleartext::Refused)), []);
        assert_eq!(open_relay_faults(&listener(&[]), None), []);
    }

    #[test]
    fn all_domains_below_a_top_level_are_everybodys() {
        let patterns = [".com", ".corp.example", "com", ".local", ".xn--p1ai", ".example"];
        let accepted =
            AcceptedDomains::new(patterns.map(|text| DomainPattern::parse(text).unwrap()).to_vec());
        assert_eq!(domains_of_everybody(&accepted), [0, 4]);
    }

    #[test]
    fn a_proxy_inside_a_trusted_network_is_pointed_out() {
        let listener = listener(&["192.0.2.0/24", "198.51.100.7/32"]);
        let proxies = ["203.0.113.1/32", "198.51.100.0/24", "::ffff:192.0.2.9/128"];
        let proxies: Vec<IpNet> = proxies.iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(
            trusted_proxies(&listener, &proxies),
            [TrustedProxy { proxy: 1, network: 1 }, TrustedProxy { proxy: 2, network: 0 }]
        );
    }

    #[test]
    fn a_router_inside_a_trusted_network_is_pointed_out_unless_it_has_an_entry_of_its_own() {
        let routers = ["192.0.2.1", "2001:db8:7::1", "203.0.113.1"];
        let routers: Vec<IpAddr> = routers.iter().map(|text| text.parse().unwrap()).collect();
        let pointed_out = |networks: &[&str]| trusted_routers(&listener(networks), &routers);
        let [v4, v6] =
            [(routers[0], 0), (routers[1], 1)].map(|(router, network)| TrustedRouter { router, network });
        assert_eq!(pointed_out(&["192.0.2.0/24", "2001:db8:7::/64"]), [v4, v6]);
        assert_eq!(pointed_out(&["::ffff:192.0.2.0/120", "198.51.100.0/24"]), [v4]);
        assert_eq!(pointed_out(&["192.0.2.1/32", "192.0.2.0/24", "2001:db8:7::1/128"]), []);
        assert_eq!(pointed_out(&["192.0.2.0/24", "192.0.2.1/32"]), [v4], "the first decides");
    }
}
