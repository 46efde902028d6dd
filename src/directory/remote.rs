//! A source on another host: its answers are remembered, and those who ask at once share a question.
#![expect(clippy::disallowed_methods, reason = "how long answers hold is measured here")]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::SourceKind;
use super::address::Address;
use super::call_forward::{CallForward, Filtering};
#[cfg(feature = "ldap")]
use super::ldap::Ldap;
use super::memory::Memory;
use crate::net::question::OpenQuestions;
use crate::session::smtp_server::Existence;
use crate::telemetry::metrics::Metrics;
use crate::wire::smtp::path::Mailbox;

/// One source on another host.
#[derive(Debug)]
pub(super) struct Remote {
    server: Server,
    memory: Mutex<Memory>,
    questions: OpenQuestions<Arc<str>, Existence>,
    metrics: Arc<Metrics>,
}

/// How it is asked.
#[derive(Debug)]
pub(super) enum Server {
    /// An LDAP directory.
    #[cfg(feature = "ldap")]
    Ldap(Box<Ldap>),
    /// The next hop.
    CallForward(Arc<CallForward>),
}

/// An address in the two forms in which sources want it.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) mailbox: Mailbox,
    pub(super) address: Address,
}

impl Question {
    pub(super) fn about(mailbox: &Mailbox) -> Self {
        Self { mailbox: mailbox.clone(), address: Address::of(mailbox) }
    }
}

impl Remote {
    pub(super) fn new(server: Server, metrics: Arc<Metrics>) -> Self {
        Self {
            server,
            memory: Mutex::new(Memory::new()),
            questions: OpenQuestions::new(MAX_QUESTIONS),
            metrics,
        }
    }

    pub(super) const fn kind(&self) -> SourceKind {
        match self.server {
            #[cfg(feature = "ldap")]
            Server::Ldap(_) => SourceKind::Ldap,
            Server::CallForward(_) => SourceKind::CallForward,
        }
    }

    /// What it answered lately.
    pub(super) fn recall(&self, question: &Question) -> Option<Existence> {
        self.memory().recall(&self.key(question), Instant::now())
    }

    /// How many answers are remembered.
    pub(super) fn remembered(&self) -> usize {
        self.memory().len()
    }

    /// What it answers now. The answer is remembered before anybody hears it. With too many questions under way it is
    /// "not available": who floods us with names learns nothing, and whom the flood keeps from an answer tries again.
    pub(super) async fn ask(self: Arc<Self>, question: Question) -> Existence {
        let key = self.key(&question);
        let source = Arc::clone(&self);
        let remembered = Arc::clone(&key);
        let answer = self.questions.ask(key, async move {
            let existence = source.answer(&question).await;
            source.metrics.directory_lookup(source.kind(), existence.into());
            source.memory().note(remembered, existence, Instant::now());
            existence
        });
        answer.await.unwrap_or(Existence::Unavailable)
    }

    /// Whether it tells recipients of this domain apart, where that can be found out by asking.
    pub(super) async fn examine(&self, domain: &str) -> Option<Filtering> {
        match &self.server {
            #[cfg(feature = "ldap")]
            Server::Ldap(ldap) => Filtering::told_by(ldap.look_up(&Address::of(&nobody_at(domain)?)).await),
            Server::CallForward(next_hop) => next_hop.examine(domain).await,
        }
    }

    /// What is wrong with it now.
    pub(super) fn fault(&self) -> Option<String> {
        match &self.server {
            #[cfg(feature = "ldap")]
            Server::Ldap(ldap) => ldap.fault(),
            Server::CallForward(next_hop) => next_hop.fault(),
        }
    }

    /// Takes leave of it.
    pub(super) async fn close(&self) {
        match &self.server {
            #[cfg(feature = "ldap")]
            Server::Ldap(ldap) => ldap.close().await,
            Server::CallForward(next_hop) => next_hop.close().await,
        }
    }

    async fn answer(&self, question: &Question) -> Existence {
        match &self.server {
            #[cfg(feature = "ldap")]
            Server::Ldap(ldap) => ldap.look_up(&question.address).await,
            Server::CallForward(next_hop) => next_hop.look_up(&question.mailbox).await,
        }
    }

    /// LDAP compares mail addresses without regard to case. A next hop is asked for the address as it was written, and
    /// might tell `Ops` from `ops`: its answer holds for that spelling of the local part only.
    fn key(&self, question: &Question) -> Arc<str> {
        match &self.server {
            #[cfg(feature = "ldap")]
            Server::Ldap(_) => question.address.as_str().into(),
            Server::CallForward(_) => {
                let mailbox = &question.mailbox;
                format!("{}@{}", mailbox.local_part(), question.address.domain()).into()
            }
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An address that nobody has.
pub(super) fn nobody_at(domain: &str) -> Option<Mailbox> {
    let mut octets = [0; 8];
    getrandom::fill(&mut octets).ok()?;
    Mailbox::parse(&format!("nobody-{:016x}@{domain}", u64::from_be_bytes(octets))).ok()
}

/// Different addresses under way at once.
const MAX_QUESTIONS: usize = 1000;
