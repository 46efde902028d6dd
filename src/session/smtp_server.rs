//! SMTP server (RFC 5321, submission rules of RFC 6409): one session with one client.
//!
//! The caller owns the socket and everything shared between sessions. It feeds what comes in with `handle_input`, calls
//! `handle_timeout` when `poll_timeout` has passed, and does what `poll_output` says until that returns `None`, each
//! time before the next input. It reads from the socket only as much as `poll_read` says: while a reply is held back
//! or a question is open, nothing, so that what a client sends meanwhile stays in the kernel.
//!
//! What one session cannot know (other sessions of the network, accounts, directories, the spool) it asks with
//! [`Output::Ask`], one question at a time, and does nothing else until the answer has come.

mod auth;
mod border;
mod content;
mod denial;
mod envelope;
mod holding;
mod opening;
mod profile;
mod questions;
mod reply;
mod room;

use std::collections::VecDeque;
use std::time::Instant;

use crate::policy::account::Principal;
use crate::session::sasl::server::Exchange;
use crate::wire::smtp::command::{ClientName, Command, CommandFault};
use crate::wire::smtp::command_line::{LineFault, LineKind, LineReader};
use crate::wire::smtp::quirk::{Quirk, Quirks};
pub use border::{Abandonment, Ending, Input, Output};
use content::{Receiving, Unwanted};
pub use denial::Denial;
use envelope::Candidate;
use holding::Withheld;
pub use profile::{Limits, Offers, Profile, Standing, Timeouts, TlsSession};
pub use questions::{
    Admission, Answer, Behind, ContentFacts, Existence, Hold, Offence, Question, Stored, Submission, Turn,
};
use reply::Reply;
pub use room::RecipientRoom;
use room::Share;

/// One session with one client.
#[derive(Debug)]
pub struct SmtpServer {
    profile: Profile,
    /// As the client named itself since the connection began or TLS did.
    hello: Option<Hello>,
    tls: Option<TlsSession>,
    /// Who the client proved to be; ends with STARTTLS alone.
    principal: Option<Principal>,
    state: State,
    line: LineReader,
    /// Octets that were read already and wait until the session may go on.
    pending: Vec<u8>,
    outputs: VecDeque<Output>,
    /// When something last happened.
    heard: Instant,
    /// When the first octet of an unfinished line came.
    line_began: Option<Instant>,
    faults: u16,
    idle_commands: u16,
    /// Commands that found no room.
    overshoot: u16,
    /// What the recipients of the open transaction take.
    share: Share,
    /// What the client was borne with.
    quirks: Quirks,
    /// The gateway stops: the session ends when no transaction is open.
    stopping: bool,
}

/// How the client named itself.
#[derive(Debug)]
enum Hello {
    /// EHLO.
    Esmtp(ClientName),
    /// HELO.
    Smtp(ClientName),
}

/// Where the session stands; what exists in one state only lives in it.
#[derive(Debug)]
enum State {
    /// The greeting has not been written.
    Greeting,
    /// No transaction is open.
    Idle,
    /// MAIL was accepted; forward-paths are collected.
    Transaction(Box<Submission>),
    /// DATA was accepted, or a chunk arrives: octets are content.
    Content(Box<Receiving>),
    /// A chunk was taken, and more are to follow.
    Chunks(Box<Receiving>),
    /// A chunk arrives that nobody wants.
    Discarding { left: u64, unwanted: Box<Unwanted> },
    /// AUTH: the client owes the response to a challenge.
    Auth(Box<Exchange>),
    /// STARTTLS was accepted.
    Handshake,
    /// A question is open; nothing else happens until it is answered.
    Asking(Asked),
    /// A reply is held; nothing else happens until its time has come.
    Held(Box<Withheld>),
    /// The session is over.
    Closed,
}

/// What was asked, and what the answer is needed for.
#[derive(Debug)]
enum Asked {
    Admit(Box<Submission>),
    Turn(Box<Candidate>),
    Recipient(Box<Candidate>),
    Hold(Box<Withheld>),
    /// The state that DATA was said in.
    Behind(Box<State>),
    Authenticate(Box<Exchange>),
    Store,
}

impl SmtpServer {
    /// A session on a connection that is just open. The greeting is the first output; octets that are fed before it
    /// was polled came too early.
    #[must_use]
    pub fn new(now: Instant, profile: Profile) -> Self {
        Self {
            hello: None,
            tls: profile.tls,
            principal: None,
            state: State::Greeting,
            line: LineReader::new(),
            pending: Vec::new(),
            outputs: VecDeque::new(),
            heard: now,
            line_began: None,
            faults: 0,
            idle_commands: 0,
            overshoot: 0,
            share: Share::of(profile.room.clone()),
            quirks: Quirks::NONE,
            stopping: false,
            profile,
        }
    }

    /// What to do next; call until `None` after every input and timeout.
    pub fn poll_output(&mut self) -> Option<Output> {
        if let (State::Greeting, true) = (&self.state, self.outputs.is_empty()) {
            self.state = State::Idle;
            self.say(&Reply::lines(220, &[format!("{} ESMTP", self.profile.hostname)]));
        }
        let output = self.outputs.pop_front();
        if output.is_none() {
            // A session that waits keeps no memory for what it has said.
            self.outputs = VecDeque::new();
            if let State::Idle | State::Closed = &self.state {
                self.share.give_back();
            }
        }
        output
    }

    /// How many octets may be read from the client now; `None`: none, what it sends stays in the kernel. Of a client
    /// whose replies may be held, at most [`MAX_KEPT`] may turn out to be more than content.
    #[must_use]
    pub fn poll_read(&self) -> Option<usize> {
        if !self.outputs.is_empty() {
            return None;
        }
        let up_to = |left: u64| usize::try_from(left).unwrap_or(usize::MAX).clamp(MAX_KEPT, MAX_READ);
        match &self.state {
            State::Idle | State::Transaction(_) | State::Chunks(_) | State::Auth(_) => Some(MAX_KEPT),
            State::Content(receiving) => match receiving.left() {
                Some(left) => Some(up_to(left)),
                None if self.is_subject() => Some(MAX_KEPT),
                None => Some(MAX_READ),
            },
            State::Discarding { left, .. } => Some(up_to(*left)),
            State::Greeting | State::Handshake | State::Asking(_) | State::Held(_) | State::Closed => None,
        }
    }

    /// When to call [`SmtpServer::handle_timeout`]; changes with every input. `None`: nothing is waited for but an
    /// answer.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let timeouts = &self.profile.timeouts;
        let silence = match &self.state {
            State::Greeting | State::Asking(_) | State::Closed => return None,
            State::Held(withheld) => return withheld.until,
            State::Content(_) | State::Discarding { .. } => timeouts.content,
            State::Idle | State::Transaction(_) | State::Chunks(_) | State::Auth(_) | State::Handshake => {
                timeouts.command
            }
        };
        let began = match &self.state {
            State::Content(receiving) | State::Chunks(receiving) => Some(receiving.began),
            State::Discarding { unwanted, .. } => Some(unwanted.began),
            State::Greeting
            | State::Idle
            | State::Transaction(_)
            | State::Auth(_)
            | State::Handshake
            | State::Asking(_)
            | State::Held(_)
            | State::Closed => self.line_began,
        };
        let whole = began.and_then(|began| began.checked_add(timeouts.whole));
        [self.heard.checked_add(silence), whole].into_iter().flatten().min()
    }

    /// As the client named itself, escaped; empty while it has not.
    #[must_use]
    pub fn client_name(&self) -> &str {
        self.hello.as_ref().map_or("", |hello| hello.name().as_str())
    }

    /// Who the client proved to be.
    #[must_use]
    pub const fn principal(&self) -> Option<&Principal> {
        self.principal.as_ref()
    }

    /// The TLS session, where there is one.
    #[must_use]
    pub const fn tls(&self) -> Option<TlsSession> {
        self.tls
    }

    /// What the client did so far that a strict server refuses.
    #[must_use]
    pub const fn quirks(&self) -> Quirks {
        self.quirks
    }

    /// Whether the 5yz replies to this client are held: not any more once it has authenticated.
    #[must_use]
    pub const fn standing(&self) -> Standing {
        if self.is_subject() { Standing::Subject } else { Standing::Exempt }
    }

    /// Time has passed. Harmless when called early.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|deadline| deadline > now) {
            return;
        }
        let state = std::mem::replace(&mut self.state, State::Idle);
        if let State::Held(withheld) = state {
            self.heard = now;
            self.release(*withheld);
            self.resume(now);
        } else {
            self.state = state;
            self.end(Ending::TimedOut);
        }
    }

    /// Something happened. What the session's state does not ask for is ignored.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        if !matches!(input, Input::Shutdown) {
            self.heard = now;
        }
        match input {
            Input::Bytes(bytes) => self.on_bytes(now, bytes),
            Input::TlsEstablished(tls) => self.on_tls_established(tls),
            Input::Disconnected => self.on_disconnected(),
            Input::Answer(answer) => {
                self.on_answer(now, answer);
                self.resume(now);
            }
            Input::Shutdown => self.on_shutdown(),
        }
    }

    fn on_bytes(&mut self, now: Instant, bytes: &[u8]) {
        if matches!(self.state, State::Greeting) && !bytes.is_empty() {
            return self.refuse_early_talker();
        }
        let mut rest = bytes;
        if self.pending.is_empty() {
            self.run(now, &mut rest);
        }
        self.keep(rest);
    }

    /// The session may go on: first with what was read already.
    fn resume(&mut self, now: Instant) {
        let pending = std::mem::take(&mut self.pending);
        let mut rest = pending.as_slice();
        self.run(now, &mut rest);
        self.keep(rest);
    }

    fn keep(&mut self, rest: &[u8]) {
        if rest.is_empty() || matches!(self.state, State::Closed) {
            return;
        }
        // More comes only from a caller that reads without asking.
        if self.pending.len().saturating_add(rest.len()) > MAX_READ {
            return self.end(Ending::OutOfStep);
        }
        self.pending.extend_from_slice(rest);
    }

    /// Takes octets from the front of `bytes` until there are none or the session must wait.
    fn run(&mut self, now: Instant, bytes: &mut &[u8]) {
        while !bytes.is_empty() {
            match &self.state {
                State::Content(_) => self.on_content(bytes),
                State::Discarding { .. } => self.on_unwanted(bytes),
                State::Idle | State::Transaction(_) | State::Chunks(_) => {
                    self.run_line(now, bytes, LineKind::Command);
                }
                State::Auth(_) => self.run_line(now, bytes, LineKind::Response),
                State::Asking(_) | State::Held(_) => return,
                // What comes before the handshake must not be taken for what came under TLS (RFC 3207 §6).
                State::Greeting | State::Handshake | State::Closed => *bytes = &[],
            }
        }
    }

    fn run_line(&mut self, now: Instant, bytes: &mut &[u8], kind: LineKind) {
        let taken = self.line.take(bytes, kind);
        self.line_began = match self.line.is_inside() {
            true => Some(self.line_began.unwrap_or(now)),
            false => None,
        };
        let behind = if bytes.is_empty() { Behind::Nothing } else { Behind::Input };
        match (taken, std::mem::replace(&mut self.state, State::Idle)) {
            (Ok(Some(line)), State::Auth(exchange)) => self.on_response(*exchange, &line),
            (Err(fault @ (LineFault::BareLineEnd | LineFault::TooLong)), State::Auth(_)) => {
                self.on_bad_response(fault);
            }
            (taken, state) => {
                self.state = state;
                match taken {
                    Ok(None) => {}
                    Ok(Some(line)) => self.on_line(now, &line, behind),
                    Err(LineFault::BareLineEnd) => self.on_fault(reply::BARE_LINE_END),
                    Err(LineFault::TooLong) => self.on_fault(reply::LINE_TOO_LONG),
                    Err(LineFault::Endless) => {
                        self.refuse_and_close(reply::LINE_TOO_LONG, Ending::OutOfStep);
                    }
                }
            }
        }
    }

    fn on_line(&mut self, now: Instant, line: &[u8], behind: Behind) {
        match Command::parse(line, self.profile.tolerance) {
            Ok(Command::Ehlo(name)) => self.on_hello(Hello::Esmtp(name), behind),
            Ok(Command::Helo(name)) => self.on_hello(Hello::Smtp(name), behind),
            Ok(Command::Mail(mail)) => {
                self.note_path(line);
                self.on_mail(mail);
            }
            Ok(Command::Rcpt(rcpt)) => {
                self.note_path(line);
                self.on_rcpt(rcpt);
            }
            Ok(Command::Data) => self.on_data(now, behind),
            Ok(Command::Bdat(chunk)) => self.on_bdat(now, chunk),
            Ok(Command::Rset) => self.on_rset(),
            Ok(Command::Noop) => self.on_idle_command(&reply::OK),
            Ok(Command::Help) => self.on_idle_command(&reply::HELP),
            Ok(Command::Vrfy) => self.on_idle_command(&reply::CANNOT_VERIFY),
            Ok(Command::Expn) => self.on_fault(reply::NOT_IMPLEMENTED),
            Ok(Command::Quit) => self.on_quit(),
            Ok(Command::StartTls) => self.on_starttls(),
            Ok(Command::Auth(auth)) => self.on_auth(&auth, behind),
            Err(fault) => self.on_command_fault(line, fault),
        }
    }

    /// A path without brackets was borne with.
    fn note_path(&mut self, line: &[u8]) {
        if !line.contains(&b'<') {
            self.quirks.insert(Quirk::PathWithoutBrackets);
        }
    }

    fn on_command_fault(&mut self, line: &[u8], fault: CommandFault) {
        let (code, status, text) = fault.reply();
        let refusal = Reply::new(code, status, text);
        let verb = line.split(|octet| *octet == b' ').next().unwrap_or_default();
        if verb.eq_ignore_ascii_case(b"BDAT") {
            // How many octets follow is not known.
            self.refuse_and_close(refusal, Ending::OutOfStep);
        } else {
            self.on_fault(refusal);
        }
    }

    fn on_answer(&mut self, now: Instant, answer: Answer) {
        let state = std::mem::replace(&mut self.state, State::Idle);
        let State::Asking(asked) = state else { return self.state = state };
        match (asked, answer) {
            (Asked::Admit(submission), Answer::Admit(admission)) => {
                self.on_admission(submission, admission);
            }
            (Asked::Turn(candidate), Answer::Turn(turn)) => self.on_turn(candidate, turn),
            (Asked::Recipient(candidate), Answer::Recipient(existence)) => {
                self.on_existence(*candidate, existence);
            }
            (Asked::Hold(withheld), Answer::Hold(hold)) => self.on_hold(now, withheld, hold),
            (Asked::Behind(state), Answer::Behind(behind)) => self.on_behind(now, *state, behind),
            (Asked::Authenticate(exchange), Answer::Authenticate(answer)) => {
                self.on_check_answer(*exchange, answer);
            }
            (Asked::Store, Answer::Store(stored)) => self.on_stored(stored),
            (asked, _) => self.state = State::Asking(asked),
        }
    }

    fn on_disconnected(&mut self) {
        let ending = match &self.state {
            State::Closed => return,
            State::Held(_) | State::Asking(Asked::Turn(_) | Asked::Hold(_)) => Ending::GaveUpWaiting,
            State::Transaction(_)
            | State::Content(_)
            | State::Chunks(_)
            | State::Asking(Asked::Recipient(_) | Asked::Behind(_) | Asked::Store) => Ending::Abandoned,
            State::Greeting
            | State::Idle
            | State::Discarding { .. }
            | State::Auth(_)
            | State::Handshake
            | State::Asking(Asked::Admit(_) | Asked::Authenticate(_)) => Ending::Disconnected,
        };
        self.end(ending);
    }

    fn on_shutdown(&mut self) {
        match &self.state {
            State::Closed => {}
            State::Transaction(_)
            | State::Content(_)
            | State::Chunks(_)
            | State::Discarding { .. }
            | State::Asking(
                Asked::Admit(_)
                | Asked::Recipient(_)
                | Asked::Behind(_)
                | Asked::Authenticate(_)
                | Asked::Store,
            ) => self.stopping = true,
            State::Greeting
            | State::Idle
            | State::Auth(_)
            | State::Handshake
            | State::Held(_)
            | State::Asking(Asked::Turn(_) | Asked::Hold(_)) => self.end(Ending::Shutdown),
        }
    }

    /// How much the client may send.
    const fn limits(&self) -> &Limits {
        if self.principal.is_some() { &self.profile.proved_limits } else { &self.profile.limits }
    }
}

/// Octets that a session reads at once outside content, and that one whose reply is held may keep.
pub const MAX_KEPT: usize = 1024;
/// Octets that a session reads at once inside content, unless its replies may be held and only the end will tell how
/// much of them is content: then [`MAX_KEPT`], since commands may lawfully come behind it (RFC 2920 §3.1).
pub const MAX_READ: usize = 64 * 1024;

#[cfg(test)]
mod tests;
