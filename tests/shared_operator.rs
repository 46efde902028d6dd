//! The operator of a group of gateways: what lies in a gateway's own spool while NATS is away is seen and acted on, and so
//! is what nobody can read.
#![cfg(feature = "nats")]

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Output;

use async_nats::jetstream;
use mailslotd::message::id::QueueId;
use mailslotd::spool::{Contact, Copy, Lead, Place, SpoolState, Which};

mod support;

use support::gateway::{Gateway as Program, command, http_get, http_get_with, write_config};
use support::messngr::messngr;
use support::nats_server::NatsServer;
use support::queue_world::eventually;
use support::shared_gateway::{Gateway, alarm, destination};
use support::{free_port, require};

/// Copies by state, as the counts have them.
async fn counted(gateway: &Gateway) -> BTreeMap<&'static str, u64> {
    let figures = gateway.spool.figures().await.unwrap();
    let mut counted = BTreeMap::new();
    for (_, state, count) in figures.copies {
        *counted.entry(state.as_str()).or_default() += count;
    }
    counted
}

async fn is_cut_off(gateway: &Gateway) -> bool {
    gateway.spool.group().await.unwrap().unwrap().contact != Contact::Open
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_in_the_local_spool_is_seen_counted_and_acted_on_while_nats_is_away_and_afterwards() {
    let mut server = require!(NatsServer::start(""));
    let a = Gateway::open(&server, "a").await;
    let group = a.accept(alarm(1, "in the group", &["hop"])).await;
    server.kill();
    eventually("it is known to be cut off", async || is_cut_off(&a).await).await;
    let first = a.accept(alarm(2, "first", &["hop"])).await;
    let second = a.accept(alarm(3, "second", &["hop"])).await;
    let third = a.accept(alarm(4, "third", &["hop"])).await;
    let seen: Vec<_> = a.list().await.iter().map(|copy| (copy.id, copy.place, copy.state)).collect();
    let queued = |id| (id, Place::Local, SpoolState::Queued);
    assert_eq!(seen, [queued(first), queued(second), queued(third)]);
    assert!(a.spool.show(first).await.unwrap().unwrap().body.contains("first"));
    assert!(a.spool.export(first).await.unwrap().is_some());
    assert_eq!(a.spool.hold(second).await.unwrap(), 1);
    assert_eq!(a.spool.delete(third).await.unwrap(), 1);
    assert_eq!(a.spool.retry(Which::One(first)).await.unwrap(), 0, "it is due");
    let missing = a.spool.show(group).await.unwrap_err().to_string();
    assert!(
        missing.contains("cannot read the spool that the gateways share"),
        "whether the group has it cannot be known: {missing}"
    );
    let counts = counted(&a).await;
    assert_eq!((counts["held"], counts["queued"] >= 1), (1, true), "{counts:?}");
    assert_eq!(a.spool.group().await.unwrap().unwrap().local.messages, 2);
    eventually("the metrics have it", async || {
        let metrics = a.metrics.encode();
        metrics.contains("mailslotd_spool_fallback_messages 2")
            && metrics.contains("mailslotd_spool_messages{destination=\"hop\",state=\"held\"} 1")
            && !metrics.contains("mailslotd_spool_group_silent_since_seconds 0")
    })
    .await;

    server.start_again();
    eventually("the group has all", async || {
        let copies = a.list().await;
        copies.len() == 3 && copies.iter().all(|copy| copy.place == Place::Spool)
    })
    .await;
    let shown = a.spool.show(second).await.unwrap().expect("it is known by its old number");
    assert_eq!(shown.copies[0].state, SpoolState::Held);
    assert_eq!(a.spool.delete(second).await.unwrap(), 1);
    let mut heard = vec![a.deliver("hop").await, a.deliver("hop").await];
    heard.sort();
    assert_eq!(heard, ["first x1", "in the group x1"]);
    a.is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_seen_as_corrupt_and_can_be_deleted() {
    let server = require!(NatsServer::start(""));
    let a = Gateway::open(&server, "a").await;
    // The lanes are there; that of the first pulls.
    a.nothing_is_due("hop").await;
    drop(a.spool.subscribe(&destination("pager")));
    let jetstream = jetstream::new(async_nats::connect(server.url()).await.unwrap());
    let id = a.accept(alarm(1, "fire", &["pager"])).await;
    let beside = |more| QueueId::from_row(id.as_row() + more).unwrap();
    let (numbered, carried) = (beside(1), beside(2));
    let subject = format!("mailslotd.spool.hop.3.{numbered}.0123456789abcdef0123456789abcdef");
    for subject in [subject, "mailslotd.spool.hop.nobodys".to_owned()] {
        jetstream.publish(subject, "no message".into()).await.unwrap().await.unwrap();
    }
    let queue = jetstream.get_key_value("MAILSLOTD_QUEUE").await.unwrap();
    let later = r#"{"copies":[{"recipient":{"via":"pager","to":"it"},"fate":"of a later version"}]}"#;
    queue.put(format!("copies.{carried}"), later.into()).await.unwrap();

    eventually("all are seen", async || a.list().await.len() == 4).await;
    let copies = a.list().await;
    let corrupt: Vec<&Copy> = copies.iter().filter(|copy| copy.state == SpoolState::Corrupt).collect();
    assert_eq!(
        corrupt.iter().map(|copy| (copy.destination.as_str(), &*copy.address)).collect::<Vec<_>>(),
        [("hop", ""), ("hop", ""), ("pager", "it")]
    );
    assert!(
        corrupt.iter().all(|copy| copy.text.as_ref().unwrap().contains("cannot be read")),
        "{corrupt:#?}"
    );
    eventually("they are counted", async || {
        let counts = counted(&a).await;
        (counts.get("corrupt"), counts.get("queued")) == (Some(&3), Some(&1))
    })
    .await;
    assert!(a.spool.show(numbered).await.unwrap().unwrap().body.contains("no message"));
    assert_eq!(a.spool.hold(numbered).await.unwrap(), 0);
    for copy in corrupt {
        assert_eq!(a.spool.delete(copy.id).await.unwrap(), 1, "{copy:?}");
    }
    eventually("one is left", async || a.list().await.len() == 1).await;
    eventually("it is counted", async || counted(&a).await == BTreeMap::from([("queued", 1)])).await;
    assert_eq!(a.deliver("pager").await, "fire x1");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_can_never_be_handed_over_keep_none_behind_them_and_say_why() {
    let mut server = require!(NatsServer::start("max_payload: 32KB"));
    server.kill();
    let a = Gateway::begin(&server, "a");
    for number in 0..70 {
        a.accept(alarm(number, &"x".repeat(40_000), &["hop"])).await;
    }
    a.accept(alarm(99, "fire", &["hop"])).await;
    server.start_again();
    assert_eq!(a.deliver("hop").await, "fire x1");
    eventually("it says why", async || {
        let copies = a.list().await;
        copies.iter().all(|copy| copy.text.as_ref().is_some_and(|text| text.contains("max_payload")))
    })
    .await;
    let copies = a.list().await;
    assert_eq!(copies.len(), 70);
    assert_eq!(a.spool.delete(copies[0].id).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_knows_who_lives_and_who_leads() {
    let server = require!(NatsServer::start(""));
    let (a, b) = (Gateway::open(&server, "a").await, Gateway::open(&server, "b").await);
    let of = async |gateway: &Gateway| gateway.spool.group().await.unwrap().unwrap();
    eventually("both know of both", async || {
        let (one, other) = (of(&a).await, of(&b).await);
        one.gateways.len() == 2
            && one.leader.is_some()
            && one.leader == other.leader
            && [one.lead, other.lead].iter().filter(|lead| **lead == Lead::Ours).count() == 1
            && one.replicas.current == Some(1)
    })
    .await;
    eventually("the metrics say so", async || {
        let metrics = a.metrics.encode();
        metrics.contains("mailslotd_spool_group_gateways 2")
            && metrics.contains("mailslotd_spool_group_replicas{state=\"current\"} 1")
            && metrics.contains("mailslotd_spool_group_silent_since_seconds 0")
    })
    .await;
    b.spool.close().await;
    // The mark that it left in the bucket is no sign of life.
    eventually("one is left", async || of(&a).await.gateways.len() == 1).await;
}

fn run(config: &Path, arguments: &[&str]) -> Output {
    command(config).args(arguments).output().unwrap()
}

fn printed(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn the_commands_show_what_waits_locally_and_say_that_the_group_cannot_be_seen() {
    let dir = tempfile::tempdir().unwrap();
    let rest = format!(
        "netbios: {{ code_page: cp850 }}
destinations:
  inbox: {{ maildir: {{ path: {} }} }}
  bus: {{ nats: {{ servers: ['nats://127.0.0.1:{}'], stream: EVENTS }} }}
rules: [{{ name: all, match: any, deliver: [{{ via: inbox, to: notices }}] }}]
spool: {{ nats: bus, replicas: 1 }}
",
        dir.path().join("inbox").display(),
        free_port()
    );
    let config = write_config(dir.path(), &rest);
    let gateway = Program::start(&config);
    gateway.send(&UdpSocket::bind("127.0.0.1:0").unwrap(), &messngr("UPS-1", "on battery"));
    gateway.wait_for_metric("mailslotd_spool_accepted_total{class=\"notice\"}", 1);

    let listed = |when: &str| {
        let output = run(&config, &["queue", "list"]);
        let (out, err) = (printed(&output.stdout), printed(&output.stderr));
        assert_eq!(output.status.code(), Some(75), "{when}: {out}{err}");
        assert!(out.contains("inbox:notices") && out.contains("local, waits for NATS"), "{when}: {out}");
        assert!(err.contains("the spool of the group cannot be seen, as NATS (127.0.0.1:"), "{when}: {err}");
        out.lines().nth(1).unwrap().split_whitespace().next().unwrap().to_owned()
    };
    let id = listed("while it runs");
    let status = printed(&run(&config, &["status"]).stdout);
    assert!(status.contains("has not answered for") && status.contains("1 message waits"), "{status}");
    let ready = http_get(gateway.admin, "/readyz").1;
    assert!(ready.contains(r#""contact":{"silent":"#) && ready.contains(r#""messages":1"#), "{ready}");
    let page = http_get_with(gateway.admin, "/", &[("Accept", "text/html")]).1;
    assert!(page.contains("NATS does not answer"), "{page}");
    assert!(page.contains("Waits in its own spool for NATS"), "{page}");
    assert!(gateway.stop().0.success());

    assert_eq!(listed("while none runs"), id);
    let shown = printed(&run(&config, &["queue", "show", &id]).stdout);
    assert!(shown.contains("on battery") && shown.contains("this gateway's own spool"), "{shown}");
    let deleted = run(&config, &["queue", "delete", &id]);
    assert!(deleted.status.success(), "{}", printed(&deleted.stderr));
    let output = run(&config, &["queue", "list"]);
    assert_eq!((printed(&output.stdout), output.status.code()), (String::new(), Some(75)));
}
