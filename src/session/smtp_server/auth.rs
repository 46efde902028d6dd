//! AUTH (RFC 4954): the lines that carry an exchange, and what its outcome is worth.

use super::questions::Question;
use super::reply::{self, Reply};
use super::{Asked, Behind, Hello, SmtpServer, State};
use crate::policy::account::CheckAnswer;
use crate::session::sasl::server::{Exchange, Outcome, Step};
use crate::wire::smtp::command::Auth;
use crate::wire::smtp::command_line::LineFault;
use crate::wire::smtp::tolerance::Tolerance;

impl SmtpServer {
    pub(super) fn on_auth(&mut self, auth: &Auth, behind: Behind) {
        let state = std::mem::replace(&mut self.state, State::Idle);
        if let Some(refusal) = self.objection_to_auth(&state) {
            return self.refuse_fault(refusal, state);
        }
        // It must wait for the reply (RFC 4954 §4): a challenge, or whether it may go on at all.
        if behind == Behind::Input {
            return self.refuse_early_talker();
        }
        let known = auth.mechanism.filter(|mechanism| self.profile.offers.mechanisms.contains(mechanism));
        let Some(mechanism) = known else {
            return self.refuse_fault(reply::UNKNOWN_MECHANISM, State::Idle);
        };
        if !self.is_fit_for_auth() {
            return self.refuse_fault(reply::NEEDS_TLS, State::Idle);
        }
        let initial_response = auth.initial_response.as_ref().map(|text| text.as_str());
        let nonce = self.profile.nonces.fresh();
        let next = Exchange::begin(mechanism, initial_response, nonce, &self.profile.hostname);
        self.on_step(next);
    }

    fn objection_to_auth(&self, state: &State) -> Option<Reply> {
        if self.hides("AUTH") || self.profile.offers.mechanisms.is_empty() {
            Some(reply::NOT_IMPLEMENTED)
        } else if !self.may_know_of_auth() {
            Some(reply::SAY_EHLO)
        } else if self.principal.is_some() {
            Some(reply::AUTH_ALREADY)
        } else if !matches!(state, State::Idle) {
            Some(reply::IN_TRANSACTION)
        } else {
            None
        }
    }

    /// Whether EHLO could have told the client of AUTH: an extension counts only behind it (RFC 5321 §2.2.1). Some devices
    /// say HELO and authenticate all the same.
    fn may_know_of_auth(&self) -> bool {
        match (&self.hello, self.profile.tolerance) {
            (Some(Hello::Esmtp(_)), _) | (Some(Hello::Smtp(_)), Tolerance::Device) => true,
            (Some(Hello::Smtp(_)), Tolerance::Strict) | (None, _) => false,
        }
    }

    /// A line came while a challenge is open.
    pub(super) fn on_response(&mut self, exchange: Exchange, line: &[u8]) {
        match std::str::from_utf8(line) {
            Ok(line) => self.on_step(exchange.respond(line)),
            Err(_) => self.refuse_fault(reply::BAD_BASE64, State::Idle),
        }
    }

    /// What came while a challenge is open is no line: the exchange is over.
    pub(super) fn on_bad_response(&mut self, fault: LineFault) {
        let refusal = match fault {
            LineFault::BareLineEnd => reply::BAD_BASE64,
            LineFault::TooLong | LineFault::Endless => reply::AUTH_LINE_TOO_LONG,
        };
        self.refuse_fault(refusal, State::Idle);
    }

    pub(super) fn on_check_answer(&mut self, exchange: Exchange, answer: CheckAnswer) {
        self.state = State::Idle;
        self.on_step(exchange.answer(answer));
    }

    fn on_step(&mut self, (exchange, step): (Exchange, Step)) {
        match step {
            Step::Challenge(text) => {
                self.accept(&Reply::lines(334, &[text]), State::Auth(Box::new(exchange)));
            }
            Step::Check(check) => {
                self.ask(Asked::Authenticate(Box::new(exchange)), Question::Authenticate(check));
            }
            Step::Done(Outcome::Proved(principal)) => {
                self.principal = Some(principal);
                self.accept(&reply::AUTHENTICATED, State::Idle);
            }
            Step::Done(Outcome::Refused) => self.refuse_auth(reply::AUTH_REFUSED),
            Step::Done(Outcome::Unavailable) => self.refuse_fault(reply::AUTH_UNAVAILABLE, State::Idle),
            Step::Done(Outcome::Cancelled) => self.refuse_fault(reply::AUTH_CANCELLED, State::Idle),
            Step::Done(Outcome::BadBase64) => self.refuse_fault(reply::BAD_BASE64, State::Idle),
            Step::Done(Outcome::TooLong) => self.refuse_fault(reply::AUTH_LINE_TOO_LONG, State::Idle),
        }
    }
}
