//! HTTP towards the operator: the page, `/metrics`, `/healthz` and `/readyz` on loopback, the control socket for the
//! commands.

pub mod api;
pub mod client;
pub mod control;
pub mod glance;
pub mod health;
mod host;
pub mod limit;
pub mod page;
pub mod readiness;
pub mod reload;
pub mod words;
