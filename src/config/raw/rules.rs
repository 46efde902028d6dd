//! `rules` as they are written.

use std::time::Duration;

use super::super::document::{Node, Value};
use super::super::problem::{Place, Problem, Problems};
use super::read::{At, Lost, Many, OneOrMany, Read, section, shown};
use super::scalar::Network;
use crate::message::id::{DiscardReason, RuleName};
use crate::message::mail::Priority;
use crate::message::notice::Listener;
use crate::policy::mapping::{Glob, TextPattern};
use crate::policy::template::{Field, Template};

section! {
    /// One rule. The first that matches decides.
    pub(in crate::config) struct Rule {
        /// 1 to 64 letters, digits, `-`, `_` or `.`; unique. No default.
        name: RuleName,
        /// `any`, or the keys that must all hold. No default.
        when = "match": Match,
        /// Repeats that become one mail.
        group: Group,
        /// `urgent`, `normal` or `bulk`. Default: `normal`.
        priority: Priority,
        /// When undelivered messages are given up. Default: `retry.expire`.
        expire: Duration,
        /// Where messages go.
        deliver: Many<Delivery>,
        /// The reason under which messages are counted and dropped.
        discard: DiscardReason,
    }
    later: []
    label: name
}

/// Which messages a rule is for.
#[derive(Debug)]
pub(in crate::config) enum Match {
    /// All.
    Any,
    /// Those of which every key holds.
    Keys(Box<Keys>),
}

section! {
    /// What must hold of a message. Patterns ignore case; `*` is any characters, `?` one. A list means one of them.
    pub(in crate::config) struct Keys {
        /// The mailslot, for example `\MAILSLOT\MESSNGR`.
        mailslot: OneOrMany<Glob>,
        /// The From inside the message, else the source name: a claim, not a proof.
        originator: OneOrMany<Glob>,
        /// The To inside the message, else the destination name.
        to: OneOrMany<Glob>,
        /// The sender's name in the NetBIOS header, without its type.
        source_name: OneOrMany<Glob>,
        /// The receiver's name in the NetBIOS header, without its type.
        destination_name: OneOrMany<Glob>,
        /// `datagram` (UDP 138) or `messenger` (TCP 139).
        listener: Listener,
        /// Networks or addresses that the packet came from.
        source: OneOrMany<Network>,
        /// A regular expression that is found anywhere in the text, as written or after NFKC.
        text: TextPattern,
    }
    later: []
}

section! {
    /// Repeats that become one mail.
    pub(in crate::config) struct Group {
        /// Messages are repeats when these fields are equal. No default.
        by: OneOrMany<GroupField>,
        /// How long the first one waits for repeats. Default: `20s`.
        wait: Duration,
        /// How long after that further repeats are gathered into the next mail. Default: `10m`.
        repeat_after: Duration,
    }
    later: []
}

/// A field of a message that tells repeats from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) struct GroupField(pub(in crate::config) Field);

section! {
    /// Where one copy goes.
    pub(in crate::config) struct Delivery {
        /// The name of a destination. No default.
        via: String,
        /// A mail address for submission, a folder for a Maildir, a name for displays: of the template fields only {host},
        /// {site} and {rule}. For a broker a subject, routing key, topic or stream, with every field. No default, but
        /// where the destination has one.
        to: Template,
        /// The subject, with template fields. Default: originator and first line.
        subject: Template,
        /// Who gets it when this copy is not delivered in time.
        otherwise: Many<Otherwise>,
    }
    later: []
}

section! {
    /// Where a copy goes when the one before it was not delivered in time.
    pub(in crate::config) struct Otherwise {
        /// As in `deliver`.
        via: String,
        /// As in `deliver`.
        to: Template,
        /// As in `deliver`.
        subject: Template,
        /// How long the first copy has, from acceptance. Default: `10m`.
        after: Duration,
    }
    later: []
}

impl Read for Match {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        match &node.value {
            Value::Text(text) if text == "any" => Some(Self::Any),
            Value::Map(entries) if !entries.is_empty() => {
                Keys::read(node, place, problems).map(|keys| Self::Keys(Box::new(keys)))
            }
            Value::Nothing
            | Value::Truth(_)
            | Value::Number(_)
            | Value::Text(_)
            | Value::List(_)
            | Value::Map(_) => {
                let fix =
                    "write `match: any` for every message, or keys such as `match: { originator: 'UPS-*' }`";
                problems.push(Problem::new(
                    place,
                    format!("{} does not say which messages match", shown(node)),
                    fix,
                ));
                None
            }
        }
    }
}
