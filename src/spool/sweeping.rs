//! What a sweep does to the rows.

use jiff::Timestamp;
use rusqlite::params;

use super::copy::{Expired, Swept};
use super::rows::{self, length_u64, micros};
use super::schema;
use super::transaction::Transaction;
use crate::message::recipient::{EnhancedStatus, RecipientNumber};
use crate::telemetry::metrics::SpoolState;

impl Transaction<'_> {
    /// See [`super::Spool::sweep`]; failed copies that were settled before `forget` go.
    pub(super) fn sweep(&mut self, now: Timestamp, forget: Timestamp) -> rusqlite::Result<Swept> {
        let expired = self.expire(now)?;
        let forgotten = self.forget(forget)?;
        let groups = self
            .connection
            .prepare_cached("DELETE FROM gathering WHERE over_at <= ?1")?
            .execute([micros(now)])?;
        schema::shrink(self.connection, schema::Spare::Some)?;
        Ok(Swept { expired, forgotten, groups: length_u64(groups) })
    }

    fn expire(&mut self, now: Timestamp) -> rusqlite::Result<Vec<Expired>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT message, number, destination, attempts, text FROM recipient INDEXED BY recipient_expiry
             WHERE state = 'queued' AND expires_at <= ?1 AND report_failure = 0 ORDER BY expires_at LIMIT ?2",
        )?;
        let expired = statement
            .query_map(params![micros(now), Swept::BATCH], |row| {
                let expired = Expired {
                    id: rows::id(row, 0)?,
                    number: RecipientNumber(row.get(1)?),
                    destination: rows::name(row, 2)?,
                    attempts: row.get(3)?,
                };
                Ok((expired, row.get::<_, Option<String>>(4)?))
            })?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        for (Expired { id, number, destination, .. }, last) in &expired {
            let text = given_up(last.as_deref());
            self.fail((*id, *number), SpoolState::Queued, destination, (EXPIRED, &text), now, 0)?;
        }
        Ok(expired.into_iter().map(|(expired, _)| expired).collect())
    }

    fn forget(&mut self, settled_before: Timestamp) -> rusqlite::Result<u64> {
        let mut statement = self.connection.prepare_cached(
            "SELECT message, number, destination FROM recipient INDEXED BY recipient_failed
             WHERE state = 'failed' AND settled_at <= ?1 ORDER BY settled_at LIMIT ?2",
        )?;
        let old = statement
            .query_map(params![micros(settled_before), Swept::BATCH], |row| {
                Ok((rows::id(row, 0)?, RecipientNumber(row.get(1)?), rows::name(row, 2)?))
            })?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        for (id, number, destination) in &old {
            self.remove_copy(*id, *number, SpoolState::Failed, destination)?;
            self.remove_if_empty(*id)?;
        }
        Ok(length_u64(old.len()))
    }
}

/// The text of a copy that expired, with what its last attempt met.
pub(crate) fn given_up(last: Option<&str>) -> String {
    match last {
        // It expired before, and the operator gave it more time.
        Some(last) if last.starts_with(EXPIRED_TEXT) => last.to_owned(),
        Some(last) => format!("{EXPIRED_TEXT}; the last attempt met: {last}"),
        None => EXPIRED_TEXT.to_owned(),
    }
}

/// RFC 3463 §3.5: delivery time expired.
pub(super) const EXPIRED: EnhancedStatus = EnhancedStatus::new(4, 4, 7);
const EXPIRED_TEXT: &str = "expired";
