//! What the control socket says, in JSON: shared by its server and by the commands.

mod status;
mod tarpit;

use serde::{Deserialize, Serialize};

pub use self::status::{
    CopyCount, DestinationStatus, LastReply, NameStatus, NetbiosStatus, SessionsStatus, SmtpListenerStatus,
    SpoolStatus, Status, destinations, is_first_of_listener,
};
pub use self::tarpit::{ClientNetworkStatus, TarpitStatus, TurnedAway};
use crate::message::id::{DestinationName, QueueId};
use crate::spool::{Pause, Shown, SpoolState};
use crate::switch::{Depending, SwitchStatus};

/// The file name of the control socket in `state_dir`.
pub const SOCKET: &str = "control.sock";

/// How many copies an action was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acted {
    /// Copies, not messages.
    pub copies: u64,
}

/// Who had stopped a destination before: none, if it was running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// The pause that was in force.
    pub pause: Option<Pause>,
}

/// Why an answer is not what was asked for, in a sentence for the operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The sentence.
    pub error: String,
}

/// What a list is asked for; all fields may be absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListQuery {
    /// Only those for this destination.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<DestinationName>,
    /// Only those in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<SpoolState>,
    /// Only those behind this message …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<QueueId>,
    /// … and this recipient of it.
    #[serde(default)]
    pub after_number: u32,
    /// At most so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// Who asks to stop a destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseRequest {
    /// A user name, for people.
    pub by: String,
}

/// Whether mailslot messages pass, and who would miss it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailslotsStatus {
    /// Both directions.
    pub switches: Vec<SwitchStatus>,
    /// The hosts that sent messages in the last 30 days.
    pub heard_lately: Depending,
}

/// Why an action was for none of a message's copies, in a sentence for the operator.
#[must_use]
pub fn nothing_to_do(shown: &Shown) -> String {
    let mut states: Vec<&str> = shown.copies.iter().map(|copy| copy.state.as_str()).collect();
    states.sort_unstable();
    states.dedup();
    let hint = match states.as_slice() {
        ["held"] => "; `mailslotd queue release` lets it go",
        _ => "",
    };
    format!("nothing to do for {}, which is {}{hint}", shown.id, states.join(" and "))
}
