//! Sockets: bytes in, durable messages out.
//!
//! [`socket`] binds, [`receive`] reads many datagrams at once, [`pipeline`] decides about each, [`backlog`] holds what is
//! to be delivered, [`intake`] makes it durable. [`datagram`] is the task from the socket to the backlog.

pub mod backlog;
pub mod datagram;
pub mod intake;
pub mod pipeline;
pub mod receive;
pub mod socket;
