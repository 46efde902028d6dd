//! HTTP towards the operator: `/metrics`, `/healthz` and `/readyz` on loopback, the control socket for the commands.

pub mod api;
pub mod client;
pub mod control;
pub mod health;
mod host;
pub mod limit;
pub mod readiness;
