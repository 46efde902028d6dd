//! Copies that go only when the one before was not delivered.

use super::*;

/// First to the smart host; after 10 minutes to the hook; after 20 to the inbox.
async fn chain(bench: &Bench) -> QueueId {
    let standby = |minutes: u64, via, to| Standby {
        after: Duration::from_secs(60 * minutes),
        recipient: recipient(via, to),
    };
    let mut first = recipient("smarthost", "oncall@corp.example");
    first.otherwise = vec![standby(10, "hook", "ups"), standby(20, "inbox", "operator")];
    let recipients = vec![first, recipient("smarthost", "second@corp.example")];
    bench.spool.accept(Message { recipients, ..alarm("x", second(0)) }).await.unwrap()
}

#[tokio::test]
async fn a_standby_copy_is_due_when_its_time_has_passed_and_not_before() {
    let bench = Bench::new();
    let id = chain(&bench).await;
    assert_eq!(bench.due_numbers("smarthost", second(0)).await, [(id, 0), (id, 1)]);
    assert_eq!(bench.due_numbers("hook", second(599)).await, []);
    assert_eq!(bench.due_numbers("hook", second(600)).await, [(id, 2)]);
    assert_eq!(bench.spool.next_due(&destination("inbox")).await.unwrap(), Some(second(1200)));
}

#[tokio::test]
async fn delivery_of_the_first_copy_removes_the_whole_chain_behind_it_and_nothing_else() {
    let bench = Bench::new();
    let id = chain(&bench).await;
    bench.settle(id, 0, Fate::Delivered, second(1)).await;
    assert_eq!(bench.due_numbers("hook", second(9999)).await, []);
    assert_eq!(bench.due_numbers("inbox", second(9999)).await, []);
    assert_eq!(bench.due_numbers("smarthost", second(9999)).await, [(id, 1)]);
    bench.settle(id, 1, Fate::Delivered, second(2)).await;
    assert!(bench.spool.show(id).await.unwrap().is_none());
}

#[tokio::test]
async fn failure_of_a_copy_calls_the_next_one_at_once_and_only_that() {
    let bench = Bench::new();
    let id = chain(&bench).await;
    let bell = bench.spool.subscribe(&destination("hook"));
    bench.settle(id, 0, failed(), second(1)).await;
    tokio::time::timeout(Duration::from_secs(10), bell.notified()).await.expect("woken");
    assert_eq!(bench.due_numbers("hook", second(1)).await, [(id, 2)]);
    assert_eq!(bench.due_numbers("inbox", second(1)).await, []);
    bench.settle(id, 2, failed(), second(2)).await;
    assert_eq!(bench.due_numbers("inbox", second(2)).await, [(id, 3)]);
    bench.settle(id, 3, Fate::Delivered, second(3)).await;
    assert_eq!(bench.states(id).await, [SpoolState::Failed, SpoolState::Queued, SpoolState::Failed]);
}

#[tokio::test]
async fn delivery_of_a_standby_copy_removes_those_behind_it_and_leaves_the_first_to_be_tried() {
    let bench = Bench::new();
    let id = chain(&bench).await;
    bench.settle(id, 0, deferred(second(700)), second(1)).await;
    bench.settle(id, 2, Fate::Delivered, second(601)).await;
    assert_eq!(bench.due_numbers("inbox", second(9999)).await, []);
    assert_eq!(bench.due_numbers("smarthost", second(9999)).await, [(id, 1), (id, 0)]);
}

#[tokio::test]
async fn the_time_of_a_standby_copy_begins_when_its_group_closes() {
    let bench = Bench::new();
    let mut first = recipient("smarthost", "oncall@corp.example");
    first.otherwise = vec![Standby { after: Duration::from_secs(10), recipient: recipient("hook", "ups") }];
    let group = Group { key: [1; 16], wait: Duration::from_secs(60), repeat_after: Duration::ZERO };
    let message = Message { recipients: vec![first], group: Some(group), ..alarm("x", second(0)) };
    let id = bench.spool.accept(message).await.unwrap();
    assert_eq!(bench.due_numbers("hook", second(69)).await, []);
    assert_eq!(bench.due_numbers("hook", second(70)).await, [(id, 1)]);
}
