//! Who still depends on this gateway: the SMTP clients that came, what they can do and what they cannot.
//!
//! A database of its own, `inventory.db` in the state directory, apart from the spool: it is worth less than any message,
//! and nothing of it may ever make one wait. One thread keeps all clients in memory and writes those that changed once a
//! minute, all in one transaction, so that a client costs at most one write a minute however often it comes. A process
//! that is killed forgets the last minute.
//!
//! It is bounded: past [`Inventory::MOST`] clients the longest unseen go, strangers before own ones, so that the Internet
//! cannot push out the devices of the house. A file that SQLite cannot read is set aside and begun anew.
//!
//! Any SQLite tool may read the file; `schema.rs` describes its columns.

mod client;
mod clients;
mod schema;
mod sighting;
mod verdict;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use tokio::sync::oneshot;

pub use crate::wire::smtp::quirk::{Quirk, Quirks};
pub use client::SmtpClient;
pub use schema::InventoryError;
pub use sighting::{Acquaintance, AuthSeen, SmtpClientSeen, TlsSeen};
pub use verdict::{Reason, Verdict, verdict_of};
use writer::{Order, Writer};

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
    /// Clients that are remembered; about 5 MB.
    pub const MOST: usize = 10_000;

    /// Opens the database, making it where it is absent, and starts its thread. One that cannot be read is set aside
    /// beside it as `inventory.db.damaged-<time>`, and an error logged.
    ///
    /// # Errors
    /// [`InventoryError`] when the file can neither be opened nor set aside.
    pub fn open(path: &Path, metrics: Arc<Metrics>) -> Result<Self, InventoryError> {
        let opened = schema::open_or_begin_anew(path)?;
        let (orders, waiting) = sync_channel(WAITING);
        Writer::new(path.to_owned(), opened).start(waiting)?;
        Ok(Self { orders, metrics })
    }

    /// Notes that a client was here. Never waits: when the thread cannot keep up, the sighting is dropped and counted.
    pub fn record(&self, seen: SmtpClientSeen) {
        if self.orders.try_send(Order::Seen(Box::new(seen))).is_err() {
            self.metrics.inventory_sighting_dropped();
        }
    }

    /// All clients, the last seen first; none once it is closed.
    pub async fn smtp_clients(&self) -> Vec<SmtpClient> {
        let (answer, clients) = oneshot::channel();
        self.order(Order::Clients(answer)).await;
        clients.await.unwrap_or_default()
    }

    /// Writes what is not written yet and ends the thread. Sightings that come later are dropped and counted.
    pub async fn close(self) {
        let (done, closed) = oneshot::channel();
        self.order(Order::Close(done)).await;
        // An error says that the thread is gone, which is what is wanted.
        closed.await.unwrap_or_default();
    }

    /// Waits for room without holding a worker of the runtime.
    async fn order(&self, order: Order) {
        let orders = self.orders.clone();
        let sent = tokio::task::spawn_blocking(move || orders.send(order)).await;
        // Whoever waits for the answer learns that there is none.
        drop(sent);
    }
}

/// The clients of an inventory that nobody has open, the last seen first; `None` where there is no file.
///
/// # Errors
/// [`InventoryError`] when it cannot be read.
pub fn read(path: &Path) -> Result<Option<Vec<SmtpClient>>, InventoryError> {
    if !path.exists() {
        return Ok(None);
    }
    schema::read(path).map(Some)
}

/// Sightings between the sessions and the thread.
const WAITING: usize = 1024;

#[cfg(test)]
mod tests;
