//! How many copies each destination has in each state, and how much there is in all: kept in step with the rows by
//! the same transactions, so that opening counts nothing.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, params};

use super::rows;
use crate::message::id::{DestinationName, QueueId};
use crate::telemetry::metrics::{Metrics, SpoolState};

/// The figures as of the running transaction.
#[derive(Debug, Default)]
pub(super) struct Tally {
    copies: BTreeMap<(&'static str, DestinationName), i64>,
    /// Messages in the spool.
    pub(super) messages: i64,
    /// Their bytes.
    pub(super) bytes: i64,
    /// The latest queue id given.
    last_id: i64,
    /// Messages, bytes and last id as the database has them.
    stored: [i64; 3],
    /// What [`Self::store`] must write.
    changed: BTreeSet<(&'static str, DestinationName)>,
}

impl Tally {
    /// The figures as last committed.
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let mut tally = Self::default();
        let mut statement = connection.prepare_cached("SELECT what, destination, amount FROM tally")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let what: String = row.get(0)?;
            let amount: i64 = row.get(2)?;
            match what.as_str() {
                "messages" => tally.messages = amount,
                "bytes" => tally.bytes = amount,
                "last_id" => tally.last_id = amount,
                _ => {
                    let state = rows::state(row, 0)?.as_str();
                    tally.copies.insert((state, rows::name(row, 1)?), amount);
                }
            }
        }
        tally.stored = [tally.messages, tally.bytes, tally.last_id];
        Ok(tally)
    }

    /// Counts the rows instead, for a database put together from what was left of another.
    pub(super) fn recount(connection: &Connection) -> rusqlite::Result<Self> {
        let mut tally = Self::default();
        let mut statement =
            connection.prepare("SELECT state, destination, count(*) FROM recipient GROUP BY 1, 2")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            tally.add(rows::state(row, 0)?, &rows::name(row, 1)?, row.get(2)?);
        }
        (tally.messages, tally.bytes, tally.last_id) = connection.query_row(
            "SELECT count(*), coalesce(sum(bytes), 0), coalesce(max(id), 0) FROM message",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )?;
        Ok(tally)
    }

    /// Writes what changed; part of every transaction that changes anything.
    pub(super) fn store(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(
            "INSERT INTO tally VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET amount = excluded.amount",
        )?;
        let totals = [self.messages, self.bytes, self.last_id];
        for ((what, amount), stored) in
            ["messages", "bytes", "last_id"].into_iter().zip(totals).zip(self.stored)
        {
            if amount != stored {
                statement.execute(params![what, "", amount])?;
            }
        }
        self.stored = totals;
        for key in &self.changed {
            let amount = self.copies.get(key).copied().unwrap_or_default();
            statement.execute(params![key.0, key.1.as_str(), amount])?;
        }
        Ok(())
    }

    /// Shows in the metrics what the committed transaction changed.
    pub(super) fn publish(&mut self, metrics: &Metrics) {
        for (what, destination) in std::mem::take(&mut self.changed) {
            let state = SpoolState::ALL.into_iter().find(|state| state.as_str() == what);
            let amount = self.copies.get(&(what, destination.clone())).copied().unwrap_or_default();
            if let Some(state) = state {
                metrics.set_spool_messages(destination.as_str(), state, amount);
            }
        }
        metrics.set_spool_bytes(self.held());
    }

    /// Shows all figures in the metrics.
    pub(super) fn publish_all(&mut self, metrics: &Metrics) {
        self.changed = self.copies.keys().cloned().collect();
        self.publish(metrics);
    }

    /// Copies came into a state (or left it).
    pub(super) fn add(&mut self, state: SpoolState, destination: &DestinationName, copies: i64) {
        let key = (state.as_str(), destination.clone());
        self.changed.insert(key.clone());
        let amount = self.copies.entry(key).or_default();
        *amount = amount.saturating_add(copies);
    }

    /// A copy went from one state to another.
    pub(super) fn shift(&mut self, from: SpoolState, to: SpoolState, destination: &DestinationName) {
        self.add(from, destination, -1);
        self.add(to, destination, 1);
    }

    /// The bytes of all messages.
    pub(super) fn held(&self) -> u64 {
        u64::try_from(self.bytes).unwrap_or_default()
    }

    /// The next queue id: after the last one even when the clock was set back, and never used twice because the last
    /// one is kept when its message is gone.
    pub(super) fn next_id(&mut self, accepted_at: jiff::Timestamp) -> Option<QueueId> {
        let milliseconds = accepted_at.as_millisecond();
        let by_clock = if (0..1 << 42).contains(&milliseconds) { milliseconds << 20 } else { 0 };
        self.last_id = self.last_id.checked_add(1)?.max(by_clock);
        QueueId::from_row(self.last_id)
    }
}
