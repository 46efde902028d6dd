//! What one legacy packet tells of the host that sent it: the inventory's noun.
//!
//! Everything is a claim of the sender but its address. Names and comments are made into one bounded line here, so that
//! nothing behind this border need think of control characters, of texts that show something other than they say, or of
//! their length.

mod channel;
mod line;
mod name_query;
mod reading;
mod role;
mod system;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use jiff::Timestamp;

pub use channel::{Channel, Purpose};
pub use line::bounded_line;
pub use name_query::{NameQuerySeen, Silence};
pub use role::{Role, Roles};
pub use system::{Certainty, System, SystemGuess};

use crate::message::notice::Notice;

/// What one mailslot write or messenger session tells of the host that sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSighting {
    /// When.
    pub at: Timestamp,
    /// The address it came from: the only thing here that the sender does not choose freely.
    pub address: IpAddr,
    /// The name it goes by; `None` where it gave none.
    pub name: Option<HostName>,
    /// The workgroup or domain it speaks to or of.
    pub workgroup: Option<String>,
    /// Its operating system, where anything hints at one.
    pub system: Option<SystemGuess>,
    /// What it is and does.
    pub roles: Roles,
    /// The text for people with which it announces itself; at most [`MOST_COMMENT`] characters.
    pub comment: Option<String>,
    /// Whether it says goodbye.
    pub presence: Presence,
    /// What it spoke through.
    pub channel: Channel,
    /// Bytes of the mailslot's data, or of the session's text.
    pub octets: u64,
    /// The message to a person or a program, where it is one and no announcement.
    pub message: Option<MessageSeen>,
}

/// A name by which a host goes; at most [`MOST_NAME`] characters, in upper case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostName {
    /// The computer's own.
    Computer(String),
    /// A messenger name (`<03>`): the computer's, or that of a user who is logged on there.
    Messenger(String),
}

impl HostName {
    /// The name itself.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Computer(name) | Self::Messenger(name) => name,
        }
    }
}

/// Whether a host stays in the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It does, or says nothing of it.
    Stays,
    /// It announces that it goes away: a server type of zero.
    Leaves,
}

/// Of a message: from whom to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageSeen {
    /// Who wrote it, by its own words.
    pub from: String,
    /// For whom it is.
    pub to: String,
}

impl HostSighting {
    /// What a decoded message tells of its sender, which may be little more than an address.
    #[must_use]
    pub fn of(notice: &Notice<'_>) -> Self {
        reading::read(notice)
    }
}

/// Characters of a name: a NetBIOS name has 15 bytes, a browser's field 16, and LAN Manager's names may be longer.
pub const MOST_NAME: usize = 32;

/// Characters of a comment; Windows allows 48, Samba 256.
pub const MOST_COMMENT: usize = 128;
