//! UDP 138: a socket to decoded, mapped messages in the backlog.
#![expect(clippy::disallowed_methods, reason = "the edge where the time of arrival is read")]

use std::io;
use std::net::SocketAddrV4;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::backlog::{Backlog, NoRoom};
use super::judge::Hearing;
use super::pipeline::{Pipeline, Verdict};
use super::receive::{Batch, Read, Received};
use super::socket::DatagramSocket;
use crate::message::notice::{Arrival, Listener};
use crate::telemetry::log::Recurring;
use crate::telemetry::metrics::{DropReason, Metrics};

/// Reads a socket, decides about each datagram, and puts what is to be delivered into the backlog.
///
/// It waits for the socket alone, never for disk or network: UDP cannot push back, and a datagram that is not read in
/// time is gone.
#[derive(Debug)]
pub struct Receiver {
    socket: UdpSocket,
    address: SocketAddrV4,
    receive_buffer: usize,
    ear: Ear,
}

impl Receiver {
    /// A receiver on a bound socket; to be made inside a tokio runtime.
    ///
    /// # Errors
    /// When the runtime cannot watch the socket.
    pub fn new(
        socket: DatagramSocket,
        pipeline: Pipeline,
        backlog: Arc<Backlog>,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let (address, receive_buffer) = (socket.address(), socket.receive_buffer());
        let socket = UdpSocket::from_std(socket.into_inner())?;
        Ok(Self { socket, address, receive_buffer, ear: Ear::new(pipeline, backlog, metrics) })
    }

    /// Where it listens; the real port where 0 was asked for.
    #[must_use]
    pub const fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// Hears until `stop`; then takes what the kernel still holds, for a second at most, and closes the backlog.
    ///
    /// Goes by the newest value of `hearing` from the next datagram on. A datagram on which the decoding panics is
    /// dropped, counted, and leaves the others unharmed. Should the task itself end by a defect, the backlog is closed
    /// as well, so the intake writes what waits and ends, and the process can end with an error rather than be deaf.
    pub async fn run(self, mut hearing: watch::Receiver<Arc<Hearing>>, stop: CancellationToken) {
        let Self { socket, address, receive_buffer, mut ear } = self;
        let _closed_at_the_end = Closed(Arc::clone(&ear.backlog));
        tell_address(address, receive_buffer);
        loop {
            let timeout = ear.poll_timeout();
            let wake = tokio::time::Instant::from_std(timeout.unwrap_or_else(Instant::now));
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Ok(()) = hearing.changed() => {
                    let hearing = Arc::clone(&hearing.borrow_and_update());
                    ear.pipeline.adopt(hearing);
                }
                () = tokio::time::sleep_until(wake), if timeout.is_some() => ear.handle_timeout(Instant::now()),
                ready = socket.readable() => {
                    let turn = match ready {
                        Ok(()) => ear.turn(&socket),
                        Err(error) => Err(ear.failed(&error)),
                    };
                    let Err(pause) = turn else {
                        // What still waits comes with the next turn; other tasks have theirs in between.
                        tokio::task::yield_now().await;
                        continue;
                    };
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = tokio::time::sleep(pause) => {}
                    }
                }
            }
        }
        ear.drain(&socket).await;
        tracing::info!(%address, "No longer listening for mailslot datagrams.");
    }
}

/// Everything of the receiver but the socket.
#[derive(Debug)]
struct Ear {
    batch: Batch,
    pipeline: Pipeline,
    backlog: Arc<Backlog>,
    metrics: Arc<Metrics>,
    lost_in_kernel: Recurring,
    lost_to_backlog: Recurring,
    errors: Recurring,
    /// How long to leave the socket alone after the next error; grows while errors follow one another.
    pause: Duration,
}

impl Ear {
    fn new(pipeline: Pipeline, backlog: Arc<Backlog>, metrics: Arc<Metrics>) -> Self {
        Self {
            batch: Batch::new(),
            pipeline,
            backlog,
            metrics,
            lost_in_kernel: Recurring::new(TELL_EVERY),
            lost_to_backlog: Recurring::new(TELL_EVERY),
            errors: Recurring::new(TELL_EVERY),
            pause: FIRST_PAUSE,
        }
    }

    /// Reads until nothing waits or other tasks have waited long enough.
    ///
    /// `Err` says how long to leave the socket alone.
    fn turn(&mut self, socket: &UdpSocket) -> Result<(), Duration> {
        for _ in 0..READS_PER_TURN {
            match socket.try_io(Interest::READABLE, || self.read(socket)) {
                Ok(_) => self.pause = FIRST_PAUSE,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(&error)),
            }
        }
        Ok(())
    }

    /// Reads one batch and decides about each datagram of it.
    fn read(&mut self, socket: &UdpSocket) -> io::Result<Read> {
        let (now, at) = (Instant::now(), Timestamp::now());
        let Self { batch, pipeline, backlog, metrics, .. } = self;
        let mut refused = 0;
        let read = batch.receive(socket, |received| {
            if let Err(NoRoom) = take(pipeline, backlog, metrics, &received, at, now) {
                refused += 1;
            }
        })?;
        self.metrics.datagrams_received(u64::try_from(read.datagrams).unwrap_or(u64::MAX));
        if read.dropped > 0 {
            self.metrics.datagrams_dropped(DropReason::Kernel, read.dropped.into());
            tell_kernel(self.lost_in_kernel.happened(read.dropped.into(), now));
        }
        if refused > 0 {
            self.metrics.datagrams_dropped(DropReason::SpoolBacklog, refused);
            tell_backlog(self.lost_to_backlog.happened(refused, now), &self.backlog);
        }
        Ok(read)
    }

    /// An error of the socket, which is nobody's message: an interface that went away, no memory for a moment. It is
    /// said, and the socket is left alone for longer each time, so that a lasting error cannot take a whole processor.
    fn failed(&mut self, error: &io::Error) -> Duration {
        if let Some(count) = self.errors.happened(1, Instant::now()) {
            tracing::warn!(%error, count, "The datagram socket reported an error; it is read again.");
        }
        let pause = self.pause;
        self.pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        pause
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let told = [&self.lost_in_kernel, &self.lost_to_backlog].map(Recurring::poll_timeout);
        told.into_iter().chain([self.pipeline.poll_timeout()]).flatten().min()
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.pipeline.handle_timeout(now);
        tell_kernel(self.lost_in_kernel.due(now));
        tell_backlog(self.lost_to_backlog.due(now), &self.backlog);
    }

    /// Takes what the kernel holds, but not for ever: senders go on while the gateway stops.
    async fn drain(&mut self, socket: &UdpSocket) {
        let end = Instant::now() + LONGEST_DRAIN;
        while Instant::now() < end {
            for _ in 0..READS_PER_TURN {
                match self.read(socket) {
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_nothing_more) => return,
                }
            }
            tokio::task::yield_now().await;
        }
    }
}

/// Closes the backlog when the receiver ends, in whatever way.
struct Closed(Arc<Backlog>);

impl Drop for Closed {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Decides about one datagram and puts it into the backlog if it is to be delivered. When that panics, it costs this
/// datagram alone.
fn take(
    pipeline: &mut Pipeline,
    backlog: &Backlog,
    metrics: &Metrics,
    received: &Received<'_>,
    at: Timestamp,
    now: Instant,
) -> Result<(), NoRoom> {
    let arrival = Arrival {
        at,
        source: received.source,
        destination: received.destination,
        interface: received.interface,
        listener: Listener::Datagram,
    };
    // What a panic can leave half done is the reassembly, which is made anew.
    let taken = catch_unwind(AssertUnwindSafe(|| match pipeline.take(received.bytes, arrival, now) {
        Verdict::Deliver(message, claim) => {
            backlog.push(*message, now).inspect_err(|NoRoom| pipeline.lost(claim))
        }
        Verdict::Discard | Verdict::Withheld(_) | Verdict::Incomplete | Verdict::Dropped(_) => Ok(()),
    }));
    taken.unwrap_or_else(|_panic| {
        metrics.panicked();
        pipeline.reset();
        tracing::error!(
            source = %received.source,
            length = received.bytes.len(),
            "A datagram was dropped because of a defect in this program; please report it with a capture."
        );
        Ok(())
    })
}

fn tell_address(address: SocketAddrV4, receive_buffer: usize) {
    tracing::info!(%address, receive_buffer, "Listening for mailslot datagrams.");
    if receive_buffer < DatagramSocket::RECEIVE_BUFFER {
        tracing::info!(
            receive_buffer,
            "The kernel limits the receive buffer, so a burst may lose messages; \
             `sysctl net.core.rmem_max={}` before the start gives more.",
            DatagramSocket::RECEIVE_BUFFER
        );
    }
}

fn tell_kernel(count: Option<u64>) {
    if let Some(count) = count {
        tracing::warn!(
            count,
            "The kernel dropped datagrams because its receive buffer was full; \
             raise net.core.rmem_max, or give this host more processor."
        );
    }
}

fn tell_backlog(count: Option<u64>, backlog: &Backlog) {
    if let Some(count) = count {
        let (waiting, bytes) = (backlog.waiting(), backlog.bytes());
        tracing::warn!(
            count,
            waiting,
            bytes,
            "Messages were dropped because the spool does not keep up; its disk is too slow, full or failing."
        );
    }
}

/// How often losses are told while they go on.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// With [`Batch::SIZE`] datagrams each: about a quarter of a millisecond.
const READS_PER_TURN: usize = 8;

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_DRAIN: Duration = Duration::from_secs(1);
