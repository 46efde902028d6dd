//! From a connection that was just taken to its session: for whom it is, whether it may be, TLS from the start.
#![expect(clippy::disallowed_methods, reason = "the edge where time is read")]

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client::{Client, Source};
use super::dnsbl::BlockLists;
use super::proxy;
use super::session::Session;
use super::shared::{Admitted, Shared};
use super::stream::{self, Stream};
use super::tls::{HandshakeFault, Secured, handshake};
use super::told::Topic;
use crate::config::settings::{SmtpListener, TlsStart};
use crate::listen::accept::Entrance;
use crate::policy::admission::Acquaintance;
use crate::policy::relay::ListenerPolicy;
use crate::session::sasl::Nonces;
use crate::session::smtp_server::{Denial, Ending, Profile, SmtpServer, Timeouts, TlsSession};
use crate::telemetry::metrics::smtp::{ListenerMetrics, Refusal};
use crate::wire::proxy::Proxied;

/// One configured listener, whatever the number of its addresses.
pub(super) struct Listener {
    pub(super) settings: SmtpListener,
    /// The policy of clients of which only the proxy is known: nobody is trusted.
    pub(super) nobodys_policy: Arc<ListenerPolicy>,
    pub(super) tls: Option<TlsAcceptor>,
    lists: BlockLists,
    pub(super) metrics: ListenerMetrics,
    pub(super) shared: Arc<Shared>,
}

/// A listener as it is now: when the configuration changes, another one takes its place.
pub(super) struct Current(RwLock<Arc<Listener>>);

impl Current {
    pub(super) fn new(listener: Listener) -> Self {
        Self(RwLock::new(Arc::new(listener)))
    }

    pub(super) fn now(&self) -> Arc<Listener> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn replace(&self, listener: Listener) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(listener);
    }
}

/// What takes connections of one address.
pub(super) struct Door {
    pub(super) listener: Arc<Current>,
    pub(super) sessions: TaskTracker,
    /// When it is cancelled, sessions end as soon as their transaction does.
    pub(super) stop: CancellationToken,
}

impl Entrance for Door {
    const CLIENTS: &'static str = "SMTP clients";
    const LIMIT: &'static str = "relay.limits.connections_in_all";

    fn enter(&self, stream: TcpStream, peer: SocketAddr) {
        let listener = self.listener.now();
        let acquaintance = listener.acquaintance_of(peer.ip().to_canonical());
        if self.sessions.len() >= listener.shared.most_connections_for(acquaintance) {
            listener.refuse_peer(&stream, peer, Refusal::ConnectionsInAll);
            return;
        }
        let visit = Visit::begin(listener);
        self.sessions.spawn(visit.serve(stream, peer, self.stop.clone()));
    }

    fn turn_away(&self, stream: TcpStream, peer: SocketAddr) {
        self.listener.now().refuse_peer(&stream, peer, Refusal::OutOfFiles);
    }
}

/// One connection, counted in, and out at its end however it ends.
struct Visit(Arc<Listener>);

impl Visit {
    fn begin(listener: Arc<Listener>) -> Self {
        listener.metrics.connections().inc();
        Self(listener)
    }

    async fn serve(self, stream: TcpStream, peer: SocketAddr, stop: CancellationToken) {
        let opened = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            opened = Box::pin(self.0.open(stream, peer, &stop)) => opened,
        };
        let Some((session, _admitted)) = opened else { return };
        let ending = session.run().await;
        let shared = &self.0.shared;
        shared.metrics.smtp_session_ended(&self.0.metrics, label_of(ending));
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.0.metrics.connections().dec();
        if std::thread::panicking() {
            self.0.shared.metrics.panicked();
            tracing::error!(
                listener = %self.0.metrics.name(),
                "An SMTP session ended by a defect in this program; others go on, and its client will try again. Please \
                 report it."
            );
        }
    }
}

impl Listener {
    /// A listener of these settings.
    pub(super) fn new(
        settings: SmtpListener,
        tls: Option<TlsAcceptor>,
        lists: BlockLists,
        shared: Arc<Shared>,
    ) -> Self {
        let nobodys_policy =
            ListenerPolicy { trusted_networks: Vec::new(), ..ListenerPolicy::clone(&settings.policy) };
        let metrics = shared.metrics.smtp_listener(&settings.policy.name);
        Self { settings, nobodys_policy: Arc::new(nobodys_policy), tls, lists, metrics, shared }
    }

    /// The same under other settings; its certificate and its block lists stay.
    pub(super) fn renewed(&self, settings: SmtpListener, shared: Arc<Shared>) -> Self {
        Self::new(settings, self.tls.clone(), self.lists.clone(), shared)
    }

    /// The session of a connection, unless it is turned away.
    async fn open(
        self: &Arc<Self>,
        mut stream: TcpStream,
        peer: SocketAddr,
        stop: &CancellationToken,
    ) -> Option<(Session, Admitted)> {
        stream::prepare(&stream).ok()?;
        let source = self.source(&mut stream, peer).await?;
        let client = self.client(source);
        let admitted = match self.shared.admit_connection(&client) {
            Ok(admitted) => admitted,
            Err(reason) => {
                self.refuse(&stream, client.address(), client.acquaintance(), reason);
                return None;
            }
        };
        let (stream, tls) = match (&self.tls, self.starts_with_tls()) {
            (Some(acceptor), true) => {
                let (secured, session) = self.secure(acceptor, stream, &client).await?;
                (Stream::Secured(secured), Some(session))
            }
            _ => (Stream::Plain(stream), None),
        };
        let listed = if client.is_trusted() { None } else { self.lists.listed(client.address()).await };
        let mut key = [0; 32];
        getrandom::fill(&mut key).ok()?;
        let profile = self.profile(&client, tls, listed, Nonces::new(key));
        let machine = Box::new(SmtpServer::new(Instant::now(), profile));
        let session =
            Session::new(Arc::clone(self), client, stream, machine, self.shared.next_session(), stop.clone());
        Some((session, admitted))
    }

    /// What is known of a peer before it says anything; a named proxy speaks for others, who are told apart by and by.
    fn acquaintance_of(&self, peer: IpAddr) -> Acquaintance {
        if self.is_named_proxy(peer) || self.settings.policy.trusted_network_of(peer).is_some() {
            Acquaintance::Trusted
        } else {
            Acquaintance::Stranger
        }
    }

    fn is_named_proxy(&self, peer: IpAddr) -> bool {
        self.settings.proxy_protocol_from.iter().any(|network| network.contains(&peer))
    }

    async fn source(&self, stream: &mut TcpStream, peer: SocketAddr) -> Option<Source> {
        let address = peer.ip().to_canonical();
        if !self.is_named_proxy(address) {
            return Some(Source::Direct(address));
        }
        match proxy::read(stream, PROXY_PATIENCE).await {
            Ok(proxied) => Some(Source::Proxy(address, proxied)),
            Err(fault) => {
                self.metrics.refused(Refusal::ProxyHeader);
                self.shared.tell(Topic::ProxyHeader, address, Acquaintance::Trusted, || {
                    tracing::warn!(
                        listener = %self.metrics.name(),
                        proxy = %address,
                        %fault,
                        "A connection from a named proxy brought no PROXY header: switch it on there (HAProxy: `send-proxy-v2`), or \
                         take the address out of `proxy_protocol_from`."
                    );
                });
                None
            }
        }
    }

    fn client(&self, source: Source) -> Client {
        let policy = match source {
            Source::Direct(_) | Source::Proxy(_, Proxied::Client(_)) => &self.settings.policy,
            Source::Proxy(_, Proxied::Nobody) => &self.nobodys_policy,
        };
        let address = source.address();
        Client::new(address, self.shared.network_of(address), Arc::clone(policy))
    }

    /// Carries out a handshake; one that fails is counted and explained.
    pub(super) async fn secure(
        &self,
        acceptor: &TlsAcceptor,
        stream: TcpStream,
        client: &Client,
    ) -> Option<(Box<Secured>, TlsSession)> {
        match handshake(acceptor, stream, TLS_PATIENCE).await {
            Ok((secured, session)) => {
                self.shared.metrics.smtp_tls_handshake(&self.metrics, session.version);
                Some((secured, session))
            }
            Err(fault) => {
                self.shared.metrics.smtp_tls_handshake(&self.metrics, fault.as_str());
                self.tell_handshake(&fault, client);
                self.note_failed_handshake(&fault, client);
                None
            }
        }
    }

    fn tell_handshake(&self, fault: &HandshakeFault, client: &Client) {
        let (listener, address) = (self.metrics.name(), client.address());
        match fault.fix(address) {
            Some(fix) => self.shared.tell(Topic::Handshake, address, client.acquaintance(), || {
                tracing::warn!(%listener, client = %address, %fault, fix, "A TLS handshake failed.");
            }),
            None => tracing::debug!(%listener, client = %address, %fault, "A TLS handshake failed."),
        }
    }

    /// Counts what the policy refused a client, and says so once an hour of each: a device whose mail goes nowhere has
    /// nobody else to complain to.
    pub(super) fn denied(&self, client: &Client, denial: Denial, path: &str) {
        self.shared.metrics.smtp_denied(&self.metrics, denial.as_str());
        let topic = Topic::Denial(denial.as_str());
        self.shared.tell(topic, client.address(), client.acquaintance(), || {
            tracing::info!(
                listener = %self.metrics.name(),
                client = %client.address(),
                reason = denial.as_str(),
                path = %path.escape_debug(),
                "A sender or recipient was refused; `mailslotd explain relay` says why."
            );
        });
    }

    /// Tells a client to come later of which nothing is known but its address.
    fn refuse_peer(&self, stream: &TcpStream, peer: SocketAddr, reason: Refusal) {
        let address = peer.ip().to_canonical();
        self.refuse(stream, address, self.acquaintance_of(address), reason);
    }

    /// Tells a client to come later, where it can read it.
    fn refuse(&self, stream: &TcpStream, client: IpAddr, acquaintance: Acquaintance, reason: Refusal) {
        self.metrics.refused(reason);
        self.shared.tell(Topic::Refusal, client, acquaintance, || {
            tracing::warn!(
                listener = %self.metrics.name(),
                %client,
                reason = reason.as_str(),
                "An SMTP connection was turned away; `relay.limits` says how many there may be."
            );
        });
        if self.starts_with_tls() {
            return;
        }
        let status = match reason {
            Refusal::ConnectionsInAll | Refusal::OutOfFiles => "4.3.2",
            Refusal::ConnectionsOfNetwork | Refusal::RateOfNetwork | Refusal::ProxyHeader => "4.7.0",
        };
        let line = format!("421 {status} {} Too many connections, try again later\r\n", self.shared.hostname);
        // It fits into a socket's buffer that nothing was written to; one that is gone needs no answer.
        drop(stream.try_write(line.as_bytes()));
        self.metrics.replied(421);
    }

    fn profile(
        &self,
        client: &Client,
        tls: Option<TlsSession>,
        listed: Option<Arc<str>>,
        nonces: Nonces,
    ) -> Profile {
        let shared = &self.shared;
        Profile {
            hostname: Arc::clone(&shared.hostname),
            client: client.address(),
            listener: Arc::clone(client.policy()),
            relay: Arc::clone(&shared.relay),
            tolerance: client.tolerance(&self.settings),
            offers: client.offers(&self.settings),
            tls,
            limits: shared.limits_of(client),
            proved_limits: shared.proved_limits(),
            room: shared.room_of(client),
            nonces,
            tarpit: shared.standing_of(client),
            listed,
            timeouts: TIMEOUTS,
        }
    }

    fn starts_with_tls(&self) -> bool {
        self.settings.tls.as_ref().is_some_and(|tls| tls.start == TlsStart::Implicit)
    }
}

/// The label of `mailslotd_smtp_sessions_ended_total`.
const fn label_of(ending: Ending) -> &'static str {
    match ending {
        Ending::Quit => "quit",
        Ending::Disconnected => "disconnected",
        Ending::Abandoned => "abandoned",
        Ending::GaveUpWaiting => "gave_up_waiting",
        Ending::TimedOut => "timed_out",
        Ending::TooManyErrors => "too_many_errors",
        Ending::EarlyTalker => "early_talker",
        Ending::OutOfStep => "out_of_step",
        Ending::InDebt => "in_debt",
        Ending::TarpitFull => "tarpit_full",
        Ending::Revoked => "revoked",
        Ending::Shutdown => "shutdown",
    }
}

/// RFC 5321 §4.5.3.2.7 wants at least five minutes for a command.
const TIMEOUTS: Timeouts = Timeouts {
    command: Duration::from_secs(5 * 60),
    content: Duration::from_secs(5 * 60),
    whole: Duration::from_secs(60 * 60),
};
/// How long a named proxy may take for its header.
const PROXY_PATIENCE: Duration = Duration::from_secs(10);
/// How long a handshake may take.
const TLS_PATIENCE: Duration = Duration::from_secs(30);
