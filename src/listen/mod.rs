//! Sockets: bytes in, durable messages out.
//!
//! [`socket`] binds, [`receive`] reads many datagrams at once, [`pipeline`] understands each and [`judge`] decides
//! about it, as about the messages of sessions, [`backlog`] holds what is
//! to be delivered, [`intake`] makes it durable. [`datagram`] is the task from the socket to the backlog.
//! [`name_service`] is UDP 137. [`smtp`] is the front-end for mail, [`messenger`] takes `net send` over sessions, both by
//! connections that `accept` takes from a [`stream_socket`]; [`owner`] tells who has a port that was wanted,
//! [`routers`] through whom the Internet comes.

mod accept;
pub mod backlog;
pub mod datagram;
pub mod intake;
pub mod judge;
pub mod links;
pub mod messenger;
pub mod name_service;
pub mod owner;
pub mod pickup;
pub mod pipeline;
pub mod receive;
pub mod routers;
pub mod smtp;
pub mod socket;
pub mod stream_socket;
