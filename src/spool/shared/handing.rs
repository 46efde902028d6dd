//! Which messages of the local spool are on their way into the group's, so that nobody acts on one that is about to leave.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::message::id::QueueId;

/// Messages on their way. Chosen and acted on one at a time.
#[derive(Debug, Default)]
pub(super) struct Handing {
    door: tokio::sync::Mutex<()>,
    under_way: Mutex<HashSet<QueueId>>,
    ended: Notify,
}

/// No message can begin its way while this lives.
#[derive(Debug)]
pub(super) struct Closed<'a> {
    handing: &'a Handing,
    _door: tokio::sync::MutexGuard<'a, ()>,
}

/// These messages are on their way while this lives, whatever becomes of them.
#[derive(Debug)]
pub(super) struct UnderWay<'a>(&'a Handing);

impl Handing {
    /// To choose those that go next.
    pub(super) async fn close(&self) -> Closed<'_> {
        Closed { _door: self.door.lock().await, handing: self }
    }

    /// To act on a message: waits while it is on its way.
    pub(super) async fn outside(&self, id: QueueId) -> Closed<'_> {
        loop {
            let ended = self.ended.notified();
            let closed = self.close().await;
            if !self.under_way().contains(&id) {
                return closed;
            }
            drop(closed);
            ended.await;
        }
    }

    fn under_way(&self) -> MutexGuard<'_, HashSet<QueueId>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> Closed<'a> {
    /// These go.
    pub(super) fn begin(self, messages: impl Iterator<Item = QueueId>) -> UnderWay<'a> {
        self.handing.under_way().extend(messages);
        UnderWay(self.handing)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way().clear();
        self.0.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_message_on_its_way_is_waited_for_and_others_are_not() {
        let id = |row| QueueId::from_row(row).unwrap();
        let handing = Handing::default();
        let under_way = handing.close().await.begin([id(1), id(2)].into_iter());
        assert!(handing.outside(id(1)).now_or_never().is_none());
        drop(handing.outside(id(3)).now_or_never().expect("it is not on its way"));
        drop(under_way);
        let closed = handing.outside(id(1)).now_or_never().expect("it has arrived");
        assert!(handing.close().now_or_never().is_none(), "nothing begins while one is acted on");
        drop(closed);
    }
}
