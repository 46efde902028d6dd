//! `relay.routes`: where accepted mail goes.

use super::super::problem::{Place, Problem};
use super::super::raw::{self, At};
use super::super::settings::DestinationKind;
use super::Checking;
use super::destinations::Destinations;
use super::relay::CheckedRelay;
use crate::policy::relay::DomainPattern;
use crate::policy::route::{FolderName, Route, RouteDomain, RouteTo};

impl Checking<'_> {
    pub(super) fn routes(
        &mut self,
        routes: Option<At<raw::Many<raw::Route>>>,
        destinations: &Destinations,
    ) -> Vec<Route> {
        let mut checked: Vec<(Route, Place)> = Vec::new();
        for At { value: route, place } in routes.map(|routes| routes.value.0).unwrap_or_default() {
            let Some(route) = self.route(route, destinations) else { continue };
            if let Some((earlier, at)) =
                checked.iter().find(|(earlier, _)| covers(&earlier.domain, &route.domain))
            {
                let of_file = if at.file == place.file { String::new() } else { format!(" of {}", at.file) };
                let cause = format!(
                    "can never match: `{}` on line {}{of_file} matches first",
                    earlier.domain, at.line
                );
                let fix = format!("move it above line {}{of_file}, or delete it", at.line);
                self.problem(Problem::subject(&place, cause, fix));
            }
            checked.push((route, place));
        }
        checked.into_iter().map(|(route, _)| route).collect()
    }

    fn route(&mut self, route: raw::Route, destinations: &Destinations) -> Option<Route> {
        let raw::Route { place, lost, domain, via, folder } = route;
        if domain.is_none() {
            let fix = "add it, for example `domain: corp.example`, or `domain: '*'` for every other";
            self.missing(&place, &lost, "domain", fix);
        }
        if via.is_none() {
            self.missing(&place, &lost, "via", "add the name of a destination, for example `via: smarthost`");
        }
        let destination = self.destination(&via?, destinations)?;
        let to = match (&destination.kind, folder) {
            // Of a recipient a display sees the local part.
            (
                DestinationKind::Submission(_) | DestinationKind::Netbios(_) | DestinationKind::Nats(_),
                None,
            ) => RouteTo::Recipient,
            (
                kind @ (DestinationKind::Submission(_)
                | DestinationKind::Netbios(_)
                | DestinationKind::Nats(_)),
                Some(folder),
            ) => {
                let is = if matches!(kind, DestinationKind::Netbios(_)) {
                    "goes to displays"
                } else if kind.address_form().is_of_event() {
                    "takes events"
                } else {
                    "is a next hop"
                };
                let cause = format!("{} {is} and has no folders", destination.name);
                self.problem(folder.problem(cause, "remove it, or name a Maildir in `via`"));
                RouteTo::Recipient
            }
            (DestinationKind::Maildir(_), None) => RouteTo::Folder(FolderName::default()),
            (DestinationKind::Maildir(_), Some(folder)) => {
                RouteTo::Folder(self.folder_name(&folder.value, &folder.place).unwrap_or_default())
            }
        };
        Some(Route { domain: domain?.value, via: destination.name.clone(), to })
    }

    /// Every accepted domain needs a route, or its mail would be refused.
    pub(super) fn accepted_domains_are_routed(&mut self, relay: &CheckedRelay) {
        for At { value: domain, place } in &relay.accepted {
            let narrow = RouteDomain::Domain(domain.clone());
            if !relay.policy.routes.iter().any(|route| covers(&route.domain, &narrow)) {
                let cause = format!("mail for {domain} is accepted, but no route says where it goes");
                let fix = format!("add to `relay.routes`: `- {{ domain: {domain}, via: … }}`");
                self.problem(Problem::new(place, cause, fix));
            }
        }
    }
}

/// Whether every recipient of `narrow` is one of `wide`.
fn covers(wide: &RouteDomain, narrow: &RouteDomain) -> bool {
    match (wide, narrow) {
        (RouteDomain::Any, _) => true,
        (RouteDomain::Domain(_), RouteDomain::Any) => false,
        (RouteDomain::Domain(wide), RouteDomain::Domain(narrow)) => {
            let (DomainPattern::Exact(inner) | DomainPattern::Below(inner)) = narrow;
            wide == narrow || matches!(wide, DomainPattern::Below(_)) && wide.matches(inner)
        }
    }
}
