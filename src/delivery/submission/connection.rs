//! One connection: a socket, TLS, and the machine that says what to do with them.
#![expect(clippy::disallowed_methods, reason = "the machine is told the time here")]

use std::io;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::time::{timeout, timeout_at};

use super::content::{Outgoing, Reader, Source};
use super::endpoint::{Endpoint, Login};
use crate::config::settings::Credentials;
use crate::delivery::oauth::TokenFault;
use crate::delivery::outcome::Handoff;
use crate::net::connect::{ConnectFault, connect};
use crate::net::stream::{Protection, Stream};
use crate::net::tls::HandshakeFault;
use crate::session::oauth::AccessToken;
use crate::session::sasl::Nonce;
use crate::session::sasl::client::{BearerIdentity, Identity, PasswordIdentity};
use crate::session::smtp_client::{
    Ending, Fate, Input, OperatorFault, Output, Profile, Security, SmtpClient, Stage, Timeouts, Transaction,
};
use crate::wire::smtp::content::Coding;
use crate::wire::smtp::extensions::Extensions;

/// Why a connection is no more.
#[derive(Debug)]
pub(super) enum Ended {
    /// It was never there.
    Connect(ConnectFault),
    /// TLS did not come about.
    Handshake(HandshakeFault),
    /// No random numbers for a nonce.
    Random(getrandom::Error),
    /// There is no token to log in by.
    Token(TokenFault),
    /// The session ended; what the socket said, if that was why.
    Session(Ending, Option<io::Error>),
}

impl Ended {
    /// The server refused a token.
    const fn is_refused_token(&self) -> bool {
        matches!(self, Self::Session(Ending::Operator(OperatorFault::TokenRefused(..)), _))
    }
}

/// What came of one transaction.
#[derive(Debug)]
pub(super) struct Carried {
    /// By index of the forward-path.
    pub(super) fates: Vec<(usize, Fate)>,
    /// `None`: the connection is ready for another.
    pub(super) ended: Option<Ended>,
    /// Who tells the senders of those that were delivered.
    pub(super) handoff: Handoff,
    /// As [`SmtpClient::is_repeatable`].
    repeatable: bool,
}

impl Carried {
    /// No connection came about.
    pub(super) const fn never(ended: Ended) -> Self {
        Self { fates: Vec::new(), ended: Some(ended), handoff: Handoff::Silent, repeatable: true }
    }

    /// On a connection that was used before: it broke while it idled, or the server had had enough of it. A fresh one
    /// will tell whether anything is wrong.
    pub(super) const fn is_stale(&self) -> bool {
        let before_anything = matches!(
            self.ended,
            Some(Ended::Session(
                Ending::Lost(Stage::Idle | Stage::Envelope)
                    | Ending::OutOfTurn(Stage::Idle | Stage::Envelope, _)
                    | Ending::Throttled { .. },
                _
            ))
        );
        before_anything && self.repeatable
    }
}

/// A connection on which a session is under way.
#[derive(Debug)]
pub(super) struct Connection {
    machine: SmtpClient,
    stream: Option<Stream>,
    error: Option<io::Error>,
    /// Transactions carried so far.
    pub(super) transactions: u32,
    /// When it became free last.
    pub(super) idle_since: Instant,
}

/// What the machine waits for from this side.
enum Event {
    Idle,
    NeedContent,
    Ended(Ended),
}

impl Connection {
    /// Connects and brings the session to where it takes a transaction. A token that is refused is renewed once: it may
    /// have been revoked, or the clocks differ.
    pub(super) async fn open(endpoint: &Endpoint) -> Result<Self, Ended> {
        let (user, mechanisms, tokens) = match &endpoint.login {
            None => return Self::open_as(endpoint, None).await,
            Some(Login::Password(credentials)) => {
                return Self::open_as(endpoint, Some(password(credentials))).await;
            }
            Some(Login::Bearer { user, mechanisms, tokens }) => (user, mechanisms, tokens),
        };
        let identity = |token: &AccessToken| {
            Identity::Bearer(BearerIdentity {
                user: user.clone(),
                token: token.clone(),
                mechanisms: mechanisms.clone(),
                host: endpoint.host.clone(),
                port: endpoint.port,
            })
        };
        let token = tokens.token().await.map_err(Ended::Token)?;
        match Self::open_as(endpoint, Some(identity(&token))).await {
            Err(ended) if ended.is_refused_token() => {
                let token = tokens.after_refusal(&token).await.map_err(Ended::Token)?;
                let opened = Self::open_as(endpoint, Some(identity(&token))).await;
                if opened.as_ref().is_err_and(Ended::is_refused_token) {
                    // The next attempt begins with another: what makes tokens may have been mended by then.
                    tokens.forget().await;
                }
                opened
            }
            opened => opened,
        }
    }

    async fn open_as(endpoint: &Endpoint, identity: Option<Identity>) -> Result<Self, Ended> {
        let stream = connect(&endpoint.host, endpoint.port, endpoint.timeout.min(MAX_CONNECT)).await;
        let stream = stream.map_err(Ended::Connect)?;
        let stream = match endpoint.security {
            Security::Established => timeout(endpoint.timeout, handshake(stream, endpoint))
                .await
                .unwrap_or_else(|_| Err(HandshakeFault::Io(io::ErrorKind::TimedOut.into())))
                .map_err(Ended::Handshake)?,
            Security::StartTls | Security::Absent => Stream::Clear(stream),
        };
        let machine = SmtpClient::new(Instant::now(), profile(endpoint, identity).map_err(Ended::Random)?);
        let mut connection =
            Self { machine, stream: Some(stream), error: None, transactions: 0, idle_since: Instant::now() };
        match connection.run(endpoint, &mut Vec::new()).await {
            Event::Idle => Ok(connection),
            Event::Ended(ended) => Err(ended),
            // The machine asks for content in a transaction only.
            Event::NeedContent => Err(Ended::Session(Ending::ContentUnreadable, None)),
        }
    }

    /// One mail transaction.
    pub(super) async fn carry(
        &mut self,
        endpoint: &Endpoint,
        mut transaction: Transaction,
        mail: &Outgoing,
    ) -> Carried {
        let mut fates = Vec::new();
        let mut source = Source::Plain(Reader::new(mail));
        if transaction.coding == Coding::EightBit && !self.machine.extensions().eight_bit_mime {
            source = Source::downgraded(mail, &mut transaction).await;
        }
        self.transactions = self.transactions.saturating_add(1);
        // What came while the connection idled must not be taken for an answer.
        self.overhear().await;
        self.machine.handle_input(Instant::now(), Input::Begin(transaction));
        let ended = loop {
            match self.run(endpoint, &mut fates).await {
                Event::Idle => break None,
                Event::Ended(ended) => break Some(ended),
                Event::NeedContent => {
                    let input = match source.next().await {
                        Ok(Some(chunk)) => Input::Content(chunk),
                        Ok(None) => Input::ContentEnd,
                        Err(error) => {
                            self.error = Some(error);
                            Input::ContentFailed
                        }
                    };
                    self.machine.handle_input(Instant::now(), input);
                }
            }
        };
        self.idle_since = Instant::now();
        let handoff = if self.machine.extensions().dsn { Handoff::Reporting } else { Handoff::Silent };
        Carried { fates, ended, handoff, repeatable: self.machine.is_repeatable() }
    }

    /// What the server offered.
    pub(super) const fn extensions(&self) -> &Extensions {
        self.machine.extensions()
    }

    /// What protects it.
    pub(super) fn protection(&self) -> Option<Protection> {
        self.stream.as_ref().and_then(Stream::protection)
    }

    /// Says QUIT and waits a little for the answer.
    pub(super) async fn quit(mut self, endpoint: &Endpoint) {
        self.machine.handle_input(Instant::now(), Input::Quit);
        match self.run(endpoint, &mut Vec::new()).await {
            Event::Idle | Event::NeedContent | Event::Ended(_) => {}
        }
    }

    /// Does what the machine says until it waits for this side.
    async fn run(&mut self, endpoint: &Endpoint, fates: &mut Vec<(usize, Fate)>) -> Event {
        loop {
            while let Some(output) = self.machine.poll_output() {
                match output {
                    Output::Send(bytes) => self.write(&bytes).await,
                    Output::SendSecret(line) => self.write(line.as_bytes()).await,
                    Output::StartTls => {
                        if let Err(fault) = self.start_tls(endpoint).await {
                            return Event::Ended(Ended::Handshake(fault));
                        }
                    }
                    Output::RecipientDone { index, fate } => fates.push((index, fate)),
                    Output::Idle => return Event::Idle,
                    Output::NeedContent if self.overhear().await => {}
                    Output::NeedContent => return Event::NeedContent,
                    Output::Closed(ending) => {
                        self.stream = None;
                        return Event::Ended(Ended::Session(ending, self.error.take()));
                    }
                }
            }
            self.read().await;
        }
    }

    async fn write(&mut self, bytes: &[u8]) {
        let deadline = self.deadline();
        let Some(stream) = &mut self.stream else { return };
        match timeout_at(deadline, stream.write_all(bytes)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                // A server that refuses and closes has said why before it did.
                let last_words = Instant::now().checked_add(LAST_WORDS).map_or(deadline, Into::into);
                while self.read_until(last_words.min(deadline)).await {}
                self.error.get_or_insert(error);
                self.machine.handle_input(Instant::now(), Input::Disconnected);
            }
            Err(_) => self.machine.handle_timeout(Instant::now()),
        }
    }

    async fn read(&mut self) {
        let deadline = self.deadline();
        if !self.read_until(deadline).await {
            self.machine.handle_timeout(Instant::now());
            self.machine.handle_input(Instant::now(), Input::Disconnected);
        }
    }

    /// Feeds the machine once; `false` when nothing more will come before the deadline.
    async fn read_until(&mut self, deadline: tokio::time::Instant) -> bool {
        let mut buffer = [0; 4096];
        let Some(stream) = &mut self.stream else { return false };
        let read = timeout_at(deadline, stream.read(&mut buffer)).await;
        read.is_ok_and(|read| self.took(read, &buffer))
    }

    /// Feeds the machine what is there already, without waiting. Whether there was anything.
    async fn overhear(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let Some(stream) = &mut self.stream else { return false };
        let Some(read) = stream.read_ready(&mut buffer).await else { return false };
        if !self.took(read, &buffer) {
            self.machine.handle_input(Instant::now(), Input::Disconnected);
        }
        true
    }

    /// Whether the connection still gives something.
    fn took(&mut self, read: io::Result<usize>, buffer: &[u8]) -> bool {
        match read {
            Ok(0) => false,
            Ok(length) => {
                self.feed(buffer.get(..length).unwrap_or_default());
                true
            }
            Err(error) => {
                self.error.get_or_insert(error);
                false
            }
        }
    }

    /// A SCRAM server chooses how much this side computes, up to half a second: other tasks must not wait for it.
    fn feed(&mut self, bytes: &[u8]) {
        let expensive = self.machine.stage() == Stage::Auth;
        let mut handle = || self.machine.handle_input(Instant::now(), Input::Bytes(bytes));
        if expensive && Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread {
            tokio::task::block_in_place(handle);
        } else {
            handle();
        }
    }

    async fn start_tls(&mut self, endpoint: &Endpoint) -> Result<(), HandshakeFault> {
        if let Some(Stream::Clear(stream)) = self.stream.take() {
            let established = timeout_at(self.deadline(), handshake(stream, endpoint)).await;
            self.stream = Some(
                established.unwrap_or_else(|_| Err(HandshakeFault::Io(io::ErrorKind::TimedOut.into())))?,
            );
            self.machine.handle_input(Instant::now(), Input::TlsEstablished);
        }
        Ok(())
    }

    fn deadline(&self) -> tokio::time::Instant {
        let deadline = self.machine.poll_timeout().or_else(|| Instant::now().checked_add(LAST_WORDS));
        deadline.unwrap_or_else(Instant::now).into()
    }
}

async fn handshake(stream: TcpStream, endpoint: &Endpoint) -> Result<Stream, HandshakeFault> {
    match &endpoint.tls {
        Some(tls) => Stream::handshake(stream, tls).await,
        // Only `tls: none` leaves it out, and then the machine asks for no TLS.
        None => Ok(Stream::Clear(stream)),
    }
}

fn password(credentials: &Credentials) -> Identity {
    Identity::Password(PasswordIdentity {
        user: credentials.user.clone(),
        password: credentials.password.clone(),
        mechanisms: credentials.mechanisms.clone(),
    })
}

fn profile(endpoint: &Endpoint, identity: Option<Identity>) -> Result<Profile, getrandom::Error> {
    let mut random = [0; 18];
    getrandom::fill(&mut random)?;
    Ok(Profile {
        hostname: endpoint.hostname.clone(),
        security: endpoint.security,
        identity,
        nonce: Nonce::from_random(random),
        timeouts: Timeouts::within(endpoint.timeout),
        replies: endpoint.replies.clone(),
    })
}

/// A host that does not answer SYN for so long is not there.
const MAX_CONNECT: Duration = Duration::from_secs(30);
/// How long a server's explanation is waited for after it stopped reading.
const LAST_WORDS: Duration = Duration::from_secs(1);
