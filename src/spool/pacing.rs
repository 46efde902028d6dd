//! How often the operator is told of notices that fail.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::copy::Pace;
use super::rows::{self, micros};
use super::transaction::{Transaction, signed};
use crate::policy::operator::{Earlier, ReportVerdict, Topic, decide_report};

impl Transaction<'_> {
    /// Whether a report about so many copies goes now; one that does not is counted.
    pub(super) fn pace(
        &mut self,
        pace: &Pace,
        copies: u64,
        at: Timestamp,
    ) -> rusqlite::Result<ReportVerdict> {
        let Pace { topic, repeat, held_back } = pace;
        let key = (topic.destination.as_str(), topic.cause.as_str());
        let earlier = self
            .connection
            .prepare_cached("SELECT told_at FROM operator_told WHERE destination = ?1 AND cause = ?2")?
            .query_row(key, |row| Ok(Earlier { told_at: rows::time(row, 0)? }))
            .optional()?;
        let verdict = decide_report(earlier, *repeat, at);
        match verdict {
            ReportVerdict::Tell => self
                .connection
                .prepare_cached(
                    "INSERT INTO operator_told VALUES (?1, ?2, ?3, 0) ON CONFLICT DO UPDATE
                     SET told_at = excluded.told_at, held_back = max(0, held_back - ?4)",
                )?
                .execute(params![key.0, key.1, micros(at), signed(*held_back)])?,
            ReportVerdict::HoldBack => self
                .connection
                .prepare_cached(
                    "UPDATE operator_told SET held_back = held_back + ?3 WHERE destination = ?1 AND cause = ?2",
                )?
                .execute(params![key.0, key.1, signed(copies)])?,
        };
        Ok(verdict)
    }
}

/// See [`super::Spool::held_back`].
pub(super) fn held_back(connection: &Connection, topic: &Topic) -> rusqlite::Result<u64> {
    let held_back: Option<i64> = connection
        .prepare_cached("SELECT held_back FROM operator_told WHERE destination = ?1 AND cause = ?2")?
        .query_row((topic.destination.as_str(), topic.cause.as_str()), |row| row.get(0))
        .optional()?;
    Ok(held_back.and_then(|count| u64::try_from(count).ok()).unwrap_or_default())
}
