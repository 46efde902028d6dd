//! From acceptance to the last recipient.

use super::*;

#[tokio::test]
async fn what_was_accepted_is_there_after_a_restart_and_loads_as_it_was() {
    let bench = Bench::new();
    let message = alarm("on battery\nline 2 \u{96ea}", second(0));
    let id = bench.spool.accept(message.clone()).await.unwrap();
    let bench = bench.reopened(|_| ()).await;

    let loaded = bench.spool.load(id).await.unwrap().unwrap();
    let (Body::Notice(sent), Body::Notice(found)) = (&message.body, &loaded.body) else {
        panic!("{loaded:?}")
    };
    assert_eq!(sent, found);
    assert_eq!((loaded.id, loaded.accepted_at, loaded.expires_at), (id, second(0), second(3600)));
    assert_eq!((loaded.priority, loaded.rule), (message.priority, message.rule));

    let due = bench.spool.due(&destination("smarthost"), second(0), 10, &HashSet::new()).await.unwrap();
    let expected = Due {
        id,
        number: RecipientNumber(0),
        recipient: recipient("smarthost", "oncall@corp.example"),
        attempts: 0,
        accepted_at: second(0),
        expires_at: second(3600),
    };
    assert_eq!(due, [expected]);
    let line = "mailslotd_spool_messages{destination=\"smarthost\",state=\"queued\"}";
    assert_eq!(bench.metric(line).as_deref(), Some("1"));
}

#[tokio::test]
async fn the_more_urgent_goes_first_then_notices_before_mail_then_the_older() {
    let bench = Bench::new();
    let small = || Content::Inline("a\r\n".into());
    let with = |message: Message, priority| Message { priority, ..message };
    let messages = vec![
        with(alarm("bulk notice", second(0)), Priority::Bulk),
        with(mail(small(), second(1)), Priority::Normal),
        with(alarm("late notice", second(3)), Priority::Normal),
        with(alarm("early notice", second(2)), Priority::Normal),
        with(mail(small(), second(4)), Priority::Urgent),
        with(alarm("urgent notice", second(5)), Priority::Urgent),
    ];
    let ids: Vec<_> = bench.spool.accept_all(messages).await.into_iter().map(Result::unwrap).collect();
    let order: Vec<_> = bench.due_numbers("smarthost", second(9)).await.iter().map(|due| due.0).collect();
    assert_eq!(order, [5, 4, 3, 2, 1, 0].map(|place| ids[place]));

    let skip = HashSet::from([(ids[5], RecipientNumber(0)), (ids[3], RecipientNumber(0))]);
    let due = bench.spool.due(&destination("smarthost"), second(9), 2, &skip).await.unwrap();
    assert_eq!(due.iter().map(|due| due.id).collect::<Vec<_>>(), [ids[4], ids[2]]);
}

#[tokio::test]
async fn a_message_goes_with_its_last_recipient_and_not_before() {
    let bench = Bench::new();
    let recipients = vec![recipient("smarthost", "a@corp.example"), recipient("inbox", "operator")];
    let id = bench.spool.accept(Message { recipients, ..alarm("x", second(0)) }).await.unwrap();
    bench.settle(id, 0, Fate::Delivered, second(1)).await;
    assert!(bench.spool.load(id).await.unwrap().is_some());
    assert_eq!(bench.due_numbers("smarthost", second(9)).await, []);
    assert_eq!(bench.due_numbers("inbox", second(9)).await, [(id, 1)]);
    bench.settle(id, 1, Fate::Delivered, second(2)).await;
    assert!(bench.spool.load(id).await.unwrap().is_none());
    assert_eq!(bench.metric("mailslotd_spool_bytes").as_deref(), Some("0"));
}

#[tokio::test]
async fn a_delayed_copy_comes_back_at_its_time_and_counts_its_attempts() {
    let bench = Bench::new();
    let id = bench.spool.accept(alarm("x", second(0))).await.unwrap();
    bench.settle(id, 0, deferred(second(30)), second(1)).await;
    let smarthost = destination("smarthost");
    assert_eq!(bench.due_numbers("smarthost", second(29)).await, []);
    assert_eq!(bench.spool.next_due(&smarthost).await.unwrap(), Some(second(30)));
    let due = bench.spool.due(&smarthost, second(30), 1, &HashSet::new()).await.unwrap();
    assert_eq!(due.iter().map(|due| due.attempts).collect::<Vec<_>>(), [1]);
    assert_eq!(bench.spool.next_due(&destination("inbox")).await.unwrap(), None);
}

#[tokio::test]
async fn what_ran_out_of_time_fails_with_4_4_7_and_is_forgotten_after_failed_keep() {
    let bench = Bench::new();
    let short = Message { expire: Some(Duration::from_secs(60)), ..alarm("short", second(0)) };
    let id = bench.spool.accept(short).await.unwrap();
    let other = bench.spool.accept(alarm("long", second(0))).await.unwrap();
    assert_eq!(bench.spool.sweep(second(59)).await.unwrap(), Swept::default());

    let swept = bench.spool.sweep(second(60)).await.unwrap();
    let expired =
        Expired { id, number: RecipientNumber(0), destination: destination("smarthost"), attempts: 0 };
    assert_eq!(swept.expired, [expired]);
    let copy = bench.spool.show(id).await.unwrap().unwrap().copies.remove(0);
    assert_eq!((copy.state, copy.status.as_deref()), (SpoolState::Failed, Some("4.4.7")));
    assert_eq!(bench.due_numbers("smarthost", second(60)).await, [(other, 0)]);

    let keep = 30 * 24 * 3600;
    bench.spool.sweep(second(60 + keep - 1)).await.unwrap();
    assert!(bench.spool.show(id).await.unwrap().is_some());
    assert_eq!(bench.spool.sweep(second(60 + keep)).await.unwrap().forgotten, 1);
    assert!(bench.spool.show(id).await.unwrap().is_none());
}

#[tokio::test]
async fn a_commit_that_makes_something_due_wakes_the_subscriber_even_if_he_waits_only_afterwards() {
    let bench = Bench::new();
    let (smarthost, inbox) = (destination("smarthost"), destination("inbox"));
    let (bell, other) = (bench.spool.subscribe(&smarthost), bench.spool.subscribe(&inbox));
    bench.spool.accept(alarm("x", second(0))).await.unwrap();
    let soon = Duration::from_secs(10);
    tokio::time::timeout(soon, bell.notified()).await.expect("woken by a commit that came before");
    let quiet = tokio::time::timeout(Duration::ZERO, other.notified()).await;
    assert!(quiet.is_err(), "nothing is due for the other destination");
}

#[tokio::test]
async fn ids_rise_even_when_the_clock_is_set_back_and_are_never_used_twice() {
    let bench = Bench::new();
    let first = bench.spool.accept(alarm("x", second(1000))).await.unwrap();
    let second_id = bench.spool.accept(alarm("x", second(0))).await.unwrap();
    assert!(second_id > first);
    bench.spool.delete(second_id).await.unwrap();
    let bench = bench.reopened(|_| ()).await;
    let third = bench.spool.accept(alarm("x", second(0))).await.unwrap();
    assert!(third > second_id);
}

#[tokio::test]
async fn a_fate_of_a_copy_that_is_gone_is_passed_over() {
    let bench = Bench::new();
    let id = bench.spool.accept(alarm("x", second(0))).await.unwrap();
    assert_eq!(bench.spool.delete(id).await.unwrap(), 1);
    for fate in [Fate::Delivered, deferred(second(9)), failed()] {
        bench.settle(id, 0, fate, second(1)).await;
    }
    assert!(bench.spool.show(id).await.unwrap().is_none());
}

#[tokio::test]
async fn a_second_process_is_told_who_has_the_spool() {
    let bench = Bench::new();
    let second = Spool::open(&bench.dir(), NO_LIMITS, EXPIRE, Arc::clone(&bench.metrics)).unwrap_err();
    let expected = format!("process {}", std::process::id());
    assert!(second.to_string().contains(&expected), "{second}");
}

#[tokio::test]
async fn after_close_every_call_says_so_and_the_log_is_empty() {
    let bench = Bench::new();
    let other = bench.spool.clone();
    bench.spool.accept(alarm("x", second(0))).await.unwrap();
    bench.spool.clone().close().await;
    let wal = bench.dir().join("spool.db-wal");
    assert!(wal.metadata().map_or(0, |meta| meta.len()) == 0, "the log was folded");
    assert!(matches!(other.accept(alarm("x", second(0))).await, Err(SpoolError::Closed)));
    assert!(matches!(other.next_due(&destination("smarthost")).await, Err(SpoolError::Closed)));
}

#[tokio::test]
async fn files_and_folders_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let bench = Bench::new();
    bench.spool.accept(alarm("x", second(0))).await.unwrap();
    let mode = |path: PathBuf| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(bench.dir()), 0o700);
    assert_eq!(mode(bench.dir().join("content")), 0o700);
    for file in ["lock", "spool.db", "spool.db-wal", "spool.db-shm"] {
        assert_eq!(mode(bench.dir().join(file)), 0o600, "{file}");
    }
}

#[tokio::test]
async fn a_message_without_a_recipient_is_refused_and_its_neighbours_are_not() {
    let bench = Bench::new();
    let lonely = Message { recipients: Vec::new(), ..alarm("x", second(0)) };
    let answers = bench.spool.accept_all(vec![alarm("a", second(0)), lonely, alarm("b", second(0))]).await;
    assert!(matches!(answers[..], [Ok(_), Err(SpoolError::NoRecipient), Ok(_)]), "{answers:?}");
}

#[tokio::test]
async fn a_closed_spool_is_not_ready() {
    let bench = Bench::new();
    bench.spool.accepting(Class::Notice).unwrap();
    bench.spool.clone().close().await;
    // The thread says so when it ends, just after it has answered.
    let line = "mailslotd_spool_accepting{class=\"notice\"}";
    let ended = async {
        while bench.metric(line).as_deref() != Some("0") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), ended).await.expect("not ready any more");
    assert!(matches!(bench.spool.accepting(Class::Notice), Err(SpoolError::Closed)));
}
