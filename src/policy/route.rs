//! Where accepted mail goes: by the domain of each recipient, the first route that matches.

use std::fmt;

use crate::message::id::DestinationName;
use crate::policy::relay::{DomainName, DomainPattern};
use crate::wire::smtp::path::Mailbox;

/// Where mail for a domain goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The recipient's domain.
    pub domain: RouteDomain,
    /// The destination.
    pub via: DestinationName,
}

/// The recipient's domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteDomain {
    /// Every other one, and address literals.
    Any,
    /// These.
    Domain(DomainPattern),
}

impl fmt::Display for RouteDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Domain(pattern) => pattern.fmt(f),
        }
    }
}

/// The route that mail for this recipient takes: the first that matches. `None`: it has nowhere to go.
#[must_use]
pub fn route_of<'r>(routes: &'r [Route], recipient: &Mailbox) -> Option<&'r Route> {
    let domain = DomainName::parse(recipient.domain()).ok();
    routes.iter().find(|route| match &route.domain {
        RouteDomain::Any => true,
        RouteDomain::Domain(pattern) => domain.as_ref().is_some_and(|domain| pattern.matches(domain)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(list: &[(&str, &str)]) -> Vec<Route> {
        list.iter()
            .map(|(domain, via)| Route {
                domain: match *domain {
                    "*" => RouteDomain::Any,
                    text => RouteDomain::Domain(DomainPattern::parse(text).unwrap()),
                },
                via: DestinationName::new(via).unwrap(),
            })
            .collect()
    }

    #[test]
    fn the_first_route_that_matches_is_taken() {
        let all = routes(&[("corp.example", "onprem"), (".corp.example", "branches"), ("*", "smarthost")]);
        let via = |routes: &[Route], recipient: &str| {
            route_of(routes, &Mailbox::parse(recipient).unwrap()).map(|route| route.via.to_string())
        };
        for (recipient, destination) in [
            ("a@Corp.Example", "onprem"),
            ("a@berlin.corp.example", "branches"),
            ("a@evilcorp.example", "smarthost"),
            ("\"a@corp.example\"@elsewhere.example", "smarthost"),
            ("a@[192.0.2.1]", "smarthost"),
        ] {
            assert_eq!(via(&all, recipient).as_deref(), Some(destination), "{recipient}");
        }
        assert_eq!(via(all.get(..2).unwrap(), "a@elsewhere.example"), None);
        assert_eq!(
            via(&routes(&[("*", "first"), ("corp.example", "never")]), "a@corp.example").as_deref(),
            Some("first")
        );
    }
}
