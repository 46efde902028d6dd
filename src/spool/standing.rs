//! How a group of gateways that share a spool stands, for the operator.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Whether this gateway does what only one of a group does: names on UDP 137, and the sweeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lead {
    /// It does.
    Ours,
    /// It did, and could not say so to the servers in time: another may by now.
    Lapsed,
    /// Another does, or nobody yet.
    Another,
}

/// How the group stands, as one of its gateways knows it. Names of gateways are those of their configuration, with a
/// tail that is drawn at each start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupStanding {
    /// What the others know this gateway by.
    pub gateway: String,
    /// The servers.
    pub servers: String,
    /// Whether they answer.
    pub contact: Contact,
    /// Since when that is so.
    pub since: Timestamp,
    /// Whether this gateway leads.
    pub lead: Lead,
    /// Who led when that was last seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    /// Those that lived when the servers last answered, by name, this one included.
    pub gateways: Vec<GatewaySign>,
    /// On how many servers everything lies.
    pub replicas: Replicas,
    /// What waits in this gateway's own spool until the group's takes it.
    pub local: LocalWait,
}

/// Whether the servers of a group answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Contact {
    /// They do.
    Open,
    /// They do not; what is wrong, as far as it is known.
    Silent(String),
}

/// A gateway of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewaySign {
    /// What it is known by.
    pub name: String,
    /// When a new sign of its life was seen last, by the clock of the gateway that says this.
    pub seen_at: Timestamp,
}

/// On how many servers the spool of a group lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replicas {
    /// As configured.
    pub wanted: usize,
    /// Those that had all of it when they were last asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<usize>,
}

/// What waits in a gateway's own spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LocalWait {
    /// Messages.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the one was accepted that waits longest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<Timestamp>,
}
