//! An answer for all who ask within a moment.
#![expect(clippy::disallowed_methods, reason = "how fresh an answer is")]

use std::fmt;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::delivery::one_connection::MOMENT;

/// An answer that is good for all who ask within a moment; one of them asks.
pub(super) struct Recent<T>(Mutex<Option<(Instant, T)>>);

impl<T: Clone> Recent<T> {
    pub(super) fn new() -> Self {
        Self(Mutex::new(None))
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
