//! What a session asks of those who know more than one session can, and what it is answered.

use std::time::Duration;

use super::profile::TlsSession;
use crate::message::id::QueueId;
use crate::policy::account::{Check, CheckAnswer, Principal};
use crate::wire::smtp::dsn::{RecipientDsn, Ret};
use crate::wire::smtp::path::{ForwardPath, Mailbox, ReversePath};

/// What a session cannot decide by itself.
#[derive(Debug)]
pub enum Question {
    /// MAIL is about to be accepted: do rates and the debt of the client's network allow it, and does the account still
    /// stand that the client proved?
    Admit,
    /// A RCPT of a session that is subject to the tar pit: has its turn come? May take long to answer.
    Turn,
    /// Does this recipient exist? Asked only for addresses that the relay policy accepts by their domain.
    Recipient(Mailbox),
    /// A reply is to be held: how long?
    Hold(Offence),
    /// DATA is about to be answered: has the client said more already, wherever that is? What it says must wait for the
    /// reply (RFC 5321 §4.1.1.4), so nothing that is there now was meant for us. To be answered at once, without
    /// waiting for more; the octets stay where they are.
    Behind,
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
    /// To [`Question::Behind`].
    Behind(Behind),
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
    /// The account that the client proved, or acts for, is gone or may do something else by now: 421 4.7.0 and close.
    Revoked,
}

/// Whether a RCPT may be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Now.
    Come,
    /// The line of the client's network is longer than `max_line`: 421 4.7.0 and close.
    LineTooLong,
    /// Too many sessions wait already: 421 4.7.0 and close.
    Full,
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

/// Whether more octets are there already when a command is obeyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behind {
    /// The client waits.
    Nothing,
    /// It goes on talking.
    Input,
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
