//! One connection: the way to the server, and exchanges on it.
#![expect(clippy::disallowed_methods, reason = "idling and clock skew are measured here")]

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::HeaderMap;
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header::{DATE, HOST, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, USER_AGENT};
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};
use rustls::ProtocolVersion;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::fault::{Cause, Stage};
use super::proxy::{self, ProxyFault, Told};
use super::trace::{Finding, Progress};
use super::{Extent, MAX_IDLE, MAX_STAGE, Request, Response, StatusCode, elapsed};
use crate::config::settings::OutboundProxy;
use crate::net::connect::{race, resolve};
use crate::net::tls::HandshakeFault;
use crate::policy::reach::Reach;
use crate::wire::url::{Host, HttpUrl, Scheme};
use crate::wire::{http_date, x509};

/// What a connection can be used for again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    scheme: Scheme,
    host: Host,
    port: u16,
}

impl Origin {
    pub(super) fn of(url: &HttpUrl) -> Self {
        Self { scheme: url.scheme(), host: url.host().clone(), port: url.port() }
    }
}

/// A connection that stands.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) origin: Origin,
    sender: SendRequest<Full<Bytes>>,
    /// The task that moves its octets.
    driver: JoinHandle<()>,
    /// The proxy that reads each request, where there is no tunnel through it.
    intermediary: Option<Intermediary>,
    idle_since: Instant,
}

/// A proxy that is sent requests for `http:` URLs whole (RFC 9112 §3.2.2).
#[derive(Debug)]
struct Intermediary {
    authorization: Option<HeaderValue>,
    told: Told,
}

/// What came of one request.
#[derive(Debug)]
pub(super) enum Exchanged {
    /// An answer.
    Answered(Response),
    /// The connection ended before the first octet of one.
    Unanswered(hyper::Error),
    /// Anything else.
    Failed(Cause),
}

impl Exchanged {
    pub(super) fn into_result(self) -> Result<Response, Cause> {
        match self {
            Self::Answered(response) => Ok(response),
            Self::Unanswered(error) => Err(Cause::Exchange(error)),
            Self::Failed(cause) => Err(cause),
        }
    }
}

impl Connection {
    /// Connects to the server of `url`, or to the proxy before it.
    pub(super) async fn open(
        url: &HttpUrl,
        proxy: Option<&OutboundProxy>,
        reach: Reach,
        tls: &TlsConnector,
        progress: &mut Progress,
    ) -> Result<Self, Cause> {
        let mut stream = match proxy {
            None => tcp((url.host(), url.port()), reach, progress).await?,
            Some(proxy) => {
                if let Host::Address(address) = url.host() {
                    check_reach([*address], reach)?;
                }
                tcp((&proxy.host, proxy.port), Reach::Anywhere, progress).await?
            }
        };
        match (url.scheme(), proxy) {
            (Scheme::Http, None) => Self::over(url, stream, None).await,
            (Scheme::Http, Some(proxy)) => Self::over(url, stream, Some(Intermediary::of(proxy)?)).await,
            (Scheme::Https, proxy) => {
                if let Some(proxy) = proxy {
                    tunnel(&mut stream, url, proxy, progress).await?;
                }
                Self::over(url, secure(stream, url, tls, progress).await?, None).await
            }
        }
    }

    async fn over(
        url: &HttpUrl,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        intermediary: Option<Intermediary>,
    ) -> Result<Self, Cause> {
        let mut builder = Builder::new();
        builder.max_buf_size(MAX_BUFFER).max_header_size(MAX_HEADER);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(Cause::Exchange)?;
        let driver = tokio::spawn(async move {
            // How it ended, whoever waits for an answer hears.
            connection.await.unwrap_or_default();
        });
        Ok(Self { origin: Origin::of(url), sender, driver, intermediary, idle_since: Instant::now() })
    }

    /// Sends a request and reads its answer, of whose body no more than `most` octets. Takes as long as the server does:
    /// wrap it in a time limit.
    pub(super) async fn exchange(
        &mut self,
        request: &Request,
        most: usize,
        progress: &mut Progress,
    ) -> Exchanged {
        progress.begin(Stage::Exchange);
        let message = match self.message(request) {
            Ok(message) => message,
            Err(error) => return Exchanged::Failed(Cause::Unsayable(error)),
        };
        // Until its task has noticed that the answer before is whole.
        if let Err(error) = self.sender.ready().await {
            return Exchanged::Unanswered(error);
        }
        let answered = match self.sender.send_request(message).await {
            Ok(answered) => answered,
            Err(error) if error.is_parse() || error.is_user() => {
                return Exchanged::Failed(Cause::Exchange(error));
            }
            Err(error) => return Exchanged::Unanswered(error),
        };
        let (head, body) = answered.into_parts();
        progress.found(Finding::Answered { status: head.status, clock_skew: clock_skew(&head.headers) });
        if let Some(fault) = self.refusal(head.status, &head.headers) {
            return Exchanged::Failed(Cause::Proxy(fault));
        }
        match read(body, most).await {
            Ok((body, extent)) => {
                self.idle_since = Instant::now();
                Exchanged::Answered(Response { status: head.status, headers: head.headers, body, extent })
            }
            Err(error) => Exchanged::Failed(Cause::Exchange(error)),
        }
    }

    /// Whether another request may go over it.
    pub(super) fn is_fresh(&self) -> bool {
        !self.sender.is_closed() && elapsed(self.idle_since) <= MAX_IDLE
    }

    fn message(&self, request: &Request) -> Result<hyper::Request<Full<Bytes>>, hyper::http::Error> {
        let Request { method, url, headers, body } = request;
        let target = match &self.intermediary {
            None => url.target().to_owned(),
            Some(_) => url.absolute(),
        };
        let mut message = hyper::Request::builder()
            .method(method)
            .uri(target)
            .header(HOST, url.host_field())
            .header(USER_AGENT, OURSELVES)
            .body(Full::new(body.clone()))?;
        let fields = message.headers_mut();
        fields.extend(headers.clone());
        if let Some(authorization) = self.intermediary.as_ref().and_then(|proxy| proxy.authorization.clone())
        {
            fields.insert(PROXY_AUTHORIZATION, authorization);
        }
        Ok(message)
    }

    /// Why a proxy did not pass on a request that it read.
    fn refusal(&self, status: StatusCode, headers: &HeaderMap) -> Option<ProxyFault> {
        let Intermediary { told, .. } = self.intermediary.as_ref()?;
        let challenges =
            headers.get_all(PROXY_AUTHENTICATE).into_iter().filter_map(|value| value.to_str().ok());
        (status == StatusCode::PROXY_AUTHENTICATION_REQUIRED)
            .then(|| ProxyFault::Login { offered: proxy::offered(challenges), told: *told })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Intermediary {
    fn of(proxy: &OutboundProxy) -> Result<Self, Cause> {
        let authorization = match &proxy.login {
            None => None,
            Some(login) => {
                let value = HeaderValue::from_str(&proxy::basic(login));
                let mut value = value.map_err(|error| Cause::Unsayable(error.into()))?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        Ok(Self { authorization, told: Told::by(proxy.login.as_ref()) })
    }
}

/// A TCP connection to an address of this host that may be connected to. What was checked is what is connected to: the
/// name is not resolved again.
async fn tcp((host, port): (&Host, u16), reach: Reach, progress: &mut Progress) -> Result<TcpStream, Cause> {
    progress.begin(Stage::Resolve);
    let found = match host {
        Host::Address(address) => vec![SocketAddr::new(*address, port)],
        Host::Name(name) => within(Stage::Resolve, resolve(name, port)).await?.map_err(Cause::of)?,
    };
    let addresses = found.iter().map(SocketAddr::ip).collect();
    progress.found(Finding::Resolved { host: host.bare(), addresses });
    progress.begin(Stage::Connect);
    check_reach(found.iter().map(SocketAddr::ip), reach)?;
    let allowed = found.into_iter().filter(|address| reach.refusal(address.ip()).is_none()).collect();
    let stream = within(Stage::Connect, race(allowed)).await?.map_err(Cause::of)?;
    if let Ok(address) = stream.peer_addr() {
        progress.found(Finding::Connected { address });
    }
    Ok(stream)
}

/// Whether one of these addresses may be connected to.
fn check_reach(addresses: impl IntoIterator<Item = IpAddr>, reach: Reach) -> Result<(), Cause> {
    let mut refused = None;
    for address in addresses {
        match reach.refusal(address) {
            None => return Ok(()),
            Some(special) => {
                refused.get_or_insert((address, special));
            }
        }
    }
    refused.map_or(Ok(()), |(address, special)| Err(Cause::OutOfReach(address, special)))
}

async fn tunnel(
    stream: &mut TcpStream,
    url: &HttpUrl,
    proxy: &OutboundProxy,
    progress: &mut Progress,
) -> Result<(), Cause> {
    progress.begin(Stage::Proxy);
    let target = url.authority();
    let asked = proxy::open_tunnel(stream, &target, proxy.login.as_ref());
    within(Stage::Proxy, asked).await?.map_err(Cause::Proxy)?;
    progress.found(Finding::Tunnelled { target });
    Ok(())
}

async fn secure(
    stream: TcpStream,
    url: &HttpUrl,
    tls: &TlsConnector,
    progress: &mut Progress,
) -> Result<TlsStream<TcpStream>, Cause> {
    progress.begin(Stage::Tls);
    let handshake = within(Stage::Tls, tls.connect(server_name(url.host())?, stream)).await?;
    let secured = handshake.map_err(|error| Cause::Tls(HandshakeFault::of(error)))?;
    let (_, session) = secured.get_ref();
    let version =
        if session.protocol_version() == Some(ProtocolVersion::TLSv1_2) { "TLS 1.2" } else { "TLS 1.3" };
    let own = session.peer_certificates().and_then(<[_]>::first);
    let issuer =
        own.and_then(|certificate| x509::issuer(certificate)).unwrap_or_else(|| "(unknown)".to_owned());
    progress.found(Finding::Secured { version, issuer });
    Ok(secured)
}

fn server_name(host: &Host) -> Result<ServerName<'static>, Cause> {
    match host {
        Host::Address(address) => Ok(ServerName::from(*address)),
        Host::Name(name) => ServerName::try_from(name.clone()).map_err(|error| {
            Cause::Tls(HandshakeFault::Io(io::Error::new(io::ErrorKind::InvalidInput, error)))
        }),
    }
}

/// What the future gives, unless a stage takes too long.
async fn within<T>(stage: Stage, future: impl Future<Output = T>) -> Result<T, Cause> {
    timeout(MAX_STAGE, future).await.map_err(|_| Cause::TimedOut(stage))
}

async fn read(mut body: Incoming, most: usize) -> Result<(Bytes, Extent), hyper::Error> {
    let mut kept = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(octets) = frame?.into_data() else { continue };
        let room = most.saturating_sub(kept.len());
        kept.extend_from_slice(octets.get(..room).unwrap_or(&octets));
        if octets.len() > room {
            return Ok((kept.freeze(), Extent::Cut));
        }
    }
    Ok((kept.freeze(), Extent::Whole))
}

fn clock_skew(headers: &HeaderMap) -> Option<SignedDuration> {
    let theirs = http_date::parse(headers.get(DATE)?.to_str().ok()?)?;
    Some(SignedDuration::from_secs(theirs.duration_since(Timestamp::now()).as_secs()))
}

const OURSELVES: &str = concat!("mailslotd/", env!("CARGO_PKG_VERSION"));
/// Octets that wait to be read or written.
const MAX_BUFFER: usize = 64 * 1024;
/// Octets of an answer's header.
const MAX_HEADER: usize = 32 * 1024;
