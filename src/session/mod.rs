//! Sans-IO protocol machines: input and the time go in, actions come out; no socket, no clock.
//!
//! All share their method names: `handle_input(now, input)`, `handle_timeout(now)`, `poll_output()`, `poll_timeout()`.
//! Extra calls are harmless.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::as_conversions
    )
)]

#[cfg(feature = "amqp")]
pub mod amqp_publisher;
pub mod call_forward;
#[cfg(feature = "mqtt")]
pub mod mqtt_publisher;
pub mod name_owner;
pub mod name_query;
pub mod name_questions;
pub mod netbios_client;
pub mod netbios_session;
pub mod oauth;
pub mod reassembly;
pub mod sasl;
pub mod smtp_client;
pub mod smtp_server;
