//! The loop that takes connections from a socket, also when there is nothing to take them with.
#![expect(clippy::disallowed_methods, reason = "the edge where the time of arrival is read")]

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::telemetry::log::Recurring;

/// What is done with connections.
pub(super) trait Entrance {
    /// Who connects, in the log.
    const CLIENTS: &'static str;
    /// The limit that the operator may lower where there are too few files, in the log.
    const LIMIT: &'static str;
    /// Serves one; returns at once.
    fn enter(&self, stream: TcpStream, peer: SocketAddr);
    /// Turns one away that there are no files for.
    fn turn_away(&self, stream: TcpStream, peer: SocketAddr);
}

/// Takes connections until `stop`.
///
/// A process that may open no more files would leave clients without an answer in the kernel's line until they give up: a
/// file that is kept open for this case is closed, so that one after the other can be told to come later.
pub(super) async fn accept<E: Entrance>(listener: TcpListener, entrance: E, stop: CancellationToken) {
    let mut spare = spare();
    let mut trouble = Recurring::new(TELL_EVERY);
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let error = match accepted {
            Ok((stream, peer)) => {
                entrance.enter(stream, peer);
                continue;
            }
            Err(error) => error,
        };
        if is_of_the_client(&error) {
            continue;
        }
        if let Some(count) = trouble.happened(1, Instant::now()) {
            tell::<E>(&listener, &error, count);
        }
        if is_out_of_files(&error) {
            drop(spare.take());
            if let Ok(Ok((stream, peer))) = tokio::time::timeout(Duration::ZERO, listener.accept()).await {
                entrance.turn_away(stream, peer);
            }
            spare = self::spare();
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

fn tell<E: Entrance>(listener: &TcpListener, error: &io::Error, count: u64) {
    let address = listener.local_addr().map_or_else(|_| String::from("?"), |address| address.to_string());
    if is_out_of_files(error) {
        tracing::error!(
            address,
            clients = E::CLIENTS,
            limit = E::LIMIT,
            count,
            %error,
            "Connections cannot be taken: raise LimitNOFILE in the systemd unit (`ulimit -n`), or lower the limit named here."
        );
    } else {
        tracing::warn!(
            address,
            clients = E::CLIENTS,
            count,
            %error,
            "Connections could not be taken; trying again."
        );
    }
}

/// The client was gone before it was taken.
fn is_of_the_client(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted)
}

fn is_out_of_files(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(nix::libc::EMFILE | nix::libc::ENFILE))
}

/// Any file that is always there and costs nothing.
fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}

const TELL_EVERY: Duration = Duration::from_secs(60);
/// While nothing can be taken; each such pause turns one client away.
const PAUSE: Duration = Duration::from_millis(50);
