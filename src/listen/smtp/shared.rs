//! What all connections of all listeners share.
#![expect(clippy::disallowed_methods, reason = "the edge where time is read")]

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;

use super::FrontEndError;
use super::authenticator::Authenticator;
use super::client::Client;
use super::tarpit::SharedTarpit;
use super::told::{Told, Topic};
use crate::config::settings::{Bounces, Settings, SmtpLimits};
use crate::directory::Directory;
use crate::inventory::Inventory;
use crate::policy::account::{Check, CheckAnswer, Principal};
use crate::policy::admission::{
    Acquaintance, ConnectionLimits, ConnectionVerdict, Connections, MessageSource, Rates, take_message,
};
use crate::policy::client_network::ClientNetwork;
use crate::policy::relay::{Facts, RelayPolicy, RelayTo};
use crate::policy::tarpit::TarpitPolicy;
use crate::session::smtp_server::{Admission, Limits, RecipientRoom, Standing};
use crate::spool::{Spool, SpoolError};
use crate::telemetry::log::Recurring;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::smtp::Refusal;
use crate::wire::smtp::path::Mailbox;

/// What all connections share. Clones count together.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) hostname: Arc<str>,
    pub(super) timezone: TimeZone,
    pub(super) relay: Arc<RelayPolicy>,
    pub(super) bounces: Bounces,
    /// Where mail for `<postmaster>` without a domain goes.
    pub(super) postmaster: Option<Mailbox>,
    pub(super) limits: SmtpLimits,
    pub(super) directory: Arc<Directory>,
    pub(super) tarpit: Arc<SharedTarpit>,
    pub(super) spool: Spool,
    pub(super) inventory: Option<Inventory>,
    pub(super) metrics: Arc<Metrics>,
    room: RecipientRoom,
    tarpit_policy: TarpitPolicy,
    authenticator: Option<Arc<Authenticator>>,
    connections: Arc<Mutex<Connections>>,
    messages: Arc<Mutex<Rates<MessageSource>>>,
    told: Arc<Told>,
    spool_faults: Arc<Mutex<Recurring>>,
    sessions: Arc<AtomicU64>,
    /// Tells this start's sessions from those of others.
    start: u32,
}

/// A connection that counts among those of its network, until it is dropped.
pub(super) struct Admitted {
    shared: Arc<Shared>,
    network: ClientNetwork,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        locked(&self.shared.connections).closed(self.network);
    }
}

impl Shared {
    /// Of these settings.
    ///
    /// # Errors
    /// When the accounts cannot be read, or the recipient filter cannot be made.
    pub(super) fn new(
        settings: &Settings,
        spool: Spool,
        inventory: Option<Inventory>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, FrontEndError> {
        let smtp = &settings.smtp;
        let hostname: Arc<str> = settings.hostname.as_deref().unwrap_or("localhost.invalid").into();
        let directory =
            Directory::new(&smtp.recipients, smtp.on_directory_failure, &hostname, Arc::clone(&metrics))?;
        let authenticator = match &smtp.users_file {
            Some(path) => Some(Arc::new(Authenticator::load(path, smtp.auth_guard, Arc::clone(&metrics))?)),
            None => None,
        };
        Ok(Self {
            directory: Arc::new(directory),
            timezone: settings.timezone.clone(),
            relay: Arc::clone(&smtp.relay),
            bounces: smtp.bounces,
            postmaster: smtp
                .postmaster
                .clone()
                .or_else(|| Mailbox::parse(&format!("postmaster@{hostname}")).ok()),
            limits: smtp.limits,
            tarpit: SharedTarpit::new(smtp.tarpit.clone(), &metrics),
            spool,
            inventory,
            metrics,
            room: RecipientRoom::new(ROOM_OF_STRANGERS),
            tarpit_policy: smtp.tarpit.clone(),
            authenticator,
            connections: Arc::new(Mutex::new(Connections::new(connection_limits(&smtp.limits)))),
            messages: Arc::default(),
            told: Arc::new(Told::new(Instant::now())),
            spool_faults: Arc::new(Mutex::new(Recurring::new(TELL_EVERY))),
            sessions: Arc::new(AtomicU64::new(1)),
            // Names in the log and in trace headers alone hang on it.
            start: getrandom::u32().unwrap_or_else(|_| std::process::id()),
            hostname,
        })
    }

    /// The same for the sessions from now on, under these settings: who may relay, limits, and the tar pit. What is
    /// counted goes on, and sessions that are open keep what they began with.
    pub(super) fn renewed(&self, settings: &Settings) -> Self {
        let smtp = &settings.smtp;
        locked(&self.connections).adopt(connection_limits(&smtp.limits));
        self.tarpit.adopt(smtp.tarpit.clone());
        Self {
            relay: Arc::clone(&smtp.relay),
            bounces: smtp.bounces,
            limits: smtp.limits,
            tarpit_policy: smtp.tarpit.clone(),
            ..self.clone()
        }
    }

    /// The network that a client is counted under.
    pub(super) fn network_of(&self, client: IpAddr) -> ClientNetwork {
        self.tarpit_policy.prefixes.network_of(client)
    }

    /// The number of the next session.
    pub(super) fn next_session(&self) -> u64 {
        self.sessions.fetch_add(1, Ordering::Relaxed)
    }

    /// What the log and the trace header know a session by.
    pub(super) fn name_of(&self, session: u64) -> String {
        format!("{:08x}.{session:x}", self.start)
    }

    /// Whether replies to a client are held.
    pub(super) fn standing_of(&self, client: &Client) -> Standing {
        match self.tarpit_policy.exemption(client.policy(), client.address()) {
            Some(_) => Standing::Exempt,
            None => Standing::Subject,
        }
    }

    /// How much a client may send.
    pub(super) fn limits_of(&self, client: &Client) -> Limits {
        let trusted = client.trusted_network().map(|trusted| trusted.relay_to);
        Limits {
            message_size: self.limits.size_to(trusted.unwrap_or_default()),
            recipients: if trusted.is_some() { self.limits.own_recipients() } else { self.limits.recipients },
        }
    }

    /// Where the recipients of a client are kept that is not trusted.
    pub(super) fn room_of(&self, client: &Client) -> Option<RecipientRoom> {
        (!client.is_trusted()).then(|| self.room.clone())
    }

    /// How much a client may send that has authenticated.
    pub(super) fn proved_limits(&self) -> Limits {
        Limits { message_size: self.limits.size_to(RelayTo::Any), recipients: self.limits.own_recipients() }
    }

    /// Says something of a client, unless it was said lately.
    pub(super) fn tell(&self, topic: Topic, client: IpAddr, acquaintance: Acquaintance, say: impl FnOnce()) {
        if self.told.is_news(topic, client, acquaintance, Instant::now()) {
            say();
        }
    }

    /// Says that the spool failed, now and then.
    pub(super) fn tell_spool_fault(&self, error: &SpoolError) {
        let count = locked(&self.spool_faults).happened(1, Instant::now());
        if let Some(count) = count {
            tracing::error!(count, %error, "Mail cannot be made durable; its clients are told to try again.");
        }
    }

    /// How many connections may be open, of all listeners, for one more of this acquaintance.
    pub(super) const fn most_connections_for(&self, acquaintance: Acquaintance) -> usize {
        connection_limits(&self.limits).most_for(acquaintance)
    }

    /// Whether a client may connect.
    pub(super) fn admit_connection(self: &Arc<Self>, client: &Client) -> Result<Admitted, Refusal> {
        let network = client.network();
        match locked(&self.connections).admit(network, client.acquaintance(), Instant::now()) {
            ConnectionVerdict::Admitted => Ok(Admitted { shared: Arc::clone(self), network }),
            ConnectionVerdict::TooManyInAll => Err(Refusal::ConnectionsInAll),
            ConnectionVerdict::TooManyOfNetwork => Err(Refusal::ConnectionsOfNetwork),
            ConnectionVerdict::TooFast => Err(Refusal::RateOfNetwork),
        }
    }

    /// Whether a client, with the account that it has proved, may send one more message now.
    pub(super) fn admit_message(&self, client: &Client, account: Option<&Principal>) -> Admission {
        let facts = Facts { listener: client.policy(), client: client.address(), principal: account };
        let mut messages = locked(&self.messages);
        match take_message(&mut messages, facts, client.network(), self.limits.messages, Instant::now()) {
            Ok(()) => Admission::Granted,
            Err(_) => Admission::OverRate,
        }
    }

    /// Whether what a client proved still stands.
    pub(super) async fn still_grants(&self, principal: &Principal) -> bool {
        match &self.authenticator {
            Some(authenticator) => authenticator.still_grants(principal).await,
            None => false,
        }
    }

    /// Whether a client is who it claims to be.
    pub(super) async fn authenticate(&self, check: Check, client: &Client) -> CheckAnswer {
        match &self.authenticator {
            Some(authenticator) => authenticator.answer(client.listener(), client.network(), check).await,
            None => CheckAnswer::Unavailable,
        }
    }
}

const fn connection_limits(limits: &SmtpLimits) -> ConnectionLimits {
    ConnectionLimits {
        per_network: limits.connections_per_network,
        rate: limits.connections,
        in_all: limits.connections_in_all,
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Octets that recipients of strangers' open transactions may take beyond the little that each has for itself.
const ROOM_OF_STRANGERS: usize = 32 << 20;
const TELL_EVERY: Duration = Duration::from_secs(60);
