//! One connection that all attempts of a destination share.
#![expect(clippy::disallowed_methods, reason = "how fresh an answer is")]

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync;

/// A connection that is made when an attempt needs it, by one attempt for all that wait, and kept until an attempt finds
/// it broken. Why there is none concerns all that ask within a moment: a thousand attempts knock once.
pub(super) struct OneConnection<C, F> {
    kept: Mutex<Option<Arc<C>>>,
    making: Recent<Result<Arc<C>, F>>,
}

impl<C, F: Clone> OneConnection<C, F> {
    pub(super) fn new() -> Self {
        Self { kept: Mutex::new(None), making: Recent::new() }
    }

    /// The connection, or what `connect` makes of it; that must end by its own time limit.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn open(&self, connect: impl Future<Output = Result<C, F>>) -> Result<Arc<C>, F> {
        if let Some(open) = self.current() {
            return Ok(open);
        }
        self.making
            .ask(async {
                // Others may have made it while this attempt waited for its turn.
                if let Some(open) = self.current() {
                    return Ok(open);
                }
                let made = Arc::new(connect.await?);
                *self.kept() = Some(Arc::clone(&made));
                Ok(made)
            })
            .await
    }

    /// The connection, if there is one.
    pub(super) fn current(&self) -> Option<Arc<C>> {
        self.kept().clone()
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

/// An answer that is good for all who ask within a moment; one of them asks.
pub(super) struct Recent<T>(sync::Mutex<Option<(Instant, T)>>);

impl<T: Clone> Recent<T> {
    pub(super) fn new() -> Self {
        Self(sync::Mutex::new(None))
    }

    /// The recent answer, or that of `question`.
    pub(super) async fn ask(&self, question: impl Future<Output = T>) -> T {
        let mut recent = self.0.lock().await;
        if let Some((at, answer)) = recent.as_ref()
            && at.elapsed() < MOMENT
        {
            return answer.clone();
        }
        let answer = question.await;
        *recent = Some((Instant::now(), answer.clone()));
        answer
    }
}

impl<T> fmt::Debug for Recent<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recent")
    }
}

/// Shorter than the first wait before a probe, so that each probe asks anew.
const MOMENT: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_thousand_attempts_knock_once() {
        let (one, knocked) = (OneConnection::<(), &str>::new(), AtomicUsize::new(0));
        for _ in 0..1000 {
            let knock = async {
                knocked.fetch_add(1, Ordering::Relaxed);
                Err("nobody")
            };
            assert_eq!(one.open(knock).await.err(), Some("nobody"));
        }
        assert_eq!(knocked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_broken_connection_is_replaced_and_its_successor_is_not_discarded_for_it() {
        let one = OneConnection::<u8, &str>::new();
        let first = one.open(async { Ok(1) }).await.unwrap();
        assert_eq!(*one.open(async { Ok(2) }).await.unwrap(), 1);
        one.discard(&first);
        tokio::time::sleep(MOMENT).await;
        let second = one.open(async { Ok(3) }).await.unwrap();
        assert_eq!(*second, 3);
        one.discard(&first);
        assert_eq!(one.take().as_deref(), Some(&3));
    }
}
