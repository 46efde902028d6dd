//! One message at a time to each receiver: old displays show one and are busy until it is closed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedMutexGuard;

use crate::message::net_send::Addressee;

/// The receivers that messages are on their way to, or wait for. As many as attempts are under way.
#[derive(Debug)]
pub(super) struct Turns(Mutex<HashMap<Addressee, Arc<tokio::sync::Mutex<()>>>>);

impl Turns {
    pub(super) fn new() -> Self {
        Self(Mutex::default())
    }

    /// Waits until no other message is on its way to this receiver. The turn ends when what is returned is dropped.
    pub(super) async fn take(&self, receiver: &Addressee) -> OwnedMutexGuard<()> {
        self.turn(receiver).lock_owned().await
    }

    /// As [`Self::take`]; `None` rather than to wait.
    pub(super) fn take_now(&self, receiver: &Addressee) -> Option<OwnedMutexGuard<()>> {
        self.turn(receiver).try_lock_owned().ok()
    }

    fn turn(&self, receiver: &Addressee) -> Arc<tokio::sync::Mutex<()>> {
        let mut receivers = self.receivers();
        receivers.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(receivers.entry(receiver.clone()).or_default())
    }

    fn receivers(&self) -> MutexGuard<'_, HashMap<Addressee, Arc<tokio::sync::Mutex<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Duration, timeout};

    use super::*;

    #[tokio::test]
    async fn messages_to_one_receiver_wait_for_each_other_and_for_no_other_receiver() {
        let turns = Turns::new();
        let [first, second] = ["PC01", "PC02"].map(|name| Addressee::Name(name.to_owned()));
        let turn = turns.take(&first).await;
        let _other = turns.take(&second).await;
        assert!(timeout(Duration::from_millis(1), turns.take(&first)).await.is_err());
        assert!(turns.take_now(&first).is_none());
        drop(turn);
        let _next = turns.take(&first).await;
        assert_eq!(turns.receivers().len(), 2);
        drop((_other, _next));
        let _last = turns.take(&first).await;
        assert_eq!(turns.receivers().len(), 1, "nothing is kept of receivers that nobody waits for");
    }
}
