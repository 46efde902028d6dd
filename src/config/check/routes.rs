//! `relay.routes`: where accepted mail goes.

use super::super::problem::{Place, Problem};
use super::super::raw::{self, At, Lost};
use super::super::settings::Destination;
use super::destinations::Destinations;
use super::relay::CheckedRelay;
use super::{Checking, address};
use crate::policy::mapping::Context;
use crate::policy::relay::DomainPattern;
use crate::policy::route::{Route, RouteDomain, RouteTo};
use crate::policy::template::{AddressForm, AddressTemplate, MailField, Template};

impl Checking<'_> {
    pub(super) fn routes(
        &mut self,
        routes: Option<At<raw::Many<raw::Route>>>,
        destinations: &Destinations,
        context: &Context,
    ) -> Vec<Route> {
        let mut checked: Vec<(Route, Place)> = Vec::new();
        for At { value: route, place } in routes.map(|routes| routes.value.0).unwrap_or_default() {
            let Some(route) = self.route(route, destinations, context) else { continue };
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

    fn route(&mut self, route: raw::Route, destinations: &Destinations, context: &Context) -> Option<Route> {
        let raw::Route { place, lost, domain, via, folder, to } = route;
        if domain.is_none() {
            let fix = "add it, for example `domain: corp.example`, or `domain: '*'` for every other";
            self.missing(&place, &lost, "domain", fix);
        }
        if via.is_none() {
            self.missing(&place, &lost, "via", "add the name of a destination, for example `via: smarthost`");
        }
        let destination = self.destination(&via?, destinations)?;
        let form = destination.kind.address_form();
        if let Some(folder) = folder.as_ref().filter(|_| form != AddressForm::Folder) {
            let cause = format!("{} {} and has no folders", destination.name, is(form));
            let fix = if form.is_of_event() {
                "write `to:` instead"
            } else {
                "remove it, or name a Maildir in `via`"
            };
            self.problem(folder.problem(cause, fix));
        }
        if let Some(to) = to.as_ref().filter(|_| !form.is_of_event()) {
            let (where_mail, fix) = if form == AddressForm::Folder {
                ("whose mail lies in folders", "write `folder:` instead")
            } else {
                ("where mail goes to its recipients", "remove it")
            };
            let cause = format!("{} {}, {where_mail}", destination.name, is(form));
            self.problem(to.problem(cause, fix));
        }
        let to = match form {
            // Of a recipient a display sees the local part.
            AddressForm::Mailbox | AddressForm::Display => RouteTo::Recipient,
            AddressForm::Folder => RouteTo::Folder(
                folder.and_then(|folder| self.folder_name(&folder.value, &folder.place)).unwrap_or_default(),
            ),
            AddressForm::NatsSubject
            | AddressForm::RoutingKey
            | AddressForm::MqttTopic
            | AddressForm::RedisStream
            | AddressForm::EventSubject => {
                RouteTo::Address(self.events_address(to, destination, (&place, &lost), context)?)
            }
        };
        Some(Route { domain: domain?.value, via: destination.name.clone(), to })
    }

    fn events_address(
        &mut self,
        to: Option<At<Template<MailField>>>,
        destination: &Destination,
        (place, lost): (&Place, &Lost),
        context: &Context,
    ) -> Option<AddressTemplate<MailField>> {
        let form = destination.kind.address_form();
        let Some(to) = to else {
            if let Some(default) = destination.kind.default_address() {
                return Some(AddressTemplate::constant(default, form));
            }
            self.missing(place, lost, "to", address::missing(Some(form)));
            return None;
        };
        let constant = |field| match field {
            MailField::Host => Some(context.host.clone()),
            MailField::Site => Some(context.site.clone()),
            MailField::Recipient | MailField::LocalPart | MailField::Domain | MailField::Sender => None,
        };
        let template = AddressTemplate::new(to.value, form).with_constants(constant);
        self.address_fault(template.check().err(), template.as_str(), form, &to.place)?;
        self.topic(&destination.kind, (template.as_str(), &template.sample()), &to.place)?;
        Some(template)
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

/// What a destination is whose addresses have this form.
const fn is(form: AddressForm) -> &'static str {
    match form {
        AddressForm::Mailbox => "is a next hop",
        AddressForm::Folder => "is a Maildir",
        AddressForm::Display => "goes to displays",
        AddressForm::NatsSubject
        | AddressForm::RoutingKey
        | AddressForm::MqttTopic
        | AddressForm::RedisStream
        | AddressForm::EventSubject => "takes events",
    }
}

/// Whether every recipient of `narrow` is one of `wide`.
pub(super) fn covers(wide: &RouteDomain, narrow: &RouteDomain) -> bool {
    match (wide, narrow) {
        (RouteDomain::Any, _) => true,
        (RouteDomain::Domain(_), RouteDomain::Any) => false,
        (RouteDomain::Domain(wide), RouteDomain::Domain(narrow)) => {
            let (DomainPattern::Exact(inner) | DomainPattern::Below(inner)) = narrow;
            wide == narrow || matches!(wide, DomainPattern::Below(_)) && wide.matches(inner)
        }
    }
}
