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
        match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => Self::Full(error.to_string()),
            PublishErrorKind::StreamNotFound
            | PublishErrorKind::WrongLastMessageId
            | PublishErrorKind::WrongLastSequence
            | PublishErrorKind::TimedOut
            | PublishErrorKind::BrokenPipe
            | PublishErrorKind::MaxAckPending
            | PublishErrorKind::Other => Self::of_write(error),
        }
    }

    /// Why something was not written.
    pub(super) fn of_write(error: impl fmt::Display) -> Self {
        let said = error.to_string();
        if NO_ROOM.iter().any(|words| said.contains(words)) { Self::Full(said) } else { Self::Lost(said) }
    }

    /// For those who asked the spool.
    pub(super) fn in_spool(self, op: &'static str) -> SpoolError {
        SpoolError::Group { op, what: self.to_string() }
    }
}

/// What servers say where a stream, an account, a server or its disk is full; the client does not tell these apart from
/// others.
const NO_ROOM: [&str; 4] = ["maximum", "insufficient", "resource limits exceeded", "no space left"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_without_room_is_told_apart_from_one_that_does_not_answer() {
        for (said, full) in [
            ("jetstream error: maximum bytes exceeded (code 503, error code 10077)", true),
            ("jetstream error: insufficient resources (code 503, error code 10023)", true),
            ("jetstream error: insufficient storage resources available (code 500, error code 10047)", true),
            ("jetstream error: resource limits exceeded for account (code 400, error code 10002)", true),
            ("write msgs/1.blk: no space left on device", true),
            ("timed out: didn't receive ack in time", false),
            ("no response from the server", false),
        ] {
            assert_eq!(matches!(Fault::of_write(said), Fault::Full(_)), full, "{said}");
        }
    }
}
