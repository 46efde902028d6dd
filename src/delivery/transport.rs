//! The transports, behind one enum.

use super::maildir::Maildir;
use super::outcome::{Attempt, Report};

/// How one destination is reached. Clones share what is behind it.
#[derive(Debug, Clone)]
pub enum Transport {
    /// Files in a Maildir.
    Maildir(Maildir),
}

impl Transport {
    /// Makes one attempt. It ends in a bounded time: each transport has deadlines of its own.
    pub async fn deliver(&self, attempt: Attempt) -> Report {
        match self {
            Self::Maildir(maildir) => maildir.deliver(attempt).await,
        }
    }

    /// Does what is due without a message: connections that idle, mail that is too old. Due about once a minute.
    pub async fn tend(&self) {
        match self {
            Self::Maildir(maildir) => maildir.tend().await,
        }
    }

    /// Ends what is open; no attempt may be under way.
    pub async fn close(&self) {
        match self {
            Self::Maildir(_) => {}
        }
    }
}
