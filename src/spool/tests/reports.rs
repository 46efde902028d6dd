//! What senders are told, in step with what became of their mail.

use crate::message::mail::{Reports, Submitted};
use crate::message::recipient::RecipientDsn;
use crate::policy::operator::{CauseClass, Topic};
use crate::telemetry::metrics::ReportKind;
use crate::wire::smtp::dsn::Notify;

use super::*;

fn owed(notify: Option<Notify>, at: Timestamp) -> Message {
    let submitted = Box::new(Submitted { reports: Reports::Owed, ..Submitted::default() });
    let reverse_path = Some("scanner@corp.example".to_owned());
    let dsn = RecipientDsn { notify, orcpt: None };
    Message {
        body: Body::Mail { reverse_path, content: Content::Inline("x\r\n".into()), submitted },
        recipients: ["a", "b"]
            .map(|name| Recipient { dsn: dsn.clone(), ..recipient("smarthost", name) })
            .into(),
        ..alarm("", at)
    }
}

fn report(about: &[(QueueId, u32)]) -> FateReport {
    let body = Body::Mail {
        reverse_path: None,
        content: Content::Inline("report\r\n".into()),
        submitted: Box::default(),
    };
    let recipients = vec![recipient("back", "scanner@corp.example")];
    let about = about.iter().map(|(id, number)| (*id, RecipientNumber(*number))).collect();
    FateReport {
        message: Message { body, recipients, ..alarm("", second(1)) },
        kind: ReportKind::Failed,
        about,
        pace: None,
    }
}

async fn record(bench: &Bench, id: QueueId, fates: &[(u32, Fate)]) {
    let settled = |(number, fate): &(u32, Fate)| Settled {
        id,
        number: RecipientNumber(*number),
        fate: fate.clone(),
        at: second(1),
    };
    let about: Vec<_> = fates.iter().map(|(number, _)| (id, *number)).collect();
    bench.spool.record(fates.iter().map(settled).collect(), vec![report(&about)]).await.unwrap();
}

#[tokio::test]
async fn a_report_is_kept_with_the_failure_it_tells_of_and_once() {
    let bench = Bench::new();
    let id = bench.spool.accept(owed(None, second(0))).await.unwrap();
    record(&bench, id, &[(0, failed())]).await;
    assert_eq!(bench.due_numbers("back", second(2)).await.len(), 1);
    let bench = bench.reopened(|_| ()).await;
    assert_eq!(bench.states(id).await, [SpoolState::Failed, SpoolState::Queued]);
    record(&bench, id, &[(0, failed())]).await;
    assert_eq!(bench.due_numbers("back", second(2)).await.len(), 1, "its failure was recorded before");
    record(&bench, id, &[(0, failed()), (1, failed())]).await;
    assert_eq!(bench.due_numbers("back", second(2)).await.len(), 2, "one of the two was not");
    bench.spool.delete(id).await.unwrap();
    record(&bench, id, &[(1, failed())]).await;
    assert_eq!(bench.due_numbers("back", second(2)).await.len(), 2, "the operator deleted it");
}

#[tokio::test]
async fn a_report_comes_in_where_no_more_mail_does() {
    let bench = Bench::limited(Limits { max_size: Some(1), ..NO_LIMITS });
    let error = bench.spool.accept(owed(None, second(0))).await.unwrap_err();
    assert!(matches!(error, SpoolError::Full { .. }), "{error}");
    let bench = Bench::new();
    let id = bench.spool.accept(owed(None, second(0))).await.unwrap();
    bench.spool.clone().close().await;
    let full = Limits { max_size: Some(1), ..NO_LIMITS };
    let spool = Spool::open(&bench.dir(), full, EXPIRE, Arc::clone(&bench.metrics)).unwrap();
    let bench = Bench { spool, ..bench };
    record(&bench, id, &[(0, failed())]).await;
    assert_eq!(bench.due_numbers("back", second(2)).await.len(), 1);
}

#[tokio::test]
async fn what_its_sender_must_hear_of_does_not_expire_by_itself() {
    let bench = Bench::new();
    let never = bench.spool.accept(owed(Some(Notify::Never), second(0))).await.unwrap();
    let id = bench.spool.accept(owed(None, second(0))).await.unwrap();
    assert_eq!(bench.spool.overdue(second(3599)).await.unwrap(), []);
    let swept = bench.spool.sweep(second(3600)).await.unwrap();
    assert_eq!(swept.expired.iter().map(|expired| expired.id).collect::<Vec<_>>(), [never, never]);
    bench.settle(id, 0, deferred(second(3000)), second(10)).await;
    let overdue = bench.spool.overdue(second(3600)).await.unwrap();
    let found: Vec<_> = overdue.iter().map(|copy| (copy.id, copy.number.0, copy.lateness)).collect();
    assert_eq!(found, [(id, 0, Lateness::Expired), (id, 1, Lateness::Expired)]);
    assert_eq!(overdue[0].status, Some(EnhancedStatus::new(4, 2, 2)));
    assert_eq!(overdue[0].text.as_deref(), Some("mailbox full"));

    let expired = || Fate::Expired { text: "expired".to_owned() };
    record(&bench, id, &[(0, expired()), (1, expired())]).await;
    assert_eq!(bench.spool.overdue(second(3600)).await.unwrap(), []);
    let copy = bench.spool.show(id).await.unwrap().unwrap().copies.remove(0);
    assert_eq!((copy.state, copy.status.as_deref(), copy.attempts), (SpoolState::Failed, Some("4.4.7"), 1));
    assert_eq!(bench.due_numbers("back", second(3600)).await.len(), 1);
}

#[tokio::test]
async fn a_delay_is_told_once_when_asked_for() {
    let bench = Bench::new();
    let long = |message: Message| Message { expire: Some(Duration::from_secs(86_400)), ..message };
    let asked = Notify::On { success: false, failure: true, delay: true };
    bench.spool.accept(long(owed(None, second(0)))).await.unwrap();
    let id = bench.spool.accept(long(owed(Some(asked), second(0)))).await.unwrap();
    let four_hours = 4 * 3600;
    assert_eq!(bench.spool.overdue(second(four_hours - 1)).await.unwrap(), []);
    let late = bench.spool.overdue(second(four_hours)).await.unwrap();
    let found: Vec<_> = late.iter().map(|copy| (copy.id, copy.number.0, copy.lateness)).collect();
    assert_eq!(found, [(id, 0, Lateness::Late), (id, 1, Lateness::Late)]);
    for _ in 0..2 {
        record(&bench, id, &[(0, Fate::LateTold), (1, Fate::LateTold)]).await;
        assert_eq!(bench.due_numbers("back", second(four_hours)).await.len(), 1);
        assert_eq!(bench.spool.overdue(second(four_hours)).await.unwrap(), []);
    }
    assert_eq!(bench.states(id).await, [SpoolState::Queued; 2]);
}

#[tokio::test]
async fn nobody_is_owed_a_report_about_a_null_reverse_path() {
    let bench = Bench::new();
    let mut message = owed(None, second(0));
    if let Body::Mail { reverse_path, .. } = &mut message.body {
        *reverse_path = None;
    }
    bench.spool.accept(message).await.unwrap();
    assert_eq!(bench.spool.overdue(second(3600)).await.unwrap(), []);
    assert_eq!(bench.spool.sweep(second(3600)).await.unwrap().expired.len(), 2);
}

#[tokio::test]
async fn whoever_was_told_of_a_failure_is_not_told_again_when_the_operator_tries_it_once_more() {
    let bench = Bench::new();
    let id = bench.spool.accept(owed(None, second(0))).await.unwrap();
    record(&bench, id, &[(0, failed())]).await;
    // A failure whose report could not be made is still to be told.
    bench.settle(id, 1, failed(), second(1)).await;
    assert_eq!(bench.spool.retry(Which::One(id)).await.unwrap(), 2);
    record(&bench, id, &[(0, failed())]).await;
    assert_eq!(bench.due_numbers("back", second(2)).await.len(), 1);
    record(&bench, id, &[(1, failed())]).await;
    assert_eq!(bench.due_numbers("back", second(2)).await.len(), 2);
    // Given up instead of refused, it is as quiet.
    assert_eq!(bench.spool.retry(Which::One(id)).await.unwrap(), 2);
    assert_eq!(bench.spool.overdue(second(1_000_000)).await.unwrap(), []);
    assert_eq!(bench.spool.sweep(second(1_000_000)).await.unwrap().expired.len(), 4);
    // That it arrived in the end is told who wanted to know.
    assert_eq!(bench.spool.retry(Which::One(id)).await.unwrap(), 2);
    record(&bench, id, &[(0, Fate::Delivered)]).await;
    assert_eq!(
        bench.metric("mailslotd_reports_total{kind=\"failed\",outcome=\"kept\"}").as_deref(),
        Some("3")
    );
}

fn topic(via: &str) -> Topic {
    Topic { destination: destination(via), cause: CauseClass::Address }
}

/// Records a failure at `at` with its report to the operator, which says how many the spool counted.
async fn fails(bench: &Bench, id: QueueId, at: Timestamp) {
    let held_back = bench.spool.held_back(&topic("smarthost")).await.unwrap();
    let repeat = Some(Duration::from_secs(3600));
    let pace = Some(Pace { topic: topic("smarthost"), repeat, held_back });
    let mut report = FateReport { pace, kind: ReportKind::Operator, ..report(&[(id, 0)]) };
    report.message.accepted_at = at;
    let settled = Settled { id, number: RecipientNumber(0), fate: failed(), at };
    bench.spool.record(vec![settled], vec![report]).await.unwrap();
}

#[tokio::test]
async fn between_reports_to_the_operator_failures_are_counted_over_a_restart() {
    let told = Limits { notice_failures: NoticeFailures::Told, ..NO_LIMITS };
    let bench = Bench::limited(told);
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(bench.spool.accept(alarm(&format!("{number}"), second(0))).await.unwrap());
    }
    fails(&bench, ids[0], second(10)).await;
    fails(&bench, ids[1], second(20)).await;
    fails(&bench, ids[1], second(21)).await;
    let bench = bench.reopened(|_| ()).await;
    fails(&bench, ids[2], second(3609)).await;
    assert_eq!(bench.due_numbers("back", second(9999)).await.len(), 1, "the first alone");
    assert_eq!(bench.spool.held_back(&topic("smarthost")).await.unwrap(), 2, "each once");
    assert_eq!(bench.spool.held_back(&topic("elsewhere")).await.unwrap(), 0);
    fails(&bench, ids[3], second(3610)).await;
    assert_eq!(bench.due_numbers("back", second(9999)).await.len(), 2);
    assert_eq!(bench.spool.held_back(&topic("smarthost")).await.unwrap(), 0);
    // The operator knows of it and tries it again: it is not told a second time.
    assert_eq!(bench.spool.retry(Which::One(ids[0])).await.unwrap(), 1);
    fails(&bench, ids[0], second(9000)).await;
    assert_eq!(bench.due_numbers("back", second(9999)).await.len(), 2);
}

#[tokio::test]
async fn a_notice_expires_with_its_report_where_the_operator_is_told_and_by_itself_where_not() {
    let told = Limits { notice_failures: NoticeFailures::Told, ..NO_LIMITS };
    for (limits, overdue, swept) in [(told, 1, 0), (NO_LIMITS, 0, 1)] {
        let bench = Bench::limited(limits);
        bench.spool.accept(alarm("on battery", second(0))).await.unwrap();
        assert_eq!(bench.spool.overdue(second(4 * 3600)).await.unwrap().len(), overdue);
        assert_eq!(bench.spool.sweep(second(4 * 3600)).await.unwrap().expired.len(), swept);
    }
}
