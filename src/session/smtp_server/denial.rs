//! What the policy refused a client, for the metrics and the log.

use crate::policy::relay::{RelayRefusal, SenderRefusal};

/// What the policy refused a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// The reverse-path.
    Sender(SenderRefusal),
    /// A forward-path, by the relay policy.
    Relay(RelayRefusal),
    /// Every forward-path but a postmaster's, for the client is on a DNS block list.
    Listed,
    /// A recipient that no directory knows.
    UnknownRecipient,
}

impl Denial {
    /// All words of [`Self::as_str`].
    pub const ALL: [&'static str; 10] = [
        "authentication_required",
        "sender_not_of_account",
        "sender_not_of_network",
        "recipient_authentication_required",
        "relay_access_denied",
        "beyond_network",
        "routed_local_part",
        "no_route",
        "listed",
        "unknown_recipient",
    ];

    /// A word for it: a metric's label, and the reason in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sender(SenderRefusal::AuthenticationRequired) => "authentication_required",
            Self::Sender(SenderRefusal::NotOfAccount) => "sender_not_of_account",
            Self::Sender(SenderRefusal::NotOfNetwork { .. }) => "sender_not_of_network",
            Self::Relay(RelayRefusal::AuthenticationRequired) => "recipient_authentication_required",
            Self::Relay(RelayRefusal::NotAccepted) => "relay_access_denied",
            Self::Relay(RelayRefusal::BeyondNetwork { .. }) => "beyond_network",
            Self::Relay(RelayRefusal::Routed(_)) => "routed_local_part",
            Self::Relay(RelayRefusal::NoRoute) => "no_route",
            Self::Listed => "listed",
            Self::UnknownRecipient => "unknown_recipient",
        }
    }
}
