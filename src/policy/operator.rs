//! Who is told that a notice could not be delivered, and how often.
//!
//! A legacy sender has no address that could be told, so its failures are the operator's. One report stands for all
//! that fails at the same destination for the same kind of cause within a time; the next one counts them.

use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::route::{Route, route_of};
use crate::message::id::DestinationName;
use crate::message::recipient::{EnhancedStatus, Recipient};
use crate::wire::smtp::path::Mailbox;

/// How the operator is told of notices that could not be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorPolicy {
    /// By which ways.
    pub notify: Notify,
    /// Between two reports on the same [`Topic`]; `None`: each failure is told.
    pub repeat: Option<Duration>,
}

/// By which ways the operator is told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Notify {
    /// The postmaster, by its route.
    #[default]
    Postmaster,
    /// All of these; none at all means that nobody is told.
    These(Vec<Way>),
}

/// One way to tell the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// The destination.
    pub via: DestinationName,
    /// The address there, in its own terms.
    pub to: String,
}

/// Who is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// All of these; at least one.
    These(Vec<Recipient>),
    /// The postmaster would be, but no route leads to it.
    NoRoute,
    /// The configuration names nobody.
    Nobody,
}

impl Default for OperatorPolicy {
    /// The postmaster, every four hours.
    fn default() -> Self {
        Self { notify: Notify::default(), repeat: Some(Duration::from_secs(4 * 60 * 60)) }
    }
}

impl OperatorPolicy {
    /// Who is told, given the postmaster and the routes of mail.
    #[must_use]
    pub fn told(&self, postmaster: Option<&Mailbox>, routes: &[Route]) -> Told {
        match (&self.notify, postmaster) {
            (Notify::These(ways), _) if ways.is_empty() => Told::Nobody,
            (Notify::These(ways), _) => {
                Told::These(ways.iter().map(|way| Recipient::new(way.via.clone(), &*way.to)).collect())
            }
            (Notify::Postmaster, None) => Told::Nobody,
            (Notify::Postmaster, Some(postmaster)) => match route_of(routes, postmaster) {
                Some(route) => Told::These(vec![route.copy(postmaster, None)]),
                None => Told::NoRoute,
            },
        }
    }
}

/// What one report stands for: everything that fails there for a cause of this kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic {
    /// Where it failed.
    pub destination: DestinationName,
    /// Why.
    pub cause: CauseClass,
}

/// Causes that one report stands for: the subjects of RFC 3463 §3, and time that ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CauseClass {
    /// It could not be delivered in its time.
    Expired,
    /// X.1: the address.
    Address,
    /// X.2: the mailbox.
    Mailbox,
    /// X.3: the mail system.
    System,
    /// X.4: the network and routing.
    Network,
    /// X.5: the protocol.
    Protocol,
    /// X.6: the content.
    Content,
    /// X.7: security or policy.
    Policy,
    /// X.0, and what RFC 3463 does not name.
    Other,
}

impl CauseClass {
    /// The class of a failure with this code.
    #[must_use]
    pub const fn of(status: EnhancedStatus) -> Self {
        match (status.subject, status.detail) {
            (4, 7) => Self::Expired,
            (1, _) => Self::Address,
            (2, _) => Self::Mailbox,
            (3, _) => Self::System,
            (4, _) => Self::Network,
            (5, _) => Self::Protocol,
            (6, _) => Self::Content,
            (7, _) => Self::Policy,
            _ => Self::Other,
        }
    }

    /// As the spool keeps it, and as it stands in Message-IDs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Address => "address",
            Self::Mailbox => "mailbox",
            Self::System => "system",
            Self::Network => "network",
            Self::Protocol => "protocol",
            Self::Content => "content",
            Self::Policy => "policy",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for CauseClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is known of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Earlier {
    /// When the operator was told last.
    pub told_at: Timestamp,
}

/// Whether a report goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportVerdict {
    /// It does.
    Tell,
    /// It is counted, and the next one says so.
    HoldBack,
}

/// Decides whether a failure at `now` is told, given what was told of its topic before.
///
/// A time before the last report is a clock that was set back: silence until it has caught up could last for ever.
#[must_use]
pub fn decide_report(earlier: Option<Earlier>, repeat: Option<Duration>, now: Timestamp) -> ReportVerdict {
    let (Some(Earlier { told_at }), Some(repeat)) = (earlier, repeat) else { return ReportVerdict::Tell };
    let since = now.duration_since(told_at);
    let repeat = SignedDuration::try_from(repeat).unwrap_or(SignedDuration::MAX);
    if since.is_negative() || since >= repeat { ReportVerdict::Tell } else { ReportVerdict::HoldBack }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::route::{FolderName, RouteDomain, RouteTo};

    fn destination(name: &str) -> DestinationName {
        DestinationName::new(name).unwrap()
    }

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn the_ways_written_are_taken_all_and_no_other() {
        let way = |via: &str, to: &str| Way { via: destination(via), to: to.to_owned() };
        let ways = vec![way("inbox", "operator"), way("smarthost", "it@corp.example")];
        let policy = OperatorPolicy { notify: Notify::These(ways), ..OperatorPolicy::default() };
        let postmaster = Mailbox::parse("boss@corp.example").unwrap();
        let expected = vec![
            Recipient::new(destination("inbox"), "operator"),
            Recipient::new(destination("smarthost"), "it@corp.example"),
        ];
        assert_eq!(policy.told(Some(&postmaster), &[]), Told::These(expected));
        let nobody = OperatorPolicy { notify: Notify::These(Vec::new()), ..OperatorPolicy::default() };
        assert_eq!(nobody.told(Some(&postmaster), &[]), Told::Nobody);
    }

    #[test]
    fn without_any_the_postmaster_is_told_by_its_route() {
        let policy = OperatorPolicy::default();
        let postmaster = Mailbox::parse("it@corp.example").unwrap();
        let folder = RouteTo::Folder(FolderName::new("it").unwrap());
        let route = |to| Route { domain: RouteDomain::Any, via: destination("there"), to };
        for (to, address) in [(RouteTo::Recipient, "it@corp.example"), (folder, "it")] {
            let mailbox = (address == "it").then(|| postmaster.as_str().to_owned());
            let copy = Recipient { mailbox, ..Recipient::new(destination("there"), address) };
            let expected = Told::These(vec![copy]);
            assert_eq!(policy.told(Some(&postmaster), &[route(to)]), expected);
        }
        assert_eq!(policy.told(Some(&postmaster), &[]), Told::NoRoute);
        assert_eq!(policy.told(None, &[]), Told::Nobody);
    }

    #[test]
    fn one_report_stands_for_all_of_its_time() {
        let hour = Some(Duration::from_secs(3600));
        let earlier = Some(Earlier { told_at: second(0) });
        for (earlier, repeat, now, expected) in [
            (None, hour, 0, ReportVerdict::Tell),
            (earlier, hour, 0, ReportVerdict::HoldBack),
            (earlier, hour, 3599, ReportVerdict::HoldBack),
            (earlier, hour, 3600, ReportVerdict::Tell),
            (earlier, None, 0, ReportVerdict::Tell),
            (earlier, Some(Duration::MAX), 3600, ReportVerdict::HoldBack),
            (earlier, hour, -1, ReportVerdict::Tell),
        ] {
            assert_eq!(decide_report(earlier, repeat, second(now)), expected, "{repeat:?} {now}");
        }
    }

    #[test]
    fn time_that_ran_out_is_no_trouble_with_the_network() {
        let class = |code: &str| CauseClass::of(code.parse().unwrap());
        assert_eq!(class("4.4.7"), CauseClass::Expired);
        assert_eq!(class("5.4.4"), CauseClass::Network);
        assert_eq!(class("5.1.1"), CauseClass::Address);
        assert_eq!(class("5.0.0"), CauseClass::Other);
        assert_eq!(class("5.9.1"), CauseClass::Other);
    }
}
