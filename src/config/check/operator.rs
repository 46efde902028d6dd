//! How the operator is told of notices that could not be delivered.

use std::time::Duration;

use super::super::problem::{Place, Problem};
use super::super::raw::{self, At, OrOff};
use super::super::settings::{Destination, DestinationKind, SmtpFrontEnd};
use super::destinations::Destinations;
use super::relay::chosen;
use super::rules::names;
use super::{Checking, address};
use crate::message::recipient::Recipient;
use crate::policy::mapping::RuleSet;
use crate::policy::operator::{Notify, OperatorPolicy, Told, Way};

/// How the operator is told, and where that was written.
pub(super) struct CheckedOperator {
    pub(super) policy: OperatorPolicy,
    /// `operator.notify`, else `operator.postmaster`; `None` where neither is written.
    place: Option<Place>,
}

impl Checking<'_> {
    /// Takes `notify` and `repeat`; the postmaster is the front-end's.
    pub(super) fn operator(
        &mut self,
        written: Option<&mut At<raw::Operator>>,
        destinations: &Destinations,
    ) -> CheckedOperator {
        let Some(At { value: operator, .. }) = written else {
            return CheckedOperator { policy: OperatorPolicy::default(), place: None };
        };
        let place = match (&operator.notify, &operator.postmaster) {
            (Some(notify), _) => Some(notify.place.clone()),
            (None, Some(postmaster)) => Some(postmaster.place.clone()),
            (None, None) => None,
        };
        let notify = match operator.notify.take() {
            Some(notify) => Notify::These(
                notify.value.0.into_iter().filter_map(|way| self.way(way.value, destinations)).collect(),
            ),
            None => Notify::Postmaster,
        };
        let repeat = self.repeat(operator.repeat.take());
        CheckedOperator { policy: OperatorPolicy { notify, repeat }, place }
    }

    fn way(&mut self, way: raw::Way, destinations: &Destinations) -> Option<Way> {
        let raw::Way { place, lost, via, to } = way;
        if via.is_none() {
            self.missing(&place, &lost, "via", "add the name of a destination, for example `via: inbox`");
        }
        let is_lost = destinations.is_lost(via.as_ref());
        let destination = via.and_then(|via| self.destination(&via, destinations));
        let default = destination.and_then(|destination| destination.kind.default_address());
        if to.is_none() && default.is_none() && !is_lost {
            let fix = address::missing(destination.map(|destination| destination.kind.address_form()));
            self.missing(&place, &lost, "to", fix);
        }
        let Destination { name, kind } = destination?;
        let to = match to {
            Some(to) => {
                self.constant_address(&to, kind)?;
                to.value
            }
            None => default?.to_owned(),
        };
        Some(Way { via: name.clone(), to })
    }

    fn repeat(&mut self, written: Option<At<OrOff<Duration>>>) -> Option<Duration> {
        if let Some(written) = written.as_ref()
            && written.value.limit().is_some_and(|repeat| repeat.is_zero())
        {
            let cause = "would hold back nothing, which is written otherwise";
            self.problem(
                written.problem(cause, "write a time such as 4h, or `off` to be told of each failure"),
            );
        }
        chosen(written, OperatorPolicy::default().repeat, |repeat| repeat)
    }

    /// Warns where the operator would not hear of a failure: no route leads to the postmaster, or the only way is the
    /// destination that rules deliver to. A Maildir is a way that fails with the disk alone, which the log tells of.
    pub(super) fn operator_hears(
        &mut self,
        operator: &CheckedOperator,
        smtp: &SmtpFrontEnd,
        destinations: &Destinations,
        rules: &RuleSet,
    ) {
        let Some(place) = operator.place.as_ref().filter(|_| self.problems.problems.is_empty()) else {
            return;
        };
        let recipients = match operator.policy.told(smtp.postmaster.as_ref(), &smtp.relay.routes) {
            Told::These(recipients) => recipients,
            Told::NoRoute => {
                let cause = "is told of no legacy message that could not be delivered: no route leads to it";
                self.problems.warn(Problem::subject(place, cause, ANOTHER_WAY));
                return;
            }
            Told::Nobody => return,
        };
        let Some(Recipient { via: only, to, .. }) = recipients.first() else { return };
        let is_maildir = destinations.known.iter().any(|(destination, _)| {
            destination.name == *only && matches!(destination.kind, DestinationKind::Maildir(_))
        });
        if is_maildir || recipients.iter().any(|recipient| recipient.via != *only) {
            return;
        }
        if let Some(rule) = rules.rules().iter().find(|rule| names(rule).contains(&only)) {
            let cause = format!(
                "the only way to tell that {only} fails is {only}, to which rule {:?} delivers",
                rule.name().as_str()
            );
            let fix = match operator.policy.notify {
                Notify::These(_) => ANOTHER_WAY.to_owned(),
                Notify::Postmaster => format!(
                    "name a second way beside it: `notify: [{{ via: {only}, to: {to} }}, {{ via: inbox, to: operator }}]`"
                ),
            };
            self.problems.warn(Problem::new(place, cause, fix));
        }
    }
}

const ANOTHER_WAY: &str = "add a way to `operator.notify`, for example `{ via: inbox, to: operator }`";
