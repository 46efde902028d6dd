//! An LDAP directory (RFC 4511), Active Directory for example.
//!
//! One connection carries all searches. Whatever is not a clear answer is "not available": a bind that is refused, a
//! base that cannot be seen, a referral, a limit, a server that is away.
#![expect(clippy::disallowed_methods, reason = "back-off is measured here")]

mod filter;
mod server_url;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ldap3::{
    DerefAliases, LdapConnAsync, LdapConnSettings, LdapError, LdapResult, Scope, SearchOptions, StdStream,
};
use rustls::ClientConfig;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::SourceKind;
use super::address::Address;
use super::back_off::BackOff;
use super::trouble::Trouble;
use crate::config::settings::{self, TlsMode};
use crate::net::connect::{ConnectFault, connect};
use crate::net::tls::{self, HandshakeFault, TlsSetupError};
use crate::session::smtp_server::Existence;
pub(super) use filter::Filter;
pub(super) use server_url::ServerUrl;

/// A directory server and how it is asked.
pub(super) struct Ldap {
    server: ServerUrl,
    /// `None`: in clear text.
    tls: Option<Arc<ClientConfig>>,
    settings: settings::Ldap,
    filter: Filter,
    permits: Semaphore,
    link: Mutex<Link>,
    trouble: Trouble,
}

/// The connection.
#[derive(Default)]
struct Link {
    open: Option<Open>,
    /// Counts connections, so that only the one that failed is dropped.
    number: u64,
    back_off: BackOff,
}

/// An open connection. Dropping it ends the task that drives it, even one that hangs in a write.
struct Open {
    ldap: ldap3::Ldap,
    _driver: AbortOnDropHandle<()>,
}

/// Why there is no answer; each a cause and, where it can be known, a fix.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("it has no address: {0}; correct the host in `url`")]
    Resolve(std::io::Error),
    #[error("{0} does not accept a connection: {1}")]
    Refused(std::net::SocketAddr, std::io::Error),
    #[error("{cause}; {fix}")]
    Certificate { cause: String, fix: &'static str },
    #[error(
        "TLS failed: {0}; ldaps:// begins with TLS, ldap:// asks for it with StartTLS: is the port right?"
    )]
    Tls(String),
    #[error("it did not answer within {0:?}")]
    TimedOut(Duration),
    #[error(
        "it refuses bind_dn and its password ({0}); correct them, and see whether the account is locked or expired"
    )]
    Bind(LdapResult),
    #[error(
        "base {base:?} cannot be seen by this account ({result}); correct `base`, or let the account read it"
    )]
    Base { base: String, result: String },
    #[error("the search ended with {0}")]
    Search(LdapResult),
    #[error("the connection failed: {0}")]
    Connection(LdapError),
    #[error("it is away; tried again in up to 30 s")]
    Away,
    #[error("too many questions wait for it")]
    Busy,
}

impl Ldap {
    /// Connects to nothing yet. Reads the trusted roots, so call it at start.
    pub(super) fn new(
        settings: &settings::Ldap,
        server: ServerUrl,
        filter: Filter,
    ) -> Result<Self, TlsSetupError> {
        let is_clear = settings.tls == TlsMode::None && !server.is_ldaps();
        let tls = if is_clear { None } else { Some(tls::client_config(settings.ca_file.as_deref())?) };
        Ok(Self {
            server,
            tls,
            settings: settings.clone(),
            filter,
            permits: Semaphore::new(MAX_SEARCHES),
            link: Mutex::default(),
            trouble: Trouble::new(SourceKind::Ldap),
        })
    }

    /// Whether the search finds an entry for this address, with its domain in A-labels or in U-labels: which of them stands
    /// in an attribute, its syntax and whoever filled it in decide.
    pub(super) async fn look_up(&self, address: &Address) -> Existence {
        match self.find(address).await {
            Ok(existence) => {
                self.trouble.over();
                existence
            }
            // Neither is news: what began it was told.
            Err(Fault::Away | Fault::Busy) => Existence::Unavailable,
            Err(fault) => {
                self.trouble.begun(&format!("{}: {fault}", self.server));
                Existence::Unavailable
            }
        }
    }

    /// Takes leave of the server.
    pub(super) async fn close(&self) {
        let open = self.link.lock().await.open.take();
        if let Some(mut open) = open {
            let left = timeout(UNBIND_TIMEOUT, open.ldap.unbind()).await;
            tracing::debug!(in_time = left.is_ok(), "Took leave of an LDAP server.");
        }
    }

    /// What is wrong now.
    pub(super) fn fault(&self) -> Option<String> {
        self.trouble.cause()
    }

    /// Waits for its turn, for a connection and for the answer, each no longer than the timeout.
    async fn find(&self, address: &Address) -> Result<Existence, Fault> {
        let Ok(Ok(_permit)) = timeout(self.settings.timeout, self.permits.acquire()).await else {
            return Err(Fault::Busy);
        };
        let (mut ldap, number, is_fresh) = self.connection().await?;
        match self.search(&mut ldap, address).await {
            // It was closed while it idled, or the server was started anew.
            Err(Fault::Connection(_)) if !is_fresh => {
                self.drop_connection(number).await;
                let (mut ldap, number, _) = self.connection().await?;
                let found = self.search(&mut ldap, address).await;
                self.drop_unless_sound(&found, number).await;
                found
            }
            found => {
                self.drop_unless_sound(&found, number).await;
                found
            }
        }
    }

    /// The open connection, or a new one; its number, and whether it is new.
    async fn connection(&self) -> Result<(ldap3::Ldap, u64, bool), Fault> {
        let mut link = self.link.lock().await;
        if let Some(open) = link.open.take().filter(|open| !open.ldap.clone().is_closed()) {
            return Ok((link.open.insert(open).ldap.clone(), link.number, false));
        }
        if !link.back_off.is_over(Instant::now()) {
            return Err(Fault::Away);
        }
        match timeout(self.settings.timeout, self.open()).await.unwrap_or(Err(self.timed_out())) {
            Ok(open) => {
                link.back_off.succeeded();
                link.number = link.number.wrapping_add(1);
                Ok((link.open.insert(open).ldap.clone(), link.number, true))
            }
            Err(fault) => {
                link.back_off.failed(Instant::now());
                Err(fault)
            }
        }
    }

    /// A connection that does not answer may be dead without a sign: the next search takes another.
    async fn drop_unless_sound(&self, found: &Result<Existence, Fault>, number: u64) {
        if matches!(found, Err(Fault::Connection(_) | Fault::TimedOut(_))) {
            self.drop_connection(number).await;
        }
    }

    async fn drop_connection(&self, number: u64) {
        let mut link = self.link.lock().await;
        if link.number == number {
            link.open = None;
        }
    }

    async fn open(&self) -> Result<Open, Fault> {
        let stream = connect(self.server.host(), self.server.port(), self.settings.timeout).await;
        let stream = stream.map_err(|fault| match fault {
            ConnectFault::Resolve(error) => Fault::Resolve(error),
            ConnectFault::Refused(address, error) => Fault::Refused(address, error),
            ConnectFault::TimedOut => self.timed_out(),
        })?;
        let stream = stream.into_std().map_err(|error| Fault::Connection(error.into()))?;
        let mut connection = LdapConnSettings::new().set_std_stream(StdStream::Tcp(stream));
        if let Some(config) = &self.tls {
            connection = connection.set_config(Arc::clone(config)).set_starttls(true);
        }
        let opened = LdapConnAsync::with_settings(connection, &self.server.to_string()).await;
        let (driver, mut ldap) =
            opened.map_err(if self.tls.is_some() { tls_fault } else { Fault::Connection })?;
        // What it dies of, the search that was under way reports.
        let driver = AbortOnDropHandle::new(tokio::spawn(async move { drop(driver.drive().await) }));
        if let Some((bind_dn, password)) = &self.settings.bind {
            let bound = ldap.simple_bind(bind_dn, password).await.map_err(Fault::Connection)?;
            if bound.rc != SUCCESS {
                return Err(Fault::Bind(bound));
            }
        }
        self.see_base(&mut ldap).await?;
        Ok(Open { ldap, _driver: driver })
    }

    /// An account that may not read finds nothing, and some servers call that success. So a connection counts only once
    /// it has seen the object where the searches begin.
    async fn see_base(&self, ldap: &mut ldap3::Ldap) -> Result<(), Fault> {
        match self.count(ldap, Scope::Base, "(objectClass=*)").await? {
            (0, result) => Err(Fault::Base { base: self.settings.base.clone(), result: result.to_string() }),
            (_, _) => Ok(()),
        }
    }

    /// An entry is a yes whatever the result says besides, the size limit of 1 for example. No entry is a no only with
    /// success: "no such object" means a wrong base, "referral" that others would have to be asked.
    async fn search(&self, ldap: &mut ldap3::Ldap, address: &Address) -> Result<Existence, Fault> {
        let filter = self.filter.of_any(&address.spellings());
        let counted = timeout(self.settings.timeout, self.count(ldap, Scope::Subtree, &filter)).await;
        match counted.unwrap_or(Err(self.timed_out()))? {
            (0, result) if result.rc == SUCCESS => Ok(Existence::Unknown),
            (0, result) => Err(Fault::Search(result)),
            (_, _) => Ok(Existence::Known),
        }
    }

    /// How many entries come, without their attributes. References to other servers (§4.5.3) count as nothing and are not
    /// followed: Active Directory sends some with every search from the root of a domain.
    async fn count(
        &self,
        ldap: &mut ldap3::Ldap,
        scope: Scope,
        filter: &str,
    ) -> Result<(usize, LdapResult), Fault> {
        let seconds = i32::try_from(self.settings.timeout.as_secs().max(1)).unwrap_or(i32::MAX);
        let options =
            SearchOptions::new().deref(DerefAliases::Never).typesonly(true).timelimit(seconds).sizelimit(1);
        ldap.with_search_options(options);
        let stream = ldap.streaming_search(&self.settings.base, scope, filter, [NO_ATTRIBUTES]).await;
        let mut stream = stream.map_err(Fault::Connection)?;
        let mut entries: usize = 0;
        for _ in 0..MAX_ITEMS {
            match stream.next().await.map_err(Fault::Connection)? {
                Some(item) if item.is_ref() || item.is_intermediate() => {}
                Some(_) => entries = entries.saturating_add(1),
                None => break,
            }
        }
        Ok((entries, stream.finish().await))
    }

    const fn timed_out(&self) -> Fault {
        Fault::TimedOut(self.settings.timeout)
    }
}

impl std::fmt::Debug for Ldap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ldap({})", self.server)
    }
}

fn tls_fault(error: LdapError) -> Fault {
    let LdapError::Io { source } = error else { return Fault::Connection(error) };
    match HandshakeFault::of(source) {
        HandshakeFault::Io(error) => Fault::Tls(error.to_string()),
        HandshakeFault::Certificate { cause, fix } => Fault::Certificate { cause, fix },
        HandshakeFault::NotTls => Fault::Tls("what it sends is no TLS".to_owned()),
        HandshakeFault::Incompatible(error) => Fault::Tls(error.to_string()),
    }
}

const UNBIND_TIMEOUT: Duration = Duration::from_secs(1);
/// RFC 4511 §4.1.9.
const SUCCESS: u32 = 0;
/// §4.5.1.8: the entries without any attribute.
const NO_ATTRIBUTES: &str = "1.1";
/// Searches at once; the others wait.
const MAX_SEARCHES: usize = 16;
/// Entries and references of one search that are read; the server was asked for one entry.
const MAX_ITEMS: usize = 64;
