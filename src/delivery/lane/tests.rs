use jiff::tz::TimeZone;

use super::*;
use crate::config::settings;
use crate::delivery::maildir::Maildir;
use crate::message::compose::Identity;
use crate::message::mail::{Body, Content, Message, Priority};
use crate::message::recipient::Recipient;
use crate::spool::{Limits as SpoolLimits, NoticeFailures};

async fn lane(scratch: &std::path::Path) -> (Lane, Spool, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new());
    let limits = SpoolLimits {
        max_size: None,
        min_free: 0,
        reserved_for_notices: 0,
        failed_keep: Duration::from_secs(3600),
        delay_report: None,
        notice_failures: NoticeFailures::Kept,
    };
    let folder = scratch.join("spool");
    std::fs::create_dir(&folder).unwrap();
    let spool = Spool::open(&folder, limits, Duration::from_secs(3600), Arc::clone(&metrics)).unwrap();
    let name = DestinationName::new("inbox").unwrap();
    let mail = Message {
        body: Body::Mail {
            reverse_path: None,
            content: Content::Inline(b"Subject: x\r\n\r\n".as_slice().into()),
            submitted: Box::default(),
        },
        accepted_at: Timestamp::now(),
        expire: None,
        priority: Priority::Normal,
        rule: None,
        group: None,
        recipients: vec![Recipient::new(name.clone(), "")],
    };
    spool.accept(mail).await.unwrap();
    let settings = settings::Maildir { path: scratch.join("inbox"), max_size: None, keep: None };
    let identity = Identity::new(None, "", None, TimeZone::UTC);
    let maildir = Maildir::new(name.clone(), &settings, identity, Arc::clone(&metrics));
    let lane = Lane::new(Parts {
        name,
        transport: Transport::Maildir(maildir),
        limits: Limits { concurrency: 1, recipients: 1, together: 1, rate: None },
        pace: Pace::default(),
        retry: Retry { first: Duration::ZERO, max: Duration::ZERO, expire: Duration::from_secs(3600) },
        spool: spool.clone(),
        metrics: Arc::clone(&metrics),
        views: Views::default(),
        reporter: Arc::new(Reporter::of(&settings::Settings::built_in(scratch, TimeZone::UTC), &metrics)),
        poke: Arc::new(Notify::new()),
        stop: CancellationToken::new(),
    });
    (lane, spool, metrics)
}

/// Sends what is due, but in place of the attempt `task` runs.
async fn send_instead(lane: &mut Lane, errand: Errand, task: impl Future<Output = Ended> + Send + 'static) {
    lane.window.expire();
    lane.look(Instant::now()).await;
    let rows = lane.window.take(0, 1);
    assert_eq!(rows.len(), 1);
    lane.ledger.begin(copies(&rows));
    let task = lane.running.spawn(async move { vec![task.await] });
    lane.in_flight = 1;
    lane.sent.insert(task.id(), Sent { errand, attempts: vec![rows] });
    let ended = lane.running.join_next_with_id().await.unwrap();
    lane.end(ended);
}

async fn reported(report: Report) -> Ended {
    Ended::Reported(Box::new(Attempted { report, told: Vec::new() }))
}

async fn commit(lane: &mut Lane) {
    lane.ledger.commit(&lane.parts.spool, Instant::now());
    let commit = lane.ledger.committed().await;
    lane.committed(commit);
}

#[tokio::test]
async fn a_panic_in_an_attempt_is_counted_and_costs_one_attempt() {
    let scratch = tempfile::tempdir().unwrap();
    let (mut lane, spool, metrics) = lane(scratch.path()).await;
    send_instead(&mut lane, Errand::Deliver, async { panic!("a defect") }).await;
    assert!(metrics.encode().contains("mailslotd_panics_total 1"));
    commit(&mut lane).await;
    assert!(lane.ledger.open().is_empty() && lane.ledger.is_settled());
    let copies = spool.due(&lane.parts.name, Timestamp::now(), 10, lane.ledger.open()).await.unwrap();
    assert_eq!(copies.iter().map(|copy| copy.attempts).collect::<Vec<_>>(), [1]);
    assert_eq!(lane.availability.state(), State::Up, "the destination is not to blame");
}

#[tokio::test]
async fn recipients_that_a_down_destination_leaves_out_stay_due_at_no_cost() {
    let scratch = tempfile::tempdir().unwrap();
    let (mut lane, spool, _) = lane(scratch.path()).await;
    let health = Health::Down { reason: "connection refused".to_owned() };
    let report = Report { outcomes: Vec::new(), health };
    send_instead(&mut lane, Errand::Deliver, reported(report)).await;
    assert!(lane.ledger.is_settled() && lane.ledger.open().is_empty());
    let copies = spool.due(&lane.parts.name, Timestamp::now(), 10, lane.ledger.open()).await.unwrap();
    assert_eq!(copies.iter().map(|copy| copy.attempts).collect::<Vec<_>>(), [0]);
    assert_eq!(lane.availability.state(), State::Down);
}

#[tokio::test]
async fn a_transport_that_leaves_someone_out_although_it_works_is_not_asked_in_a_circle() {
    let scratch = tempfile::tempdir().unwrap();
    let (mut lane, spool, _) = lane(scratch.path()).await;
    let report = Report { outcomes: Vec::new(), health: Health::Up };
    send_instead(&mut lane, Errand::Deliver, reported(report)).await;
    commit(&mut lane).await;
    let copies = spool.due(&lane.parts.name, Timestamp::now(), 10, lane.ledger.open()).await.unwrap();
    assert_eq!(copies.iter().map(|copy| copy.attempts).collect::<Vec<_>>(), [1]);
}

#[tokio::test]
async fn a_spool_that_cannot_be_read_rests_and_is_read_again() {
    let scratch = tempfile::tempdir().unwrap();
    let (mut lane, _, _) = lane(scratch.path()).await;
    let refused = std::io::Error::from(std::io::ErrorKind::Other);
    let source = Arc::new(crate::spool::Cause::File(refused));
    let error = SpoolError::Io { op: "read", path: scratch.path().to_owned(), source };
    send_instead(&mut lane, Errand::Deliver, async { Ended::Unreadable(error) }).await;
    assert!(lane.spool_rests.is_some_and(|until| until > Instant::now()));
    assert!(lane.wake_at().is_some_and(|at| at > Instant::now()), "no spinning");
    lane.send_due().await;
    assert!(lane.running.is_empty(), "it rests");
    lane.spool_rests = Some(Instant::now());
    lane.time_passed();
    lane.send_due().await;
    let ended = lane.running.join_next_with_id().await.unwrap();
    lane.end(ended);
    assert!(lane.last_delivery.is_some());
}

#[tokio::test]
async fn a_spool_that_ends_under_a_lane_keeps_the_copy_open_and_nothing_more_is_sent() {
    let scratch = tempfile::tempdir().unwrap();
    let (mut lane, spool, _) = lane(scratch.path()).await;
    let health = Health::Up;
    let report = Report { outcomes: Vec::new(), health };
    send_instead(&mut lane, Errand::Deliver, reported(report)).await;
    spool.close().await;
    commit(&mut lane).await;
    assert_eq!(lane.ledger.open().len(), 1, "its fate is not durable");
    assert!(!lane.ledger.is_settled());
    assert!(lane.spool_told_at.is_some(), "not in silence");
    lane.window.expire();
    lane.send_due().await;
    assert!(lane.running.is_empty(), "what it sends could not be recorded");

    lane.parts.stop.cancel();
    commit_again(&mut lane).await;
    assert!(lane.ledger.is_settled(), "a lane that is stopped ends all the same");
}

/// As [`commit`], once the ledger tries again.
async fn commit_again(lane: &mut Lane) {
    sleep_until(lane.ledger.poll_timeout()).await;
    commit(lane).await;
}

#[tokio::test]
async fn a_spool_whose_reader_ended_is_said_and_nothing_more_is_sent() {
    let scratch = tempfile::tempdir().unwrap();
    let (mut lane, spool, _) = lane(scratch.path()).await;
    spool.close().await;
    lane.window.expire();
    lane.send_due().await;
    assert_eq!(lane.spool, Access::Closed);
    assert!(lane.spool_told_at.is_some() && lane.running.is_empty());
}
