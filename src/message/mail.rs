//! What the spool keeps and what a destination delivers.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::id::{ListenerName, QueueId, RuleName};
use super::notice::Notice;
use super::recipient::Recipient;
pub use crate::wire::smtp::dsn::Ret;

/// How urgent a message is against others for the same destination.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Before everything else.
    Urgent,
    /// The default.
    #[default]
    Normal,
    /// After everything else.
    Bulk,
}

impl Priority {
    /// As rules write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Urgent => "urgent",
            Self::Normal => "normal",
            Self::Bulk => "bulk",
        }
    }
}

/// What kind of sender a message comes from. Notices go before mail of the same [`Priority`] and own a reserve of the
/// spool that mail cannot use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// A legacy message.
    Notice,
    /// A mail from a device or an application.
    Mail,
}

/// A message on its way into the spool.
#[derive(Debug, Clone)]
pub struct Message {
    /// What is delivered.
    pub body: Body,
    /// When it was taken from its sender.
    pub accepted_at: Timestamp,
    /// After this it is no longer delivered but kept as failed; `None` takes the spool's `retry.expire`.
    pub expire: Option<Duration>,
    /// How urgent it is.
    pub priority: Priority,
    /// The rule that decided.
    pub rule: Option<RuleName>,
    /// Repeats of the same message within a time become one mail.
    pub group: Option<Group>,
    /// At least one.
    pub recipients: Vec<Recipient>,
}

/// What is delivered.
#[derive(Debug, Clone)]
pub enum Body {
    /// A legacy message; each destination composes its own form of it when it delivers.
    Notice(Box<Gathered>),
    /// A complete RFC 5322 message.
    Mail {
        /// The envelope's sender; `None` is the null reverse-path `<>`.
        reverse_path: Option<String>,
        /// Header and body with CRLF line ends.
        content: Content,
        /// What its submission said besides.
        submitted: Box<Submitted>,
    },
}

impl Body {
    /// What kind of sender it comes from.
    #[must_use]
    pub const fn class(&self) -> Class {
        match self {
            Self::Notice(_) => Class::Notice,
            Self::Mail { .. } => Class::Mail,
        }
    }
}

/// What the submission of a mail said beside its addresses, and who brought it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Submitted {
    /// What of the message a report carries (RET, RFC 3461 §4.3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ret: Option<Ret>,
    /// What the sender knows the message by (ENVID, RFC 3461 §4.4), still in xtext.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub envid: Option<String>,
    /// Whether MAIL said SMTPUTF8: header or addresses need it of every next hop (RFC 6531 §3.6).
    pub smtputf8: bool,
    /// Whether its sender is told what became of it.
    pub reports: Reports,
    /// Who brought it; nobody brought a report of our own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<Client>,
}

/// Whether the sender of a mail is told what became of it. Decided when it is accepted, by `relay.bounces` and by whether
/// its client was trusted or authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reports {
    /// No: failures are kept for the operator, who alone sees them.
    #[default]
    None,
    /// Yes, as far as each recipient's NOTIFY wants it. A null reverse-path never is told anything (RFC 5321 §6.1).
    Owed,
}

/// Who brought a mail, for the queue view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// Where it came in.
    pub listener: ListenerName,
    /// The client's address.
    pub address: IpAddr,
    /// The account that it proved, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
}

/// A notice and those that repeated it while it waited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gathered {
    /// The first.
    pub first: Notice<'static>,
    /// How many there were in all, the first included.
    pub count: u64,
    /// The latest, where `count` is over one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Notice<'static>>,
    /// How many other messages of its source were dropped before it because there were too many.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub held_back: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it a reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Gathered {
    /// One notice alone.
    #[must_use]
    pub const fn one(notice: Notice<'static>) -> Self {
        Self { first: notice, count: 1, last: None, held_back: 0 }
    }
}

/// What makes messages "the same", and how long they are gathered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Equal keys belong together: a hash of the rule and of the fields that it groups by.
    pub key: [u8; 16],
    /// How long the first one waits for repeats.
    pub wait: Duration,
    /// How long after that further repeats are gathered into the next mail.
    pub repeat_after: Duration,
}

/// The bytes of a mail: in memory while small, in a file of the spool's beyond 64 KiB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// All of it.
    Inline(Bytes),
    /// In a file of the spool's, already fsynced.
    File {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        length: u64,
    },
}

impl Content {
    /// Its length in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        match self {
            Self::Inline(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Self::File { length, .. } => *length,
        }
    }
}

/// A message as it lies in the spool, without its recipients' fates.
#[derive(Debug, Clone)]
pub struct Spooled {
    /// Its number.
    pub id: QueueId,
    /// What is delivered.
    pub body: Body,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// When it is given up.
    pub expires_at: Timestamp,
    /// How urgent it is.
    pub priority: Priority,
    /// The rule that decided.
    pub rule: Option<RuleName>,
}
