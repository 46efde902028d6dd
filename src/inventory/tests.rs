use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::client::tests::seen;
use super::*;
use crate::message::host::{Channel, HostName, MessageSeen, Presence, Roles, Silence};
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
    assert_eq!(read(&path).unwrap().unwrap().smtp_clients, before);

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
    assert_eq!(read(&path).unwrap().unwrap().smtp_clients.len(), 1);
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

/// A host's announcement.
pub(super) fn sighting(name: &str, address: &str, second: i64) -> HostSighting {
    HostSighting {
        at: Timestamp::from_second(second).unwrap(),
        address: address.parse().unwrap(),
        name: Some(HostName::Computer(name.to_owned())),
        workgroup: Some("PLANT".to_owned()),
        system: None,
        roles: Roles::default(),
        comment: None,
        presence: Presence::Stays,
        channel: Channel::Mailslot(r"\MAILSLOT\BROWSE".to_owned()),
        octets: 33,
        message: None,
    }
}

/// A message under a messenger name, to `ALERTS`.
pub(super) fn messenger(name: &str, address: &str, second: i64) -> HostSighting {
    HostSighting {
        name: Some(HostName::Messenger(name.to_owned())),
        channel: Channel::Mailslot(r"\MAILSLOT\MESSNGR".to_owned()),
        message: Some(MessageSeen { from: name.to_owned(), to: "ALERTS".to_owned() }),
        ..sighting(name, address, second)
    }
}

#[tokio::test]
async fn hosts_and_names_survive_a_restart() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join(DATABASE);
    let metrics = Arc::new(Metrics::new());
    let inventory = Inventory::open(&path, Arc::clone(&metrics)).unwrap();
    inventory.record_host(sighting("PC01", "192.0.2.7", 100), 1);
    inventory.record_host(sighting("PC01", "2001:db8::7", 160), 3);
    inventory.record_host(messenger("ALICE", "192.0.2.8", 200), 2);
    inventory.record_name(NameQuerySeen {
        at: Timestamp::from_second(300).unwrap(),
        asker: "192.0.2.8".parse().unwrap(),
        name: "DISPLAY'1".to_owned(),
        name_type: crate::wire::netbios_name::NameType::MESSENGER,
        silence: Silence::Repeated,
    });
    let before = inventory.hosts().await;
    let counts: Vec<_> = before.0.iter().map(|host| (host.name.as_str(), host.sightings)).collect();
    assert_eq!(counts, [("ALICE", 2), ("PC01", 4)]);
    assert!(metrics.encode().contains("mailslotd_inventory_hosts 2"));
    inventory.close().await;
    let contents = read(&path).unwrap().unwrap();
    assert_eq!((contents.hosts, contents.asked_names), before);

    let inventory = open(&path);
    assert_eq!(inventory.hosts().await, before);
    inventory.record_host(sighting("ALICE", "192.0.2.8", 400), 1);
    inventory.close().await;
    let hosts = read(&path).unwrap().unwrap().hosts;
    assert_eq!((hosts[0].sightings, hosts[0].named_by, hosts[0].channels.len()), (3, NamedBy::Computer, 2));
}

#[tokio::test]
async fn a_file_of_the_first_format_keeps_its_clients_and_learns_of_hosts() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join(DATABASE);
    let inventory = open(&path);
    inventory.record(seen("192.0.2.7", 1));
    inventory.close().await;
    let old = rusqlite::Connection::open(&path).unwrap();
    let tables = ["host", "host_address", "host_channel", "host_message", "asked_name", "name_asker"];
    for table in tables {
        old.execute_batch(&format!("DROP TABLE {table}")).unwrap();
    }
    old.execute_batch("PRAGMA user_version = 1").unwrap();
    drop(old);
    let contents = read(&path).unwrap().unwrap();
    assert_eq!((contents.smtp_clients.len(), contents.hosts.len()), (1, 0));
    let inventory = open(&path);
    inventory.record_host(sighting("PC01", "192.0.2.7", 100), 1);
    inventory.close().await;
    let contents = read(&path).unwrap().unwrap();
    assert_eq!((contents.smtp_clients.len(), contents.hosts.len()), (1, 1));
}

/// What a recorder hears: a datagram from `source` with this text.
fn hear(recorder: &mut HostRecorder, source: SocketAddr, from: &str, text: &str, now: Instant) {
    use crate::message::notice::{Arrival, Listener};
    use crate::wire::datagram::{Datagram, Flags, Header, MsgType};
    use crate::wire::netbios_name::{NameType, NetbiosName};
    use crate::wire::oem_text::{CodePage, SenderText, Utf8};

    let name = |text: &str| NetbiosName::new(text.as_bytes(), NameType::WORKSTATION).unwrap();
    let header =
        Header { flags: Flags::FIRST, dgm_id: 1, source_ip: [192, 0, 2, 7].into(), source_port: 138 };
    let text = crate::wire::messenger::Text { from: from.as_bytes(), to: b"ALERTS", text: text.as_bytes() };
    let bytes = text.datagram(header, MsgType::DirectUnique, name(from), name("ALERTS")).unwrap();
    let Ok(Datagram::Direct(direct)) = Datagram::parse(&bytes) else { panic!("no datagram") };
    let arrival = Arrival {
        at: Timestamp::UNIX_EPOCH,
        source,
        destination: None,
        interface: None,
        listener: Listener::Datagram,
    };
    let sender = SenderText { code_page: CodePage::Cp437, utf8: Utf8::Never };
    recorder.heard(&crate::decode::decode(&direct, arrival, sender).unwrap(), now);
}

#[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
fn start() -> Instant {
    Instant::now()
}

#[tokio::test]
async fn what_is_heard_again_is_counted_and_told_a_second_later() {
    let scratch = tempfile::tempdir().unwrap();
    let inventory = open(&scratch.path().join(DATABASE));
    let (mut recorder, now) = (HostRecorder::new(inventory.clone()), start());
    let source = "192.0.2.7:138".parse().unwrap();
    for number in 0..1000 {
        hear(&mut recorder, source, "UPS7", &"x".repeat(number % 50), now);
    }
    assert_eq!(inventory.hosts().await.0[0].sightings, 1, "at once");
    assert_eq!(recorder.poll_timeout(), Some(now + Duration::from_secs(1)));
    recorder.handle_timeout(now + Duration::from_secs(1));
    assert_eq!(recorder.poll_timeout(), None);
    let [host] = inventory.hosts().await.0.try_into().unwrap();
    assert_eq!((host.sightings, host.messages[0].count, host.channels[0].count), (1000, 1000, 1000));
    hear(&mut recorder, source, "UPS7", "x", now + Duration::from_secs(2));
    drop(recorder);
    assert_eq!(inventory.hosts().await.0[0].sightings, 1001, "a receiver that ends tells what it counted");
    inventory.close().await;
}

#[tokio::test]
async fn a_source_that_floods_with_new_names_costs_little_and_another_is_still_taken_note_of() {
    let scratch = tempfile::tempdir().unwrap();
    let metrics = Arc::new(Metrics::new());
    let inventory = Inventory::open(&scratch.path().join(DATABASE), Arc::clone(&metrics)).unwrap();
    let (mut recorder, now) = (HostRecorder::new(inventory.clone()), start());
    for number in 0..5000 {
        hear(&mut recorder, "192.0.2.66:138".parse().unwrap(), &format!("X{number}"), "x", now);
    }
    // By chance it may share its allowance with the one that floods, but hardly all of these do.
    for last in 1..=3 {
        let source = SocketAddr::from(([192, 0, 2, last], 138));
        hear(&mut recorder, source, &format!("UPS{last}"), "x", now);
    }
    let hosts = inventory.hosts().await.0;
    assert!(hosts.iter().any(|host| host.name.starts_with("UPS")));
    assert!(hosts.len() <= 64, "{}", hosts.len());
    assert!(metrics.encode().contains("mailslotd_inventory_sightings_dropped_total 49"));
    inventory.close().await;
}
