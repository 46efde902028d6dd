//! How fast the spool is, as ratios to what the same disk does for a bare write and fdatasync in the same run, and to
//! itself with few messages. `cargo bench --bench spool`; `TMPDIR` says on which disk, `MESSAGES` how many a large
//! spool has (1 000 000).
#![expect(clippy::disallowed_methods, reason = "measures time")]
#![expect(clippy::disallowed_macros, reason = "its lines are its result")]

use std::borrow::Cow;
use std::collections::HashSet;
use std::fs::File;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use mailslotd::message::id::DestinationName;
use mailslotd::message::mail::{Body, Gathered, Message, Priority};
use mailslotd::message::notice::{Arrival, Encoding, Kind, Listener, Name, Notice};
use mailslotd::message::recipient::Recipient;
use mailslotd::spool::{Fate, Limits, NoticeFailures, Settled, Spool};
use mailslotd::telemetry::metrics::Metrics;
use mailslotd::wire::netbios_name::NameType;
use mailslotd::wire::oem_text::CodePage;
use tokio::sync::{mpsc, oneshot};

const ROUND: Duration = Duration::from_secs(1);
const PRODUCERS: [usize; 3] = [1, 16, 128];

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let messages = std::env::var("MESSAGES").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
        println!("row: {} bytes of JSON for each notice", serde_json::to_vec(&notice()).unwrap().len());
        against_bare_writes().await;
        with_a_backlog(messages).await;
    });
}

/// Acknowledged messages a second, next to a loop that only writes and syncs as many bytes for as many producers.
async fn against_bare_writes() {
    for producers in PRODUCERS {
        let mut ratios = Vec::new();
        for _ in 0..3 {
            let before = bare(producers).await;
            let folder = tempfile::tempdir().unwrap();
            let spool = open(folder.path());
            let rate = enqueue(&spool, producers).await;
            spool.close().await;
            let after = bare(producers).await;
            ratios.push((rate / f64::midpoint(before, after), rate, f64::midpoint(before, after)));
        }
        ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (ratio, rate, bare) = ratios[1];
        println!(
            "enqueue, {producers} producers: {rate:.0}/s; bare write+fdatasync {bare:.0}/s; ratio {ratio:.2}"
        );
    }
}

async fn with_a_backlog(messages: usize) {
    let few = tempfile::tempdir().unwrap();
    let spool = open(few.path());
    fill(&spool, 1000).await;
    let (enqueue_few, dequeue_few) = (enqueue(&spool, 16).await, dequeue(&spool).await);
    spool.close().await;

    let many = tempfile::tempdir().unwrap();
    let spool = open(many.path());
    let started = Instant::now();
    fill(&spool, messages).await;
    println!("filled with {messages} in {:.1} s", started.elapsed().as_secs_f64());
    spool.close().await;
    let bytes = many.path().join("spool.db").metadata().unwrap().len();
    println!("database: {} bytes a message", bytes / u64::try_from(messages).unwrap());
    for _ in 0..3 {
        let started = Instant::now();
        let spool = open(many.path());
        let opened = started.elapsed();
        let due = spool.next_due(&destination()).await.unwrap();
        println!(
            "open with {messages}: {:.1} ms, first answer after {:.1} ms ({})",
            opened.as_secs_f64() * 1e3,
            started.elapsed().as_secs_f64() * 1e3,
            due.is_some()
        );
        spool.close().await;
    }
    let spool = open(many.path());
    let (enqueue_many, dequeue_many) = (enqueue(&spool, 16).await, dequeue(&spool).await);
    println!(
        "enqueue, 16 producers: {enqueue_many:.0}/s with {messages}, {enqueue_few:.0}/s with 1000; ratio {:.2}",
        enqueue_many / enqueue_few
    );
    println!(
        "dequeue (due, load, record by 64): {dequeue_many:.0}/s with {messages}, {dequeue_few:.0}/s with 1000; ratio {:.2}",
        dequeue_many / dequeue_few
    );
    let started = Instant::now();
    spool.sweep(Timestamp::now()).await.unwrap();
    println!("sweep with nothing to do: {:.1} ms", started.elapsed().as_secs_f64() * 1e3);
    spool.close().await;
}

async fn enqueue(spool: &Spool, producers: usize) -> f64 {
    let count = Arc::new(AtomicU64::new(0));
    let until = Instant::now() + ROUND;
    let tasks: Vec<_> = (0..producers)
        .map(|_| {
            let (spool, count) = (spool.clone(), Arc::clone(&count));
            tokio::spawn(async move {
                while Instant::now() < until {
                    spool.accept(message()).await.unwrap();
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    rate(count.load(Ordering::Relaxed), ROUND)
}

async fn dequeue(spool: &Spool) -> f64 {
    let (started, mut count) = (Instant::now(), 0);
    while started.elapsed() < ROUND {
        let due = spool.due(&destination(), Timestamp::now(), 64, &HashSet::new()).await.unwrap();
        let mut settled = Vec::with_capacity(due.len());
        for due in due {
            spool.load(due.id).await.unwrap().unwrap();
            settled.push(Settled {
                id: due.id,
                number: due.number,
                fate: Fate::Delivered,
                at: Timestamp::now(),
            });
        }
        if settled.is_empty() {
            break;
        }
        count += u64::try_from(settled.len()).unwrap();
        spool.record(settled, Vec::new()).await.unwrap();
    }
    rate(count, started.elapsed())
}

async fn fill(spool: &Spool, messages: usize) {
    let mut left = messages;
    while left > 0 {
        let some = left.min(2000);
        let answers = spool.accept_all((0..some).map(|_| message()).collect()).await;
        assert!(answers.iter().all(Result::is_ok));
        left -= some;
    }
}

/// The same tasks and channels as the spool has, but all that is done with a message is to write and sync it.
async fn bare(producers: usize) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let mut file = File::create(folder.path().join("bare")).unwrap();
    let (orders, mut waiting) = mpsc::channel::<(Vec<u8>, oneshot::Sender<()>)>(1024);
    let writer = std::thread::spawn(move || {
        let (mut taken, mut buffer) = (Vec::new(), Vec::new());
        while let Some(first) = waiting.blocking_recv() {
            taken.push(first);
            while taken.len() < 256
                && let Ok(next) = waiting.try_recv()
            {
                taken.push(next);
            }
            buffer.clear();
            taken.iter().for_each(|(bytes, _)| buffer.extend_from_slice(bytes));
            file.write_all(&buffer).unwrap();
            file.sync_data().unwrap();
            for (_, reply) in taken.drain(..) {
                reply.send(()).unwrap();
            }
        }
    });
    let count = Arc::new(AtomicU64::new(0));
    let until = Instant::now() + ROUND;
    let tasks: Vec<_> = (0..producers)
        .map(|_| {
            let (orders, count) = (orders.clone(), Arc::clone(&count));
            tokio::spawn(async move {
                while Instant::now() < until {
                    let (reply, answer) = oneshot::channel();
                    orders.send((serde_json::to_vec(&notice()).unwrap(), reply)).await.unwrap();
                    answer.await.unwrap();
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    drop(orders);
    writer.join().unwrap();
    rate(count.load(Ordering::Relaxed), ROUND)
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

fn open(dir: &Path) -> Spool {
    let limits = Limits {
        max_size: None,
        min_free: 0,
        reserved_for_notices: 0,
        failed_keep: Duration::from_secs(86_400),
        delay_report: None,
        notice_failures: NoticeFailures::Kept,
    };
    Spool::open(dir, limits, Duration::from_secs(432_000), Arc::new(Metrics::new())).unwrap()
}

fn destination() -> DestinationName {
    DestinationName::new("smarthost").unwrap()
}

fn message() -> Message {
    Message {
        body: Body::Notice(Box::new(Gathered::one(notice()))),
        accepted_at: Timestamp::now(),
        expire: None,
        priority: Priority::Normal,
        rule: Some("ups-alarms".parse().unwrap()),
        group: None,
        recipients: vec![Recipient {
            subject: Some("UPS UPS-1: on battery".to_owned()),
            ..Recipient::new(destination(), "oncall@corp.example")
        }],
    }
}

fn notice() -> Notice<'static> {
    const TEXT: &str =
        "UPS-1 on battery, 37 minutes left at this load; input voltage 0 V since the last report.";
    let name = |text: &'static str| Name { text: Cow::Borrowed(text), name_type: NameType::MESSENGER };
    Notice {
        arrival: Arrival {
            at: Timestamp::now(),
            source: SocketAddr::from((Ipv4Addr::new(192, 0, 2, 31), 138)),
            destination: None,
            interface: Some(2),
            listener: Listener::Datagram,
        },
        dgm_id: 7,
        source_name: name("UPS-1"),
        destination_name: name("ALERTS"),
        mailslot: Cow::Borrowed(r"\MAILSLOT\MESSNGR"),
        originator: Cow::Borrowed("UPS-1"),
        to: Cow::Borrowed("ALERTS"),
        text: Cow::Borrowed(TEXT),
        encoding: Encoding { code_page: CodePage::Cp850, lossy: false },
        kind: Kind::Messenger,
        data: Cow::Borrowed(TEXT.as_bytes()),
    }
}
