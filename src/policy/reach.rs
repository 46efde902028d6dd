//! How far a destination may lie: whether an address is of the Internet, or of a part of the network where a request of
//! ours would be trusted more than its sender is (server-side request forgery, CWE-918).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::nat64::untranslated;

/// Where a client may connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Anywhere.
    Anywhere,
    /// Only to addresses of the Internet: none for which [`special`] has a word.
    PublicOnly,
}

impl Reach {
    /// Why a connection to this address is refused; nothing where it is not.
    #[must_use]
    pub fn refusal(self, address: IpAddr) -> Option<Special> {
        match self {
            Self::Anywhere => None,
            Self::PublicOnly => special(address),
        }
    }
}

/// Blocks of addresses that are set apart for other uses than the Internet (RFC 6890 and its registries).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    /// This machine itself, `0.0.0.0` and `::` included.
    Loopback,
    /// RFC 1918, RFC 4193 and the site-local addresses before them.
    Private,
    /// Between a provider's translators and its customers (RFC 6598).
    Shared,
    /// The segment itself (RFC 3927, RFC 4291 §2.5.6).
    LinkLocal,
    /// Where a virtual machine asks its cloud for its credentials.
    Metadata,
    /// Many hosts at once.
    Multicast,
    /// Documentation, benchmarks, protocols, the future.
    Reserved,
}

impl fmt::Display for Special {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "this machine itself",
            Self::Private => "an address of a private network",
            Self::Shared => "an address inside a provider's network",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "the metadata service of a cloud",
            Self::Multicast => "a multicast address",
            Self::Reserved => "a reserved address",
        })
    }
}

/// What an address is set apart for; nothing where it is one of the Internet. An IPv4 address inside an IPv6 one (mapped,
/// compatible, NAT64, 6to4) counts as itself.
#[must_use]
pub fn special(address: IpAddr) -> Option<Special> {
    match untranslated(address) {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => match embedded(address) {
            Some(address) => special_v4(address),
            None => special_v6(address),
        },
    }
}

fn special_v4(address: Ipv4Addr) -> Option<Special> {
    let [a, b, c, d] = address.octets();
    match (a, b, c, d) {
        // Amazon, Google, Microsoft, Oracle and others; Microsoft's second; Alibaba's.
        (169, 254, 169, 254) | (168, 63, 129, 16) | (100, 100, 100, 200) => Some(Special::Metadata),
        (0 | 127, ..) => Some(Special::Loopback),
        (10, ..) | (172, 16..=31, ..) | (192, 168, ..) => Some(Special::Private),
        (100, 64..=127, ..) => Some(Special::Shared),
        (169, 254, ..) => Some(Special::LinkLocal),
        (224..=239, ..) => Some(Special::Multicast),
        (192, 0, 0 | 2, _) | (198, 18..=19, ..) | (198, 51, 100, _) | (203, 0, 113, _) | (240.., ..) => {
            Some(Special::Reserved)
        }
        _ => None,
    }
}

fn special_v6(address: Ipv6Addr) -> Option<Special> {
    let [first, second, ..] = address.segments();
    match (first, second) {
        _ if address == AMAZON_METADATA => Some(Special::Metadata),
        _ if address.is_loopback() || address.is_unspecified() => Some(Special::Loopback),
        // Besides the unique local ones: the old site-local ones, and translators' own prefixes (RFC 8215).
        (0xFC00..=0xFDFF | 0xFEC0..=0xFEFF, _) => Some(Special::Private),
        (0x64, 0xFF9B) => Some(Special::Private),
        (0xFE80..=0xFEBF, _) => Some(Special::LinkLocal),
        (0xFF00.., _) => Some(Special::Multicast),
        // Teredo and other protocols, and both blocks for documentation.
        (0x2001, 0..=0x1FF | 0xDB8) | (0x3FFF, 0..=0xFFF) => Some(Special::Reserved),
        (0x2000..=0x3FFF, _) => None,
        // Nothing else was given to anybody.
        _ => Some(Special::Reserved),
    }
}

/// The IPv4 address that a mapped, compatible or 6to4 address stands for.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, _, _] = address.segments();
    let [.., octets_12, octets_13, octets_14, octets_15] = address.octets();
    let last = Ipv4Addr::new(octets_12, octets_13, octets_14, octets_15);
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0xFFFF] => Some(last),
        [0, 0, 0, 0, 0, 0] if !address.is_loopback() => Some(last),
        [0x2002, high, low, ..] => {
            let [[a, b], [c, d]] = [high.to_be_bytes(), low.to_be_bytes()];
            Some(Ipv4Addr::new(a, b, c, d))
        }
        _ => None,
    }
}

const AMAZON_METADATA: Ipv6Addr = Ipv6Addr::new(0xFD00, 0xEC2, 0, 0, 0, 0, 0, 0x254);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_internet_are_public() {
        for (address, expected) in [
            ("8.8.8.8", None),
            ("172.32.0.1", None),
            ("100.63.255.255", None),
            ("100.128.0.1", None),
            ("192.0.1.1", None),
            ("2606:4700::1111", None),
            ("2a00::1", None),
            ("64:ff9b::8.8.8.8", None),
            ("2002:808:808::1", None),
            ("::ffff:8.8.8.8", None),
            ("127.0.0.1", Some(Special::Loopback)),
            ("127.255.255.254", Some(Special::Loopback)),
            ("0.0.0.0", Some(Special::Loopback)),
            ("::", Some(Special::Loopback)),
            ("::1", Some(Special::Loopback)),
            ("::ffff:127.0.0.1", Some(Special::Loopback)),
            ("::127.0.0.1", Some(Special::Loopback)),
            ("64:ff9b::127.0.0.1", Some(Special::Loopback)),
            ("2002:7f00:1::", Some(Special::Loopback)),
            ("10.1.2.3", Some(Special::Private)),
            ("172.16.0.1", Some(Special::Private)),
            ("192.168.1.1", Some(Special::Private)),
            ("::ffff:192.168.1.1", Some(Special::Private)),
            ("64:ff9b::10.0.0.1", Some(Special::Private)),
            ("64:ff9b:1::a00:1", Some(Special::Private)),
            ("fd12:3456::1", Some(Special::Private)),
            ("fec0::1", Some(Special::Private)),
            ("100.64.0.1", Some(Special::Shared)),
            ("169.254.1.1", Some(Special::LinkLocal)),
            ("fe80::1", Some(Special::LinkLocal)),
            ("169.254.169.254", Some(Special::Metadata)),
            ("::ffff:169.254.169.254", Some(Special::Metadata)),
            ("64:ff9b::a9fe:a9fe", Some(Special::Metadata)),
            ("100.100.100.200", Some(Special::Metadata)),
            ("168.63.129.16", Some(Special::Metadata)),
            ("fd00:ec2::254", Some(Special::Metadata)),
            ("224.0.0.1", Some(Special::Multicast)),
            ("ff02::1", Some(Special::Multicast)),
            ("192.0.2.1", Some(Special::Reserved)),
            ("255.255.255.255", Some(Special::Reserved)),
            ("2001:db8::1", Some(Special::Reserved)),
            ("2001::1", Some(Special::Reserved)),
            ("4000::1", Some(Special::Reserved)),
        ] {
            assert_eq!(special(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn who_may_go_anywhere_is_refused_nothing() {
        let own = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert_eq!(Reach::Anywhere.refusal(own), None);
        assert_eq!(Reach::PublicOnly.refusal(own), Some(Special::Loopback));
    }
}
