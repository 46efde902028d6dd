//! The thread that keeps everything and writes it.
#![expect(clippy::disallowed_methods, reason = "the edge where it is found out that a minute has passed")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::Inventory;
use super::client::SmtpClient;
use super::clients::Clients;
use super::host::Host;
use super::hosts::Hosts;
use super::names::{AskedName, Names};
use super::schema::{self, AllChanges, InventoryError, Opened};
use super::sighting::SmtpClientSeen;
use crate::message::host::{HostSighting, NameQuerySeen};
use crate::telemetry::log::Recurring;
use crate::telemetry::metrics::Metrics;

/// What the thread is asked for.
#[derive(Debug)]
pub(super) enum Order {
    /// A client was here.
    Seen(Box<SmtpClientSeen>),
    /// The same was heard of a host so many times.
    HostSeen(Box<HostSighting>, u64),
    /// A name was asked for.
    NameAsked(Box<NameQuerySeen>),
    /// List all clients.
    Clients(oneshot::Sender<Vec<SmtpClient>>),
    /// List all hosts and the names that are asked for.
    Hosts(oneshot::Sender<(Vec<Host>, Vec<AskedName>)>),
    /// Write what is not written yet and end.
    Close(oneshot::Sender<()>),
}

/// The state of the thread.
pub(super) struct Writer {
    path: PathBuf,
    /// `None` while the database could not be opened again.
    connection: Option<Connection>,
    clients: Clients,
    hosts: Hosts,
    names: Names,
    metrics: Arc<Metrics>,
    write_at: Instant,
    faults: Recurring,
}

impl Writer {
    pub(super) fn new(path: PathBuf, opened: Opened, metrics: Arc<Metrics>) -> Self {
        let contents = opened.contents;
        Self {
            path,
            connection: Some(opened.connection),
            clients: Clients::new(contents.smtp_clients, Inventory::MOST),
            hosts: Hosts::new(contents.hosts, Inventory::MOST),
            names: Names::new(contents.asked_names, Inventory::MOST_NAMES),
            metrics,
            write_at: Instant::now() + EVERY,
            faults: Recurring::new(TELL_EVERY),
        }
    }

    /// Ends when it is told to, or when nobody has a handle any more.
    pub(super) fn start(mut self, orders: Receiver<Order>) -> Result<(), InventoryError> {
        let path = self.path.clone();
        std::thread::Builder::new()
            .name("inventory".to_owned())
            .spawn(move || self.run(orders))
            .map(drop)
            .map_err(|source| InventoryError::File { path, source })
    }

    fn run(&mut self, orders: Receiver<Order>) {
        self.metrics.set_inventory_hosts(self.hosts.len());
        loop {
            match orders.recv_timeout(self.write_at.saturating_duration_since(Instant::now())) {
                Ok(Order::Seen(seen)) => self.clients.add(*seen),
                Ok(Order::HostSeen(seen, count)) => {
                    self.hosts.add(*seen, count);
                    self.metrics.set_inventory_hosts(self.hosts.len());
                }
                Ok(Order::NameAsked(seen)) => self.names.add(&seen),
                // Whoever asked may be gone.
                Ok(Order::Clients(answer)) => drop(answer.send(self.clients.list())),
                Ok(Order::Hosts(answer)) => drop(answer.send((self.hosts.list(), self.names.list()))),
                Ok(Order::Close(done)) => {
                    self.write();
                    self.connection = None;
                    // Whoever records from now on is refused and counts it.
                    drop(orders);
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
        let changes = self.take_changes();
        if changes.is_empty() {
            return;
        }
        match self.try_write(&changes) {
            Ok(()) => {}
            Err(error) => {
                self.clients.not_written(changes.clients);
                self.hosts.not_written(changes.hosts);
                self.names.not_written(changes.names);
                if self.faults.happened(1, Instant::now()).is_some() {
                    tracing::warn!(
                        %error,
                        "The inventory cannot be written; it goes on in memory and is tried again every minute."
                    );
                }
            }
        }
    }

    fn take_changes(&mut self) -> AllChanges {
        AllChanges {
            clients: self.clients.take_changes(),
            hosts: self.hosts.take_changes(),
            names: self.names.take_changes(),
        }
    }

    fn try_write(&mut self, changes: &AllChanges) -> Result<(), InventoryError> {
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
        self.hosts.write_all();
        self.names.write_all();
        let all = self.take_changes();
        let written = schema::write(&mut opened.connection, &all);
        written.map_err(|source| InventoryError::Database { path: self.path.clone(), source })?;
        self.connection = Some(opened.connection);
        Ok(())
    }
}

/// How often what changed is written.
const EVERY: Duration = Duration::from_secs(60);
const TELL_EVERY: Duration = Duration::from_secs(60 * 60);
