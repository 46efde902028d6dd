//! Which messages go where.

use std::time::Duration;

use super::super::problem::{Place, Problem};
use super::super::raw::{self, At, Lost, OneOrMany};
use super::super::settings::{Destination, DestinationKind};
use super::destinations::{Destinations, INBOX};
use super::hearing::{Compares, code_page_reason};
use super::{Checking, Completeness, address, shadow, spelled};
use crate::message::id::{DestinationName, DiscardReason, RuleName};
use crate::policy::mapping::{
    Action, Context, Delivery, Glob, Grouping, Keys, Match, Otherwise, Rule, RuleSet,
};
use crate::policy::operator::{Notify, OperatorPolicy};
use crate::policy::route::Route;
use crate::policy::spelling::nearest;
use crate::policy::template::{AddressForm, AddressTemplate, Template};

/// The rules, and what they ask of the rest of the configuration.
pub(super) struct CheckedRules {
    pub(super) set: RuleSet,
    /// A rule that cannot do without the senders' code page, and why.
    pub(super) needs_code_page: Option<(RuleName, &'static str)>,
}

/// What rules are checked against.
struct Frame<'a> {
    destinations: &'a Destinations,
    context: &'a Context,
    retry_expire: Duration,
}

impl Checking<'_> {
    pub(super) fn rules(
        &mut self,
        rules: Option<At<raw::Many<raw::Rule>>>,
        destinations: &Destinations,
        context: &Context,
        retry_expire: Duration,
    ) -> CheckedRules {
        let Some(At { value: raw::Many(rules), place }) = rules else {
            return CheckedRules { set: built_in(), needs_code_page: None };
        };
        let frame = Frame { destinations, context, retry_expire };
        let mut checked: Vec<(Rule, Place)> = Vec::new();
        let mut needs_code_page = None;
        let mut last_is_lost = false;
        for At { value: rule, .. } in rules {
            let place = rule.place.clone();
            let rule = self.rule(rule, &frame);
            last_is_lost = rule.is_none();
            let Some(rule) = rule else { continue };
            if let Some((_, at)) = checked.iter().find(|(other, _)| other.name() == rule.name()) {
                let cause = format!("has the name of the rule on line {}", at.line);
                let fix = "give it a name of its own: logs and metrics tell rules by name";
                self.problem(Problem::subject(&place, cause, fix));
            }
            let kinds = destinations_of(&rule, destinations);
            let reason = || code_page_reason(rule.name(), &kinds, compares(rule.when()));
            needs_code_page = needs_code_page.or_else(reason);
            checked.push((rule, place));
        }
        shadow::check(&checked, &mut self.problems);
        let has_end = checked.iter().any(|(rule, _)| matches!(rule.when(), Match::Any));
        if !has_end && !last_is_lost {
            let (place, cause) = match checked.last() {
                Some((_, place)) => {
                    (place, "is the last rule and does not match everything, so messages could match none")
                }
                None => (&place, "has no rule"),
            };
            let fix = "add at the end: `- { name: everything-else, match: any, deliver: [{ via: inbox, to: operator }] }`";
            self.incomplete(place, cause, fix);
        }
        let rules = checked.into_iter().map(|(rule, _)| rule).collect();
        CheckedRules { set: RuleSet::new(rules).unwrap_or_else(|_| built_in()), needs_code_page }
    }

    fn rule(&mut self, rule: raw::Rule, frame: &Frame<'_>) -> Option<Rule> {
        let (place, lost) = (&rule.place, &rule.lost);
        if rule.name.is_none() {
            let fix = "add one, for example `name: ups-alarms`: logs and metrics show it";
            self.missing(place, lost, "name", fix);
        }
        if rule.when.is_none() {
            let fix = "add `match: any`, or keys such as `match: { originator: 'UPS-*' }`";
            self.missing(place, lost, "match", fix);
        }
        let name = rule.name.map(|name| name.value);
        let shown = name.clone().unwrap_or_else(|| constant("unnamed"));
        let expire = rule.expire.map(|expire| self.nonzero(Some(expire), frame.retry_expire));
        let deadline = expire.unwrap_or(frame.retry_expire);
        let action = match (rule.deliver, rule.discard) {
            (Some(deliver), None) => self.deliver(deliver, &shown, frame, deadline),
            (None, Some(reason)) => Some(Action::Discard(reason.value)),
            (Some(_), Some(reason)) => {
                self.problem(
                    reason.problem("the rule delivers already", "keep `deliver` or `discard`, not both"),
                );
                None
            }
            (None, None) => {
                let fix = "add `deliver: [{ via: inbox, to: operator }]`, or `discard: not-mapped`";
                if !lost.has("deliver") && !lost.has("discard") {
                    self.incomplete(place, "neither delivers nor discards", fix);
                }
                None
            }
        };
        let grouping = rule.group.and_then(|group| self.grouping(group.value, deadline));
        let when = match rule.when?.value {
            raw::Match::Any => Match::Any,
            // With a key less it would seem to match more than it is meant to.
            raw::Match::Keys(keys) if !keys.lost.is_empty() => return None,
            raw::Match::Keys(keys) => Match::Keys(Box::new(plain(*keys))),
        };
        let priority = rule.priority.map(|priority| priority.value).unwrap_or_default();
        Some(
            Rule::new(name?, when, action?)
                .with_priority(priority)
                .with_expire(expire)
                .with_grouping(grouping),
        )
    }

    fn grouping(&mut self, group: raw::Group, deadline: Duration) -> Option<Grouping> {
        let wait = group.wait.as_ref().map_or(DEFAULT_WAIT, |wait| wait.value);
        if wait >= deadline {
            let place = group.wait.as_ref().map_or(&group.place, |wait| &wait.place);
            let cause =
                format!("the first message would expire ({}) while it waits for repeats", spelled(deadline));
            self.problem(Problem::new(place, cause, "write a shorter `wait`, or a longer `expire`"));
        }
        let Some(by) = group.by else {
            let fix = "add what makes messages repeats, for example `by: [originator, text]`";
            self.missing(&group.place, &group.lost, "by", fix);
            return None;
        };
        Some(Grouping {
            by: by.value.0.into_iter().map(|field| field.value.0).collect(),
            wait,
            repeat_after: group.repeat_after.map_or(DEFAULT_REPEAT_AFTER, |duration| duration.value),
        })
    }

    fn deliver(
        &mut self,
        deliver: At<raw::Many<raw::Delivery>>,
        rule: &RuleName,
        frame: &Frame<'_>,
        deadline: Duration,
    ) -> Option<Action> {
        if deliver.value.0.is_empty() {
            let fix = "name a destination, or write `discard:` with a reason instead";
            self.problem(deliver.problem("the list is empty and so delivers nowhere", fix));
            return None;
        }
        let mut deliveries: Vec<Delivery> = Vec::new();
        for At { value: delivery, place } in deliver.value.0 {
            let target = self.target(delivery.via, delivery.to, (&place, &delivery.lost), rule, frame);
            let otherwise = delivery.otherwise.map(|list| list.value.0).unwrap_or_default();
            let otherwise = otherwise
                .into_iter()
                .filter_map(|otherwise| self.otherwise(otherwise.value, rule, frame, deadline))
                .collect();
            let subject = delivery.subject.map(|subject| subject.value);
            let Some((via, to)) = target else { continue };
            if deliveries.iter().any(|other| other.via == via && other.to == to) {
                let cause = "goes where another copy of this rule goes already";
                self.problem(Problem::subject(&place, cause, "delete one of the two"));
            }
            deliveries.push(Delivery { via, to, subject, otherwise });
        }
        Some(Action::Deliver(deliveries))
    }

    fn otherwise(
        &mut self,
        otherwise: raw::Otherwise,
        rule: &RuleName,
        frame: &Frame<'_>,
        deadline: Duration,
    ) -> Option<Otherwise> {
        let after = otherwise.after.as_ref().map_or(DEFAULT_AFTER, |after| after.value);
        if after >= deadline {
            let place = otherwise.after.as_ref().map_or(&otherwise.place, |after| &after.place);
            let cause =
                format!("{} is not before the message expires ({})", spelled(after), spelled(deadline));
            self.problem(Problem::new(place, cause, "write a shorter `after`, or a longer `expire`"));
        }
        let (via, to) =
            self.target(otherwise.via, otherwise.to, (&otherwise.place, &otherwise.lost), rule, frame)?;
        Some(Otherwise { after, via, to, subject: otherwise.subject.map(|subject| subject.value) })
    }

    /// A destination that exists and an address that fits it.
    fn target(
        &mut self,
        via: Option<At<String>>,
        to: Option<At<Template>>,
        (place, lost): (&Place, &Lost),
        rule: &RuleName,
        frame: &Frame<'_>,
    ) -> Option<(DestinationName, AddressTemplate)> {
        if via.is_none() {
            self.missing(place, lost, "via", "add the name of a destination, for example `via: inbox`");
        }
        let is_lost = frame.destinations.is_lost(via.as_ref());
        let destination = via.and_then(|via| self.destination(&via, frame.destinations));
        let default = destination.and_then(|destination| destination.kind.default_address());
        if to.is_none() && default.is_none() && !is_lost {
            let fix = address::missing(destination.map(|destination| destination.kind.address_form()));
            self.missing(place, lost, "to", fix);
        }
        let Destination { name, kind } = destination?;
        let form = kind.address_form();
        let to = match to {
            Some(to) => {
                self.address(&to, kind, rule, frame.context);
                AddressTemplate::new(to.value, form)
            }
            None => AddressTemplate::constant(default?, form),
        };
        Some((name.clone(), to))
    }

    /// The destination that is meant.
    pub(super) fn destination<'d>(
        &mut self,
        via: &At<String>,
        destinations: &'d Destinations,
    ) -> Option<&'d Destination> {
        let mut known = destinations.known.iter().map(|(destination, _)| destination);
        if let Some(destination) = known.clone().find(|destination| destination.name.as_str() == via.value) {
            return Some(destination);
        }
        if destinations.whole == Completeness::Partial || destinations.lost.contains(&via.value) {
            return None;
        }
        let names: Vec<&str> = known.by_ref().map(|destination| destination.name.as_str()).collect();
        let (question, fix) = match nearest(&via.value, names.iter().copied()) {
            Some(meant) => (
                format!("; did you mean `{meant}`?"),
                format!("write `{meant}`, or add `{}` to `destinations:`", via.value),
            ),
            None => (
                format!("; known are {}", names.join(", ")),
                "write one of them, or add it to `destinations:`".to_owned(),
            ),
        };
        self.problem(via.problem(format!("there is no destination {:?}{question}", via.value), fix));
        None
    }

    /// Warns of destinations that were written and that no rule and no route uses, nor tells the operator.
    pub(super) fn unused(
        &mut self,
        destinations: &Destinations,
        rules: &RuleSet,
        routes: &[Route],
        operator: &OperatorPolicy,
        spool: Option<&str>,
    ) {
        if !self.problems.problems.is_empty() {
            // The rule that uses it may be one of those that could not be read.
            return;
        }
        let of_rules = rules.rules().iter().flat_map(names);
        let ways = match &operator.notify {
            Notify::These(ways) => &ways[..],
            Notify::Postmaster => &[],
        };
        let used: Vec<&DestinationName> = of_rules
            .chain(routes.iter().map(|route| &route.via))
            .chain(ways.iter().map(|way| &way.via))
            .collect();
        for (destination, place) in &destinations.known {
            if let Some(place) = place
                .as_ref()
                .filter(|_| !used.contains(&&destination.name) && spool != Some(destination.name.as_str()))
            {
                let fix = "name it in a rule's `deliver` or in `relay.routes`, or remove it";
                self.problems.warn(Problem::subject(place, "is used by no rule and no route", fix));
            }
        }
    }
}

/// The kinds of destination that a rule delivers to.
fn destinations_of<'d>(rule: &Rule, destinations: &'d Destinations) -> Vec<&'d DestinationKind> {
    let named = names(rule);
    let known = destinations.known.iter().map(|(destination, _)| destination);
    known
        .filter(|destination| named.contains(&&destination.name))
        .map(|destination| &destination.kind)
        .collect()
}

/// The destinations that a rule names.
pub(super) fn names(rule: &Rule) -> Vec<&DestinationName> {
    match rule.action() {
        Action::Deliver(deliveries) => deliveries
            .iter()
            .flat_map(|delivery| {
                std::iter::once(&delivery.via)
                    .chain(delivery.otherwise.iter().map(|otherwise| &otherwise.via))
            })
            .collect(),
        Action::Discard(_) => Vec::new(),
    }
}

fn compares(when: &Match) -> Compares {
    let Match::Keys(keys) = when else { return Compares::Ascii };
    let Keys { originator, to, source_name, destination_name, text, .. } = &**keys;
    let names = [originator, to, source_name, destination_name].into_iter().flatten();
    let ascii = names.map(Glob::as_str).chain(text.as_ref().map(|text| text.as_str())).all(str::is_ascii);
    if ascii { Compares::Ascii } else { Compares::BeyondAscii }
}

fn plain(keys: raw::Keys) -> Keys {
    fn values<T>(list: Option<At<OneOrMany<T>>>) -> Vec<T> {
        list.map(|list| list.value.0.into_iter().map(|item| item.value).collect()).unwrap_or_default()
    }
    Keys {
        mailslot: values(keys.mailslot),
        originator: values(keys.originator),
        to: values(keys.to),
        source_name: values(keys.source_name),
        destination_name: values(keys.destination_name),
        listener: keys.listener.map(|listener| listener.value),
        source: values(keys.source).into_iter().map(|network| network.0).collect(),
        text: keys.text.map(|text| text.value),
    }
}

/// The rules where none are written: announcements are discarded, everything else goes to the inbox.
fn built_in() -> RuleSet {
    let glob = |text| Glob::new(text).unwrap_or_else(|_| unreachable!("it is a pattern"));
    let keys = Keys {
        mailslot: vec![glob(r"\MAILSLOT\BROWSE"), glob(r"\MAILSLOT\LANMAN"), glob(r"\MAILSLOT\NET\*")],
        ..Keys::default()
    };
    let reason = DiscardReason::new("inventory-only").unwrap_or_else(|_| unreachable!("it is a name"));
    let chatter =
        Rule::new(constant("browser-chatter"), Match::Keys(Box::new(keys)), Action::Discard(reason));
    let inbox = Delivery {
        via: DestinationName::new(INBOX).unwrap_or_else(|_| unreachable!("it is a name")),
        to: AddressTemplate::constant("operator", AddressForm::Folder),
        subject: None,
        otherwise: Vec::new(),
    };
    RuleSet::with_end(vec![chatter], constant("everything-else"), Action::Deliver(vec![inbox]))
}

fn constant(name: &str) -> RuleName {
    RuleName::new(name).unwrap_or_else(|_| unreachable!("it is a name"))
}

const DEFAULT_WAIT: Duration = Duration::from_secs(20);
const DEFAULT_REPEAT_AFTER: Duration = Duration::from_secs(10 * 60);
const DEFAULT_AFTER: Duration = Duration::from_secs(10 * 60);
