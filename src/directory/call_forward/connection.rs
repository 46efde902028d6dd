//! One connection: a socket, TLS, and the machine that says what to do with them.
#![expect(clippy::disallowed_methods, reason = "the machine is told the time here")]

use std::io;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use tokio::time::{timeout, timeout_at};
use tokio_rustls::TlsConnector;

use super::{Answer, Fault};
use crate::net::connect::connect;
use crate::net::stream::Stream;
use crate::net::tls::HandshakeFault;
use crate::session::call_forward::{CallForward, Ending, Input, Output, Profile, Security};
use crate::session::smtp_server::Existence;
use crate::wire::smtp::path::Mailbox;

/// A connection on which a session is under way.
#[derive(Debug)]
pub(super) struct Connection {
    machine: CallForward,
    /// `None`: the session is over.
    stream: Option<Stream>,
    pub(super) idle_since: Instant,
    /// Questions asked, and those whose answer was a refusal, which next hops count against us.
    pub(super) questions: u32,
    pub(super) refusals: u32,
}

/// What TLS is made with.
type Tls = (TlsConnector, ServerName<'static>);

impl Connection {
    /// Connects, and brings the session to where it takes a question.
    pub(super) async fn open(
        (host, port): (&str, u16),
        tls: Option<&Tls>,
        profile: Profile,
        ready_by: Instant,
    ) -> Result<Self, Fault> {
        let left = ready_by.saturating_duration_since(Instant::now());
        let stream = Stream::Clear(connect(host, port, left).await?);
        let is_implicit = profile.security == Security::Established;
        let machine = CallForward::new(ready_by, profile);
        let mut connection =
            Self { machine, stream: Some(stream), idle_since: Instant::now(), questions: 0, refusals: 0 };
        if is_implicit {
            connection.start_tls(tls).await?;
        }
        match connection.run(tls, &mut None).await? {
            None => Ok(connection),
            Some(ending) => Err(Fault::Session(ending)),
        }
    }

    /// Asks about a recipient; gives why the session ended, if it did.
    pub(super) async fn ask(&mut self, mailbox: &Mailbox, answer: &mut Option<Answer>) -> Option<Ending> {
        if let Some(ending) = self.overhear().await {
            return Some(ending);
        }
        self.questions = self.questions.saturating_add(1);
        self.machine.handle_input(Instant::now(), Input::Ask(mailbox));
        let ended = self.run(None, answer).await.unwrap_or(Some(Ending::NotSmtp));
        if !matches!(answer, Some(Answer::Replied(Existence::Known, _) | Answer::NeedsSmtputf8)) {
            self.refusals = self.refusals.saturating_add(1);
        }
        ended
    }

    /// Takes leave.
    pub(super) async fn quit(mut self) {
        self.machine.handle_input(Instant::now(), Input::Quit);
        let left = timeout(QUIT_TIMEOUT, self.run(None, &mut None)).await;
        tracing::debug!(in_time = left.is_ok(), "Took leave of a next hop that was asked for recipients.");
    }

    /// Does what the machine says until it is ready for a question (`None`) or the session ended.
    async fn run(
        &mut self,
        tls: Option<&Tls>,
        answer: &mut Option<Answer>,
    ) -> Result<Option<Ending>, HandshakeFault> {
        loop {
            while let Some(output) = self.machine.poll_output() {
                match output {
                    Output::Send(octets) => self.write(&octets).await,
                    Output::StartTls => {
                        self.start_tls(tls).await?;
                        self.machine.handle_input(Instant::now(), Input::TlsEstablished);
                    }
                    Output::Answer(existence, reply) => *answer = Some(Answer::Replied(existence, reply)),
                    Output::NeedsSmtputf8 => *answer = Some(Answer::NeedsSmtputf8),
                    Output::Idle => return Ok(None),
                    Output::Closed(ending) => {
                        self.stream = None;
                        return Ok(Some(ending));
                    }
                }
            }
            let deadline = self.deadline();
            let mut buffer = [0; 4096];
            let read = match &mut self.stream {
                Some(stream) => timeout_at(deadline, stream.read(&mut buffer)).await,
                None => Ok(Ok(0)),
            };
            match read {
                Ok(read) => self.took(read, &buffer),
                Err(_) => self.machine.handle_timeout(Instant::now()),
            }
        }
    }

    async fn start_tls(&mut self, tls: Option<&Tls>) -> Result<(), HandshakeFault> {
        let (Some(Stream::Clear(stream)), Some(tls)) = (self.stream.take(), tls) else {
            return Err(HandshakeFault::NotTls);
        };
        let established = timeout_at(self.deadline(), Stream::handshake(stream, tls)).await;
        let timed_out = || Err(HandshakeFault::Io(io::ErrorKind::TimedOut.into()));
        self.stream = Some(established.unwrap_or_else(|_| timed_out())?);
        Ok(())
    }

    async fn write(&mut self, octets: &[u8]) {
        let deadline = self.deadline();
        let Some(stream) = &mut self.stream else { return };
        match timeout_at(deadline, stream.write_all(octets)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => self.machine.handle_input(Instant::now(), Input::Disconnected),
            Err(_) => self.machine.handle_timeout(Instant::now()),
        }
    }

    /// What came while the connection idled must not be taken for an answer.
    async fn overhear(&mut self) -> Option<Ending> {
        let mut buffer = [0; 1024];
        if let Some(read) = self.stream.as_mut()?.read_ready(&mut buffer).await {
            self.took(read, &buffer);
        }
        match self.machine.poll_output() {
            Some(Output::Closed(ending)) => Some(ending),
            Some(
                Output::Send(_)
                | Output::StartTls
                | Output::Answer(..)
                | Output::NeedsSmtputf8
                | Output::Idle,
            )
            | None => None,
        }
    }

    fn took(&mut self, read: io::Result<usize>, buffer: &[u8]) {
        match read {
            Ok(0) | Err(_) => self.machine.handle_input(Instant::now(), Input::Disconnected),
            Ok(length) => {
                let octets = buffer.get(..length).unwrap_or_default();
                self.machine.handle_input(Instant::now(), Input::Bytes(octets));
            }
        }
    }

    fn deadline(&self) -> tokio::time::Instant {
        self.machine.poll_timeout().unwrap_or_else(Instant::now).into()
    }
}

const QUIT_TIMEOUT: Duration = Duration::from_secs(1);
