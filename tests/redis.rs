//! Redis Streams as a place that messages go, against a real redis-server.
#![cfg(feature = "redis")]

use std::collections::BTreeSet;
use std::collections::HashSet;
use std::path::Path;

use mailslotd::spool::SpoolState;
use mailslotd::telemetry::metrics::DestinationState;
use serde_json::Value;

mod support;

use support::queue_world::{HOSTILE, QueueWorld, eventually, in_state, message, shut_down};
use support::redis_server::RedisServer;
use support::require;

/// A destination `redis`, and `inbox`, which is always there.
fn world(server: &RedisServer, more: &str) -> QueueWorld {
    QueueWorld::new(&format!(
        "  redis: {{ redis: {{ url: 'redis://127.0.0.1:{}', {more} }} }}\n",
        server.port
    ))
}

/// The events of a stream in structured mode, oldest first.
fn events(server: &RedisServer, stream: &str) -> Vec<Value> {
    let entries = server.entries(stream).into_iter();
    let event = |fields: Vec<(String, String)>| match fields.as_slice() {
        [(id_name, id), (name, event)] if id_name == "id" && name == "event" => {
            let event: Value = serde_json::from_str(event).unwrap();
            assert_eq!(event["id"], **id);
            event
        }
        other => panic!("{other:?}"),
    };
    entries.map(event).collect()
}

fn secret(dir: &Path, text: &str) -> String {
    let path = dir.join("secret");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[tokio::test]
async fn an_event_is_an_entry_of_its_stream_in_both_modes() {
    let server = require!(RedisServer::start(""));
    let world = QueueWorld::new(&format!(
        "  whole: {{ redis: {{ url: 'redis://127.0.0.1:{0}/3' }} }}\n  parts: {{ redis: {{ url: 'redis://127.0.0.1:{0}', \
         event: binary, stream: parts }} }}\n",
        server.port
    ));
    let scheduler = world.start();
    world.accept("whole", "plant:ups", 1).await;
    world.accept("parts", "parts", 1).await;
    world.drained("whole").await;
    world.drained("parts").await;
    assert_eq!(events(&server, "plant:ups"), [Value::Null; 0], "it went to database 3");
    let stored = server.command(&["-n", "3", "XRANGE", "plant:ups", "-", "+"]);
    assert!(stored.contains("alarm 0") && stored.contains("mailslotd.messenger.v1"), "{stored}");
    let entries = server.entries("parts");
    let [fields] = entries.as_slice() else { panic!("{entries:?}") };
    let value = |name: &str| &fields.iter().find(|(field, _)| field == name).unwrap().1;
    assert_eq!(value("type"), "mailslotd.messenger.v1");
    assert_eq!(value("subject"), "parts");
    assert_eq!(value("datacontenttype"), "application/json");
    assert!(value("data").contains("alarm 0"));
    shut_down(&scheduler).await;
}

#[tokio::test]
async fn killed_and_started_again_under_load_it_misses_nothing_and_repeats_show() {
    let mut server = require!(RedisServer::start(""));
    let world = world(&server, "limits: { timeout: 5s }");
    let scheduler = world.start();
    for round in 0..3 {
        world.accept("redis", "mailslot", 500).await;
        eventually("some have arrived", async || events(&server, "mailslot").len() > round * 500).await;
        server.kill();
        in_state(&scheduler, "redis", DestinationState::Down).await;
        server.start_again();
    }
    world.drained("redis").await;
    let events = events(&server, "mailslot");
    let ids: HashSet<&str> = events.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 1500);
    shut_down(&scheduler).await;
}

#[tokio::test]
async fn one_that_holds_its_connections_and_answers_no_more_is_down_and_others_go_on() {
    let server = require!(RedisServer::start(""));
    let world = world(&server, "limits: { timeout: 1s }");
    let scheduler = world.start();
    world.accept("redis", "mailslot", 1).await;
    world.drained("redis").await;
    server.freeze();
    world.accept("redis", "mailslot", 100).await;
    let view = in_state(&scheduler, "redis", DestinationState::Down).await;
    let reason = view.reason.unwrap();
    assert!(
        reason.contains("leaves us waiting for the answer to XADD, past `limits.timeout` of 1 s"),
        "{reason}"
    );
    world.accept("inbox", "", 100).await;
    world.drained("inbox").await;
    server.thaw();
    world.drained("redis").await;
    let ids: HashSet<String> =
        events(&server, "mailslot").iter().map(|event| event["id"].to_string()).collect();
    assert_eq!(ids.len(), 101);
    shut_down(&scheduler).await;
}

#[tokio::test]
async fn one_that_is_full_or_a_replica_or_cannot_save_blames_no_message() {
    let server = require!(RedisServer::start(""));
    let mut world = world(&server, "");
    world.pace.throttle = world.pace.down;
    world.pace.fault = world.pace.down;
    let scheduler = world.start();
    let troubles = [
        (
            &["CONFIG", "SET", "maxmemory", "1"][..],
            DestinationState::Throttled,
            "is full: OOM",
            "raise `maxmemory`",
        ),
        (
            &["REPLICAOF", "127.0.0.1", "1"],
            DestinationState::Down,
            "is a replica: READONLY",
            "name the primary",
        ),
        (
            &["CONFIG", "SET", "min-replicas-to-write", "1"],
            DestinationState::Down,
            "misses replicas",
            "min-replicas-to-write",
        ),
        (&["ACL", "SETUSER", "default", "-xadd"], DestinationState::OperatorFault, "NOPERM", "+xadd"),
    ];
    let mends = [
        &["CONFIG", "SET", "maxmemory", "0"][..],
        &["REPLICAOF", "NO", "ONE"],
        &["CONFIG", "SET", "min-replicas-to-write", "0"],
        &["ACL", "SETUSER", "default", "+xadd"],
    ];
    for ((trouble, state, cause, fix), mend) in troubles.into_iter().zip(mends) {
        server.command(trouble);
        world.accept("redis", "mailslot", 5).await;
        let reason = in_state(&scheduler, "redis", state).await.reason.unwrap();
        assert!(reason.contains(cause) && reason.contains(fix), "{reason}");
        assert!(world.copies("redis").await.iter().all(|copy| copy.state != SpoolState::Failed));
        server.command(mend);
        world.drained("redis").await;
    }
    assert_eq!(events(&server, "mailslot").len(), 20);
    shut_down(&scheduler).await;
}

#[tokio::test]
async fn a_stream_that_is_none_holds_up_its_own_messages_alone() {
    let server = require!(RedisServer::start(""));
    let world = world(&server, "");
    let scheduler = world.start();
    server.command(&["SET", "taken", "by something else"]);
    world.accept("redis", "taken", 1).await;
    let delayed = world.one("redis", SpoolState::Queued, |copy| copy.text.is_some()).await;
    let said = delayed.text.unwrap();
    assert!(said.contains("WRONGTYPE") && said.contains("name another stream"), "{said}");
    world.accept("redis", "mailslot", 50).await;
    eventually("others arrive", async || events(&server, "mailslot").len() == 50).await;
    shut_down(&scheduler).await;
}

#[tokio::test]
async fn a_login_that_is_refused_names_the_user_and_waits() {
    let server = require!(RedisServer::start(
        "user gw on >right ~mailslot +xadd +ping\nuser default on nopass ~* +@all"
    ));
    let scratch = tempfile::tempdir().unwrap();
    let wrong = secret(scratch.path(), "wrong");
    let mut world = world(&server, &format!("user: gw, password_file: {wrong}"));
    world.pace.fault = world.pace.down;
    let scheduler = world.start();
    world.accept("redis", "mailslot", 3).await;
    let reason = in_state(&scheduler, "redis", DestinationState::OperatorFault).await.reason.unwrap();
    assert!(reason.contains("refuses user \"gw\": WRONGPASS") && reason.contains("check `user`"), "{reason}");
    assert!(!reason.contains("wrong"), "the password in {reason}");
    server.command(&["ACL", "SETUSER", "gw", ">wrong"]);
    world.drained("redis").await;
    assert_eq!(events(&server, "mailslot").len(), 3);
    shut_down(&scheduler).await;
}

#[tokio::test]
async fn what_senders_call_themselves_is_one_token_of_a_stream_and_nothing_else() {
    let server = require!(RedisServer::start(""));
    let world = QueueWorld::new(&format!(
        "  redis: {{ redis: {{ url: 'redis://127.0.0.1:{}' }} }}\nnetbios: {{ code_page: cp850 }}\nrules: [{{ name: all, match: any, deliver: [{{ via: redis, to: \
         'plant:{{originator}}:alarm' }}] }}]\n",
        server.port
    ));
    let scheduler = world.start();
    for user in HOSTILE {
        world.hear(user).await;
    }
    world.drained("redis").await;
    let keys = server.command(&["KEYS", "*"]);
    let streams: BTreeSet<&str> = keys.lines().collect();
    assert_eq!(streams.len(), HOSTILE.len(), "each has a stream of its own: {streams:?}");
    for stream in &streams {
        let token = stream.strip_prefix("plant:").and_then(|rest| rest.strip_suffix(":alarm")).unwrap();
        let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-_@=.,%".contains(&octet);
        assert!(!token.is_empty() && token.bytes().all(plain), "{token:?}");
        let [event] = &events(&server, stream)[..] else { panic!("{stream}") };
        assert_eq!(event["subject"], **stream);
    }
    for expected in ["plant:%2A:alarm", "plant:%3E:alarm", "plant:a%20b:alarm", "plant:%23+%2F%252E:alarm"] {
        let escaped = expected.replace('+', "%2B");
        assert!(streams.contains(&*escaped), "{escaped} in {streams:?}");
    }
    shut_down(&scheduler).await;
}

#[tokio::test]
async fn under_tls_both_sides_show_who_they_are() {
    let server = require!(RedisServer::start(""));
    let [ca, certificate, key] =
        ["ca.pem", "client.pem", "client.key"].map(|name| server.path(name).display().to_string());
    let port = server.tls_port;
    let world = QueueWorld::new(&format!(
        "  known: {{ redis: {{ url: 'rediss://localhost:{port}', tls: {{ ca_file: {ca}, client_certificate: {certificate}, \
         key_file: {key} }} }} }}\n  unknown: {{ redis: {{ url: 'rediss://localhost:{port}', tls: {{ ca_file: {ca} }} }} }}\n  \
         strange: {{ redis: {{ url: 'rediss://localhost:{port}', tls: {{ ca_file: {certificate} }} }} }}\n"
    ));
    let scheduler = world.start();
    world.accept("known", "mailslot", 3).await;
    world.drained("known").await;
    assert_eq!(events(&server, "mailslot").len(), 3);
    world.accept("strange", "mailslot", 1).await;
    let reason = in_state(&scheduler, "strange", DestinationState::OperatorFault).await.reason.unwrap();
    assert!(
        reason.contains("is not trusted: its certificate is from an authority that is not trusted here (CN=Test authority); ")
            && reason.contains("ca_file"),
        "{reason}"
    );
    world.accept("unknown", "mailslot", 1).await;
    let reason = in_state(&scheduler, "unknown", DestinationState::OperatorFault).await.reason.unwrap();
    assert!(
        reason.contains("CertificateRequired") && reason.contains("needs `tls.client_certificate`"),
        "{reason}"
    );
    for via in ["strange", "unknown"] {
        assert_eq!(world.copies(via).await.len(), 1, "what was not delivered waits");
    }
    shut_down(&scheduler).await;
}

#[tokio::test]
async fn a_stream_keeps_about_as_many_as_it_may_and_an_event_over_the_limit_fails() {
    let server = require!(RedisServer::start(""));
    let world = world(&server, "max_length: 100, limits: { message_size: 4KiB }");
    let scheduler = world.start();
    world.accept("redis", "mailslot", 1000).await;
    world.drained("redis").await;
    let kept = events(&server, "mailslot").len();
    assert!((100..400).contains(&kept), "{kept}");
    let long = message("redis", "mailslot", &"x".repeat(100_000));
    assert!(world.spool.accept_all(vec![long]).await.iter().all(Result::is_ok));
    world.drained("redis").await;
    let last = events(&server, "mailslot").pop().unwrap();
    assert_eq!(last["data"]["truncated"], true, "{last}");
    shut_down(&scheduler).await;
}

#[tokio::test]
async fn with_replicas_an_entry_counts_when_they_have_it() {
    let primary = require!(RedisServer::start(""));
    let mut world = world(&primary, "replicas: 1, limits: { timeout: 2s }");
    world.pace.down.most = std::time::Duration::from_millis(100);
    let scheduler = world.start();
    world.accept("redis", "mailslot", 2).await;
    let reason = in_state(&scheduler, "redis", DestinationState::Down).await.reason.unwrap();
    assert!(reason.contains("has 0 replicas that follow, and `replicas` wants 1"), "{reason}");
    let replica = require!(RedisServer::start(&format!("replicaof 127.0.0.1 {}", primary.port)));
    world.drained("redis").await;
    let ids: HashSet<String> =
        events(&replica, "mailslot").iter().map(|event| event["id"].to_string()).collect();
    assert_eq!(ids.len(), 2);
    shut_down(&scheduler).await;
}
