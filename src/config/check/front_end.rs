//! Mail from devices, applications and the Internet: what its parts ask of each other.

use std::net::SocketAddr;
use std::sync::Arc;

use super::super::problem::{Place, Problem};
use super::super::raw::{self, At};
use super::super::settings::{Bounces, Pickup, SmtpFrontEnd};
use super::destinations::Destinations;
use super::listeners::Listener;
use super::relay::CheckedRelay;
use super::{Checking, Completeness};
use crate::policy::mapping::Context;
use crate::policy::relay::{Authentication, DomainName, ListenerPolicy, RelayTo};
use crate::wire::smtp::path::Mailbox;

/// Its parts as they are written.
pub(super) struct Written {
    pub(super) listeners: Option<At<raw::Many<raw::SmtpListener>>>,
    pub(super) relay: Option<At<raw::Relay>>,
    pub(super) tarpit: Option<At<raw::Tarpit>>,
    pub(super) users_file: Option<At<String>>,
    pub(super) auth: Option<At<raw::AuthGuard>>,
    pub(super) dns_server: Option<At<SocketAddr>>,
    pub(super) pickup: Option<At<raw::Pickup>>,
    pub(super) operator: Option<At<raw::Operator>>,
    /// Whether something stands for `hostname`.
    pub(super) hostname: Completeness,
    /// It, where it is sound.
    pub(super) own_name: Option<DomainName>,
}

/// A way in, and where it was written.
struct WayIn<'w> {
    policy: &'w ListenerPolicy,
    place: &'w Place,
}

impl Checking<'_> {
    pub(super) fn front_end(
        &mut self,
        written: Written,
        destinations: &Destinations,
        context: &Context,
    ) -> SmtpFrontEnd {
        let Written {
            listeners,
            relay,
            tarpit,
            users_file,
            auth,
            dns_server,
            pickup,
            operator,
            hostname,
            own_name,
        } = written;
        let mut relay = self.relay(relay, destinations, context);
        relay.policy.hostname = own_name;
        relay.limits.routes = self.route_sizes(&relay, destinations);
        let (users_file, accounts) = self.users_file(users_file);
        let listeners = self.smtp_listeners(listeners, accounts.as_ref());
        let pickup = pickup.and_then(|pickup| self.pickup(pickup));
        let postmaster = operator.and_then(|operator| self.postmaster(operator.value));
        let tarpit = self.tarpit(tarpit, &relay, &listeners);
        let auth_guard = self.auth_guard(auth);

        let ways_in = ways_in(&listeners, pickup.as_ref());
        if let Some(first) = ways_in.first() {
            self.what_taking_mail_needs(first.place, hostname, postmaster.as_ref());
        }
        if users_file.is_none() && self.is_sound("users_file") {
            self.accounts_are_missing(&listeners);
        }
        if self.is_sound("relay") {
            self.somebody_may_send(&listeners, &relay);
            self.routes_reach(&relay, &ways_in, &listeners, postmaster.as_ref());
        }
        self.bounces(&relay, &listeners);
        SmtpFrontEnd {
            pickup: pickup.map(|(pickup, _)| pickup),
            listeners: listeners.into_iter().map(|listener| listener.settings).collect(),
            relay: Arc::new(relay.policy),
            recipients: relay.recipients,
            on_directory_failure: relay.on_directory_failure,
            dns_server: dns_server.map(|server| server.value),
            limits: relay.limits,
            bounces: relay.bounces.0,
            delay_report: relay.delay_report,
            postmaster,
            tarpit,
            users_file,
            auth_guard,
        }
    }

    fn postmaster(&mut self, operator: raw::Operator) -> Option<Mailbox> {
        let address = operator.postmaster?;
        Mailbox::parse_ascii(&address.value)
            .map_err(|error| self.problem(address.problem(error.to_string(), error.fix())))
            .ok()
    }

    /// As soon as mail is taken in, somebody must answer for it.
    fn what_taking_mail_needs(
        &mut self,
        way_in: &Place,
        hostname: Completeness,
        postmaster: Option<&Mailbox>,
    ) {
        if hostname == Completeness::Partial {
            let cause = "needs `hostname`, which the greeting, Received and reports name";
            let fix = "add a line at the top, for example `hostname: gw1.plant.example`";
            self.incomplete(way_in, cause, fix);
        }
        if postmaster.is_none() && self.is_sound("operator") {
            let cause = "needs `operator.postmaster`: mail for <postmaster> must be taken (RFC 5321 §4.5.1), and \
                         reports name it";
            let fix = "add a line, for example `operator: { postmaster: it@corp.example }`";
            self.incomplete(way_in, cause, fix);
        }
    }

    fn accounts_are_missing(&mut self, listeners: &[Listener]) {
        let Some(with_auth) = listeners.iter().find(|listener| listener.settings.auth.is_some()) else {
            return;
        };
        let cause = "has `auth`, but there is no `users_file` with accounts";
        let fix = "add `users_file: /etc/mailslotd/users.yaml` at the top, then `mailslotd user add NAME`; or remove `auth`";
        self.incomplete(&with_auth.place, cause, fix);
    }

    /// A listener that would refuse everybody is a mistake.
    fn somebody_may_send(&mut self, listeners: &[Listener], relay: &CheckedRelay) {
        for Listener { settings, place } in listeners {
            let nobody = settings.policy.trusted_networks.is_empty()
                && settings.auth.is_none()
                && relay.policy.accepted_domains.patterns().is_empty();
            if nobody && self.is_sound(&place.path) {
                let cause = "takes mail from nobody: it has no `trusted_networks` and no `auth`, and there are no `relay.accepted_domains`";
                let fix = "add the networks of your devices, `trusted_networks: [192.0.2.0/24]`, or `auth`, or the domains that you take mail for";
                self.incomplete(place, cause, fix);
            }
        }
    }

    /// Everything that may be accepted must have somewhere to go: it would be refused at RCPT otherwise.
    fn routes_reach(
        &mut self,
        relay: &CheckedRelay,
        ways_in: &[WayIn<'_>],
        listeners: &[Listener],
        postmaster: Option<&Mailbox>,
    ) {
        if relay.routes.is_none() {
            if let Some(first) = ways_in.first() {
                let cause = "needs `relay.routes`, which say where accepted mail goes";
                let fix = "add for example `relay: { routes: [{ domain: '*', via: smarthost }] }`";
                self.incomplete(first.place, cause, fix);
            }
            return;
        }
        self.accepted_domains_are_routed(relay);
        if relay.routes_everything() {
            return;
        }
        for WayIn { policy, place } in ways_in {
            if policy.trusted_networks.iter().any(|trusted| trusted.relay_to == RelayTo::Any) {
                let cause = "lets clients send anywhere (`relay_to: any`), but no route is for any domain";
                self.incomplete(place, cause, EVERYWHERE);
            }
        }
        if let Some(Listener { place, .. }) =
            listeners.iter().find(|listener| listener.settings.auth.is_some())
        {
            let cause = "lets authenticated clients send anywhere, but no route is for any domain: what none matches is refused";
            self.problems.warn(Problem::subject(place, cause, EVERYWHERE));
        }
        if let Some(postmaster) = postmaster
            && let Some(first) = ways_in.first()
            && relay.route_of(postmaster).is_none()
        {
            let cause = format!("takes mail for the postmaster, but no route is for {}", postmaster.domain());
            let fix = format!("add to `relay.routes`: `- {{ domain: {}, via: … }}`", postmaster.domain());
            self.incomplete(first.place, cause, fix);
        }
    }

    fn bounces(&mut self, relay: &CheckedRelay, listeners: &[Listener]) {
        let (bounces, Some(place)) = &relay.bounces else { return };
        match bounces {
            Bounces::OwnUsers => {}
            Bounces::Off => {
                let cause = "nobody learns that a message was not delivered, which RFC 5321 §6.1 requires";
                let fix = "write `own-users`, which tells trusted and authenticated senders only; failed messages stay in `mailslotd queue`";
                self.problems.warn(Problem::new(place, cause, fix));
            }
            Bounces::Everyone
                if relay.recipients.is_empty() && open_to_strangers(relay, listeners).is_some() =>
            {
                let cause = "strangers can have reports sent to anybody whose address they forge, since unknown recipients are not refused at RCPT";
                let fix = "add `relay.recipients`, or write `own-users`";
                self.problems.warn(Problem::new(place, cause, fix));
            }
            Bounces::Everyone => {}
        }
    }
}

/// How a route for any domain is written.
const EVERYWHERE: &str = "add at the end of `relay.routes`: `- { domain: '*', via: smarthost }`";

/// The first listener on which clients that are neither trusted nor authenticated may send something.
pub(super) fn open_to_strangers<'l>(relay: &CheckedRelay, listeners: &'l [Listener]) -> Option<&'l Listener> {
    let optional = |listener: &&Listener| listener.settings.policy.authentication == Authentication::Optional;
    listeners.iter().find(optional).filter(|_| !relay.policy.accepted_domains.patterns().is_empty())
}

fn ways_in<'w>(listeners: &'w [Listener], pickup: Option<&'w (Pickup, Place)>) -> Vec<WayIn<'w>> {
    let listeners =
        listeners.iter().map(|listener| WayIn { policy: &listener.settings.policy, place: &listener.place });
    listeners.chain(pickup.map(|(pickup, place)| WayIn { policy: &pickup.policy, place })).collect()
}
