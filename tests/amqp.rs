//! An AMQP exchange as a place that messages go, against a real RabbitMQ.
#![cfg(feature = "amqp")]

use std::collections::HashSet;
use std::path::Path;

use mailslotd::spool::{Copy, SpoolState};
use mailslotd::telemetry::metrics::DestinationState;
use serde_json::Value;

mod support;

use support::queue_world::{QueueWorld, eventually, in_state, message, shut_down};
use support::rabbitmq::{PASSWORD, RabbitMq};
use support::require;

/// A node takes seconds to start, so all share one, in turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_may_happen_between_us_and_a_broker() {
    let mut rabbit = require!(RabbitMq::start());
    an_event_is_a_message_in_both_modes(&rabbit).await;
    what_no_queue_wants_comes_back_and_is_tried_again(&rabbit).await;
    what_comes_back_among_many_is_told_of_no_other(&rabbit).await;
    one_that_is_too_large_or_has_no_key_fails_alone(&rabbit).await;
    a_full_queue_holds_up_its_own_messages_alone(&rabbit).await;
    a_key_that_is_not_permitted_holds_up_its_own_messages_alone(&rabbit).await;
    what_the_operator_must_mend_is_named(&rabbit).await;
    under_tls_a_certificate_is_enough(&rabbit).await;
    without_room_it_says_so_and_goes_on_when_it_has_some(&rabbit).await;
    frozen_it_is_down_and_others_go_on(&rabbit).await;
    killed_under_load_it_misses_nothing_and_repeats_show(&mut rabbit).await;
}

/// A destination `rabbit`, and `inbox`, which is always there.
fn world(rabbit: &RabbitMq, more: &str) -> QueueWorld {
    let port = rabbit.port;
    world_at(rabbit, &format!("amqp://127.0.0.1:{port}"), &format!("exchange: mailslot, {more}"))
}

fn world_at(rabbit: &RabbitMq, url: &str, more: &str) -> QueueWorld {
    let file = secret(&rabbit.path("secret"), PASSWORD);
    QueueWorld::new(&format!(
        "  rabbit: {{ amqp: {{ url: '{url}', user: gw, password_file: {file}, {more} }} }}\n"
    ))
}

fn secret(path: &Path, text: &str) -> String {
    std::fs::write(path, text).unwrap();
    path.display().to_string()
}

/// The ids of messages, each the one of its event too.
fn ids(messages: &[Value]) -> HashSet<String> {
    let id = |message: &Value| {
        let event: Value = serde_json::from_str(message["body"].as_str().unwrap()).unwrap();
        assert_eq!(event["id"], message["id"]);
        message["id"].as_str().unwrap().to_owned()
    };
    messages.iter().map(id).collect()
}

async fn an_event_is_a_message_in_both_modes(rabbit: &RabbitMq) {
    let whole = world(rabbit, "");
    let parts = world(rabbit, "event: binary, persistent: false");
    for world in [&whole, &parts] {
        let scheduler = world.start();
        world.accept("rabbit", "plant.工場.alarm", 1).await;
        world.drained("rabbit").await;
        shut_down(&scheduler).await;
    }
    let messages = rabbit.take("all");
    let [whole, parts] = messages.as_slice() else { panic!("{messages:?}") };
    assert_eq!(ids(std::slice::from_ref(whole)).len(), 1);
    assert_eq!((&whole["key"], &whole["mode"]), (&"plant.工場.alarm".into(), &2.into()));
    assert_eq!((&whole["type"], &whole["app"]), (&"mailslotd.messenger.v1".into(), &"mailslotd".into()));
    assert_eq!(whole["content_type"], "application/cloudevents+json");
    assert_eq!((&parts["content_type"], &parts["mode"]), (&"application/json".into(), &1.into()));
    let headers = &parts["headers"];
    assert_eq!((&headers["cloudEvents:id"], &headers["cloudEvents:subject"]), (&parts["id"], &parts["key"]));
    let data: Value = serde_json::from_str(parts["body"].as_str().unwrap()).unwrap();
    assert_eq!(data["text"], "alarm 0");
}

async fn what_no_queue_wants_comes_back_and_is_tried_again(rabbit: &RabbitMq) {
    rabbit.python("channel.exchange_declare('mailslot.narrow', 'direct')");
    rabbit.control(&["set_permissions", "gw", "", ".*", ""]);
    let url = format!("amqp://127.0.0.1:{}/%2f", rabbit.port);
    let world = world_at(rabbit, &url, "exchange: mailslot.narrow");
    let scheduler = world.start();
    world.accept("rabbit", "nowhere", 2).await;
    let delayed = world.one("rabbit", SpoolState::Queued, |copy| copy.text.is_some()).await;
    assert_eq!(delayed.status.as_deref(), Some("4.4.4"));
    let said = delayed.text.unwrap();
    assert!(said.contains("312 NO_ROUTE: no queue is bound") && said.contains("bind one"), "{said}");
    rabbit.python("channel.queue_declare('late'); channel.queue_bind('late', 'mailslot.narrow', 'nowhere')");
    world.drained("rabbit").await;
    assert_eq!(ids(&rabbit.take("late")).len(), 2);
    shut_down(&scheduler).await;
}

/// A broker says first what comes back, and then acknowledges it together with others: who takes the next acknowledgement
/// for that of what came back, loses a message.
async fn what_comes_back_among_many_is_told_of_no_other(rabbit: &RabbitMq) {
    rabbit.python("channel.queue_declare('here'); channel.queue_bind('here', 'mailslot.narrow', 'here')");
    let url = format!("amqp://127.0.0.1:{}", rabbit.port);
    let world = world_at(rabbit, &url, "exchange: mailslot.narrow");
    let key = |number: usize| if number.is_multiple_of(2) { "here" } else { "astray" };
    let messages = (0..600).map(|number| message("rabbit", key(number), "alarm")).collect();
    assert!(world.spool.accept_all(messages).await.iter().all(Result::is_ok));
    let scheduler = world.start();
    let came_back = |copy: &Copy| copy.status.as_deref() == Some("4.4.4");
    eventually("half is delivered and half came back", async || {
        let left = world.copies("rabbit").await;
        left.len() == 300 && left.iter().all(came_back)
    })
    .await;
    assert_eq!(world.delivered("rabbit"), 300);
    assert_eq!(ids(&rabbit.take("here")).len(), 300);
    rabbit.python("channel.queue_declare('found'); channel.queue_bind('found', 'mailslot.narrow', 'astray')");
    world.drained("rabbit").await;
    assert_eq!(ids(&rabbit.take("found")).len(), 300);
    shut_down(&scheduler).await;
}

async fn one_that_is_too_large_or_has_no_key_fails_alone(rabbit: &RabbitMq) {
    let world = world(rabbit, "");
    let scheduler = world.start();
    let long = message("rabbit", "plant.ups", &"x".repeat(100_000));
    assert!(world.spool.accept_all(vec![long]).await.iter().all(Result::is_ok));
    world.accept("rabbit", &"long".repeat(64), 1).await;
    world.accept("rabbit", "plant.ups", 100).await;
    let large = world.one("rabbit", SpoolState::Failed, |copy| copy.status.as_deref() == Some("5.3.4")).await;
    assert!(
        large.text.as_ref().unwrap().contains("406 PRECONDITION_FAILED - message size"),
        "{:?}",
        large.text
    );
    let key = world.one("rabbit", SpoolState::Failed, |copy| copy.status.as_deref() == Some("5.1.3")).await;
    assert!(key.text.as_ref().unwrap().contains("has 256 octets, and AMQP takes 255"), "{:?}", key.text);
    world.drained("rabbit").await;
    in_state(&scheduler, "rabbit", DestinationState::Up).await;
    assert_eq!(ids(&rabbit.take("all")).len(), 100);
    shut_down(&scheduler).await;
}

async fn a_full_queue_holds_up_its_own_messages_alone(rabbit: &RabbitMq) {
    rabbit.python(
        "channel.queue_declare('small', arguments={'x-max-length': 1, 'x-overflow': 'reject-publish'})
channel.queue_bind('small', 'mailslot', 'small')",
    );
    let world = world(rabbit, "");
    let scheduler = world.start();
    world.accept("rabbit", "small", 3).await;
    let delayed = world.one("rabbit", SpoolState::Queued, |copy| copy.text.is_some()).await;
    assert!(delayed.text.as_ref().unwrap().contains("basic.nack: a queue is full"), "{:?}", delayed.text);
    world.accept("rabbit", "plant.ups", 50).await;
    eventually("the others are gone", async || world.copies("rabbit").await.len() <= 2).await;
    rabbit.python("channel.queue_delete('small')");
    world.drained("rabbit").await;
    rabbit.take("all");
    shut_down(&scheduler).await;
}

async fn a_key_that_is_not_permitted_holds_up_its_own_messages_alone(rabbit: &RabbitMq) {
    rabbit.control(&["set_topic_permissions", "gw", "mailslot", "^plant", ""]);
    let world = world(rabbit, "");
    let scheduler = world.start();
    world.accept("rabbit", "office.door", 2).await;
    world.accept("rabbit", "plant.ups", 50).await;
    let delayed = world.one("rabbit", SpoolState::Queued, |copy| copy.text.is_some()).await;
    let said = delayed.text.unwrap();
    assert!(
        said.contains("access to topic 'office.door'") && said.contains("set_topic_permissions"),
        "{said}"
    );
    eventually("the others are gone", async || world.copies("rabbit").await.len() == 2).await;
    rabbit.control(&["clear_topic_permissions", "gw"]);
    world.drained("rabbit").await;
    assert_eq!(ids(&rabbit.take("all")).len(), 52);
    shut_down(&scheduler).await;
}

async fn what_the_operator_must_mend_is_named(rabbit: &RabbitMq) {
    let wrong = secret(&rabbit.path("wrong"), "wrong");
    rabbit.control(&["set_permissions", "gw", "", "^mailslot", ""]);
    let port = rabbit.port;
    let gw = format!("user: gw, password_file: {}", secret(&rabbit.path("secret"), PASSWORD));
    let faults = [
        (
            format!("url: 'amqp://127.0.0.1:{port}', user: gw, password_file: {wrong}, exchange: mailslot"),
            "refuses the login: 403 ACCESS_REFUSED - Login was refused",
            "check the password of \"gw\"",
        ),
        (
            format!("url: 'amqp://127.0.0.1:{port}/plant', {gw}, exchange: mailslot"),
            "virtual host \"plant\": 530 NOT_ALLOWED - vhost plant not found",
            "set_permissions -p plant",
        ),
        (
            format!("url: 'amqp://127.0.0.1:{port}', {gw}, exchange: absent"),
            "has no exchange \"absent\": 404 NOT_FOUND",
            "declare exchange name=absent",
        ),
        (
            format!("url: 'amqp://127.0.0.1:{port}', {gw}, exchange: amq.direct"),
            "does not let us write to the exchange \"amq.direct\": 403 ACCESS_REFUSED",
            "set_permissions -p /",
        ),
    ];
    for (settings, cause, fix) in faults {
        let world = QueueWorld::new(&format!("  rabbit: {{ amqp: {{ {settings} }} }}\n"));
        let scheduler = world.start();
        world.accept("rabbit", "plant.ups", 1).await;
        let reason = in_state(&scheduler, "rabbit", DestinationState::OperatorFault).await.reason.unwrap();
        assert!(reason.contains(cause) && reason.contains(fix), "{reason}\nhas not: {cause} … {fix}");
        assert!(!reason.contains("wrong"), "the password in {reason}");
        assert!(world.copies("rabbit").await.iter().all(|copy| copy.attempts == 0), "no message is blamed");
        shut_down(&scheduler).await;
    }
}

async fn under_tls_a_certificate_is_enough(rabbit: &RabbitMq) {
    let [ca, certificate, key] =
        ["ca.pem", "client.pem", "client.key"].map(|name| rabbit.path(name).display().to_string());
    let gw = format!("user: gw, password_file: {}", secret(&rabbit.path("secret"), PASSWORD));
    let url = format!("url: 'amqps://localhost:{}', exchange: mailslot", rabbit.tls_port);
    let shown = format!("tls: {{ ca_file: {ca}, client_certificate: {certificate}, key_file: {key} }}");
    let world = QueueWorld::new(&format!(
        "  known: {{ amqp: {{ {url}, {shown} }} }}\n  both: {{ amqp: {{ {url}, {gw}, {shown} }} }}\n  strange: {{ amqp: {{ {url}, \
         {gw}, tls: {{ ca_file: {certificate} }} }} }}\n  unknown: {{ amqp: {{ {url}, {gw}, tls: {{ ca_file: {ca} }} }} }}\n"
    ));
    let scheduler = world.start();
    for via in ["known", "both"] {
        world.accept(via, "plant.ups", 3).await;
        world.drained(via).await;
    }
    assert_eq!(ids(&rabbit.take("all")).len(), 6);
    world.accept("strange", "plant.ups", 1).await;
    let reason = in_state(&scheduler, "strange", DestinationState::OperatorFault).await.reason.unwrap();
    assert!(
        reason.contains("is not trusted: its certificate is from an authority that is not trusted here (CN=Test authority); ")
            && reason.contains("ca_file"),
        "{reason}"
    );
    world.accept("unknown", "plant.ups", 1).await;
    // What ends a connection after its handshake is not told apart from other ends.
    let reason = in_state(&scheduler, "unknown", DestinationState::Down).await.reason.unwrap();
    assert!(reason.contains("ended the connection while we waited for"), "{reason}");
    for via in ["strange", "unknown"] {
        assert_eq!(world.copies(via).await.len(), 1, "what was not delivered waits");
    }
    shut_down(&scheduler).await;
}

async fn without_room_it_says_so_and_goes_on_when_it_has_some(rabbit: &RabbitMq) {
    let world = world(rabbit, "limits: { timeout: 2s }");
    let scheduler = world.start();
    world.accept("rabbit", "plant.ups", 1).await;
    world.drained("rabbit").await;
    rabbit.control(&["set_vm_memory_high_watermark", "0.0001"]);
    world.accept("rabbit", "plant.ups", 20).await;
    let reason = in_state(&scheduler, "rabbit", DestinationState::Throttled).await.reason.unwrap();
    assert!(reason.contains("connection.blocked") && reason.contains("low on memory"), "{reason}");
    world.accept("inbox", "", 10).await;
    world.drained("inbox").await;
    rabbit.control(&["set_vm_memory_high_watermark", "0.6"]);
    world.drained("rabbit").await;
    assert_eq!(ids(&rabbit.take("all")).len(), 21);
    shut_down(&scheduler).await;
}

async fn frozen_it_is_down_and_others_go_on(rabbit: &RabbitMq) {
    let world = world(rabbit, "limits: { timeout: 1s }");
    let scheduler = world.start();
    world.accept("rabbit", "plant.ups", 1).await;
    world.drained("rabbit").await;
    rabbit.freeze();
    world.accept("rabbit", "plant.ups", 100).await;
    let reason = in_state(&scheduler, "rabbit", DestinationState::Down).await.reason.unwrap();
    assert!(reason.contains("leaves us waiting for a confirm, past `limits.timeout` of 1 s"), "{reason}");
    world.accept("inbox", "", 100).await;
    world.drained("inbox").await;
    rabbit.thaw();
    world.drained("rabbit").await;
    assert_eq!(ids(&rabbit.take("all")).len(), 101);
    shut_down(&scheduler).await;
}

async fn killed_under_load_it_misses_nothing_and_repeats_show(rabbit: &mut RabbitMq) {
    let world = world(rabbit, "limits: { timeout: 5s }");
    let scheduler = world.start();
    for _ in 0..2 {
        let before = world.spool.waiting().await.unwrap().iter().map(|(_, count)| *count).sum::<i64>();
        assert_eq!(before, 0);
        world.accept("rabbit", "plant.ups", 2000).await;
        eventually("some are confirmed", async || {
            let waiting = world.spool.waiting().await.unwrap();
            waiting.iter().map(|(_, count)| *count).sum::<i64>() < 1900
        })
        .await;
        rabbit.kill();
        in_state(&scheduler, "rabbit", DestinationState::Down).await;
        rabbit.start_again();
        world.drained("rabbit").await;
    }
    let messages = rabbit.take("all");
    assert_eq!(ids(&messages).len(), 4000);
    shut_down(&scheduler).await;
}
