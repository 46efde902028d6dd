//! One session: the machine driven by its connection.
#![expect(clippy::disallowed_methods, reason = "the edge where a session's time is read")]

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::content::Incoming;
use super::listener::Listener;
use super::stream::Stream;
use super::tarpit::Seat;
use crate::session::smtp_server::{Abandonment, Behind, Ending, Input, Output, SmtpServer, Standing};
use crate::telemetry::metrics::smtp::MessageOutcome;
use crate::wire::smtp::mechanism::Mechanism;

/// One session.
///
/// Small while it waits: no buffer, and everything that is large and rare in a box of its own.
pub(super) struct Session {
    pub(super) listener: Arc<Listener>,
    pub(super) client: Client,
    pub(super) stream: Stream,
    pub(super) machine: Box<SmtpServer>,
    /// Replies that are not written yet.
    unsent: Vec<u8>,
    pub(super) incoming: Option<Box<Incoming>>,
    /// Its turn in the tar pit, while its RCPT is decided.
    pub(super) turn: Option<Seat>,
    /// Its reply that the tar pit holds.
    pub(super) held: Option<Seat>,
    /// Its number.
    number: u64,
    pub(super) transactions: u32,
    /// Refusals that the inventory does not know of yet.
    pub(super) refusals: u32,
    /// By which the client proved who it is.
    pub(super) mechanism: Option<Mechanism>,
    pub(super) stop: Stop,
}

/// Whether the session was told to end.
pub(super) enum Stop {
    /// When this is cancelled, it is.
    On(CancellationToken),
    /// It was.
    Told,
}

impl Stop {
    /// Returns when the session is to be told; never again once it was.
    pub(super) async fn requested(&self) {
        match self {
            Self::On(token) => token.cancelled().await,
            Self::Told => std::future::pending().await,
        }
    }
}

/// What a session waited for.
enum Event {
    /// The machine has taken octets.
    Heard,
    /// The client has gone.
    HungUp,
    /// The machine's time has come.
    TimedOut,
    /// The gateway stops.
    Stop,
}

impl Session {
    /// A session whose machine has been made.
    pub(super) const fn new(
        listener: Arc<Listener>,
        client: Client,
        stream: Stream,
        machine: Box<SmtpServer>,
        number: u64,
        stop: CancellationToken,
    ) -> Self {
        Self {
            listener,
            client,
            stream,
            machine,
            unsent: Vec::new(),
            incoming: None,
            turn: None,
            held: None,
            number,
            transactions: 0,
            refusals: 0,
            mechanism: None,
            stop: Stop::On(stop),
        }
    }

    /// Goes on until the session is over, and closes the connection.
    pub(super) async fn run(mut self) -> Ending {
        Box::pin(self.hear_early_talker()).await;
        let ending = loop {
            if let ControlFlow::Break(ending) = self.carry_out().await {
                break ending;
            }
            if self.flush().await.is_break() {
                self.input(Input::Disconnected);
                continue;
            }
            match self.wait().await {
                Event::Heard => {}
                Event::HungUp => self.input(Input::Disconnected),
                Event::TimedOut => self.machine.handle_timeout(Instant::now()),
                Event::Stop => self.input(Input::Shutdown),
            }
        };
        self.note_end();
        if self.flush().await.is_continue() {
            let Self { stream, .. } = self;
            stream.close().await;
        }
        ending
    }

    /// What is there before the greeting came too early. It is looked for once, when the greeting is ready: behind the
    /// questions to block lists, and behind the handshake where TLS comes first. Nobody is made to wait for the look,
    /// since whoever talks before the greeting does so at once or after seconds, for which no honest client should wait.
    async fn hear_early_talker(&mut self) {
        if self.stream.behind() == Behind::Input {
            let Self { stream, machine, .. } = self;
            // It is there, so this does not wait; a connection that breaks here is noticed by and by.
            let take = |octets: &[u8]| machine.handle_input(Instant::now(), Input::Bytes(octets));
            stream.read(EARLY, take).await.ok();
        }
    }

    /// What the log knows it by.
    pub(super) fn name(&self) -> String {
        self.listener.shared.name_of(self.number)
    }

    /// Whether its replies are held and its RCPTs wait their turn.
    pub(super) fn is_subject(&self) -> bool {
        self.machine.standing() == Standing::Subject
    }

    pub(super) fn input(&mut self, input: Input<'_>) {
        self.machine.handle_input(Instant::now(), input);
    }

    /// Does what the machine says until it has nothing more to say.
    async fn carry_out(&mut self) -> ControlFlow<Ending> {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Reply { code, octets } => self.reply(code, octets),
                Output::StartTls => Box::pin(self.start_tls()).await?,
                Output::Ask(question) => self.ask(question).await,
                Output::BeginContent(facts) => self.begin_content(facts),
                Output::Content(octets) => {
                    if let Some(incoming) = &mut self.incoming {
                        Box::pin(incoming.take(&octets)).await;
                    }
                }
                Output::AbandonContent(why) => {
                    self.incoming = None;
                    self.listener.metrics.message(match why {
                        Abandonment::Refused => MessageOutcome::Refused,
                        Abandonment::Incomplete => MessageOutcome::Abandoned,
                    });
                }
                Output::Denied { denial, path } => self.listener.denied(&self.client, denial, &path),
                Output::TurnOver => {
                    if let Some(seat) = self.turn.take() {
                        seat.turn_over();
                    }
                }
                Output::Closed(ending) => return ControlFlow::Break(ending),
            }
        }
        ControlFlow::Continue(())
    }

    fn reply(&mut self, code: u16, octets: Vec<u8>) {
        // One that was held is on its way now.
        if let Some(seat) = self.held.take() {
            seat.waited();
        }
        self.listener.metrics.replied(code);
        if code >= 500 {
            self.refusals = self.refusals.saturating_add(1);
        }
        if self.unsent.is_empty() {
            self.unsent = octets;
        } else {
            self.unsent.extend_from_slice(&octets);
        }
    }

    pub(super) async fn flush(&mut self) -> ControlFlow<()> {
        match self.stream.write(&mut self.unsent).await {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => {
                self.unsent = Vec::new();
                ControlFlow::Break(())
            }
        }
    }

    /// Has the client see what was said so far, before something that may take long. Whether it is still there is found
    /// out when there is more to say.
    pub(super) async fn flush_ahead(&mut self) {
        let (ControlFlow::Continue(()) | ControlFlow::Break(())) = self.flush().await;
    }

    /// Waits for whatever comes first. While the machine reads nothing, neither does this: what the client sends stays in
    /// the kernel, and only its going away is noticed.
    async fn wait(&mut self) -> Event {
        let Self { stream, machine, stop, .. } = self;
        let deadline = machine.poll_timeout();
        let room = machine.poll_read();
        let input = async {
            let Some(room) = room else {
                stream.hung_up().await;
                return Event::HungUp;
            };
            let heard =
                stream.read(room, |octets| machine.handle_input(Instant::now(), Input::Bytes(octets)));
            match heard.await {
                Ok(Some(())) => Event::Heard,
                Ok(None) | Err(_) => Event::HungUp,
            }
        };
        let event = tokio::select! {
            biased;
            () = stop.requested() => Event::Stop,
            event = input => event,
            () = sleep_until(deadline.unwrap_or_else(Instant::now).into()), if deadline.is_some() => Event::TimedOut,
        };
        if matches!(event, Event::Stop) {
            self.stop = Stop::Told;
        }
        event
    }
}

/// Octets that are taken of a client that talks before the greeting.
const EARLY: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const fn size_of_result<A, F>(_: fn(A) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_session_that_waits_is_small() {
        let size = size_of_result(Session::run);
        assert!(size <= 1536, "{size} octets, of which the session itself is {}", size_of::<Session>());
    }
}
