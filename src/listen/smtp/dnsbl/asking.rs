//! All lists of a listener asked about one client at once, and their answers remembered.
#![expect(clippy::disallowed_methods, reason = "time limits and lifetimes are measured here")]

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::answer::{self, Answer};
use super::name;
use super::resolver::{Fault, Resolver};
use super::{NameServers, SetupError, TIME_LIMIT};
use crate::net::question::OpenQuestions;
use crate::policy::remembered::Remembered;
use crate::telemetry::metrics::{DnsblOutcome, Metrics};

/// Lists, and what is known of clients.
#[derive(Debug)]
pub(super) struct Asking {
    lists: Vec<List>,
    resolver: Resolver,
    questions: OpenQuestions<IpAddr, Verdict>,
    memory: Mutex<Memory>,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct List {
    /// Its domain, as configured.
    domain: Arc<str>,
    /// When the log was told last that it cannot be used.
    warned_at: Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct Memory {
    listed: Remembered<IpAddr, Arc<str>>,
    not_listed: Remembered<IpAddr, ()>,
    /// A list gave no answer.
    undecided: Remembered<IpAddr, ()>,
}

/// What all lists together say.
#[derive(Debug, Clone)]
enum Verdict {
    /// The text for the reply.
    Listed(Arc<str>),
    NotListed,
    /// A list gave no answer, and no other has the client.
    Undecided,
}

impl Asking {
    pub(super) fn new(
        domains: &[String],
        servers: NameServers,
        metrics: Arc<Metrics>,
    ) -> Result<Self, SetupError> {
        let mut lists = Vec::new();
        for domain in domains {
            if !name::is_list_domain(domain) {
                return Err(SetupError::Domain(domain.clone()));
            }
            lists.push(List { domain: domain.as_str().into(), warned_at: Mutex::new(None) });
        }
        Ok(Self {
            lists,
            resolver: Resolver::new(servers)?,
            questions: OpenQuestions::new(MAX_QUESTIONS),
            memory: Mutex::new(Memory::new()),
            metrics,
        })
    }

    pub(super) async fn listed(self: &Arc<Self>, client: IpAddr) -> Option<Arc<str>> {
        if !name::is_public(client) {
            return None;
        }
        // Bound by itself: the guard must not live on while the question is under way.
        let remembered = self.memory().recall(client, Instant::now());
        match remembered {
            Some(verdict) => verdict.text(),
            None => {
                let asking = Arc::clone(self).ask_all(client);
                self.questions.ask(client, asking).await.ok().and_then(Verdict::text)
            }
        }
    }

    /// Asks all lists at once; the first that has the client decides.
    async fn ask_all(self: Arc<Self>, client: IpAddr) -> Verdict {
        let mut answers = JoinSet::new();
        for index in 0..self.lists.len() {
            let shared = Arc::clone(&self);
            answers.spawn(async move {
                match shared.lists.get(index) {
                    Some(list) => shared.ask(list, client).await,
                    None => Answer::NotListed,
                }
            });
        }
        let mut verdict = Verdict::NotListed;
        while let Some(answer) = answers.join_next().await {
            match answer.unwrap_or(Answer::TimedOut) {
                Answer::Listed(text) => {
                    verdict = Verdict::Listed(text);
                    break;
                }
                Answer::NotListed => {}
                Answer::Refused | Answer::Foreign(_) | Answer::TimedOut | Answer::Failed(_) => {
                    verdict = Verdict::Undecided;
                }
            }
        }
        self.memory().note(client, &verdict, Instant::now());
        verdict
    }

    async fn ask(&self, list: &List, client: IpAddr) -> Answer {
        let deadline = tokio::time::Instant::now() + TIME_LIMIT;
        let name = name::question(client, &list.domain);
        let addresses = tokio::time::timeout_at(deadline, self.resolver.addresses(&name)).await;
        let mut answer = match addresses {
            Ok(Ok(addresses)) => Answer::of(&addresses),
            Ok(Err(Fault::Other(fault))) => Answer::Failed(fault),
            Ok(Err(Fault::TimedOut)) | Err(_) => Answer::TimedOut,
        };
        if let Answer::Listed(text) = &mut answer {
            let reason = tokio::time::timeout_at(deadline, self.resolver.text(&name)).await.ok().flatten();
            *text = answer::reply_text(client, &list.domain, reason.as_deref());
        }
        self.metrics.dnsbl_lookup(&list.domain, answer.outcome());
        list.warn(&answer);
        answer
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl List {
    /// Tells the log, once an hour, what keeps the list from being of use.
    fn warn(&self, answer: &Answer) {
        let (cause, fix) = match answer {
            Answer::Listed(_) | Answer::NotListed | Answer::TimedOut => return,
            Answer::Refused => (
                "it does not answer this resolver".to_owned(),
                "use a resolver of your own instead of a public one, or ask the list for access",
            ),
            Answer::Foreign(address) => (
                format!("it answers with {address}, as no block list does"),
                "check its name, and whether the resolver makes up answers for names that do not exist",
            ),
            Answer::Failed(fault) => (fault.clone(), "check the resolver, and whether the list still exists"),
        };
        let now = Instant::now();
        let mut warned_at = self.warned_at.lock().unwrap_or_else(PoisonError::into_inner);
        if warned_at.is_none_or(|before| now.duration_since(before) >= WARN_EVERY) {
            *warned_at = Some(now);
            tracing::warn!(
                list = %self.domain, cause = %cause.escape_debug(), fix,
                "A DNS block list cannot be used: nobody is refused because of it."
            );
        }
    }
}

impl Memory {
    fn new() -> Self {
        Self {
            listed: Remembered::new(LISTED_FOR, MAX_LISTED),
            not_listed: Remembered::new(NOT_LISTED_FOR, MAX_NOT_LISTED),
            undecided: Remembered::new(UNDECIDED_FOR, MAX_NOT_LISTED),
        }
    }

    fn recall(&self, client: IpAddr, now: Instant) -> Option<Verdict> {
        if let Some(text) = self.listed.recall(&client, now) {
            Some(Verdict::Listed(Arc::clone(text)))
        } else if self.not_listed.recall(&client, now).is_some() {
            Some(Verdict::NotListed)
        } else {
            self.undecided.recall(&client, now).map(|()| Verdict::Undecided)
        }
    }

    fn note(&mut self, client: IpAddr, verdict: &Verdict, now: Instant) {
        match verdict {
            Verdict::Listed(text) => self.listed.note(client, Arc::clone(text), now),
            Verdict::NotListed => self.not_listed.note(client, (), now),
            Verdict::Undecided => self.undecided.note(client, (), now),
        }
    }
}

impl Verdict {
    fn text(self) -> Option<Arc<str>> {
        match self {
            Self::Listed(text) => Some(text),
            Self::NotListed | Self::Undecided => None,
        }
    }
}

impl Answer {
    const fn outcome(&self) -> DnsblOutcome {
        match self {
            Self::Listed(_) => DnsblOutcome::Listed,
            Self::NotListed => DnsblOutcome::NotListed,
            Self::Refused => DnsblOutcome::Refused,
            Self::Foreign(_) => DnsblOutcome::Foreign,
            Self::TimedOut => DnsblOutcome::TimedOut,
            Self::Failed(_) => DnsblOutcome::Failed,
        }
    }
}

/// Who had itself taken off waits so much longer.
const LISTED_FOR: Duration = Duration::from_secs(15 * 60);
const NOT_LISTED_FOR: Duration = Duration::from_secs(5 * 60);
/// Spares a list or a resolver in trouble.
const UNDECIDED_FOR: Duration = Duration::from_secs(10);
const MAX_LISTED: usize = 20_000;
const MAX_NOT_LISTED: usize = 50_000;
/// Clients asked about at once; further ones are not, and count as not listed.
const MAX_QUESTIONS: usize = 1000;
const WARN_EVERY: Duration = Duration::from_secs(60 * 60);
