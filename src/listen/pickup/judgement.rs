//! May a message of this host be sent? The same policy as for any client, with the pickup's own listener.

use std::net::{IpAddr, Ipv4Addr};

use crate::message::own_envelope::OwnEnvelope;
use crate::policy::relay::{
    Facts, ListenerPolicy, RelayPolicy, RelayRefusal, RelayVerdict, SenderRefusal, SenderVerdict,
    decide_relay, decide_sender,
};
use crate::wire::smtp::path::{ForwardPath, Mailbox, ReversePath};

/// Why a message may not be sent. Displays as cause and fix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not from this sender.
    #[error("sender <{path}>: {reason}; fix: {fix}", fix = sender_fix(*reason))]
    Sender {
        /// Whom it wants to be from.
        path: ReversePath,
        /// Why not.
        reason: SenderRefusal,
    },
    /// Not to this recipient.
    #[error("recipient <{path}>: {reason}; fix: {fix}", fix = recipient_fix(*reason))]
    Recipient {
        /// Whom it is for.
        path: ForwardPath,
        /// Why not.
        reason: RelayRefusal,
    },
    /// No source of recipients knows this one.
    #[error(
        "recipient <{path}>: no such recipient; fix: correct the address, or add it to what `relay.recipients` reads"
    )]
    Unknown {
        /// Whom it is for.
        path: Mailbox,
    },
}

/// Everything that forbids this message; empty: it may be sent, to those of its recipients that exist.
#[must_use]
pub fn judge(relay: &RelayPolicy, listener: &ListenerPolicy, envelope: &OwnEnvelope) -> Vec<Refused> {
    let facts = Facts { listener, client: THIS_HOST, principal: None };
    let mut refused = Vec::new();
    if let SenderVerdict::Refused(reason) = decide_sender(facts, &envelope.reverse_path) {
        refused.push(Refused::Sender { path: envelope.reverse_path.clone(), reason });
    }
    for path in &envelope.recipients {
        if let RelayVerdict::Denied(reason) = decide_relay(relay, facts, path) {
            refused.push(Refused::Recipient { path: path.clone(), reason });
        }
    }
    refused
}

/// The recipients of a message that the relay policy accepts by their domain, so that it is asked whether they exist.
pub(super) fn to_look_up<'e>(
    relay: &RelayPolicy,
    listener: &ListenerPolicy,
    envelope: &'e OwnEnvelope,
) -> Vec<&'e Mailbox> {
    let facts = Facts { listener, client: THIS_HOST, principal: None };
    let accepted = envelope.recipients.iter().filter_map(|path| match path {
        ForwardPath::Postmaster => None,
        ForwardPath::Mailbox(mailbox) => {
            (decide_relay(relay, facts, path) == RelayVerdict::AcceptedDomain).then_some(mailbox)
        }
    });
    accepted.collect()
}

const fn sender_fix(reason: SenderRefusal) -> &'static str {
    match reason {
        SenderRefusal::NotOfNetwork { .. } => {
            "send as an address that `pickup.from` allows, or add a pattern there"
        }
        SenderRefusal::AuthenticationRequired | SenderRefusal::NotOfAccount => {
            "send by SMTP with AUTH instead"
        }
    }
}

const fn recipient_fix(reason: RelayRefusal) -> &'static str {
    match reason {
        RelayRefusal::NotAccepted | RelayRefusal::BeyondNetwork { .. } => {
            "set `pickup.relay_to: any`, or add the domain to `relay.accepted_domains`"
        }
        RelayRefusal::Routed(_) => "write the address without a route in front of its @",
        RelayRefusal::NoRoute => "add a route for the domain to `relay.routes`",
        RelayRefusal::AuthenticationRequired => "send by SMTP with AUTH instead",
    }
}

/// As whom a program of this host is judged; it is in the pickup's trusted networks.
pub(super) const THIS_HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
