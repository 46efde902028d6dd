//! What the writer is asked to do, and how the answer finds its way back.

use tokio::sync::oneshot;

use super::error::SpoolError;
use super::transaction::Transaction;

/// What the thread is asked.
pub(super) enum Order {
    /// To change rows.
    Do(Box<dyn Job>),
    /// To rebuild the database, because a reader found it damaged.
    Rebuild(SpoolError),
    /// To end when everything before is done.
    Close(oneshot::Sender<()>),
}

/// A change, and who waits for it. A trait because each answer has a type of its own; [`Task`] is the only one.
pub(super) trait Job: Send {
    fn kind(&self) -> Kind;
    /// Changes the rows; done again from the beginning when the transaction was rolled back.
    fn apply(&mut self, transaction: &mut Transaction<'_>) -> rusqlite::Result<()>;
    /// Tells who waits.
    fn answer(self: Box<Self>, end: Result<(), SpoolError>);
}

/// Whether a change needs room or makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Brings messages.
    Accept,
    /// Everything else.
    Settle,
}

/// A change given as a closure.
pub(super) struct Task<T, F> {
    kind: Kind,
    change: F,
    outcome: Option<T>,
    reply: oneshot::Sender<Result<T, SpoolError>>,
}

impl<T, F> Task<T, F>
where
    T: Send + 'static,
    F: FnMut(&mut Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
{
    /// The order, and where its answer comes.
    pub(super) fn order(kind: Kind, change: F) -> (Order, oneshot::Receiver<Result<T, SpoolError>>) {
        let (reply, answer) = oneshot::channel();
        (Order::Do(Box::new(Self { kind, change, outcome: None, reply })), answer)
    }
}

impl<T, F> Job for Task<T, F>
where
    T: Send,
    F: FnMut(&mut Transaction<'_>) -> rusqlite::Result<T> + Send,
{
    fn kind(&self) -> Kind {
        self.kind
    }

    fn apply(&mut self, transaction: &mut Transaction<'_>) -> rusqlite::Result<()> {
        self.outcome = Some((self.change)(transaction)?);
        Ok(())
    }

    fn answer(self: Box<Self>, end: Result<(), SpoolError>) {
        let Self { change, outcome, reply, .. } = *self;
        // What the change owns, such as content files, is settled before the answer is seen.
        drop(change);
        let answer = end.and_then(|()| outcome.ok_or(SpoolError::Closed));
        // Who asked may have gone meanwhile: what was done stays done.
        drop(reply.send(answer));
    }
}
