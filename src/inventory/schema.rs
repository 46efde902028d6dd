//! The database: what the inventory keeps, for any SQLite tool to read. Texts of peers are escaped, cut, and claims; times
//! are RFC 3339, UTC.
//!
//! `smtp_client`, a row for each client of a listener:
//!
//! | Column | What it holds |
//! |---|---|
//! | `listener`, `address` | Where it comes in, and where it is; the key. |
//! | `acquaintance` | `own` once it was in a trusted network or authenticated, else `stranger`. |
//! | `client_name`, `reverse_path` | As it last named itself and its sender; escaped; `<>` is the null reverse-path. |
//! | `tls` | `none`, `TLS 1.2`, `TLS 1.3`, or `failed: offers at most …`. |
//! | `mechanism`, `account` | How it last authenticated, and as whom. |
//! | `quirks` | Words of [`Quirk`](super::Quirk), each with `@` and the day it was last seen, separated by blanks. |
//! | `largest_message`, `messages`, `refused` | Octets of the largest; how many were accepted, and refused. |
//! | `first_seen`, `last_seen` | When it first and last came. |
//!
//! `host`, a row for each host of the legacy protocols:
//!
//! | Column | What it holds |
//! |---|---|
//! | `name` | The name it goes by, in upper case; its address where it never gave one; the key. |
//! | `named_by` | `computer`, `messenger` (perhaps a user's name) or `address`. |
//! | `workgroup`, `comment` | As it last announced them. |
//! | `system`, `certainty` | The operating system it seems to run; `high`, `medium` or `low`. |
//! | `roles` | Words of [`Role`](crate::message::host::Role), separated by blanks. |
//! | `sightings` | Packets and messages of it. |
//! | `left_at` | When it said goodbye, where it was not heard since. |
//! | `first_seen`, `last_seen` | When it was first and last heard. |
//!
//! Its lists, by the host's name: `host_address` (`address`, `last_seen`); `host_channel` (`channel`, a mailslot or
//! `TCP 139`; `count`; `largest` in bytes; `first_seen`, `last_seen`); `host_message` (`channel`, `sender`, `recipient`,
//! `count`, `last_seen`).
//!
//! `asked_name`, a row for each name that was asked for by broadcast and that nobody was heard to answer for: `name`,
//! `type` (3 is the messenger), `asked`, `repeated` (how often the question was repeated, which says that nobody answered),
//! `first_seen`, `last_seen`; and `name_asker` by `name` and `type`: `address`, `asked`, `repeated`, `last_seen`.

mod clients;
mod hosts;
mod names;

use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row};

use super::client::SmtpClient;
use super::host::Host;
use super::kept::Changes;
use super::names::{self as asked, AskedName};

/// Why there is no inventory.
#[derive(Debug, thiserror::Error)]
pub enum InventoryError {
    /// The database refused.
    #[error("cannot open the inventory {path}: {source}; the user that runs mailslotd must own it", path = .path.display())]
    Database {
        /// Its file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The file system refused.
    #[error("cannot open the inventory {path}: {source}; the user that runs mailslotd must own it", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A later version of this program wrote it, or another program.
    #[error("{path} is no inventory that this version knows; run the version that wrote it, or move it away", path = .path.display())]
    Foreign {
        /// Its file.
        path: PathBuf,
    },
}

/// Everything that an inventory holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// Clients of the SMTP listeners, the last seen first.
    pub smtp_clients: Vec<SmtpClient>,
    /// Hosts of the legacy protocols, by name.
    pub hosts: Vec<Host>,
    /// Names that nobody answers for, the one that is asked for most first.
    pub asked_names: Vec<AskedName>,
}

/// An open database and what is in it.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) contents: Contents,
}

/// What is to be written, of each kind.
#[derive(Debug)]
pub(super) struct AllChanges {
    pub(super) clients: Changes<SmtpClient>,
    pub(super) hosts: Changes<Host>,
    pub(super) names: Changes<AskedName>,
}

impl AllChanges {
    pub(super) const fn is_empty(&self) -> bool {
        self.clients.is_empty() && self.hosts.is_empty() && self.names.is_empty()
    }
}

/// Opens the database; one that cannot be read is set aside and begun anew.
pub(super) fn open_or_begin_anew(path: &Path) -> Result<Opened, InventoryError> {
    match open(path) {
        Err(InventoryError::Database { source, .. }) if is_damage(&source) => {
            let aside = set_aside(path)?;
            tracing::error!(
                path = %path.display(),
                aside = %aside.display(),
                error = %source,
                "The inventory could not be read and is begun anew; what it knew is in the file set aside."
            );
            open(path)
        }
        opened => opened,
    }
}

fn open(path: &Path) -> Result<Opened, InventoryError> {
    let file = |source| InventoryError::File { path: path.to_owned(), source };
    // SQLite gives its companions the same mode.
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(file)?;
    let failed = |source| InventoryError::Database { path: path.to_owned(), source };
    let connection = connect(path).map_err(failed)?;
    check_owner(&connection, path)?;
    connection.execute_batch(SCHEMA).map_err(failed)?;
    let contents = load(&connection).map_err(failed)?;
    Ok(Opened { connection, contents })
}

/// The rows of a database that nobody has open.
pub(super) fn read(path: &Path) -> Result<Contents, InventoryError> {
    let failed = |source| InventoryError::Database { path: path.to_owned(), source };
    let connection = connect(path).map_err(failed)?;
    check_owner(&connection, path)?;
    load(&connection).map_err(failed)
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    Ok(connection)
}

fn check_owner(connection: &Connection, path: &Path) -> Result<(), InventoryError> {
    let number = |name| {
        connection
            .pragma_query_value(None, name, |row| row.get::<_, i64>(0))
            .map_err(|source| InventoryError::Database { path: path.to_owned(), source })
    };
    let known = number("application_id")? == APPLICATION && FORMATS.contains(&number("user_version")?);
    if known || number("schema_version")? == 0 {
        Ok(())
    } else {
        Err(InventoryError::Foreign { path: path.to_owned() })
    }
}

fn load(connection: &Connection) -> rusqlite::Result<Contents> {
    let tables = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?1";
    let has =
        |table| connection.query_row(tables, [table], |row| row.get::<_, i64>(0)).map(|count| count > 0);
    let mut contents = Contents::default();
    if has("smtp_client")? {
        contents.smtp_clients = clients::load(connection)?;
    }
    // A file of the first format that no gateway has opened since has clients alone.
    if has("host")? {
        contents.hosts = hosts::load(connection)?;
        contents.asked_names = names::load(connection)?;
    }
    contents.smtp_clients.sort_by_key(|client| std::cmp::Reverse(client.last_seen));
    contents.hosts.sort_by(|a, b| a.name.cmp(&b.name));
    asked::sort(&mut contents.asked_names);
    Ok(contents)
}

/// Writes all changes at once, or none.
pub(super) fn write(connection: &mut Connection, changes: &AllChanges) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    clients::write(&transaction, &changes.clients)?;
    hosts::write(&transaction, &changes.hosts)?;
    names::write(&transaction, &changes.names)?;
    transaction.commit()
}

/// A count in a column.
fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A count from a column.
fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(|count| u64::try_from(count).unwrap_or_default())
}

/// A time from a column; `None` for what is no time.
fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    row.get::<_, Option<String>>(column).map(|text| text.and_then(|text| text.parse().ok()))
}

/// Whether the database itself is damaged: no SQLite database, unreadable pages, or a table of another shape.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        Some(code) => matches!(code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase),
        // A value of another type than the column's.
        None => true,
    }
}

/// The database and its companions under another name.
fn set_aside(path: &Path) -> Result<PathBuf, InventoryError> {
    #[expect(clippy::disallowed_methods, reason = "the name of a file that is kept for the operator")]
    let now = Timestamp::now();
    let aside = with_suffix(path, &format!(".damaged-{}", now.strftime("%Y%m%dT%H%M%S%.9fZ")));
    std::fs::rename(path, &aside).map_err(|source| InventoryError::File { path: path.to_owned(), source })?;
    for companion in ["-wal", "-shm"] {
        let from = with_suffix(path, companion);
        match std::fs::rename(&from, with_suffix(&aside, companion)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(InventoryError::File { path: from, source }),
        }
    }
    Ok(aside)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// An operator's tool may hold it for a moment.
const BUSY: Duration = Duration::from_secs(5);

/// "MSIN".
const APPLICATION: i64 = 0x4D53_494E;

/// 1 has SMTP clients alone; what it lacks is added when it is opened.
const FORMATS: [i64; 2] = [1, 2];

/// `NORMAL`: a commit waits for no fsync; a power cut may take the last minutes with it, and leaves the file whole.
const SCHEMA: &str = "
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA application_id = 0x4D53494E;
PRAGMA user_version = 2;
CREATE TABLE IF NOT EXISTS smtp_client (
    listener TEXT NOT NULL,
    address TEXT NOT NULL,
    acquaintance TEXT NOT NULL,
    client_name TEXT,
    reverse_path TEXT,
    tls TEXT NOT NULL,
    mechanism TEXT,
    account TEXT,
    quirks TEXT NOT NULL,
    largest_message INTEGER NOT NULL,
    messages INTEGER NOT NULL,
    refused INTEGER NOT NULL,
    first_seen TEXT NOT NULL,
    last_seen TEXT NOT NULL,
    PRIMARY KEY (listener, address)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS host (
    name TEXT NOT NULL PRIMARY KEY,
    named_by TEXT NOT NULL,
    workgroup TEXT,
    system TEXT,
    certainty TEXT,
    roles TEXT NOT NULL,
    comment TEXT,
    sightings INTEGER NOT NULL,
    left_at TEXT,
    first_seen TEXT NOT NULL,
    last_seen TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS host_address (
    name TEXT NOT NULL,
    address TEXT NOT NULL,
    last_seen TEXT NOT NULL,
    PRIMARY KEY (name, address)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS host_channel (
    name TEXT NOT NULL,
    channel TEXT NOT NULL,
    count INTEGER NOT NULL,
    largest INTEGER NOT NULL,
    first_seen TEXT NOT NULL,
    last_seen TEXT NOT NULL,
    PRIMARY KEY (name, channel)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS host_message (
    name TEXT NOT NULL,
    channel TEXT NOT NULL,
    sender TEXT NOT NULL,
    recipient TEXT NOT NULL,
    count INTEGER NOT NULL,
    last_seen TEXT NOT NULL,
    PRIMARY KEY (name, channel, sender, recipient)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS asked_name (
    name TEXT NOT NULL,
    type INTEGER NOT NULL,
    asked INTEGER NOT NULL,
    repeated INTEGER NOT NULL,
    first_seen TEXT NOT NULL,
    last_seen TEXT NOT NULL,
    PRIMARY KEY (name, type)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS name_asker (
    name TEXT NOT NULL,
    type INTEGER NOT NULL,
    address TEXT NOT NULL,
    asked INTEGER NOT NULL,
    repeated INTEGER NOT NULL,
    last_seen TEXT NOT NULL,
    PRIMARY KEY (name, type, address)
) STRICT, WITHOUT ROWID;
";
