//! The URL of a directory server: scheme, host and port, nothing else.

use std::fmt;
use std::net::Ipv6Addr;

use rustls::pki_types::ServerName;

/// `ldap://host[:port]` or `ldaps://host[:port]`, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::directory) struct ServerUrl {
    scheme: Scheme,
    host: String,
    port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Ldap,
    Ldaps,
}

impl ServerUrl {
    /// `None` for anything else, a path or a user for example. A trailing slash does no harm.
    pub(in crate::directory) fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "ldap" => Scheme::Ldap,
            "ldaps" => Scheme::Ldaps,
            _ => return None,
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (literal, port) = rest.split_once(']')?;
                literal.parse::<Ipv6Addr>().ok()?;
                (literal, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        ServerName::try_from(host).ok()?;
        let port = match port {
            Some(port) => port.parse().ok().filter(|&port| port != 0)?,
            None => scheme.port(),
        };
        Some(Self { scheme, host: host.to_owned(), port })
    }

    pub(in crate::directory) const fn is_ldaps(&self) -> bool {
        matches!(self.scheme, Scheme::Ldaps)
    }

    pub(in crate::directory) fn host(&self) -> &str {
        &self.host
    }

    pub(in crate::directory) const fn port(&self) -> u16 {
        self.port
    }
}

impl Scheme {
    const fn port(self) -> u16 {
        match self {
            Self::Ldap => 389,
            Self::Ldaps => 636,
        }
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_ldaps() { "ldaps" } else { "ldap" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_by_scheme_host_and_port() {
        for (url, shown) in [
            ("ldaps://dc1.corp.example", "ldaps://dc1.corp.example:636"),
            ("LDAP://dc1.corp.example/", "ldap://dc1.corp.example:389"),
            ("ldaps://dc1.corp.example:3269", "ldaps://dc1.corp.example:3269"),
            ("ldap://192.0.2.1:1389", "ldap://192.0.2.1:1389"),
            ("ldap://[2001:db8::1]:389", "ldap://[2001:db8::1]:389"),
        ] {
            assert_eq!(ServerUrl::parse(url).unwrap().to_string(), shown);
        }
        for url in [
            "dc1.corp.example",
            "http://dc1.corp.example",
            "ldap://",
            "ldap://dc1:0",
            "ldap://dc1:port",
            "ldap://user@dc1",
            "ldap://dc1/dc=corp",
            "ldap://[dc1]",
            "ldapi://%2frun%2fldapi",
        ] {
            assert_eq!(ServerUrl::parse(url), None, "{url}");
        }
    }
}
