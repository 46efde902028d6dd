//! What an operator does.

use super::*;

#[tokio::test]
async fn a_list_is_filtered_and_paged_in_order_of_acceptance() {
    let bench = Bench::new();
    let mut ids = Vec::new();
    for n in 0..5 {
        let via = if n % 2 == 0 { "smarthost" } else { "inbox" };
        let recipients = vec![recipient(via, "x")];
        ids.push(bench.spool.accept(Message { recipients, ..alarm("x", second(n)) }).await.unwrap());
    }
    bench.settle(ids[2], 0, failed(), second(9)).await;
    let list = async |filter| -> Vec<_> {
        bench.spool.list(filter).await.unwrap().iter().map(|copy| copy.id).collect()
    };
    let all = Filter { limit: 100, ..Filter::default() };
    assert_eq!(list(all.clone()).await, ids);
    let to_smarthost = Filter { destination: Some(destination("smarthost")), ..all.clone() };
    assert_eq!(list(to_smarthost).await, [ids[0], ids[2], ids[4]]);
    assert_eq!(list(Filter { state: Some(SpoolState::Failed), ..all.clone() }).await, [ids[2]]);
    assert_eq!(list(Filter { state: Some(SpoolState::Queued), ..all.clone() }).await.len(), 4);
    assert_eq!(list(Filter { limit: 2, ..all.clone() }).await, ids[..2]);
    let after = Some((ids[1], RecipientNumber(0)));
    assert_eq!(list(Filter { after, limit: 2, ..all }).await, ids[2..4]);
}

#[tokio::test]
async fn what_is_shown_says_what_the_last_attempt_met_and_goes_through_json() {
    let bench = Bench::new();
    let id = bench.spool.accept(alarm("the text", second(0))).await.unwrap();
    bench.settle(id, 0, deferred(second(30)), second(1)).await;
    let shown = bench.spool.show(id).await.unwrap().unwrap();
    assert!(shown.body.contains("the text"), "readable JSON: {}", shown.body);
    let copy = &shown.copies[0];
    assert_eq!((copy.attempts, copy.due), (1, Some(second(30))));
    assert_eq!((copy.status.as_deref(), copy.text.as_deref()), (Some("4.2.2"), Some("mailbox full")));
    assert_eq!(copy.settled_at, Some(second(1)));
    let json = serde_json::to_string(&shown).unwrap();
    assert_eq!(serde_json::from_str::<Shown>(&json).unwrap(), shown);
}

#[tokio::test]
async fn retry_makes_a_delayed_copy_due_now() {
    let bench = Bench::new();
    let id = bench.spool.accept(alarm("x", now())).await.unwrap();
    let hour = now().checked_add(Duration::from_secs(3600)).unwrap();
    bench.settle(id, 0, deferred(hour), now()).await;
    assert_eq!(bench.due_numbers("smarthost", now()).await, []);
    assert_eq!(bench.spool.retry(Which::One(id)).await.unwrap(), 1);
    assert_eq!(bench.due_numbers("smarthost", now()).await, [(id, 0)]);
}

#[tokio::test]
async fn retry_of_all_takes_up_the_failed_with_their_whole_time_but_calls_no_standby() {
    let bench = Bench::new();
    let day_ago = now().checked_sub(Duration::from_secs(86_400)).unwrap();
    let old = bench.spool.accept(alarm("x", day_ago)).await.unwrap();
    assert_eq!(bench.spool.sweep(now()).await.unwrap().expired.len(), 1);
    let mut first = recipient("smarthost", "oncall@corp.example");
    first.otherwise = vec![Standby { after: EXPIRE / 2, recipient: recipient("hook", "ups") }];
    let fresh = Message { recipients: vec![first], ..alarm("x", now()) };
    let fresh = bench.spool.accept(fresh).await.unwrap();

    assert_eq!(bench.spool.retry(Which::All).await.unwrap(), 1);
    assert_eq!(bench.due_numbers("smarthost", now()).await, [(fresh, 0), (old, 0)]);
    assert_eq!(bench.due_numbers("hook", now()).await, []);
    assert_eq!(bench.spool.sweep(now()).await.unwrap().expired, []);
}

#[tokio::test]
async fn held_copies_do_not_go_nor_expire_and_go_on_when_released() {
    let bench = Bench::new();
    let id = bench.spool.accept(alarm("x", second(0))).await.unwrap();
    assert_eq!(bench.spool.hold(id).await.unwrap(), 1);
    assert_eq!(bench.due_numbers("smarthost", second(9)).await, []);
    assert_eq!(bench.spool.sweep(second(99_999)).await.unwrap().expired, []);
    let bench = bench.reopened(|_| ()).await;
    let line = "mailslotd_spool_messages{destination=\"smarthost\",state=\"held\"}";
    assert_eq!(bench.metric(line).as_deref(), Some("1"));
    assert_eq!(bench.spool.release(id).await.unwrap(), 1);
    assert_eq!(bench.due_numbers("smarthost", second(9)).await, [(id, 0)]);
    assert_eq!(bench.metric(line).as_deref(), Some("0"));
}

#[tokio::test]
async fn a_paused_destination_has_nothing_due_over_a_restart_until_it_is_resumed() {
    let bench = Bench::new();
    let smarthost = destination("smarthost");
    let id = bench.spool.accept(alarm("x", second(0))).await.unwrap();
    assert_eq!(bench.spool.pause(smarthost.clone(), "alice".to_owned()).await.unwrap(), None);
    let bench = bench.reopened(|_| ()).await;
    assert_eq!(bench.due_numbers("smarthost", second(9)).await, []);
    assert_eq!(bench.spool.next_due(&smarthost).await.unwrap(), None);
    let paused = bench.spool.paused().await.unwrap();
    assert_eq!(paused.iter().map(|pause| pause.by.as_str()).collect::<Vec<_>>(), ["alice"]);
    let again = bench.spool.pause(smarthost.clone(), "bob".to_owned()).await.unwrap();
    assert_eq!(again.map(|pause| pause.by).as_deref(), Some("alice"));

    let bell = bench.spool.subscribe(&smarthost);
    assert!(bench.spool.resume(smarthost.clone()).await.unwrap().is_some());
    tokio::time::timeout(Duration::from_secs(10), bell.notified()).await.expect("woken");
    assert_eq!(bench.due_numbers("smarthost", second(9)).await, [(id, 0)]);
    assert_eq!(bench.spool.resume(smarthost).await.unwrap(), None);
}

#[tokio::test]
async fn export_gives_the_message_and_its_recipients_and_leaves_it() {
    let bench = Bench::new();
    let id = bench.spool.accept(alarm("x", second(0))).await.unwrap();
    let exported = bench.spool.export(id).await.unwrap().unwrap();
    assert_eq!(exported.message.id, id);
    assert_eq!(exported.recipients, [(RecipientNumber(0), recipient("smarthost", "oncall@corp.example"))]);
    assert_eq!(bench.states(id).await, [SpoolState::Queued]);
}

#[tokio::test]
async fn any_sqlite_tool_can_read_the_queue() {
    let bench = Bench::new();
    bench.spool.accept(alarm("the text", second(0))).await.unwrap();
    let tool = rusqlite::Connection::open(bench.dir().join("spool.db")).unwrap();
    let (due, body): (String, String) =
        tool.query_row("SELECT due, body FROM queue", [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!(due, "2027-01-15 08:00:00");
    assert!(body.starts_with("{\"notice\":{\"first\":{"), "{body}");
}

#[tokio::test]
async fn the_figures_tell_how_much_there_is_and_what_waits_longest() {
    let bench = Bench::new();
    assert_eq!(bench.spool.figures().await.unwrap(), Figures::default());
    let failed_one = bench.spool.accept(alarm("one", second(0))).await.unwrap();
    bench.spool.accept(alarm("two", second(1))).await.unwrap();
    bench.settle(failed_one, 0, failed(), second(2)).await;
    let figures = bench.spool.figures().await.unwrap();
    assert_eq!(figures.messages, 2);
    assert!(figures.bytes > 0);
    assert_eq!(figures.oldest_waiting, Some(second(1)));
    let counted: Vec<_> = figures.copies.iter().map(|(_, state, copies)| (*state, *copies)).collect();
    assert!(
        counted.contains(&(SpoolState::Failed, 1)) && counted.contains(&(SpoolState::Queued, 1)),
        "{counted:?}"
    );
}
