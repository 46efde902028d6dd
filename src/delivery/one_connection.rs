//! One connection that all attempts of a destination share.
#![expect(clippy::disallowed_methods, reason = "how fresh a failure is")]

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex as Turn;
use tokio::time::Instant;

/// A connection that is made when an attempt needs it, by one attempt for all that wait, and kept until it has died or an
/// attempt finds it broken. Why there is none concerns all that ask within a moment: a thousand attempts knock once, and a
/// broker that does not answer costs one time limit, not one for each that waits.
pub(super) struct OneConnection<C, F> {
    kept: Mutex<Option<Arc<C>>>,
    /// Held by whoever makes a connection; when the last of them failed, and why.
    turn: Turn<Option<(Instant, F)>>,
}

impl<C, F: Clone> OneConnection<C, F> {
    pub(super) fn new() -> Self {
        Self { kept: Mutex::new(None), turn: Turn::new(None) }
    }

    /// The connection, while it `is_alive`, or what `connect` makes; that must end by its own time limit.
    ///
    /// # Errors
    /// Why there is none, whoever found that out.
    pub(super) async fn open(
        &self,
        is_alive: impl Fn(&C) -> bool,
        connect: impl Future<Output = Result<C, F>>,
    ) -> Result<Arc<C>, F> {
        let alive = || self.kept().clone().filter(|kept| is_alive(kept));
        if let Some(open) = alive() {
            return Ok(open);
        }
        let mut failed = self.turn.lock().await;
        // Others may have made it while this attempt waited for its turn.
        if let Some(open) = alive() {
            return Ok(open);
        }
        if let Some((at, fault)) = failed.as_ref()
            && at.elapsed() < MOMENT
        {
            return Err(fault.clone());
        }
        match connect.await {
            Ok(made) => {
                let made = Arc::new(made);
                *self.kept() = Some(Arc::clone(&made));
                *failed = None;
                Ok(made)
            }
            Err(fault) => {
                *failed = Some((Instant::now(), fault.clone()));
                Err(fault)
            }
        }
    }

    /// It was found broken: the next attempt makes another. Harmless when that has happened.
    pub(super) fn discard(&self, broken: &Arc<C>) {
        self.kept().take_if(|kept| Arc::ptr_eq(kept, broken));
    }

    /// Takes it away, to take leave of it.
    pub(super) fn take(&self) -> Option<Arc<C>> {
        self.kept().take()
    }

    fn kept(&self) -> MutexGuard<'_, Option<Arc<C>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C, F> fmt::Debug for OneConnection<C, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneConnection")
    }
}

/// Shorter than the first wait before a probe, so that each probe asks anew.
pub(super) const MOMENT: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_thousand_attempts_knock_once_and_a_moment_later_again() {
        let (one, knocked) = (OneConnection::<(), &str>::new(), AtomicUsize::new(0));
        let knock = || async {
            knocked.fetch_add(1, Ordering::Relaxed);
            Err("nobody")
        };
        for _ in 0..1000 {
            assert_eq!(one.open(|()| true, knock()).await.err(), Some("nobody"));
        }
        assert_eq!(knocked.load(Ordering::Relaxed), 1);
        tokio::time::sleep(MOMENT).await;
        assert!(one.open(|()| true, knock()).await.is_err());
        assert_eq!(knocked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_share_one_failure_however_long_it_took() {
        let (one, knocked) = (OneConnection::<(), &str>::new(), AtomicUsize::new(0));
        let knock = || {
            one.open(|()| true, async {
                knocked.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_secs(30)).await;
                Err("silence")
            })
        };
        let (a, b, c) = tokio::join!(knock(), knock(), knock());
        assert!([a, b, c].iter().all(|answer| answer.as_ref().err() == Some(&"silence")));
        assert_eq!(knocked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn one_that_died_or_was_found_broken_is_replaced_at_once() {
        let one = OneConnection::<u8, &str>::new();
        let first = one.open(|_| true, async { Ok(1) }).await.unwrap();
        assert_eq!(*one.open(|_| true, async { Ok(2) }).await.unwrap(), 1);
        one.discard(&first);
        assert_eq!(*one.open(|_| true, async { Ok(3) }).await.unwrap(), 3);
        one.discard(&first);
        assert_eq!(*one.open(|_| true, async { Ok(4) }).await.unwrap(), 3, "another had taken its place");
        assert_eq!(*one.open(|number| *number != 3, async { Ok(5) }).await.unwrap(), 5);
        assert_eq!(one.take().as_deref(), Some(&5));
    }
}
