//! The database: its tables, its settings, and how an older one becomes the present one.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::error::SpoolError;
use super::limits::NoticeFailures;

/// Opens the one connection that writes, brings its tables up to date, and leaves an empty log: what an earlier,
/// failed sync may have left in it only in memory is written and synced again before anything is built on it.
pub(super) fn open_writer(path: &Path, readers: Readers) -> Result<Connection, SpoolError> {
    let failed = |error| SpoolError::database("open", path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.busy_timeout(BUSY).map_err(failed)?;
    check_owner(&connection, path)?;
    connection.execute_batch(SETTINGS).map_err(failed)?;
    migrate(&connection).map_err(failed)?;
    match (checkpoint(&connection, Checkpoint::Truncate).map_err(failed)?, readers) {
        (Folded::All, _) => {}
        (Folded::Part, Readers::Foreign) => tracing::warn!(
            path = %path.display(),
            "another program reads the spool for long, so that its log cannot be emptied; end that program"
        ),
        (Folded::Part, Readers::OwnOnly) => return Err(failed(busy())),
    }
    Ok(connection)
}

/// Who may be reading while the log is emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readers {
    /// An operator's tool, which must not keep the gateway from starting.
    Foreign,
    /// After a failed sync: no log may stay that is only in memory, whoever reads.
    OwnOnly,
}

/// Opens a connection that can only read.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.execute_batch("PRAGMA cache_size = -1000; PRAGMA query_only = ON;")?;
    Ok(connection)
}

/// How far a checkpoint goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checkpoint {
    /// As far as readers allow, without waiting for them.
    Passive,
    /// To the end, and the log is emptied.
    Truncate,
}

/// Folds the log into the database; fails where SQLite's own automatic checkpoint would stay silent.
pub(super) fn checkpoint(connection: &Connection, how: Checkpoint) -> rusqlite::Result<Folded> {
    let sql = match how {
        Checkpoint::Passive => "PRAGMA wal_checkpoint(PASSIVE)",
        Checkpoint::Truncate => "PRAGMA wal_checkpoint(TRUNCATE)",
    };
    let blocked: bool = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    Ok(if blocked { Folded::Part } else { Folded::All })
}

/// How much of the log a checkpoint folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Folded {
    /// As much as was asked for.
    All,
    /// Less, because somebody reads.
    Part,
}

/// Whether the log has grown so long that it should be folded into the database.
pub(super) fn log_is_long(connection: &Connection) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached("PRAGMA wal_checkpoint(NOOP)")?;
    let (frames, folded): (i64, i64) = statement.query_row([], |row| Ok((row.get(1)?, row.get(2)?)))?;
    Ok(frames.saturating_sub(folded) >= LOG_BYTES / 4096)
}

/// Bytes of pages that deleted messages left inside the database, free for new ones.
pub(super) fn free_inside(connection: &Connection) -> rusqlite::Result<u64> {
    let pages: i64 = connection.prepare_cached("PRAGMA freelist_count")?.query_row([], |row| row.get(0))?;
    Ok(u64::try_from(pages).unwrap_or_default().saturating_mul(PAGE_BYTES))
}

/// How many free pages stay in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spare {
    /// [`SPARE_PAGES`].
    Some,
    /// None, on a full disk.
    None,
}

/// Gives up to [`RETURNED_PAGES`] free pages back to the file system.
pub(super) fn shrink(connection: &Connection, spare: Spare) -> rusqlite::Result<()> {
    let free = free_inside(connection)? / PAGE_BYTES;
    let kept = match spare {
        Spare::Some => SPARE_PAGES,
        Spare::None => 0,
    };
    let pages = free.saturating_sub(kept).min(RETURNED_PAGES);
    if pages > 0 {
        // Each step frees one page.
        let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
    }
    Ok(())
}

/// Whether an error means that the file itself is damaged, rather than the disk or the question.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

fn busy() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY), None)
}

fn check_owner(connection: &Connection, path: &Path) -> Result<(), SpoolError> {
    let failed = |error| SpoolError::database("read", path, error);
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(failed);
    let (owner, format, tables) =
        (number("application_id")?, number("user_version")?, number("schema_version")?);
    if owner != APPLICATION && tables != 0 {
        return Err(SpoolError::ForeignDatabase { path: path.to_owned() });
    }
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if format > known {
        return Err(SpoolError::NewerFormat { path: path.to_owned(), found: format, known });
    }
    Ok(())
}

/// Decides about notices that a version accepted which told nobody of those that fail: whether they fail with a report.
pub(super) fn settle_old_notices(
    connection: &Connection,
    path: &Path,
    failures: NoticeFailures,
) -> Result<(), SpoolError> {
    let report = i64::from(failures == NoticeFailures::Told);
    let settled =
        connection.execute("UPDATE recipient SET report_failure = ?1 WHERE report_failure = 2", [report]);
    settled.map(drop).map_err(|error| SpoolError::database("write to", path, error))
}

fn migrate(connection: &Connection) -> rusqlite::Result<()> {
    let format: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for (done, step) in MIGRATIONS.iter().enumerate().skip(usize::try_from(format).unwrap_or_default()) {
        let version = done.saturating_add(1);
        connection.execute_batch(&format!(
            "BEGIN IMMEDIATE;\n{step}\nPRAGMA application_id = {APPLICATION}; PRAGMA user_version = {version};\nCOMMIT;"
        ))?;
    }
    Ok(())
}

/// `MSLD`: what `file` and [`check_owner`] know the database by.
const APPLICATION: i64 = 0x4D53_4C44;

const PAGE_BYTES: u64 = 4096;

/// Long enough that a busy spool folds seldom, short enough that opening after a crash stays quick.
pub(super) const LOG_BYTES: i64 = 8 * 1024 * 1024;

/// 16 MiB of free pages stay in the file, because the next backlog will want them.
const SPARE_PAGES: u64 = 4096;

/// 4 MiB in one transaction: giving space back must not hold up those who wait for a commit.
const RETURNED_PAGES: u64 = 1024;

/// More than there are different statements.
const STATEMENTS: usize = 96;

/// How long an operator's own SQLite tool may hold the write lock before a commit fails.
const BUSY: Duration = Duration::from_secs(5);

/// `auto_vacuum` works only before the first table. The automatic checkpoint is the net below [`log_is_long`].
const SETTINGS: &str = "
PRAGMA page_size = 4096;
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA wal_autocheckpoint = 16384;
PRAGMA cache_size = -4000;
PRAGMA temp_store = MEMORY;
";

/// Each step takes the database from the version that is its index to the next.
const MIGRATIONS: &[&str] = &["
CREATE TABLE message (
    id INTEGER PRIMARY KEY,          -- the queue id
    accepted_at INTEGER NOT NULL,    -- microseconds since 1970, as all times here
    priority INTEGER NOT NULL,       -- 0 urgent, 1 normal, 2 bulk
    class INTEGER NOT NULL,          -- 0 notice, 1 mail
    rule TEXT,
    group_key BLOB,
    bytes INTEGER NOT NULL,          -- counted against spool.max_size
    file TEXT,                       -- in the folder content, where the content is large
    checksum BLOB NOT NULL,          -- SHA-256 of body and content
    body TEXT NOT NULL,              -- JSON
    content BLOB                     -- header and body of a mail, where small
) STRICT;
CREATE INDEX message_file ON message (file) WHERE file IS NOT NULL;

CREATE TABLE recipient (
    message INTEGER NOT NULL,
    number INTEGER NOT NULL,
    destination TEXT NOT NULL,
    address TEXT NOT NULL,
    subject TEXT,
    state TEXT NOT NULL CHECK (state IN ('queued', 'held', 'failed', 'corrupt')),
    rank INTEGER NOT NULL,           -- 2 * priority + class: lower goes first
    due INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    standby_of INTEGER,              -- the number of the copy before this one
    settled_at INTEGER,              -- when the last attempt ended
    status TEXT,                     -- enhanced status code of the last attempt
    text TEXT,                       -- what it met
    PRIMARY KEY (message, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX recipient_due ON recipient (destination, rank, due) WHERE state = 'queued';
CREATE INDEX recipient_expiry ON recipient (expires_at) WHERE state = 'queued';
CREATE INDEX recipient_failed ON recipient (settled_at) WHERE state = 'failed';
CREATE INDEX recipient_aside ON recipient (state, message, number) WHERE state <> 'queued';

CREATE TABLE tally (
    what TEXT NOT NULL,              -- a state: copies in it; or 'messages', 'bytes', 'last_id'
    destination TEXT NOT NULL,       -- '' where it counts messages
    amount INTEGER NOT NULL,
    PRIMARY KEY (what, destination)
) STRICT, WITHOUT ROWID;

CREATE TABLE gathering (
    group_key BLOB PRIMARY KEY,
    message INTEGER NOT NULL,
    closes_at INTEGER NOT NULL,
    over_at INTEGER NOT NULL,        -- forgotten from then on
    handed_out INTEGER NOT NULL      -- 1: on its way, takes no more repeats
) STRICT, WITHOUT ROWID;
CREATE INDEX gathering_over ON gathering (over_at);

CREATE TABLE paused (
    destination TEXT PRIMARY KEY,
    since INTEGER NOT NULL,
    paused_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE VIEW queue AS
SELECT r.message, r.number, r.destination, r.address, r.state, r.attempts, r.status, r.text,
       datetime(m.accepted_at / 1000000, 'unixepoch') AS accepted_at,
       datetime(r.due / 1000000, 'unixepoch') AS due,
       datetime(r.expires_at / 1000000, 'unixepoch') AS expires_at,
       m.rule, m.bytes, m.body
FROM recipient AS r JOIN message AS m ON m.id = r.message;
", "
ALTER TABLE recipient ADD COLUMN notify TEXT;              -- NOTIFY as RCPT said it (RFC 3461)
ALTER TABLE recipient ADD COLUMN orcpt TEXT;               -- ORCPT, in xtext
ALTER TABLE recipient ADD COLUMN report_failure INTEGER NOT NULL DEFAULT 0;   -- 1: fails only together with a report
ALTER TABLE recipient ADD COLUMN report_delay_at INTEGER;  -- when its sender is told that it is late; NULL: never, or told
CREATE INDEX recipient_delay ON recipient (report_delay_at) WHERE state = 'queued' AND report_delay_at IS NOT NULL;

DROP VIEW queue;
CREATE VIEW queue AS
SELECT r.message, r.number, r.destination, r.address, r.state, r.attempts, r.status, r.text, r.notify, r.orcpt,
       datetime(m.accepted_at / 1000000, 'unixepoch') AS accepted_at,
       datetime(r.due / 1000000, 'unixepoch') AS due,
       datetime(r.expires_at / 1000000, 'unixepoch') AS expires_at,
       m.rule, m.bytes, m.body
FROM recipient AS r JOIN message AS m ON m.id = r.message;
", "
CREATE TABLE operator_told (         -- reports about notices that failed, for each kind of cause the last one
    destination TEXT NOT NULL,
    cause TEXT NOT NULL,
    told_at INTEGER NOT NULL,
    held_back INTEGER NOT NULL,      -- failed copies since then that no report has counted
    PRIMARY KEY (destination, cause)
) STRICT, WITHOUT ROWID;
", "
ALTER TABLE recipient ADD COLUMN mailbox TEXT;             -- whom RCPT named, where the address is no mailbox
", "
-- 2: accepted when nobody was told of notices that fail; what becomes of it is decided at the next start.
CREATE INDEX recipient_undecided ON recipient (message) WHERE report_failure = 2;
UPDATE recipient SET report_failure = 2
WHERE state = 'queued' AND report_failure = 0
  AND message IN (SELECT id FROM message WHERE body LIKE '{\"notice\":%');
"];

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Leaves a database of an earlier format behind, as the version of then did.
    pub(crate) fn make_format(path: &Path, format: usize) -> Connection {
        let connection = Connection::open(path).unwrap();
        connection.execute_batch(SETTINGS).unwrap();
        connection.execute_batch(&MIGRATIONS[..format].concat()).unwrap();
        let owner = format!("PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {format};");
        connection.execute_batch(&owner).unwrap();
        connection
    }
}
