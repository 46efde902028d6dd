//! `rules` as the operator would write them.

use serde::Serialize;

use super::super::check::spelled;
use crate::message::id::{DestinationName, DiscardReason, RuleName};
use crate::message::mail::Priority;
use crate::policy::mapping::{Action, Delivery, Glob, Grouping, Keys, Match, Otherwise, Rule};

#[derive(Serialize)]
pub(super) struct ShownRule<'s> {
    name: &'s RuleName,
    r#match: ShownMatch<'s>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<ShownGroup>,
    priority: Priority,
    #[serde(skip_serializing_if = "Option::is_none")]
    expire: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deliver: Option<Vec<ShownDelivery<'s>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    discard: Option<&'s DiscardReason>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ShownMatch<'s> {
    Any(&'static str),
    Keys(Box<ShownKeys<'s>>),
}

#[derive(Serialize)]
struct ShownKeys<'s> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mailslot: Vec<&'s str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    originator: Vec<&'s str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    to: Vec<&'s str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    source_name: Vec<&'s str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    destination_name: Vec<&'s str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    listener: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    source: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'s str>,
}

#[derive(Serialize)]
struct ShownGroup {
    by: Vec<&'static str>,
    wait: String,
    repeat_after: String,
}

#[derive(Serialize)]
struct ShownDelivery<'s> {
    via: &'s DestinationName,
    /// Nothing stands there where the destination needs no address.
    #[serde(skip_serializing_if = "str::is_empty")]
    to: &'s str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'s str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    otherwise: Vec<Self>,
}

impl<'s> ShownRule<'s> {
    pub(super) fn of(rule: &'s Rule) -> Self {
        let (deliver, discard) = match rule.action() {
            Action::Deliver(deliveries) => (Some(deliveries.iter().map(ShownDelivery::of).collect()), None),
            Action::Discard(reason) => (None, Some(reason)),
        };
        Self {
            name: rule.name(),
            r#match: match rule.when() {
                Match::Any => ShownMatch::Any("any"),
                Match::Keys(keys) => ShownMatch::Keys(Box::new(ShownKeys::of(keys))),
            },
            group: rule.grouping().map(|Grouping { by, wait, repeat_after }| ShownGroup {
                by: by.iter().map(|field| field.as_str()).collect(),
                wait: spelled(*wait),
                repeat_after: spelled(*repeat_after),
            }),
            priority: rule.priority(),
            expire: rule.expire().map(spelled),
            deliver,
            discard,
        }
    }
}

impl<'s> ShownKeys<'s> {
    fn of(keys: &'s Keys) -> Self {
        let globs = |globs: &'s [Glob]| globs.iter().map(Glob::as_str).collect();
        Self {
            mailslot: globs(&keys.mailslot),
            originator: globs(&keys.originator),
            to: globs(&keys.to),
            source_name: globs(&keys.source_name),
            destination_name: globs(&keys.destination_name),
            listener: keys.listener.map(|listener| listener.as_str()),
            source: keys.source.iter().map(ToString::to_string).collect(),
            text: keys.text.as_ref().map(|text| text.as_str()),
        }
    }
}

impl<'s> ShownDelivery<'s> {
    fn of(delivery: &'s Delivery) -> Self {
        Self {
            via: &delivery.via,
            to: delivery.to.as_str(),
            subject: delivery.subject.as_ref().map(|subject| subject.as_str()),
            after: None,
            otherwise: delivery.otherwise.iter().map(Self::of_standby).collect(),
        }
    }

    fn of_standby(otherwise: &'s Otherwise) -> Self {
        Self {
            via: &otherwise.via,
            to: otherwise.to.as_str(),
            subject: otherwise.subject.as_ref().map(|subject| subject.as_str()),
            after: Some(spelled(otherwise.after)),
            otherwise: Vec::new(),
        }
    }
}
