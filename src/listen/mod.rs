//! Sockets: bytes in, durable messages out.

pub mod backlog;
pub mod receive;
pub mod socket;
