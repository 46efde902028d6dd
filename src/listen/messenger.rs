//! `net send` over TCP 139: sockets and shared state around [`crate::session::netbios_session`].
//!
//! One small task for each connection drives its session; a message that is whole is judged like one that came by datagram,
//! and its sender hears of success when the spool has it.

mod connection;
mod door;
mod judgement;
mod shared;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::door::Door;
use self::judgement::Judgement;
use self::shared::Shared;
use super::accept;
use super::judge::{Hearing, Judge};
use super::stream_socket::{self, BindError, Service};
use crate::config::settings::{Mode, Sessions, Settings};
use crate::inventory::HostRecorder;
use crate::policy::called_name::CalledNames;
use crate::spool::Spool;
use crate::telemetry::metrics::Metrics;
use crate::wire::netbios_name::{NetbiosName, Scope};

/// The socket, bound and listening; the kernel keeps who connects until the messenger starts.
#[derive(Debug)]
pub struct Bound {
    socket: TcpListener,
    address: SocketAddr,
    names: CalledNames,
    limits: Sessions,
}

impl Bound {
    /// Binds the address of these settings; `None` in mode observe, in which nothing is answered.
    ///
    /// # Errors
    /// [`BindError`] when it cannot be had.
    pub fn bind(settings: &Settings) -> Result<Option<Self>, BindError> {
        let Mode::Answer(claims) = &settings.netbios.mode else { return Ok(None) };
        let aliases = claims.names.iter().map(NetbiosName::text);
        let scope = Scope::new(&settings.decoding.scope).unwrap_or_default();
        let names = CalledNames::new(claims.host_name.text(), aliases, scope);
        let socket = stream_socket::listen(&Service::messenger(), settings.messenger)?;
        let address = socket.local_addr().unwrap_or(settings.messenger);
        Ok(Some(Self { socket, address, names, limits: settings.netbios.sessions }))
    }

    /// Where senders reach it; the real port where 0 was configured.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// The receiver of `net send` at work.
#[derive(Debug)]
pub struct Messenger {
    address: SocketAddr,
    sessions: TaskTracker,
    /// Nobody is let in any more, and sessions end as soon as their message does.
    stop: CancellationToken,
}

impl Messenger {
    /// Takes connections from now on. Messages are for `judge`, who adopts what `hearing` has; `hosts` hears all of them.
    ///
    /// # Errors
    /// When the runtime cannot watch the socket.
    pub fn start(
        bound: Bound,
        judge: Judge,
        hearing: watch::Receiver<Arc<Hearing>>,
        hosts: Option<HostRecorder>,
        spool: Spool,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let Bound { socket, address, names, limits } = bound;
        let socket = tokio::net::TcpListener::from_std(socket)?;
        let shared =
            Arc::new(Shared::new(names, limits, Judgement::new(judge, hearing, hosts), spool, metrics));
        let (sessions, stop) = (TaskTracker::new(), CancellationToken::new());
        let (telling, until) = (Arc::clone(&shared), stop.clone());
        sessions.spawn(async move { telling.judgement().tell_inventory(until).await });
        let door = Door { shared, sessions: sessions.clone(), stop: stop.clone() };
        sessions.spawn(accept::accept(socket, door, stop.clone()));
        tracing::info!(%address, "Listening for sessions of `net send`.");
        Ok(Self { address, sessions, stop })
    }

    /// Where senders reach it; the real port where 0 was configured.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no connection any more. Sessions finish the message that is under way, then end.
    pub fn stop(&self) {
        self.stop.cancel();
        self.sessions.close();
    }

    /// Waits until every session is over, at most until `end`: no message that was acknowledged hangs on those that are
    /// left. Whether all had finished.
    pub async fn ended(self, end: Instant) -> bool {
        self.stop();
        timeout_at(end, self.sessions.wait()).await.is_ok()
    }
}
