//! The rows of names that are asked for, and of who asks.

use std::collections::HashMap;

use rusqlite::{Connection, Row, Transaction, params};

use super::{count, number, time};
use crate::inventory::kept::Changes;
use crate::inventory::names::{AskedName, Asker};
use crate::wire::netbios_name::NameType;

/// All names. A row that somebody wrote by hand and that means nothing is passed over.
pub(super) fn load(connection: &Connection) -> rusqlite::Result<Vec<AskedName>> {
    let mut statement =
        connection.prepare("SELECT name, type, asked, repeated, first_seen, last_seen FROM asked_name")?;
    let rows: Result<Vec<AskedName>, _> =
        statement.query_map([], asked_name)?.filter_map(Result::transpose).collect();
    let mut names: HashMap<(String, u8), AskedName> =
        rows?.into_iter().map(|name| ((name.name.clone(), name.name_type.0), name)).collect();
    let mut statement = connection.prepare(
        "SELECT name, type, address, asked, repeated, last_seen FROM name_asker ORDER BY last_seen DESC",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let name = names.get_mut(&(row.get(0)?, row.get(1)?));
        let (address, last_seen) = (row.get::<_, String>(2)?.parse(), time(row, 5)?);
        if let (Some(name), Ok(address), Some(last_seen)) = (name, address, last_seen) {
            name.askers.push(Asker { address, asked: count(row, 3)?, repeated: count(row, 4)?, last_seen });
        }
    }
    Ok(names.into_values().collect())
}

fn asked_name(row: &Row<'_>) -> rusqlite::Result<Option<AskedName>> {
    let (Some(first_seen), Some(last_seen)) = (time(row, 4)?, time(row, 5)?) else {
        return Ok(None);
    };
    Ok(Some(AskedName {
        name: row.get(0)?,
        name_type: NameType(row.get(1)?),
        askers: Vec::new(),
        asked: count(row, 2)?,
        repeated: count(row, 3)?,
        first_seen,
        last_seen,
    }))
}

pub(super) fn write(transaction: &Transaction<'_>, changes: &Changes<AskedName>) -> rusqlite::Result<()> {
    let mut delete = transaction.prepare_cached("DELETE FROM asked_name WHERE name = ?1 AND type = ?2")?;
    let mut clear = transaction.prepare_cached("DELETE FROM name_asker WHERE name = ?1 AND type = ?2")?;
    for (name, name_type) in &changes.gone {
        delete.execute(params![name, name_type.0])?;
        clear.execute(params![name, name_type.0])?;
    }
    let mut put =
        transaction.prepare_cached("INSERT OR REPLACE INTO asked_name VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    let mut put_asker =
        transaction.prepare_cached("INSERT OR REPLACE INTO name_asker VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    for name in &changes.changed {
        let (text, name_type) = (&name.name, name.name_type.0);
        put.execute(params![
            text,
            name_type,
            number(name.asked),
            number(name.repeated),
            name.first_seen.to_string(),
            name.last_seen.to_string(),
        ])?;
        clear.execute(params![text, name_type])?;
        for asker in &name.askers {
            put_asker.execute(params![
                text,
                name_type,
                asker.address.to_string(),
                number(asker.asked),
                number(asker.repeated),
                asker.last_seen.to_string(),
            ])?;
        }
    }
    Ok(())
}
