//! The address of a broker: `scheme://user:password@host:port/path` (RFC 3986 §3).

use std::net::{IpAddr, Ipv6Addr};

use zeroize::Zeroizing;

use super::domain_fault;

/// An address, taken apart. Parts that were not there are `None`.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct BrokerUrl<'u> {
    pub(super) scheme: &'u str,
    pub(super) user: Option<String>,
    pub(super) password: Option<Zeroizing<String>>,
    pub(super) host: String,
    pub(super) port: Option<u16>,
    /// Behind the slash.
    pub(super) path: Option<String>,
}

/// Why a text is no address. Never quotes it: a password may be in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UrlFault {
    Scheme,
    Host,
    Port,
    Escape,
    Query,
}

impl UrlFault {
    pub(super) const fn cause(self) -> &'static str {
        match self {
            Self::Scheme => "is no address: it has no `://`",
            Self::Host => "names neither a host nor an IP address behind its `://`",
            Self::Port => "has no port from 1 to 65535 behind its last colon",
            Self::Escape => "has a `%` that is not followed by two hexadecimal digits of UTF-8 text",
            Self::Query => "has a `?` or `#` in it",
        }
    }

    pub(super) const fn fix(self) -> &'static str {
        match self {
            Self::Scheme | Self::Host | Self::Port => "write it like `scheme://host:port`",
            Self::Escape => "write a percent sign itself as `%25`",
            Self::Query => {
                "what stands behind it has keys of its own here; in a name or a password, write `%3F` or `%23`"
            }
        }
    }
}

impl<'u> BrokerUrl<'u> {
    /// Takes an address apart and resolves its escapes.
    pub(super) fn parse(text: &'u str) -> Result<Self, UrlFault> {
        let (scheme, rest) = text.split_once("://").ok_or(UrlFault::Scheme)?;
        if rest.contains(['?', '#']) {
            return Err(UrlFault::Query);
        }
        let (authority, path) = match rest.split_once('/') {
            Some((authority, path)) => (authority, Some(unescape(path)?)),
            None => (rest, None),
        };
        let (identity, place) = match authority.rsplit_once('@') {
            Some((identity, place)) => (Some(identity), place),
            None => (None, authority),
        };
        let (user, password) =
            match identity.map(|identity| identity.split_once(':').unwrap_or((identity, ""))) {
                Some((user, password)) => {
                    (filled(unescape(user)?), filled(unescape(password)?).map(Zeroizing::new))
                }
                None => (None, None),
            };
        let (host, port) = host_and_port(place)?;
        Ok(Self { scheme, user, password, host, port, path })
    }
}

fn filled(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn host_and_port(place: &str) -> Result<(String, Option<u16>), UrlFault> {
    let port = |port: &str| port.parse().ok().filter(|port| *port > 0).ok_or(UrlFault::Port);
    if let Some(bracketed) = place.strip_prefix('[') {
        let (address, rest) = bracketed.split_once(']').ok_or(UrlFault::Host)?;
        let address: Ipv6Addr = address.parse().map_err(|_| UrlFault::Host)?;
        return match rest.strip_prefix(':') {
            Some(text) => Ok((address.to_string(), Some(port(text)?))),
            None if rest.is_empty() => Ok((address.to_string(), None)),
            None => Err(UrlFault::Port),
        };
    }
    let (host, port) = match place.split_once(':') {
        Some((host, text)) => (host, Some(port(text)?)),
        None => (place, None),
    };
    if host.parse::<IpAddr>().is_err() && domain_fault(host).is_some() {
        return Err(UrlFault::Host);
    }
    Ok((host.to_owned(), port))
}

/// The text behind percent escapes (RFC 3986 §2.1).
fn unescape(text: &str) -> Result<String, UrlFault> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        let digit = |octet: Option<u8>| octet.and_then(|octet| char::from(octet).to_digit(16));
        octets.push(match octet {
            b'%' => match (digit(rest.next()), digit(rest.next())) {
                (Some(high), Some(low)) => u8::try_from(high * 16 + low).map_err(|_| UrlFault::Escape)?,
                _ => return Err(UrlFault::Escape),
            },
            other => other,
        });
    }
    String::from_utf8(octets).map_err(|_| UrlFault::Escape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_found_and_its_escapes_resolved() {
        let url = BrokerUrl::parse("amqps://gw%40site:p%2Fw%3a%25@mq.plant.example:5671/%2Fplant").unwrap();
        assert_eq!((url.scheme, url.host.as_str(), url.port), ("amqps", "mq.plant.example", Some(5671)));
        assert_eq!(url.user.as_deref(), Some("gw@site"));
        assert_eq!(url.password.as_ref().map(|password| password.as_str()), Some("p/w:%"));
        assert_eq!(url.path.as_deref(), Some("/plant"));
    }

    #[test]
    fn what_is_not_there_is_none() {
        let url = BrokerUrl::parse("redis://192.0.2.7").unwrap();
        assert_eq!((url.host.as_str(), url.port, url.user.as_deref()), ("192.0.2.7", None, None));
        assert!(url.password.is_none() && url.path.is_none());
        let url = BrokerUrl::parse("redis://:secret@[2001:db8::7]:6380/").unwrap();
        assert_eq!((url.host.as_str(), url.port), ("2001:db8::7", Some(6380)));
        assert!(url.user.is_none() && url.password.is_some());
        assert_eq!(url.path.as_deref(), Some(""));
    }

    #[test]
    fn what_is_no_address_is_told_by_its_fault() {
        let faults = [
            ("mq.plant.example:5672", UrlFault::Scheme),
            ("amqp://", UrlFault::Host),
            ("amqp://mq plant", UrlFault::Host),
            ("amqp://[2001:db8::7", UrlFault::Host),
            ("amqp://mq.example:0", UrlFault::Port),
            ("amqp://mq.example:70000", UrlFault::Port),
            ("amqp://2001:db8::7", UrlFault::Port),
            ("amqp://[::1]5672", UrlFault::Port),
            ("amqp://mq.example/%2", UrlFault::Escape),
            ("amqp://mq.example/%FF", UrlFault::Escape),
            ("amqp://mq.example/?heartbeat=5", UrlFault::Query),
        ];
        for (text, fault) in faults {
            assert_eq!(BrokerUrl::parse(text).err(), Some(fault), "{text}");
        }
    }
}
