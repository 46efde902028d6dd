//! Why JetStream did not do what it was asked.

use std::fmt;

use async_nats::jetstream::context::{PublishError, PublishErrorKind};

use crate::spool::error::SpoolError;

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// Another gateway wrote first, or removed it.
    #[error("another gateway changed it")]
    Conflict,
    /// The stream or a bucket has no room.
    #[error("{0}")]
    Full(String),
    /// It is another stream than the one that was found when the connection was made.
    #[error("the stream MAILSLOTD_SPOOL was deleted and made anew, or set back to an older copy")]
    Replaced,
    /// No answer, or none that says whether it was done.
    #[error("{0}")]
    Lost(String),
}

impl Fault {
    pub(super) fn lost(error: impl fmt::Display) -> Self {
        Self::Lost(error.to_string())
    }

    /// Why a message was not published.
    pub(super) fn of_publish(error: &PublishError) -> Self {
        let said = error.to_string();
        match error.kind() {
            PublishErrorKind::Other if said.contains("maximum") || said.contains("insufficient") => {
                Self::Full(said)
            }
            PublishErrorKind::MaxPayloadExceeded => Self::Full(said),
            PublishErrorKind::StreamNotFound
            | PublishErrorKind::WrongLastMessageId
            | PublishErrorKind::WrongLastSequence
            | PublishErrorKind::TimedOut
            | PublishErrorKind::BrokenPipe
            | PublishErrorKind::MaxAckPending
            | PublishErrorKind::Other => Self::Lost(said),
        }
    }

    /// For those who asked the spool.
    pub(super) fn in_spool(self, op: &'static str) -> SpoolError {
        SpoolError::Group { op, what: self.to_string() }
    }
}
