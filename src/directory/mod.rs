//! The recipient filter: does this recipient exist?
//!
//! Asked at RCPT about addresses of accepted domains only, so that whoever does not exist is refused with 550 5.1.1 and
//! never bounced. Sources are a list, a file, an LDAP directory, the next hop itself; they are combined as `verdict`
//! says. What each branch does is safe in both directions:
//!
//! - *Known* takes a message for an accepted domain, as would happen without a filter. It opens no door: where mail may
//!   go was decided by the relay policy before, and by nothing here.
//! - *Unknown* is a 550, for good, and needs a clear "no" of every source: a search that succeeded and found nothing, a
//!   reply that says of this very mailbox that it is not there, a next hop without the SMTPUTF8 that it needs, a list or
//!   a file that was read whole.
//! - *Unavailable* is everything else: no answer, a refusal to answer, a limit, an answer that could mean something else,
//!   too many questions. The client keeps the message and tries again (451), so nothing is lost and nothing is let in.
//!
//! The postmaster of an accepted domain always exists (RFC 5321 §4.5.1).
#![expect(clippy::disallowed_methods, reason = "how long look-ups take is measured here")]

mod address;
mod back_off;
mod call_forward;
mod file;
#[cfg(feature = "ldap")]
mod ldap;
mod memory;
mod remote;
mod trouble;
mod verdict;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::config::settings::{self, OnFailure, RecipientSource};
use crate::net::tls::TlsSetupError;
use crate::session::smtp_server::Existence;
pub use crate::telemetry::metrics::SourceKind;
use crate::telemetry::metrics::{DirectoryAnswer, Metrics};
use crate::wire::smtp::path::{Mailbox, PathError};
use address::{Address, Addresses};
use call_forward::{CallForward, Filtering};
use file::AddressFile;
use remote::{Question, Remote, Server};
pub use verdict::Asker;

/// Every source of recipients.
#[derive(Debug)]
pub struct Directory {
    /// Each with its place among the settings' sources.
    local: Vec<(usize, Local)>,
    remote: Vec<(usize, Arc<Remote>)>,
    on_failure: OnFailure,
    metrics: Arc<Metrics>,
}

/// A source that answers from this host's memory.
#[derive(Debug)]
enum Local {
    List(Addresses),
    File(Box<AddressFile>),
}

/// Why the sources cannot be made of their settings; each a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// An entry of a list is no address.
    #[error("relay.recipients: {0}; {fix}, or @domain for all of one", fix = .0.fix())]
    List(PathError),
    /// A URL that no LDAP server can have.
    #[error("relay.recipients: ldap.url {0:?} is not ldap://host[:port] or ldaps://host[:port]; correct it")]
    Url(String),
    /// A filter that finds the same for every address, or none.
    #[error(
        "relay.recipients: ldap.filter {0:?} is no RFC 4515 filter with {{address}} in it; write for example \
         (proxyAddresses=smtp:{{address}})"
    )]
    Filter(String),
    /// A bind that the server would take for an anonymous one (RFC 4513 §5.1.2).
    #[error("relay.recipients: the LDAP password of bind_dn {0:?} is empty; put the password into its file")]
    EmptyPassword(String),
    /// TLS cannot be set up.
    #[error("relay.recipients: {0}")]
    Tls(#[from] TlsSetupError),
    /// A name that no certificate can have.
    #[error(
        "relay.recipients: callforward.host {0:?} is no host name; correct it, or write `tls: {{ mode: none }}`"
    )]
    Host(String),
    /// The source was left out when this program was built.
    #[error(
        "relay.recipients: this build has no LDAP; build with the Cargo feature `ldap`, or use another source"
    )]
    WithoutLdap,
}

/// What the operator should know of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which: its place among the settings' sources, from 0.
    pub number: usize,
    /// Of what kind that is.
    pub source: SourceKind,
    /// What.
    pub kind: FindingKind,
}

/// What the operator should know of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FindingKind {
    /// It cannot answer: cause and fix.
    Fault(String),
    /// It knows every address of this domain, so it filters nothing.
    AcceptsEverything(String),
}

/// What one source says of a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Which: its place among the settings' sources, from 0.
    pub number: usize,
    /// Whether it knows the recipient.
    pub answer: Existence,
    /// Why it has no answer: cause and fix.
    pub cause: Option<String>,
}

impl Directory {
    /// The sources, none of which is connected to yet. `hostname` is our name in EHLO. Reads files: call it at start.
    ///
    /// A file that cannot be read, and a server that does not answer, are no errors: they may come back, and until then
    /// nobody is refused because of them.
    ///
    /// # Errors
    /// [`SetupError`], for settings that can never work.
    pub fn new(
        sources: &[RecipientSource],
        on_failure: OnFailure,
        hostname: &str,
        metrics: Arc<Metrics>,
    ) -> Result<Self, SetupError> {
        let (mut local, mut remote) = (Vec::new(), Vec::new());
        for (number, source) in sources.iter().enumerate() {
            let mut add = |server| remote.push((number, Arc::new(Remote::new(server, Arc::clone(&metrics)))));
            match source {
                RecipientSource::List(entries) => local.push((number, list(entries)?)),
                RecipientSource::File(path) => {
                    local.push((number, Local::File(Box::new(AddressFile::open(path)))));
                }
                RecipientSource::Ldap(settings) => add(ldap(settings)?),
                RecipientSource::CallForward(settings) => {
                    add(Server::CallForward(Arc::new(CallForward::new(settings, hostname)?)));
                }
            }
        }
        Ok(Self { local, remote, on_failure, metrics })
    }

    /// Whether a recipient of an accepted domain exists, for a client that `asker` describes. Without any source every
    /// recipient does.
    ///
    /// Ends within three timeouts of the slowest source. May be dropped: what was asked is answered all the same, and
    /// remembered for the next who asks.
    pub async fn look_up(&self, recipient: &Mailbox, asker: Asker) -> Existence {
        if self.local.is_empty() && self.remote.is_empty() {
            return Existence::Known;
        }
        let begun = Instant::now();
        let question = Question::about(recipient);
        let existence = if question.address.local_part() == POSTMASTER {
            Existence::Known
        } else {
            self.existence(&question).await
        };
        self.metrics.directory_answered(begun.elapsed().as_secs_f64());
        let remembered = self.remote.iter().map(|(_, source)| source.remembered()).sum();
        self.metrics.set_directory_remembered(remembered);
        verdict::judged(existence, self.on_failure, asker)
    }

    /// What each source by itself says of a recipient, in the order of the settings, and what that comes to for a client
    /// that `asker` describes. Nothing that was answered before counts. A source that has not answered `within` this time
    /// has no answer.
    pub async fn explain(
        &self,
        recipient: &Mailbox,
        asker: Asker,
        within: Duration,
    ) -> (Existence, Vec<Statement>) {
        let question = Question::about(recipient);
        let mut statements = Vec::new();
        for (number, source) in &self.local {
            let (_, answer) = source.look_up(&question.address).await;
            statements.push(Statement { number: *number, answer, cause: source.fault() });
        }
        let mut servers = JoinSet::new();
        for (number, source) in &self.remote {
            let (number, source, question) = (*number, Arc::clone(source), question.clone());
            servers.spawn(async move {
                let answer = timeout(within, Arc::clone(&source).ask(question)).await;
                let answer = answer.unwrap_or(Existence::Unavailable);
                let cause = || source.fault().unwrap_or_else(|| silent(within));
                Statement { number, answer, cause: (answer == Existence::Unavailable).then(cause) }
            });
        }
        statements.extend(servers.join_all().await);
        statements.sort_by_key(|statement| statement.number);
        let existence = match question.address.local_part() {
            POSTMASTER => Existence::Known,
            _ if statements.is_empty() => Existence::Known,
            _ => verdict::combined(statements.iter().map(|statement| statement.answer)),
        };
        (verdict::judged(existence, self.on_failure, asker), statements)
    }

    /// What the operator should know, found out by asking every source for an address of each domain that nobody has; no
    /// source is given more than this time for all of them.
    pub async fn examine(&self, domains: &[&str], within: Duration) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (number, source) in &self.local {
            let fault = source.fault().map(|fault| Finding::fault(*number, SourceKind::File, fault));
            findings.extend(fault);
        }
        let domains: Arc<[String]> = domains.iter().map(|&domain| domain.to_owned()).collect();
        let mut servers = JoinSet::new();
        for (number, source) in &self.remote {
            let (number, source, domains) = (*number, Arc::clone(source), Arc::clone(&domains));
            servers.spawn(async move { examined(number, &source, &domains, within).await });
        }
        findings.extend(servers.join_all().await.into_iter().flatten());
        findings.sort_by_key(|finding| finding.number);
        findings
    }

    /// Takes leave of the servers to which connections are kept.
    pub async fn close(&self) {
        for (_, source) in &self.remote {
            source.close().await;
        }
    }

    /// What is at hand first, then what is remembered, then all servers at once: the first yes ends it.
    async fn existence(&self, question: &Question) -> Existence {
        let mut answers = Vec::new();
        for (_, source) in &self.local {
            let (kind, answer) = source.look_up(&question.address).await;
            self.metrics.directory_lookup(kind, answer.into());
            if answer == Existence::Known {
                return Existence::Known;
            }
            answers.push(answer);
        }
        let mut servers = JoinSet::new();
        let mut unasked = Vec::new();
        for (_, source) in &self.remote {
            match source.recall(question) {
                Some(Existence::Known) => return self.remembered(Existence::Known),
                Some(answer) => answers.push(self.remembered(answer)),
                None => unasked.push(source),
            }
        }
        for source in unasked {
            servers.spawn(Arc::clone(source).ask(question.clone()));
        }
        while let Some(answer) = servers.join_next().await {
            match answer.unwrap_or(Existence::Unavailable) {
                Existence::Known => return Existence::Known,
                answer @ (Existence::Unknown | Existence::Unavailable) => answers.push(answer),
            }
        }
        verdict::combined(answers)
    }

    fn remembered(&self, answer: Existence) -> Existence {
        self.metrics.directory_lookup(SourceKind::Memory, answer.into());
        answer
    }
}

impl Local {
    async fn look_up(&self, address: &Address) -> (SourceKind, Existence) {
        match self {
            Self::List(addresses) if addresses.contains(address) => (SourceKind::List, Existence::Known),
            Self::List(_) => (SourceKind::List, Existence::Unknown),
            Self::File(file) => (SourceKind::File, file.look_up(address).await),
        }
    }

    fn fault(&self) -> Option<String> {
        match self {
            Self::List(_) => None,
            Self::File(file) => file.fault(),
        }
    }
}

impl Finding {
    const fn fault(number: usize, source: SourceKind, fault: String) -> Self {
        Self { number, source, kind: FindingKind::Fault(fault) }
    }
}

async fn examined(number: usize, source: &Remote, domains: &[String], within: Duration) -> Vec<Finding> {
    let mut findings = Vec::new();
    let asked = async {
        for domain in domains {
            if source.examine(domain).await == Some(Filtering::AcceptsEverything) {
                let kind = FindingKind::AcceptsEverything(domain.clone());
                findings.push(Finding { number, source: source.kind(), kind });
            }
        }
    };
    let in_time = timeout(within, asked).await.is_ok();
    let fault = source.fault().or_else(|| (!in_time).then(|| silent(within)));
    findings.extend(fault.map(|fault| Finding::fault(number, source.kind(), fault)));
    findings
}

/// Why a source has no answer that says nothing in time.
fn silent(within: Duration) -> String {
    format!("it did not answer within {within:?}; see whether it is up and can be reached from here")
}

impl From<Existence> for DirectoryAnswer {
    fn from(existence: Existence) -> Self {
        match existence {
            Existence::Known => Self::Known,
            Existence::Unknown => Self::Unknown,
            Existence::Unavailable => Self::Unavailable,
        }
    }
}

fn list(entries: &[String]) -> Result<Local, SetupError> {
    let mut addresses = Addresses::default();
    for entry in entries {
        addresses.add(entry).map_err(SetupError::List)?;
    }
    Ok(Local::List(addresses))
}

#[cfg(feature = "ldap")]
fn ldap(settings: &settings::Ldap) -> Result<Server, SetupError> {
    let server =
        ldap::ServerUrl::parse(&settings.url).ok_or_else(|| SetupError::Url(settings.url.clone()))?;
    let filter =
        ldap::Filter::new(&settings.filter).ok_or_else(|| SetupError::Filter(settings.filter.clone()))?;
    if let Some((bind_dn, password)) = &settings.bind
        && password.is_empty()
    {
        return Err(SetupError::EmptyPassword(bind_dn.clone()));
    }
    Ok(Server::Ldap(Box::new(ldap::Ldap::new(settings, server, filter)?)))
}

#[cfg(not(feature = "ldap"))]
fn ldap(_: &settings::Ldap) -> Result<Server, SetupError> {
    Err(SetupError::WithoutLdap)
}

const POSTMASTER: &str = "postmaster";

#[cfg(test)]
mod tests;
