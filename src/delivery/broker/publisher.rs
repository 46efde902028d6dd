//! A connection on which messages are published and acknowledged in whatever order: a task with the socket, and a sans-IO
//! machine that says what to do with it.
#![expect(clippy::disallowed_methods, reason = "the machine is told the time here")]

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;
use zeroize::Zeroizing;

use crate::net::stream::Stream;

/// The machine of a protocol, as this task needs it.
pub(in crate::delivery) trait Machine: Send + 'static {
    /// What is published.
    type Letter: Send;
    /// What the broker says to it.
    type Answer: Send;
    /// Why a connection is over.
    type Ending: Clone + Send + fmt::Debug;

    /// Octets came.
    fn hear(&mut self, now: Instant, octets: &[u8]);
    /// No more will come.
    fn disconnected(&mut self, now: Instant);
    /// A message is to go.
    fn publish(&mut self, now: Instant, ticket: u64, letter: Self::Letter);
    /// We take leave.
    fn close(&mut self, now: Instant);
    /// [`Self::poll_timeout`] has passed.
    fn time_passed(&mut self, now: Instant);
    /// What to do next.
    fn poll(&mut self) -> Option<Step<Self>>;
    /// When to come back without being asked.
    fn poll_timeout(&self) -> Option<Instant>;
    /// Why the broker takes nothing for now.
    fn blocked(&self) -> Option<&str>;
    /// About how many octets a message has.
    fn octets(letter: &Self::Letter) -> usize;
}

/// What a machine wants done.
pub(in crate::delivery) enum Step<M: Machine + ?Sized> {
    Send(Vec<u8>),
    /// To be forgotten once it is written.
    SendSecret(Zeroizing<Vec<u8>>),
    /// Messages may be published.
    Ready,
    Answered(u64, M::Answer),
    Closed(M::Ending),
}

/// A connection on which messages may be published. Dropped, it is cut off.
pub(in crate::delivery) struct Connection<M: Machine> {
    orders: mpsc::Sender<Order<M>>,
    status: Arc<Mutex<Status<M>>>,
    task: AbortOnDropHandle<()>,
}

/// What is known of a connection from outside.
pub(in crate::delivery) struct Status<M: Machine> {
    /// Why the broker takes nothing for now.
    pub(in crate::delivery) blocked: Option<String>,
    /// Why the connection is over.
    pub(in crate::delivery) ending: Option<M::Ending>,
}

enum Order<M: Machine> {
    Publish(M::Letter, oneshot::Sender<M::Answer>),
    Close,
}

impl<M: Machine> Connection<M> {
    /// Comes back when messages may be published; at most `waiting` of them wait to be written. Ends within the patience
    /// of the machine.
    ///
    /// # Errors
    /// Why it did not come so far; `None` where the task broke off.
    pub(in crate::delivery) async fn open(
        stream: Stream,
        machine: M,
        waiting: usize,
    ) -> Result<Self, Option<M::Ending>> {
        let (orders, received) = mpsc::channel(waiting.max(1));
        let (ready, opened) = oneshot::channel();
        let status = Arc::new(Mutex::new(Status { blocked: None, ending: None }));
        let (reader, writer) = tokio::io::split(stream);
        let task = Task {
            machine,
            reader,
            writer,
            orders: received,
            unwritten: BytesMut::new(),
            writing: Writing::Flushed,
            waiting: HashMap::new(),
            next_ticket: 0,
            ready: Some(ready),
            status: Arc::clone(&status),
        };
        let connection = Self { orders, status, task: AbortOnDropHandle::new(tokio::spawn(task.run())) };
        match opened.await {
            Ok(()) => Ok(connection),
            Err(_) => Err(connection.status().ending),
        }
    }

    pub(in crate::delivery) fn is_alive(&self) -> bool {
        !self.task.is_finished() && lock(&self.status).ending.is_none()
    }

    pub(in crate::delivery) fn status(&self) -> Status<M> {
        let status = lock(&self.status);
        Status { blocked: status.blocked.clone(), ending: status.ending.clone() }
    }

    /// Hands a message over, for which there is room soon unless the broker does not read. `None`: the connection is over.
    /// What is awaited then ends without an answer when the connection does.
    pub(in crate::delivery) async fn publish(
        &self,
        letter: M::Letter,
    ) -> Option<oneshot::Receiver<M::Answer>> {
        let (answer, answered) = oneshot::channel();
        self.orders.send(Order::Publish(letter, answer)).await.ok().map(|()| answered)
    }

    /// Takes leave, and waits a little for it to be said.
    pub(in crate::delivery) async fn close(&self) {
        let leave = async {
            if self.orders.send(Order::Close).await.is_ok() {
                self.orders.closed().await;
            }
        };
        timeout(LAST_WORDS, leave).await.unwrap_or_default();
    }
}

impl<M: Machine> fmt::Debug for Connection<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("alive", &self.is_alive()).finish_non_exhaustive()
    }
}

/// How the writing side stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writing {
    Flushed,
    Unflushed,
    /// It cannot be written to any more; what the broker said of it may still come.
    Broken,
}

struct Task<M: Machine> {
    machine: M,
    reader: ReadHalf<Stream>,
    writer: WriteHalf<Stream>,
    orders: mpsc::Receiver<Order<M>>,
    unwritten: BytesMut,
    writing: Writing,
    waiting: HashMap<u64, oneshot::Sender<M::Answer>>,
    next_ticket: u64,
    ready: Option<oneshot::Sender<()>>,
    status: Arc<Mutex<Status<M>>>,
}

impl<M: Machine> Task<M> {
    async fn run(mut self) {
        let mut buffer = vec![0; 16 * 1024];
        let ending = loop {
            if let Some(ending) = self.obey().await {
                break ending;
            }
            let wake = self.machine.poll_timeout();
            let has_room = self.unwritten.len() < MOST_UNWRITTEN && self.ready.is_none();
            let writes = match self.writing {
                Writing::Flushed => !self.unwritten.is_empty(),
                Writing::Unflushed => true,
                Writing::Broken => false,
            };
            tokio::select! {
                read = self.reader.read(&mut buffer) => self.heard(read, &buffer),
                written = advance(&mut self.writer, &mut self.unwritten, &mut self.writing), if writes => {
                    if written.is_err() {
                        self.writing = Writing::Broken;
                    }
                }
                order = self.orders.recv(), if has_room => self.take_orders(order),
                () = sleep_until(wake.unwrap_or_else(Instant::now).into()), if wake.is_some() => {
                    self.machine.time_passed(Instant::now());
                }
            }
        };
        // Before those who wait see their channels closed.
        lock(&self.status).ending = Some(ending);
        self.waiting.clear();
        self.ready = None;
        self.last_words().await;
    }

    /// Does what the machine says; gives the end, when there is one.
    async fn obey(&mut self) -> Option<M::Ending> {
        while let Some(step) = self.machine.poll() {
            match step {
                Step::Send(octets) => self.unwritten.extend_from_slice(&octets),
                Step::SendSecret(octets) => self.write_secret(&octets).await,
                Step::Ready => {
                    if let Some(ready) = self.ready.take() {
                        // Whoever opened it may have given up; then the task ends with its handle.
                        ready.send(()).unwrap_or_default();
                    }
                }
                Step::Answered(ticket, answer) => {
                    if let Some(waiting) = self.waiting.remove(&ticket) {
                        // Who does not wait any more sends it again.
                        waiting.send(answer).unwrap_or_default();
                    }
                }
                Step::Closed(ending) => return Some(ending),
            }
        }
        None
    }

    /// At the beginning of a connection, where there is room for it.
    async fn write_secret(&mut self, octets: &[u8]) {
        let before = self.unwritten.split();
        let writing = async {
            self.writer.write_all(&before).await?;
            self.writer.write_all(octets).await?;
            self.writer.flush().await
        };
        if !matches!(timeout(LAST_WORDS, writing).await, Ok(Ok(()))) {
            self.writing = Writing::Broken;
        }
    }

    fn heard(&mut self, read: io::Result<usize>, buffer: &[u8]) {
        match read {
            Ok(length) if length > 0 => {
                self.machine.hear(Instant::now(), buffer.get(..length).unwrap_or_default());
                let blocked = self.machine.blocked();
                let mut status = lock(&self.status);
                if status.blocked.as_deref() != blocked {
                    status.blocked = blocked.map(str::to_owned);
                }
            }
            Ok(_) | Err(_) => self.machine.disconnected(Instant::now()),
        }
    }

    /// This order and those that wait behind it, as far as there is room for them.
    fn take_orders(&mut self, first: Option<Order<M>>) {
        let now = Instant::now();
        let mut room = MOST_UNWRITTEN;
        let mut next = Some(first.unwrap_or(Order::Close));
        while let Some(order) = next {
            match order {
                Order::Publish(letter, answer) => {
                    room = room.saturating_sub(M::octets(&letter));
                    let ticket = self.next_ticket;
                    self.next_ticket = ticket.wrapping_add(1);
                    self.waiting.insert(ticket, answer);
                    self.machine.publish(now, ticket, letter);
                }
                Order::Close => {
                    self.machine.close(now);
                    return;
                }
            }
            next = if room > 0 { self.orders.try_recv().ok() } else { None };
        }
    }

    async fn last_words(&mut self) {
        let saying = async {
            while self.writing != Writing::Broken && !self.unwritten.is_empty() {
                advance(&mut self.writer, &mut self.unwritten, &mut self.writing).await?;
            }
            self.writer.shutdown().await
        };
        // The broker may be gone; it was told as far as it listened.
        drop(timeout(LAST_WORDS, saying).await);
    }
}

/// One step of writing. May be dropped; nothing is lost.
async fn advance(
    writer: &mut WriteHalf<Stream>,
    unwritten: &mut BytesMut,
    writing: &mut Writing,
) -> io::Result<()> {
    if unwritten.is_empty() {
        writer.flush().await?;
        *writing = Writing::Flushed;
        return Ok(());
    }
    let written = writer.write(unwritten).await?;
    if written == 0 {
        return Err(io::ErrorKind::WriteZero.into());
    }
    unwritten.advance(written);
    *writing = Writing::Unflushed;
    Ok(())
}

fn lock<M: Machine>(status: &Mutex<Status<M>>) -> MutexGuard<'_, Status<M>> {
    status.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Octets that wait to be written; past it no more messages are taken.
const MOST_UNWRITTEN: usize = 256 * 1024;
/// How long a broker has to hear what is said in passing.
const LAST_WORDS: Duration = Duration::from_secs(2);
