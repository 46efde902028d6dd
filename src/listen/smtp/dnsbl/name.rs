//! Which names are asked for, and about whom (RFC 5782 §2.1, §2.4).

use std::fmt::Write as _;
use std::net::IpAddr;

/// The name under which a list has this address, with the final dot: octets or nibbles backwards before its domain.
pub(super) fn question(client: IpAddr, list: &str) -> String {
    let mut name = String::new();
    match client {
        IpAddr::V4(address) => {
            for octet in address.octets().iter().rev() {
                // Writing to a String cannot fail.
                let _written = write!(name, "{octet}.");
            }
        }
        IpAddr::V6(address) => {
            for octet in address.octets().iter().rev() {
                let _written = write!(name, "{:x}.{:x}.", octet & 0xF, octet >> 4);
            }
        }
    }
    name.push_str(list.trim_end_matches('.'));
    name.push('.');
    name
}

/// Whether a list can have something to say about this address. Those inside a site, and those that no route leads to,
/// mean something else everywhere.
pub(super) const fn is_public(client: IpAddr) -> bool {
    match client {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            let is_shared = first == 100 && second & 0xC0 == 64; // RFC 6598
            !(first == 0
                || first >= 224
                || is_shared
                || address.is_private()
                || address.is_loopback()
                || address.is_link_local())
        }
        IpAddr::V6(address) => {
            !(address.is_unspecified()
                || address.is_loopback()
                || address.is_multicast()
                || address.is_unique_local()
                || address.is_unicast_link_local())
        }
    }
}

/// Whether this is a domain, in ASCII, before which the nibbles of an IPv6 address have room (RFC 1035 §2.3.4).
pub(super) fn is_list_domain(domain: &str) -> bool {
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet))
    };
    domain.len() <= MAX_DOMAIN && domain.contains('.') && domain.split('.').all(is_label)
}

/// 253 octets of a name, less 32 nibbles with their dots.
const MAX_DOMAIN: usize = 253 - 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_stand_backwards_before_the_domain() {
        for (client, name) in [
            ("192.0.2.99", "99.2.0.192.zen.dnsbl.example."),
            (
                "2001:db8:1:2:3:4:567:89ab",
                "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.zen.dnsbl.example.",
            ),
        ] {
            assert_eq!(question(client.parse().unwrap(), "zen.dnsbl.example"), name);
        }
        assert_eq!(question("192.0.2.1".parse().unwrap(), "bl.example."), "1.2.0.192.bl.example.");
    }

    #[test]
    fn nobody_is_asked_about_addresses_inside_a_site() {
        for (client, public) in [
            ("192.0.2.1", true),
            ("100.63.0.1", true),
            ("100.64.0.1", false),
            ("100.127.255.255", false),
            ("100.128.0.1", true),
            ("10.1.2.3", false),
            ("172.16.0.1", false),
            ("192.168.1.1", false),
            ("127.0.0.1", false),
            ("169.254.1.1", false),
            ("0.0.0.0", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("2001:db8::1", true),
            ("::1", false),
            ("::", false),
            ("fe80::1", false),
            ("fd00::1", false),
            ("ff02::1", false),
        ] {
            assert_eq!(is_public(client.parse().unwrap()), public, "{client}");
        }
    }

    #[test]
    fn a_list_has_a_domain_before_which_an_address_has_room() {
        let long = ["a".repeat(63).as_str(); 3].join(".");
        for (domain, good) in [
            ("zen.dnsbl.example", true),
            ("key_1.zen.dnsbl.example.", true),
            ("", false),
            ("zen", false),
            ("zen..example", false),
            ("-zen.example", false),
            ("zen dnsbl.example", false),
            (&long, false),
        ] {
            assert_eq!(is_list_domain(domain), good, "{domain:?}");
        }
    }
}
