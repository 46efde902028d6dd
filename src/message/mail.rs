//! What the spool keeps and what a destination delivers.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::id::{QueueId, RuleName};
use super::notice::Notice;
use super::recipient::Recipient;

/// How urgent a message is against others for the same destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
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
}

impl Gathered {
    /// One notice alone.
    #[must_use]
    pub const fn one(notice: Notice<'static>) -> Self {
        Self { first: notice, count: 1, last: None }
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
