//! SMTP client (RFC 5321) for submission (RFC 6409): greeting, EHLO, STARTTLS, AUTH, then transactions on one connection.
//!
//! The caller owns the socket. It feeds what comes in with [`SmtpClient::handle_input`], calls
//! [`SmtpClient::handle_timeout`] when [`SmtpClient::poll_timeout`] has passed, and does what
//! [`SmtpClient::poll_output`] says until that returns `None`, each time before the next input.
//!
//! The machine never sends a password in the clear, never goes on without TLS where TLS is required, and takes no
//! reply for the answer to a command that has not left yet.

mod delivering;
mod opening;
mod profile;
mod transaction;
mod verdict;

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::sasl::client::{Channel, Exchange, SaslFault};
use crate::wire::smtp::content::ContentEncoder;
use crate::wire::smtp::extensions::Extensions;
use crate::wire::smtp::mechanism::SaslMechanism;
use crate::wire::smtp::reply::{Reply, ReplyParser};
use crate::wire::smtp::status::EnhancedStatus;
pub use profile::{Profile, Security, Timeouts};
use transaction::Envelope;
pub use transaction::{Dsn, ForwardPath, Letters, MAX_RECIPIENTS, Ret, Sender, Transaction};
use verdict::Meaning;
pub use verdict::{Ending, Fate, OperatorFault, Stage};

/// What happens to a session. One that the session's state does not ask for is ignored.
#[derive(Debug)]
pub enum Input<'a> {
    /// Octets from the server, in pieces of any size.
    Bytes(&'a [u8]),
    /// The handshake that [`Output::StartTls`] asked for succeeded, the certificate verified.
    TlsEstablished,
    /// The server closed the connection, or it broke.
    Disconnected,
    /// After [`Output::Idle`]: a message.
    Begin(Transaction),
    /// After [`Output::NeedContent`]: a piece of it.
    Content(&'a [u8]),
    /// After [`Output::NeedContent`]: there is no more.
    ContentEnd,
    /// After [`Output::NeedContent`]: it cannot be read.
    ContentFailed,
    /// After [`Output::Idle`]: no more messages.
    Quit,
}

/// What the caller must do.
#[derive(Clone, PartialEq, Eq)]
pub enum Output {
    /// Write these octets.
    Send(Vec<u8>),
    /// Write these octets; they may hold a password.
    SendSecret(Zeroizing<String>),
    /// Begin the TLS handshake. Octets read before it belong to nobody: [`Input::Bytes`] them, then the session ends.
    StartTls,
    /// Ready for [`Input::Begin`] or [`Input::Quit`]; a transaction that was open is over.
    Idle,
    /// Ready for the next piece of content. Feed what the server has said by now before it: a reply that came before the
    /// end of data was sent is no answer to it, and this machine cannot tell by itself when it came.
    NeedContent,
    /// What became of a recipient of the open transaction. Those that none of these names until [`Output::Idle`] or
    /// [`Output::Closed`] were not decided and stay due. A session that ends over a recipient delays it: it may be
    /// the reason, and must not be the first of the next session again.
    RecipientDone {
        /// Its place in [`Transaction::forward_paths`].
        index: usize,
        /// What became of it.
        fate: Fate,
    },
    /// Close the connection; the session is over.
    Closed(Ending),
}

/// Shows how much is sent, not what.
impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send(bytes) => write!(f, "Send({} octets)", bytes.len()),
            Self::SendSecret(_) => f.write_str("SendSecret"),
            Self::StartTls => f.write_str("StartTls"),
            Self::Idle => f.write_str("Idle"),
            Self::NeedContent => f.write_str("NeedContent"),
            Self::RecipientDone { index, fate } => write!(f, "RecipientDone({index}, {fate:?})"),
            Self::Closed(ending) => write!(f, "Closed({ending:?})"),
        }
    }
}

/// One session with one server.
#[derive(Debug)]
pub struct SmtpClient {
    profile: Profile,
    channel: Channel,
    extensions: Extensions,
    parser: ReplyParser,
    state: State,
    /// A transaction was left open on the server's side.
    needs_rset: bool,
    /// Something was decided for a recipient of the latest transaction, or its content was begun.
    committed: bool,
    outputs: VecDeque<Output>,
    deadline: Option<Instant>,
}

/// Where the session stands; what exists in one state only lives in it.
#[derive(Debug)]
enum State {
    Greeting,
    Ehlo,
    Helo,
    StartTls,
    Handshake,
    Auth {
        mechanism: SaslMechanism,
        exchange: Exchange,
        cancelled: Option<SaslFault>,
    },
    Idle,
    Envelope(Envelope),
    Content {
        envelope: Envelope,
        encoder: ContentEncoder,
    },
    /// The end of data was sent, and the accepted recipients wait for the reply.
    EndOfData(Envelope),
    /// DATA was pipelined and accepted although no recipient was: an empty message was sent to nobody.
    NobodysData,
    Quitting,
    Closed,
}

impl SmtpClient {
    /// A session on a connection that is just open (and under TLS, if [`Security::Established`]).
    #[must_use]
    pub fn new(now: Instant, profile: Profile) -> Self {
        let channel = match profile.security {
            Security::Established => Channel::Tls,
            Security::StartTls | Security::Absent => Channel::Clear,
        };
        let deadline = now.checked_add(profile.timeouts.command);
        Self {
            profile,
            channel,
            extensions: Extensions::default(),
            parser: ReplyParser::new(),
            state: State::Greeting,
            needs_rset: false,
            committed: false,
            outputs: VecDeque::new(),
            deadline,
        }
    }

    /// What to do next; call until `None` after every input and timeout.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`SmtpClient::handle_timeout`]; changes with every input. `None`: nothing is waited for. Holds for
    /// what is to be written as well as for replies.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    /// What the server offered last.
    #[must_use]
    pub const fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// Whether the latest transaction may be begun anew on another connection: nobody in it was decided but by the end
    /// of the session, and none of its content was sent, so that nothing can arrive twice.
    #[must_use]
    pub const fn is_repeatable(&self) -> bool {
        !self.committed
    }

    /// Time has passed. Harmless when called early.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            let ending =
                if self.stage() == Stage::Quit { Ending::Quit } else { Ending::TimedOut(self.stage()) };
            self.give_up("no answer in time", ending);
        }
    }

    /// Something happened.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Bytes(bytes) => self.on_bytes(now, bytes),
            Input::TlsEstablished => self.on_tls_established(now),
            Input::Disconnected => {
                let ending =
                    if self.stage() == Stage::Quit { Ending::Quit } else { Ending::Lost(self.stage()) };
                self.give_up("the connection was lost", ending);
            }
            Input::Begin(transaction) => self.on_begin(now, transaction),
            Input::Content(chunk) => self.on_content(now, chunk),
            Input::ContentEnd => self.on_content_end(now),
            Input::ContentFailed => self.on_content_failed(),
            Input::Quit => {
                if matches!(self.state, State::Idle) {
                    self.state = State::Quitting;
                    self.send(now, self.profile.timeouts.quit, b"QUIT\r\n".to_vec());
                }
            }
        }
    }

    fn on_bytes(&mut self, now: Instant, mut bytes: &[u8]) {
        while !bytes.is_empty() && !matches!(self.state, State::Closed) {
            if matches!(self.state, State::Handshake) {
                return self.end(Parting::Silent, Ending::Operator(OperatorFault::InjectedBeforeTls));
            }
            match self.parser.parse(&mut bytes) {
                Ok(Some(reply)) => self.on_reply(now, reply),
                Ok(None) => {}
                Err(error) => return self.give_up("no SMTP reply", Ending::NotSmtp(self.stage(), error)),
            }
        }
    }

    fn on_reply(&mut self, now: Instant, reply: Reply) {
        if reply.code().number() == SERVICE_NOT_AVAILABLE {
            return self.on_service_not_available(reply);
        }
        if self.outputs.iter().any(|output| matches!(output, Output::Send(_) | Output::SendSecret(_))) {
            return self.out_of_turn(reply);
        }
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Greeting => self.on_greeting(now, reply),
            State::Ehlo => self.on_ehlo_reply(now, reply),
            State::Helo => self.on_helo_reply(now, reply),
            State::StartTls => self.on_starttls_reply(now, reply),
            State::Auth { mechanism, exchange, cancelled } => {
                self.on_auth_reply(now, mechanism, exchange, cancelled, reply);
            }
            State::Envelope(envelope) => self.on_envelope_reply(now, envelope, reply),
            State::Content { envelope, .. } => self.on_reply_amid_content(&envelope, reply),
            State::EndOfData(envelope) => self.on_end_of_data_reply(&envelope, reply),
            State::NobodysData => self.idle(),
            State::Quitting => self.end(Parting::Silent, Ending::Quit),
            state @ (State::Idle | State::Handshake | State::Closed) => {
                self.state = state;
                self.out_of_turn(reply);
            }
        }
    }

    /// 421 may answer anything (RFC 5321 §3.8) and come at any time.
    fn on_service_not_available(&mut self, reply: Reply) {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::EndOfData(envelope) | State::Content { envelope, .. } => {
                self.decide_each(&envelope.accepted(), Meaning::Delayed, &reply);
            }
            State::Envelope(mut envelope) => {
                let step = envelope.take_awaited();
                self.suspect(&envelope.suspects(step), &verdict::fate(Meaning::Delayed, &reply));
            }
            State::Quitting => return self.end(Parting::Silent, Ending::Quit),
            State::Idle => return self.end(Parting::Silent, Ending::Lost(Stage::Idle)),
            State::Greeting
            | State::Ehlo
            | State::Helo
            | State::StartTls
            | State::Handshake
            | State::Auth { .. }
            | State::NobodysData
            | State::Closed => {}
        }
        self.end(Parting::Silent, throttled(reply));
    }

    fn meaning(&self, reply: &Reply) -> Meaning {
        Meaning::of(reply, &self.profile.replies)
    }

    fn idle(&mut self) {
        self.state = State::Idle;
        self.committed = false;
        self.deadline = None;
        self.outputs.push_back(Output::Idle);
    }

    fn decide_each(&mut self, indices: &[usize], meaning: Meaning, reply: &Reply) {
        let fate = verdict::fate(meaning, reply);
        self.done(indices.iter().map(|index| (*index, fate.clone())));
    }

    fn delay_each(&mut self, indices: &[usize], status: EnhancedStatus, text: &str) {
        let fate = Fate::Delayed { status, text: text.to_owned(), retry_after: None };
        self.done(indices.iter().map(|index| (*index, fate.clone())));
    }

    fn done(&mut self, decided: impl IntoIterator<Item = (usize, Fate)>) {
        for (index, fate) in decided {
            self.committed = true;
            self.outputs.push_back(Output::RecipientDone { index, fate });
        }
    }

    /// Delays those over whom the session ends; another connection may still settle them.
    fn suspect(&mut self, indices: &[usize], fate: &Fate) {
        let done = indices.iter().map(|index| Output::RecipientDone { index: *index, fate: fate.clone() });
        self.outputs.extend(done);
    }

    /// Ends without an answer. Recipients whose content is under way are delayed: whether the next hop has the message
    /// is not known, and it is repeated with the same Message-ID.
    fn give_up(&mut self, what: &str, ending: Ending) {
        let stage = self.stage();
        let status = EnhancedStatus::new(4, 4, 2);
        let text = format!("{what} while waiting for {stage}");
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Content { envelope, .. } | State::EndOfData(envelope) => {
                self.delay_each(&envelope.accepted(), status, &text);
            }
            State::Envelope(mut envelope) => {
                let step = envelope.take_awaited();
                self.suspect(&envelope.suspects(step), &Fate::Delayed { status, text, retry_after: None });
            }
            State::Closed => return,
            State::Greeting
            | State::Ehlo
            | State::Helo
            | State::StartTls
            | State::Handshake
            | State::Auth { .. }
            | State::Idle
            | State::NobodysData
            | State::Quitting => {}
        }
        self.end(Parting::Silent, ending);
    }

    fn out_of_turn(&mut self, reply: Reply) {
        let ending = Ending::OutOfTurn(self.stage(), reply);
        self.give_up("the next hop spoke out of turn", ending);
    }

    fn out_of_turn_at(&mut self, stage: Stage, reply: Reply) {
        self.end(Parting::Silent, Ending::OutOfTurn(stage, reply));
    }

    fn end(&mut self, parting: Parting, ending: Ending) {
        if parting == Parting::Quit {
            self.outputs.push_back(Output::Send(b"QUIT\r\n".to_vec()));
        }
        self.state = State::Closed;
        self.deadline = None;
        self.outputs.push_back(Output::Closed(ending));
    }

    fn send(&mut self, now: Instant, timeout: Duration, bytes: Vec<u8>) {
        self.wait(now, timeout);
        self.outputs.push_back(Output::Send(bytes));
    }

    fn send_secret(&mut self, now: Instant, line: Zeroizing<String>) {
        self.wait(now, self.profile.timeouts.command);
        self.outputs.push_back(Output::SendSecret(line));
    }

    fn wait(&mut self, now: Instant, timeout: Duration) {
        self.deadline = now.checked_add(timeout);
    }

    /// What the session waits for.
    #[must_use]
    pub const fn stage(&self) -> Stage {
        match self.state {
            State::Greeting => Stage::Greeting,
            State::Ehlo | State::Helo => Stage::Hello,
            State::StartTls => Stage::StartTls,
            State::Handshake => Stage::Handshake,
            State::Auth { .. } => Stage::Auth,
            State::Idle => Stage::Idle,
            State::Envelope(_) => Stage::Envelope,
            State::Content { .. } => Stage::Content,
            State::EndOfData(_) | State::NobodysData => Stage::EndOfData,
            State::Quitting | State::Closed => Stage::Quit,
        }
    }
}

/// Whether the server still reads commands, so that a QUIT may take leave of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parting {
    Quit,
    Silent,
}

fn throttled(reply: Reply) -> Ending {
    Ending::Throttled { retry_after: verdict::retry_after(&reply), reply }
}

/// RFC 5321 §4.2.3.
const SERVICE_NOT_AVAILABLE: u16 = 421;
