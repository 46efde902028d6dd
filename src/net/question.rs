//! One question to another host for everybody who asks it at the same time.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// Questions under way, by what they are about. Clones share them.
pub struct OpenQuestions<K, V>(Arc<Shared<K, V>>);

struct Shared<K, V> {
    open: Mutex<HashMap<K, watch::Receiver<Option<V>>>>,
    limit: usize,
}

/// Why a question has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswer {
    /// As many questions as may be are under way.
    TooMany,
    /// Whoever should have answered ended before it did.
    Lost,
}

impl<K, V> OpenQuestions<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// At most `limit` different questions at once.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Shared { open: Mutex::new(HashMap::new()), limit }))
    }

    /// The answer about `key`: of the question that is under way, or else of `answer`, which runs in a task of its own
    /// and so to its end even if this caller goes away.
    ///
    /// # Errors
    /// [`NoAnswer`]; `answer` itself must end by its own time limit.
    pub async fn ask(&self, key: K, answer: impl Future<Output = V> + Send + 'static) -> Result<V, NoAnswer> {
        let mut listener = self.listen(key, answer)?;
        // Bound at once, so that no guard of the channel lives on in the expression.
        let heard = listener.wait_for(Option::is_some).await.map(|answer| answer.clone());
        heard.ok().flatten().ok_or(NoAnswer::Lost)
    }

    fn listen(
        &self,
        key: K,
        answer: impl Future<Output = V> + Send + 'static,
    ) -> Result<watch::Receiver<Option<V>>, NoAnswer> {
        let mut open = self.0.open();
        if let Some(listener) = open.get(&key) {
            return Ok(listener.clone());
        }
        if open.len() >= self.0.limit {
            return Err(NoAnswer::TooMany);
        }
        let (speaker, listener) = watch::channel(None);
        open.insert(key.clone(), listener.clone());
        let closing = Closing { shared: Arc::clone(&self.0), key };
        tokio::spawn(async move {
            let answer = answer.await;
            // Whoever asks from here on asks anew, or finds what the answer left behind.
            drop(closing);
            speaker.send_replace(Some(answer));
        });
        Ok(listener)
    }
}

impl<K, V> Shared<K, V> {
    fn open(&self) -> MutexGuard<'_, HashMap<K, watch::Receiver<Option<V>>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, V> Clone for OpenQuestions<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, V> fmt::Debug for OpenQuestions<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenQuestions({})", self.0.open().len())
    }
}

/// Strikes the question off, even if the answering task panics.
struct Closing<K: Eq + Hash, V> {
    shared: Arc<Shared<K, V>>,
    key: K,
}

impl<K: Eq + Hash, V> Drop for Closing<K, V> {
    fn drop(&mut self) {
        self.shared.open().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn those_who_ask_at_the_same_time_share_one_question() {
        let questions = OpenQuestions::new(1);
        let (asked, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let ask = || {
            let (asked, go) = (Arc::clone(&asked), Arc::clone(&go));
            questions.ask("a", async move {
                asked.fetch_add(1, Ordering::SeqCst);
                go.notified().await;
                7
            })
        };
        let release = async {
            tokio::task::yield_now().await;
            assert_eq!(questions.ask("b", async { 8 }).await, Err(NoAnswer::TooMany));
            go.notify_one();
        };
        let (first, second, ()) = tokio::join!(ask(), ask(), release);
        assert_eq!((first, second, asked.load(Ordering::SeqCst)), (Ok(7), Ok(7), 1));
        assert_eq!(questions.ask("a", async { 9 }).await, Ok(9));
    }

    #[tokio::test]
    async fn a_question_whose_task_panics_is_no_answer_and_may_be_asked_again() {
        let questions = OpenQuestions::new(1);
        assert_eq!(
            questions.ask("a", async { panic!("as the test wants") }).await,
            Err::<u8, _>(NoAnswer::Lost)
        );
        assert_eq!(questions.ask("a", async { 1 }).await, Ok(1));
    }

    #[tokio::test]
    async fn an_asker_who_goes_away_does_not_end_the_question() {
        let questions = OpenQuestions::new(1);
        let (done, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (ended, start) = (Arc::clone(&done), Arc::clone(&go));
        let asked = questions.ask("a", async move {
            start.notified().await;
            ended.notify_one();
        });
        assert!(tokio::time::timeout(std::time::Duration::from_millis(1), asked).await.is_err());
        go.notify_one();
        done.notified().await;
    }
}
