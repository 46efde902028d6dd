//! One connection for all attempts, made when the first of them needs it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Mutex as Turn;

use crate::delivery::outcome::Health;

/// Holds at most one connection. Who finds none makes one while the others wait for it, and they share what came of it:
/// a broker that does not answer costs one deadline, not one for each that waits.
#[derive(Debug)]
pub(in crate::delivery) struct Kept<C> {
    connection: Mutex<Option<Arc<C>>>,
    /// Held by whoever makes a connection; what the last such attempt ended with, where it failed.
    turn: Turn<Option<Health>>,
    /// How many such attempts have ended.
    ended: AtomicU64,
}

impl<C> Kept<C> {
    pub(in crate::delivery) fn new() -> Self {
        Self { connection: Mutex::new(None), turn: Turn::new(None), ended: AtomicU64::new(0) }
    }

    /// The connection that is there and `is_alive`, or the one that `open` makes.
    ///
    /// # Errors
    /// Those of `open`, whoever called it.
    pub(in crate::delivery) async fn connection<F>(
        &self,
        is_alive: impl Fn(&C) -> bool,
        open: impl FnOnce() -> F,
    ) -> Result<Arc<C>, Health>
    where
        F: Future<Output = Result<C, Health>>,
    {
        let before = self.ended.load(Ordering::Acquire);
        if let Some(connection) = self.current().filter(|connection| is_alive(connection)) {
            return Ok(connection);
        }
        let mut turn = self.turn.lock().await;
        if let Some(connection) = self.current().filter(|connection| is_alive(connection)) {
            return Ok(connection);
        }
        if self.ended.load(Ordering::Acquire) != before
            && let Some(fault) = &*turn
        {
            return Err(fault.clone());
        }
        let opened = open().await;
        self.ended.fetch_add(1, Ordering::Release);
        match opened {
            Ok(connection) => {
                let connection = Arc::new(connection);
                self.replace(Some(Arc::clone(&connection)));
                *turn = None;
                Ok(connection)
            }
            Err(fault) => {
                *turn = Some(fault.clone());
                Err(fault)
            }
        }
    }

    /// Gives a connection up that disappointed, unless another has taken its place.
    pub(in crate::delivery) fn discard(&self, disappointing: &Arc<C>) {
        let mut current = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, disappointing)) {
            *current = None;
        }
    }

    /// Gives the connection up, if there is one.
    pub(in crate::delivery) fn take(&self) -> Option<Arc<C>> {
        self.replace(None)
    }

    fn current(&self) -> Option<Arc<C>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn replace(&self, connection: Option<Arc<C>>) -> Option<Arc<C>> {
        std::mem::replace(&mut *self.connection.lock().unwrap_or_else(PoisonError::into_inner), connection)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::delivery::broker::words::down;

    #[tokio::test]
    async fn those_who_wait_share_one_failure_and_the_next_tries_anew() {
        let kept: Kept<u32> = Kept::new();
        let opened = AtomicUsize::new(0);
        let failing = || async {
            opened.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Err(down("not there".to_owned()))
        };
        let (a, b, c) = tokio::join!(
            kept.connection(|_| true, failing),
            kept.connection(|_| true, failing),
            kept.connection(|_| true, failing),
        );
        assert!([a, b, c].iter().all(Result::is_err));
        assert_eq!(opened.load(Ordering::Relaxed), 1);
        let next = kept.connection(|_| true, || async { Ok(7) }).await;
        assert_eq!(*next.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_connection_that_died_or_was_given_up_is_made_again() {
        let kept: Kept<u32> = Kept::new();
        let first = kept.connection(|_| true, || async { Ok(1) }).await.unwrap();
        let same = kept.connection(|_| true, || async { Ok(2) }).await.unwrap();
        assert_eq!(*same, 1);
        let second = kept.connection(|number| *number != 1, || async { Ok(3) }).await.unwrap();
        kept.discard(&first);
        assert!(kept.current().is_some(), "another had taken its place");
        kept.discard(&second);
        assert!(kept.current().is_none());
    }
}
