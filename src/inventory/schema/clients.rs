//! The rows of SMTP clients.

use rusqlite::{Connection, Row, Transaction, params};

use super::{count, number, time};
use crate::inventory::client::SmtpClient;
use crate::inventory::habits::Habits;
use crate::inventory::kept::Changes;
use crate::inventory::sighting::{Acquaintance, TlsSeen};
use crate::message::id::ListenerName;

pub(super) fn load(connection: &Connection) -> rusqlite::Result<Vec<SmtpClient>> {
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
    let (Ok(listener), Ok(address)) = (ListenerName::new(&text(0)?), text(1)?.parse()) else {
        return Ok(None);
    };
    let (Some(first_seen), Some(last_seen)) = (time(row, 12)?, time(row, 13)?) else {
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
        quirks: Habits::from_words(&text(8)?, last_seen),
        largest_message: count(row, 9)?,
        messages: count(row, 10)?,
        refused: count(row, 11)?,
        first_seen,
        last_seen,
    }))
}

pub(super) fn write(transaction: &Transaction<'_>, changes: &Changes<SmtpClient>) -> rusqlite::Result<()> {
    let mut delete =
        transaction.prepare_cached("DELETE FROM smtp_client WHERE listener = ?1 AND address = ?2")?;
    for (listener, address) in &changes.gone {
        delete.execute(params![listener.as_str(), address.to_string()])?;
    }
    let mut put = transaction.prepare_cached(
        "INSERT OR REPLACE INTO smtp_client VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )?;
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
    Ok(())
}
