//! The gateway at a glance.

use std::net::SocketAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::admin::readiness::Stage;
use crate::credentials::Credential;
use crate::delivery::view::{self, DestinationView, Views};
use crate::message::id::{DestinationName, ListenerName};
use crate::spool::{Figures, GroupStanding, SpoolState};
use crate::switch::{Depending, SwitchStatus};

/// The gateway at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Of the program.
    pub version: String,
    /// What it calls itself, where that is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Its process.
    pub pid: u32,
    /// Since when it runs.
    pub started_at: Timestamp,
    /// Between start and stop.
    pub stage: Stage,
    /// Where it hears UDP 138.
    pub datagram: SocketAddr,
    /// Where it answers monitors.
    pub admin: SocketAddr,
    /// Where SMTP clients reach it.
    pub smtp: Vec<SmtpListenerStatus>,
    /// What it is called on UDP 137, and what comes over TCP 139.
    #[serde(default)]
    pub netbios: NetbiosStatus,
    /// Whether mailslot messages pass.
    #[serde(default)]
    pub mailslots: Vec<SwitchStatus>,
    /// The hosts that sent messages in the last 30 days, where messages pass by an exception that ends soon: they fall
    /// silent then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard_lately: Option<Depending>,
    /// What it keeps.
    pub spool: SpoolStatus,
    /// How the gateways stand that share its spool; absent where they do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupStanding>,
    /// Its destinations.
    pub destinations: Vec<DestinationStatus>,
    /// Secrets and certificates that end within 30 days, or have ended.
    #[serde(default)]
    pub credentials: Vec<Credential>,
}

/// Names and sessions of NetBIOS at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NetbiosStatus {
    /// Where it hears UDP 137; absent where that port could not be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_service: Option<SocketAddr>,
    /// The names that it claims; none in mode observe.
    #[serde(default)]
    pub names: Vec<NameStatus>,
    /// The sessions of `net send`; absent in mode observe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions: Option<SessionsStatus>,
}

/// A name that is claimed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameStatus {
    /// With its suffix: `ALERTS<03>`.
    pub name: String,
    /// `claiming`, `claimed` or `conflict`.
    pub state: String,
}

/// Sessions of `net send` at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionsStatus {
    /// Where senders reach it.
    pub address: SocketAddr,
    /// Connections that are open now.
    pub connections: u64,
    /// Messages that it has accepted since the start.
    pub accepted: u64,
}

/// The spool at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpoolStatus {
    /// Why it accepts no alarm at present: a limit, a full disk or a fault. Absent while it accepts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refuses: Option<String>,
    /// Why it accepts no mail at present though it accepts alarms, for which it keeps room. Absent while it accepts mail,
    /// and where no SMTP client can bring any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refuses_mail: Option<String>,
    /// Messages in it, whatever became of their copies.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the message was accepted that waits longest; absent while none waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_waiting: Option<Timestamp>,
    /// Copies by destination and state, none without any.
    pub copies: Vec<CopyCount>,
}

/// Copies for one destination in one state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyCount {
    /// The destination, which need not be configured any more.
    pub destination: DestinationName,
    /// Their state.
    pub state: SpoolState,
    /// How many.
    pub copies: u64,
}

impl SpoolStatus {
    /// Of these figures; `refuses` and `refuses_mail` as the fields.
    #[must_use]
    pub fn of(figures: Figures, refuses: Option<String>, refuses_mail: Option<String>) -> Self {
        let count = |(destination, state, copies)| CopyCount { destination, state, copies };
        Self {
            refuses,
            refuses_mail,
            messages: figures.messages,
            bytes: figures.bytes,
            oldest_waiting: figures.oldest_waiting,
            copies: figures.copies.into_iter().map(count).collect(),
        }
    }

    /// Copies in a state, for one destination or, without a name, for all.
    #[must_use]
    pub fn copies(&self, state: SpoolState, destination: Option<&DestinationName>) -> u64 {
        let counted = self.copies.iter().filter(|count| {
            count.state == state && destination.is_none_or(|destination| *destination == count.destination)
        });
        counted.map(|count| count.copies).sum()
    }
}

/// One address of an SMTP listener at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmtpListenerStatus {
    /// The listener.
    pub listener: ListenerName,
    /// Where clients reach it.
    pub address: SocketAddr,
    /// Connections to the listener that are open now, whatever their address.
    pub connections: u64,
    /// Messages that the listener has accepted since the start, whatever their address.
    pub accepted: u64,
}

/// Whether the address in this place is the first of its listener, at which the listener's counts are shown.
#[must_use]
pub fn is_first_of_listener(addresses: &[SmtpListenerStatus], place: usize) -> bool {
    let of = |place: usize| addresses.get(place).map(|address| &address.listener);
    place.checked_sub(1).is_none_or(|before| of(before) != of(place))
}

/// One destination at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestinationStatus {
    /// Its name.
    pub name: DestinationName,
    /// `up`, `down`, `operator_fault`, `throttled` or `paused`.
    pub state: String,
    /// Since when it is in this state, or since start.
    pub since: Timestamp,
    /// Why, where it is not up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Attempts under way.
    pub in_flight: usize,
    /// When it last took a message; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_delivery: Option<Timestamp>,
    /// What it said of the recipient that was decided last; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_reply: Option<LastReply>,
}

impl DestinationStatus {
    /// For readers that may not learn who gets mail: a next hop's words often name the recipient.
    #[must_use]
    pub fn without_words(self) -> Self {
        Self { last_reply: None, ..self }
    }
}

/// What a destination said last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastReply {
    /// When.
    pub at: Timestamp,
    /// `delivered`, `delayed` or `failed`.
    pub outcome: String,
    /// Its words, escaped and cut to one line.
    pub text: String,
}

impl From<&view::LastReply> for LastReply {
    fn from(reply: &view::LastReply) -> Self {
        Self { at: reply.at, outcome: reply.result.as_str().to_owned(), text: reply.text.to_string() }
    }
}

/// All destinations at a glance, by name.
#[must_use]
pub fn destinations(views: &Views) -> Vec<DestinationStatus> {
    let status = |(name, view): (DestinationName, DestinationView)| DestinationStatus {
        name,
        state: view.state.as_str().to_owned(),
        since: view.since,
        last_reply: view.last_reply.as_ref().map(LastReply::from),
        reason: view.reason,
        in_flight: view.in_flight,
        last_delivery: view.last_delivery,
    };
    views.all().into_iter().map(status).collect()
}
