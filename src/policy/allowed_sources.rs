//! Whose legacy messages may be delivered, and whose questions answered: `netbios.allow`.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

/// The addresses that are listened to. This machine itself, by a loopback address, always is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedSources {
    /// Those that an interface reaches without a router.
    OnLink,
    /// Those of these networks, whatever the interfaces reach.
    Networks(Vec<IpNet>),
}

impl AllowedSources {
    /// Whether it is one of them, where `on_link` are the networks that the interfaces reach without a router.
    #[must_use]
    pub fn contains(&self, source: IpAddr, on_link: impl IntoIterator<Item = Ipv4Net>) -> bool {
        let source = source.to_canonical();
        source.is_loopback()
            || match (self, source) {
                (Self::OnLink, IpAddr::V4(source)) => on_link.into_iter().any(|link| link.contains(&source)),
                // NetBIOS exists over IPv4 only.
                (Self::OnLink, IpAddr::V6(_)) => false,
                (Self::Networks(networks), source) => {
                    networks.iter().any(|network| network.contains(&source))
                }
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn expect(allowed: &AllowedSources, source: &str, answer: bool) {
        let on_link = ["192.0.2.0/25".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
        assert_eq!(allowed.contains(source.parse().unwrap(), on_link), answer, "{source}");
    }

    #[test]
    fn on_link_are_the_networks_of_all_interfaces_and_nothing_behind_a_router() {
        let allowed = AllowedSources::OnLink;
        for (source, answer) in [("192.0.2.7", true), ("10.9.9.9", true), ("192.0.2.200", false)] {
            expect(&allowed, source, answer);
        }
        expect(&allowed, "::ffff:192.0.2.7", true);
        expect(&allowed, "fe80::1", false);
    }

    #[test]
    fn written_networks_stand_for_themselves_and_do_not_contain_what_is_on_link() {
        let allowed = AllowedSources::Networks(vec!["198.51.100.0/24".parse().unwrap()]);
        expect(&allowed, "198.51.100.9", true);
        expect(&allowed, "192.0.2.7", false);
    }

    #[test]
    fn this_machine_is_always_heard_when_it_speaks_to_itself() {
        expect(&AllowedSources::Networks(Vec::new()), "127.0.0.1", true);
    }
}
