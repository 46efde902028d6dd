//! Who still depends on this gateway: the hosts that speak the legacy protocols, the names they ask for, and the SMTP
//! clients that came, with what they can do and what they cannot.
//!
//! A database of its own, `inventory.db` in the state directory, apart from the spool: it is worth less than any message,
//! and nothing of it may ever make one wait. One thread keeps everything in memory and writes what changed once a minute,
//! all in one transaction, so that a host or client costs at most one write a minute however often it comes. A process
//! that is killed forgets the last minute.
//!
//! It is bounded: past [`Inventory::MOST`] clients the longest unseen go, strangers before own ones, so that the Internet
//! cannot push out the devices of the house; past as many hosts likewise, those of one day before those known for longer.
//! A file that SQLite cannot read is set aside and begun anew.
//!
//! Any SQLite tool may read the file; `schema.rs` describes its columns.

mod client;
mod clients;
mod comparison;
mod habits;
mod host;
mod hosts;
mod kept;
mod migration;
mod names;
mod recorder;
mod schema;
mod sighting;
mod snapshot;
mod verdict;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use tokio::sync::oneshot;

pub use crate::wire::smtp::quirk::{Quirk, Quirks};
pub use client::SmtpClient;
pub use comparison::{Change, ChangedHost, Comparison};
pub use habits::Habits;
pub use host::{AddressSeen, ChannelUse, Host, MessagesSent, NamedBy};
pub use migration::{Dependence, RECENT, advice};
pub use names::{AskedName, Asker};
pub use recorder::HostRecorder;
pub use schema::{Contents, InventoryError};
pub use sighting::{Acquaintance, AuthSeen, SmtpClientSeen, TlsSeen};
pub use snapshot::{Gathering, Snapshot};
pub use verdict::{Reason, Verdict, verdict_of};
use writer::{Order, Writer};

use crate::message::host::{HostSighting, NameQuerySeen};
use crate::telemetry::metrics::Metrics;

/// The file's name in the state directory.
pub const DATABASE: &str = "inventory.db";

/// A handle of the open inventory; clones share it.
#[derive(Debug, Clone)]
pub struct Inventory {
    orders: SyncSender<Order>,
    metrics: Arc<Metrics>,
}

impl Inventory {
    /// Clients that are remembered, and as many hosts; about 5 MB, and 10 MB where hosts say little, 80 MB were every list
    /// of every host full.
    pub const MOST: usize = 10_000;

    /// Names that are remembered because somebody asks for them.
    pub const MOST_NAMES: usize = 2_000;

    /// Opens the database, making it where it is absent, and starts its thread. One that cannot be read is set aside
    /// beside it as `inventory.db.damaged-<time>`, and an error logged.
    ///
    /// # Errors
    /// [`InventoryError`] when the file can neither be opened nor set aside.
    pub fn open(path: &Path, metrics: Arc<Metrics>) -> Result<Self, InventoryError> {
        let opened = schema::open_or_begin_anew(path)?;
        let (orders, waiting) = sync_channel(WAITING);
        Writer::new(path.to_owned(), opened, Arc::clone(&metrics)).start(waiting)?;
        Ok(Self { orders, metrics })
    }

    /// Notes that a client was here. Never waits: when the thread cannot keep up, the sighting is dropped and counted.
    pub fn record(&self, seen: SmtpClientSeen) {
        self.try_order(Order::Seen(Box::new(seen)));
    }

    /// Notes that the same was heard of a host `count` times, last at the time of `seen`. Never waits, as
    /// [`Self::record`]. A receiver of datagrams uses a [`HostRecorder`], which is cheaper.
    pub fn record_host(&self, seen: HostSighting, count: u64) {
        self.try_order(Order::HostSeen(Box::new(seen), count));
    }

    /// Notes that a name was asked for and that nobody was heard to answer. Never waits, as [`Self::record`].
    pub fn record_name(&self, seen: NameQuerySeen) {
        self.try_order(Order::NameAsked(Box::new(seen)));
    }

    /// All clients, the last seen first; none once it is closed.
    pub async fn smtp_clients(&self) -> Vec<SmtpClient> {
        let (answer, clients) = oneshot::channel();
        self.order(Order::Clients(answer)).await;
        clients.await.unwrap_or_default()
    }

    /// All hosts by name, and the names that nobody answers for, the one that is asked for most first; none once it is
    /// closed.
    pub async fn hosts(&self) -> (Vec<Host>, Vec<AskedName>) {
        let (answer, hosts) = oneshot::channel();
        self.order(Order::Hosts(answer)).await;
        hosts.await.unwrap_or_default()
    }

    /// Writes what is not written yet and ends the thread. Sightings that come later are dropped and counted.
    pub async fn close(self) {
        let (done, closed) = oneshot::channel();
        self.order(Order::Close(done)).await;
        // An error says that the thread is gone, which is what is wanted.
        closed.await.unwrap_or_default();
    }

    /// A sighting was not even looked at.
    fn dropped(&self) {
        self.metrics.inventory_sighting_dropped();
    }

    fn try_order(&self, order: Order) {
        if self.orders.try_send(order).is_err() {
            self.dropped();
        }
    }

    /// Waits for room without holding a worker of the runtime.
    async fn order(&self, order: Order) {
        let orders = self.orders.clone();
        let sent = tokio::task::spawn_blocking(move || orders.send(order)).await;
        // Whoever waits for the answer learns that there is none.
        drop(sent);
    }
}

/// What an inventory that nobody has open holds; `None` where there is no file.
///
/// # Errors
/// [`InventoryError`] when it cannot be read.
pub fn read(path: &Path) -> Result<Option<Contents>, InventoryError> {
    if !path.exists() {
        return Ok(None);
    }
    schema::read(path).map(Some)
}

/// Sightings between the sessions and the thread.
const WAITING: usize = 1024;

#[cfg(test)]
mod tests;
