//! A rule: what it matches and what is done then.

use std::time::Duration;

use ipnet::IpNet;
use sha2::{Digest as _, Sha256};

use super::glob::Glob;
use super::text::TextPattern;
use super::{Context, facts::Facts};
use crate::message::id::{DestinationName, DiscardReason, RuleName};
use crate::message::mail::{Body, Gathered, Group, Message, Priority};
use crate::message::notice::{Listener, Notice};
use crate::message::recipient::{Recipient, Standby};
use crate::policy::template::{AddressTemplate, Field, Template, TemplateField as _, Values};

/// One rule of the configuration.
#[derive(Debug, Clone)]
pub struct Rule {
    name: RuleName,
    when: Match,
    action: Action,
    priority: Priority,
    expire: Option<Duration>,
    grouping: Option<Grouping>,
}

/// Which messages a rule is for.
#[derive(Debug, Clone)]
pub enum Match {
    /// All.
    Any,
    /// Those of which every given key holds.
    Keys(Box<Keys>),
}

/// The keys of a `match`; one that is absent (`None`, no patterns) asks nothing.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    /// The mailslot; one of the patterns must match.
    pub mailslot: Vec<Glob>,
    /// The From inside the message, else the source name.
    pub originator: Vec<Glob>,
    /// The To inside the message, else the destination name.
    pub to: Vec<Glob>,
    /// The sender's name in the NetBIOS header, without its type.
    pub source_name: Vec<Glob>,
    /// The receiver's name in the NetBIOS header, without its type.
    pub destination_name: Vec<Glob>,
    /// The listener that heard it.
    pub listener: Option<Listener>,
    /// Networks of which one must contain the address that the packet came from.
    pub source: Vec<IpNet>,
    /// What must be found in the text.
    pub text: Option<TextPattern>,
}

/// What is done with a message.
#[derive(Debug, Clone)]
pub enum Action {
    /// It is sent to each of these; at least one.
    Deliver(Vec<Delivery>),
    /// It is counted under this reason and dropped.
    Discard(DiscardReason),
}

/// Where one copy goes.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The destination.
    pub via: DestinationName,
    /// The address there, in the destination's own terms.
    pub to: AddressTemplate,
    /// The subject of the mail; the composer's own where absent.
    pub subject: Option<Template>,
    /// Who gets it when this copy is not delivered in time.
    pub otherwise: Vec<Otherwise>,
}

/// Where a copy goes when the one before it was not delivered in time.
#[derive(Debug, Clone)]
pub struct Otherwise {
    /// How long the first copy has, from acceptance.
    pub after: Duration,
    /// The destination.
    pub via: DestinationName,
    /// As in [`Delivery`].
    pub to: AddressTemplate,
    /// As in [`Delivery`].
    pub subject: Option<Template>,
}

/// Repeats that become one mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grouping {
    /// Messages of one rule belong together when these fields are equal.
    pub by: Vec<Field>,
    /// How long the first one waits for repeats.
    pub wait: Duration,
    /// How long after that further repeats are gathered into the next mail.
    pub repeat_after: Duration,
}

impl Rule {
    /// A rule of normal priority that expires with the spool's `retry.expire` and groups nothing.
    #[must_use]
    pub const fn new(name: RuleName, when: Match, action: Action) -> Self {
        Self { name, when, action, priority: Priority::Normal, expire: None, grouping: None }
    }

    /// The rule with this priority.
    #[must_use]
    pub const fn with_priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// The rule whose messages are given up after `expire`, where that is set.
    #[must_use]
    pub const fn with_expire(mut self, expire: Option<Duration>) -> Self {
        self.expire = expire;
        self
    }

    /// The rule that gathers repeats, where that is set.
    #[must_use]
    pub fn with_grouping(mut self, grouping: Option<Grouping>) -> Self {
        self.grouping = grouping;
        self
    }

    /// Its name, for logs, metrics and `explain`.
    #[must_use]
    pub const fn name(&self) -> &RuleName {
        &self.name
    }

    /// Which messages it is for.
    #[must_use]
    pub const fn when(&self) -> &Match {
        &self.when
    }

    /// What is done with them.
    #[must_use]
    pub const fn action(&self) -> &Action {
        &self.action
    }

    /// How urgent they are.
    #[must_use]
    pub const fn priority(&self) -> Priority {
        self.priority
    }

    /// After how long they are given up, where the rule says so.
    #[must_use]
    pub const fn expire(&self) -> Option<Duration> {
        self.expire
    }

    /// Which repeats become one mail.
    #[must_use]
    pub const fn grouping(&self) -> Option<&Grouping> {
        self.grouping.as_ref()
    }

    /// The message that this rule makes of a notice, with every recipient rendered, ready for the spool; `None` when
    /// it discards.
    #[must_use]
    pub fn message(&self, notice: Notice<'static>, context: &Context) -> Option<Message> {
        let Action::Deliver(deliveries) = &self.action else {
            return None;
        };
        let values = Values { notice: &notice, rule: &self.name, context };
        let recipients = deliveries.iter().map(|delivery| delivery.recipient(values)).collect();
        let group = self.grouping.as_ref().map(|grouping| Group {
            key: grouping.key(values),
            wait: grouping.wait,
            repeat_after: grouping.repeat_after,
        });
        Some(Message {
            accepted_at: notice.arrival.at,
            expire: self.expire,
            priority: self.priority,
            rule: Some(self.name.clone()),
            group,
            recipients,
            body: Body::Notice(Box::new(Gathered::one(notice))),
        })
    }

    pub(super) fn matches(&self, facts: &Facts<'_>) -> bool {
        match &self.when {
            Match::Any => true,
            Match::Keys(keys) => keys.match_all(facts),
        }
    }
}

impl Keys {
    /// The names, cheapest to compare first.
    pub(super) fn names(&self) -> [(NameKey, &[Glob]); 5] {
        [
            (NameKey::Originator, &self.originator),
            (NameKey::To, &self.to),
            (NameKey::SourceName, &self.source_name),
            (NameKey::DestinationName, &self.destination_name),
            (NameKey::Mailslot, &self.mailslot),
        ]
    }

    fn match_all(&self, facts: &Facts<'_>) -> bool {
        self.listener.is_none_or(|listener| listener == facts.listener())
            && (self.source.is_empty() || self.source.iter().any(|network| network.contains(&facts.source())))
            && self.names().into_iter().all(|(key, globs)| {
                globs.is_empty() || {
                    let (written, normal) = facts.name(key);
                    globs.iter().any(|glob| glob.matches_forms(written, normal))
                }
            })
            && self.text.as_ref().is_none_or(|pattern| {
                let (written, normal) = facts.text();
                pattern.matches_forms(written, normal)
            })
    }
}

/// A key whose value is a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum NameKey {
    Originator,
    To,
    SourceName,
    DestinationName,
    Mailslot,
}

impl NameKey {
    /// As written in rules.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Originator => "originator",
            Self::To => "to",
            Self::SourceName => "source_name",
            Self::DestinationName => "destination_name",
            Self::Mailslot => "mailslot",
        }
    }

    pub(super) fn value<'n>(self, notice: &'n Notice<'_>) -> &'n str {
        match self {
            Self::Originator => &notice.originator,
            Self::To => &notice.to,
            Self::SourceName => &notice.source_name.text,
            Self::DestinationName => &notice.destination_name.text,
            Self::Mailslot => &notice.mailslot,
        }
    }
}

impl Delivery {
    fn recipient(&self, values: Values<'_>) -> Recipient {
        let otherwise = self.otherwise.iter().map(|otherwise| Standby {
            after: otherwise.after,
            recipient: recipient(&otherwise.via, &otherwise.to, otherwise.subject.as_ref(), values),
        });
        Recipient {
            otherwise: otherwise.collect(),
            ..recipient(&self.via, &self.to, self.subject.as_ref(), values)
        }
    }
}

fn recipient(
    via: &DestinationName,
    to: &AddressTemplate,
    subject: Option<&Template>,
    values: Values<'_>,
) -> Recipient {
    Recipient {
        subject: subject.map(|subject| subject.render_line(values)),
        ..Recipient::new(via.clone(), to.render(values))
    }
}

impl Grouping {
    /// A hash of the rule's name and of each field's name, length and value.
    fn key(&self, values: Values<'_>) -> [u8; 16] {
        let mut hash = Sha256::new();
        let mut part = |text: &str| {
            hash.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
            hash.update(text);
        };
        part(values.rule.as_str());
        for field in &self.by {
            part(field.as_str());
            field.with_value(values, &mut part);
        }
        let digest: [u8; 32] = hash.finalize().into();
        let mut key = [0; 16];
        key.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        key
    }
}
