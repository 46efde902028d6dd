//! SMTP server (RFC 5321, submission rules of RFC 6409): one session with one client.
//!
//! The caller owns the socket and everything shared between sessions. It feeds what comes in with `handle_input`, calls
//! `handle_timeout` when `poll_timeout` has passed, and does what `poll_output` says until that returns `None`, each
//! time before the next input. It reads from the socket only as much as `poll_read` says: while a reply is held back
//! or a question is open, nothing, so that what a client sends meanwhile stays in the kernel.
//!
//! What one session cannot know (other sessions of the network, accounts, directories, the spool) it asks with
//! [`Output::Ask`], one question at a time, and does nothing else until the answer has come.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::message::id::QueueId;
use crate::policy::account::{Check, CheckAnswer, Cleartext, Principal};
use crate::policy::relay::{ListenerPolicy, RelayPolicy};
use crate::wire::smtp::dsn::{RecipientDsn, Ret};
use crate::wire::smtp::mechanism::Mechanism;
use crate::wire::smtp::path::{ForwardPath, Mailbox, ReversePath};
use crate::wire::smtp::tolerance::Tolerance;

/// What happens to a session.
#[derive(Debug)]
pub enum Input<'a> {
    /// Octets from the client, in pieces of any size up to what `poll_read` allowed.
    Bytes(&'a [u8]),
    /// The handshake that [`Output::StartTls`] asked for succeeded.
    TlsEstablished(TlsSession),
    /// The client closed the connection, or it broke.
    Disconnected,
    /// The answer to the open question.
    Answer(Answer),
    /// The gateway stops: an open transaction may end, then 421 4.3.2.
    Shutdown,
}

/// What the caller must do.
#[derive(Debug)]
pub enum Output {
    /// Write one reply.
    Reply {
        /// Its code, for the metrics.
        code: u16,
        /// All its lines, with line ends.
        octets: Vec<u8>,
    },
    /// Begin the TLS handshake. Octets read before it must be thrown away (RFC 3207 §6); none were read past STARTTLS.
    StartTls,
    /// Answer this with [`Input::Answer`].
    Ask(Question),
    /// A transaction's content begins: what comes is written down, behind a trace header of these facts.
    BeginContent(ContentFacts),
    /// Octets of the content: dots undone, line ends CRLF.
    Content(Vec<u8>),
    /// The transaction whose content was begun is over without [`Question::Store`]: nothing of it stays.
    AbandonContent,
    /// The RCPT whose turn it was is answered without a delay: the next in the line may go.
    TurnOver,
    /// Close the connection; the session is over.
    Closed(Ending),
}

/// What a session cannot decide by itself.
#[derive(Debug)]
pub enum Question {
    /// MAIL is about to be accepted: do rates and the debt of the client's network allow it?
    Admit {
        /// Who sends.
        reverse_path: ReversePath,
    },
    /// A RCPT of a session that is subject to the tar pit: has its turn come? May take long to answer.
    Turn,
    /// Does this recipient exist? Asked only for addresses that the relay policy accepts by their domain.
    Recipient(Mailbox),
    /// A reply is to be held: how long?
    Hold(Offence),
    /// Is this who it claims to be?
    Authenticate(Check),
    /// The content has ended: make the message durable.
    Store(Box<Submission>),
}

/// The answer to a [`Question`] of the same name.
#[derive(Debug)]
pub enum Answer {
    /// To [`Question::Admit`].
    Admit(Admission),
    /// To [`Question::Turn`].
    Turn(Turn),
    /// To [`Question::Recipient`].
    Recipient(Existence),
    /// To [`Question::Hold`].
    Hold(Hold),
    /// To [`Question::Authenticate`].
    Authenticate(CheckAnswer),
    /// To [`Question::Store`].
    Store(Stored),
}

/// Whether a transaction may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Granted,
    /// More messages than the rate of this client, network or account allows: 450 4.7.1.
    OverRate,
    /// The client's network owes the tar pit more than `max_line`: 421 4.7.0 and close.
    InDebt,
    /// The spool takes nothing now: 452 4.3.1.
    SpoolFull,
}

/// Whether a RCPT may be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Now.
    Come,
    /// The line of the client's network is longer than `max_line`: 421 4.7.0 and close.
    LineTooLong,
}

/// Whether a recipient exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existence {
    /// A directory knows it, or there is none to ask.
    Known,
    /// Every directory was asked and none knows it: 550 5.1.1.
    Unknown,
    /// None knows it and one could not be asked: 451 4.3.0.
    Unavailable,
}

/// What earns a delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offence {
    /// A 5yz reply to a client that has not authenticated.
    Refusal,
    /// A failed AUTH.
    FailedAuth,
}

/// How long a reply is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// So long; zero: not at all.
    For(Duration),
    /// Too many sessions wait already: 421 4.7.0 and close.
    Full,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// Durable: 250 2.0.0.
    Accepted(QueueId),
    /// The spool is full: 452 4.3.1.
    Full,
    /// The spool failed: 451 4.3.0.
    Failed,
    /// Its trace shows that it goes round in circles: 554 5.4.6.
    Loop,
    /// Its header has no end within the limit: 552 5.3.4.
    HeaderTooLong,
}

/// A mail transaction whose content has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// RCPT TO; at least one.
    pub recipients: Vec<(ForwardPath, RecipientDsn)>,
    /// RET.
    pub ret: Option<Ret>,
    /// ENVID, still in xtext.
    pub envid: Option<String>,
    /// Whether MAIL said SMTPUTF8.
    pub smtputf8: bool,
}

/// What a trace header says of a transaction (RFC 5321 §4.4), and who is answerable for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentFacts {
    /// As the client named itself, escaped; may be empty for a device that said none.
    pub client_name: String,
    /// `with`, per RFC 3848: SMTP, ESMTP, ESMTPS, ESMTPA, ESMTPSA, or their UTF8 forms (RFC 6531).
    pub protocol: &'static str,
    /// The TLS session, where there is one.
    pub tls: Option<TlsSession>,
    /// The account that was proved, if any.
    pub principal: Option<Principal>,
    /// For whom, when it is one only.
    pub single_recipient: Option<ForwardPath>,
}

/// A TLS session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlsSession {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite as IANA names it.
    pub cipher: &'static str,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// QUIT.
    Quit,
    /// The client went away between transactions.
    Disconnected,
    /// The client went away in the middle of a transaction.
    Abandoned,
    /// The client went away while a reply to it was held.
    GaveUpWaiting,
    /// The client said nothing for too long: 421 4.4.2.
    TimedOut,
    /// Too many errors, or commands that do nothing: 421 4.7.0.
    TooManyErrors,
    /// The client talked before the greeting, or before the reply to DATA or STARTTLS.
    EarlyTalker,
    /// The tar pit is full, or the network owes it too much.
    Tarpit,
    /// The gateway stops.
    Shutdown,
}

/// What a session is told before it begins.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Our name in the greeting and in EHLO's reply.
    pub hostname: Arc<str>,
    /// Where the client is; behind a named proxy, where that says it is.
    pub client: IpAddr,
    /// The listener that it came to.
    pub listener: Arc<ListenerPolicy>,
    /// Who may send what to whom.
    pub relay: Arc<RelayPolicy>,
    /// How forgiving the grammar is.
    pub tolerance: Tolerance,
    /// What EHLO offers.
    pub offers: Offers,
    /// The TLS session that was there before the first octet, if any.
    pub tls: Option<TlsSession>,
    /// How much a client may send.
    pub limits: Limits,
    /// Whether replies to it are held.
    pub tarpit: Standing,
    /// What a DNS block list says of the client: every RCPT before AUTH gets 550 5.7.1 with this text.
    pub listed: Option<Arc<str>>,
    /// How long the client may be silent.
    pub timeouts: Timeouts,
}

/// What EHLO offers. PIPELINING, 8BITMIME, ENHANCEDSTATUSCODES are there unless hidden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offers {
    /// STARTTLS, while there is no TLS.
    pub starttls: bool,
    /// Mechanisms for accounts, in the order they are offered.
    pub mechanisms: Vec<Mechanism>,
    /// Whether those that send the password itself are offered without TLS too.
    pub cleartext: Cleartext,
    /// Keywords that this client must not see, in upper case: `STARTTLS`, `CHUNKING`, `AUTH`, ….
    pub hidden: Arc<[String]>,
}

/// How much a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Octets of one message; `None`: no limit but the spool's.
    pub message_size: Option<u64>,
    /// Recipients of one transaction; at least 100. The next gets 452 4.5.3.
    pub recipients: usize,
}

/// Whether replies to a client are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Its 5yz replies are held, and its RCPTs wait their turn, until it has authenticated.
    Subject,
    /// Never, but for a failed AUTH.
    Exempt,
}

/// How long a client may be silent (RFC 5321 §4.5.3.2.7: at least 5 minutes for a command).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For the next command.
    pub command: Duration,
    /// For the next octets of content.
    pub content: Duration,
    /// For the whole of one command line or one message, however slowly it comes.
    pub whole: Duration,
}
