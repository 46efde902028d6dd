//! MQTT topics as a place that messages go, against a real mosquitto.
#![cfg(feature = "mqtt")]

use std::collections::HashSet;
use std::path::Path;

use mailslotd::spool::SpoolState;
use mailslotd::telemetry::metrics::DestinationState;
use serde_json::Value;

mod support;

use support::mosquitto::{Mosquitto, PASSWORD, Subscriber};
use support::queue_world::{QueueWorld, eventually, in_state, message, shut_down};
use support::require;

/// A destination `plant`, and `inbox`, which is always there.
fn world(server: &Mosquitto, more: &str) -> QueueWorld {
    QueueWorld::new(&format!("  plant: {{ mqtt: {{ url: 'mqtt://127.0.0.1:{}', {more} }} }}\n", server.port))
}

/// The ids of structured events.
fn ids(heard: &[Value]) -> HashSet<String> {
    let event =
        |message: &Value| serde_json::from_str::<Value>(message["payload"].as_str().unwrap()).unwrap();
    heard.iter().map(|message| event(message)["id"].as_str().unwrap().to_owned()).collect()
}

async fn heard(subscriber: &Subscriber, count: usize) -> Vec<Value> {
    eventually("it was heard", async || subscriber.heard().len() >= count).await;
    subscriber.heard()
}

fn secret(dir: &Path, text: &str) -> String {
    let path = dir.join("secret");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[tokio::test]
async fn an_event_is_heard_by_others_in_both_modes_and_is_not_retained() {
    let server = require!(Mosquitto::start(""));
    let world = QueueWorld::new(&format!(
        "  whole: {{ mqtt: {{ url: 'mqtt://127.0.0.1:{0}' }} }}\n  parts: {{ mqtt: {{ url: 'mqtt://127.0.0.1:{0}', event: \
         binary, client_id: gw1 }} }}\n",
        server.port
    ));
    let subscriber = server.subscribe();
    let scheduler = world.start();
    world.accept("whole", "plant/工場/alarm", 1).await;
    let whole = heard(&subscriber, 1).await.remove(0);
    world.accept("parts", "plant/ups", 1).await;
    let parts = heard(&subscriber, 2).await.remove(1);
    assert_eq!(
        (&whole["topic"], &whole["qos"], &whole["retain"]),
        (&"plant/工場/alarm".into(), &1.into(), &0.into())
    );
    assert_eq!(whole["properties"]["content-type"], "application/cloudevents+json");
    let event: Value = serde_json::from_str(whole["payload"].as_str().unwrap()).unwrap();
    assert_eq!((&event["data"]["text"], &event["subject"]), (&"alarm 0".into(), &"plant/工場/alarm".into()));
    assert_eq!(whole["properties"]["user-properties"]["id"], event["id"]);
    assert_eq!(parts["properties"]["content-type"], "application/json");
    let properties = &parts["properties"]["user-properties"];
    assert_eq!(
        (&properties["type"], &properties["subject"]),
        (&"mailslotd.messenger.v1".into(), &"plant/ups".into())
    );
    let data: Value = serde_json::from_str(parts["payload"].as_str().unwrap()).unwrap();
    assert_eq!(data["text"], "alarm 0");
    shut_down(&scheduler).await;
}

#[tokio::test]
async fn killed_and_started_again_under_load_it_misses_only_what_mosquitto_had_taken_over() {
    let mut server = require!(Mosquitto::start(
        "persistence true\npersistence_location DIR/\nautosave_interval 1\nmax_queued_messages 0"
    ));
    let world = world(&server, "limits: { timeout: 5s }");
    let scheduler = world.start();
    let (mut accepted, mut accounted_for) = (HashSet::new(), HashSet::new());
    for round in 0..3 {
        let subscriber = server.subscribe();
        let topics: Vec<_> = (0..2000).map(|number| format!("plant/{round}/{number}")).collect();
        let messages = topics.iter().map(|topic| message("plant", topic, "alarm")).collect();
        assert!(world.spool.accept_all(messages).await.iter().all(Result::is_ok));
        accepted.extend(topics);
        eventually("some have arrived", async || subscriber.heard().len() > 50).await;
        if round < 2 {
            server.kill();
            world.accept("plant", "plant/late", 1).await;
            in_state(&scheduler, "plant", DestinationState::Down).await;
            // It acknowledges before it delivers and writes: what it has in memory only goes with it, and is not ours.
            accounted_for.extend(server.acknowledged());
            accounted_for.extend(topics_of(&subscriber.heard()));
            drop(subscriber);
            server.start_again();
        } else {
            world.drained("plant").await;
            eventually("all that it did not acknowledge before it was killed has arrived", async || {
                let heard = topics_of(&subscriber.heard());
                accepted.iter().all(|topic| accounted_for.contains(topic) || heard.contains(topic))
            })
            .await;
        }
    }
    let by_us_alone = accepted.difference(&accounted_for).count();
    assert!(by_us_alone > 2000, "it was killed when all had been acknowledged");
    shut_down(&scheduler).await;
}

fn topics_of(heard: &[Value]) -> HashSet<String> {
    heard.iter().map(|message| message["topic"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn one_that_holds_its_connections_and_answers_no_more_is_down_and_others_go_on() {
    let server = require!(Mosquitto::start(""));
    let world = world(&server, "limits: { timeout: 1s }");
    let scheduler = world.start();
    let subscriber = server.subscribe();
    world.accept("plant", "plant/ups", 1).await;
    world.drained("plant").await;
    server.freeze();
    world.accept("plant", "plant/ups", 100).await;
    let reason = in_state(&scheduler, "plant", DestinationState::Down).await.reason.unwrap();
    assert!(
        reason.contains("leaves us waiting for an acknowledgement, past `limits.timeout` of 1 s"),
        "{reason}"
    );
    world.accept("inbox", "", 100).await;
    world.drained("inbox").await;
    server.thaw();
    world.drained("plant").await;
    eventually("all have arrived", async || ids(&subscriber.heard()).len() == 101).await;
    shut_down(&scheduler).await;
}

#[tokio::test]
async fn a_login_that_is_refused_names_the_user_and_waits() {
    let mut server = require!(Mosquitto::start("allow_anonymous false\npassword_file DIR/passwords"));
    let scratch = tempfile::tempdir().unwrap();
    let file = secret(scratch.path(), "wrong");
    let mut world = world(&server, &format!("user: gw, password_file: {file}"));
    world.pace.fault = world.pace.down;
    let scheduler = world.start();
    world.accept("plant", "plant/ups", 3).await;
    let reason = in_state(&scheduler, "plant", DestinationState::OperatorFault).await.reason.unwrap();
    assert!(
        reason.contains("does not let us in: 0x87") && reason.contains("check the password of \"gw\""),
        "{reason}"
    );
    assert!(!reason.contains("wrong"), "the password in {reason}");
    server.kill();
    server.configure("");
    server.start_again();
    world.drained("plant").await;
    shut_down(&scheduler).await;
}

#[tokio::test]
async fn with_name_and_password_and_under_tls_with_a_certificate_it_is_let_in() {
    let server = require!(Mosquitto::start(
        "per_listener_settings false\nallow_anonymous false\npassword_file DIR/passwords"
    ));
    let [ca, certificate, key] =
        ["ca.pem", "client.pem", "client.key"].map(|name| server.path(name).display().to_string());
    let scratch = tempfile::tempdir().unwrap();
    let file = secret(scratch.path(), PASSWORD);
    let (port, tls_port) = (server.port, server.tls_port);
    let login = format!("user: gw, password_file: {file}");
    let world = QueueWorld::new(&format!(
        "  clear: {{ mqtt: {{ url: 'mqtt://127.0.0.1:{port}', {login} }} }}\n  known: {{ mqtt: {{ url: \
         'mqtts://localhost:{tls_port}', {login}, tls: {{ ca_file: {ca}, client_certificate: {certificate}, key_file: {key} }} \
         }} }}\n  unknown: {{ mqtt: {{ url: 'mqtts://localhost:{tls_port}', {login}, tls: {{ ca_file: {ca} }} }} }}\n  strange: \
         {{ mqtt: {{ url: 'mqtts://localhost:{tls_port}', {login}, tls: {{ ca_file: {certificate} }} }} }}\n"
    ));
    let subscriber = server.subscribe();
    let scheduler = world.start();
    world.accept("clear", "plant/ups", 3).await;
    world.accept("known", "plant/ups", 3).await;
    assert_eq!(ids(&heard(&subscriber, 6).await).len(), 6);
    world.accept("strange", "plant/ups", 1).await;
    let reason = in_state(&scheduler, "strange", DestinationState::OperatorFault).await.reason.unwrap();
    assert!(
        reason.contains("is not trusted: its certificate is from an authority that is not trusted here (CN=Test authority); ")
            && reason.contains("ca_file"),
        "{reason}"
    );
    world.accept("unknown", "plant/ups", 1).await;
    // What ends a connection after its handshake is not told apart from other ends.
    let reason = in_state(&scheduler, "unknown", DestinationState::Down).await.reason.unwrap();
    assert!(
        reason.contains("ended the connection instead of answering CONNECT")
            && reason.contains("want a `tls.client_certificate` that it knows"),
        "{reason}"
    );
    for via in ["strange", "unknown"] {
        assert_eq!(world.copies(via).await.len(), 1, "what was not delivered waits");
    }
    shut_down(&scheduler).await;
}

#[tokio::test]
async fn a_topic_that_is_not_permitted_or_none_holds_up_its_own_messages_alone() {
    let mut server = require!(Mosquitto::start(""));
    std::fs::write(server.path("acl"), "topic write plant/#\nuser gw\ntopic read #\n").unwrap();
    support::broker_certificates::readable(&server.path("acl"));
    server.kill();
    server.configure("acl_file DIR/acl");
    server.start_again();
    let world = world(&server, "");
    let subscriber = server.subscribe();
    let scheduler = world.start();
    world.accept("plant", "office/door", 1).await;
    let delayed = world.one("plant", SpoolState::Queued, |copy| copy.text.is_some()).await;
    let said = delayed.text.unwrap();
    assert!(said.contains("0x87 Not authorized") && said.contains("access list"), "{said}");
    for wrong in ["plant/#", "plant/\u{7}"] {
        world.accept("plant", wrong, 1).await;
    }
    world.accept("plant", "plant/ups", 50).await;
    assert_eq!(ids(&heard(&subscriber, 50).await).len(), 50);
    eventually("two have failed", async || {
        let copies = world.copies("plant").await;
        copies.iter().filter(|copy| copy.state == SpoolState::Failed).count() == 2
    })
    .await;
    shut_down(&scheduler).await;
}

#[tokio::test]
async fn limits_that_the_broker_announces_and_those_that_it_does_not_fail_one_message() {
    for limit in ["max_packet_size 4000", "message_size_limit 4000"] {
        let server = require!(Mosquitto::start(&format!("{limit}\nmax_inflight_messages 2")));
        let world = world(&server, "");
        let subscriber = server.subscribe();
        let scheduler = world.start();
        let long = message("plant", "plant/ups", &"x".repeat(10_000));
        assert!(world.spool.accept_all(vec![long]).await.iter().all(Result::is_ok));
        world.accept("plant", "plant/ups", 100).await;
        assert_eq!(ids(&heard(&subscriber, 100).await).len(), 100, "{limit}");
        let failed = world.one("plant", SpoolState::Failed, |_| true).await;
        assert_eq!(failed.status.as_deref(), Some("5.3.4"), "{limit}: {:?}", failed.text);
        in_state(&scheduler, "plant", DestinationState::Up).await;
        shut_down(&scheduler).await;
    }
}
