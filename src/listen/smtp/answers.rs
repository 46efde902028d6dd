//! Answers to what a session cannot decide by itself, and what it does with content and TLS.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use super::content::Incoming;
use super::session::{Session, Stop};
use super::stream::Stream;
use super::tarpit::{Entry, Held, Proof, TurnCome, Waiting};
use crate::directory::Asker;
use crate::message::mail::Class;
use crate::policy::account::{Check, CheckAnswer, Principal};
use crate::session::smtp_server::{
    Admission, Answer, ContentFacts, Ending, Existence, Hold, Input, Offence, Question, Stored, Submission,
    Turn,
};
use crate::telemetry::metrics::smtp::MessageOutcome;
use crate::wire::smtp::path::Mailbox;

impl Session {
    /// Answers a question of the machine's. What may take long is in a box, so that a session that waits stays small.
    pub(super) async fn ask(&mut self, question: Question) {
        let answer = match question {
            Question::Admit => Answer::Admit(Box::pin(self.admit()).await),
            Question::Hold(offence) => Answer::Hold(self.hold(offence)),
            Question::Turn => match self.listener.shared.tarpit.join(self.client.network()) {
                Entry::Come(seat) => {
                    self.turn = Some(seat);
                    Answer::Turn(Turn::Come)
                }
                Entry::Wait(waiting) => return self.wait_for_turn(waiting).await,
                Entry::LineTooLong => Answer::Turn(Turn::LineTooLong),
                Entry::Full => Answer::Turn(Turn::Full),
            },
            Question::Recipient(recipient) => Answer::Recipient(Box::pin(self.look_up(recipient)).await),
            Question::Behind => Answer::Behind(self.stream.behind()),
            Question::Authenticate(check) => Answer::Authenticate(Box::pin(self.authenticate(check)).await),
            Question::Store(submission) => Answer::Store(Box::pin(self.store(*submission)).await),
        };
        self.input(Input::Answer(answer));
    }

    async fn admit(&self) -> Admission {
        let shared = &self.listener.shared;
        let network = self.client.network();
        if self.is_subject() && shared.tarpit.turns_mail_away(network) {
            return Admission::InDebt;
        }
        if let Some(principal) = self.machine.principal()
            && !shared.still_grants(principal).await
        {
            tracing::info!(
                listener = %self.client.listener(),
                client = %self.client.address(),
                account = principal.name(),
                session = self.name(),
                "A session ends: its account or its password was changed, disabled or removed since the client authenticated."
            );
            return Admission::Revoked;
        }
        if shared.spool.accepting(Class::Mail).is_err() {
            return Admission::SpoolFull;
        }
        shared.admit_message(&self.client, self.machine.principal())
    }

    fn hold(&mut self, offence: Offence) -> Hold {
        let tarpit = &self.listener.shared.tarpit;
        let network = self.client.network();
        let held = match offence {
            Offence::Refusal => tarpit.refuse(self.turn.take(), network),
            Offence::FailedAuth => tarpit.fail_auth(network),
        };
        match held {
            Held::Not => Hold::For(Duration::ZERO),
            Held::For(seat, duration) => {
                self.held = Some(seat);
                Hold::For(duration)
            }
            Held::Full => Hold::Full,
        }
    }

    /// Waits in the line of its network. A client that goes, or a gateway that stops, ends the wait.
    async fn wait_for_turn(&mut self, waiting: Waiting) {
        if self.flush().await.is_break() {
            return self.input(Input::Disconnected);
        }
        let Self { stream, stop, .. } = self;
        let over = tokio::select! {
            biased;
            () = stop.requested() => None,
            over = waiting.over() => Some(over),
            () = stream.hung_up() => return self.input(Input::Disconnected),
        };
        let turn = match over {
            Some(TurnCome::Come(seat)) => {
                self.turn = Some(seat);
                Turn::Come
            }
            Some(TurnCome::LineTooLong) => Turn::LineTooLong,
            None => {
                self.stop = Stop::Told;
                return self.input(Input::Shutdown);
            }
        };
        self.input(Input::Answer(Answer::Turn(turn)));
    }

    async fn look_up(&mut self, recipient: Mailbox) -> Existence {
        self.flush_ahead().await;
        let own = self.client.is_trusted() || self.machine.principal().is_some();
        let asker = if own { Asker::OwnUser } else { Asker::Stranger };
        self.listener.shared.directory.look_up(&recipient, asker).await
    }

    async fn authenticate(&mut self, check: Check) -> CheckAnswer {
        self.flush_ahead().await;
        let shared = &self.listener.shared;
        let mechanism = check.mechanism();
        let answer = shared.authenticate(check, &self.client).await;
        if matches!(answer, CheckAnswer::Proved(_) | CheckAnswer::ProvedWithSignature(..)) {
            shared.tarpit.proved_good(self.client.network(), Proof::Authentication);
            self.mechanism = Some(mechanism);
        }
        answer
    }

    pub(super) fn begin_content(&mut self, facts: ContentFacts) {
        self.transactions = self.transactions.saturating_add(1);
        let name = format!("{}.{}", self.name(), self.transactions);
        self.incoming = Some(Incoming::begin(&self.listener.shared, &self.client, facts, name));
    }

    async fn store(&mut self, submission: Submission) -> Stored {
        let Some(incoming) = self.incoming.take() else { return Stored::Failed };
        let shared = &self.listener.shared;
        let (stored, told) = incoming.store(shared, &self.client, submission).await;
        let outcome = outcome_of(stored);
        self.listener.metrics.message(outcome);
        match stored {
            Stored::Accepted(id) => {
                if self.is_subject() {
                    shared.tarpit.proved_good(self.client.network(), Proof::Message);
                }
                tracing::info!(
                    %id,
                    listener = %self.client.listener(),
                    client = %self.client.address(),
                    account = self.machine.principal().map(Principal::name),
                    from = %told.reverse_path.to_string().escape_debug(),
                    octets = told.octets,
                    recipients = told.recipients,
                    session = self.name(),
                    "Mail accepted."
                );
            }
            Stored::Full | Stored::Failed | Stored::Loop | Stored::HeaderTooLong => tracing::warn!(
                listener = %self.client.listener(),
                client = %self.client.address(),
                outcome = outcome.as_str(),
                from = %told.reverse_path.to_string().escape_debug(),
                octets = told.octets,
                session = self.name(),
                "Mail was not accepted; its client was told why."
            ),
        }
        self.note_message(stored, &told);
        stored
    }

    /// Puts the connection under TLS. A handshake that fails ends the session: what the client would say next is not TLS.
    pub(super) async fn start_tls(&mut self) -> ControlFlow<Ending> {
        if self.flush().await.is_break() {
            self.input(Input::Disconnected);
            return ControlFlow::Continue(());
        }
        let listener = Arc::clone(&self.listener);
        let (Some(acceptor), Some(stream)) = (&listener.tls, self.stream.take_plain()) else {
            // It was not offered, so the machine does not ask for it.
            self.input(Input::Disconnected);
            return ControlFlow::Continue(());
        };
        let secured = tokio::select! {
            biased;
            () = self.stop.requested() => None,
            secured = listener.secure(acceptor, stream, &self.client) => secured,
        };
        match secured {
            Some((secured, session)) => {
                self.stream = Stream::Secured(secured);
                self.input(Input::TlsEstablished(session));
            }
            None => self.input(Input::Disconnected),
        }
        ControlFlow::Continue(())
    }
}

const fn outcome_of(stored: Stored) -> MessageOutcome {
    match stored {
        Stored::Accepted(_) => MessageOutcome::Accepted,
        Stored::Full => MessageOutcome::SpoolFull,
        Stored::Failed => MessageOutcome::SpoolFailed,
        Stored::Loop => MessageOutcome::Loop,
        Stored::HeaderTooLong => MessageOutcome::HeaderTooLong,
    }
}
