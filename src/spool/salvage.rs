//! A database that SQLite calls damaged is set aside whole, and what can be read of it goes into a new one.
#![expect(clippy::disallowed_methods, reason = "the folder of a damaged database is named after the time")]

use std::path::Path;

use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::content::Drafts;
use super::error::SpoolError;
use super::files::{self, DATABASE, REBUILT};
use super::schema::{self, Checkpoint, Readers};
use super::tally::Tally;
use crate::policy::spelling::counted;

/// Puts a new database in the place of a damaged one. Nothing of the damaged one is changed or removed: an interrupted
/// salvage begins again at the next start.
pub(super) fn rebuild(dir: &Path, drafts: &Drafts) -> Result<(), SpoolError> {
    files::clear_rebuilt(dir);
    let path = dir.join(REBUILT);
    files::touch_database(&path)?;
    let failed = |error| SpoolError::database("salvage into", &path, error);
    let rebuilt = schema::open_writer(&path, Readers::Foreign)?;
    let found = match schema::open_reader(&dir.join(DATABASE)) {
        Ok(damaged) => copy_all(&damaged, &rebuilt).map_err(failed)?,
        Err(_) => Found::default(),
    };
    schema::checkpoint(&rebuilt, Checkpoint::Truncate).map_err(failed)?;
    rebuilt.close().map_err(|(_, error)| failed(error))?;
    let aside = files::exchange(dir, &stamp())?;
    let content = files::move_orphans(dir, &aside, drafts)?;
    tracing::error!(
        messages = found.messages,
        without_recipients = found.without_recipients,
        content_files = content,
        aside = %aside.display(),
        "The spool's database was damaged: it was set aside and {} taken over from it; what is missing may still be in \
         it (`sqlite3 {} .recover`), and the disk should be checked.",
        counted(found.messages.unsigned_abs(), "message was", "messages were"),
        aside.join(DATABASE).display()
    );
    Ok(())
}

/// The time, as the name of a folder has it.
pub(super) fn stamp() -> String {
    Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// What could be read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Found {
    messages: i64,
    /// Messages of which nobody knows any more where they go.
    without_recipients: usize,
}

pub(super) fn copy_all(damaged: &Connection, rebuilt: &Connection) -> rusqlite::Result<Found> {
    rebuilt.execute_batch("BEGIN IMMEDIATE")?;
    copy_table(damaged, rebuilt, "recipient", "message, number")?;
    copy_table(damaged, rebuilt, "message", "id")?;
    copy_between(damaged, rebuilt)?;
    copy_table(damaged, rebuilt, "gathering", "group_key")?;
    copy_table(damaged, rebuilt, "paused", "destination")?;
    copy_table(damaged, rebuilt, "operator_told", "destination, cause")?;
    rebuilt.execute("DELETE FROM recipient WHERE message NOT IN (SELECT id FROM message)", [])?;
    let without_recipients = rebuilt.execute(
        "INSERT INTO recipient (message, number, destination, address, state, rank, due, expires_at, attempts, text)
         SELECT id, 0, 'unknown', '', 'corrupt', 0, accepted_at, accepted_at, 0,
                'its recipients were lost with the damaged database'
         FROM message WHERE id NOT IN (SELECT message FROM recipient)",
        [],
    )?;
    let mut tally = Tally::recount(rebuilt)?;
    tally.store(rebuilt)?;
    rebuilt.execute_batch("COMMIT")?;
    Ok(Found { messages: tally.messages, without_recipients })
}

/// Copies from the front up to the first unreadable place, then from the end back to it. An earlier format has fewer
/// columns: those that it lacks have their defaults.
fn copy_table(damaged: &Connection, rebuilt: &Connection, table: &str, key: &str) -> rusqlite::Result<()> {
    let backwards = key.split(", ").map(|column| format!("{column} DESC")).collect::<Vec<_>>().join(", ");
    for order in [key, &backwards] {
        // What cannot even be asked for has nothing readable behind it.
        let Ok(mut source) = damaged.prepare(&format!("SELECT * FROM {table} NOT INDEXED ORDER BY {order}"))
        else {
            continue;
        };
        let mut target = rebuilt.prepare(&insert(table, &source))?;
        let columns = source.column_count();
        let Ok(mut rows) = source.query([]) else { continue };
        loop {
            match rows.next() {
                Ok(Some(row)) => {
                    let values = values(row, columns);
                    if !copy_row(&mut target, values)? && order != key {
                        break;
                    }
                }
                Ok(None) if order == key => return Ok(()),
                Ok(None) | Err(_) => break,
            }
        }
    }
    Ok(())
}

/// Looks for the messages between two unreadable places one by one, by the numbers that their recipients give.
fn copy_between(damaged: &Connection, rebuilt: &Connection) -> rusqlite::Result<()> {
    let mut missing = rebuilt
        .prepare("SELECT DISTINCT message FROM recipient WHERE message NOT IN (SELECT id FROM message)")?;
    let missing = missing.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
    let Ok(mut source) = damaged.prepare("SELECT * FROM message WHERE id = ?1") else { return Ok(()) };
    let mut target = rebuilt.prepare(&insert("message", &source))?;
    let columns = source.column_count();
    for id in missing {
        if let Ok(values) = source.query_row([id], |row| Ok(values(row, columns))) {
            copy_row(&mut target, values)?;
        }
    }
    Ok(())
}

fn insert(table: &str, source: &rusqlite::Statement<'_>) -> String {
    let columns: Vec<&str> = source.column_names().collect();
    let places = vec!["?"; columns.len()].join(", ");
    format!("INSERT OR IGNORE INTO {table} ({}) VALUES ({places})", columns.join(", "))
}

fn values(row: &rusqlite::Row<'_>, columns: usize) -> Option<Vec<Value>> {
    (0..columns).map(|column| row.get(column).ok()).collect()
}

/// Whether the row was new and could be taken; only a failure of the new database is an error.
fn copy_row(target: &mut rusqlite::Statement<'_>, values: Option<Vec<Value>>) -> rusqlite::Result<bool> {
    let Some(values) = values else { return Ok(true) };
    match target.execute(params_from_iter(values)) {
        Ok(changed) => Ok(changed > 0),
        // A value of a type that the column does not have.
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => Ok(true),
        Err(error) => Err(error),
    }
}
