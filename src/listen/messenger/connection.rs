//! One connection: the machine driven by its socket.
#![expect(clippy::disallowed_methods, reason = "the edge where a session's time is read")]

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::shared::Shared;
use crate::message::notice::Arrival;
use crate::message::session_message::SessionMessage;
use crate::session::netbios_session::{Ending, Input, NetbiosSession, Output};

/// One connection. Small while it waits: it holds no buffer.
pub(super) struct Connection {
    shared: Arc<Shared>,
    stream: TcpStream,
    arrival: Arrival,
    machine: Box<NetbiosSession>,
    /// Answers that are not written yet.
    unsent: Vec<u8>,
    /// Until the session was told to end.
    stop: Option<CancellationToken>,
}

/// What a connection waited for.
enum Event {
    /// Octets have come, or the end.
    Readable,
    /// The machine's time has come.
    TimedOut,
    /// The gateway stops.
    Stop,
}

impl Connection {
    pub(super) fn new(
        shared: Arc<Shared>,
        stream: TcpStream,
        arrival: Arrival,
        stop: CancellationToken,
    ) -> Self {
        let machine = Box::new(NetbiosSession::new(Instant::now(), shared.profile()));
        Self { shared, stream, arrival, machine, unsent: Vec::new(), stop: Some(stop) }
    }

    /// Goes on until the session is over, and closes the connection.
    pub(super) async fn run(mut self) -> Ending {
        if prepare(&self.stream).is_err() {
            self.input(Input::Disconnected);
        }
        let ending = loop {
            if let ControlFlow::Break(ending) = self.carry_out().await {
                break ending;
            }
            if self.flush().await.is_err() {
                self.input(Input::Disconnected);
                continue;
            }
            match self.wait().await {
                Event::Readable => self.read(),
                Event::TimedOut => self.machine.handle_timeout(Instant::now()),
                Event::Stop => {
                    self.stop = None;
                    self.input(Input::Shutdown);
                }
            }
        };
        if self.flush().await.is_ok() {
            self.close().await;
        }
        ending
    }

    fn input(&mut self, input: Input<'_>) {
        self.machine.handle_input(Instant::now(), input);
    }

    /// Does what the machine says until it has nothing more to say.
    async fn carry_out(&mut self) -> ControlFlow<Ending> {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Send(octets) => {
                    self.shared.metrics.netbios_packet_sent();
                    if self.unsent.is_empty() {
                        self.unsent = octets;
                    } else {
                        self.unsent.extend_from_slice(&octets);
                    }
                }
                Output::Deliver(message) => Box::pin(self.deliver(&message)).await,
                Output::Abandoned(why) => self.shared.abandoned(self.arrival.source.ip(), why),
                Output::Closed(ending) => return ControlFlow::Break(ending),
            }
        }
        ControlFlow::Continue(())
    }

    async fn deliver(&mut self, message: &SessionMessage) {
        let arrival = Arrival { at: Timestamp::now(), ..self.arrival };
        // What was answered before must not wait for the disk. Whether the sender is still there is found out later.
        drop(self.flush().await);
        let decision = self.shared.decide(message, arrival).await;
        self.input(Input::Decided(decision));
    }

    /// Waits for whatever comes first.
    async fn wait(&self) -> Event {
        let deadline = self.machine.poll_timeout();
        let stop = async {
            match &self.stop {
                Some(stop) => stop.cancelled().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = stop => Event::Stop,
            // An error is found when reading.
            _ = self.stream.readable() => Event::Readable,
            () = sleep_until(deadline.unwrap_or_else(Instant::now).into()), if deadline.is_some() => Event::TimedOut,
        }
    }

    /// Feeds the machine what has come.
    fn read(&mut self) {
        let mut piece = [0; PIECE];
        let room = self.machine.poll_read().unwrap_or_default().min(PIECE);
        match self.stream.try_read(piece.get_mut(..room).unwrap_or_default()) {
            Ok(0) => self.input(Input::Disconnected),
            Ok(count) => self.input(Input::Bytes(piece.get(..count).unwrap_or_default())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.input(Input::Disconnected),
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        let unsent = std::mem::take(&mut self.unsent);
        timeout(PATIENCE, self.stream.write_all(&unsent)).await?
    }

    /// Says that nothing more comes, and takes what the sender had sent already, so that the kernel does not answer it with
    /// a reset that would overtake our last word.
    async fn close(mut self) {
        if !matches!(timeout(PATIENCE, self.stream.shutdown()).await, Ok(Ok(()))) {
            return;
        }
        let mut piece = [0; PIECE];
        for _ in 0..LAST_PIECES {
            if !matches!(self.stream.try_read(&mut piece), Ok(1..)) {
                return;
            }
        }
    }
}

/// Sets what every connection needs: answers leave at once, and a sender that vanished without a word is noticed.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(30))
        .with_interval(Duration::from_secs(10))
        .with_retries(3);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// Octets that are read at once, onto the stack.
const PIECE: usize = 4 << 10;

/// Read at the end: what the kernel may hold of a sender, not what one that never stops goes on sending.
const LAST_PIECES: usize = 64;

/// How long a sender may take nothing.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    const fn size_of_result<A, F>(_: fn(A) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_connection_that_waits_is_small() {
        let size = size_of_result(Connection::run);
        assert!(size <= 1536, "{size} octets");
    }
}
