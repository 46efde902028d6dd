//! The verdicts at MAIL and at RCPT.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::address::{AddressPattern, RouteSign};
use super::domain::DomainName;
use super::{Authentication, ListenerPolicy, RelayPolicy, RelayTo, TrustedNetwork};
use crate::policy::account::Principal;
use crate::policy::route::route_of;
use crate::wire::smtp::path::{ForwardPath, Mailbox, ReversePath};
use crate::wire::smtp::status::EnhancedStatus;

/// What is known of a client.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The listener that it came to.
    pub listener: &'a ListenerPolicy,
    /// Where it is; behind a named proxy, where that says it is.
    pub client: IpAddr,
    /// Who it proved to be.
    pub principal: Option<&'a Principal>,
}

/// Whether a client may use a reverse-path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SenderVerdict {
    /// It has authenticated, and its account may send as this.
    Authenticated,
    /// It is in this trusted network, and that may send as this.
    TrustedNetwork {
        /// The one that decided.
        network: IpNet,
    },
    /// Anybody may: nothing follows from it, only recipients of accepted domains can be reached.
    Unproved,
    /// It may not.
    Refused(SenderRefusal),
}

/// Why a client may not use a reverse-path. Displays as the text of the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SenderRefusal {
    /// The listener wants AUTH first: 530 5.7.0 (RFC 4954 §6).
    AuthenticationRequired,
    /// The account's `may_send_as` does not have it: 550 5.7.1 (RFC 6409 §6.1).
    NotOfAccount,
    /// The trusted network's `from` does not have it: 550 5.7.1.
    NotOfNetwork {
        /// The one that decided.
        network: IpNet,
    },
}

impl SenderRefusal {
    /// In machine-readable output and as a metric's label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthenticationRequired => "authentication_required",
            Self::NotOfAccount => "sender_not_of_account",
            Self::NotOfNetwork { .. } => "sender_not_of_network",
        }
    }

    /// The code of the reply.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::AuthenticationRequired => 530,
            Self::NotOfAccount | Self::NotOfNetwork { .. } => 550,
        }
    }

    /// Its enhanced status code.
    #[must_use]
    pub const fn status(self) -> EnhancedStatus {
        match self {
            Self::AuthenticationRequired => EnhancedStatus::new(5, 7, 0),
            Self::NotOfAccount | Self::NotOfNetwork { .. } => EnhancedStatus::new(5, 7, 1),
        }
    }
}

impl fmt::Display for SenderRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AuthenticationRequired => "Authentication required",
            Self::NotOfAccount => "This account may not send as this address",
            Self::NotOfNetwork { .. } => "This client may not send as this address",
        })
    }
}

/// Whether a client may send to a forward-path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayVerdict {
    /// `<postmaster>` without a domain, or at our own host: always (RFC 5321 §4.5.1).
    Postmaster,
    /// The recipient's domain is one that we are responsible for, whoever the client is: whether the recipient exists is
    /// asked next.
    AcceptedDomain,
    /// Its domain is somebody else's, and the client has authenticated.
    Authenticated,
    /// Its domain is somebody else's, and the client is in a trusted network that may mail anyone.
    TrustedNetwork {
        /// The one that decided.
        network: IpNet,
    },
    /// It may not.
    Denied(RelayRefusal),
}

/// Why a client may not send to a forward-path. Displays as the text of the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayRefusal {
    /// The listener wants AUTH first: 530 5.7.0. MAIL was refused already.
    AuthenticationRequired,
    /// The domain is somebody else's, and the client has not authenticated and is in no trusted network: 554 5.7.1.
    NotAccepted,
    /// The domain is somebody else's, and the client's network may send to accepted domains only: 554 5.7.1.
    BeyondNetwork {
        /// The one that decided.
        network: IpNet,
    },
    /// The domain is accepted, but a next hop might read the local part as the way to somewhere else, and the client may
    /// not send there: 553 5.1.3.
    Routed(RouteSign),
    /// No route leads there: 550 5.4.4.
    NoRoute,
}

impl RelayRefusal {
    /// In machine-readable output and as a metric's label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthenticationRequired => "authentication_required",
            Self::NotAccepted => "not_accepted",
            Self::BeyondNetwork { .. } => "beyond_network",
            Self::Routed(_) => "routed",
            Self::NoRoute => "no_route",
        }
    }

    /// The code of the reply.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::AuthenticationRequired => 530,
            Self::NotAccepted | Self::BeyondNetwork { .. } => 554,
            Self::Routed(_) => 553,
            Self::NoRoute => 550,
        }
    }

    /// Its enhanced status code.
    #[must_use]
    pub const fn status(self) -> EnhancedStatus {
        match self {
            Self::AuthenticationRequired => EnhancedStatus::new(5, 7, 0),
            Self::NotAccepted | Self::BeyondNetwork { .. } => EnhancedStatus::new(5, 7, 1),
            Self::Routed(_) => EnhancedStatus::new(5, 1, 3),
            Self::NoRoute => EnhancedStatus::new(5, 4, 4),
        }
    }
}

impl fmt::Display for RelayRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AuthenticationRequired => "Authentication required",
            Self::NotAccepted | Self::BeyondNetwork { .. } => "Relay access denied",
            Self::Routed(_) => "Routes in the local part are not followed",
            Self::NoRoute => "No route to this domain",
        })
    }
}

/// Decides at MAIL whether the client may use this reverse-path.
///
/// An account's `may_send_as` and a trusted network's `from` narrow; nothing widens. Where either is given, the null
/// reverse-path needs a pattern of its own (`<>` or `*`); to clients without either it is always open, since reports
/// come that way (RFC 5321 §4.5.5).
#[must_use]
pub fn decide_sender(facts: Facts<'_>, reverse_path: &ReversePath) -> SenderVerdict {
    sender(Client::of(facts), reverse_path)
}

/// Decides at RCPT whether the client may send to this forward-path. Reads no clock, no file, no socket.
#[must_use]
pub fn decide_relay(policy: &RelayPolicy, facts: Facts<'_>, forward_path: &ForwardPath) -> RelayVerdict {
    relay(policy, Client::of(facts), forward_path)
}

/// What gives a client rights.
#[derive(Clone, Copy)]
pub(super) struct Client<'a> {
    pub(super) listener: &'a ListenerPolicy,
    pub(super) trusted: Option<&'a TrustedNetwork>,
    pub(super) account: Option<Account<'a>>,
}

/// What an account may do.
#[derive(Clone, Copy)]
pub(super) struct Account<'a> {
    pub(super) may_send_as: Option<&'a [AddressPattern]>,
}

impl<'a> Client<'a> {
    fn of(facts: Facts<'a>) -> Self {
        Self {
            listener: facts.listener,
            trusted: facts.listener.trusted_network_of(facts.client),
            account: facts.principal.map(|principal| Account { may_send_as: principal.may_send_as() }),
        }
    }

    fn must_authenticate(self) -> bool {
        self.listener.authentication == Authentication::Required && self.account.is_none()
    }
}

pub(super) fn sender(client: Client<'_>, reverse_path: &ReversePath) -> SenderVerdict {
    if client.must_authenticate() {
        SenderVerdict::Refused(SenderRefusal::AuthenticationRequired)
    } else if let Some(account) = client.account {
        if has(account.may_send_as, reverse_path) {
            SenderVerdict::Authenticated
        } else {
            SenderVerdict::Refused(SenderRefusal::NotOfAccount)
        }
    } else if let Some(TrustedNetwork { network, from, .. }) = client.trusted {
        if has(from.as_deref(), reverse_path) {
            SenderVerdict::TrustedNetwork { network: *network }
        } else {
            SenderVerdict::Refused(SenderRefusal::NotOfNetwork { network: *network })
        }
    } else {
        SenderVerdict::Unproved
    }
}

pub(super) fn relay(policy: &RelayPolicy, client: Client<'_>, forward_path: &ForwardPath) -> RelayVerdict {
    if client.must_authenticate() {
        return RelayVerdict::Denied(RelayRefusal::AuthenticationRequired);
    }
    let recipient = match forward_path {
        ForwardPath::Mailbox(mailbox) if !policy.is_own_postmaster(forward_path) => mailbox,
        ForwardPath::Mailbox(_) | ForwardPath::Postmaster => return RelayVerdict::Postmaster,
    };
    let elsewhere = to_elsewhere(client);
    let verdict = match (is_accepted(policy, recipient), RouteSign::find(recipient.local_part()), &elsewhere)
    {
        (false, _, _) => elsewhere,
        // Whoever may send anywhere gains nothing by a route.
        (true, Some(sign), RelayVerdict::Denied(_)) => RelayVerdict::Denied(RelayRefusal::Routed(sign)),
        (true, _, _) => RelayVerdict::AcceptedDomain,
    };
    if matches!(verdict, RelayVerdict::Denied(_)) || route_of(&policy.routes, recipient).is_some() {
        verdict
    } else {
        RelayVerdict::Denied(RelayRefusal::NoRoute)
    }
}

/// Methods 2 and 3: whether a client may send to domains that are not ours.
fn to_elsewhere(client: Client<'_>) -> RelayVerdict {
    match (client.account, client.trusted) {
        (Some(_), _) => RelayVerdict::Authenticated,
        (None, Some(TrustedNetwork { network, relay_to: RelayTo::Any, .. })) => {
            RelayVerdict::TrustedNetwork { network: *network }
        }
        (None, Some(TrustedNetwork { network, relay_to: RelayTo::AcceptedDomains, .. })) => {
            RelayVerdict::Denied(RelayRefusal::BeyondNetwork { network: *network })
        }
        (None, None) => RelayVerdict::Denied(RelayRefusal::NotAccepted),
    }
}

/// Method 1. What is no domain that can be compared (an address literal, full-width letters) is nobody's.
fn is_accepted(policy: &RelayPolicy, recipient: &Mailbox) -> bool {
    DomainName::parse(recipient.domain())
        .is_ok_and(|domain| policy.accepted_domains.matching(&domain).is_some())
}

fn has(patterns: Option<&[AddressPattern]>, reverse_path: &ReversePath) -> bool {
    patterns.is_none_or(|patterns| patterns.iter().any(|pattern| pattern.matches(reverse_path)))
}
