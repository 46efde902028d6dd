//! The rows of hosts, and of the lists that belong to them.

use std::collections::HashMap;

use rusqlite::{Connection, Row, Transaction, params};

use super::{count, number, time};
use crate::inventory::host::{AddressSeen, ChannelUse, Host, MessagesSent, NamedBy};
use crate::inventory::kept::Changes;
use crate::message::host::{Channel, Roles, SystemGuess};

/// All hosts. A row that somebody wrote by hand and that means nothing is passed over.
pub(super) fn load(connection: &Connection) -> rusqlite::Result<Vec<Host>> {
    let mut statement = connection.prepare(
        "SELECT name, named_by, workgroup, system, certainty, roles, comment, sightings, left_at, first_seen, \
         last_seen FROM host",
    )?;
    let rows: Result<Vec<Host>, _> = statement.query_map([], host)?.filter_map(Result::transpose).collect();
    let mut hosts: HashMap<String, Host> = rows?.into_iter().map(|host| (host.name.clone(), host)).collect();
    load_lists(connection, &mut hosts)?;
    // The last first, as they are in memory.
    let sorted = |mut host: Host| {
        host.addresses.sort_by_key(|seen| std::cmp::Reverse(seen.last_seen));
        host
    };
    Ok(hosts.into_values().map(sorted).collect())
}

fn host(row: &Row<'_>) -> rusqlite::Result<Option<Host>> {
    let (Some(first_seen), Some(last_seen)) = (time(row, 9)?, time(row, 10)?) else {
        return Ok(None);
    };
    let system: Option<String> = row.get(3)?;
    let certainty: Option<String> = row.get(4)?;
    Ok(Some(Host {
        name: row.get(0)?,
        named_by: NamedBy::named(&row.get::<_, String>(1)?),
        workgroup: row.get(2)?,
        system: system.and_then(|system| SystemGuess::named(&system, &certainty.unwrap_or_default())),
        roles: Roles::from_words(&row.get::<_, String>(5)?),
        comment: row.get(6)?,
        addresses: Vec::new(),
        channels: Vec::new(),
        messages: Vec::new(),
        sightings: count(row, 7)?,
        left_at: time(row, 8)?,
        first_seen,
        last_seen,
    }))
}

fn load_lists(connection: &Connection, hosts: &mut HashMap<String, Host>) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("SELECT name, address, last_seen FROM host_address")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (address, last_seen) = (row.get::<_, String>(1)?.parse(), time(row, 2)?);
        if let (Some(host), Ok(address), Some(last_seen)) = (owner(hosts, row)?, address, last_seen) {
            host.addresses.push(AddressSeen { address, last_seen });
        }
    }
    let mut statement = connection.prepare(
        "SELECT name, channel, count, largest, first_seen, last_seen FROM host_channel ORDER BY name, first_seen",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (channel, count, largest) =
            (Channel::named(&row.get::<_, String>(1)?), count(row, 2)?, count(row, 3)?);
        let (first_seen, last_seen) = (time(row, 4)?, time(row, 5)?);
        if let (Some(host), Some(first_seen), Some(last_seen)) = (owner(hosts, row)?, first_seen, last_seen) {
            host.channels.push(ChannelUse { channel, count, largest, first_seen, last_seen });
        }
    }
    let mut statement = connection.prepare(
        "SELECT name, channel, sender, recipient, count, last_seen FROM host_message ORDER BY name, last_seen",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let channel = Channel::named(&row.get::<_, String>(1)?);
        let (from, to, count, last_seen) = (row.get(2)?, row.get(3)?, count(row, 4)?, time(row, 5)?);
        if let (Some(host), Some(last_seen)) = (owner(hosts, row)?, last_seen) {
            host.messages.push(MessagesSent { channel, from, to, count, last_seen });
        }
    }
    Ok(())
}

/// The host that a row of a list belongs to.
fn owner<'a>(hosts: &'a mut HashMap<String, Host>, row: &Row<'_>) -> rusqlite::Result<Option<&'a mut Host>> {
    Ok(hosts.get_mut(&row.get::<_, String>(0)?))
}

/// The lists of a host are written anew with it: they are short.
pub(super) fn write(transaction: &Transaction<'_>, changes: &Changes<Host>) -> rusqlite::Result<()> {
    for name in &changes.gone {
        transaction.prepare_cached("DELETE FROM host WHERE name = ?1")?.execute([name])?;
        clear_lists(transaction, name)?;
    }
    let mut put = transaction.prepare_cached(
        "INSERT OR REPLACE INTO host VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?;
    for host in &changes.changed {
        put.execute(params![
            host.name,
            host.named_by.as_str(),
            host.workgroup,
            host.system.map(|guess| guess.system.as_str()),
            host.system.map(|guess| guess.certainty.as_str()),
            host.roles.to_string(),
            host.comment,
            number(host.sightings),
            host.left_at.map(|at| at.to_string()),
            host.first_seen.to_string(),
            host.last_seen.to_string(),
        ])?;
        clear_lists(transaction, &host.name)?;
        write_lists(transaction, host)?;
    }
    Ok(())
}

fn clear_lists(transaction: &Transaction<'_>, name: &str) -> rusqlite::Result<()> {
    for delete in [
        "DELETE FROM host_address WHERE name = ?1",
        "DELETE FROM host_channel WHERE name = ?1",
        "DELETE FROM host_message WHERE name = ?1",
    ] {
        transaction.prepare_cached(delete)?.execute([name])?;
    }
    Ok(())
}

fn write_lists(transaction: &Transaction<'_>, host: &Host) -> rusqlite::Result<()> {
    let mut put = transaction.prepare_cached("INSERT OR REPLACE INTO host_address VALUES (?1, ?2, ?3)")?;
    for seen in &host.addresses {
        put.execute(params![host.name, seen.address.to_string(), seen.last_seen.to_string()])?;
    }
    let mut put =
        transaction.prepare_cached("INSERT OR REPLACE INTO host_channel VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    for used in &host.channels {
        put.execute(params![
            host.name,
            used.channel.to_string(),
            number(used.count),
            number(used.largest),
            used.first_seen.to_string(),
            used.last_seen.to_string(),
        ])?;
    }
    let mut put =
        transaction.prepare_cached("INSERT OR REPLACE INTO host_message VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    for sent in &host.messages {
        put.execute(params![
            host.name,
            sent.channel.to_string(),
            sent.from,
            sent.to,
            number(sent.count),
            sent.last_seen.to_string(),
        ])?;
    }
    Ok(())
}
