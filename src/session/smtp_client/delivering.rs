//! Transactions: MAIL, RCPT, DATA and the content.

use std::time::Instant;

use super::transaction::{Envelope, Step};
use super::verdict::{self, Meaning};
use super::{
    Ending, Fate, OperatorFault, Output, Parting, Sender, SmtpClient, Stage, State, Transaction, throttled,
};
use crate::wire::smtp::content::ContentEncoder;
use crate::wire::smtp::reply::Reply;
use crate::wire::smtp::status::EnhancedStatus;

impl SmtpClient {
    pub(super) fn on_begin(&mut self, now: Instant, transaction: Transaction) {
        if !matches!(self.state, State::Idle) {
            return;
        }
        // The rest of that reply would be taken for the answer to a command of ours.
        if self.parser.is_inside() {
            return self.end(Parting::Silent, Ending::Lost(Stage::Idle));
        }
        let configured = transaction.sender == Sender::Configured && transaction.sender_needs_smtputf8();
        if configured && !self.extensions.smtputf8 {
            return self.end(Parting::Quit, Ending::Operator(OperatorFault::SenderNeedsSmtpUtf8));
        }
        let mut envelope = Envelope::new(transaction, self.needs_rset.then_some(Step::Rset));
        let decided = envelope.plan(&self.extensions);
        self.done(decided);
        self.next_commands(now, envelope);
    }

    /// Sends what may be sent now; without anything to send or to wait for, the transaction is over.
    fn next_commands(&mut self, now: Instant, mut envelope: Envelope) {
        let flight = envelope.next_flight(&self.extensions);
        if envelope.is_answered() {
            return self.idle();
        }
        let timeouts = &self.profile.timeouts;
        let timeout = if envelope.awaits_data() { timeouts.data } else { timeouts.command };
        self.state = State::Envelope(envelope);
        if flight.is_empty() {
            self.wait(now, timeout);
        } else {
            self.send(now, timeout, flight);
        }
    }

    pub(super) fn on_envelope_reply(&mut self, now: Instant, mut envelope: Envelope, reply: Reply) {
        let Some(step) = envelope.take_awaited() else { return self.out_of_turn_at(Stage::Envelope, reply) };
        let meaning = self.meaning(&reply);
        let parting = if envelope.is_answered() { Parting::Quit } else { Parting::Silent };
        if let Some(ending) = concerns_all(meaning, envelope.sender(), &reply) {
            if depends_on_message(step, envelope.sender()) {
                let fate = verdict::fate(Meaning::Delayed, &reply);
                self.suspect(&envelope.suspects(Some(step)), &fate);
            }
            return self.end(parting, ending);
        }
        match (step, meaning) {
            (Step::Data, Meaning::GoOn) => return self.on_go_on(now, envelope),
            (_, Meaning::GoOn) | (Step::Data, Meaning::Accepted) => {
                let text = format!("the next hop answered oddly: {reply}");
                let fate = Fate::Delayed { status: EnhancedStatus::new(4, 5, 0), text, retry_after: None };
                self.suspect(&envelope.suspects(Some(step)), &fate);
                return self.out_of_turn_at(Stage::Envelope, reply);
            }
            (Step::Rset, Meaning::Accepted) => self.needs_rset = false,
            (Step::Mail, Meaning::Accepted) => self.needs_rset = true,
            (Step::Rcpt(index), Meaning::Accepted) => envelope.accept(index),
            (Step::Rset, _) => return self.out_of_turn_at(Stage::Envelope, reply),
            (Step::Mail, Meaning::Failed)
                if envelope.sender() == Sender::Configured && verdict::blames_sender(&reply) =>
            {
                return self.end(parting, Ending::Operator(OperatorFault::SenderRefused(reply)));
            }
            (Step::Mail | Step::Data, refusal) => {
                let decided = envelope.decide_all(&verdict::fate(refusal, &reply));
                self.done(decided);
            }
            (Step::Rcpt(index), refusal) => {
                let decided = envelope.decide(index, verdict::fate(refusal, &reply));
                self.done(decided);
            }
        }
        self.next_commands(now, envelope);
    }

    /// 354. With nobody to send to, the end of data must follow all the same (RFC 2920 §3.1).
    fn on_go_on(&mut self, now: Instant, envelope: Envelope) {
        if envelope.has_accepted() {
            self.committed = true;
            self.state = State::Content { envelope, encoder: ContentEncoder::new() };
            self.wait(now, self.profile.timeouts.block);
            self.outputs.push_back(Output::NeedContent);
        } else {
            self.state = State::NobodysData;
            self.needs_rset = false;
            self.send(now, self.profile.timeouts.end_of_data, b".\r\n".to_vec());
        }
    }

    pub(super) fn on_content(&mut self, now: Instant, chunk: &[u8]) {
        if self.is_interrupted() {
            return self.wait(now, self.profile.timeouts.block);
        }
        if let State::Content { encoder, .. } = &mut self.state {
            let mut out = Vec::new();
            encoder.encode(chunk, &mut out);
            self.send(now, self.profile.timeouts.block, out);
            self.outputs.push_back(Output::NeedContent);
        }
    }

    pub(super) fn on_content_end(&mut self, now: Instant) {
        if !matches!(self.state, State::Content { .. }) {
            return;
        }
        if self.is_interrupted() {
            return self.wait(now, self.profile.timeouts.block);
        }
        if let State::Content { envelope, encoder } = std::mem::replace(&mut self.state, State::Closed) {
            let mut out = Vec::new();
            encoder.finish(&mut out);
            self.state = State::EndOfData(envelope);
            self.send(now, self.profile.timeouts.end_of_data, out);
        }
    }

    /// A reply began amid the content. Its rest decides; were the end of data sent now, it would look like the answer.
    const fn is_interrupted(&self) -> bool {
        matches!(self.state, State::Content { .. }) && self.parser.is_inside()
    }

    /// Half a message must not look like a whole one: the connection ends without the end of data.
    pub(super) fn on_content_failed(&mut self) {
        if let State::Content { envelope, .. } = &self.state {
            let accepted = envelope.accepted();
            let text = "the content could not be read from the spool";
            self.delay_each(&accepted, EnhancedStatus::new(4, 3, 0), text);
            self.end(Parting::Silent, Ending::ContentUnreadable);
        }
    }

    /// The server does not wait for the end: what follows cannot be told from content any more.
    pub(super) fn on_reply_amid_content(&mut self, envelope: &Envelope, reply: Reply) {
        let meaning = self.meaning(&reply);
        if let Some(ending) = concerns_all(meaning, envelope.sender(), &reply) {
            self.decide_each(&envelope.accepted(), Meaning::Delayed, &reply);
            return self.end(Parting::Silent, ending);
        }
        match meaning {
            Meaning::Accepted | Meaning::GoOn => {
                let text = format!("the next hop answered before the end of the content: {reply}");
                self.delay_each(&envelope.accepted(), EnhancedStatus::new(4, 5, 0), &text);
                self.out_of_turn_at(Stage::Content, reply);
            }
            refusal @ (Meaning::Delayed
            | Meaning::Failed
            | Meaning::Throttled
            | Meaning::NotPermitted
            | Meaning::SenderRefused) => {
                self.decide_each(&envelope.accepted(), refusal, &reply);
                self.end(Parting::Silent, Ending::ContentRefused);
            }
        }
    }

    pub(super) fn on_end_of_data_reply(&mut self, envelope: &Envelope, reply: Reply) {
        self.needs_rset = false;
        let meaning = self.meaning(&reply);
        if let Some(ending) = concerns_all(meaning, envelope.sender(), &reply) {
            self.decide_each(&envelope.accepted(), Meaning::Delayed, &reply);
            return self.end(Parting::Quit, ending);
        }
        match meaning {
            Meaning::GoOn => {
                let text = format!("the next hop answered the end of data oddly: {reply}");
                self.delay_each(&envelope.accepted(), EnhancedStatus::new(4, 5, 0), &text);
                self.out_of_turn_at(Stage::EndOfData, reply);
            }
            answer @ (Meaning::Accepted
            | Meaning::Delayed
            | Meaning::Failed
            | Meaning::Throttled
            | Meaning::NotPermitted
            | Meaning::SenderRefused) => {
                self.decide_each(&envelope.accepted(), answer, &reply);
                self.idle();
            }
        }
    }
}

/// Whether the reply to `step` can hang on the message. MAIL of the configured sender is the same for all of them.
fn depends_on_message(step: Step, sender: Sender) -> bool {
    match step {
        Step::Rset => false,
        Step::Mail => sender == Sender::OfMessage,
        Step::Rcpt(_) | Step::Data => true,
    }
}

/// The end of the session, where a reply speaks of the account or the next hop and not of this message.
fn concerns_all(meaning: Meaning, sender: Sender, reply: &Reply) -> Option<Ending> {
    match (meaning, sender) {
        (Meaning::Throttled, _) => Some(throttled(reply.clone())),
        (Meaning::NotPermitted, _) => Some(Ending::Operator(OperatorFault::NotPermitted(reply.clone()))),
        (Meaning::SenderRefused, Sender::Configured) => {
            Some(Ending::Operator(OperatorFault::SenderRefused(reply.clone())))
        }
        (Meaning::SenderRefused, Sender::OfMessage)
        | (Meaning::Accepted | Meaning::GoOn | Meaning::Delayed | Meaning::Failed, _) => None,
    }
}
