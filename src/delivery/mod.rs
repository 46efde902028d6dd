//! Durable messages become attempts, attempts become outcomes.
//!
//! [`scheduler`] runs one `lane` for each destination: it asks the spool what is due and gives it to a
//! [`transport::Transport`]; what comes back goes to the spool. Delivery is at least once: an attempt whose answer is
//! lost is repeated with the same Message-ID.

#[cfg(feature = "amqp")]
pub mod amqp;
pub mod broker;
pub mod event;
pub mod graph;
mod lane;
pub mod maildir;
#[cfg(feature = "mqtt")]
pub mod mqtt;
#[cfg(feature = "nats")]
pub mod nats;
pub mod net_send;
pub mod netbios;
pub mod oauth;
#[cfg(any(feature = "amqp", feature = "mqtt", feature = "nats", feature = "redis"))]
mod one_connection;
pub mod outcome;
#[cfg(feature = "redis")]
pub mod redis;
pub mod reports;
pub mod scheduler;
pub mod submission;
mod sweep;
pub mod transport;
pub mod view;
pub mod webhook;
