//! From the greeting to the first transaction: EHLO, STARTTLS, AUTH.

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::verdict::Meaning;
use super::{Ending, OperatorFault, Output, Parting, Security, SmtpClient, Stage, State, throttled};
use crate::session::sasl::client::{Channel, Exchange, SaslFault};
use crate::wire::smtp::extensions::Extensions;
use crate::wire::smtp::mechanism::SaslMechanism;
use crate::wire::smtp::reply::{Reply, ReplyParser, Severity};

impl SmtpClient {
    pub(super) fn on_greeting(&mut self, now: Instant, reply: Reply) {
        match reply.severity() {
            Severity::Positive => self.hello(now),
            Severity::Intermediate => self.out_of_turn_at(Stage::Greeting, reply),
            Severity::Transient => self.end(Parting::Quit, throttled(reply)),
            Severity::Permanent => {
                self.end(Parting::Quit, Ending::Operator(OperatorFault::Refused(Stage::Greeting, reply)));
            }
        }
    }

    pub(super) fn hello(&mut self, now: Instant) {
        self.state = State::Ehlo;
        let line = format!("EHLO {}\r\n", self.profile.hostname);
        self.send(now, self.profile.timeouts.command, line.into_bytes());
    }

    pub(super) fn on_ehlo_reply(&mut self, now: Instant, reply: Reply) {
        match reply.severity() {
            Severity::Positive => {
                self.extensions = Extensions::parse(&reply);
                self.protect_or_log_in(now);
            }
            Severity::Intermediate => self.out_of_turn_at(Stage::Hello, reply),
            Severity::Transient => self.end(Parting::Quit, throttled(reply)),
            // A server of before 1995. It can neither protect nor authenticate.
            Severity::Permanent if self.needs_extensions() => {
                self.end(Parting::Quit, Ending::Operator(OperatorFault::Refused(Stage::Hello, reply)));
            }
            Severity::Permanent => {
                self.state = State::Helo;
                let line = format!("HELO {}\r\n", self.profile.hostname);
                self.send(now, self.profile.timeouts.command, line.into_bytes());
            }
        }
    }

    pub(super) fn on_helo_reply(&mut self, now: Instant, reply: Reply) {
        match reply.severity() {
            Severity::Positive => {
                self.extensions = Extensions::default();
                self.protect_or_log_in(now);
            }
            Severity::Intermediate => self.out_of_turn_at(Stage::Hello, reply),
            Severity::Transient => self.end(Parting::Quit, throttled(reply)),
            Severity::Permanent => {
                self.end(Parting::Quit, Ending::Operator(OperatorFault::Refused(Stage::Hello, reply)));
            }
        }
    }

    fn needs_extensions(&self) -> bool {
        self.profile.identity.is_some() || self.needs_starttls()
    }

    fn needs_starttls(&self) -> bool {
        self.profile.security == Security::StartTls && self.channel == Channel::Clear
    }

    fn protect_or_log_in(&mut self, now: Instant) {
        if !self.needs_starttls() {
            return self.log_in(now);
        }
        if !self.extensions.starttls {
            return self.end(Parting::Quit, Ending::Operator(OperatorFault::NoStartTls));
        }
        self.state = State::StartTls;
        self.send(now, self.profile.timeouts.command, b"STARTTLS\r\n".to_vec());
    }

    pub(super) fn on_starttls_reply(&mut self, now: Instant, reply: Reply) {
        match reply.severity() {
            Severity::Positive => {
                self.state = State::Handshake;
                self.wait(now, self.profile.timeouts.command);
                self.outputs.push_back(Output::StartTls);
            }
            Severity::Intermediate => self.out_of_turn_at(Stage::StartTls, reply),
            Severity::Transient => self.end(Parting::Quit, Ending::Unready(Stage::StartTls, reply)),
            Severity::Permanent => {
                self.end(Parting::Quit, Ending::Operator(OperatorFault::StartTlsRefused(reply)));
            }
        }
    }

    /// What the server said before TLS is forgotten (RFC 3207 §4.2).
    pub(super) fn on_tls_established(&mut self, now: Instant) {
        if matches!(self.state, State::Handshake) {
            self.channel = Channel::Tls;
            self.extensions = Extensions::default();
            self.parser = ReplyParser::new();
            self.hello(now);
        }
    }

    fn log_in(&mut self, now: Instant) {
        let Some(identity) = &self.profile.identity else { return self.idle() };
        match identity.begin(&self.extensions.auth, self.channel, self.profile.nonce.clone()) {
            Ok((mechanism, exchange)) => self.begin_auth(now, mechanism, exchange),
            Err(reason) => self.end(Parting::Quit, Ending::Operator(OperatorFault::NoMechanism(reason))),
        }
    }

    fn begin_auth(&mut self, now: Instant, mechanism: SaslMechanism, mut exchange: Exchange) {
        let mut line = Zeroizing::new(String::with_capacity(MAX_COMMAND));
        line.push_str("AUTH ");
        line.push_str(mechanism.as_str());
        // One that makes the line too long waits for its challenge (RFC 4954 §4).
        if let Some(response) = exchange.initial_response(MAX_INITIAL_RESPONSE) {
            line.push(' ');
            STANDARD.encode_string(&*response, &mut line);
        }
        line.push_str("\r\n");
        self.state = State::Auth { mechanism, exchange, cancelled: None };
        self.send_secret(now, line);
    }

    pub(super) fn on_auth_reply(
        &mut self,
        now: Instant,
        mechanism: SaslMechanism,
        mut exchange: Exchange,
        cancelled: Option<SaslFault>,
        reply: Reply,
    ) {
        if let Some(fault) = cancelled {
            let ending = Ending::Operator(OperatorFault::Mechanism(mechanism, fault));
            return self.end(Parting::Quit, ending);
        }
        match self.meaning(&reply) {
            Meaning::GoOn => {
                let (line, cancelled) = respond(&mut exchange, &reply);
                self.state = State::Auth { mechanism, exchange, cancelled };
                self.send_secret(now, line);
            }
            Meaning::Accepted => match exchange.handle_success() {
                Ok(()) => self.idle(),
                Err(fault) => {
                    let ending = Ending::Operator(OperatorFault::Mechanism(mechanism, fault));
                    self.end(Parting::Quit, ending);
                }
            },
            Meaning::Throttled => self.end(Parting::Quit, throttled(reply)),
            // Nothing is said about the password: its database does not answer, for example.
            Meaning::Delayed if reply.severity() == Severity::Transient => {
                self.end(Parting::Quit, Ending::Unready(Stage::Auth, reply));
            }
            Meaning::Delayed | Meaning::Failed | Meaning::NotPermitted | Meaning::SenderRefused => {
                self.end(Parting::Quit, Ending::Operator(refused(mechanism, exchange, reply)));
            }
        }
    }
}

/// A login that the server does not accept.
fn refused(mechanism: SaslMechanism, exchange: Exchange, reply: Reply) -> OperatorFault {
    match (mechanism, exchange) {
        (SaslMechanism::Bearer(mechanism), Exchange::Bearer(bearer)) => {
            OperatorFault::TokenRefused(mechanism, reply, bearer.into_error())
        }
        (mechanism, _) => OperatorFault::CredentialsRefused(mechanism, reply),
    }
}

/// The line that answers a challenge; `*` cancels (RFC 4954 §4).
fn respond(exchange: &mut Exchange, reply: &Reply) -> (Zeroizing<String>, Option<SaslFault>) {
    let challenge = reply.lines().first().map_or("", |line| line.trim());
    let challenge = STANDARD.decode(challenge).map_err(|_| SaslFault::Malformed("no base64"));
    let (response, fault) = match challenge.and_then(|challenge| exchange.handle_challenge(&challenge)) {
        Ok(response) => (response, None),
        Err(fault) => (Zeroizing::default(), Some(fault)),
    };
    // Room for all of it, so that no copy of a secret is left behind when the text grows.
    let room = response.len().div_ceil(3).saturating_mul(4).saturating_add("*\r\n".len());
    let mut line = Zeroizing::new(String::with_capacity(room));
    match fault {
        None => STANDARD.encode_string(&*response, &mut line),
        Some(_) => line.push('*'),
    }
    line.push_str("\r\n");
    (line, fault)
}

/// Octets of a command line without its line end (RFC 5321 §4.5.3.1.4).
const MAX_COMMAND: usize = 510;
/// Octets whose base64 fits a command line beside the longest name of a mechanism.
const MAX_INITIAL_RESPONSE: usize = (MAX_COMMAND - "AUTH SCRAM-SHA-256 ".len()) / 4 * 3;
