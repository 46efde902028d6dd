//! `relay`: for whom mail is taken, and where it goes.

use std::time::Duration;

use super::super::problem::{Place, Problem};
use super::super::raw::{self, At, OrOff};
use super::super::settings::{Bounces, OnFailure, RecipientSource, SmtpFrontEnd, SmtpLimits};
use super::Checking;
use super::destinations::Destinations;
use crate::policy::mapping::Context;
use crate::policy::relay::{AcceptedDomains, DomainPattern, RelayPolicy, domains_of_everybody};
use crate::policy::route::{Route, RouteDomain, route_of};
use crate::wire::smtp::path::Mailbox;

/// What is known of it once it was checked by itself.
pub(super) struct CheckedRelay {
    pub(super) policy: RelayPolicy,
    /// Where each accepted domain was written.
    pub(super) accepted: Vec<At<DomainPattern>>,
    /// Where the routes were written; `None`: nowhere.
    pub(super) routes: Option<Place>,
    pub(super) recipients: Vec<RecipientSource>,
    pub(super) on_directory_failure: OnFailure,
    pub(super) limits: SmtpLimits,
    /// And where it was written.
    pub(super) bounces: (Bounces, Option<Place>),
    pub(super) delay_report: Option<Duration>,
}

impl CheckedRelay {
    /// Whether some route is for any domain.
    pub(super) fn routes_everything(&self) -> bool {
        self.policy.routes.iter().any(|route| route.domain == RouteDomain::Any)
    }

    /// The route of a mailbox.
    pub(super) fn route_of(&self, mailbox: &Mailbox) -> Option<&Route> {
        route_of(&self.policy.routes, mailbox)
    }
}

impl Checking<'_> {
    pub(super) fn relay(
        &mut self,
        relay: Option<At<raw::Relay>>,
        destinations: &Destinations,
        context: &Context,
    ) -> CheckedRelay {
        let raw::Relay {
            accepted_domains,
            recipients,
            on_directory_failure,
            routes,
            limits,
            bounces,
            delay_report,
            ..
        } = relay.map(|relay| relay.value).unwrap_or_default();
        let accepted = self.accepted_domains(accepted_domains);
        let sources = recipients.as_ref().map(|list| list.place.clone());
        let recipients = self.recipient_sources(recipients, &accepted);
        if let Some(place) = sources.filter(|_| !recipients.is_empty())
            && accepted.is_empty()
            && self.is_sound("relay.accepted_domains")
        {
            let cause = "is never asked: only recipients in `relay.accepted_domains` are looked up, and there are none";
            let fix = "add `accepted_domains:` with the domains that you take mail for";
            self.problems.warn(Problem::subject(&place, cause, fix));
        }
        let domains = AcceptedDomains::new(accepted.iter().map(|at| at.value.clone()).collect());
        for everybody in domains_of_everybody(&domains).into_iter().filter_map(|place| accepted.get(place)) {
            let cause = format!("{} is every domain of the Internet that ends so", everybody.value);
            self.problem(everybody.problem(cause, "name your own domains"));
        }
        let routes_place = routes.as_ref().map(|routes| routes.place.clone());
        let routes = self.routes(routes, destinations, context);
        CheckedRelay {
            policy: RelayPolicy { accepted_domains: domains, routes, hostname: None },
            accepted,
            routes: routes_place,
            recipients,
            on_directory_failure: on_directory_failure.map(|choice| choice.value).unwrap_or_default(),
            limits: self.relay_limits(limits),
            bounces: bounces
                .map_or((Bounces::default(), None), |bounces| (bounces.value, Some(bounces.place))),
            delay_report: self.delay_report(delay_report),
        }
    }

    fn accepted_domains(&mut self, domains: Option<At<raw::Many<DomainPattern>>>) -> Vec<At<DomainPattern>> {
        let mut accepted: Vec<At<DomainPattern>> = Vec::new();
        for domain in domains.map(|domains| domains.value.0).unwrap_or_default() {
            if let Some(other) = accepted.iter().find(|other| other.value == domain.value) {
                let cause = format!("{} is on line {} already", domain.value, other.place.line);
                self.problems.warn(domain.problem(cause, "remove one of the two"));
            }
            accepted.push(domain);
        }
        accepted
    }

    fn delay_report(&mut self, written: Option<At<OrOff<Duration>>>) -> Option<Duration> {
        if let Some(written) = written.as_ref()
            && written.value.limit().is_some_and(|after| after.is_zero())
        {
            let cause = "would tell of every mail that it is late";
            self.problem(written.problem(cause, "write a time such as 4h, or `off`"));
        }
        chosen(written, SmtpFrontEnd::default().delay_report, |after| after)
    }

    fn relay_limits(&mut self, limits: Option<At<raw::RelayLimits>>) -> SmtpLimits {
        let raw::RelayLimits {
            message_size,
            recipients,
            connections_per_network,
            messages,
            connections,
            connections_in_all,
            ..
        } = limits.map(|limits| limits.value).unwrap_or_default();
        let default = SmtpLimits::default();
        if let Some(size) = message_size.as_ref()
            && size.value.limit().is_some_and(|size| size.0 < LEAST_MESSAGE)
        {
            let cause = "every server must take messages of 64KiB (RFC 5321 §4.5.3.1.7)";
            self.problem(size.problem(cause, "write a greater size, for example 35MiB, or `off`"));
        }
        if let Some(count) = recipients.as_ref().filter(|count| count.value < LEAST_RECIPIENTS) {
            let cause = format!("every server must take {LEAST_RECIPIENTS} recipients (RFC 5321 §4.5.3.1.8)");
            self.problem(count.problem(cause, format!("write {LEAST_RECIPIENTS} or more")));
        }
        let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        let limits = SmtpLimits {
            message_size: chosen(message_size, default.message_size, |size| size.0),
            routes: default.routes,
            recipients: recipients.map_or(default.recipients, |written| count(written.value)),
            connections_per_network: chosen(connections_per_network, default.connections_per_network, count),
            messages: chosen(messages, default.messages, |rate| rate),
            connections: chosen(connections, default.connections, |rate| rate),
            connections_in_all: connections_in_all
                .as_ref()
                .map_or(default.connections_in_all, |written| count(written.value)),
        };
        if let Some(written) = connections_in_all
            && limits.connections_per_network.is_some_and(|of_one| of_one > limits.connections_in_all)
        {
            let cause = "is less than `connections_per_network`, so one network could take all there are";
            self.problems.warn(Problem::subject(&written.place, cause, "write a greater number"));
        }
        limits
    }
}

/// What was written, where something was.
pub(super) fn chosen<T, U>(
    written: Option<At<OrOff<T>>>,
    default: Option<U>,
    read: impl FnOnce(T) -> U,
) -> Option<U> {
    written.map_or(default, |written| written.value.limit().map(read))
}

pub(super) const LEAST_MESSAGE: u64 = 64 << 10;
const LEAST_RECIPIENTS: u32 = 100;
