//! How other hosts are reached: names and addresses to TCP connections, TLS, HTTP, one question for many who ask it.
//!
//! Shared by what asks (the recipient filter, DNS block lists), what delivers, and what listens on each interface.

pub mod connect;
pub mod http;
pub mod link;
#[cfg(feature = "nats")]
pub mod nats;
pub mod question;
pub mod stream;
pub mod tls;
pub mod unverified;
