//! What is asked of the database without changing it.

use std::collections::HashSet;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};

use super::copy::{Due, Lateness, Overdue, Swept};
use super::operator::{Copy, Figures, Filter, Pause, Place, Shown};
use super::rows;
use crate::message::id::{DestinationName, QueueId, RuleName};
use crate::message::mail::Priority;
use crate::message::recipient::{Recipient, RecipientNumber};
use crate::telemetry::metrics::SpoolState;

/// See [`super::Spool::due`]. One short range of the index `recipient_due` for each rank, of which rows are read only for
/// what is not skipped: with thousands of copies on their way, most of what comes first in the index is.
pub(super) fn due(
    connection: &Connection,
    destination: &DestinationName,
    now: Timestamp,
    limit: usize,
    skip: &HashSet<(QueueId, RecipientNumber)>,
) -> rusqlite::Result<Vec<Due>> {
    let mut found = Vec::new();
    if pause(connection, destination)?.is_some() {
        return Ok(found);
    }
    let mut places = connection.prepare_cached(
        "SELECT message, number FROM recipient INDEXED BY recipient_due
         WHERE state = 'queued' AND destination = ?1 AND rank = ?2 AND due <= ?3 ORDER BY due, message, number",
    )?;
    let mut copy = connection.prepare_cached(
        "SELECT r.address, r.subject, r.attempts, r.expires_at, m.accepted_at, r.notify, r.orcpt, r.mailbox
         FROM recipient AS r CROSS JOIN message AS m ON m.id = r.message WHERE r.message = ?1 AND r.number = ?2",
    )?;
    for rank in RANKS {
        let mut rows = places.query(params![destination.as_str(), rank, rows::micros(now)])?;
        while found.len() < limit {
            let Some(row) = rows.next()? else { break };
            let (id, number) = (rows::id(row, 0)?, RecipientNumber(row.get(1)?));
            if skip.contains(&(id, number)) {
                continue;
            }
            let of_row = |row: &Row<'_>| due_copy(row, id, number, destination);
            found.extend(copy.query_row(params![id.as_row(), number.0], of_row).optional()?);
        }
    }
    Ok(found)
}

fn due_copy(
    row: &Row<'_>,
    id: QueueId,
    number: RecipientNumber,
    destination: &DestinationName,
) -> rusqlite::Result<Due> {
    Ok(Due {
        id,
        number,
        recipient: Recipient {
            via: destination.clone(),
            to: row.get(0)?,
            mailbox: row.get(7)?,
            subject: row.get(1)?,
            otherwise: Vec::new(),
            dsn: rows::dsn(row, 5, 6)?,
        },
        attempts: row.get(2)?,
        expires_at: rows::time(row, 3)?,
        accepted_at: rows::time(row, 4)?,
    })
}

/// See [`super::Spool::overdue`].
pub(super) fn overdue(connection: &Connection, now: Timestamp) -> rusqlite::Result<Vec<Overdue>> {
    let expired =
        "INDEXED BY recipient_expiry WHERE state = 'queued' AND expires_at <= ?1 AND report_failure = 1
                   ORDER BY message LIMIT ?2";
    let late = "INDEXED BY recipient_delay WHERE state = 'queued' AND report_delay_at IS NOT NULL
                AND report_delay_at <= ?1 AND expires_at > ?1 ORDER BY message LIMIT ?2";
    let mut found = Vec::new();
    for (which, lateness) in [(expired, Lateness::Expired), (late, Lateness::Late)] {
        let mut statement = connection.prepare_cached(&format!(
            "SELECT message, number, destination, address, subject, notify, orcpt, expires_at, attempts, settled_at,
                    status, text, mailbox FROM recipient {which}"
        ))?;
        let rows = statement.query_map(params![rows::micros(now), Swept::BATCH], |row| {
            Ok(Overdue {
                id: rows::id(row, 0)?,
                number: RecipientNumber(row.get(1)?),
                recipient: Recipient {
                    via: rows::name(row, 2)?,
                    to: row.get(3)?,
                    mailbox: row.get(12)?,
                    subject: row.get(4)?,
                    otherwise: Vec::new(),
                    dsn: rows::dsn(row, 5, 6)?,
                },
                lateness,
                expires_at: rows::time(row, 7)?,
                attempts: row.get(8)?,
                settled_at: rows::maybe_time(row, 9)?,
                status: row.get::<_, Option<String>>(10)?.and_then(|text| text.parse().ok()),
                text: row.get(11)?,
            })
        })?;
        for row in rows {
            found.push(row?);
        }
    }
    Ok(found)
}

/// See [`super::Spool::next_due`]. One step into the index for each rank.
pub(super) fn next_due(
    connection: &Connection,
    destination: &DestinationName,
) -> rusqlite::Result<Option<Timestamp>> {
    if pause(connection, destination)?.is_some() {
        return Ok(None);
    }
    let mut statement = connection.prepare_cached(
        "SELECT min(due) FROM recipient INDEXED BY recipient_due
         WHERE state = 'queued' AND destination = ?1 AND rank = ?2",
    )?;
    let mut earliest: Option<Timestamp> = None;
    for rank in RANKS {
        let due = statement.query_row(params![destination.as_str(), rank], |row| rows::maybe_time(row, 0))?;
        earliest = match (earliest, due) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }
    Ok(earliest)
}

/// A message's row as it lies there.
#[derive(Debug)]
pub(super) struct MessageRow {
    pub(super) accepted_at: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) priority: Priority,
    pub(super) rule: Option<RuleName>,
    pub(super) file: Option<String>,
    pub(super) checksum: Vec<u8>,
    pub(super) body: String,
    pub(super) content: Option<Vec<u8>>,
    /// It may still take repeats: that must end before it is delivered.
    pub(super) gathering: Gathering,
}

/// Whether a message takes repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gathering {
    /// Until it is loaded.
    Open,
    /// Never did, or no longer.
    Over,
}

/// The row of a message, `None` when there is none.
pub(super) fn message(connection: &Connection, id: QueueId) -> rusqlite::Result<Option<MessageRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT m.accepted_at, m.priority, m.rule, m.file, m.checksum, m.body, m.content,
                (SELECT max(expires_at) FROM recipient WHERE message = m.id),
                m.group_key IS NOT NULL AND EXISTS (
                    SELECT 1 FROM gathering AS g
                    WHERE g.group_key = m.group_key AND g.message = m.id AND g.handed_out = 0)
         FROM message AS m WHERE m.id = ?1",
    )?;
    let row = statement.query_row([id.as_row()], |row| {
        let accepted_at = rows::time(row, 0)?;
        Ok(MessageRow {
            accepted_at,
            priority: rows::priority(row, 1)?,
            rule: rows::rule(row, 2)?,
            file: row.get(3)?,
            checksum: row.get(4)?,
            body: row.get(5)?,
            content: row.get(6)?,
            expires_at: rows::maybe_time(row, 7)?.unwrap_or(accepted_at),
            gathering: if row.get(8)? { Gathering::Open } else { Gathering::Over },
        })
    });
    row.optional()
}

/// Whether some row owns this content file.
pub(super) fn file_is_wanted(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM message WHERE file IS NOT NULL AND file = ?1")?.exists([name])
}

/// See [`super::Spool::list`].
pub(super) fn list(connection: &Connection, filter: &Filter) -> rusqlite::Result<Vec<Copy>> {
    // Those set aside have an index of their own; the theorem prover of SQLite wants its condition word for word.
    let state = match filter.state {
        None => "",
        Some(SpoolState::Queued) => "AND r.state = 'queued'",
        Some(SpoolState::Held) => "AND r.state <> 'queued' AND r.state = 'held'",
        Some(SpoolState::Failed) => "AND r.state <> 'queued' AND r.state = 'failed'",
        Some(SpoolState::Corrupt) => "AND r.state <> 'queued' AND r.state = 'corrupt'",
    };
    let mut statement = connection.prepare_cached(&format!(
        "{COPIES} WHERE (r.message, r.number) > (:message, :number) {state}
         AND (:destination IS NULL OR r.destination = :destination)
         ORDER BY r.message, r.number LIMIT :limit"
    ))?;
    let (message, number) = filter.after.map_or((0, -1), |(id, number)| (id.as_row(), i64::from(number.0)));
    let rows = statement.query_map(
        named_params! {
            ":message": message,
            ":number": number,
            ":destination": filter.destination.as_ref().map(DestinationName::as_str),
            ":limit": i64::try_from(filter.limit.min(Filter::PAGE)).unwrap_or(i64::MAX),
        },
        copy,
    )?;
    rows.collect()
}

/// See [`super::Spool::show`].
pub(super) fn show(connection: &Connection, id: QueueId) -> rusqlite::Result<Option<Shown>> {
    let mut copies =
        connection.prepare_cached(&format!("{COPIES} WHERE r.message = ?1 ORDER BY r.number"))?;
    let copies: Vec<Copy> = copies.query_map([id.as_row()], copy)?.collect::<rusqlite::Result<_>>()?;
    // What is shown is for people: bytes that are no text any more must not hide the rest.
    let mut body = connection.prepare_cached("SELECT CAST(body AS BLOB) FROM message WHERE id = ?1")?;
    let body = body.query_row([id.as_row()], |row| row.get::<_, Vec<u8>>(0)).optional()?;
    Ok(body.map(|body| Shown { id, body: String::from_utf8_lossy(&body).into_owned(), copies }))
}

/// The undelivered recipients of a message.
pub(super) fn recipients(
    connection: &Connection,
    id: QueueId,
) -> rusqlite::Result<Vec<(RecipientNumber, Recipient)>> {
    let mut statement = connection.prepare_cached(
        "SELECT number, destination, address, subject, notify, orcpt, mailbox FROM recipient
         WHERE message = ?1 ORDER BY number",
    )?;
    let rows = statement.query_map([id.as_row()], |row| {
        let recipient = Recipient {
            via: rows::name(row, 1)?,
            to: row.get(2)?,
            mailbox: row.get(6)?,
            subject: row.get(3)?,
            otherwise: Vec::new(),
            dsn: rows::dsn(row, 4, 5)?,
        };
        Ok((RecipientNumber(row.get(0)?), recipient))
    })?;
    rows.collect()
}

/// Whether, since when and by whom a destination is paused.
pub(super) fn pause(
    connection: &Connection,
    destination: &DestinationName,
) -> rusqlite::Result<Option<Pause>> {
    connection
        .prepare_cached("SELECT destination, since, paused_by FROM paused WHERE destination = ?1")?
        .query_row([destination.as_str()], paused)
        .optional()
}

/// Destinations with queued copies, and how many.
pub(super) fn waiting(connection: &Connection) -> rusqlite::Result<Vec<(DestinationName, i64)>> {
    let mut statement = connection.prepare_cached(
        "SELECT destination, amount FROM tally WHERE what = 'queued' AND amount > 0 ORDER BY destination",
    )?;
    statement.query_map([], |row| Ok((rows::name(row, 0)?, row.get(1)?)))?.collect()
}

/// See [`super::Spool::figures`]. What has failed lies between what waits, oldest first: behind a great many of those, what
/// is given up first stands for what waits longest.
pub(super) fn figures(connection: &Connection) -> rusqlite::Result<Figures> {
    let mut figures = Figures::default();
    let mut statement = connection
        .prepare_cached("SELECT what, destination, amount FROM tally WHERE amount > 0 ORDER BY 2, 1")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let amount = u64::try_from(row.get::<_, i64>(2)?).unwrap_or_default();
        match row.get_ref(0)?.as_str()? {
            "messages" => figures.messages = amount,
            "bytes" => figures.bytes = amount,
            "last_id" => {}
            _ => figures.copies.push((rows::name(row, 1)?, rows::state(row, 0)?, amount)),
        }
    }
    figures.oldest_waiting = connection
        .prepare_cached(
            "SELECT accepted_at FROM message WHERE id = coalesce(
                 (SELECT message FROM (SELECT message, state FROM recipient ORDER BY message, number LIMIT 10000)
                  WHERE state = 'queued' LIMIT 1),
                 (SELECT message FROM recipient INDEXED BY recipient_expiry WHERE state = 'queued'
                  ORDER BY expires_at LIMIT 1))",
        )?
        .query_row([], |row| rows::time(row, 0))
        .optional()?;
    Ok(figures)
}

/// All paused destinations.
pub(super) fn pauses(connection: &Connection) -> rusqlite::Result<Vec<Pause>> {
    let mut statement =
        connection.prepare_cached("SELECT destination, since, paused_by FROM paused ORDER BY destination")?;
    statement.query_map([], paused)?.collect()
}

fn paused(row: &Row<'_>) -> rusqlite::Result<Pause> {
    Ok(Pause { destination: rows::name(row, 0)?, since: rows::time(row, 1)?, by: row.get(2)? })
}

fn copy(row: &Row<'_>) -> rusqlite::Result<Copy> {
    let state = rows::state(row, 4)?;
    Ok(Copy {
        id: rows::id(row, 0)?,
        number: RecipientNumber(row.get(1)?),
        destination: rows::name(row, 2)?,
        address: row.get(3)?,
        state,
        due: (state == SpoolState::Queued).then(|| rows::time(row, 5)).transpose()?,
        expires_at: rows::time(row, 6)?,
        attempts: row.get(7)?,
        standby_of: row.get::<_, Option<u32>>(8)?.map(RecipientNumber),
        settled_at: rows::maybe_time(row, 9)?,
        status: row.get(10)?,
        text: row.get(11)?,
        priority: rows::priority(row, 12)?,
        class: rows::class(row, 13)?,
        rule: rows::rule(row, 14)?,
        accepted_at: rows::time(row, 15)?,
        bytes: u64::try_from(row.get::<_, i64>(16)?).unwrap_or_default(),
        dsn: rows::dsn(row, 17, 18)?,
        place: Place::Spool,
        mailbox: row.get(19)?,
    })
}

/// The columns that [`copy`] reads.
const COPIES: &str = "
SELECT r.message, r.number, r.destination, r.address, r.state, r.due, r.expires_at, r.attempts, r.standby_of,
       r.settled_at, r.status, r.text, m.priority, m.class, m.rule, m.accepted_at, m.bytes, r.notify, r.orcpt,
       r.mailbox
FROM recipient AS r CROSS JOIN message AS m ON m.id = r.message";

/// All ranks, the more urgent first: 2 × priority + class.
const RANKS: std::ops::Range<i64> = 0..6;
