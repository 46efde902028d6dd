//! The configuration is to be read again: between whoever asks for it and whoever can.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// What a configuration that was read again has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// The keys that are in force anew; none where nothing has changed.
    pub changed: Vec<String>,
}

/// Why a configuration is not in force; nothing has changed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReloaded {
    /// It cannot be read, or has problems: all of them, in lines for people.
    #[error("{0}")]
    Faulty(String),
    /// It changes what only a start can change.
    #[error(
        "nothing was changed, since a restart is needed for: {keys}; restart the gateway (`systemctl restart \
         mailslotd`; messages that are waiting stay in the spool), or take these changes back",
        keys = .0.join(", ")
    )]
    NeedsRestart(Vec<String>),
    /// The gateway is busy with another one, or does not read its configuration again.
    #[error("the gateway does not read its configuration again at present; try again in a moment")]
    Busy,
}

/// A wish that the configuration be read again.
#[derive(Debug)]
pub struct ReloadRequest(oneshot::Sender<Result<Reloaded, NotReloaded>>);

impl ReloadRequest {
    /// Answers whoever asked; one that has gone needs no answer.
    pub fn answer(self, answer: Result<Reloaded, NotReloaded>) {
        self.0.send(answer).ok();
    }
}

/// Where the wish is uttered. Clones are the same.
#[derive(Debug, Clone)]
pub struct ReloadDoor(mpsc::Sender<ReloadRequest>);

impl ReloadDoor {
    /// The door, and where requests come out of it.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<ReloadRequest>) {
        let (sender, requests) = mpsc::channel(1);
        (Self(sender), requests)
    }

    /// Has the configuration read again. Ends in a bounded time.
    ///
    /// # Errors
    /// [`NotReloaded`].
    pub async fn ask(&self) -> Result<Reloaded, NotReloaded> {
        let (sender, answer) = oneshot::channel();
        self.0.try_send(ReloadRequest(sender)).map_err(|_| NotReloaded::Busy)?;
        match timeout(PATIENCE, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Err(NotReloaded::Busy),
        }
    }
}

/// Reading some files takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_asks_hears_what_changed_and_nobody_waits_for_a_gateway_that_is_busy() {
        let (door, mut requests) = ReloadDoor::new();
        let asking = tokio::spawn({
            let door = door.clone();
            async move { door.ask().await }
        });
        let request = requests.recv().await.unwrap();
        let answer = Ok(Reloaded { changed: vec!["rules".to_owned()] });
        request.answer(answer.clone());
        assert_eq!(asking.await.unwrap(), answer);
        drop(requests);
        assert_eq!(door.ask().await, Err(NotReloaded::Busy));
    }
}
