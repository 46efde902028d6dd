//! Why there is no answer, in sentences for the operator.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use rustls::AlertDescription;

use super::proxy::ProxyFault;
use crate::config::settings::OutboundProxy;
use crate::net::connect::ConnectFault;
use crate::net::tls::HandshakeFault;
use crate::policy::reach::Special;
use crate::wire::url::HttpUrl;

/// Why there is no whole answer: a sentence with the stage, the cause and the fix. Shows nothing of a URL but host and
/// port.
#[derive(Debug)]
pub struct Fault {
    /// Host and port that were meant.
    at: String,
    /// Host and port of the proxy that stands before them.
    proxy: Option<String>,
    cause: Cause,
}

/// What was under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The name is resolved.
    Resolve,
    /// A TCP connection is made.
    Connect,
    /// The proxy is asked for a tunnel.
    Proxy,
    /// TLS begins.
    Tls,
    /// Request and answer.
    Exchange,
}

/// Who can mend it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// It may pass by itself.
    Wait,
    /// The operator: without a change it will happen again.
    Operator,
}

/// What happened.
#[derive(Debug)]
pub(super) enum Cause {
    /// The name has no address.
    Resolve(io::Error),
    /// Every address is one that may not be connected to; the first of them.
    OutOfReach(IpAddr, Special),
    /// No address answers; the last, and what it said.
    Connect(SocketAddr, io::Error),
    /// The proxy refuses.
    Proxy(ProxyFault),
    /// TLS does not come about.
    Tls(HandshakeFault),
    /// A field or URL cannot be said in HTTP.
    Unsayable(hyper::http::Error),
    /// The connection ended, or what came is no HTTP.
    Exchange(hyper::Error),
    /// A deadline passed.
    TimedOut(Stage),
}

impl Cause {
    pub(super) fn of(fault: ConnectFault) -> Self {
        match fault {
            ConnectFault::Resolve(error) => Self::Resolve(error),
            ConnectFault::Refused(address, error) => Self::Connect(address, error),
            ConnectFault::TimedOut => Self::TimedOut(Stage::Connect),
        }
    }
}

impl Fault {
    pub(super) fn new(url: &HttpUrl, proxy: Option<&OutboundProxy>, cause: Cause) -> Self {
        let proxy = proxy.filter(|proxy| proxy.serves(url.host()));
        let proxy = proxy.map(|proxy| format!("{}:{}", proxy.host, proxy.port));
        Self { at: url.authority(), proxy, cause }
    }

    /// The stage that failed.
    #[must_use]
    pub const fn stage(&self) -> Stage {
        match &self.cause {
            Cause::Resolve(_) => Stage::Resolve,
            Cause::OutOfReach(..) | Cause::Connect(..) => Stage::Connect,
            Cause::Proxy(_) => Stage::Proxy,
            Cause::Tls(_) => Stage::Tls,
            Cause::Unsayable(_) | Cause::Exchange(_) => Stage::Exchange,
            Cause::TimedOut(stage) => *stage,
        }
    }

    /// Who can mend it.
    #[must_use]
    pub fn remedy(&self) -> Remedy {
        match &self.cause {
            Cause::Resolve(_) | Cause::Connect(..) | Cause::TimedOut(_) => Remedy::Wait,
            Cause::Tls(HandshakeFault::Io(_)) => Remedy::Wait,
            Cause::OutOfReach(..) | Cause::Tls(_) | Cause::Unsayable(_) => Remedy::Operator,
            Cause::Proxy(fault) => fault.remedy(),
            Cause::Exchange(error) if is_no_http(error) || alert(error).is_some() => Remedy::Operator,
            Cause::Exchange(_) => Remedy::Wait,
        }
    }

    /// Who is connected to: the server, or the proxy before it.
    fn hop(&self) -> String {
        self.proxy.as_ref().map_or_else(|| self.at.clone(), |proxy| format!("the proxy {proxy}"))
    }

    fn unreachable(&self, f: &mut fmt::Formatter<'_>, why: fmt::Arguments<'_>, fix: &str) -> fmt::Result {
        let key = if self.proxy.is_some() { "outbound_proxy.url" } else { "its URL" };
        write!(f, "{} cannot be reached: {why}; check {key} and {fix}", self.hop())
    }

    fn handshake(&self, f: &mut fmt::Formatter<'_>, fault: &HandshakeFault) -> fmt::Result {
        let at = &self.at;
        match fault {
            HandshakeFault::Io(error) => {
                write!(f, "{at} ended the TLS handshake: {error}; it is tried again by itself")
            }
            HandshakeFault::Certificate { cause, fix } => write!(f, "{at} is not trusted: {cause}; {fix}"),
            HandshakeFault::NotTls => write!(
                f,
                "{at} does not speak TLS; check the port, or write http:// in a network that you trust"
            ),
            HandshakeFault::Incompatible(error) => write!(
                f,
                "{at} and this program have no common TLS ({error}); TLS 1.2 or 1.3 must be enabled on that server"
            ),
        }
    }

    fn exchange(&self, f: &mut fmt::Formatter<'_>, error: &hyper::Error) -> fmt::Result {
        let at = &self.at;
        if is_no_http(error) {
            write!(f, "{at} sends no HTTP/1.1 ({error}); check the port, and http or https in its URL")
        } else if let Some(alert) = alert(error) {
            write!(
                f,
                "{at} broke off TLS ({alert:?}); it may want to know who we are, by tls.client_certificate, or not trust \
                 what it was shown"
            )
        } else if error.is_parse_too_large() {
            write!(f, "{at} answers with header fields without end; look into that server")
        } else {
            let cause = root_cause(error).map(|cause| format!(" ({cause})")).unwrap_or_default();
            write!(f, "{at} closed the connection before its answer was whole{cause}; look into its log")
        }
    }

    fn timed_out(&self, f: &mut fmt::Formatter<'_>, stage: Stage) -> fmt::Result {
        let at = &self.at;
        match stage {
            Stage::Resolve => {
                self.unreachable(f, format_args!("the resolver does not answer"), "this machine's DNS")
            }
            Stage::Connect => {
                self.unreachable(f, format_args!("it does not answer"), "the firewalls on the way")
            }
            Stage::Proxy => {
                write!(f, "{} does not answer when asked for {at}; look into its log", self.hop())
            }
            Stage::Tls => {
                write!(f, "{at} does not answer in the TLS handshake; it is tried again by itself")
            }
            Stage::Exchange => write!(
                f,
                "{at} leaves us waiting for its answer, past the timeout; check that server, or set a longer one"
            ),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = &self.at;
        match &self.cause {
            Cause::Resolve(error) => {
                let why = format_args!("its name does not resolve ({error})");
                self.unreachable(f, why, "this machine's DNS")
            }
            Cause::OutOfReach(address, special) => write!(
                f,
                "{at} is not connected to: {address} is {special}; write `allow_private: true` if that is meant"
            ),
            Cause::Connect(address, error) => {
                self.unreachable(f, format_args!("{address} answers \"{error}\""), "whether the server runs")
            }
            Cause::Proxy(fault) => fault.tell(f, &self.hop(), at),
            Cause::Tls(fault) => self.handshake(f, fault),
            Cause::Unsayable(error) => {
                write!(f, "nothing can be asked of {at} ({error}); check its URL and header fields")
            }
            Cause::Exchange(error) => self.exchange(f, error),
            Cause::TimedOut(stage) => self.timed_out(f, *stage),
        }
    }
}

impl std::error::Error for Fault {}

fn is_no_http(error: &hyper::Error) -> bool {
    error.is_parse() && !error.is_parse_too_large()
}

/// What a server said of TLS after its handshake: with TLS 1.3 only then does it look at our certificate.
fn alert(error: &hyper::Error) -> Option<AlertDescription> {
    let mut cause = std::error::Error::source(error);
    while let Some(beneath) = cause {
        let inner = beneath.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(rustls::Error::AlertReceived(alert)) = inner.and_then(|inner| inner.downcast_ref()) {
            return Some(*alert);
        }
        cause = beneath.source();
    }
    None
}

/// What lies beneath an error of the client library, which says little itself.
fn root_cause(error: &hyper::Error) -> Option<String> {
    let mut cause = std::error::Error::source(error)?;
    while let Some(beneath) = cause.source() {
        cause = beneath;
    }
    Some(cause.to_string())
}
