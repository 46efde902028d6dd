//! What keeps a gateway from starting.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::admin::control::SocketError;
use crate::delivery::scheduler::SchedulerError;
use crate::listen::pickup::FolderError;
use crate::listen::smtp::FrontEndError;
use crate::listen::socket::BindError;
use crate::listen::stream_socket;
use crate::spool::SpoolError;
use crate::switch::RecordError;

/// Why a gateway did not start. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state directory cannot be made.
    #[error(
        "cannot make the state directory {path}: {source}; make it for the user that runs mailslotd, or set `state_dir`",
        path = .path.display()
    )]
    StateDir {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// UDP 138 or 137 cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A TCP port for SMTP or for sessions of `net send` cannot be had.
    #[error(transparent)]
    StreamBind(#[from] stream_socket::BindError),
    /// The SMTP front-end cannot be set up.
    #[error(transparent)]
    FrontEnd(#[from] FrontEndError),
    /// The runtime cannot watch the socket.
    #[error("cannot watch the socket on {address}: {source}")]
    Watch {
        /// Its address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The admin address cannot be had.
    #[error(
        "cannot serve /metrics on TCP {address}: {source}; choose another `listeners.admin.address`, or stop what uses it (`ss -ltnp`)"
    )]
    Admin {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The spool cannot be opened.
    #[error("{0}")]
    Spool(#[from] SpoolError),
    /// The control socket cannot be had.
    #[error(transparent)]
    Control(#[from] SocketError),
    /// Mail cannot be picked up.
    #[error("pickup: {0}")]
    Pickup(#[from] FolderError),
    /// The orders about mailslot messages cannot be read.
    #[error(transparent)]
    Switch(#[from] RecordError),
    /// A destination cannot be set up.
    #[error(transparent)]
    Destination(#[from] SchedulerError),
}
