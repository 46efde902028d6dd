//! `/metrics`, `/healthz`, `/readyz`: what a monitor asks. Answers on loopback only, and changes nothing.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use super::readiness::{Readiness, Stage};
use crate::telemetry::metrics::Metrics;

/// What the answers are made from.
#[derive(Clone)]
pub struct Health {
    /// Every metric.
    pub metrics: Arc<Metrics>,
    /// Between start and stop.
    pub readiness: Readiness,
    /// The destinations and their states, asked at each request.
    pub destinations: Arc<dyn Fn() -> Vec<DestinationLine> + Send + Sync>,
}

/// One destination in the detail of `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DestinationLine {
    /// Its name.
    pub name: String,
    /// `up`, `down`, `operator_fault`, `throttled` or `paused`.
    pub state: &'static str,
    /// Why, where it is not up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The routes.
pub fn routes(health: Health) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(health)
}

async fn index() -> &'static str {
    "mailslotd\n\n/metrics  for Prometheus\n/healthz  200 while the process works\n/readyz   200 while it takes messages: \
     sockets bound, spool open; the destinations' states are detail\n"
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
    destinations: Vec<DestinationLine>,
}

async fn readyz(State(health): State<Health>) -> Response {
    let stage = health.readiness.stage();
    let status = match stage {
        Stage::Ready => StatusCode::OK,
        Stage::Starting | Stage::Stopping => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(Ready { stage, destinations: (health.destinations)() })).into_response()
}
