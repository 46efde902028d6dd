//! The SMTP front-end: sockets, TLS and shared state around [`crate::session::smtp_server`].
//!
//! A connection is taken (by what all listeners share), its client found out (`client`, `proxy`), admitted or turned away (`listener`),
//! perhaps put under TLS (`tls`); then one small task drives its session (`session`) and answers what the machine asks
//! (`answers`): from the tar pit, the accounts, the directory, and at last the spool (`content`).

#![expect(clippy::disallowed_methods, reason = "the edge where the end of a stop is timed")]

mod answers;
pub mod authenticator;
pub mod certificate;
mod client;
mod content;
pub mod dnsbl;
mod listener;
mod open_files;
mod proxy;
mod session;
mod shared;
mod sightings;
mod stream;
mod tap;
mod tarpit;
mod tls;
mod told;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::authenticator::UsersError;
use self::certificate::{Certificate, CertificateError, Reload};
use self::dnsbl::{BlockLists, NameServers};
use self::listener::{Current, Door, Listener};
use self::shared::Shared;
pub use self::tarpit::{TarpitReport, TarpitView};
use crate::config::settings::{CertificateFiles, Settings, SmtpFrontEnd};
use crate::directory::{self, Directory};
use crate::inventory::Inventory;
use crate::listen::accept;
use crate::listen::stream_socket::{self, BindError, Service};
use crate::message::id::ListenerName;
use crate::spool::Spool;
use crate::telemetry::metrics::Metrics;

/// The sockets of all listeners, bound and listening; the kernel keeps who connects until the front-end starts.
#[derive(Debug)]
pub struct Sockets(Vec<(usize, TcpListener, SocketAddr)>);

impl Sockets {
    /// Binds every address of every listener.
    ///
    /// # Errors
    /// [`BindError`] for the first that cannot be had.
    pub fn bind(settings: &SmtpFrontEnd) -> Result<Self, BindError> {
        let mut bound = Vec::new();
        for (number, listener) in settings.listeners.iter().enumerate() {
            for &address in &listener.addresses {
                let socket = stream_socket::listen(&Service::smtp(&listener.policy.name), address)?;
                let address = socket.local_addr().unwrap_or(address);
                bound.push((number, socket, address));
            }
        }
        Ok(Self(bound))
    }
}

/// Why the front-end did not start. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum FrontEndError {
    /// A certificate cannot be used.
    #[error("the SMTP listener {listener}: {source}")]
    Certificate {
        /// Whose.
        listener: ListenerName,
        /// Why.
        source: Box<CertificateError>,
    },
    /// The provider lacks TLS 1.2 and 1.3; a defect of this build.
    #[error("TLS 1.2 and 1.3 are not available in this build: {0}")]
    Versions(rustls::Error),
    /// The recipient filter cannot be made.
    #[error(transparent)]
    Directory(#[from] directory::SetupError),
    /// The accounts cannot be read.
    #[error("users_file: {0}")]
    Users(#[from] UsersError),
    /// DNS block lists cannot be asked.
    #[error("the SMTP listener {listener}: {source}")]
    BlockLists {
        /// Whose.
        listener: ListenerName,
        /// Why.
        source: dnsbl::SetupError,
    },
    /// The runtime cannot watch a socket.
    #[error("cannot watch the socket on TCP {address}: {source}")]
    Watch {
        /// Its address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

/// The front-end at work.
pub struct FrontEnd {
    addresses: Vec<(ListenerName, SocketAddr)>,
    listeners: Vec<Arc<Current>>,
    doors: TaskTracker,
    sessions: TaskTracker,
    /// Nobody is let in any more, and sessions end as soon as their transaction does.
    stop: CancellationToken,
    /// What serves all sessions ends.
    give_up: CancellationToken,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for FrontEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrontEnd").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl FrontEnd {
    /// Who knows which recipients exist.
    #[must_use]
    pub fn directory(&self) -> Arc<Directory> {
        Arc::clone(&self.shared.directory)
    }

    /// What the tar pit does, for people.
    #[must_use]
    pub fn tarpit(&self) -> TarpitView {
        TarpitView::of(&self.shared.tarpit)
    }

    /// Takes connections from now on.
    ///
    /// # Errors
    /// [`FrontEndError`]; nothing keeps running then.
    pub fn start(
        sockets: Sockets,
        settings: &Settings,
        spool: Spool,
        inventory: Option<Inventory>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, FrontEndError> {
        let shared = Arc::new(Shared::new(settings, spool, inventory, metrics)?);
        let listeners = Listeners::new(&settings.smtp, &shared)?;
        let (doors, sessions) = (TaskTracker::new(), TaskTracker::new());
        let (stop, give_up) = (CancellationToken::new(), CancellationToken::new());
        if settings.smtp.listeners.is_empty() {
            open_files::allow_sessions(settings.netbios.sessions.in_all);
        } else {
            open_files::allow(settings.smtp.limits.connections_in_all);
        }
        let mut addresses = Vec::new();
        for (number, socket, address) in sockets.0 {
            let Some(listener) = listeners.all.get(number) else { continue };
            let socket = tokio::net::TcpListener::from_std(socket)
                .map_err(|source| FrontEndError::Watch { address, source })?;
            let door =
                Door { listener: Arc::clone(listener), sessions: sessions.clone(), stop: stop.clone() };
            doors.spawn(accept::accept(socket, door, stop.clone()));
            let listener = listener.now();
            let name = listener.metrics.name();
            tracing::info!(listener = %name, %address, "Listening for SMTP.");
            addresses.push((name.clone(), address));
        }
        doors.spawn(Arc::clone(&shared.tarpit).run(give_up.clone()));
        doors.spawn(watch_certificates(listeners.certificates, stop.clone()));
        Ok(Self { addresses, listeners: listeners.all, doors, sessions, stop, give_up, shared })
    }

    /// Goes by these settings from the next session on, in who may relay, limits and the tar pit. Listeners keep their
    /// addresses, certificates and block lists.
    pub fn adopt(&self, settings: &Settings) {
        let shared = Arc::new(self.shared.renewed(settings));
        if !self.listeners.is_empty() {
            open_files::allow(settings.smtp.limits.connections_in_all);
        }
        for current in &self.listeners {
            let listener = current.now();
            let name = &listener.settings.policy.name;
            let named = settings.smtp.listeners.iter().find(|settings| settings.policy.name == *name);
            if let Some(settings) = named {
                current.replace(listener.renewed(settings.clone(), Arc::clone(&shared)));
            }
        }
    }

    /// Where each listener is reached; the real port where 0 was configured.
    #[must_use]
    pub fn addresses(&self) -> &[(ListenerName, SocketAddr)] {
        &self.addresses
    }

    /// Takes no connection any more. Sessions finish their open transaction, then hear 421.
    pub fn stop(&self) {
        self.stop.cancel();
        self.doors.close();
        self.sessions.close();
    }

    /// Waits until every session is over, at most until `end`: nothing that was acknowledged hangs on those that are left.
    /// Whether all had finished.
    pub async fn ended(self, end: Instant) -> bool {
        self.stop();
        let finished = timeout_at(end, self.sessions.wait()).await.is_ok();
        self.give_up.cancel();
        if timeout_at(end.max(Instant::now() + FAREWELL), self.shared.directory.close()).await.is_err() {
            tracing::debug!("A directory did not answer our leave-taking.");
        }
        finished
    }
}

/// The listeners of a configuration, and the certificates that they share.
struct Listeners {
    all: Vec<Arc<Current>>,
    certificates: Vec<Arc<Certificate>>,
}

impl Listeners {
    fn new(settings: &SmtpFrontEnd, shared: &Arc<Shared>) -> Result<Self, FrontEndError> {
        let mut listeners = Self { all: Vec::new(), certificates: Vec::new() };
        let servers = NameServers::from(settings.dns_server);
        for settings in &settings.listeners {
            let tls = match &settings.tls {
                Some(tls) => Some(listeners.acceptor(&settings.policy.name, &tls.files)?),
                None => None,
            };
            let name = &settings.policy.name;
            let lists = BlockLists::new(&settings.dnsbl, servers, Arc::clone(&shared.metrics))
                .map_err(|source| FrontEndError::BlockLists { listener: name.clone(), source })?;
            let listener = Listener::new(settings.clone(), tls, lists, Arc::clone(shared));
            listeners.all.push(Arc::new(Current::new(listener)));
        }
        Ok(listeners)
    }

    fn acceptor(
        &mut self,
        listener: &ListenerName,
        files: &CertificateFiles,
    ) -> Result<TlsAcceptor, FrontEndError> {
        let known = self.certificates.iter().find(|certificate| certificate.files() == files);
        let certificate = match known {
            Some(certificate) => Arc::clone(certificate),
            None => {
                let unusable = |source| FrontEndError::Certificate {
                    listener: listener.clone(),
                    source: Box::new(source),
                };
                let certificate = Arc::new(Certificate::load(files).map_err(unusable)?);
                self.certificates.push(Arc::clone(&certificate));
                certificate
            }
        };
        tls::acceptor(certificate).map_err(FrontEndError::Versions)
    }
}

/// Looks at the files of certificates now and then, and takes over what has changed.
async fn watch_certificates(certificates: Vec<Arc<Certificate>>, stop: CancellationToken) {
    if certificates.is_empty() {
        return;
    }
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(RELOAD_EVERY) => {}
        }
        for certificate in &certificates {
            let looked_at = Arc::clone(certificate);
            let path = certificate.files().certificate.display().to_string();
            match tokio::task::spawn_blocking(move || looked_at.reload()).await {
                Ok(Reload::Renewed) => tracing::info!(path, "A new certificate is shown from now on."),
                Ok(Reload::Kept(error)) => {
                    tracing::error!(path, %error, "A new certificate cannot be used; the old one is shown.");
                }
                Ok(Reload::Unchanged) | Err(_) => {}
            }
        }
    }
}

/// How long directories have at least to hear that we go.
const FAREWELL: Duration = Duration::from_secs(1);
/// How often files of certificates are looked at.
const RELOAD_EVERY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
