//! Messages that another store takes over, whole.

use std::path::PathBuf;

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::local::Local;
use super::queries::{self, MessageRow};
use super::{SpoolError, rows};
use crate::message::id::QueueId;
use crate::message::mail::Class;
use crate::message::recipient::{EnhancedStatus, Recipient, RecipientNumber};
use crate::telemetry::metrics::SpoolState;

/// A message with all that is known of it.
#[derive(Debug)]
pub(super) struct Handover {
    pub(super) id: QueueId,
    pub(super) row: MessageRow,
    pub(super) class: Class,
    pub(super) bytes: u64,
    /// Where its content is, if not in the row.
    pub(super) path: Option<PathBuf>,
    /// By number.
    pub(super) copies: Vec<CopyRow>,
}

/// One copy.
#[derive(Debug)]
pub(super) struct CopyRow {
    pub(super) number: RecipientNumber,
    pub(super) recipient: Recipient,
    pub(super) state: SpoolState,
    pub(super) due: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) attempts: u32,
    pub(super) standby_of: Option<RecipientNumber>,
    pub(super) settled_at: Option<Timestamp>,
    pub(super) status: Option<EnhancedStatus>,
    pub(super) text: Option<String>,
    pub(super) report_failure: bool,
    pub(super) report_delay_at: Option<Timestamp>,
}

impl Local {
    /// The oldest messages behind `after`, at most `limit`; they stay until they are deleted. Corrupt ones are left out:
    /// they are the operator's.
    pub(super) async fn handover(
        &self,
        after: Option<QueueId>,
        limit: u32,
    ) -> Result<Vec<Handover>, SpoolError> {
        let after = after.map_or(0, QueueId::as_row);
        let mut found = self.ask(move |connection| oldest(connection, after, limit)).await?;
        for handover in &mut found {
            handover.path = handover.row.file.as_deref().map(|name| self.content_path(name));
        }
        Ok(found)
    }

    /// How many messages there are.
    pub(super) async fn messages(&self) -> Result<u64, SpoolError> {
        Ok(self.figures().await?.messages)
    }
}

fn oldest(connection: &Connection, after: i64, limit: u32) -> rusqlite::Result<Vec<Handover>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, class, bytes FROM message AS m
         WHERE id > ?1 AND NOT EXISTS (SELECT 1 FROM recipient WHERE message = m.id AND state = 'corrupt')
         ORDER BY id LIMIT ?2",
    )?;
    let heads = statement
        .query_map(params![after, limit], |row| {
            let bytes = u64::try_from(row.get::<_, i64>(2)?).unwrap_or_default();
            Ok((rows::id(row, 0)?, rows::class(row, 1)?, bytes))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut found = Vec::with_capacity(heads.len());
    for (id, class, bytes) in heads {
        if let Some(row) = queries::message(connection, id)? {
            found.push(Handover { id, row, class, bytes, path: None, copies: copies(connection, id)? });
        }
    }
    Ok(found)
}

fn copies(connection: &Connection, id: QueueId) -> rusqlite::Result<Vec<CopyRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT number, destination, address, subject, state, due, expires_at, attempts, standby_of, notify, orcpt,
                report_failure, report_delay_at, mailbox, settled_at, status, text
         FROM recipient WHERE message = ?1 ORDER BY number",
    )?;
    let rows = statement.query_map(params![id.as_row()], |row| {
        Ok(CopyRow {
            number: RecipientNumber(row.get(0)?),
            recipient: Recipient {
                via: rows::name(row, 1)?,
                to: row.get(2)?,
                mailbox: row.get(13)?,
                subject: row.get(3)?,
                otherwise: Vec::new(),
                dsn: rows::dsn(row, 9, 10)?,
            },
            state: rows::state(row, 4)?,
            due: rows::time(row, 5)?,
            expires_at: rows::time(row, 6)?,
            attempts: row.get(7)?,
            standby_of: row.get::<_, Option<u32>>(8)?.map(RecipientNumber),
            settled_at: rows::maybe_time(row, 14)?,
            status: row.get::<_, Option<String>>(15)?.and_then(|text| text.parse().ok()),
            text: row.get(16)?,
            report_failure: row.get(11)?,
            report_delay_at: rows::maybe_time(row, 12)?,
        })
    })?;
    rows.collect()
}
