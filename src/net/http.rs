//! A small HTTP/1.1 client (RFC 9110, RFC 9112) for webhooks, tokens and Microsoft Graph.
//!
//! One request, one bounded answer, within one deadline. Redirects are never followed: whoever answers must be whom the
//! operator named. Connections are kept for the next request up to [`MAX_IDLE`], and there are never more than
//! [`Limits::connections`]. A request on a kept connection that ends before the first octet of an answer is repeated once
//! on a fresh one, so what is sent must bear to come twice, as everything that leaves the spool does.
//!
//! Each failure names the stage that it happened in, its cause and who can mend it: [`Fault`]. [`Client::traced`] tells
//! of the stages that went well besides.
#![expect(clippy::disallowed_methods, reason = "deadlines, and how long connections idle, are measured here")]

mod connection;
mod fault;
mod proxy;
mod trace;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
pub use hyper::header;
pub use hyper::{HeaderMap, Method, StatusCode};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::tls::{TlsSetupError, client_config_with};
use crate::config::settings::{BrokerTls, OutboundProxy};
use crate::policy::reach::Reach;
use crate::wire::url::HttpUrl;
use connection::{Connection, Exchanged, Origin};
use fault::Cause;
pub use fault::{Fault, Remedy, Stage};
use trace::Progress;
pub use trace::{Finding, Step, Trace};

/// Sends requests. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Client(Arc<Shared>);

struct Shared {
    tls: TlsConnector,
    proxy: Option<OutboundProxy>,
    reach: Reach,
    limits: Limits,
    /// One for each connection that may exist; the idle ones are counted by whoever would make another.
    permits: Semaphore,
    idle: Mutex<Vec<Connection>>,
}

/// What a client is made of.
#[derive(Debug, Clone, Copy)]
pub struct Options<'o> {
    /// Whom to trust, and what to show.
    pub tls: &'o BrokerTls,
    /// Through what requests go, but for its exceptions.
    pub proxy: Option<&'o OutboundProxy>,
    /// How far connections may lead. Behind a proxy only addresses in URLs can be checked: names are the proxy's to
    /// resolve.
    pub reach: Reach,
    /// How much it does.
    pub limits: Limits,
}

/// How much a client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Requests under way, and connections kept; at least 1.
    pub connections: usize,
    /// From the call to the last octet of the answer. Resolving, connecting, the proxy's answer and TLS get at most
    /// [`MAX_STAGE`] of it each.
    pub timeout: Duration,
    /// Octets of an answer's body that are kept; what is beyond is not waited for.
    pub body: usize,
}

/// What is asked. `Host`, `User-Agent` and `Content-Length` are added.
#[derive(Debug, Clone)]
pub struct Request {
    /// What to do.
    pub method: Method,
    /// Where.
    pub url: HttpUrl,
    /// Further fields.
    pub headers: HeaderMap,
    /// May be empty.
    pub body: Bytes,
}

/// What was answered, whatever its status.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The fields.
    pub headers: HeaderMap,
    /// The body, or its beginning.
    pub body: Bytes,
    /// Which of both.
    pub extent: Extent,
}

/// How much of an answer's body is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Whole,
    /// The first octets, as many as are allowed; the connection was ended then.
    Cut,
}

impl Client {
    /// A client that is connected to nothing yet. Reads the trusted roots, so call it at start.
    ///
    /// # Errors
    /// [`TlsSetupError`], each a sentence for the operator.
    pub fn new(options: Options<'_>) -> Result<Self, TlsSetupError> {
        let Options { tls, proxy, reach, limits } = options;
        let own = tls.client_certificate.as_ref();
        let own = own.map(|files| (files.certificate.as_path(), files.key_file.as_path()));
        let mut config = Arc::unwrap_or_clone(client_config_with(tls.ca_file.as_deref(), own)?);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(Shared {
            tls: Arc::new(config).into(),
            proxy: proxy.cloned(),
            reach,
            limits,
            permits: Semaphore::new(limits.connections.max(1)),
            idle: Mutex::new(Vec::new()),
        })))
    }

    /// Sends a request, on a kept connection if there is one that still works. Ends within [`Limits::timeout`], and the
    /// time that it waits for one of the [`Limits::connections`] besides.
    ///
    /// # Errors
    /// [`Fault`], where there is no whole answer.
    pub async fn send(&self, request: &Request) -> Result<Response, Fault> {
        // Never closed, so it always gives one.
        let _permit = self.0.permits.acquire().await;
        let mut progress = Progress::new();
        let sent = timeout(self.0.limits.timeout, self.0.carry(request, &mut progress)).await;
        sent.unwrap_or(Err(Cause::TimedOut(progress.stage))).map_err(|cause| self.0.fault(request, cause))
    }

    /// As [`Self::send`], on a fresh connection that is not kept; tells of every stage on the way.
    pub async fn traced(&self, request: &Request) -> Trace {
        let mut progress = Progress::new();
        let exchange = async {
            let mut connection = self.0.connect(request, &mut progress).await?;
            connection.exchange(request, self.0.limits.body, &mut progress).await.into_result()
        };
        let result = timeout(self.0.limits.timeout, exchange).await;
        let result = result.unwrap_or(Err(Cause::TimedOut(progress.stage)));
        Trace { steps: progress.steps, result: result.map_err(|cause| self.0.fault(request, cause)) }
    }

    /// Ends connections that idle too long. Due about once a minute.
    pub fn tend(&self) {
        self.0.idle().retain(Connection::is_fresh);
    }

    /// Ends all connections that idle.
    pub fn close(&self) {
        self.0.idle().clear();
    }
}

impl Shared {
    async fn carry(&self, request: &Request, progress: &mut Progress) -> Result<Response, Cause> {
        let origin = Origin::of(&request.url);
        if let Some(mut connection) = self.take_idle(&origin) {
            match connection.exchange(request, self.limits.body, progress).await {
                // It broke while it idled, or the server had had enough of it: a fresh one tells whether anything is
                // wrong.
                Exchanged::Unanswered(_) => {}
                exchanged @ (Exchanged::Answered(_) | Exchanged::Failed(_)) => {
                    return self.finish(connection, exchanged);
                }
            }
        }
        let mut connection = self.connect(request, progress).await?;
        let exchanged = connection.exchange(request, self.limits.body, progress).await;
        self.finish(connection, exchanged)
    }

    async fn connect(&self, request: &Request, progress: &mut Progress) -> Result<Connection, Cause> {
        let proxy = self.proxy.as_ref().filter(|proxy| proxy.serves(request.url.host()));
        Connection::open(&request.url, proxy, self.reach, &self.tls, progress).await
    }

    /// Puts a connection where the next request finds it, if it can bear another.
    fn finish(&self, connection: Connection, exchanged: Exchanged) -> Result<Response, Cause> {
        if matches!(&exchanged, Exchanged::Answered(response) if response.extent == Extent::Whole) {
            self.idle().push(connection);
        }
        exchanged.into_result()
    }

    /// The one used last: the others come to their end by idling.
    fn take_idle(&self, origin: &Origin) -> Option<Connection> {
        let mut idle = self.idle();
        idle.retain(Connection::is_fresh);
        let found = idle.iter().rposition(|connection| connection.origin == *origin);
        if found.is_none() && idle.len() >= self.limits.connections {
            // Of another origin: with the one that is made now there would be too many.
            idle.remove(0);
        }
        found.map(|at| idle.remove(at))
    }

    fn fault(&self, request: &Request, cause: Cause) -> Fault {
        Fault::new(&request.url, self.proxy.as_ref(), cause)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("reach", &self.reach)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

fn elapsed(since: Instant) -> Duration {
    Instant::now().saturating_duration_since(since)
}

/// A connection that waits longer for the next request is ended.
pub const MAX_IDLE: Duration = Duration::from_secs(30);
/// Resolving a name, connecting, the proxy's answer and the TLS handshake may each take so long.
pub const MAX_STAGE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
