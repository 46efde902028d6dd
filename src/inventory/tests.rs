use std::fs;

use super::client::tests::seen;
use super::*;
use crate::wire::client_hello::Version;
use crate::wire::smtp::mechanism::Mechanism;

fn open(path: &Path) -> Inventory {
    Inventory::open(path, Arc::new(Metrics::new())).unwrap()
}

#[tokio::test]
async fn clients_survive_a_restart_and_can_be_read_while_nothing_runs() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join(DATABASE);
    assert!(read(&path).unwrap().is_none());
    let inventory = open(&path);
    inventory.record(SmtpClientSeen {
        tls: TlsSeen::Failed { newest: Some(Version(0x0301)) },
        auth: Some(AuthSeen { mechanism: Mechanism::CramMd5, account: "scanner".to_owned() }),
        quirks: [Quirk::BareLineEnd, Quirk::MissingDate].into_iter().collect(),
        largest_message: 31 << 20,
        messages: 3,
        refused: 1,
        ..seen("192.0.2.7", 100)
    });
    inventory.record(SmtpClientSeen { tls: TlsSeen::Tls13, ..seen("2001:db8::7", 200) });
    let before = inventory.smtp_clients().await;
    assert_eq!(
        before.iter().map(|client| client.address.to_string()).collect::<Vec<_>>(),
        ["2001:db8::7", "192.0.2.7"]
    );
    inventory.clone().close().await;
    assert_eq!(inventory.smtp_clients().await, [], "it is closed");
    assert_eq!(read(&path).unwrap().unwrap(), before);

    let inventory = open(&path);
    assert_eq!(inventory.smtp_clients().await, before);
    inventory.record(SmtpClientSeen { messages: 1, ..seen("192.0.2.7", 300) });
    let again = inventory.smtp_clients().await;
    assert_eq!((again[0].messages, again[0].first_seen.as_second()), (4, 100));
    inventory.close().await;
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_and_begun_anew() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join(DATABASE);
    fs::write(&path, "this is no database, however long one looks at it".repeat(100)).unwrap();
    let inventory = open(&path);
    inventory.record(seen("192.0.2.7", 1));
    inventory.close().await;
    assert_eq!(read(&path).unwrap().unwrap().len(), 1);
    let aside =
        fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(aside.filter(|name| name.starts_with("inventory.db.damaged-")).count(), 1);
}

#[test]
fn a_database_of_another_program_is_left_alone() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join(DATABASE);
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE precious (it INTEGER)").unwrap();
    drop(other);
    let error = Inventory::open(&path, Arc::new(Metrics::new())).unwrap_err();
    assert!(matches!(error, InventoryError::Foreign { .. }), "{error}");
}

#[tokio::test]
async fn a_sighting_that_nobody_takes_is_counted() {
    let scratch = tempfile::tempdir().unwrap();
    let metrics = Arc::new(Metrics::new());
    let inventory = Inventory::open(&scratch.path().join(DATABASE), Arc::clone(&metrics)).unwrap();
    inventory.clone().close().await;
    inventory.record(seen("192.0.2.7", 1));
    assert!(metrics.encode().contains("mailslotd_inventory_sightings_dropped_total 1"));
}
