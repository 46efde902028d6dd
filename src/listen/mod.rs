//! Sockets: bytes in, durable messages out.

pub mod receive;
pub mod socket;
