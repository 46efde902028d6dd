//! Notices that fail, and what the operator hears of them.

use crate::policy::operator::{Notify, OperatorPolicy, Way};
use crate::wire::smtp::path::Mailbox;

use super::*;

/// A world in which the operator is told by these ways.
fn told_by(ways: &[(&str, &str)], repeat: Option<Duration>) -> World {
    let mut world = World::new();
    world.reporter = reporter(&world, ways, repeat);
    world
}

fn reporter(world: &World, ways: &[(&str, &str)], repeat: Option<Duration>) -> Reporter {
    let ways = ways.iter().map(|(via, to)| Way { via: destination(via), to: (*to).to_owned() });
    let mut settings = Settings::built_in(world.scratch.path(), TimeZone::UTC);
    settings.hostname = Some("gw1.plant.example".to_owned());
    settings.smtp.postmaster = Some(Mailbox::parse("it@corp.example").unwrap());
    settings.operator = OperatorPolicy { notify: Notify::These(ways.collect()), repeat };
    Reporter::of(&settings, &world.metrics)
}

fn refused(text: &str) -> Message {
    Message { recipients: vec![recipient("hop", "poison@corp.example")], ..message("hop", text) }
}

fn reports(world: &World, outcome: &str) -> u64 {
    world.count(&format!("mailslotd_reports_total{{kind=\"operator\",outcome=\"{outcome}\"}}"))
}

/// The one mail in a folder, its soft line breaks (RFC 2045 §6.7) joined.
fn only_mail_in(folder: &std::path::Path) -> String {
    let all: Vec<_> =
        std::fs::read_dir(folder.join("new")).unwrap().map(|mail| mail.unwrap().path()).collect();
    let [mail] = &all[..] else { panic!("{all:?}") };
    std::fs::read_to_string(mail).unwrap().replace("\r\n", "\n").replace("=\n", "")
}

const HOURS: Option<Duration> = Some(Duration::from_secs(4 * 3600));

#[tokio::test]
async fn a_notice_that_is_refused_is_told_by_every_way_with_all_it_said() {
    let mut world = told_by(&[("inbox", "operator"), ("hop", "it@corp.example")], HOURS);
    let mut hop = NextHop::start(Manner::RefusesPoison).await;
    world.hop("hop", hop.address, 1);
    let inbox = world.inbox("inbox");
    let id = world.spool.accept(refused("on battery")).await.unwrap();
    let scheduler = world.start();
    let mailed = hop.next().await;
    assert_eq!(mailed.recipients, ["it@corp.example"]);
    assert_eq!(mailed.field("Auto-Submitted"), "auto-generated");
    world.drained().await;
    let text = only_mail_in(&inbox.join("operator"));
    for part in [
        "From: \"Mail Delivery System\" <it@corp.example>",
        "Subject: Not delivered by hop: UPS-07: on battery",
        "poison@corp.example: refused for good: 5.1.1 ",
        "no such user",
        &format!("\n  mailslotd queue retry {id}\n"),
        "\nThe message:\n\non battery\n",
        "by a host that calls itself \"UPS-07\"",
        "from 192.0.2.7 at ",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(world.copies(Some(SpoolState::Failed)).await[0].id, id, "it is kept all the same");
    assert!(scheduler.shutdown(within(20)).await);
    assert_eq!(reports(&world, "kept"), 1);
}

#[tokio::test]
async fn of_a_flood_of_failures_one_is_told_and_the_next_report_counts_the_rest() {
    let mut world = told_by(&[("inbox", "operator")], HOURS);
    let hop = NextHop::start(Manner::RefusesPoison).await;
    world.hop("hop", hop.address, 1);
    let inbox = world.inbox("inbox").join("operator");
    for number in 0..20 {
        world.spool.accept(refused(&format!("alarm {number}"))).await.unwrap();
    }
    let scheduler = world.start();
    world.drained().await;
    // The last commit is seen before it is counted.
    assert!(scheduler.shutdown(within(20)).await);
    assert_eq!((mail_in(&inbox), reports(&world, "kept"), reports(&world, "held_back")), (1, 1, 19));
    assert!(!only_mail_in(&inbox).contains("Since the last report"));

    // Four hours later, over a restart: as if the time between reports had passed.
    let file = std::fs::read_dir(inbox.join("new")).unwrap().next().unwrap().unwrap();
    std::fs::remove_file(file.path()).unwrap();
    world.reporter = reporter(&world, &[("inbox", "operator")], Some(Duration::from_nanos(1)));
    let scheduler = world.start();
    world.spool.accept(refused("once more")).await.unwrap();
    world.drained().await;
    assert!(only_mail_in(&inbox).contains("Since the last report like this, 19 more copies failed"));
    assert!(scheduler.shutdown(within(20)).await);
}

#[tokio::test]
async fn a_report_that_fails_is_told_nobody() {
    let mut world = told_by(&[("hop", "poison@corp.example")], None);
    let hop = NextHop::start(Manner::RefusesPoison).await;
    world.hop("hop", hop.address, 1);
    world.spool.accept(refused("on battery")).await.unwrap();
    let scheduler = world.start();
    eventually("both failed", async || world.copies(Some(SpoolState::Failed)).await.len() == 2).await;
    world.drained().await;
    assert_eq!((reports(&world, "kept"), world.copies(None).await.len()), (1, 2));
    assert!(scheduler.shutdown(within(20)).await);
}

#[tokio::test]
async fn a_notice_whose_time_ran_out_is_told_with_what_its_last_attempt_met() {
    let mut world = told_by(&[("inbox", "operator")], HOURS);
    world.sweep = Duration::from_millis(20);
    let hop = NextHop::start(Manner::Delays).await;
    world.hop("hop", hop.address, 1);
    let inbox = world.inbox("inbox").join("operator");
    let scheduler = world.start();
    let brief = Message { expire: Some(Duration::from_millis(500)), ..message("hop", "on battery") };
    world.spool.accept(brief).await.unwrap();
    eventually("it is told", async || mail_in(&inbox) == 1).await;
    let text = only_mail_in(&inbox);
    assert!(text.contains("oncall@corp.example: given up, its time ran out"), "{text}");
    assert!(text.contains("\non battery\n"), "{text}");
    assert_eq!(world.count(r#"mailslotd_deliveries_total{destination="hop",outcome="expired"}"#), 1);
    assert!(scheduler.shutdown(within(20)).await);
}

#[tokio::test]
async fn where_nobody_is_named_a_failure_is_kept_and_told_nobody() {
    let mut world = told_by(&[], HOURS);
    let hop = NextHop::start(Manner::RefusesPoison).await;
    world.hop("hop", hop.address, 1);
    world.spool.accept(refused("on battery")).await.unwrap();
    let scheduler = world.start();
    eventually("it failed", async || world.copies(Some(SpoolState::Failed)).await.len() == 1).await;
    assert_eq!(world.copies(None).await.len(), 1);
    assert!(scheduler.shutdown(within(20)).await);
}
