//! Who is let in.
#![expect(clippy::disallowed_methods, reason = "the edge where the time of arrival is read")]

use std::net::SocketAddr;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::Connection;
use super::shared::{Admitted, Shared};
use crate::listen::accept::Entrance;
use crate::message::notice::{Arrival, Listener};
use crate::telemetry::metrics::messenger::SessionRefusal;
use crate::wire::session_service::{Packet, RefusalCode};

/// What takes connections.
pub(super) struct Door {
    pub(super) shared: Arc<Shared>,
    pub(super) sessions: TaskTracker,
    /// When it is cancelled, sessions end as soon as their message does.
    pub(super) stop: CancellationToken,
}

impl Entrance for Door {
    const CLIENTS: &'static str = "senders of sessions";
    const LIMIT: &'static str = "netbios.sessions.in_all";

    fn enter(&self, stream: TcpStream, peer: SocketAddr) {
        let arrival = arrival(&stream, peer);
        match self.shared.admit(&arrival) {
            Ok(admitted) => {
                let visit = Visit(admitted);
                self.sessions.spawn(visit.serve(stream, arrival, self.stop.clone()));
            }
            Err(reason) => self.refuse(&stream, peer, reason),
        }
    }

    fn turn_away(&self, stream: TcpStream, peer: SocketAddr) {
        self.refuse(&stream, peer, SessionRefusal::OutOfFiles);
    }
}

impl Door {
    /// Says that there are no resources, where the sender can read it; nothing to one that is not heard.
    fn refuse(&self, stream: &TcpStream, peer: SocketAddr, reason: SessionRefusal) {
        self.shared.refused(peer.ip(), reason);
        if reason == SessionRefusal::NotAllowed {
            return;
        }
        let mut answer = Vec::new();
        if Packet::Negative(RefusalCode::INSUFFICIENT_RESOURCES).emit(&mut answer).is_ok() {
            // It fits into a socket's buffer that nothing was written to; one that is gone needs no answer.
            drop(stream.try_write(&answer));
            self.shared.metrics.netbios_packet_sent();
        }
    }
}

/// How a connection came.
fn arrival(stream: &TcpStream, peer: SocketAddr) -> Arrival {
    Arrival {
        at: Timestamp::now(),
        source: SocketAddr::new(peer.ip().to_canonical(), peer.port()),
        destination: stream.local_addr().ok().map(|address| address.ip().to_canonical()),
        interface: None,
        listener: Listener::Messenger,
    }
}

/// One connection, counted out at its end however it ends.
struct Visit(Admitted);

impl Visit {
    async fn serve(self, stream: TcpStream, arrival: Arrival, stop: CancellationToken) {
        let shared = self.0.shared();
        let connection = Connection::new(Arc::clone(shared), stream, arrival, stop);
        let ending = connection.run().await;
        shared.metrics.messenger_session_ended(ending.as_str());
        tracing::debug!(source = %arrival.source, ending = ending.as_str(), "A session of `net send` ended.");
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.shared().metrics.panicked();
            tracing::error!(
                "A session of `net send` ended by a defect in this program; others go on, and its sender learns that its \
                 message was not taken. Please report it."
            );
        }
    }
}
