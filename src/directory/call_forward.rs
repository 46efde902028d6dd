//! A next hop that is asked with RCPT; what to say is decided by [`crate::session::call_forward`].
#![expect(clippy::disallowed_methods, reason = "the machine is told the time here")]

mod connection;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

use super::back_off::BackOff;
use super::remote::nobody_at;
use super::trouble::Trouble;
use super::{SetupError, SourceKind};
use crate::config::settings::{self, CallForwardTls, TlsMode};
use crate::net::connect::ConnectFault;
use crate::net::tls::{self, HandshakeFault};
use crate::net::unverified;
use crate::policy::remembered::Remembered;
use crate::session::call_forward::{Ending, Profile, Security};
use crate::session::smtp_server::Existence;
use crate::wire::smtp::path::Mailbox;
use connection::Connection;

/// A next hop and the connections to it.
#[derive(Debug)]
pub(super) struct CallForward {
    settings: settings::CallForward,
    /// Our name in EHLO.
    hostname: String,
    permits: Semaphore,
    idle: Mutex<Idle>,
    back_off: Mutex<BackOff>,
    protection: Protection,
    /// Until when an opportunity for TLS is left alone, since it came to nothing.
    clear_until: Mutex<Option<Instant>>,
    domains: Mutex<Remembered<String, Filtering>>,
    trouble: Trouble,
}

/// How connections are protected.
struct Protection {
    security: Security,
    /// `None` for [`Security::Absent`] only.
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// Connections that wait for a question, the one that waits longest first.
#[derive(Debug, Default)]
struct Idle {
    connections: VecDeque<Connection>,
    /// Whether a task ends those that wait too long.
    is_tended: bool,
}

/// Whether a next hop tells the recipients of one domain apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filtering {
    /// It refused one.
    Filters,
    /// It takes an address that nobody has: asking it filters nothing.
    AcceptsEverything,
    /// Under examination.
    Examined,
}

impl Filtering {
    /// What the answer about an address that nobody has tells.
    pub(super) const fn told_by(answer: Existence) -> Option<Self> {
        match answer {
            Existence::Known => Some(Self::AcceptsEverything),
            Existence::Unknown => Some(Self::Filters),
            Existence::Unavailable => None,
        }
    }
}

/// What became of a question.
#[derive(Debug)]
enum Answer {
    /// The next hop said so, with this reply.
    Replied(Existence, String),
    /// It was not asked, since it cannot have such a mailbox.
    NeedsSmtputf8,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("it has no address: {0}; correct `host`")]
    Resolve(std::io::Error),
    #[error("{0} does not accept a connection: {1}")]
    Refused(std::net::SocketAddr, std::io::Error),
    #[error("it did not answer within {0:?}")]
    TimedOut(Duration),
    #[error("{cause}; {fix}")]
    Certificate { cause: String, fix: &'static str },
    #[error("TLS failed: {0}; `implicit` begins with it, `starttls` asks for it: is the port right?")]
    Tls(String),
    #[error("{0}")]
    Session(Ending),
    /// Known to be away, or too many questions wait: no news.
    #[error("it is away, or busy with other questions")]
    Busy,
}

impl CallForward {
    /// Connects to nothing yet. Reads the trusted roots, so call it at start.
    pub(super) fn new(settings: &settings::CallForward, hostname: &str) -> Result<Self, SetupError> {
        Ok(Self {
            settings: settings.clone(),
            hostname: hostname.to_owned(),
            permits: Semaphore::new(MAX_CONNECTIONS),
            idle: Mutex::default(),
            back_off: Mutex::default(),
            protection: Protection::of(settings)?,
            clear_until: Mutex::default(),
            domains: Mutex::new(Remembered::new(DOMAIN_FOR, MAX_DOMAINS)),
            trouble: Trouble::new(SourceKind::CallForward),
        })
    }

    /// Whether the next hop takes this recipient.
    ///
    /// The first yes for a domain has a random address of that domain asked as well: a next hop that takes that too
    /// filters nothing, which the operator must hear. Its yes remains one: that loses no mail. A mailbox that its
    /// grammar has no room for does not exist there.
    pub(super) async fn look_up(self: &Arc<Self>, mailbox: &Mailbox) -> Existence {
        let Some(existence) = self.existence(mailbox).await else { return Existence::Unknown };
        let domain = mailbox.domain().to_ascii_lowercase();
        match existence {
            Existence::Unknown => self.domains().note(domain, Filtering::Filters, Instant::now()),
            Existence::Known if self.filtering(&domain).is_none() => {
                self.domains().note(domain.clone(), Filtering::Examined, Instant::now());
                let examined = Arc::clone(self);
                tokio::spawn(async move { examined.examine(&domain).await });
            }
            Existence::Known | Existence::Unavailable => {}
        }
        existence
    }

    /// Whether it tells the recipients of this domain apart; `None` if it cannot say now.
    pub(super) async fn examine(self: &Arc<Self>, domain: &str) -> Option<Filtering> {
        let mailbox = nobody_at(domain)?;
        let Some(filtering) = self.existence(&mailbox).await.and_then(Filtering::told_by) else {
            self.domains().forget(domain);
            return None;
        };
        if filtering == Filtering::AcceptsEverything {
            tracing::warn!(
                next_hop = %self, domain,
                "The next hop takes every address of this domain, so asking it filters nothing: switch on recipient \
                 filtering there, or use another source."
            );
        }
        self.domains().note(domain.to_owned(), filtering, Instant::now());
        Some(filtering)
    }

    /// What is wrong now.
    pub(super) fn fault(&self) -> Option<String> {
        self.trouble.cause()
    }

    /// Takes leave on every idle connection.
    pub(super) async fn close(&self) {
        let idle = std::mem::take(&mut self.idle().connections);
        for connection in idle {
            connection.quit().await;
        }
    }

    fn filtering(&self, domain: &str) -> Option<Filtering> {
        self.domains().recall(domain, Instant::now()).copied()
    }

    /// `None`: it cannot be asked about this one, and what it does with others is not known by that.
    async fn existence(self: &Arc<Self>, mailbox: &Mailbox) -> Option<Existence> {
        match self.ask(mailbox).await {
            Ok(Answer::NeedsSmtputf8) => None,
            Ok(Answer::Replied(Existence::Unavailable, reply)) => {
                self.trouble.begun(&format!("{self} neither takes nor refuses recipients: {reply}"));
                Some(Existence::Unavailable)
            }
            Ok(Answer::Replied(existence, _)) => {
                self.trouble.over();
                Some(existence)
            }
            Err(Fault::Busy) => Some(Existence::Unavailable),
            Err(fault) => {
                self.trouble.begun(&format!("{self}: {fault}"));
                Some(Existence::Unavailable)
            }
        }
    }

    /// Waits for its turn, for a connection and for the answer, each no longer than the timeout.
    async fn ask(self: &Arc<Self>, mailbox: &Mailbox) -> Result<Answer, Fault> {
        let Ok(Ok(_permit)) = timeout(self.settings.timeout, self.permits.acquire()).await else {
            return Err(Fault::Busy);
        };
        while let Some(kept) = self.take_idle() {
            match self.ask_on(kept, mailbox).await {
                // It broke while it idled; another will tell.
                Err(Fault::Session(Ending::Lost | Ending::NotSmtp)) => {}
                asked => return asked,
            }
        }
        if !self.back_off().is_over(Instant::now()) {
            return Err(Fault::Busy);
        }
        let opened = self.open().await;
        match &opened {
            Ok(_) => self.back_off().succeeded(),
            Err(_) => self.back_off().failed(Instant::now()),
        }
        self.ask_on(opened?, mailbox).await
    }

    /// A connection that is ready for a question within the timeout.
    ///
    /// An opportunity for TLS that comes to nothing (old versions only, a broken certificate) costs no answer: that would
    /// be the same in clear text.
    async fn open(&self) -> Result<Connection, Fault> {
        let ready_by = Instant::now().checked_add(self.settings.timeout).unwrap_or_else(Instant::now);
        let security = self.security();
        match self.open_with(security, ready_by).await {
            Err(fault @ (Fault::Tls(_) | Fault::Certificate { .. }))
                if security == Security::Opportunistic =>
            {
                tracing::warn!(
                    next_hop = %self, %fault,
                    "The next hop offers TLS that cannot be had, so it is asked for recipients in clear text."
                );
                *self.clear_until() = Instant::now().checked_add(CLEAR_FOR);
                self.open_with(Security::Absent, ready_by).await
            }
            opened => opened,
        }
    }

    async fn open_with(&self, security: Security, ready_by: Instant) -> Result<Connection, Fault> {
        let settings::CallForward { host, port, timeout, .. } = &self.settings;
        let profile = Profile { hostname: self.hostname.clone(), security, timeout: *timeout };
        Connection::open((host, *port), self.protection.tls.as_ref(), profile, ready_by).await.map_err(
            |fault| {
                // What is waited for is the timeout as a whole, whatever was left of it.
                if let Fault::TimedOut(_) = fault { Fault::TimedOut(*timeout) } else { fault }
            },
        )
    }

    /// How the next connection is protected.
    fn security(&self) -> Security {
        let is_left_alone = self.clear_until().is_some_and(|until| Instant::now() < until);
        let security = self.protection.security;
        if security == Security::Opportunistic && is_left_alone { Security::Absent } else { security }
    }

    async fn ask_on(
        self: &Arc<Self>,
        mut connection: Connection,
        mailbox: &Mailbox,
    ) -> Result<Answer, Fault> {
        let mut answer = None;
        let ended = connection.ask(mailbox, &mut answer).await;
        match (answer, ended) {
            (Some(answer), ended) => {
                if ended.is_none() {
                    self.keep(connection).await;
                }
                Ok(answer)
            }
            (None, ended) => Err(Fault::Session(ended.unwrap_or(Ending::NotSmtp))),
        }
    }

    /// Keeps a connection for the next question, unless the next hop may have had enough of it.
    async fn keep(self: &Arc<Self>, mut connection: Connection) {
        if connection.questions >= MAX_QUESTIONS || connection.refusals >= MAX_REFUSALS {
            return connection.quit().await;
        }
        connection.idle_since = Instant::now();
        let mut idle = self.idle();
        idle.connections.push_back(connection);
        if !std::mem::replace(&mut idle.is_tended, true) {
            let keeper = Arc::downgrade(self);
            tokio::spawn(async move {
                loop {
                    sleep(MAX_IDLE / 4).await;
                    let Some(keeper) = keeper.upgrade() else { return };
                    let Some(expired) = keeper.take_expired() else { return };
                    for connection in expired {
                        connection.quit().await;
                    }
                }
            });
        }
    }

    fn take_idle(&self) -> Option<Connection> {
        self.idle().connections.pop_back()
    }

    /// What has idled for too long. `None` when nothing idles any more, so that nothing need be tended.
    fn take_expired(&self) -> Option<Vec<Connection>> {
        let mut idle = self.idle();
        idle.is_tended = !idle.connections.is_empty();
        let is_fresh = |kept: &Connection| kept.idle_since.elapsed() < MAX_IDLE;
        let fresh = idle.connections.iter().position(is_fresh).unwrap_or(idle.connections.len());
        idle.is_tended.then(|| idle.connections.drain(..fresh).collect())
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn back_off(&self) -> MutexGuard<'_, BackOff> {
        self.back_off.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clear_until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.clear_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn domains(&self) -> MutexGuard<'_, Remembered<String, Filtering>> {
        self.domains.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for CallForward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.settings.host, self.settings.port)
    }
}

impl Protection {
    fn of(settings: &settings::CallForward) -> Result<Self, SetupError> {
        let (security, connector) = match &settings.tls {
            CallForwardTls::Opportunistic => (Security::Opportunistic, Some(unverified::connector()?)),
            CallForwardTls::Configured(tls) => {
                let client = tls.client_certificate.as_ref();
                let client = client.map(|files| (files.certificate.as_path(), files.key_file.as_path()));
                let connector = || tls::connector_with(tls.ca_file.as_deref(), client);
                match tls.mode {
                    TlsMode::StartTls => (Security::StartTls, Some(connector()?)),
                    TlsMode::Implicit => (Security::Established, Some(connector()?)),
                    TlsMode::None => (Security::Absent, None),
                }
            }
        };
        let name = ServerName::try_from(settings.host.clone());
        let tls = match (connector, name) {
            (None, _) => None,
            (Some(connector), Ok(name)) => Some((connector, name)),
            (Some(_), Err(_)) => return Err(SetupError::Host(settings.host.clone())),
        };
        Ok(Self { security, tls })
    }
}

impl fmt::Debug for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.security.fmt(f)
    }
}

impl From<HandshakeFault> for Fault {
    fn from(fault: HandshakeFault) -> Self {
        match fault {
            HandshakeFault::Io(error) => Self::Tls(error.to_string()),
            HandshakeFault::Certificate { cause, fix } => Self::Certificate { cause, fix },
            HandshakeFault::NotTls => Self::Tls("what it sends is no TLS".to_owned()),
            HandshakeFault::Incompatible(error) => Self::Tls(error.to_string()),
        }
    }
}

impl From<ConnectFault> for Fault {
    fn from(fault: ConnectFault) -> Self {
        match fault {
            ConnectFault::Resolve(error) => Self::Resolve(error),
            ConnectFault::Refused(address, error) => Self::Refused(address, error),
            ConnectFault::TimedOut => Self::TimedOut(Duration::ZERO),
        }
    }
}

/// Connections at once; further questions wait.
const MAX_CONNECTIONS: usize = 4;
/// Short, for next hops have few to give.
const MAX_IDLE: Duration = Duration::from_secs(20);
const MAX_QUESTIONS: u32 = 100;
/// Postfix delays every reply after 10 errors of a session, and ends it after 20; other servers are less patient.
const MAX_REFUSALS: u32 = 8;
/// How long a next hop whose TLS cannot be had is asked in clear text before it has another chance.
const CLEAR_FOR: Duration = Duration::from_secs(10 * 60);
/// Whether a next hop filters a domain is examined again after this time.
const DOMAIN_FOR: Duration = Duration::from_secs(6 * 60 * 60);
const MAX_DOMAINS: usize = 1000;
