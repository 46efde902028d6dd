//! `/metrics`, `/healthz`, `/readyz`: what a monitor asks; and the page. Answers on loopback only, and changes nothing.
#![expect(clippy::disallowed_methods, reason = "the edge where the time of the page is read")]

use std::net::SocketAddr;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use jiff::Timestamp;
use serde::Serialize;

use super::api::{DestinationStatus, destinations};
use super::glance::Glance;
use super::host::only_loopback;
use super::page::{self, Facts};
use super::readiness::Stage;
use crate::message::id::ListenerName;
use crate::message::mail::Class;
use crate::spool::GroupStanding;

/// The routes.
pub fn routes(glance: Glance) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .layer(axum::middleware::from_fn(only_loopback))
        .with_state(glance)
}

/// The page for a browser; for a client that does not ask for HTML, the list of what there is.
async fn index(State(glance): State<Glance>, headers: HeaderMap) -> Response {
    let accepts = headers.get_all(header::ACCEPT).iter();
    let html = accepts.filter_map(|accept| accept.to_str().ok()).any(|accept| accept.contains("text/html"));
    if !html {
        return INDEX.into_response();
    }
    let (status, tarpit) = (glance.status().await, glance.tarpit());
    page::response(&Facts { status: &status, tarpit: &tarpit, now: Timestamp::now() })
}

async fn metrics(State(glance): State<Glance>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], glance.metrics.encode())
        .into_response()
}

async fn healthz() -> &'static str {
    "ok\n"
}

#[derive(Serialize)]
struct Ready {
    stage: Stage,
    /// `accepting`, or why it accepts no alarm: a limit, a full disk or a fault.
    spool: String,
    /// How the gateways stand that share its spool; absent where they do not.
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<GroupStanding>,
    destinations: Vec<DestinationStatus>,
    smtp: Vec<Listening>,
}

/// Where an SMTP listener is reached.
#[derive(Serialize)]
struct Listening {
    listener: ListenerName,
    address: SocketAddr,
}

/// Not ready while the spool refuses the messages that it refuses last, notices: whoever watches should know that nothing
/// is made durable. While only mail is refused, the gateway still does what it is there for.
async fn readyz(State(glance): State<Glance>) -> Response {
    let stage = glance.readiness.stage();
    let accepting = glance.spool.accepting(Class::Notice);
    let status = match (stage, &accepting) {
        (Stage::Ready, Ok(())) => StatusCode::OK,
        (Stage::Ready, Err(_)) | (Stage::Starting | Stage::Stopping, _) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let spool = accepting.map_or_else(|error| error.to_string(), |()| "accepting".to_owned());
    let listening = |(listener, address): &(ListenerName, SocketAddr)| Listening {
        listener: listener.clone(),
        address: *address,
    };
    let smtp = glance.about.smtp.iter().map(listening).collect();
    let destinations =
        destinations(&glance.destinations).into_iter().map(DestinationStatus::without_words).collect();
    let group = glance.group().await;
    (status, Json(Ready { stage, spool, group, destinations, smtp })).into_response()
}

const INDEX: &str = "mailslotd\n\n/         in a browser: the gateway at a glance\n/metrics  for Prometheus\n/healthz  200 while the \
                     process works\n/readyz   200 while it takes messages: sockets bound, and the spool accepts alarms; the \
                     destinations' states are detail\n";
