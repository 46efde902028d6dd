//! Attempts that begin together, as for queues; here into a Maildir.

use super::*;

/// A world with an inbox to which so many go together.
fn world(together: usize) -> (World, std::path::PathBuf) {
    let mut world = World::new();
    let inbox = world.inbox("inbox");
    world.plan[0].2.together = together;
    (world, inbox)
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_set_aside_alone() {
    let (world, inbox) = world(64);
    let mut ids = Vec::new();
    for number in 0..40 {
        ids.push(world.accept("inbox", &format!("alarm {number}")).await);
    }
    let database = world.scratch.path().join("spool/spool.db");
    let foreign = rusqlite::Connection::open(database).unwrap();
    let changed = "UPDATE message SET body = 'not what was written' WHERE id = ?1";
    assert_eq!(foreign.execute(changed, [ids[20].as_row()]).unwrap(), 1);
    let scheduler = world.start();
    world.drained().await;
    assert_eq!(mail_in(&inbox), 39);
    let aside: Vec<_> = world.copies(Some(SpoolState::Corrupt)).await.iter().map(|copy| copy.id).collect();
    assert_eq!(aside, [ids[20]]);
    assert!(scheduler.shutdown(within(20)).await);
}

#[tokio::test]
async fn a_group_that_is_still_open_closes_when_its_message_goes_with_others() {
    let (world, inbox) = world(64);
    for text in ["one", "two"] {
        world.accept("inbox", text).await;
    }
    let group = Group { key: [7; 16], wait: Duration::ZERO, repeat_after: Duration::from_secs(3600) };
    let grouped = || Message { group: Some(group.clone()), ..message("inbox", "repeated") };
    world.spool.accept(grouped()).await.unwrap();
    let scheduler = world.start();
    world.drained().await;
    assert_eq!(mail_in(&inbox), 3);
    world.spool.accept(grouped()).await.unwrap();
    assert_eq!(world.copies(Some(SpoolState::Queued)).await.len(), 1, "it is no repeat of what was sent");
    assert!(scheduler.shutdown(within(20)).await);
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "how long it really took")]
async fn a_rate_is_kept_though_many_could_go_together() {
    let (mut world, inbox) = world(64);
    world.plan[0].2.rate = Some(Rate { count: 4, period: Duration::from_millis(400) });
    for number in 0..8 {
        world.accept("inbox", &format!("alarm {number}")).await;
    }
    let began = Instant::now();
    let scheduler = world.start();
    world.drained().await;
    assert!(began.elapsed() >= Duration::from_millis(350), "{:?}", began.elapsed());
    assert_eq!(mail_in(&inbox), 8);
    assert!(scheduler.shutdown(within(20)).await);
}
