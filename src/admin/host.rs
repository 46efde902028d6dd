//! Whom a request on loopback is meant for.
//!
//! A web page may let its own name resolve to 127.0.0.1, and its scripts then read what is served there as their own
//! (DNS rebinding). Their requests bear that name; those of monitors bear an address, or `localhost`.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Answers 421 (RFC 9110 §15.5.20) to a request that is meant for a name other than `localhost`.
pub(super) async fn only_loopback(request: Request, next: Next) -> Response {
    match judge(request.uri(), request.headers()) {
        Verdict::Ours => next.run(request).await,
        Verdict::Foreign => (StatusCode::MISDIRECTED_REQUEST, MISDIRECTED).into_response(),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Ours,
    Foreign,
}

/// Without a `Host` it comes from no browser: HTTP/1.0 has none.
fn judge(uri: &Uri, headers: &HeaderMap) -> Verdict {
    let named = uri.authority().is_none_or(is_loopback_name);
    let hosts = headers.get_all(header::HOST).iter();
    let hosted = hosts
        .map(|host| host.to_str().ok().and_then(|host| host.parse().ok()))
        .all(|host: Option<Authority>| host.as_ref().is_some_and(is_loopback_name));
    if named && hosted { Verdict::Ours } else { Verdict::Foreign }
}

fn is_loopback_name(authority: &Authority) -> bool {
    if authority.as_str().contains('@') {
        return false;
    }
    let host = authority.host();
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    address.parse::<IpAddr>().is_ok() || host.eq_ignore_ascii_case("localhost")
}

const MISDIRECTED: &str = "the Host of this request is neither an IP address nor localhost, so it may come from a web page \
                           of someone else; ask by the address of `listeners.admin`, or have the proxy set Host to it\n";
