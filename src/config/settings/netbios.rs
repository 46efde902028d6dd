//! How the gateway takes part in NetBIOS.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::policy::allowed_sources::AllowedSources;
use crate::policy::mailslot_switch::Configured;
use crate::policy::source_rate::SourceRate;
use crate::wire::netbios_name::{NameType, NetbiosName};

/// How the gateway takes part in NetBIOS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Netbios {
    /// Whether it only listens.
    pub mode: Mode,
    /// Where it listens and answers.
    pub interfaces: Interfaces,
    /// Whose messages may be delivered and whose questions answered; configured WINS servers may always ask.
    pub allow: AllowedSources,
    /// How long a copy of a message is the same message, counted from the first; `None`: each is delivered.
    pub dedup_window: Option<Duration>,
    /// How much each source may send, where that is limited.
    pub rate: Option<SourceRate>,
    /// What sessions on TCP 139 may take.
    pub sessions: Sessions,
}

/// What sessions on TCP 139 may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sessions {
    /// Connections of one source address at once, where that is limited.
    pub per_source: Option<usize>,
    /// Connections in all; at least 1.
    pub in_all: usize,
    /// How long a session may stay open between messages; never zero.
    pub idle: Duration,
    /// How long a message may take from its first byte to its end; never zero.
    pub message: Duration,
}

impl Default for Sessions {
    /// A sender has a connection for each message that it is sending, and some more that are just ending; one that waits
    /// is a few kilobytes. The 30 s of a message are as long as WinPopup waits for an answer.
    fn default() -> Self {
        Self {
            per_source: Some(128),
            in_all: 2048,
            idle: Duration::from_secs(60),
            message: Duration::from_secs(30),
        }
    }
}

/// What the gateway does on the NetBIOS side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// It hears, and sends not one packet.
    Observe,
    /// It claims names, answers questions and accepts sessions.
    Answer(Box<Claims>),
}

/// The names that the gateway claims, in upper case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The computer name, as `<00>`; claimed as `<20>` as well.
    pub host_name: NetbiosName,
    /// The names of the messenger, as `<03>`; each once.
    pub names: Vec<NetbiosName>,
    /// The workgroup, as `<00>`, a group name; never the computer name.
    pub workgroup: NetbiosName,
    /// WINS servers to register with, beside the broadcasts; each once.
    pub wins: Vec<Ipv4Addr>,
}

impl Claims {
    /// Whether messages for this name come to the gateway itself.
    #[must_use]
    pub fn has(&self, name: NetbiosName) -> bool {
        let host = self.host_name.with_type(NameType::MESSENGER);
        name == host || self.names.contains(&name)
    }
}

/// Where NetBIOS is heard and answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interfaces {
    /// On every interface but those that have a public address.
    All,
    /// On those with these names, whatever their addresses.
    Named(Vec<String>),
}

/// What the configuration says of the two directions of mailslot messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mailslots {
    /// Of messages heard.
    pub inbound: Configured,
    /// Of messages sent.
    pub outbound: Configured,
}
