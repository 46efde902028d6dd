//! The proxy through which HTTP leaves a network.

use std::net::IpAddr;

use ipnet::IpNet;

use super::queue::Secret;
use crate::wire::url::Host;

/// An HTTP proxy (RFC 9110 §3.7): a tunnel for `https:`, an intermediary for `http:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundProxy {
    /// Its host.
    pub host: Host,
    /// Its port.
    pub port: u16,
    /// Who we are there, where it wants to know.
    pub login: Option<ProxyLogin>,
    /// What is reached without it; this machine always is.
    pub except: Vec<ProxyException>,
}

/// A user of a proxy and the secret that proves it (Basic, RFC 7617).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyLogin {
    /// The name; no colon in it.
    pub user: String,
    /// The password.
    pub password: Secret,
}

/// What is reached without the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProxyException {
    /// One host.
    Host(String),
    /// Every host below a domain, but not the domain itself.
    Below(String),
    /// Addresses, where a URL has one in place of a name: names are not resolved for this.
    Network(IpNet),
}

impl OutboundProxy {
    /// Whether this host is reached through it.
    #[must_use]
    pub fn serves(&self, host: &Host) -> bool {
        let own = match host {
            Host::Name(name) => name == "localhost" || is_below(name, "localhost"),
            Host::Address(address) => address.to_canonical().is_loopback(),
        };
        !own && !self.except.iter().any(|exception| exception.covers(host))
    }
}

impl ProxyException {
    fn covers(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Host(exempt), Host::Name(name)) => name == exempt,
            (Self::Below(domain), Host::Name(name)) => is_below(name, domain),
            (Self::Network(network), Host::Address(address)) => {
                network.contains(address) || network.contains::<&IpAddr>(&address.to_canonical())
            }
            (Self::Host(_) | Self::Below(_), Host::Address(_)) | (Self::Network(_), Host::Name(_)) => false,
        }
    }
}

fn is_below(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exempt_hosts_and_this_machine_are_reached_without_the_proxy() {
        let proxy = OutboundProxy {
            host: Host::parse("proxy.corp.example").unwrap(),
            port: 3128,
            login: None,
            except: vec![
                ProxyException::Host("hooks.example".to_owned()),
                ProxyException::Below("corp.example".to_owned()),
                ProxyException::Network("192.0.2.0/24".parse().unwrap()),
            ],
        };
        for (host, served) in [
            ("hooks.example", false),
            ("a.hooks.example", true),
            ("a.corp.example", false),
            ("corp.example", true),
            ("evilcorp.example", true),
            ("192.0.2.7", false),
            ("[::ffff:192.0.2.7]", false),
            ("198.51.100.7", true),
            ("localhost", false),
            ("127.0.0.1", false),
            ("[::1]", false),
            ("[::ffff:127.0.0.1]", false),
            ("notlocalhost", true),
        ] {
            assert_eq!(proxy.serves(&Host::parse(host).unwrap()), served, "{host}");
        }
    }
}
