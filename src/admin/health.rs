//! `/metrics`, `/healthz`, `/readyz`: what a monitor asks. Answers on loopback only, and changes nothing.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use super::api::{DestinationStatus, destinations};
use super::host::only_loopback;
use super::readiness::{Readiness, Stage};
use crate::delivery::view::Views;
use crate::message::id::ListenerName;
use crate::message::mail::Class;
use crate::spool::Spool;
use crate::telemetry::metrics::Metrics;

/// What the answers are made from.
#[derive(Clone)]
pub struct Health {
    /// Every metric.
    pub metrics: Arc<Metrics>,
    /// Between start and stop.
    pub readiness: Readiness,
    /// The live state of the destinations.
    pub destinations: Views,
    /// Whether it accepts.
    pub spool: Spool,
    /// Where SMTP clients reach each listener.
    pub smtp: Vec<(ListenerName, SocketAddr)>,
}

/// The routes.
pub fn routes(health: Health) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .layer(axum::middleware::from_fn(only_loopback))
        .with_state(health)
}

async fn index() -> &'static str {
    "mailslotd\n\n/metrics  for Prometheus\n/healthz  200 while the process works\n/readyz   200 while it takes messages: \
     sockets bound, and the spool accepts alarms; the destinations' states are detail\n"
}

async fn metrics(State(health): State<Health>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], health.metrics.encode())
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
async fn readyz(State(health): State<Health>) -> Response {
    let stage = health.readiness.stage();
    let accepting = health.spool.accepting(Class::Notice);
    let status = match (stage, &accepting) {
        (Stage::Ready, Ok(())) => StatusCode::OK,
        (Stage::Ready, Err(_)) | (Stage::Starting | Stage::Stopping, _) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let spool = accepting.map_or_else(|error| error.to_string(), |()| "accepting".to_owned());
    let listening = |(listener, address): &(ListenerName, SocketAddr)| Listening {
        listener: listener.clone(),
        address: *address,
    };
    let smtp = health.smtp.iter().map(listening).collect();
    let destinations = destinations(&health.destinations);
    (status, Json(Ready { stage, spool, destinations, smtp })).into_response()
}
