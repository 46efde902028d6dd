//! What is said no to, and how long that is held back (the tar pit), and how a session ends.

use std::time::Instant;

use super::questions::{Hold, Offence, Question};
use super::reply::{self, Reply};
use super::{Abandonment, Asked, Ending, Output, SmtpServer, Standing, State};
use crate::wire::smtp::command_line::LineReader;

/// A reply that is held, or whose time is being asked.
#[derive(Debug)]
pub(super) struct Withheld {
    reply: Reply,
    after: After,
    /// When it is said; `None` while that is being asked.
    pub(super) until: Option<Instant>,
}

/// What comes behind a reply.
#[derive(Debug)]
pub(super) enum After {
    /// The session goes on so.
    Go(State),
    /// It ends so.
    Close(Ending),
}

impl SmtpServer {
    /// Whether its 5yz replies are held, and its RCPTs wait their turn.
    pub(super) const fn is_subject(&self) -> bool {
        matches!(self.profile.tarpit, Standing::Subject) && self.principal.is_none()
    }

    pub(super) fn say(&mut self, reply: &Reply) {
        self.outputs.push_back(Output::Reply { code: reply.code(), octets: reply.octets() });
    }

    pub(super) fn ask(&mut self, asked: Asked, question: Question) {
        self.state = State::Asking(asked);
        self.outputs.push_back(Output::Ask(question));
    }

    /// Says yes, and goes on.
    pub(super) fn accept(&mut self, reply: &Reply, next: State) {
        self.say(reply);
        self.go(After::Go(next));
    }

    /// Says yes to a command that does nothing for a message, and counts it.
    pub(super) fn accept_idle(&mut self, reply: &Reply, next: State) {
        let after = self.count_idle(next);
        self.say(reply);
        self.go(after);
    }

    /// Says no to what is no fault of the protocol.
    pub(super) fn refuse(&mut self, reply: Reply, after: After) {
        if reply.is_refusal() && self.is_subject() {
            self.withhold(reply, after, Offence::Refusal);
        } else {
            self.say(&reply);
            self.go(after);
        }
    }

    /// Says no to a fault of the protocol, and counts it.
    pub(super) fn refuse_fault(&mut self, reply: Reply, next: State) {
        let after = self.count_fault(next);
        self.refuse(reply, after);
    }

    /// Says no to a recipient, or not now to a sender, and counts it among what does nothing for a message: many in one
    /// transaction are no fault, hundreds are.
    pub(super) fn refuse_idle(&mut self, reply: Reply, next: State) {
        let after = self.count_idle(next);
        self.refuse(reply, after);
    }

    /// Says that no more fits now. A client may well have hundreds of recipients too many and must not lose the others,
    /// but it may not go on for ever.
    pub(super) fn refuse_overshoot(&mut self, reply: Reply, next: State) {
        self.overshoot = self.overshoot.saturating_add(1);
        let after = if self.overshoot < MAX_OVERSHOOT { After::Go(next) } else { self.close_after(next) };
        self.refuse(reply, after);
    }

    /// Says no to a failed AUTH, which is held whoever it is.
    pub(super) fn refuse_auth(&mut self, reply: Reply) {
        let after = self.count_fault(State::Idle);
        self.withhold(reply, after, Offence::FailedAuth);
    }

    /// The client did not wait for a reply that it had to wait for: what it meant is not known.
    pub(super) fn refuse_early_talker(&mut self) {
        self.abandon();
        self.refuse(reply::EARLY_TALKER, After::Close(Ending::EarlyTalker));
    }

    fn withhold(&mut self, reply: Reply, after: After, offence: Offence) {
        let withheld = Withheld { reply, after, until: None };
        if self.stopping {
            // A delay is not worth waiting for; what it would tell is not told.
            self.state = State::Held(Box::new(withheld));
            return self.end(Ending::Shutdown);
        }
        self.ask(Asked::Hold(Box::new(withheld)), Question::Hold(offence));
    }

    pub(super) fn on_hold(&mut self, now: Instant, mut withheld: Box<Withheld>, hold: Hold) {
        match hold {
            Hold::For(delay) if delay.is_zero() => self.release(*withheld),
            Hold::For(delay) => {
                withheld.until = Some(now.checked_add(delay).unwrap_or(now));
                self.state = State::Held(withheld);
            }
            Hold::Full => {
                self.state = State::Held(withheld);
                self.end(Ending::TarpitFull);
            }
        }
    }

    /// The time of a held reply has come.
    pub(super) fn release(&mut self, withheld: Withheld) {
        self.say(&withheld.reply);
        self.go(withheld.after);
    }

    fn go(&mut self, after: After) {
        match after {
            After::Go(State::Idle | State::Auth(_)) if self.stopping => {
                self.state = State::Idle;
                self.end(Ending::Shutdown);
            }
            After::Go(state) => self.state = state,
            After::Close(ending) => {
                self.state = State::Idle;
                self.end(ending);
            }
        }
    }

    fn count_fault(&mut self, next: State) -> After {
        self.faults = self.faults.saturating_add(1);
        if self.faults < MAX_FAULTS { After::Go(next) } else { self.close_after(next) }
    }

    fn count_idle(&mut self, next: State) -> After {
        self.idle_commands = self.idle_commands.saturating_add(1);
        if self.idle_commands < MAX_IDLE { After::Go(next) } else { self.close_after(next) }
    }

    /// One command too many came in this state.
    fn close_after(&mut self, state: State) -> After {
        self.state = state;
        self.abandon();
        After::Close(Ending::TooManyErrors)
    }

    /// The open transaction, if there is one, is over without a message.
    pub(super) fn abandon(&mut self) {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Content(receiving) | State::Chunks(receiving) if !receiving.is_refused() => {
                self.outputs.push_back(Output::AbandonContent(Abandonment::Incomplete));
            }
            State::Asking(Asked::Hold(withheld)) | State::Held(withheld) => {
                if let After::Go(state) = withheld.after {
                    self.state = state;
                    self.abandon();
                }
            }
            State::Asking(Asked::Behind(state)) => {
                self.state = *state;
                self.abandon();
            }
            State::Greeting
            | State::Idle
            | State::Transaction(_)
            | State::Content(_)
            | State::Chunks(_)
            | State::Discarding { .. }
            | State::Auth(_)
            | State::Handshake
            | State::Asking(_)
            | State::Closed => {}
        }
    }

    /// Ends the session, with the last words that this ending has.
    pub(super) fn end(&mut self, ending: Ending) {
        let speaks = !matches!(self.state, State::Handshake);
        self.abandon();
        let farewell = match ending {
            Ending::TimedOut => Some(reply::TIMED_OUT),
            Ending::TooManyErrors => Some(reply::TOO_MANY_ERRORS),
            Ending::OutOfStep => Some(reply::OUT_OF_STEP),
            Ending::InDebt => Some(reply::IN_DEBT),
            Ending::TarpitFull => Some(reply::TARPIT_FULL),
            Ending::Revoked => Some(reply::ACCOUNT_CHANGED),
            Ending::Shutdown => Some(reply::SHUTTING_DOWN),
            Ending::Quit
            | Ending::Disconnected
            | Ending::Abandoned
            | Ending::GaveUpWaiting
            | Ending::EarlyTalker => None,
        };
        if let (Some(farewell), true) = (farewell, speaks) {
            self.say(&farewell);
        }
        self.state = State::Closed;
        self.pending = Vec::new();
        self.line = LineReader::new();
        self.outputs.push_back(Output::Closed(ending));
    }
}

/// Faults of the protocol, failed AUTH included, that a session may make.
const MAX_FAULTS: u16 = 20;
/// Commands that do nothing for a message, and recipients refused, put off or repeated, between two messages.
const MAX_IDLE: u16 = 100;
/// Commands that found no room, for a recipient or in the spool, between two messages: ten times what Postfix bears
/// (`smtpd_recipient_overshoot_limit`), since a client with a list of thousands would come again with the same list.
const MAX_OVERSHOOT: u16 = 10_000;
