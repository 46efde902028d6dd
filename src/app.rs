//! Wiring: settings become tasks, and tasks end in order.
//!
//! Start: sockets are bound before anything else, so that a port that is taken is said at once; then the spool opens,
//! deliveries begin, and last the receivers. Shutdown goes the other way: nothing new is heard or sent, what was heard goes
//! into the spool while SMTP sessions end their open transactions and running deliveries finish, monitors get their last
//! answers, the spool closes. Whenever the process ends in between, what was accepted is on disk.
#![expect(clippy::disallowed_methods, reason = "the edge where the start and the grace period are timed")]

mod error;
pub mod reload;
mod shutdown;
mod state;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::admin::control::{self, Control};
use crate::admin::glance::{About, Glance};
use crate::admin::health;
use crate::admin::limit::Limited;
use crate::admin::readiness::{Readiness, Stage};
use crate::admin::reload::{ReloadDoor, ReloadRequest};
use crate::config::settings::Settings;
use crate::credentials::{self, Credentials};
use crate::delivery::netbios::LegacySide;
use crate::delivery::reports::Reporter;
use crate::delivery::scheduler::Scheduler;
use crate::inventory::{HostRecorder, Inventory};
use crate::listen::backlog::Backlog;
use crate::listen::datagram::Receiver;
use crate::listen::intake::{Intake, Left};
use crate::listen::judge::{Hearing, Judge, Shared};
use crate::listen::messenger::{self, Messenger};
use crate::listen::name_service::NameService;
use crate::listen::pickup::Pickup;
use crate::listen::pipeline::Pipeline;
use crate::listen::smtp::{self, FrontEnd};
use crate::listen::socket::DatagramSocket;
use crate::message::id::ListenerName;
use crate::policy::own_datagrams::OwnDatagrams;
use crate::spool::{Reach, Spool, SpoolError};
use crate::switch::Switches;
use crate::telemetry::metrics::Metrics;
pub use error::StartError;
pub use state::{Opening, open_spool};
use state::{make_state_dir, open_inventory, open_switches};

/// A gateway that runs.
#[derive(Debug)]
pub struct Gateway {
    datagram: SocketAddr,
    admin: SocketAddr,
    metrics: Arc<Metrics>,
    readiness: Readiness,
    spool: Spool,
    scheduler: Scheduler,
    receiver: JoinHandle<()>,
    intake: JoinHandle<Left>,
    name_service: Option<JoinHandle<()>>,
    front_end: FrontEnd,
    messenger: Option<Messenger>,
    pickup: Option<JoinHandle<()>>,
    stop_receiver: CancellationToken,
    give_up_intake: CancellationToken,
    servers: TaskTracker,
    stop_servers: CancellationToken,
    broke: CancellationToken,
    inventory: Option<Inventory>,
    switches: Switches,
    /// A reload sends through it to whoever hears.
    hearing: watch::Sender<Arc<Hearing>>,
    /// As it is, to who picks up mail.
    settings: watch::Sender<Arc<Settings>>,
    reloads: tokio::sync::Mutex<mpsc::Receiver<ReloadRequest>>,
}

impl Gateway {
    /// Starts everything; ready when it returns.
    ///
    /// # Errors
    /// [`StartError`]: nothing keeps running then.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let started_at = Timestamp::now();
        let hostname = settings.hostname.clone();
        let metrics = Arc::new(Metrics::new());
        let readiness = Readiness::default();
        let socket = DatagramSocket::bind(settings.datagram)?;
        let datagram = SocketAddr::V4(socket.address());
        let names = NameService::bind(&settings)?;
        let doors = smtp::Sockets::bind(&settings.smtp)?;
        let messenger = messenger::Bound::bind(&settings)?;
        let (monitors, admin) = bind_admin(settings.admin).await?;
        make_state_dir(&settings)?;
        let spool = open_spool(&settings, Arc::clone(&metrics), Opening::ToDeliver)?;
        let commands = control::bind(&settings.state_dir)?;
        let inventory = open_inventory(&settings, &metrics);
        let switches = open_switches(&settings, &metrics, started_at)?;
        let own = Arc::new(Mutex::new(OwnDatagrams::new()));
        let legacy = LegacySide { own: Arc::clone(&own), outbound: switches.outbound() };
        let scheduler = Scheduler::start(&settings, spool.clone(), Arc::clone(&metrics), &legacy).await?;
        tell_stranded(&spool, &scheduler).await?;

        let backlog = Arc::new(Backlog::new(Backlog::LIMIT, Arc::clone(&metrics)));
        let (hearing, heard) = watch::channel(Arc::new(Hearing::of(&settings)));
        let shared = Arc::new(Shared::new(switches.inbound()));
        let judge = || Judge::new(Arc::clone(&heard.borrow()), Arc::clone(&shared), Arc::clone(&metrics));
        let hosts = || inventory.clone().map(HostRecorder::new);
        let pipeline = Pipeline::new(judge(), own, Arc::clone(&metrics)).with_hosts(hosts());
        let receiver = Receiver::new(socket, pipeline, Arc::clone(&backlog), Arc::clone(&metrics))
            .map_err(|source| StartError::Watch { address: datagram, source })?;
        let intake = Intake::new(backlog, spool.clone(), Arc::clone(&metrics));
        let name_service = names
            .map(|socket| {
                let address = SocketAddr::V4(socket.address());
                NameService::new(socket, &settings, inventory.clone(), Arc::clone(&metrics))
                    .map(|service| service.led_by(spool.lead()))
                    .map_err(|source| StartError::Watch { address, source })
            })
            .transpose()?;

        let front_end =
            FrontEnd::start(doors, &settings, spool.clone(), inventory.clone(), Arc::clone(&metrics))?;
        let messenger = messenger
            .map(|bound| start_messenger(bound, judge(), heard.clone(), hosts(), &spool, &metrics))
            .transpose()?;
        let pickup = Pickup::prepare(&settings, front_end.directory(), spool.clone(), Arc::clone(&metrics))?;
        let settings = Arc::new(settings);
        let (in_force, newest) = watch::channel(Arc::clone(&settings));
        let broke = CancellationToken::new();
        let (stop_receiver, give_up_intake) = (CancellationToken::new(), CancellationToken::new());
        let receiver = spawn_vital(&broke, receiver.run(heard.clone(), stop_receiver.clone()));
        let intake = spawn_vital(&broke, intake.run(give_up_intake.clone()));
        let name_address = name_service.as_ref().map(|service| SocketAddr::V4(service.address()));
        let standings = name_service.as_ref().map(NameService::standings).unwrap_or_default();
        let name_service =
            name_service.map(|service| spawn_vital(&broke, service.run(heard, stop_receiver.clone())));
        let pickup = pickup.map(|pickup| spawn_vital(&broke, pickup.run(newest, stop_receiver.clone())));

        let about = About {
            hostname,
            started_at,
            datagram,
            name_service: name_address,
            messenger: messenger.as_ref().map(Messenger::address),
            admin,
            smtp: front_end.addresses().to_vec(),
        };
        let credentials = Credentials::default();
        let glance = Glance {
            about: Arc::new(about),
            readiness: readiness.clone(),
            destinations: scheduler.views().clone(),
            spool: spool.clone(),
            tarpit: front_end.tarpit(),
            switches: switches.clone(),
            names: standings,
            inventory: inventory.clone(),
            credentials: credentials.clone(),
            metrics: Arc::clone(&metrics),
        };
        let (reload, reloads) = ReloadDoor::new();
        let control = Control {
            reload,
            spool: spool.clone(),
            scheduler: scheduler.clone(),
            glance: glance.clone(),
            inventory: inventory.clone(),
        };
        let (servers, stop_servers) = (TaskTracker::new(), CancellationToken::new());
        let deliveries = scheduler.clone();
        let poke = move || deliveries.poke_all();
        servers.spawn(switches.clone().watch(inventory.clone(), poke, stop_servers.clone()));
        let mailing =
            credentials::Mailing { reporter: Reporter::of(&settings, &metrics), spool: spool.clone() };
        let watch =
            credentials::watch(&settings, credentials, Arc::clone(&metrics), mailing, stop_servers.clone());
        servers.spawn(watch);
        serve(&servers, &stop_servers, monitors, commands, glance, control);
        readiness.set(Stage::Ready);
        let sessions = messenger.as_ref().map(|messenger| tracing::field::display(messenger.address()));
        tracing::info!(%datagram, name_service = name_address.map(tracing::field::display), messenger = sessions, %admin, state_dir = %settings.state_dir.display(), "Ready.");
        Ok(Self {
            datagram,
            admin,
            metrics,
            readiness,
            spool,
            scheduler,
            receiver,
            intake,
            name_service,
            front_end,
            messenger,
            pickup,
            stop_receiver,
            give_up_intake,
            servers,
            stop_servers,
            broke,
            inventory,
            switches,
            hearing,
            settings: in_force,
            reloads: tokio::sync::Mutex::new(reloads),
        })
    }

    /// Where it hears UDP 138; the real port where 0 was configured.
    #[must_use]
    pub const fn datagram(&self) -> SocketAddr {
        self.datagram
    }

    /// Where SMTP clients reach each listener; the real port where 0 was configured.
    #[must_use]
    pub fn smtp(&self) -> &[(ListenerName, SocketAddr)] {
        self.front_end.addresses()
    }

    /// Where it takes sessions of `net send`, in mode answer; the real port where 0 was configured.
    #[must_use]
    pub fn messenger(&self) -> Option<SocketAddr> {
        self.messenger.as_ref().map(Messenger::address)
    }

    /// Where it answers monitors; the real port where 0 was configured.
    #[must_use]
    pub const fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Its metrics.
    #[must_use]
    pub const fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Returns when a part that it cannot do without has ended by a defect; never while all is well.
    pub async fn broke(&self) {
        tokio::select! {
            () = self.broke.cancelled() => {}
            () = self.scheduler.broke() => {}
            () = self.spool.broke() => {}
        }
    }
}

fn start_messenger(
    bound: messenger::Bound,
    judge: Judge,
    hearing: watch::Receiver<Arc<Hearing>>,
    hosts: Option<HostRecorder>,
    spool: &Spool,
    metrics: &Arc<Metrics>,
) -> Result<Messenger, StartError> {
    let address = bound.address();
    Messenger::start(bound, judge, hearing, hosts, spool.clone(), Arc::clone(metrics))
        .map_err(|source| StartError::Watch { address, source })
}

/// Spawns a task without which the gateway is deaf: its end, by return or by panic, is an end of `broke`'s wait.
fn spawn_vital<T: Send + 'static>(
    broke: &CancellationToken,
    task: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    let guard: DropGuard = broke.clone().drop_guard();
    tokio::spawn(async move {
        let _guard = guard;
        task.await
    })
}

/// Copies wait for a destination that the configuration no longer has: nobody else would say so until they expire.
async fn tell_stranded(spool: &Spool, scheduler: &Scheduler) -> Result<(), SpoolError> {
    if spool.reach() == Reach::Group {
        // Another gateway of the group may have it.
        return Ok(());
    }
    for (destination, copies) in spool.waiting().await? {
        if !scheduler.has(&destination) {
            tracing::error!(
                %destination,
                copies,
                "Messages wait for a destination that is not configured; configure it again, or see \
                 `mailslotd queue list --destination` and delete them."
            );
        }
    }
    Ok(())
}

async fn bind_admin(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Admin { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Connections that monitors, and commands, may hold open at once.
const ADMIN_CONNECTIONS: usize = 32;

fn serve(
    servers: &TaskTracker,
    stop: &CancellationToken,
    monitors: TcpListener,
    commands: UnixListener,
    glance: Glance,
    control: Control,
) {
    let stopped = stop.clone().cancelled_owned();
    servers.spawn(async move {
        axum::serve(Limited::new(monitors, ADMIN_CONNECTIONS), health::routes(glance))
            .with_graceful_shutdown(stopped)
            .await
    });
    let stopped = stop.clone().cancelled_owned();
    servers.spawn(async move {
        axum::serve(Limited::new(commands, ADMIN_CONNECTIONS), control::routes(control))
            .with_graceful_shutdown(stopped)
            .await
    });
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use jiff::tz::TimeZone;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn the_end_of_a_thread_of_the_spool_is_an_end_of_the_gateway_and_it_stops_without_waiting() {
        let scratch = tempfile::tempdir().unwrap();
        let anywhere = (Ipv4Addr::LOCALHOST, 0);
        let mut settings = Settings::built_in(scratch.path(), TimeZone::UTC);
        (settings.datagram, settings.admin) = (anywhere.into(), anywhere.into());
        let gateway = Gateway::start(settings).await.unwrap();
        assert!(timeout(Duration::ZERO, gateway.broke()).await.is_err(), "all is well");
        gateway.spool.clone().close().await;
        timeout(Duration::from_secs(20), gateway.broke()).await.expect("the gateway must not stay as it is");
        let grace = Duration::from_secs(3600);
        timeout(Duration::from_secs(20), gateway.shutdown(grace))
            .await
            .expect("nothing can be saved by waiting");
    }
}
