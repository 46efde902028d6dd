//! `/metrics`, `/healthz`, `/readyz`: what a monitor asks. Answers on loopback only, and changes nothing.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use super::api::{DestinationStatus, destinations};
use super::readiness::{Readiness, Stage};
use crate::delivery::view::Views;
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
    destinations: Vec<DestinationStatus>,
}

async fn readyz(State(health): State<Health>) -> Response {
    let stage = health.readiness.stage();
    let status = match stage {
        Stage::Ready => StatusCode::OK,
        Stage::Starting | Stage::Stopping => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(Ready { stage, destinations: destinations(&health.destinations) })).into_response()
}
