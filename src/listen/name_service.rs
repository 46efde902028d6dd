//! UDP 137: in mode observe, which names are asked for and answered by nobody; in mode answer, the owner of our names.
#![expect(clippy::disallowed_methods, reason = "the edge where the time of arrival is read")]

use std::io;
use std::net::SocketAddrV4;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::judge::Hearing;
use super::receive::{Batch, Received};
use super::socket::{BindError, DatagramSocket};
use crate::config::settings::{Mode, Settings};
use crate::inventory::Inventory;
use crate::session::name_owner::{Defence, Heard, Identity, NameOwner, Output, Verdict};
use crate::spool::Lead;
use crate::telemetry::log::Recurring;
use crate::telemetry::metrics::Metrics;
use crate::wire::name_service::Packet;
use asked::Asked;
use neighbourhood::Neighbourhood;
pub use standings::NameStandings;
use tell::Told;

mod asked;
mod neighbourhood;
mod send;
mod standings;
mod tell;

/// Hears the name service and, in mode answer, takes part in it.
///
/// It waits for the socket alone. What others send is answered at once or not at all; nothing is queued.
#[derive(Debug)]
pub struct NameService {
    socket: UdpSocket,
    address: SocketAddrV4,
    ear: Ear,
    /// Whether this gateway leads its group, where there is one.
    lead: Option<watch::Receiver<Lead>>,
}

/// Everything but the socket.
#[derive(Debug)]
struct Ear {
    /// Only in mode answer, and in a group only in the gateway that leads.
    owner: Option<NameOwner>,
    /// Who we are once we own names.
    identity: Option<(Identity, u16)>,
    /// When to claim them: the gateway that led before has let go of them by then.
    claim_at: Option<Instant>,
    asked: Asked,
    neighbourhood: Neighbourhood,
    told: Told,
    metrics: Arc<Metrics>,
    errors: Recurring,
    /// How long to leave the socket alone after the next error; grows while errors follow one another.
    pause: Duration,
}

impl NameService {
    /// The socket for it. In mode observe a port that cannot be had is told and done without: which names are asked for is
    /// worth less than any message.
    ///
    /// # Errors
    /// In mode answer, [`BindError`].
    pub fn bind(settings: &Settings) -> Result<Option<DatagramSocket>, BindError> {
        match (DatagramSocket::bind_name_service(settings.name_service), &settings.netbios.mode) {
            (Ok(socket), _) => Ok(Some(socket)),
            (Err(error), Mode::Answer(_)) => Err(error),
            (Err(error), Mode::Observe) => {
                tracing::warn!("{error}. Until then the inventory does not learn which names are asked for.");
                Ok(None)
            }
        }
    }

    /// The service on a bound socket; to be made inside a tokio runtime.
    ///
    /// # Errors
    /// When the runtime cannot watch the socket.
    pub fn new(
        socket: DatagramSocket,
        settings: &Settings,
        inventory: Option<Inventory>,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let address = socket.address();
        let identity = neighbourhood::identity_of(settings);
        let wins = identity.as_ref().map(|identity| identity.askers().wins.clone()).unwrap_or_default();
        let identity = identity.map(|identity| (identity, address.port()));
        let owner = identity.clone().map(|(identity, port)| new_owner(identity, port));
        let ear = Ear {
            identity,
            claim_at: None,
            told: Told::new(owner.as_ref(), Arc::clone(&metrics)),
            owner,
            asked: Asked::new(settings.decoding.clone(), inventory),
            neighbourhood: Neighbourhood::new(settings.netbios.interfaces.clone(), *address.ip(), wins),
            metrics,
            errors: Recurring::new(tell::EVERY),
            pause: FIRST_PAUSE,
        };
        Ok(Self { socket: UdpSocket::from_std(socket.into_inner())?, address, ear, lead: None })
    }

    /// In a group, names are owned only while this gateway leads it.
    #[must_use]
    pub fn led_by(mut self, mut lead: Option<watch::Receiver<Lead>>) -> Self {
        if let Some(lead) = &mut lead {
            self.ear.owner = None;
            self.ear.told.no_names();
            // It may lead already.
            lead.mark_changed();
        }
        self.lead = lead;
        self
    }

    /// Where it listens; the real port where 0 was asked for.
    #[must_use]
    pub const fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// Where the claims of its names stand, now and later.
    #[must_use]
    pub fn standings(&self) -> NameStandings {
        self.ear.told.shown()
    }

    /// Hears until `stop`, and reads names as the newest of `hearing` says; then releases its own, which takes a little
    /// more than half a second.
    pub async fn run(self, mut hearing: watch::Receiver<Arc<Hearing>>, stop: CancellationToken) {
        let Self { socket, address, mut ear, mut lead } = self;
        tracing::info!(%address, answers = ear.identity.is_some(), "Listening for the NetBIOS name service.");
        let mut batch = Batch::new();
        loop {
            ear.handle_timeout(&socket, Instant::now());
            let wake = tokio::time::Instant::from_std(ear.poll_timeout());
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Ok(()) = hearing.changed() => {
                    let decoding = hearing.borrow_and_update().decoding.clone();
                    ear.asked.adopt(decoding);
                }
                now_lead = changed(&mut lead) => ear.follow(&socket, now_lead).await,
                () = tokio::time::sleep_until(wake) => {}
                ready = socket.readable() => {
                    let turn = ready.and_then(|()| ear.turn(&socket, &mut batch));
                    let Err(error) = turn else {
                        ear.pause = FIRST_PAUSE;
                        // What still waits comes with the next turn; other tasks have theirs in between.
                        tokio::task::yield_now().await;
                        continue;
                    };
                    let pause = ear.failed(&error);
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = tokio::time::sleep(pause) => {}
                    }
                }
            }
        }
        ear.leave(&socket).await;
        tracing::info!(%address, "No longer listening for the NetBIOS name service.");
    }
}

/// Waits until the lead changes, for ever where there is no group.
async fn changed(lead: &mut Option<watch::Receiver<Lead>>) -> Lead {
    if let Some(receiver) = lead {
        if receiver.changed().await.is_ok() {
            return *receiver.borrow_and_update();
        }
        // The spool is closed, and we soon are.
        *lead = None;
    }
    std::future::pending().await
}

impl Ear {
    /// Owns the names from now on, or lets go of them: another gateway of the group has them.
    async fn follow(&mut self, socket: &UdpSocket, lead: Lead) {
        match lead {
            Lead::Ours => match &mut self.owner {
                Some(owner) => owner.defend(Defence::Refuse),
                None if self.identity.is_some() => self.claim_at = Instant::now().checked_add(HANDOVER),
                None => {}
            },
            // Whoever leads next claims the names by broadcast, which all on the segment hear; until then they are of more
            // use owned than not. A WINS server would ask us whether they are still ours, and refuse the other.
            Lead::Lapsed if !self.asks_wins() => {
                self.claim_at = None;
                if let Some(owner) = &mut self.owner {
                    owner.defend(Defence::Yield);
                }
            }
            Lead::Lapsed | Lead::Another => {
                self.claim_at = None;
                if self.owner.is_some() {
                    self.leave(socket).await;
                    self.let_go();
                }
            }
        }
    }

    fn asks_wins(&self) -> bool {
        self.identity.as_ref().is_some_and(|(identity, _)| !identity.askers().wins.is_empty())
    }

    /// Owns no names from now on, and answers for none.
    fn let_go(&mut self) {
        self.owner = None;
        self.told.no_names();
        tracing::info!("The names are let go of: another gateway of the group owns them, or will.");
    }

    /// Reads until nothing waits or other tasks have waited long enough.
    fn turn(&mut self, socket: &UdpSocket, batch: &mut Batch) -> io::Result<()> {
        for _ in 0..READS_PER_TURN {
            let read = socket.try_io(Interest::READABLE, || {
                let now = Instant::now();
                batch.receive(socket, |received| {
                    self.take(&received, now);
                    self.put_out(socket, now);
                })
            });
            match read {
                Ok(read) => {
                    self.metrics.name_packets_received(u64::try_from(read.datagrams).unwrap_or(u64::MAX));
                    if read.dropped > 0 {
                        self.metrics.name_packets_ignored("kernel", read.dropped.into());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// One packet. When the code panics on it, it costs this packet alone.
    fn take(&mut self, received: &Received<'_>, now: Instant) {
        let taken = catch_unwind(AssertUnwindSafe(|| self.hear(received, now)));
        if taken.is_err() {
            self.metrics.panicked();
            tracing::error!(
                source = %received.source,
                length = received.bytes.len(),
                "A packet of the name service was dropped because of a defect in this program; please report it with a \
                 capture."
            );
        }
    }

    fn hear(&mut self, received: &Received<'_>, now: Instant) {
        let Some(heard) = neighbourhood::heard(received) else { return };
        let packet = match Packet::parse(received.bytes) {
            Ok(packet) => packet,
            Err(error) => {
                self.metrics.name_packets_ignored("malformed", 1);
                tracing::debug!(source = %heard.source, %error, "A packet of the name service is malformed.");
                return;
            }
        };
        match &mut self.owner {
            Some(owner) => {
                let verdict = owner.handle_input(now, &packet, heard);
                self.told.verdict(verdict, &packet, heard, now);
                if self.neighbourhood.may_have_grown(verdict) {
                    self.neighbourhood.read_again_soon(now);
                }
                if neighbourhood::is_unanswered(verdict) {
                    self.note_question(&packet, heard, now);
                }
                if verdict == Verdict::Yielded {
                    self.let_go();
                }
            }
            None => {
                self.told.observed(&packet);
                self.note_question(&packet, heard, now);
            }
        }
    }

    /// A question of a neighbour that we do not answer ourselves.
    fn note_question(&mut self, packet: &Packet<'_>, heard: Heard, now: Instant) {
        if self.neighbourhood.is_broadcast_of_neighbour(heard) {
            self.asked.take(packet, *heard.source.ip(), now);
        }
    }

    fn poll_timeout(&self) -> Instant {
        let owner = self.owner.as_ref().and_then(NameOwner::poll_timeout);
        let others = [self.asked.poll_timeout(), self.told.poll_timeout(), owner];
        others
            .into_iter()
            .flatten()
            .chain(self.claim_at)
            .fold(self.neighbourhood.poll_timeout(), Instant::min)
    }

    fn handle_timeout(&mut self, socket: &UdpSocket, now: Instant) {
        if self.claim_at.take_if(|at| *at <= now).is_some() {
            self.owner = self.identity.clone().map(|(identity, port)| new_owner(identity, port));
            self.neighbourhood.read_now(now);
        }
        if self.neighbourhood.poll_timeout() <= now {
            self.neighbourhood.read(now);
            if let Some(owner) = &mut self.owner {
                owner.handle_links(now, self.neighbourhood.links(), &self.neighbourhood.routes());
            }
        }
        if let Some(owner) = &mut self.owner {
            owner.handle_timeout(now);
        }
        self.asked.handle_timeout(now);
        self.told.handle_timeout(now);
        self.put_out(socket, now);
    }

    /// Does what the owner wants done.
    fn put_out(&mut self, socket: &UdpSocket, now: Instant) {
        let Some(owner) = &mut self.owner else { return };
        let mut changed = false;
        while let Some(output) = owner.poll_output() {
            match output {
                Output::Tell(event) => {
                    changed = true;
                    self.told.event(event, now);
                }
                Output::Send(datagram) => match send::send(socket, &datagram) {
                    Ok(()) => self.metrics.netbios_packet_sent(),
                    Err(error) => self.told.not_sent(&error, datagram.to, now),
                },
            }
        }
        if changed {
            self.told.standings(owner);
        }
    }

    /// Releases all names.
    async fn leave(&mut self, socket: &UdpSocket) {
        if let Some(owner) = &mut self.owner {
            owner.leave(Instant::now());
        }
        self.put_out(socket, Instant::now());
        while let Some(due) = self.owner.as_ref().and_then(NameOwner::poll_timeout) {
            tokio::time::sleep_until(due.into()).await;
            if let Some(owner) = &mut self.owner {
                owner.handle_timeout(Instant::now());
            }
            self.put_out(socket, Instant::now());
        }
    }

    /// An error of the socket: it is said, and the socket left alone for longer each time.
    fn failed(&mut self, error: &io::Error) -> Duration {
        if let Some(count) = self.errors.happened(1, Instant::now()) {
            tracing::warn!(%error, count, "The socket of the name service reported an error; it is read again.");
        }
        let pause = self.pause;
        self.pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        pause
    }
}

fn new_owner(identity: Identity, port: u16) -> NameOwner {
    let mut transaction = [0; 2];
    if getrandom::fill(&mut transaction).is_err() {
        tracing::debug!("There is no randomness; name service transactions count from zero.");
    }
    NameOwner::new(identity, port, u16::from_ne_bytes(transaction), Instant::now())
}

/// With [`Batch::SIZE`] packets each.
const READS_PER_TURN: usize = 4;

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Between taking the lead of a group and claiming its names: whoever led before let go of that a second before, and its
/// releases take three quarters of one.
const HANDOVER: Duration = Duration::from_millis(500);
