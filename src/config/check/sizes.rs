//! How great a mail may be that fits wherever its route leads.

use super::super::problem::Problem;
use super::super::settings::{Destination, DestinationKind, RouteSizes};
use super::Checking;
use super::destinations::Destinations;
use super::relay::{CheckedRelay, LEAST_MESSAGE};
use super::routes::covers;
use crate::config::show::size;
use crate::policy::route::{Route, RouteDomain};

impl Checking<'_> {
    /// The smallest sizes on the routes. Notes each destination on one of them that takes less than every server must.
    pub(super) fn route_sizes(&mut self, relay: &CheckedRelay, destinations: &Destinations) -> RouteSizes {
        let routes = &*relay.policy.routes;
        for (destination, place) in &destinations.known {
            let is_used = routes.iter().any(|route| route.via == destination.name);
            let least = destination.kind.mail_size().filter(|least| is_used && *least < LEAST_MESSAGE);
            if let (Some(least), Some(place)) = (least, place) {
                let cause = format!(
                    "takes mail of at most {}, and every server must take messages of 64KiB (RFC 5321 §4.5.3.1.7)",
                    size(least)
                );
                self.problem(Problem::subject(place, cause, fix(&destination.kind)));
            }
        }
        let known = || destinations.known.iter().map(|(destination, _)| destination);
        let of_accepted = relay.accepted.iter().flat_map(|domain| {
            let domain = RouteDomain::Domain(domain.value.clone());
            routes_of(routes, domain)
        });
        RouteSizes {
            accepted_domains: of_accepted.filter_map(|route| size_of(route, known())).min(),
            any: routes.iter().filter_map(|route| size_of(route, known())).min(),
        }
    }
}

fn fix(kind: &DestinationKind) -> &'static str {
    if kind.address_form().is_of_event() {
        "write `limits: { message_size: 256KiB }` or more: an event is a third larger than its mail"
    } else {
        "write a greater `limits.message_size`"
    }
}

/// The routes that mail for a domain, or for those below one, may take.
fn routes_of(routes: &[Route], domain: RouteDomain) -> Vec<&Route> {
    let end = routes.iter().position(|route| covers(&route.domain, &domain));
    let possible = routes.iter().take(end.map_or(routes.len(), |end| end.saturating_add(1)));
    possible.filter(|route| covers(&route.domain, &domain) || covers(&domain, &route.domain)).collect()
}

fn size_of<'d>(route: &Route, mut known: impl Iterator<Item = &'d Destination>) -> Option<u64> {
    known.find(|destination| destination.name == route.via)?.kind.mail_size()
}

#[cfg(all(test, feature = "nats"))]
mod tests {
    use jiff::tz::TimeZone;

    use crate::config::check::{Secrets, Source, Surroundings, check};
    use crate::config::settings::RouteSizes;

    fn checked(routes: &str, accepted: &str) -> Result<RouteSizes, String> {
        let text = format!(
            "hostname: gw1.corp.example\nnetbios: {{ code_page: cp850 }}\nrelay:\n  accepted_domains: {accepted}\n\
             \x20 routes: {routes}\ndestinations:\n\
             \x20 hop: {{ submission: {{ host: a.example, auth: none, limits: {{ message_size: 10MiB }} }} }}\n\
             \x20 free: {{ submission: {{ host: b.example, auth: none }} }}\n\
             \x20 bus: {{ nats: {{ servers: 'nats://127.0.0.1', stream: X }} }}\n\
             \x20 wide: {{ nats: {{ servers: 'nats://127.0.0.1', stream: X, limits: {{ message_size: 8MiB }} }} }}\n\
             \x20 tiny: {{ nats: {{ servers: 'nats://127.0.0.1', stream: X, limits: {{ message_size: 100KiB }} }} }}\n"
        );
        let surroundings = Surroundings {
            state_dir: "/var/lib/mailslotd".into(),
            timezone: TimeZone::UTC,
            secrets: Secrets::Offline,
            routers: Vec::new(),
            interfaces: Vec::new(),
        };
        let checked = check(&[Source { file: "a.yaml", text: &text }], &surroundings);
        checked.map(|checked| checked.settings.smtp.limits.routes).map_err(|problems| problems.to_string())
    }

    #[test]
    fn mail_to_accepted_domains_is_bound_by_the_routes_that_it_can_take_alone() {
        let hop = Some((10 << 20) - (4 << 10));
        let wide = Some(((8 << 20) - (48 << 10)) / 4 * 3);
        let bus = Some(((1 << 20) - (48 << 10)) / 4 * 3);
        let routes = "[{ domain: a.example, via: hop }, { domain: x.b.example, via: wide, to: m }, \
                      { domain: .b.example, via: free }, { domain: '*', via: bus, to: m }]";
        for (accepted, expected) in [
            ("[a.example]", hop),
            ("[b.example]", bus),
            ("[.b.example]", wide),
            ("[y.b.example]", None),
            ("[a.example, .b.example]", wide.min(hop)),
            ("[]", None),
        ] {
            let sizes = RouteSizes { accepted_domains: expected, any: bus };
            assert_eq!(checked(routes, accepted), Ok(sizes), "{accepted}");
        }
    }

    #[test]
    fn a_destination_that_takes_less_than_every_server_must_is_refused_on_a_route_alone() {
        let error = checked("[{ domain: '*', via: tiny, to: m }]", "[]").unwrap_err();
        assert!(error.contains("destinations.tiny takes mail of at most 39KiB"), "{error}");
        assert!(checked("[{ domain: '*', via: hop }]", "[]").is_ok());
    }
}
