//! Repeats that become one mail.

use super::*;

fn grouped(text: &str, at: Timestamp) -> Message {
    let (wait, repeat_after) = (Duration::from_secs(20), Duration::from_secs(600));
    Message { group: Some(Group { key: [9; 16], wait, repeat_after }), ..alarm(text, at) }
}

async fn gathered(bench: &Bench, id: QueueId) -> Gathered {
    match bench.spool.load(id).await.unwrap().unwrap().body {
        Body::Notice(gathered) => *gathered,
        Body::Mail { .. } => panic!("a notice became a mail"),
    }
}

#[tokio::test]
async fn repeats_before_the_group_closes_are_counted_into_the_waiting_message_over_a_restart() {
    let bench = Bench::new();
    let id = bench.spool.accept(grouped("first", second(0))).await.unwrap();
    assert_eq!(bench.spool.accept(grouped("second", second(5))).await.unwrap(), id);
    let bench = bench.reopened(|_| ()).await;
    let answers =
        bench.spool.accept_all(vec![grouped("third", second(10)), grouped("fourth", second(19))]).await;
    assert_eq!(answers.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [id, id]);
    assert_eq!(bench.metric("mailslotd_spool_gathered_total").as_deref(), Some("2"));

    assert_eq!(bench.due_numbers("smarthost", second(19)).await, [], "nothing goes before the group closes");
    assert_eq!(bench.spool.next_due(&destination("smarthost")).await.unwrap(), Some(second(20)));
    assert_eq!(bench.due_numbers("smarthost", second(20)).await, [(id, 0)]);
    let gathered = gathered(&bench, id).await;
    assert_eq!((gathered.count, gathered.first.text.as_ref()), (4, "first"));
    assert_eq!(gathered.last.map(|last| last.text.into_owned()).as_deref(), Some("fourth"));
}

#[tokio::test]
async fn repeats_after_the_close_are_one_mail_for_each_repeat_after() {
    let bench = Bench::new();
    let first = bench.spool.accept(grouped("0", second(0))).await.unwrap();
    bench.settle(first, 0, Fate::Delivered, second(21)).await;
    let next = bench.spool.accept(grouped("1", second(60))).await.unwrap();
    assert_ne!(next, first);
    let bench = bench.reopened(|_| ()).await;
    for at in [100, 300, 619] {
        assert_eq!(bench.spool.accept(grouped("repeat", second(at))).await.unwrap(), next);
    }
    assert_eq!(bench.due_numbers("smarthost", second(619)).await, []);
    assert_eq!(bench.due_numbers("smarthost", second(620)).await, [(next, 0)]);
    assert_eq!(gathered(&bench, next).await.count, 4);

    let later = bench.spool.accept(grouped("a new incident", second(1300))).await.unwrap();
    assert_eq!(bench.due_numbers("smarthost", second(1320)).await, [(next, 0), (later, 0)]);
}

#[tokio::test]
async fn a_repeat_that_comes_late_to_the_writer_does_not_change_a_message_on_its_way() {
    let bench = Bench::new();
    let first = bench.spool.accept(grouped("0", second(0))).await.unwrap();
    assert_eq!(gathered(&bench, first).await.count, 1, "loaded: on its way");
    let late = bench.spool.accept(grouped("heard before the close", second(19))).await.unwrap();
    assert_ne!(late, first);
    assert_eq!(gathered(&bench, first).await.count, 1);
    assert_eq!(gathered(&bench, late).await.count, 1);
}

#[tokio::test]
async fn a_repeat_of_a_deleted_message_takes_its_place_and_its_time() {
    let bench = Bench::new();
    let first = bench.spool.accept(grouped("0", second(0))).await.unwrap();
    bench.spool.delete(first).await.unwrap();
    let second_id = bench.spool.accept(grouped("1", second(5))).await.unwrap();
    assert_ne!(second_id, first);
    assert_eq!(bench.spool.next_due(&destination("smarthost")).await.unwrap(), Some(second(20)));
}

#[tokio::test]
async fn groups_of_other_keys_and_mail_are_left_alone() {
    let bench = Bench::new();
    let id = bench.spool.accept(grouped("0", second(0))).await.unwrap();
    let mut other = grouped("0", second(1));
    other.group.as_mut().unwrap().key = [8; 16];
    assert_ne!(bench.spool.accept(other).await.unwrap(), id);
    let mut letter = mail(Content::Inline("x\r\n".into()), second(2));
    letter.group = grouped("", second(2)).group;
    assert_ne!(bench.spool.accept(letter).await.unwrap(), id);
    assert_eq!(bench.due_numbers("smarthost", second(2)).await.len(), 1, "mail does not wait");
}

#[tokio::test]
async fn a_group_longer_than_the_message_may_live_does_not_expire_what_was_never_tried() {
    let bench = Bench::new();
    let mut message = grouped("0", second(0));
    message.expire = Some(Duration::from_secs(10));
    let id = bench.spool.accept(message).await.unwrap();
    assert_eq!(bench.spool.sweep(second(20)).await.unwrap().expired, []);
    assert_eq!(bench.due_numbers("smarthost", second(20)).await, [(id, 0)]);
    assert_eq!(bench.spool.sweep(second(30)).await.unwrap().expired.len(), 1);
}

#[tokio::test]
async fn what_is_known_of_a_group_goes_when_nothing_can_belong_to_it_any_more() {
    let bench = Bench::new();
    bench.spool.accept(grouped("0", second(0))).await.unwrap();
    assert_eq!(bench.spool.sweep(second(619)).await.unwrap().groups, 0);
    assert_eq!(bench.spool.sweep(second(620)).await.unwrap().groups, 1);
}

#[tokio::test]
async fn a_storm_of_repeats_is_one_message_whose_bytes_do_not_grow_with_it() {
    let bench = Bench::new();
    let id = bench.spool.accept(grouped("storm", second(0))).await.unwrap();
    let storm = |_| (0..200).map(|_| grouped("storm", second(1))).collect::<Vec<_>>();
    for round in 0..5 {
        assert!(bench.spool.accept_all(storm(round)).await.into_iter().all(|each| each.ok() == Some(id)));
    }
    let bytes: u64 = bench.metric("mailslotd_spool_bytes").unwrap().parse().unwrap();
    let shown = bench.spool.show(id).await.unwrap().unwrap();
    assert_eq!(shown.copies.first().map(|copy| copy.bytes), Some(bytes));
    assert!(bytes < 3000, "{bytes}");
    assert_eq!(gathered(&bench, id).await.count, 1001);
}
