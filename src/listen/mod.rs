//! Sockets: bytes in, durable messages out.

pub mod datagram;
