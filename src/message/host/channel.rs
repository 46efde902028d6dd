//! Through what a host speaks, and what for.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::line::bounded_line;
use crate::message::notice::{Listener, Notice};

/// Through what a message came.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// A messenger session over TCP 139, as `net send NAME` uses.
    Session,
    /// A write to the mailslot with this name, in upper case; one line of at most 64 characters.
    Mailslot(String),
}

/// What a channel is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// Text for people: `net send`, WinPopup.
    Messenger,
    /// Something between programs of one vendor.
    Vendor,
    /// The search for a domain controller.
    Logon,
    /// The list of computers.
    Browsing,
}

impl Purpose {
    /// The word in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Messenger => "messenger",
            Self::Vendor => "vendor",
            Self::Logon => "logon",
            Self::Browsing => "browsing",
        }
    }
}

impl Channel {
    /// The channel of a message.
    pub(super) fn of(notice: &Notice<'_>) -> Self {
        match notice.arrival.listener {
            Listener::Messenger => Self::Session,
            Listener::Datagram => Self::Mailslot(bounded_line(&notice.mailslot, MOST_MAILSLOT)),
        }
    }

    /// What it is for. Mailslots below `\MAILSLOT\NET\` are those in which clients await the answers of logon servers.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        match self {
            Self::Session => Purpose::Messenger,
            Self::Mailslot(name) => match name.as_str() {
                r"\MAILSLOT\MESSNGR" => Purpose::Messenger,
                r"\MAILSLOT\BROWSE" | r"\MAILSLOT\LANMAN" => Purpose::Browsing,
                name if LOGON.iter().any(|prefix| name.starts_with(prefix)) => Purpose::Logon,
                _ => Purpose::Vendor,
            },
        }
    }

    /// Reads what [`fmt::Display`] wrote.
    #[must_use]
    pub fn named(text: &str) -> Self {
        if text == SESSION { Self::Session } else { Self::Mailslot(text.to_owned()) }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session => f.write_str(SESSION),
            Self::Mailslot(name) => f.write_str(name),
        }
    }
}

impl Serialize for Channel {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Channel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::named(&String::deserialize(deserializer)?))
    }
}

/// No mailslot's name is so: each begins with a backslash.
const SESSION: &str = "TCP 139";

const LOGON: [&str; 2] = [r"\MAILSLOT\NET\", r"\MAILSLOT\TEMP\NETLOGON"];

const MOST_MAILSLOT: usize = 64;
