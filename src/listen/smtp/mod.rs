//! The SMTP front-end: sockets and TLS around [`crate::session::smtp_server`].

pub mod socket;
