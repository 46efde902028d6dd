//! The thread that keeps the clients and writes them.
#![expect(clippy::disallowed_methods, reason = "the edge where it is found out that a minute has passed")]

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::Inventory;
use super::client::SmtpClient;
use super::clients::{Changes, Clients};
use super::schema::{self, InventoryError, Opened};
use super::sighting::SmtpClientSeen;
use crate::telemetry::log::Recurring;

/// What the thread is asked for.
#[derive(Debug)]
pub(super) enum Order {
    /// A client was here.
    Seen(Box<SmtpClientSeen>),
    /// List all.
    Clients(oneshot::Sender<Vec<SmtpClient>>),
    /// Write what is not written yet and end.
    Close(oneshot::Sender<()>),
}

/// The state of the thread.
pub(super) struct Writer {
    path: PathBuf,
    /// `None` while the database could not be opened again.
    connection: Option<Connection>,
    clients: Clients,
    write_at: Instant,
    faults: Recurring,
}

impl Writer {
    pub(super) fn new(path: PathBuf, opened: Opened) -> Self {
        let clients = Clients::new(opened.clients, Inventory::MOST);
        Self {
            path,
            connection: Some(opened.connection),
            clients,
            write_at: Instant::now() + EVERY,
            faults: Recurring::new(TELL_EVERY),
        }
    }

    /// Ends when it is told to, or when nobody has a handle any more.
    pub(super) fn start(mut self, orders: Receiver<Order>) -> Result<(), InventoryError> {
        let path = self.path.clone();
        std::thread::Builder::new()
            .name("inventory".to_owned())
            .spawn(move || self.run(&orders))
            .map(drop)
            .map_err(|source| InventoryError::File { path, source })
    }

    fn run(&mut self, orders: &Receiver<Order>) {
        loop {
            match orders.recv_timeout(self.write_at.saturating_duration_since(Instant::now())) {
                Ok(Order::Seen(seen)) => self.clients.add(*seen),
                // Whoever asked may be gone.
                Ok(Order::Clients(answer)) => drop(answer.send(self.clients.list())),
                Ok(Order::Close(done)) => {
                    self.write();
                    self.connection = None;
                    done.send(()).ok();
                    return;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.write(),
            }
            if Instant::now() >= self.write_at {
                self.write();
                self.write_at = Instant::now() + EVERY;
            }
        }
    }

    fn write(&mut self) {
        let changes = self.clients.take_changes();
        if changes.is_empty() {
            return;
        }
        match self.try_write(&changes) {
            Ok(()) => {}
            Err(error) => {
                self.clients.not_written(changes);
                if self.faults.happened(1, Instant::now()).is_some() {
                    tracing::warn!(
                        %error,
                        "The inventory cannot be written; it goes on in memory and is tried again every minute."
                    );
                }
            }
        }
    }

    fn try_write(&mut self, changes: &Changes) -> Result<(), InventoryError> {
        let written = match self.connection.as_mut() {
            Some(connection) => schema::write(connection, changes),
            None => return self.begin_anew(),
        };
        match written {
            Ok(()) => Ok(()),
            Err(error) if schema::is_damage(&error) => {
                self.connection = None;
                self.begin_anew()
            }
            Err(source) => Err(InventoryError::Database { path: self.path.clone(), source }),
        }
    }

    /// The database was damaged while it was open: what is in memory is all there is to know.
    fn begin_anew(&mut self) -> Result<(), InventoryError> {
        let mut opened = schema::open_or_begin_anew(&self.path)?;
        self.clients.write_all();
        let all = self.clients.take_changes();
        let written = schema::write(&mut opened.connection, &all);
        written.map_err(|source| InventoryError::Database { path: self.path.clone(), source })?;
        self.connection = Some(opened.connection);
        Ok(())
    }
}

/// How often what changed is written.
const EVERY: Duration = Duration::from_secs(60);
const TELL_EVERY: Duration = Duration::from_secs(60 * 60);
