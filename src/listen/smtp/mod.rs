//! The SMTP front-end: sockets and TLS around [`crate::session::smtp_server`].

pub mod authenticator;
pub mod certificate;
pub mod dnsbl;
pub mod socket;
pub mod stream;
mod tap;
pub mod tls;
