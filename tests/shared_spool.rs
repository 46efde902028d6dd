//! The spool that several gateways share, against a real nats-server: two gateways of one group in this process.
#![cfg(feature = "nats")]
#![expect(clippy::disallowed_methods, reason = "messages come now, and what another process does is awaited")]

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use mailslotd::message::mail::{Body, Group, Message};
use mailslotd::message::recipient::EnhancedStatus;
use mailslotd::spool::{Fate, Lead, SpoolState, Which};
use mailslotd::telemetry::metrics::Metrics;
use tokio::time::timeout;

mod support;

use support::nats_server::NatsServer;
use support::queue_world::eventually;
use support::require;
use support::shared_gateway::{Gateway, PATIENCE, alarm, deferred, destination};

#[tokio::test(flavor = "multi_thread")]
async fn what_one_gateway_accepts_another_delivers_and_nothing_is_left() {
    let server = require!(NatsServer::start(""));
    let (a, b) = (Gateway::open(&server, "a").await, Gateway::open(&server, "b").await);
    a.accept(alarm(1, "on battery", &["smart.host"])).await;
    assert_eq!(b.deliver("smart.host").await, "on battery x1");
    a.is_empty().await;
    b.nothing_is_due("smart.host").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_datagram_that_both_hear_is_delivered_once() {
    let server = require!(NatsServer::start(""));
    let (a, b) = (Gateway::open(&server, "a").await, Gateway::open(&server, "b").await);
    a.accept(alarm(1, "on battery", &["hop"])).await;
    b.accept(alarm(1, "on battery", &["hop"])).await;
    b.accept(alarm(2, "on mains", &["hop"])).await;
    let mut heard = vec![a.deliver("hop").await, a.deliver("hop").await];
    heard.sort();
    assert_eq!(heard, ["on battery x1", "on mains x1"]);
    a.is_empty().await;
    b.nothing_is_due("hop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deferred_message_keeps_none_behind_it_and_any_gateway_tries_it_again() {
    let server = require!(NatsServer::start(""));
    let (a, b) = (Gateway::open(&server, "a").await, Gateway::open(&server, "b").await);
    a.accept(alarm(1, "first", &["hop"])).await;
    let first = a.next("hop").await;
    a.settle(&first, deferred(2)).await;
    a.accept(alarm(2, "second", &["hop"])).await;
    assert_eq!(a.deliver("hop").await, "second x1");
    let again = b.next("hop").await;
    assert_eq!((again.id, again.attempts), (first.id, 1));
    a.nothing_is_due("hop").await;
    b.settle(&again, Fate::Delivered).await;
    a.is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_to_several_destinations_is_accepted_at_once_and_each_gets_its_copy() {
    let server = require!(NatsServer::start(""));
    let (a, b) = (Gateway::open(&server, "a").await, Gateway::open(&server, "b").await);
    a.accept(alarm(1, "fire", &["hop", "pager"])).await;
    assert_eq!(a.deliver("hop").await, "fire x1");
    assert_eq!(b.deliver("pager").await, "fire x1");
    a.is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn content_of_any_size_goes_to_another_gateway_and_leaves_nothing() {
    let server = require!(NatsServer::start(""));
    let (a, b) = (Gateway::open(&server, "a").await, Gateway::open(&server, "b").await);
    let line = format!("{}\r\n", "x".repeat(70));
    let scan = format!("Subject: scan\r\n\r\n{}", line.repeat(5000));
    let mut draft = a.spool.draft();
    draft.write(scan.as_bytes()).await.unwrap();
    let content = draft.finish().await.unwrap();
    let body = Body::Mail { reverse_path: None, content, submitted: Box::default() };
    a.accept(Message { body, ..alarm(1, "", &["hop"]) }).await;
    drop(draft);
    assert_eq!(b.deliver("hop").await, scan);
    a.is_empty().await;
    let files =
        |gateway: &Gateway| std::fs::read_dir(gateway.folder.path().join("spool/content")).unwrap().count();
    assert_eq!((files(&a), files(&b)), (0, 0));
    let store = server.path("store/jetstream/$G/streams/OBJ_MAILSLOTD_CONTENT");
    assert!(store.is_dir());
    let client = async_nats::connect(server.url()).await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    let mut objects = jetstream.get_stream("OBJ_MAILSLOTD_CONTENT").await.unwrap();
    assert_eq!(objects.info().await.unwrap().state.messages, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_dies_leaves_what_it_had_to_the_others() {
    let server = require!(NatsServer::start(""));
    let b = Gateway::open(&server, "b").await;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (port, waiting) = (server.port, 2);
    let dead = runtime.handle().clone();
    let a = dead.spawn(async move { port }).await.map(|_| ());
    assert!(a.is_ok());
    let a = {
        let _entered = runtime.enter();
        Gateway::begin(&server, "a")
    };
    timeout(PATIENCE, a.spool.opened()).await.unwrap();
    for number in 0..waiting {
        a.accept(alarm(number, &format!("alarm {number}"), &["hop"])).await;
    }
    let first = dead.spawn({
        let spool = a.spool.clone();
        async move {
            let gateway =
                Gateway { folder: tempfile::tempdir().unwrap(), spool, metrics: Arc::new(Metrics::new()) };
            let first = gateway.next("hop").await;
            gateway.settle(&first, deferred(0)).await;
            gateway.next("hop").await
        }
    });
    first.await.unwrap();
    // As a power cut would end it: nothing is given back.
    runtime.shutdown_background();
    let mut heard = vec![b.deliver("hop").await, b.deliver("hop").await];
    heard.sort();
    assert_eq!(heard, ["alarm 0 x1", "alarm 1 x1"]);
    b.is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_servers_are_away_each_gateway_keeps_what_it_hears_and_both_together_deliver_it_once() {
    let mut server = require!(NatsServer::start(""));
    let (a, b) = (Gateway::open(&server, "a").await, Gateway::open(&server, "b").await);
    server.kill();
    let at = Timestamp::now();
    for number in 0..20 {
        for gateway in [&a, &b] {
            let heard = Message { accepted_at: at, ..alarm(number, &format!("alarm {number}"), &["hop"]) };
            gateway.accept(heard).await;
        }
    }
    server.start_again();
    let mut heard = HashSet::new();
    while heard.len() < 20 {
        assert!(heard.insert(a.deliver("hop").await), "one came twice");
    }
    let fallback =
        async |gateway: &Gateway| gateway.metrics.encode().contains("mailslotd_spool_fallback_messages 0");
    eventually("both local spools are empty", async || fallback(&a).await && fallback(&b).await).await;
    a.nothing_is_due("hop").await;
    b.nothing_is_due("hop").await;
    a.is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_of_one_gateway_sees_and_acts_on_what_the_other_accepted() {
    let server = require!(NatsServer::start(""));
    let (a, b) = (Gateway::open(&server, "a").await, Gateway::open(&server, "b").await);
    let id = a.accept(alarm(1, "fire", &["hop"])).await;
    let [copy] = b.list().await.try_into().unwrap();
    assert_eq!((copy.id, copy.state, copy.destination), (id, SpoolState::Queued, destination("hop")));
    assert!(b.spool.show(id).await.unwrap().unwrap().body.contains("fire"));
    let exported = b.spool.export(id).await.unwrap().unwrap();
    assert_eq!(exported.recipients.len(), 1);

    assert_eq!(b.spool.hold(id).await.unwrap(), 1);
    a.nothing_is_due("hop").await;
    assert_eq!(b.spool.release(id).await.unwrap(), 1);
    let due = a.next("hop").await;
    let fate = Fate::Failed { status: EnhancedStatus::new(5, 1, 1), text: "no such user".to_owned() };
    a.settle(&due, fate).await;
    eventually("b sees the failure", async || {
        b.list().await.iter().any(|copy| copy.state == SpoolState::Failed)
    })
    .await;
    assert_eq!(b.spool.retry(Which::All).await.unwrap(), 1);
    assert_eq!(a.next("hop").await.id, id);
    assert_eq!(b.spool.delete(id).await.unwrap(), 1);
    a.is_empty().await;

    assert_eq!(b.spool.pause(destination("hop"), "alice".to_owned()).await.unwrap(), None);
    eventually("a knows of the pause", async || a.spool.paused().await.unwrap().len() == 1).await;
    a.accept(alarm(2, "flood", &["hop"])).await;
    a.nothing_is_due("hop").await;
    assert_eq!(b.spool.resume(destination("hop")).await.unwrap().unwrap().by, "alice");
    assert_eq!(a.deliver("hop").await, "flood x1");
}

#[tokio::test(flavor = "multi_thread")]
async fn repeats_that_different_gateways_hear_become_one_message() {
    let server = require!(NatsServer::start(""));
    let (a, b) = (Gateway::open(&server, "a").await, Gateway::open(&server, "b").await);
    let wait = Duration::from_secs(2);
    let group = Group { key: [7; 16], wait, repeat_after: Duration::from_secs(600) };
    for (number, gateway) in [(1, &a), (2, &b), (3, &a)] {
        let repeat = Message { group: Some(group.clone()), ..alarm(number, "fire", &["hop"]) };
        gateway.accept(repeat).await;
        // Each is counted where somebody pulls.
        drop(gateway.spool.subscribe(&destination("hop")));
        assert_eq!(
            gateway.spool.due(&destination("hop"), Timestamp::now(), 1, &HashSet::new()).await.unwrap(),
            []
        );
    }
    assert_eq!(b.deliver("hop").await, "fire x3");
    a.is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ran_out_of_time_fails_once_by_whoever_leads_and_is_forgotten_in_time() {
    let server = require!(NatsServer::start(""));
    let (a, b) = (Gateway::open(&server, "a").await, Gateway::open(&server, "b").await);
    let id = a.accept(alarm(1, "fire", &["hop"])).await;
    let due = a.next("hop").await;
    a.settle(&due, deferred(7000)).await;
    eventually("b knows of it", async || b.list().await.iter().any(|copy| copy.attempts == 1)).await;
    let after = |hours: i64| Timestamp::now() + jiff::SignedDuration::from_hours(hours);
    let expired = async |gateway: &Gateway| gateway.spool.sweep(after(1)).await.unwrap().expired.len();
    // The first that came leads, once it has looked twice.
    let mut lead = a.spool.lead().unwrap();
    timeout(PATIENCE, lead.wait_for(|lead| *lead == Lead::Ours)).await.expect("nobody leads").unwrap();
    assert_eq!((expired(&b).await, expired(&a).await, expired(&a).await), (0, 1, 0));
    let [copy] = b.list().await.try_into().unwrap();
    assert_eq!((copy.id, copy.state), (id, SpoolState::Failed));
    assert_eq!(a.spool.sweep(after(3)).await.unwrap().forgotten, 1);
    a.is_empty().await;
    b.is_empty().await;
}
