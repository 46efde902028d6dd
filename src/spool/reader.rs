//! The thread that reads: its own connection, so that a long commit does not hold up a question, nor a question the
//! runtime's workers.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::error::SpoolError;
use super::schema;
use super::thread::Vital;

/// Asks the thread.
#[derive(Debug)]
pub(super) struct Reader {
    questions: mpsc::Sender<Question>,
}

type Ask = dyn FnOnce(Result<&Connection, SpoolError>) + Send;

enum Question {
    Ask(Box<Ask>),
    Stop(oneshot::Sender<()>),
}

impl Reader {
    /// Starts the thread. `edition` rises when another database file has taken the place of the one that is open.
    pub(super) fn start(
        database: PathBuf,
        edition: Arc<AtomicU64>,
        vital: Vital,
    ) -> Result<Self, SpoolError> {
        let (questions, waiting) = mpsc::channel(WAITING);
        let path = database.clone();
        std::thread::Builder::new()
            .name(THREAD.to_owned())
            .spawn(move || {
                let _vital = vital;
                answer(waiting, &database, &edition);
            })
            .map_err(|error| SpoolError::file("start a thread for", &path, error))?;
        Ok(Self { questions })
    }

    /// Has the thread answer a question.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, SpoolError> + Send + 'static,
    ) -> Result<T, SpoolError> {
        let (reply, answer) = oneshot::channel();
        let ask = move |connection: Result<&Connection, SpoolError>| {
            // Who asked may have gone meanwhile; then nobody misses the answer.
            drop(reply.send(connection.and_then(question)));
        };
        self.questions.send(Question::Ask(Box::new(ask))).await.map_err(|_| SpoolError::Closed)?;
        answer.await.map_err(|_| SpoolError::Closed)?
    }

    /// Ends the thread once it has answered what was asked before; its connection is closed then.
    pub(super) async fn stop(&self) {
        let (stopped, wait) = oneshot::channel();
        if self.questions.send(Question::Stop(stopped)).await.is_ok() {
            // An error says that the thread is gone, which is what is wanted.
            wait.await.unwrap_or_default();
        }
    }
}

fn answer(mut questions: mpsc::Receiver<Question>, database: &Path, edition: &AtomicU64) {
    let mut open: Option<(u64, Connection)> = None;
    while let Some(question) = questions.blocking_recv() {
        match question {
            Question::Ask(ask) => {
                let current = edition.load(Ordering::Acquire);
                open = open.filter(|(opened, _)| *opened == current);
                if open.is_none() {
                    match schema::open_reader(database) {
                        Ok(connection) => open = Some((current, connection)),
                        Err(error) => {
                            ask(Err(SpoolError::database("open", database, error)));
                            continue;
                        }
                    }
                }
                if let Some((_, connection)) = &open {
                    ask(Ok(connection));
                }
            }
            Question::Stop(stopped) => {
                drop(open);
                questions.close();
                stopped.send(()).unwrap_or_default();
                return;
            }
        }
    }
}

/// The thread's name.
pub(super) const THREAD: &str = "spool-reader";

/// Questions that may wait before those who ask do.
const WAITING: usize = 256;
