//! What goes wrong between the steps of a shared spool: a stream that is full, a gateway that died half-way, an operator
//! who acts on what is under way, two messages with one number.
#![cfg(feature = "nats")]
#![expect(clippy::disallowed_methods, reason = "messages come now, and what another process does is awaited")]

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::message::StreamMessage;
use jiff::{SignedDuration, Timestamp};
use mailslotd::message::id::QueueId;
use mailslotd::message::mail::{Body, Content, Group, Message};
use mailslotd::message::recipient::{EnhancedStatus, Recipient};
use mailslotd::spool::{Due, Fate, Settled, Spool, SpoolState, Sweeping, Which};
use mailslotd::telemetry::metrics::Metrics;
use tokio::time::timeout;

mod support;

use support::nats_server::NatsServer;
use support::queue_world::eventually;
use support::require;
use support::shared_gateway::{Gateway, PATIENCE, alarm, deferred, destination, limits, text_of};

/// What the operator of the servers sees.
async fn behind(server: &NatsServer) -> jetstream::Context {
    jetstream::new(async_nats::connect(server.url()).await.unwrap())
}

fn subject(id: QueueId) -> String {
    format!("mailslotd.spool.*.*.{id}.*")
}

/// So many copies at once, all on their way from then on.
async fn several(gateway: &Gateway, via: &str, count: usize) -> Vec<Due> {
    let name = destination(via);
    let bell = gateway.spool.subscribe(&name);
    let mut all: Vec<Due> = Vec::new();
    let found = async {
        while all.len() < count {
            let _part = gateway.spool.part(&name, 16);
            let skip = all.iter().map(|due| (due.id, due.number)).collect();
            let wanted = count - all.len();
            all.extend(gateway.spool.due(&name, Timestamp::now(), wanted, &skip).await.unwrap());
            drop(timeout(Duration::from_millis(200), bell.notified()).await);
        }
    };
    timeout(PATIENCE, found).await.expect("too few are due");
    all
}

/// As the delivery does: again until it is recorded.
async fn settle_in_the_end(gateway: &Gateway, due: &Due, fate: Fate) {
    let settled = Settled { id: due.id, number: due.number, fate, at: Timestamp::now() };
    eventually("a fate is recorded", async || {
        gateway.spool.record(vec![settled.clone()], Vec::new()).await.is_ok()
    })
    .await;
}

/// The stream is deleted, and is there again at once and empty.
async fn make_anew(jetstream: &jetstream::Context) {
    let mut stream = jetstream.get_stream("MAILSLOTD_SPOOL").await.unwrap();
    let config = stream.info().await.unwrap().config.clone();
    jetstream.delete_stream("MAILSLOTD_SPOOL").await.unwrap();
    jetstream.create_stream(config).await.unwrap();
}

/// Delivers until that is enough, or for as long as anything may take; what arrived, each once.
async fn deliver_until(gateway: &Gateway, enough: impl Fn(&BTreeSet<String>) -> bool) -> BTreeSet<String> {
    let name = destination("hop");
    let bell = gateway.spool.subscribe(&name);
    let mut heard = BTreeSet::new();
    let end = tokio::time::Instant::now() + PATIENCE;
    while !enough(&heard) && tokio::time::Instant::now() < end {
        let _part = gateway.spool.part(&name, 16);
        for due in gateway.spool.due(&name, Timestamp::now(), 16, &HashSet::new()).await.unwrap() {
            // Not while the connection is made anew.
            let Ok(Some(message)) = gateway.spool.load(due.id).await else { continue };
            let text = text_of(&message.body).await;
            settle_in_the_end(gateway, &due, Fate::Delivered).await;
            assert!(heard.insert(text.clone()), "{text} came twice");
        }
        drop(timeout(Duration::from_millis(200), bell.notified()).await);
    }
    heard
}

fn refused() -> Fate {
    Fate::Failed { status: EnhancedStatus::new(5, 1, 1), text: "no such user".to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_that_connect_at_the_same_moment_all_open() {
    let server = require!(NatsServer::start(""));
    for _ in 0..5 {
        let all: Vec<_> = (0..8).map(|number| Gateway::begin(&server, &format!("g{number}"))).collect();
        for gateway in &all {
            timeout(PATIENCE, gateway.spool.opened()).await.expect("one never opens");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_full_is_emptied_by_deliveries_as_ever() {
    let server = require!(NatsServer::start(""));
    let a = Gateway::begin_within(&server, "a", Some(32 << 10));
    timeout(PATIENCE, a.spool.opened()).await.unwrap();
    for number in 0..60 {
        a.accept(alarm(number, &format!("alarm {number}"), &["hop"])).await;
    }
    eventually("the local spool has some", async || {
        let metrics = a.metrics.encode();
        metrics
            .lines()
            .any(|line| line.starts_with("mailslotd_spool_fallback_messages ") && !line.ends_with(" 0"))
    })
    .await;
    for _ in 0..50 {
        assert!(a.metrics.encode().contains("mailslotd_spool_group{state=\"open\"} 1"), "it was given up");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut heard = HashSet::new();
    while heard.len() < 60 {
        assert!(heard.insert(a.deliver("hop").await), "one came twice");
    }
    a.is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_of_a_group_is_not_counted_into_what_a_dead_gateway_wrote_of_it() {
    let server = require!(NatsServer::start(""));
    let a = Gateway::open(&server, "a").await;
    let group = Group { key: [7; 16], wait: Duration::from_secs(2), repeat_after: Duration::from_secs(600) };
    let id = a.accept(Message { group: Some(group), ..alarm(1, "fire", &["hop"]) }).await;

    // Another gateway pulled it, wrote group and body, and died before it wrote the fates.
    let jetstream = behind(&server).await;
    let stream = jetstream.get_stream("MAILSLOTD_SPOOL").await.unwrap();
    let carried = stream.get_last_raw_message_by_subject(&subject(id)).await.unwrap().payload;
    let text = carried.slice(carried.iter().position(|byte| *byte == b'\n').unwrap() + 1..);
    let queue = jetstream.get_key_value("MAILSLOTD_QUEUE").await.unwrap();
    queue.put(format!("message.{id}"), text).await.unwrap();
    let after = |seconds| Timestamp::now() + SignedDuration::from_secs(seconds);
    let kept = serde_json::json!({ "message": id, "closes_at": after(2), "over_at": after(602) });
    queue.put("group.07070707070707070707070707070707", kept.to_string().into()).await.unwrap();

    assert_eq!(a.deliver("hop").await, "fire x1");
    a.is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_while_another_gateway_delivers_it_is_gone_when_that_has() {
    let server = require!(NatsServer::start(""));
    let (a, b) = (Gateway::open(&server, "a").await, Gateway::open(&server, "b").await);
    let id = a.accept(alarm(1, "fire", &["hop"])).await;
    let due = a.next("hop").await;
    assert_eq!(b.spool.hold(id).await.unwrap(), 1);
    // The watch tells a, and nothing that can be seen from here.
    tokio::time::sleep(Duration::from_millis(300)).await;
    a.settle(&due, Fate::Delivered).await;
    a.is_empty().await;
    b.is_empty().await;
    assert_eq!(b.spool.release(id).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_while_another_gateway_delivers_it_keeps_nothing_from_being_recorded() {
    let server = require!(NatsServer::start(""));
    let (a, b) = (Gateway::open(&server, "a").await, Gateway::open(&server, "b").await);
    let id = a.accept(alarm(1, "fire", &["hop"])).await;
    let due = a.next("hop").await;
    assert_eq!(b.spool.delete(id).await.unwrap(), 1);
    tokio::time::sleep(Duration::from_millis(300)).await;
    a.settle(&due, deferred(1)).await;
    a.is_empty().await;
    a.nothing_is_due("hop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_of_what_another_gateway_delivers_has_it_delivered_once() {
    let server = require!(NatsServer::start(""));
    let (a, b) = (Gateway::open(&server, "a").await, Gateway::open(&server, "b").await);
    let id = a.accept(alarm(1, "fire", &["hop"])).await;
    let due = a.next("hop").await;
    assert_eq!(b.spool.retry(Which::One(id)).await.unwrap(), 0, "it is due");
    b.nothing_is_due("hop").await;
    a.settle(&due, Fate::Delivered).await;
    b.is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_operator_takes_out_of_the_stream_is_known_to_have_been_there() {
    let server = require!(NatsServer::start(""));
    let a = Gateway::open(&server, "a").await;
    let id = a.accept(alarm(1, "fire", &["hop"])).await;
    assert_eq!(a.spool.hold(id).await.unwrap(), 1);
    let mut ids = behind(&server).await.get_stream("KV_MAILSLOTD_IDS").await.unwrap();
    assert_eq!(ids.info().await.unwrap().state.messages, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_messages_with_one_number_both_arrive() {
    let server = require!(NatsServer::start(""));
    let (a, b) = (Gateway::open(&server, "a").await, Gateway::open(&server, "b").await);
    let id = a.accept(alarm(1, "first", &["hop"])).await;
    let first = a.next("hop").await;

    // Another one, as if it had been accepted in the same millisecond.
    let other = a.accept(alarm(2, "second", &["pager"])).await;
    let jetstream = behind(&server).await;
    let stream = jetstream.get_stream("MAILSLOTD_SPOOL").await.unwrap();
    let there = stream.get_last_raw_message_by_subject(&subject(other)).await.unwrap();
    stream.delete_message(there.sequence).await.unwrap();
    let renumbered = |text: &str| text.replace(&other.to_string(), &id.to_string());
    let payload = renumbered(std::str::from_utf8(&there.payload).unwrap());
    let sent = jetstream.publish(renumbered(&there.subject), payload.into()).await.unwrap();
    sent.await.unwrap();

    let second = b.next("pager").await;
    assert_eq!(second.id, first.id);
    b.settle(&second, deferred(1)).await;
    a.settle(&first, deferred(1)).await;
    assert_eq!(a.deliver("hop").await, "first x1");
    assert_eq!(b.deliver("pager").await, "second x1");
    a.is_empty().await;
}

/// A message of the stream as another gateway would have published it that heard the same, so many seconds later.
async fn publish_double(jetstream: &jetstream::Context, there: &StreamMessage, number: i64, seconds: i64) {
    let end = there.payload.iter().position(|byte| *byte == b'\n').unwrap();
    let (head, rest) = there.payload.split_at(end);
    let mut head: serde_json::Value = serde_json::from_slice(head).unwrap();
    let id: QueueId = head["id"].as_str().unwrap().parse().unwrap();
    let other = QueueId::from_row(id.as_row() + number).unwrap().to_string();
    let at: Timestamp = head["record"]["accepted_at"].as_str().unwrap().parse().unwrap();
    head["id"] = other.clone().into();
    head["record"]["accepted_at"] = (at + SignedDuration::from_secs(seconds)).to_string().into();
    let payload = [head.to_string().as_bytes(), rest].concat();
    let subject = there.subject.replace(&id.to_string(), &other);
    jetstream.publish(subject, payload.into()).await.unwrap().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_stream_took_twice_is_delivered_once_and_a_later_repeat_too() {
    let server = require!(NatsServer::start(""));
    let (a, b) = (Gateway::open(&server, "a").await, Gateway::open(&server, "b").await);
    let id = a.accept(alarm(1, "fire", &["hop"])).await;
    let jetstream = behind(&server).await;
    let stream = jetstream.get_stream("MAILSLOTD_SPOOL").await.unwrap();
    let there = stream.get_last_raw_message_by_subject(&subject(id)).await.unwrap();

    // While the first is on its way, with its number and with another, and when it is gone.
    let first = a.next("hop").await;
    publish_double(&jetstream, &there, 0, 0).await;
    publish_double(&jetstream, &there, 1, 1).await;
    b.nothing_is_due("hop").await;
    a.settle(&first, Fate::Delivered).await;
    publish_double(&jetstream, &there, 2, -1).await;
    a.nothing_is_due("hop").await;
    b.nothing_is_due("hop").await;
    a.is_empty().await;

    // The device says it again, and both hear it.
    publish_double(&jetstream, &there, 3, 60).await;
    publish_double(&jetstream, &there, 4, 61).await;
    assert_eq!(b.deliver("hop").await, "fire x1");
    b.nothing_is_due("hop").await;
    a.is_empty().await;
    let doubled = |gateway: &Gateway| {
        let metrics = gateway.metrics.encode();
        let line = metrics.lines().find_map(|line| line.strip_prefix("mailslotd_spool_doubled_total "));
        line.unwrap().parse::<u64>().unwrap()
    };
    eventually("four were dropped", async || doubled(&a) + doubled(&b) == 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_of_what_was_lost_with_the_stream_keeps_nothing_from_being_delivered() {
    let server = require!(NatsServer::start(""));
    let a = Gateway::open(&server, "a").await;
    let id = a.accept(alarm(1, "fire", &["hop"])).await;
    let jetstream = behind(&server).await;
    let stream = jetstream.get_stream("MAILSLOTD_SPOOL").await.unwrap();
    let there = stream.get_last_raw_message_by_subject(&subject(id)).await.unwrap();
    let lost = a.next("hop").await;
    assert_eq!(lost.id, id);
    stream.delete_message(there.sequence).await.unwrap();

    let b = Gateway::open(&server, "b").await;
    publish_double(&jetstream, &there, 1, 1).await;
    assert_eq!(b.deliver("hop").await, "fire x1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_says_the_same_twice_while_the_servers_are_away_is_heard_twice() {
    let mut server = require!(NatsServer::start(""));
    let (a, b) = (Gateway::open(&server, "a").await, Gateway::open(&server, "b").await);
    server.kill();
    let at = Timestamp::now();
    for gateway in [&a, &b] {
        for seconds in [0, 60] {
            let accepted_at = at - SignedDuration::from_secs(seconds);
            gateway.accept(Message { accepted_at, ..alarm(1, "fire", &["hop"]) }).await;
        }
    }
    server.start_again();
    assert_eq!(a.deliver("hop").await, "fire x1");
    assert_eq!(a.deliver("hop").await, "fire x1");
    let emptied =
        |gateway: &Gateway| gateway.metrics.encode().contains("mailslotd_spool_fallback_messages 0");
    eventually("both local spools are empty", async || emptied(&a) && emptied(&b)).await;
    a.nothing_is_due("hop").await;
    b.nothing_is_due("hop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_in_the_local_spool_before_is_shown_and_forgotten_in_time() {
    let server = require!(NatsServer::start(""));
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("spool");
    std::fs::create_dir_all(&dir).unwrap();
    let hour = Duration::from_secs(3600);
    let local = Spool::open(&dir, limits(), hour, Arc::new(Metrics::new())).unwrap();
    local.accept(alarm(1, "fire", &["hop"])).await.unwrap();
    let [due] = <[_; 1]>::try_from(
        local.due(&destination("hop"), Timestamp::now(), 9, &HashSet::new()).await.unwrap(),
    )
    .unwrap();
    let settled = Settled { id: due.id, number: due.number, fate: refused(), at: Timestamp::now() };
    local.record(vec![settled], Vec::new()).await.unwrap();
    local.close().await;

    let a = Gateway::begin_in(folder, &server, "a", None);
    timeout(PATIENCE, a.spool.opened()).await.unwrap();
    eventually("it is the group's", async || a.list().await.len() == 1).await;
    let [copy] = a.list().await.try_into().unwrap();
    assert_eq!(copy.state, SpoolState::Failed);
    assert_eq!((copy.status.as_deref(), copy.text.as_deref()), (Some("5.1.1"), Some("no such user")));
    a.nothing_is_due("hop").await;
    let later = Timestamp::now() + SignedDuration::from_hours(2);
    eventually("it is forgotten", async || a.spool.sweep(later).await.unwrap().forgotten == 1).await;
    a.is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_accepted_after_the_stream_was_made_anew_is_acknowledged_by_nothing_from_before() {
    let server = require!(NatsServer::start(""));
    let a = Gateway::open(&server, "a").await;
    for number in 0..12 {
        a.accept(alarm(number, &format!("before {number}"), &["hop"])).await;
    }
    let before = several(&a, "hop", 12).await;
    // Those of which no end is known by then are in hand, and go on.
    let mut expected = BTreeSet::new();
    for due in &before[8..] {
        expected.insert(text_of(&a.spool.load(due.id).await.unwrap().unwrap().body).await);
    }
    make_anew(&behind(&server).await).await;
    // The new stream gives these the numbers that those from before had.
    for number in 100..140 {
        a.accept(alarm(number, &format!("after {number}"), &["hop"])).await;
        expected.insert(format!("after {number} x1"));
    }
    for due in &before[..8] {
        settle_in_the_end(&a, due, Fate::Delivered).await;
    }
    let heard = deliver_until(&a, |heard| heard.len() >= expected.len()).await;
    assert_eq!(heard, expected);
    a.is_empty().await;
    a.nothing_is_due("hop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_made_anew_under_load_loses_only_what_lay_in_it() {
    let server = require!(NatsServer::start(""));
    let (a, b) = (Gateway::open(&server, "a").await, Gateway::open(&server, "b").await);
    let anew = Arc::new(AtomicBool::new(false));
    let accepted: Vec<_> = [(&a, 0_u16), (&b, 1000)]
        .into_iter()
        .map(|(gateway, first)| {
            let (spool, anew) = (gateway.spool.clone(), Arc::clone(&anew));
            tokio::spawn(async move {
                let mut after = BTreeSet::new();
                for number in first..first + 300 {
                    let text = format!("alarm {number}");
                    let later = anew.load(Ordering::SeqCst);
                    spool.accept(alarm(number, &text, &["hop"])).await.unwrap();
                    if later {
                        after.insert(format!("{text} x1"));
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                after
            })
        })
        .collect();
    let begun = several(&a, "hop", 8).await;
    make_anew(&behind(&server).await).await;
    anew.store(true, Ordering::SeqCst);
    for due in &begun {
        settle_in_the_end(&a, due, Fate::Delivered).await;
    }
    let mut after = BTreeSet::new();
    for each in accepted {
        after.extend(each.await.unwrap());
    }
    assert!(after.len() > 100, "the load was over too soon");
    let heard = deliver_until(&a, |heard| after.is_subset(heard)).await;
    let missing: Vec<_> = after.difference(&heard).collect();
    assert!(missing.is_empty(), "accepted after the stream was made anew, and lost: {missing:?}");
    a.is_empty().await;
    b.is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_with_different_settings_leave_the_stream_to_who_came_first() {
    let server = require!(NatsServer::start(""));
    let jetstream = behind(&server).await;
    let most = async || {
        let mut stream = jetstream.get_stream("MAILSLOTD_SPOOL").await.unwrap();
        stream.info().await.unwrap().config.max_bytes
    };
    let a = Gateway::open(&server, "a").await;
    eventually("a lives", async || a.spool.part(&destination("hop"), 4) > 0).await;
    let b = Gateway::begin_within(&server, "b", Some(1 << 20));
    timeout(PATIENCE, b.spool.opened()).await.unwrap();
    assert_eq!(most().await, -1, "b changed what a made");

    // Who is alone brings its own along.
    a.spool.close().await;
    b.spool.close().await;
    let b = Gateway::begin_within(&server, "b", Some(1 << 20));
    timeout(PATIENCE, b.spool.opened()).await.unwrap();
    assert_eq!(most().await, 1 << 20);
}

/// An account that may keep so much in files.
fn account(most: &str) -> String {
    format!(
        "accounts: {{ PLANT: {{ jetstream: {{ max_mem: 8MB, max_store: {most} }}, users: [{{ user: u, password: p }}] }} }}\n\
         no_auth_user: u"
    )
}

/// A mail of some 40 KiB.
fn scan(number: usize) -> (String, Message) {
    let text = format!("Subject: scan {number}\r\n\r\n{}", "x".repeat(40_000));
    let content = Content::Inline(text.clone().into());
    let body = Body::Mail { reverse_path: None, content, submitted: Box::default() };
    (text, Message { body, ..alarm(0, "", &["hop"]) })
}

fn in_local_spool(gateway: &Gateway) -> bool {
    let metrics = gateway.metrics.encode();
    let line = metrics.lines().find(|line| line.starts_with("mailslotd_spool_fallback_messages "));
    line.is_some_and(|line| !line.ends_with(" 0"))
}

fn is_open(gateway: &Gateway) -> bool {
    gateway.metrics.encode().contains("mailslotd_spool_group{state=\"open\"} 1")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_gets_full_keeps_room_for_deliveries_and_is_emptied_by_them() {
    let server = require!(NatsServer::start(&account("6MB")));
    let a = Gateway::open(&server, "a").await;
    let mut expected = BTreeSet::new();
    let mut number = 0;
    while !in_local_spool(&a) {
        assert!(number < 400, "6 MB take {number} scans");
        let (text, message) = scan(number);
        a.accept(message).await;
        expected.insert(text);
        number += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // What is delayed finds room.
    for due in several(&a, "hop", 10).await {
        a.settle(&due, deferred(1)).await;
    }
    assert!(is_open(&a), "it was given up");
    let heard = deliver_until(&a, |heard| heard.len() >= expected.len()).await;
    assert!(heard == expected, "{} of {} arrived", heard.len(), expected.len());
    eventually("the local spool is empty", async || !in_local_spool(&a)).await;
    a.is_empty().await;
    assert!(is_open(&a), "it was given up");
}

/// Another program takes all that an account has, to the last byte.
async fn fill(jetstream: &jetstream::Context) {
    let other = jetstream::stream::Config {
        name: "OTHER".to_owned(),
        subjects: vec!["other".to_owned()],
        ..Default::default()
    };
    jetstream.create_stream(other).await.unwrap();
    let fills = async |size: usize| {
        for _ in 0..10_000 {
            let sent = jetstream.publish("other", vec![b'x'; size].into()).await.unwrap();
            if sent.await.is_err() {
                return;
            }
        }
        panic!("it is never full");
    };
    for size in [50_000, 5_000, 500, 50, 1] {
        fills(size).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_another_program_fills_keeps_no_delivery_from_being_recorded() {
    let server = require!(NatsServer::start(&account("6MB")));
    let a = Gateway::open(&server, "a").await;
    let mut expected = BTreeSet::new();
    for number in 0..10 {
        let (text, message) = scan(number);
        a.accept(message).await;
        expected.insert(text);
    }
    // Some wait in the queue bucket, the others in the stream.
    for due in several(&a, "hop", 4).await {
        a.settle(&due, deferred(1)).await;
    }
    let jetstream = behind(&server).await;
    fill(&jetstream).await;
    // It stays open, though no sign of life finds room.
    let heard = deliver_until(&a, |heard| heard.len() >= expected.len()).await;
    assert!(heard == expected, "{} of {} arrived", heard.len(), expected.len());
    assert!(is_open(&a), "it was given up");
    a.is_empty().await;

    jetstream.delete_stream("OTHER").await.unwrap();
    a.accept(alarm(1, "after", &["hop"])).await;
    assert_eq!(a.deliver("hop").await, "after x1");
    eventually("the local spool is empty", async || !in_local_spool(&a)).await;
    a.is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_starts_while_an_account_is_full_empties_it() {
    let server = require!(NatsServer::start(&account("6MB")));
    let a = Gateway::open(&server, "a").await;
    let mut expected = BTreeSet::new();
    for number in 0..10 {
        let (text, message) = scan(number);
        a.accept(message).await;
        expected.insert(text);
    }
    for due in several(&a, "hop", 4).await {
        a.settle(&due, deferred(1)).await;
    }
    a.spool.close().await;
    let jetstream = behind(&server).await;
    fill(&jetstream).await;

    let b = Gateway::open(&server, "b").await;
    let heard = deliver_until(&b, |heard| heard.len() >= expected.len()).await;
    assert!(heard == expected, "{} of {} arrived", heard.len(), expected.len());
    b.is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ids_that_are_remembered_have_a_limit_and_the_oldest_make_room() {
    use jetstream::stream::DiscardPolicy;

    let server = require!(NatsServer::start(""));
    let jetstream = behind(&server).await;
    let bucket = async || {
        let mut stream = jetstream.get_stream("KV_MAILSLOTD_IDS").await.unwrap();
        stream.info().await.unwrap().config.clone()
    };
    let a = Gateway::open(&server, "a").await;
    let made = bucket().await;
    assert_eq!((made.max_bytes, made.discard), (256 << 20, DiscardPolicy::Old));
    a.spool.close().await;

    // One that was made before there was a limit gets it, and a limit of the operator's stays.
    for (max_bytes, then) in [(-1, 256 << 20), (2 << 20, 2 << 20)] {
        let before = jetstream::stream::Config { max_bytes, discard: DiscardPolicy::New, ..bucket().await };
        jetstream.update_stream(before).await.unwrap();
        let a = Gateway::open(&server, "a").await;
        assert_eq!(bucket().await.max_bytes, then);
        a.spool.close().await;
    }
}

/// One that sweeps each second and takes what is two seconds old to be left behind.
async fn sweeper(server: &NatsServer) -> Gateway {
    let (every, orphaned) = (Duration::from_secs(1), Duration::from_secs(2));
    let sweeping = Sweeping { every, orphaned, ..Sweeping::default() };
    let gateway = Gateway::begin_sweeping(tempfile::tempdir().unwrap(), server, "a", None, sweeping);
    timeout(PATIENCE, gateway.spool.opened()).await.unwrap();
    gateway
}

/// The subjects of a stream that begin so.
async fn subjects(jetstream: &jetstream::Context, stream: &str, filter: &str) -> Vec<String> {
    use futures_util::TryStreamExt as _;

    let stream = jetstream.get_stream(stream).await.unwrap();
    let found = stream.info_with_subjects(filter).await.unwrap();
    found.map_ok(|(subject, _)| subject).try_collect().await.unwrap()
}

fn ten_minutes_ago() -> Timestamp {
    Timestamp::now() - SignedDuration::from_mins(10)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_gateway_left_without_a_message_is_removed_and_nothing_else() {
    let server = require!(NatsServer::start(""));
    let a = sweeper(&server).await;
    let jetstream = behind(&server).await;
    // A message that waits in the bucket, one that waits in the stream, and one whose gateway died before it wrote fates.
    a.accept(alarm(1, "waits", &["hop"])).await;
    let waits = a.next("hop").await;
    a.settle(&waits, deferred(6)).await;
    let half = a.accept(alarm(2, "half", &["nobody"])).await;
    let stream = jetstream.get_stream("MAILSLOTD_SPOOL").await.unwrap();
    let carried = stream.get_last_raw_message_by_subject(&subject(half)).await.unwrap().payload;
    let text = carried.slice(carried.iter().position(|byte| *byte == b'\n').unwrap() + 1..);
    let queue = jetstream.get_key_value("MAILSLOTD_QUEUE").await.unwrap();
    queue.put(format!("message.{half}"), text.clone()).await.unwrap();

    // A gateway removed the fates of a message and died; another died while it wrote content.
    let gone = QueueId::from_row(half.as_row() - 1).unwrap();
    queue.put(format!("message.{gone}"), text).await.unwrap();
    let pieces = "$O.MAILSLOTD_CONTENT.C.KzUkRy4Lhlqt4xGwyQ1pJX";
    jetstream.publish(pieces, "a piece".into()).await.unwrap().await.unwrap();

    let body = format!("$KV.MAILSLOTD_QUEUE.message.{gone}");
    eventually("the body is gone", async || {
        subjects(&jetstream, "KV_MAILSLOTD_QUEUE", &body).await.is_empty()
    })
    .await;
    eventually("the piece is gone", async || {
        subjects(&jetstream, "OBJ_MAILSLOTD_CONTENT", pieces).await.is_empty()
    })
    .await;
    let mut left = subjects(&jetstream, "KV_MAILSLOTD_QUEUE", "$KV.MAILSLOTD_QUEUE.message.>").await;
    left.sort();
    let mut wanted = [waits.id, half].map(|id| format!("$KV.MAILSLOTD_QUEUE.message.{id}"));
    wanted.sort();
    assert_eq!(left, wanted);
    assert_eq!(a.deliver("hop").await, "waits x1");
    assert_eq!(a.deliver("nobody").await, "half x1");
    a.is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_takes_long_moves_nothing_that_came_after_it_into_the_bucket() {
    let server = require!(NatsServer::start(""));
    let a = sweeper(&server).await;
    let jetstream = behind(&server).await;
    a.accept(Message { accepted_at: ten_minutes_ago(), ..alarm(1, "slow", &["hop"]) }).await;
    let slow = a.next("hop").await;
    for number in 2..40 {
        a.accept(alarm(number, &format!("alarm {number}"), &["hop"])).await;
    }
    // Of another lane, to which nobody delivers, the old ones are carried on.
    for number in 50..60 {
        let old = Message {
            accepted_at: ten_minutes_ago(),
            ..alarm(number, &format!("old {number}"), &["nobody"])
        };
        a.accept(old).await;
    }
    a.accept(alarm(60, "young", &["nobody"])).await;
    // It was there once, and asks for nothing now.
    drop(a.spool.subscribe(&destination("nobody")));
    let fates = async || subjects(&jetstream, "KV_MAILSLOTD_QUEUE", "$KV.MAILSLOTD_QUEUE.copies.*").await;
    let carried_on = async || fates().await.iter().filter(|fates| !fates.ends_with(".mark")).count();
    eventually("the old ones are carried on", async || carried_on().await == 10).await;
    // Some sweeps more.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(carried_on().await, 10);
    a.settle(&slow, Fate::Delivered).await;
    let heard = deliver_until(&a, |heard| heard.len() >= 38).await;
    assert_eq!(heard.len(), 38);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_of_many_copies_fits_into_what_the_servers_take_or_the_message_is_refused_at_once() {
    let server = require!(NatsServer::start("max_payload: 65536"));
    let a = Gateway::open(&server, "a").await;
    let to_many = |dgm_id, count: usize| {
        let recipient =
            |number| Recipient::new(destination("hop"), format!("someone.{number}@plant.example"));
        Message { recipients: (0..count).map(recipient).collect(), ..alarm(dgm_id, "fire", &["hop"]) }
    };
    let sizes = [300, 250, 225, 200, 175, 150, 125, 100, 75, 50];
    let mut kept = None;
    for (dgm_id, count) in (1..).zip(sizes) {
        match a.spool.accept(to_many(dgm_id, count)).await {
            Ok(_) => {
                kept = Some(count);
                break;
            }
            Err(error) => assert!(error.to_string().contains("max_payload"), "{error}"),
        }
    }
    let kept = kept.expect("none is small enough");
    let due = several(&a, "hop", kept).await;
    let text = "\"the mailbox of this recipient is full, as it has been for weeks\" ".repeat(10);
    let settled = due.iter().map(|due| {
        let Fate::Deferred { due: at, status, .. } = deferred(2) else { unreachable!() };
        let fate = Fate::Deferred { due: at, status, text: text.clone() };
        Settled { id: due.id, number: due.number, fate, at: Timestamp::now() }
    });
    a.spool.record(settled.collect(), Vec::new()).await.unwrap();
    let b = Gateway::open(&server, "b").await;
    assert_eq!(b.list().await.len(), kept.min(100));
    let again = several(&a, "hop", kept).await;
    assert!(again.iter().all(|due| due.attempts == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_a_lane_looks_for_while_the_end_of_another_is_written_goes_to_one_gateway() {
    let server = require!(NatsServer::start(""));
    let (a, b) = (Gateway::open(&server, "a").await, Gateway::open(&server, "b").await);
    let pager = destination("pager");
    for number in 1..=10 {
        a.accept(alarm(number, "fire", &["hop", "pager"])).await;
        let first = a.next("hop").await;
        let looks = async {
            let due = a.spool.due(&pager, Timestamp::now(), 1, &HashSet::new()).await.unwrap();
            let due = due.into_iter().next()?;
            a.spool.load(due.id).await.unwrap().map(|_| due)
        };
        match tokio::join!(a.settle(&first, Fate::Delivered), looks).1 {
            Some(due) => {
                b.nothing_is_due("pager").await;
                a.settle(&due, Fate::Delivered).await;
            }
            None => assert_eq!(b.deliver("pager").await, "fire x1"),
        }
    }
    a.is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_that_nothing_repeats_any_more_leave_nothing_in_the_bucket() {
    let server = require!(NatsServer::start(""));
    let a = Gateway::open(&server, "a").await;
    for number in 1..=3 {
        let (wait, repeat_after) = (Duration::from_millis(100), Duration::ZERO);
        let key = [u8::try_from(number).unwrap(); 16];
        let group = Some(Group { key, wait, repeat_after });
        a.accept(Message { group, ..alarm(number, "fire", &["hop"]) }).await;
        assert_eq!(a.deliver("hop").await, "fire x1");
    }
    let jetstream = behind(&server).await;
    let groups = async || subjects(&jetstream, "KV_MAILSLOTD_QUEUE", "$KV.MAILSLOTD_QUEUE.group.>").await;
    assert_eq!(groups().await.len(), 3);
    let in_an_hour = Timestamp::now() + SignedDuration::from_hours(1);
    eventually("they are forgotten", async || a.spool.sweep(in_an_hour).await.unwrap().groups == 3).await;
    assert_eq!(groups().await, Vec::<String>::new());
}
