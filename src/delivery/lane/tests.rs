use jiff::tz::TimeZone;

use super::attempt::Attempted;
use super::*;
use crate::config::settings;
use crate::delivery::maildir::Maildir;
use crate::delivery::outcome::{Handoff, Health, Outcome, Report};
use crate::message::compose::Identity;
use crate::message::mail::{Body, Content, Message, Priority};
use crate::message::recipient::{Recipient, RecipientNumber};
use crate::policy::suspects::Blame;
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
    spool.accept(mail(&name)).await.unwrap();
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

fn mail(via: &DestinationName) -> Message {
    Message {
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
        recipients: vec![Recipient::new(via.clone(), "")],
    }
}

/// Sends what is due, but in place of the attempt `task` runs.
async fn send_instead(lane: &mut Lane, errand: Errand, task: impl Future<Output = Ended> + Send + 'static) {
    lane.window.expire();
    lane.look(Instant::now()).await;
    let attempts = lane.gather(errand, 1, Instant::now());
    assert_eq!(attempts.len(), 1);
    lane.ledger.begin(copies(&attempts[0].copies));
    let task = lane.running.spawn(async move { vec![task.await] });
    lane.in_flight = 1;
    lane.sent.insert(task.id(), Sent { errand, attempts });
    let ended = lane.running.join_next_with_id().await.unwrap();
    lane.end(ended);
}

async fn reported(report: Report) -> Ended {
    Ended::Reported(Box::new(Attempted { report, told: Vec::new() }))
}

const fn breaks() -> Report {
    Report { outcomes: Vec::new(), health: Health::Down { reason: String::new() } }
}

fn delivers() -> Report {
    let outcome = Outcome::Delivered { text: String::new(), handoff: Handoff::Silent };
    Report { outcomes: vec![(RecipientNumber(0), outcome)], health: Health::Up }
}

/// What each copy has paid so far, in the order of acceptance.
async fn paid(lane: &Lane) -> Vec<u32> {
    let far = Timestamp::MAX;
    let copies = lane.parts.spool.due(&lane.parts.name, far, 10, lane.ledger.open()).await.unwrap();
    copies.iter().map(|copy| copy.attempts).collect()
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

#[tokio::test]
async fn a_message_that_breaks_what_takes_others_pays_and_the_destination_stays_up() {
    let scratch = tempfile::tempdir().unwrap();
    let (mut lane, spool, _) = lane(scratch.path()).await;
    send_instead(&mut lane, Errand::Deliver, reported(breaks())).await;
    assert_eq!((lane.availability.state(), paid(&lane).await), (State::Down, vec![0]));
    spool.accept(mail(&lane.parts.name)).await.unwrap();
    // The probe is the other one, though the first was accepted before.
    send_instead(&mut lane, Errand::Probe, reported(delivers())).await;
    commit(&mut lane).await;
    assert_eq!((lane.availability.state(), paid(&lane).await), (State::Up, vec![0]));
    for attempts in 1..=3 {
        send_instead(&mut lane, Errand::Deliver, reported(breaks())).await;
        commit(&mut lane).await;
        assert_eq!((lane.availability.state(), paid(&lane).await), (State::Up, vec![attempts]));
    }
    let said = lane.last_reply.as_ref().map(|reply| reply.text.to_string()).unwrap_or_default();
    assert!(said.contains("others are taken"), "{said}");
}

#[tokio::test]
async fn while_nothing_is_taken_nobody_pays() {
    let scratch = tempfile::tempdir().unwrap();
    let (mut lane, spool, _) = lane(scratch.path()).await;
    spool.accept(mail(&lane.parts.name)).await.unwrap();
    send_instead(&mut lane, Errand::Deliver, reported(breaks())).await;
    for _ in 0..20 {
        send_instead(&mut lane, Errand::Probe, reported(breaks())).await;
    }
    assert!(lane.ledger.is_settled());
    assert_eq!((lane.availability.state(), paid(&lane).await), (State::Down, vec![0, 0]));
}

#[tokio::test]
async fn suspects_that_wait_for_their_turn_do_not_hide_what_comes_after_them() {
    let scratch = tempfile::tempdir().unwrap();
    let (mut lane, spool, _) = lane(scratch.path()).await;
    spool.accept(mail(&lane.parts.name)).await.unwrap();
    lane.look(Instant::now()).await;
    let mut both = lane.gather(Errand::Deliver, 1, Instant::now());
    both.extend(lane.gather(Errand::Deliver, 1, Instant::now()));
    assert_eq!(both.len(), 2);
    for going in both {
        assert_eq!(lane.suspects.broke(going.passage, Errand::Deliver, Instant::now()), Blame::Destination);
    }
    lane.look(Instant::now()).await;
    let one = lane.choose(Errand::Deliver, 2, Instant::now()).await;
    assert_eq!(one.len(), 1);
    assert!(lane.choose(Errand::Deliver, 2, Instant::now()).await.is_empty(), "the other waits");
    let third = spool.accept(mail(&lane.parts.name)).await.unwrap();
    lane.ledger.begin(copies(&one[0].copies));
    lane.told_of_due().await;
    let next = lane.choose(Errand::Deliver, 2, Instant::now()).await;
    assert_eq!(next.iter().map(|going| going.copies[0].id).collect::<Vec<_>>(), [third]);
}
