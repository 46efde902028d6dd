//! The database: one table with a row for each client of a listener.
//!
//! | Column | What it holds |
//! |---|---|
//! | `listener`, `address` | Where it comes in, and where it is; the key. |
//! | `acquaintance` | `own` once it was in a trusted network or authenticated, else `stranger`. |
//! | `client_name`, `reverse_path` | As it last named itself and its sender; escaped; `<>` is the null reverse-path. |
//! | `tls` | `none`, `TLS 1.2`, `TLS 1.3`, or `failed: offers at most …`. |
//! | `mechanism`, `account` | How it last authenticated, and as whom. |
//! | `quirks` | Words of [`Quirk`](super::Quirk), separated by blanks. |
//! | `largest_message`, `messages`, `refused` | Octets of the largest; how many were accepted, and refused. |
//! | `first_seen`, `last_seen` | RFC 3339, UTC. |

use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row, params};

use super::client::SmtpClient;
use super::clients::Changes;
use super::sighting::{Acquaintance, TlsSeen};
use crate::message::id::ListenerName;
use crate::wire::smtp::quirk::Quirks;

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

/// An open database and what is in it.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) clients: Vec<SmtpClient>,
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
                "The inventory could not be read and is begun anew; what it knew of clients is in the file set aside."
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
    let clients = load(&connection).map_err(failed)?;
    Ok(Opened { connection, clients })
}

/// The rows of a database that nobody has open.
pub(super) fn read(path: &Path) -> Result<Vec<SmtpClient>, InventoryError> {
    let failed = |source| InventoryError::Database { path: path.to_owned(), source };
    let connection = connect(path).map_err(failed)?;
    check_owner(&connection, path)?;
    let mut clients = load(&connection).map_err(failed)?;
    clients.sort_by_key(|client| std::cmp::Reverse(client.last_seen));
    Ok(clients)
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
    let known = (number("application_id")?, number("user_version")?) == (APPLICATION, FORMAT);
    if known || number("schema_version")? == 0 {
        Ok(())
    } else {
        Err(InventoryError::Foreign { path: path.to_owned() })
    }
}

fn load(connection: &Connection) -> rusqlite::Result<Vec<SmtpClient>> {
    let mut statement = connection.prepare(
        "SELECT listener, address, acquaintance, client_name, reverse_path, tls, mechanism, account, quirks, \
         largest_message, messages, refused, first_seen, last_seen FROM smtp_client",
    )?;
    let rows = statement.query_map([], client)?;
    // A row that somebody wrote by hand and that means nothing is passed over.
    rows.filter_map(Result::transpose).collect()
}

fn client(row: &Row<'_>) -> rusqlite::Result<Option<SmtpClient>> {
    let text = |column| row.get::<_, String>(column);
    let count = |column| row.get::<_, i64>(column).map(|count| u64::try_from(count).unwrap_or_default());
    let (Ok(listener), Ok(address)) = (ListenerName::new(&text(0)?), text(1)?.parse()) else {
        return Ok(None);
    };
    let (Ok(first_seen), Ok(last_seen)) = (text(12)?.parse::<Timestamp>(), text(13)?.parse::<Timestamp>())
    else {
        return Ok(None);
    };
    Ok(Some(SmtpClient {
        listener,
        address,
        acquaintance: Acquaintance::named(&text(2)?),
        client_name: row.get(3)?,
        reverse_path: row.get(4)?,
        tls: TlsSeen::named(&text(5)?).unwrap_or(TlsSeen::Failed { newest: None }),
        mechanism: row.get(6)?,
        account: row.get(7)?,
        quirks: Quirks::from_words(&text(8)?),
        largest_message: count(9)?,
        messages: count(10)?,
        refused: count(11)?,
        first_seen,
        last_seen,
    }))
}

/// Writes all changes at once, or none.
pub(super) fn write(connection: &mut Connection, changes: &Changes) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    {
        let mut delete =
            transaction.prepare_cached("DELETE FROM smtp_client WHERE listener = ?1 AND address = ?2")?;
        for (listener, address) in &changes.gone {
            delete.execute(params![listener.as_str(), address.to_string()])?;
        }
        let mut put = transaction.prepare_cached(
            "INSERT OR REPLACE INTO smtp_client VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )?;
        let number = |count| i64::try_from(count).unwrap_or(i64::MAX);
        for client in &changes.changed {
            put.execute(params![
                client.listener.as_str(),
                client.address.to_string(),
                client.acquaintance.as_str(),
                client.client_name,
                client.reverse_path,
                client.tls.to_string(),
                client.mechanism,
                client.account,
                client.quirks.to_string(),
                number(client.largest_message),
                number(client.messages),
                number(client.refused),
                client.first_seen.to_string(),
                client.last_seen.to_string(),
            ])?;
        }
    }
    transaction.commit()
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
const FORMAT: i64 = 1;

/// `NORMAL`: a commit waits for no fsync; a power cut may take the last minutes with it, and leaves the file whole.
const SCHEMA: &str = "
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA application_id = 0x4D53494E;
PRAGMA user_version = 1;
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
";
