//! A next hop that is asked with RCPT; what to say is decided by [`crate::session::call_forward`].
#![expect(clippy::disallowed_methods, reason = "the machine is told the time here")]

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout, timeout_at};

use super::SourceKind;
use super::back_off::BackOff;
use super::remote::nobody_at;
use super::trouble::Trouble;
use crate::config::settings;
use crate::net::connect::{ConnectFault, connect};
use crate::policy::remembered::Remembered;
use crate::session::call_forward::{self as session, Ending, Input, Output};
use crate::session::smtp_server::Existence;
use crate::wire::smtp::path::Mailbox;

/// A next hop and the connections to it.
#[derive(Debug)]
pub(super) struct CallForward {
    settings: settings::CallForward,
    /// Our name in EHLO.
    hostname: String,
    permits: Semaphore,
    idle: Mutex<Idle>,
    back_off: Mutex<BackOff>,
    domains: Mutex<Remembered<String, Filtering>>,
    trouble: Trouble,
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

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("it has no address: {0}; correct `host`")]
    Resolve(std::io::Error),
    #[error("{0} does not accept a connection: {1}")]
    Refused(std::net::SocketAddr, std::io::Error),
    #[error("it did not answer within {0:?}")]
    TimedOut(Duration),
    #[error("{0}")]
    Session(Ending),
    /// Known to be away, or too many questions wait: no news.
    #[error("it is away, or busy with other questions")]
    Busy,
}

#[derive(Debug)]
struct Connection {
    machine: session::CallForward,
    stream: TcpStream,
    idle_since: Instant,
    /// Questions asked, and those whose answer was a refusal, which next hops count against us.
    questions: u32,
    refusals: u32,
}

impl CallForward {
    /// Connects to nothing yet.
    pub(super) fn new(settings: &settings::CallForward, hostname: &str) -> Self {
        Self {
            settings: settings.clone(),
            hostname: hostname.to_owned(),
            permits: Semaphore::new(MAX_CONNECTIONS),
            idle: Mutex::default(),
            back_off: Mutex::default(),
            domains: Mutex::new(Remembered::new(DOMAIN_FOR, MAX_DOMAINS)),
            trouble: Trouble::new(SourceKind::CallForward),
        }
    }

    /// Whether the next hop takes this recipient.
    ///
    /// The first yes for a domain has a random address of that domain asked as well: a next hop that takes that too
    /// filters nothing, which the operator must hear. Its yes remains one: that loses no mail.
    pub(super) async fn look_up(self: &Arc<Self>, mailbox: &Mailbox) -> Existence {
        let existence = self.existence(mailbox).await;
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
        let Some(filtering) = Filtering::told_by(self.existence(&mailbox).await) else {
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

    async fn existence(self: &Arc<Self>, mailbox: &Mailbox) -> Existence {
        match self.ask(mailbox).await {
            Ok((Existence::Unavailable, reply)) => {
                self.trouble.begun(&format!("{self} neither takes nor refuses recipients: {reply}"));
                Existence::Unavailable
            }
            Ok((existence, _)) => {
                self.trouble.over();
                existence
            }
            Err(Fault::Busy) => Existence::Unavailable,
            Err(fault) => {
                self.trouble.begun(&format!("{self}: {fault}"));
                Existence::Unavailable
            }
        }
    }

    /// Waits for its turn, for a connection and for the answer, each no longer than the timeout.
    async fn ask(self: &Arc<Self>, mailbox: &Mailbox) -> Result<(Existence, String), Fault> {
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

    async fn open(&self) -> Result<Connection, Fault> {
        let within = self.settings.timeout;
        let stream = connect(&self.settings.host, self.settings.port, within).await;
        let stream = stream.map_err(|fault| match fault {
            ConnectFault::Resolve(error) => Fault::Resolve(error),
            ConnectFault::Refused(address, error) => Fault::Refused(address, error),
            ConnectFault::TimedOut => Fault::TimedOut(within),
        })?;
        let now = Instant::now();
        let machine = session::CallForward::new(now, self.hostname.clone(), within);
        let mut connection = Connection { machine, stream, idle_since: now, questions: 0, refusals: 0 };
        match connection.run(&mut None).await {
            None => Ok(connection),
            Some(ending) => Err(Fault::Session(ending)),
        }
    }

    async fn ask_on(
        self: &Arc<Self>,
        mut connection: Connection,
        mailbox: &Mailbox,
    ) -> Result<(Existence, String), Fault> {
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

    fn domains(&self) -> MutexGuard<'_, Remembered<String, Filtering>> {
        self.domains.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for CallForward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.settings.host, self.settings.port)
    }
}

impl Connection {
    async fn ask(&mut self, mailbox: &Mailbox, answer: &mut Option<(Existence, String)>) -> Option<Ending> {
        if let Some(ending) = self.overhear() {
            return Some(ending);
        }
        self.questions = self.questions.saturating_add(1);
        self.machine.handle_input(Instant::now(), Input::Ask(mailbox));
        let ended = self.run(answer).await;
        if !matches!(answer, Some((Existence::Known, _))) {
            self.refusals = self.refusals.saturating_add(1);
        }
        ended
    }

    async fn quit(mut self) {
        self.machine.handle_input(Instant::now(), Input::Quit);
        let left = timeout(QUIT_TIMEOUT, self.run(&mut None)).await;
        tracing::debug!(in_time = left.is_ok(), "Took leave of a next hop that was asked for recipients.");
    }

    /// Does what the machine says until it is ready for a question (`None`) or the session ended.
    async fn run(&mut self, answer: &mut Option<(Existence, String)>) -> Option<Ending> {
        loop {
            while let Some(output) = self.machine.poll_output() {
                match output {
                    Output::Send(octets) => self.write(&octets).await,
                    Output::Answer(existence, reply) => *answer = Some((existence, reply)),
                    Output::Idle => return None,
                    Output::Closed(ending) => return Some(ending),
                }
            }
            let mut buffer = [0; 4096];
            match timeout_at(self.deadline(), self.stream.read(&mut buffer)).await {
                Ok(Ok(0) | Err(_)) => self.machine.handle_input(Instant::now(), Input::Disconnected),
                Ok(Ok(length)) => {
                    let octets = buffer.get(..length).unwrap_or_default();
                    self.machine.handle_input(Instant::now(), Input::Bytes(octets));
                }
                Err(_) => self.machine.handle_timeout(Instant::now()),
            }
        }
    }

    async fn write(&mut self, octets: &[u8]) {
        match timeout_at(self.deadline(), self.stream.write_all(octets)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => self.machine.handle_input(Instant::now(), Input::Disconnected),
            Err(_) => self.machine.handle_timeout(Instant::now()),
        }
    }

    /// What came while the connection idled must not be taken for an answer.
    fn overhear(&mut self) -> Option<Ending> {
        let mut buffer = [0; 1024];
        match self.stream.try_read(&mut buffer) {
            Ok(0) => self.machine.handle_input(Instant::now(), Input::Disconnected),
            Ok(length) => {
                let octets = buffer.get(..length).unwrap_or_default();
                self.machine.handle_input(Instant::now(), Input::Bytes(octets));
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => self.machine.handle_input(Instant::now(), Input::Disconnected),
        }
        match self.machine.poll_output() {
            Some(Output::Closed(ending)) => Some(ending),
            Some(Output::Send(_) | Output::Answer(..) | Output::Idle) | None => None,
        }
    }

    fn deadline(&self) -> tokio::time::Instant {
        self.machine.poll_timeout().unwrap_or_else(Instant::now).into()
    }
}

/// Connections at once; further questions wait.
const MAX_CONNECTIONS: usize = 4;
/// Short, for next hops have few to give.
const MAX_IDLE: Duration = Duration::from_secs(20);
const MAX_QUESTIONS: u32 = 100;
/// Postfix delays every reply after 10 errors of a session, and ends it after 20; other servers are less patient.
const MAX_REFUSALS: u32 = 8;
const QUIT_TIMEOUT: Duration = Duration::from_secs(1);
/// Whether a next hop filters a domain is examined again after this time.
const DOMAIN_FOR: Duration = Duration::from_secs(6 * 60 * 60);
const MAX_DOMAINS: usize = 1000;
