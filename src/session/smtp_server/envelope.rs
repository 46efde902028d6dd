//! MAIL and RCPT: who may open a transaction, and for whom.

use super::questions::{Admission, Existence, Question, Submission, Turn};
use super::reply::{self, Reply};
use super::{Asked, Denial, Ending, Output, SmtpServer, State};
use crate::policy::relay::{Facts, RelayVerdict, SenderRefusal, SenderVerdict, decide_relay, decide_sender};
use crate::wire::smtp::command::{Mail, Rcpt};
use crate::wire::smtp::path::ForwardPath;
use crate::wire::smtp::status::EnhancedStatus;

/// A RCPT that is not decided yet, and the transaction that it belongs to.
#[derive(Debug)]
pub(super) struct Candidate {
    submission: Box<Submission>,
    rcpt: Rcpt,
}

impl SmtpServer {
    pub(super) fn on_mail(&mut self, mail: Mail) {
        let state = std::mem::replace(&mut self.state, State::Idle);
        if !matches!(state, State::Idle) {
            return self.refuse_fault(reply::IN_TRANSACTION, state);
        }
        if let Some(refusal) = self.objection_to(&mail) {
            return self.refuse_fault(refusal, State::Idle);
        }
        let submission = Submission {
            reverse_path: mail.reverse_path,
            recipients: Vec::new(),
            ret: mail.ret,
            envid: mail.envid,
            smtputf8: mail.smtputf8,
        };
        self.ask(Asked::Admit(Box::new(submission)), Question::Admit);
    }

    fn objection_to(&mut self, mail: &Mail) -> Option<Reply> {
        self.fault_of(mail).or_else(|| {
            let SenderVerdict::Refused(refusal) = decide_sender(self.facts(), &mail.reverse_path) else {
                return None;
            };
            let (path, text) = (mail.reverse_path.to_string(), refusal.to_string());
            let reply = match refusal {
                SenderRefusal::AuthenticationRequired => Reply::new(refusal.code(), refusal.status(), &text),
                SenderRefusal::NotOfAccount | SenderRefusal::NotOfNetwork { .. } => {
                    Reply::about(refusal.code(), refusal.status(), &path, &text)
                }
            };
            self.deny(Denial::Sender(refusal), path);
            Some(reply)
        })
    }

    fn fault_of(&self, mail: &Mail) -> Option<Reply> {
        if self.hello.is_none() {
            return Some(reply::SAY_HELLO);
        }
        let parameters = [
            ("SIZE", mail.size.is_some()),
            ("8BITMIME", mail.body.is_some()),
            ("SMTPUTF8", mail.smtputf8),
            ("DSN", mail.ret.is_some() || mail.envid.is_some()),
        ];
        if parameters.iter().any(|(keyword, given)| *given && self.hides(keyword)) {
            return Some(reply::UNSUPPORTED_PARAMETER);
        }
        if mail.reverse_path.needs_smtputf8() && !mail.smtputf8 {
            return Some(reply::NEEDS_SMTPUTF8);
        }
        let limit = self.limits().message_size;
        let is_too_large = limit.zip(mail.size).is_some_and(|(limit, size)| size > limit);
        is_too_large.then_some(reply::TOO_LARGE)
    }

    fn deny(&mut self, denial: Denial, path: String) {
        self.outputs.push_back(Output::Denied { denial, path });
    }

    /// What the relay policy is told of this client.
    fn facts(&self) -> Facts<'_> {
        Facts {
            listener: &self.profile.listener,
            client: self.profile.client,
            principal: self.principal.as_ref(),
        }
    }

    pub(super) fn on_admission(&mut self, submission: Box<Submission>, admission: Admission) {
        self.state = State::Idle;
        match admission {
            // The transaction has not begun: the client brings it elsewhere, or later.
            Admission::Granted if self.stopping => self.end(Ending::Shutdown),
            Admission::Granted => self.accept(&reply::SENDER_OK, State::Transaction(submission)),
            Admission::OverRate => self.refuse_idle(reply::OVER_RATE, State::Idle),
            Admission::SpoolFull => self.refuse_overshoot(reply::SPOOL_FULL, State::Idle),
            Admission::InDebt => self.end(Ending::InDebt),
            Admission::Revoked => self.end(Ending::Revoked),
        }
    }

    /// Nothing is decided or looked up before the turn of a client that is subject to the tar pit has come, not even
    /// what would be a yes: how long a silence lasts must not tell either.
    pub(super) fn on_rcpt(&mut self, rcpt: Rcpt) {
        let state = std::mem::replace(&mut self.state, State::Idle);
        let State::Transaction(submission) = state else {
            let is_open = matches!(state, State::Chunks(_));
            let refusal = if is_open { reply::IN_TRANSACTION } else { reply::NEED_MAIL };
            return self.refuse_fault(refusal, state);
        };
        let has_dsn = rcpt.dsn.notify.is_some() || rcpt.dsn.orcpt.is_some();
        if has_dsn && self.hides("DSN") {
            self.refuse_fault(reply::UNSUPPORTED_PARAMETER, State::Transaction(submission));
        } else if rcpt.forward_path.needs_smtputf8() && !submission.smtputf8 {
            self.refuse_fault(reply::NEEDS_SMTPUTF8, State::Transaction(submission));
        } else if submission.recipients.len() >= self.limits().recipients
            || self.has_no_room_for(&submission, &rcpt)
        {
            // Who has more than fit sends to those that did, and to the others later (RFC 5321 §4.5.3.1.10).
            self.refuse_overshoot(reply::TOO_MANY_RECIPIENTS, State::Transaction(submission));
        } else if self.is_subject() {
            let candidate = Candidate { submission, rcpt };
            self.ask(Asked::Turn(Box::new(candidate)), Question::Turn);
        } else {
            self.decide(Box::new(Candidate { submission, rcpt }));
        }
    }

    fn has_no_room_for(&self, submission: &Submission, Rcpt { forward_path, dsn }: &Rcpt) -> bool {
        let recipients = self.limits().recipients;
        self.principal.is_none() && !self.share.has_room(submission, (forward_path, dsn), recipients)
    }

    pub(super) fn on_turn(&mut self, candidate: Box<Candidate>, turn: Turn) {
        self.state = State::Idle;
        match turn {
            Turn::Come => self.decide(candidate),
            Turn::LineTooLong => self.end(Ending::InDebt),
            Turn::Full => self.end(Ending::TarpitFull),
        }
    }

    fn decide(&mut self, candidate: Box<Candidate>) {
        let path = &candidate.rcpt.forward_path;
        let verdict = decide_relay(&self.profile.relay, self.facts(), path);
        if let RelayVerdict::Denied(refusal) = verdict {
            let path = path.to_string();
            let reply = Reply::about(refusal.code(), refusal.status(), &path, &refusal.to_string());
            self.deny(Denial::Relay(refusal), path);
            return self.refuse_idle(reply, State::Transaction(candidate.submission));
        }
        // Who is listed by mistake must be able to say so (RFC 5321 §4.5.1).
        if let (Some(text), None, false) =
            (&self.profile.listed, &self.principal, self.profile.relay.is_postmaster(path))
        {
            let refusal = Reply::new(550, EnhancedStatus::new(5, 7, 1), text);
            let path = path.to_string();
            self.deny(Denial::Listed, path);
            return self.refuse_idle(refusal, State::Transaction(candidate.submission));
        }
        match (verdict, path) {
            (RelayVerdict::AcceptedDomain, ForwardPath::Mailbox(mailbox)) => {
                let mailbox = mailbox.clone();
                self.ask(Asked::Recipient(candidate), Question::Recipient(mailbox));
            }
            (
                RelayVerdict::AcceptedDomain
                | RelayVerdict::Postmaster
                | RelayVerdict::Authenticated
                | RelayVerdict::TrustedNetwork { .. }
                | RelayVerdict::Denied(_),
                _,
            ) => self.accept_recipient(*candidate),
        }
    }

    pub(super) fn on_existence(&mut self, candidate: Candidate, existence: Existence) {
        self.state = State::Idle;
        match existence {
            Existence::Known => self.accept_recipient(candidate),
            Existence::Unknown => {
                let path = candidate.rcpt.forward_path.to_string();
                let refusal = Reply::about(550, EnhancedStatus::new(5, 1, 1), &path, "Recipient unknown");
                self.deny(Denial::UnknownRecipient, path);
                self.refuse_idle(refusal, State::Transaction(candidate.submission));
            }
            Existence::Unavailable => {
                let path = candidate.rcpt.forward_path.to_string();
                let status = EnhancedStatus::new(4, 3, 0);
                let refusal = Reply::about(451, status, &path, "Recipient cannot be looked up now");
                self.refuse_idle(refusal, State::Transaction(candidate.submission));
                self.pass_turn();
            }
        }
    }

    fn accept_recipient(&mut self, candidate: Candidate) {
        let Candidate { mut submission, rcpt } = candidate;
        // Named twice, in whatever spelling, it gets the message once.
        let relay = &self.profile.relay;
        if submission.recipients.iter().any(|(known, _)| relay.is_one(known, &rcpt.forward_path)) {
            self.accept_idle(&reply::RECIPIENT_OK, State::Transaction(submission));
        } else {
            submission.recipients.push((rcpt.forward_path, rcpt.dsn));
            if self.principal.is_none() {
                self.share.keep(&submission);
            }
            self.accept(&reply::RECIPIENT_OK, State::Transaction(submission));
        }
        self.pass_turn();
    }

    /// A session that is over has given its turn up.
    fn pass_turn(&mut self) {
        if self.is_subject() && !matches!(self.state, State::Closed) {
            self.outputs.push_back(Output::TurnOver);
        }
    }
}
