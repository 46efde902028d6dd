//! Call-forward: a next hop is asked with RCPT whether it knows a recipient. One connection, many questions.
//!
//! EHLO, STARTTLS where [`Security`] wants it, then for each question MAIL FROM:<>, RCPT, RSET (RFC 5321 §4.1.1), all at once where the next hop has PIPELINING
//! (RFC 2920); no message is ever sent. The null reverse-path is the one that every host must take (§4.5.5).
//!
//! The caller owns the socket: it feeds what comes in with `handle_input`, calls `handle_timeout` when `poll_timeout` has
//! passed, and does what `poll_output` says until that returns `None`.

mod verdict;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use crate::policy::relay::in_ascii;
use crate::session::smtp_server::Existence;
use crate::wire::smtp::extensions::Extensions;
use crate::wire::smtp::path::Mailbox;
use crate::wire::smtp::reply::{Reply, ReplyParser, Severity};
use verdict::existence;

/// What happens to the session.
#[derive(Debug)]
pub enum Input<'a> {
    /// Octets from the next hop.
    Bytes(&'a [u8]),
    /// The handshake that [`Output::StartTls`] asked for succeeded.
    TlsEstablished,
    /// The connection was closed or broke.
    Disconnected,
    /// After [`Output::Idle`]: does it know this recipient?
    Ask(&'a Mailbox),
    /// After [`Output::Idle`]: take leave.
    Quit,
}

/// What the caller must do.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Write this.
    Send(Vec<u8>),
    /// Begin the TLS handshake; where it fails, close the connection.
    StartTls,
    /// The answer to [`Input::Ask`], and the reply that says so, escaped.
    Answer(Existence, String),
    /// The answer to [`Input::Ask`] without a question: the next hop offers no SMTPUTF8, which this recipient needs
    /// (RFC 6531 §3.2), so it has no such mailbox. That says nothing of its others.
    NeedsSmtputf8,
    /// Ready for a question.
    Idle,
    /// Close the connection. A question without an answer was not decided.
    Closed(Ending),
}

/// Why a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// By QUIT.
    Quit,
    /// The next hop refused to talk, to the greeting or to EHLO and HELO; its reply, escaped.
    Refused(String),
    /// The connection was lost, or closed with 421, before the question was decided: on a connection that was kept, a
    /// fresh one may decide it.
    Lost,
    /// No answer in time.
    TimedOut,
    /// What came is no SMTP, or came unasked.
    NotSmtp,
    /// TLS is required here, and the next hop does not offer STARTTLS.
    NoStartTls,
    /// TLS is required here, and the next hop, which offers it, does not begin it; its reply, escaped.
    StartTlsRefused(String),
    /// Octets followed the reply to STARTTLS in the clear: someone on the way injects replies (RFC 3207 §6).
    InjectedBeforeTls,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quit => f.write_str("it took leave"),
            Self::Refused(reply) => write!(f, "it refuses to talk: {reply}"),
            Self::Lost => f.write_str("it closed the connection"),
            Self::TimedOut => f.write_str("it did not answer in time"),
            Self::NotSmtp => f.write_str("it does not speak SMTP"),
            Self::NoStartTls => f.write_str(
                "it does not offer STARTTLS; switch that on there, or write `tls: { mode: opportunistic }`",
            ),
            Self::StartTlsRefused(reply) => write!(f, "it does not begin TLS: {reply}"),
            Self::InjectedBeforeTls => f.write_str(
                "it went on in clear text after STARTTLS; does someone on the way inject replies?",
            ),
        }
    }
}

/// What a session is told before it begins.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Our name in EHLO.
    pub hostname: String,
    /// How the connection is protected.
    pub security: Security,
    /// From a question to its answer.
    pub timeout: Duration,
}

/// How the connection is protected. No secret travels: only who has mail here is asked, and the answer is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// By STARTTLS where it is offered and begun, else in clear text (RFC 7435).
    Opportunistic,
    /// By STARTTLS, and no question without it.
    StartTls,
    /// TLS was there before the first octet.
    Established,
    /// In clear text.
    Absent,
}

/// The session.
#[derive(Debug)]
pub struct CallForward {
    profile: Profile,
    state: State,
    extensions: Extensions,
    parser: ReplyParser,
    outputs: VecDeque<Output>,
    deadline: Option<Instant>,
    /// Until [`Output::Closed`] was said.
    is_open: bool,
}

#[derive(Debug)]
enum State {
    Greeting,
    Ehlo,
    Helo,
    StartTls,
    Handshake,
    Idle,
    Asking(Asking),
    Quitting,
    Closed,
}

/// A question under way.
#[derive(Debug)]
struct Asking {
    /// Commands that are not sent yet; none where all were sent at once.
    to_send: VecDeque<Vec<u8>>,
    /// Who was asked for, as it was spelled.
    mailbox: Mailbox,
    /// What the next reply is to.
    awaited: Command,
    /// MAIL was refused, so that the reply to RCPT means nothing.
    refused: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    Mail,
    Rcpt,
    Rset,
}

impl CallForward {
    /// A session on a connection that was just made, to be ready for its first question by `ready_by`.
    #[must_use]
    pub fn new(ready_by: Instant, profile: Profile) -> Self {
        Self {
            profile,
            state: State::Greeting,
            extensions: Extensions::default(),
            parser: ReplyParser::new(),
            outputs: VecDeque::new(),
            deadline: Some(ready_by),
            is_open: true,
        }
    }

    /// What to do next; call until `None` after every input and timeout.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Self::handle_timeout`]. `None`: nothing is waited for.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    /// Time has passed. Harmless when called early.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.close(Ending::TimedOut);
        }
    }

    /// Something happened.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Bytes(bytes) => self.on_bytes(bytes),
            Input::TlsEstablished => self.on_tls_established(),
            Input::Disconnected => self.close(Ending::Lost),
            Input::Ask(mailbox) if matches!(self.state, State::Idle) => self.on_ask(now, mailbox),
            Input::Quit if matches!(self.state, State::Idle) => {
                self.state = State::Quitting;
                self.deadline = now.checked_add(self.profile.timeout);
                self.send(b"QUIT\r\n".to_vec());
            }
            Input::Ask(_) | Input::Quit => {}
        }
    }

    fn on_ask(&mut self, now: Instant, mailbox: &Mailbox) {
        let Some(mailbox) = self.spelled(mailbox) else {
            self.outputs.extend([Output::NeedsSmtputf8, Output::Idle]);
            return;
        };
        let parameter = if mailbox.needs_smtputf8() { " SMTPUTF8" } else { "" };
        let mail = format!("MAIL FROM:<>{parameter}\r\n").into_bytes();
        let rest = [format!("RCPT TO:<{mailbox}>\r\n").into_bytes(), b"RSET\r\n".to_vec()];
        self.deadline = now.checked_add(self.profile.timeout);
        if self.extensions.pipelining {
            self.send([&[mail], &rest[..]].concat().concat());
            self.state = State::Asking(Asking::new(mailbox.into_owned(), VecDeque::new()));
        } else {
            self.send(mail);
            self.state = State::Asking(Asking::new(mailbox.into_owned(), rest.into()));
        }
    }

    /// The mailbox as this next hop can take it, and as a message for it would be sent.
    fn spelled<'m>(&self, mailbox: &'m Mailbox) -> Option<Cow<'m, Mailbox>> {
        if self.extensions.smtputf8 || !mailbox.needs_smtputf8() {
            Some(Cow::Borrowed(mailbox))
        } else {
            in_ascii(mailbox).map(Cow::Owned)
        }
    }

    fn on_bytes(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !matches!(self.state, State::Closed) {
            if matches!(self.state, State::Handshake) {
                self.outputs.retain(|output| *output != Output::StartTls);
                return self.close(Ending::InjectedBeforeTls);
            }
            match self.parser.parse(&mut bytes) {
                Ok(Some(reply)) => self.on_reply(&reply),
                Ok(None) => {}
                Err(_) => self.close(Ending::NotSmtp),
            }
        }
    }

    fn on_reply(&mut self, reply: &Reply) {
        let is_positive = reply.severity() == Severity::Positive;
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Greeting if is_positive => self.hello("EHLO", State::Ehlo),
            State::Ehlo if is_positive => {
                self.extensions = Extensions::parse(reply);
                self.protect();
            }
            // A server of before 1995, which can protect nothing.
            State::Ehlo if reply.severity() == Severity::Permanent && !self.requires_starttls() => {
                self.hello("HELO", State::Helo);
            }
            State::Helo if is_positive => self.idle(),
            State::StartTls if is_positive => {
                self.state = State::Handshake;
                self.outputs.push_back(Output::StartTls);
            }
            State::StartTls if self.requires_starttls() => {
                self.close(Ending::StartTlsRefused(reply.to_string()));
            }
            // It goes on in clear text (RFC 3207 §4).
            State::StartTls => self.idle(),
            State::Greeting | State::Ehlo | State::Helo => self.close(Ending::Refused(reply.to_string())),
            State::Asking(asking) => self.on_reply_to_question(asking, reply),
            State::Quitting => self.close(Ending::Quit),
            // What comes unasked would be taken for the next answer: 421 before it closes, or nonsense.
            State::Idle if reply.code().number() == SERVICE_NOT_AVAILABLE => self.close(Ending::Lost),
            State::Idle => self.close(Ending::NotSmtp),
            State::Handshake | State::Closed => {}
        }
    }

    fn requires_starttls(&self) -> bool {
        self.profile.security == Security::StartTls
    }

    fn protect(&mut self) {
        match self.profile.security {
            Security::StartTls | Security::Opportunistic if self.extensions.starttls => {
                self.send(b"STARTTLS\r\n".to_vec());
                self.state = State::StartTls;
            }
            Security::StartTls => self.close(Ending::NoStartTls),
            Security::Opportunistic | Security::Established | Security::Absent => self.idle(),
        }
    }

    /// What the next hop said before TLS is forgotten (RFC 3207 §4.2).
    fn on_tls_established(&mut self) {
        if matches!(self.state, State::Handshake) {
            self.profile.security = Security::Established;
            self.extensions = Extensions::default();
            self.parser = ReplyParser::new();
            self.hello("EHLO", State::Ehlo);
        }
    }

    fn on_reply_to_question(&mut self, mut asking: Asking, reply: &Reply) {
        if reply.code().number() == SERVICE_NOT_AVAILABLE {
            return self.close(Ending::Lost);
        }
        let is_positive = reply.severity() == Severity::Positive;
        match asking.awaited {
            Command::Mail => {
                asking.refused = !is_positive;
                if asking.refused {
                    self.outputs.push_back(Output::Answer(Existence::Unavailable, reply.to_string()));
                    // Where RCPT was not sent yet it need not be.
                    asking.to_send.pop_front();
                    asking.awaited = if asking.to_send.is_empty() { Command::Rcpt } else { Command::Rset };
                } else {
                    asking.awaited = Command::Rcpt;
                }
            }
            Command::Rcpt => {
                if !asking.refused {
                    let existence = existence(reply, &asking.mailbox);
                    self.outputs.push_back(Output::Answer(existence, reply.to_string()));
                }
                asking.awaited = Command::Rset;
            }
            Command::Rset if is_positive => return self.idle(),
            Command::Rset => return self.close(Ending::NotSmtp),
        }
        if let Some(command) = asking.to_send.pop_front() {
            self.send(command);
        }
        self.state = State::Asking(asking);
    }

    fn hello(&mut self, verb: &str, state: State) {
        self.send(format!("{verb} {}\r\n", self.profile.hostname).into_bytes());
        self.state = state;
    }

    fn idle(&mut self) {
        self.state = State::Idle;
        self.deadline = None;
        self.outputs.push_back(Output::Idle);
    }

    fn send(&mut self, bytes: Vec<u8>) {
        self.outputs.push_back(Output::Send(bytes));
    }

    fn close(&mut self, ending: Ending) {
        if std::mem::replace(&mut self.is_open, false) {
            self.deadline = None;
            let ending = if matches!(self.state, State::Quitting) { Ending::Quit } else { ending };
            self.state = State::Closed;
            self.outputs.push_back(Output::Closed(ending));
        }
    }
}

impl Asking {
    const fn new(mailbox: Mailbox, to_send: VecDeque<Vec<u8>>) -> Self {
        Self { to_send, mailbox, awaited: Command::Mail, refused: false }
    }
}

/// RFC 5321 §3.8: may answer anything, and closes.
const SERVICE_NOT_AVAILABLE: u16 = 421;

#[cfg(test)]
mod tests;
