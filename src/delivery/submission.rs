//! SMTP submission over TCP and TLS (RFC 6409, RFC 8314).
//!
//! What to say is decided by [`crate::session::smtp_client`]; here are sockets, files and the clock. Connections are
//! kept for the next message up to [`MAX_IDLE`] and [`MAX_TRANSACTIONS`], and there are never more than
//! `max_connections`.
//!
//! Notices are composed 7-bit, so every next hop takes them. A mail with 8-bit octets that meets a next hop without
//! 8BITMIME is encoded on its way ([`crate::message::downgrade`] says what that breaks); one that needs SMTPUTF8 fails
//! with 5.6.7 where that is not offered.
#![expect(clippy::disallowed_methods, reason = "how long connections idle is measured here")]

mod connection;
pub(super) mod content;
mod endpoint;
mod health;
pub(super) mod senders;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::outcome::{Attempt, Handoff, Health, Outcome, RecipientNumber, Report};

use crate::config::settings;
use crate::message::compose::{Addressees, ComposeError, Identity, compose};
use crate::message::id::DestinationName;
use crate::message::mail::Body;
use crate::message::recipient::Recipient;
use crate::net::stream::Protection;
use crate::net::tls::TlsSetupError;
use crate::session::smtp_client::{Dsn, Fate, ForwardPath, Letters, MAX_RECIPIENTS, Ret, Transaction};
use crate::wire::smtp::content::Coding;
use crate::wire::smtp::extensions::Extensions;
use crate::wire::smtp::path::{Mailbox, PathError};
use crate::wire::smtp::status::EnhancedStatus;
use connection::{Carried, Connection};
use content::Outgoing;
use endpoint::{Endpoint, Login};
use senders::{From, Senders};

/// An SMTP next hop. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Submission(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    name: DestinationName,
    endpoint: Endpoint,
    identity: Identity,
    /// MAIL FROM of notices.
    from: Mailbox,
    /// Which senders mail may have here.
    senders: Senders,
    message_size: Option<u64>,
    /// Of one transaction.
    max_recipients: usize,
    /// One permit for each connection that may exist; the idle ones are counted by whoever would make another.
    permits: Semaphore,
    idle: Mutex<Vec<Connection>>,
}

/// What a next hop said to a login that went well.
#[derive(Debug, Clone)]
pub struct Welcome {
    /// What it offers.
    pub extensions: Extensions,
    /// What protects the connection; `None` for `tls.mode: none`.
    pub protection: Option<Protection>,
}

/// Why a destination cannot be made of its settings; each a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsSetupError),
    /// The host is neither a name nor an address.
    #[error("host {host:?} is neither a host name nor an IP address; write for example mail.example.com")]
    Host {
        /// As configured.
        host: String,
    },
    /// The sender is no mailbox.
    #[error("from: {0}; {fix}", fix = .0.fix())]
    From(PathError),
}

impl Submission {
    /// A next hop to which nothing is connected yet; its tokens, if it takes any, are had through `proxy`. Reads the
    /// trusted roots, so call it at start.
    ///
    /// # Errors
    /// [`SetupError`], for settings that can never work.
    pub fn new(
        name: DestinationName,
        settings: &settings::Submission,
        identity: Identity,
        proxy: Option<&settings::OutboundProxy>,
    ) -> Result<Self, SetupError> {
        Ok(Self(Arc::new(Shared {
            endpoint: Endpoint::new(&name, settings, &identity.hostname, proxy)?,
            name,
            from: Mailbox::parse(&identity.from).map_err(SetupError::From)?,
            identity,
            senders: Senders::of(settings.from.clone()),
            message_size: settings.message_size,
            max_recipients: settings.max_recipients.unwrap_or(MAX_RECIPIENTS).clamp(1, MAX_RECIPIENTS),
            permits: Semaphore::new(settings.max_connections.max(1)),
            idle: Mutex::new(Vec::new()),
        })))
    }

    /// Makes one attempt: a kept connection or a new one, and a transaction for each hundred recipients, or fewer where configured.
    ///
    /// Ends within the timeouts of the session. Recipients that the report does not name were not decided.
    pub async fn deliver(&self, attempt: Attempt) -> Report {
        let mut outcomes = Vec::new();
        let (numbers, paths) = forward_paths(&attempt.recipients, &mut outcomes);
        if paths.is_empty() {
            return Report { outcomes, health: Health::Up };
        }
        let (mail, transaction) = match self.0.prepare(&attempt).await {
            Ok(prepared) => prepared,
            Err(Unfit::Message(outcome)) => {
                outcomes.extend(numbers.into_iter().map(|number| (number, outcome.clone())));
                return Report { outcomes, health: Health::Up };
            }
            Err(Unfit::Settings(reason)) => {
                return Report { outcomes, health: Health::OperatorFault { reason } };
            }
        };
        // Never closed, so it always gives one.
        let _permit = self.0.permits.acquire().await;
        let mut health = Health::Up;
        let most = self.0.max_recipients;
        for (numbers, paths) in numbers.chunks(most).zip(paths.chunks(most)) {
            let transaction = Transaction { forward_paths: paths.to_vec(), ..transaction.clone() };
            let carried = self.0.carry(transaction, &mail).await;
            let handoff = carried.handoff;
            outcomes.extend(carried.fates.into_iter().filter_map(|(index, fate)| {
                numbers.get(index).map(|number| (*number, outcome(fate, handoff)))
            }));
            health = carried.ended.map_or(Health::Up, |ended| health::health(&self.0.endpoint, ended));
            if health != Health::Up {
                break;
            }
        }
        tracing::debug!(destination = %self.0.name, decided = outcomes.len(), health = ?health, "An attempt ended.");
        Report { outcomes, health }
    }

    /// Connects and logs in, sends nothing, and takes leave: what the next hop offers to us.
    ///
    /// # Errors
    /// What is wrong with it, as an attempt would find.
    pub async fn try_login(&self) -> Result<Welcome, Health> {
        let connection = Connection::open(&self.0.endpoint).await;
        let connection = connection.map_err(|ended| health::health(&self.0.endpoint, ended))?;
        let welcome =
            Welcome { extensions: connection.extensions().clone(), protection: connection.protection() };
        connection.quit(&self.0.endpoint).await;
        Ok(welcome)
    }

    /// The next hop, as configured.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.0.endpoint.host
    }

    /// Ends connections that idle too long. Due about once a minute.
    pub async fn tend(&self) {
        let expired: Vec<Connection> = {
            let mut idle = self.0.idle();
            let (fresh, expired) = idle.drain(..).partition(is_fresh);
            *idle = fresh;
            expired
        };
        self.quit(expired).await;
    }

    /// Waits for requests for tokens that nobody may wait for any more.
    pub async fn settled(&self) {
        if let Some(Login::Bearer { tokens, .. }) = &self.0.endpoint.login {
            tokens.settled().await;
        }
    }

    /// Ends all connections; no attempt may be under way.
    pub async fn close(&self) {
        let all = std::mem::take(&mut *self.0.idle());
        self.quit(all).await;
    }

    /// Takes leave on all at once: one that does not answer must not hold up the others.
    async fn quit(&self, connections: Vec<Connection>) {
        let mut partings = JoinSet::new();
        for connection in connections {
            let shared = Arc::clone(&self.0);
            partings.spawn(async move { connection.quit(&shared.endpoint).await });
        }
        while partings.join_next().await.is_some() {}
    }
}

/// Why nothing can be sent, known before anything is.
enum Unfit {
    /// Because of the message: the outcome of all its recipients.
    Message(Outcome),
    /// Because of the settings, in a sentence for the operator.
    Settings(String),
}

impl Unfit {
    fn of(error: ComposeError) -> Self {
        match error {
            ComposeError::BadFrom => Self::Settings(error.to_string()),
            ComposeError::NoMailbox | ComposeError::DateOutOfRange => {
                Self::Message(Outcome::Failed { status: error.status(), text: error.to_string() })
            }
        }
    }
}

impl Shared {
    /// The mail and what is the same for all its recipients.
    async fn prepare(&self, attempt: &Attempt) -> Result<(Outgoing, Transaction), Unfit> {
        let message = &attempt.message;
        let addresses: Vec<&str> =
            attempt.recipients.iter().map(|(_, recipient)| recipient.to.as_str()).collect();
        let subject = attempt.recipients.first().and_then(|(_, recipient)| recipient.subject.as_deref());
        let content = compose(message, Addressees::Mailboxes(&addresses), subject, &self.identity)
            .map_err(Unfit::of)?;
        let mut letters = Letters::Ascii;
        let (mail, from, dsn) = match &message.body {
            Body::Notice(_) => {
                let dsn = Dsn { ret: Some(Ret::Headers), envid: Some(message.id.to_string()) };
                (Outgoing::unchanged(content), From::configured(self.from.clone()), dsn)
            }
            Body::Mail { reverse_path, submitted, .. } => {
                let path = checked(reverse_path.as_deref()).map_err(Unfit::Message)?;
                let (mail, from) = self.senders.apply(content, path).await.map_err(unreadable)?;
                if submitted.smtputf8 {
                    letters = Letters::Utf8;
                }
                (mail, from, Dsn { ret: submitted.ret, envid: submitted.envid.clone() })
            }
        };
        let length = mail.length();
        if let Some(limit) = self.message_size.filter(|limit| length > *limit) {
            let text = format!("the message has {length} octets, message_size allows {limit}");
            return Err(Unfit::Message(Outcome::Failed { status: EnhancedStatus::new(5, 3, 4), text }));
        }
        let codings = content::codings(&mail).await.map_err(unreadable)?;
        if codings.header == Coding::SevenBit {
            letters = Letters::Ascii;
        }
        let From { reverse_path, sender } = from;
        let coding = codings.whole;
        let forward_paths = Vec::new();
        Ok((mail, Transaction { reverse_path, sender, forward_paths, length, coding, letters, dsn }))
    }

    /// One transaction, on a kept connection if there is one that still works.
    async fn carry(&self, transaction: Transaction, mail: &Outgoing) -> Carried {
        while let Some(mut connection) = self.take_idle() {
            if !is_fresh(&connection) {
                connection.quit(&self.endpoint).await;
                continue;
            }
            let carried = connection.carry(&self.endpoint, transaction.clone(), mail).await;
            if carried.is_stale() {
                // Only a fresh one tells whether it was the connection; a message that ends every session would end
                // all the others besides.
                break;
            }
            self.keep(connection, &carried).await;
            return carried;
        }
        match Connection::open(&self.endpoint).await {
            Ok(mut connection) => {
                let carried = connection.carry(&self.endpoint, transaction, mail).await;
                self.keep(connection, &carried).await;
                carried
            }
            Err(ended) => Carried::never(ended),
        }
    }

    /// Puts a connection where the next attempt finds it, unless it ended or has done enough.
    async fn keep(&self, connection: Connection, carried: &Carried) {
        if carried.ended.is_some() {
            return;
        }
        if connection.transactions >= MAX_TRANSACTIONS {
            connection.quit(&self.endpoint).await;
        } else {
            self.idle().push(connection);
        }
    }

    /// The one used last: the others come to their end by idling.
    fn take_idle(&self) -> Option<Connection> {
        self.idle().pop()
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_fresh(connection: &Connection) -> bool {
    Instant::now().saturating_duration_since(connection.idle_since) <= MAX_IDLE
}

/// The recipients that are mailboxes; the others fail.
fn forward_paths(
    recipients: &[(RecipientNumber, Recipient)],
    outcomes: &mut Vec<(RecipientNumber, Outcome)>,
) -> (Vec<RecipientNumber>, Vec<ForwardPath>) {
    let (mut numbers, mut paths) = (Vec::new(), Vec::new());
    for (number, recipient) in recipients {
        match Mailbox::parse(&recipient.to) {
            Ok(mailbox) => {
                numbers.push(*number);
                paths.push(ForwardPath { mailbox, dsn: recipient.dsn.clone() });
            }
            Err(error) => {
                let text = format!("{error}; {}", error.fix());
                outcomes.push((*number, Outcome::Failed { status: EnhancedStatus::new(5, 1, 3), text }));
            }
        }
    }
    (numbers, paths)
}

/// A mail's own reverse-path.
fn checked(reverse_path: Option<&str>) -> Result<Option<Mailbox>, Outcome> {
    reverse_path.map(Mailbox::parse).transpose().map_err(|error| Outcome::Failed {
        status: EnhancedStatus::new(5, 1, 7),
        text: format!("the sender {error}; {}", error.fix()),
    })
}

fn unreadable(error: std::io::Error) -> Unfit {
    let text = format!("the content could not be read from the spool: {error}");
    Unfit::Message(Outcome::Delayed { status: EnhancedStatus::new(4, 3, 0), text, retry_after: None })
}

fn outcome(fate: Fate, handoff: Handoff) -> Outcome {
    match fate {
        Fate::Delivered { text } => Outcome::Delivered { text, handoff },
        Fate::Delayed { status, text, retry_after } => Outcome::Delayed { status, text, retry_after },
        Fate::Failed { status, text } => Outcome::Failed { status, text },
    }
}

/// A connection that waits longer for the next message is ended.
pub const MAX_IDLE: Duration = Duration::from_secs(30);
/// Messages on one connection; many servers end it at a hundred themselves.
pub const MAX_TRANSACTIONS: u32 = 100;
