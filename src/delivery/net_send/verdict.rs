//! What became of a message to a display, in words for whoever sent it.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};

use crate::message::net_send::LongText;
use crate::session::netbios_client::{Outcome, Stage};
use crate::wire::netbios_name::NetbiosName;

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// A host has taken it and said so.
    Confirmed {
        /// Which.
        by: SocketAddrV4,
    },
    /// It went out over UDP, which gives no receipt.
    Unconfirmed {
        /// Where to; at least one.
        to: Vec<SocketAddrV4>,
        /// Where it could not be sent, and why.
        left_out: Vec<(SocketAddrV4, String)>,
        /// Why there was no session, where one was wanted.
        obstacle: Option<NoSession>,
    },
    /// Nobody has it.
    Not(NotSent),
}

/// Why there is no session, or none that took the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoSession {
    /// Nobody owns the name.
    Nobody {
        /// The name.
        name: NetbiosName,
        /// The name server that says so; else nobody answered at all.
        denied_by: Option<Ipv4Addr>,
    },
    /// It is for several hosts, and a session is with one.
    Several,
    /// No connection.
    Unreachable {
        /// With which host.
        host: SocketAddrV4,
        /// What the system says.
        error: String,
    },
    /// The session ended without a confirmation.
    Ended {
        /// With which host.
        host: SocketAddrV4,
        /// How.
        outcome: Outcome,
    },
}

/// Why a message was not sent, or not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotSent {
    /// No session took it, and the mailslot was no way.
    NoSession {
        /// Why.
        obstacle: NoSession,
        /// Why not by the mailslot, where that was permitted.
        too_long: Option<LongText>,
    },
    /// It does not fit into a datagram.
    TooLong(LongText),
    /// No interface has a broadcast address.
    Nowhere,
    /// Every datagram was refused by the system.
    Faults(Vec<(SocketAddrV4, String)>),
    /// There is no socket for it.
    System(String),
}

impl NoSession {
    /// Whether somebody got the message, or part of it: then it is sent no other way.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        match self {
            Self::Nobody { .. } | Self::Several | Self::Unreachable { .. } => false,
            Self::Ended { outcome, .. } => match outcome {
                Outcome::SessionRefused(_)
                | Outcome::Retargeted(_)
                | Outcome::HungUpOnWhole
                | Outcome::Lost(Stage::Opening)
                | Outcome::TimedOut(Stage::Opening)
                | Outcome::NotAReceiver(_) => false,
                Outcome::Confirmed
                | Outcome::Refused(_)
                | Outcome::Lost(Stage::Sending | Stage::Sent)
                | Outcome::TimedOut(Stage::Sending | Stage::Sent) => true,
            },
        }
    }
}

impl fmt::Display for NoSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody { name, denied_by: Some(server) } => {
                write!(f, "nobody owns the name {name}: the name server {server} does not know it")
            }
            Self::Nobody { name, denied_by: None } => {
                write!(f, "nobody owns the name {name}: no host answers for it")
            }
            Self::Several => f.write_str("it is for several hosts, and a session is with one"),
            Self::Unreachable { host, error } => write!(f, "{host} cannot be reached: {error}"),
            Self::Ended { host, outcome } => write!(f, "{host}: {outcome}"),
        }
    }
}

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSession { obstacle, too_long: None } => obstacle.fmt(f),
            Self::NoSession { obstacle, too_long: Some(too_long) } => {
                write!(f, "{obstacle}; and the mailslot was no way: {too_long}")
            }
            Self::TooLong(too_long) => too_long.fmt(f),
            Self::Nowhere => f.write_str("no interface of this host has a broadcast address"),
            Self::Faults(faults) => {
                for (number, (to, error)) in faults.iter().enumerate() {
                    write!(f, "{}{to}: {error}", if number == 0 { "" } else { "; " })?;
                }
                Ok(())
            }
            Self::System(error) => f.write_str(error),
        }
    }
}
