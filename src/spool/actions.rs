//! What the operator's actions do to the rows.

use jiff::Timestamp;
use rusqlite::{Params, named_params, params};

use super::operator::{Pause, Which};
use super::queries;
use super::rows::{self, micros};
use super::transaction::Transaction;
use crate::message::id::{DestinationName, QueueId};
use crate::telemetry::metrics::SpoolState;

impl Transaction<'_> {
    /// See [`super::Spool::retry`].
    pub(super) fn retry(&mut self, which: Which, now: Timestamp) -> rusqlite::Result<u64> {
        let now = micros(now);
        let mut changed: u64 = 0;
        match which {
            Which::One(id) => {
                let delayed = "UPDATE recipient SET due = :now WHERE message = :id AND state = 'queued'
                     AND due > :now AND (standby_of IS NULL OR attempts > 0) RETURNING state, destination";
                for sql in
                    [delayed, &begin_anew("message = :id", "failed"), &begin_anew("message = :id", "corrupt")]
                {
                    let params = named_params! { ":id": id.as_row(), ":now": now };
                    changed = changed.saturating_add(self.shift(sql, params, SpoolState::Queued)?);
                }
            }
            Which::All => {
                let delayed = "UPDATE recipient SET due = :now WHERE state = 'queued' AND due > :now
                     AND attempts > 0 RETURNING state, destination";
                for sql in [delayed, &begin_anew("state <> 'queued'", "failed")] {
                    let params = named_params! { ":now": now };
                    changed = changed.saturating_add(self.shift(sql, params, SpoolState::Queued)?);
                }
            }
        }
        Ok(changed)
    }

    /// See [`super::Spool::hold`].
    pub(super) fn hold(&mut self, id: QueueId) -> rusqlite::Result<u64> {
        self.shift(
            "UPDATE recipient SET state = 'held' WHERE message = ?1 AND state = 'queued'
             RETURNING 'queued', destination",
            [id.as_row()],
            SpoolState::Held,
        )
    }

    /// See [`super::Spool::release`].
    pub(super) fn release(&mut self, id: QueueId, now: Timestamp) -> rusqlite::Result<u64> {
        self.shift(
            &format!(
                "UPDATE recipient SET state = 'queued', expires_at = {WHOLE_TIME}
                 WHERE message = :id AND state = 'held' RETURNING 'held', destination"
            ),
            named_params! { ":id": id.as_row(), ":now": micros(now) },
            SpoolState::Queued,
        )
    }

    /// See [`super::Spool::pause`].
    pub(super) fn pause(
        &mut self,
        destination: &DestinationName,
        by: &str,
        now: Timestamp,
    ) -> rusqlite::Result<Option<Pause>> {
        let before = queries::pause(self.connection, destination)?;
        if before.is_none() {
            self.connection.prepare_cached("INSERT INTO paused VALUES (?1, ?2, ?3)")?.execute(params![
                destination.as_str(),
                micros(now),
                by
            ])?;
            self.effects.woken.insert(destination.clone());
        }
        Ok(before)
    }

    /// See [`super::Spool::resume`].
    pub(super) fn resume(&mut self, destination: &DestinationName) -> rusqlite::Result<Option<Pause>> {
        let before = queries::pause(self.connection, destination)?;
        self.connection
            .prepare_cached("DELETE FROM paused WHERE destination = ?1")?
            .execute([destination.as_str()])?;
        self.effects.woken.insert(destination.clone());
        Ok(before)
    }

    /// Runs an update that returns the state before and the destination of each copy it changed.
    fn shift(&mut self, sql: &str, params: impl Params, to: SpoolState) -> rusqlite::Result<u64> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        let mut changed: u64 = 0;
        while let Some(row) = rows.next()? {
            let (from, destination) = (rows::state(row, 0)?, rows::name(row, 1)?);
            self.tally.shift(from, to, &destination);
            self.effects.woken.insert(destination);
            changed = changed.saturating_add(1);
        }
        Ok(changed)
    }
}

/// Queues copies as after acceptance, but what the last attempt met stays to be seen.
fn begin_anew(which: &str, state: &str) -> String {
    format!(
        "UPDATE recipient SET state = 'queued', due = :now, attempts = 0, expires_at = {WHOLE_TIME}
         WHERE {which} AND state = '{state}' RETURNING '{state}', destination"
    )
}

/// A copy's whole time again, if it ran out.
const WHOLE_TIME: &str = "CASE WHEN expires_at > :now THEN expires_at
    ELSE :now + max(expires_at - (SELECT m.accepted_at FROM message AS m WHERE m.id = recipient.message), 0) END";
