mod operator;
mod relayed;
mod together;
mod tokens;

use std::collections::HashSet;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::next_hop::{Manner, NextHop};
use super::*;
use crate::config::settings::{self, Tls, TlsMode};
use crate::delivery::maildir::Maildir;
use crate::delivery::submission::Submission;
use crate::delivery::view::DestinationView;
use crate::message::compose::Identity;
use crate::message::id::{QueueId, RuleName};
use crate::message::mail::{Body, Content, Gathered, Group, Message, Priority};
use crate::message::notice::{Arrival, Encoding, Kind, Listener, Name, Notice};
use crate::message::recipient::Recipient;
use crate::policy::availability::Backoff;
use crate::policy::rate::Rate;
use crate::policy::replies::ReplyTable;
use crate::spool::{Filter, Limits as SpoolLimits, NoticeFailures, Which};
use crate::telemetry::metrics::{DestinationState, SpoolState};
use crate::wire::netbios_name::NameType;
use crate::wire::oem_text::CodePage;

/// A spool with its scheduler; the spool outlives the scheduler, as over a restart.
struct World {
    scratch: tempfile::TempDir,
    spool: Spool,
    metrics: Arc<Metrics>,
    plan: Vec<(DestinationName, Transport, Limits)>,
    pace: Pace,
    retry: Retry,
    sweep: Duration,
    reporter: Reporter,
}

impl World {
    fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let metrics = Arc::new(Metrics::new());
        let limits = SpoolLimits {
            max_size: None,
            min_free: 0,
            reserved_for_notices: 0,
            failed_keep: Duration::from_secs(3600),
            delay_report: None,
            notice_failures: NoticeFailures::Told,
        };
        let folder = scratch.path().join("spool");
        std::fs::create_dir(&folder).unwrap();
        let expire = Duration::from_secs(3600);
        let spool = Spool::open(&folder, limits, expire, Arc::clone(&metrics)).unwrap();
        let reporter = Reporter::of(&Settings::built_in(scratch.path(), TimeZone::UTC), &metrics);
        let quick = Backoff { first: Duration::from_millis(20), most: Duration::from_millis(100) };
        let slow = Backoff { first: Duration::from_secs(3600), most: Duration::from_secs(3600) };
        Self {
            scratch,
            spool,
            metrics,
            plan: Vec::new(),
            pace: Pace { down: quick, fault: slow, throttle: quick, ..Pace::default() },
            retry: Retry {
                first: Duration::from_millis(20),
                max: Duration::from_millis(20),
                expire: Duration::from_secs(3600),
            },
            sweep: Duration::from_secs(3600),
            reporter,
        }
    }

    /// Adds a next hop that allows so many connections.
    fn hop(&mut self, name: &str, at: std::net::SocketAddr, connections: usize) {
        let settings = settings::Submission {
            host: at.ip().to_string(),
            port: at.port(),
            tls: Tls { mode: TlsMode::None, ca_file: None, client_certificate: None },
            auth: None,
            from: None,
            max_connections: connections,
            rate: None,
            message_size: None,
            max_recipients: None,
            timeout: Duration::from_secs(10),
            replies: ReplyTable::default(),
            preset: None,
        };
        let name = destination(name);
        let submission = Submission::new(name.clone(), &settings, identity(), None).unwrap();
        let limits = Limits { concurrency: connections, recipients: 100, together: 1, rate: None };
        self.plan.push((name, Transport::Submission(submission), limits));
    }

    fn inbox(&mut self, name: &str) -> std::path::PathBuf {
        let path = self.scratch.path().join(name);
        let settings = settings::Maildir { path: path.clone(), max_size: None, keep: None };
        let name = destination(name);
        let maildir = Maildir::new(name.clone(), &settings, identity(), Arc::clone(&self.metrics));
        let limits = Limits::of(&settings::DestinationKind::Maildir(settings));
        self.plan.push((name, Transport::Maildir(maildir), limits));
        path
    }

    fn start(&self) -> Scheduler {
        let plan = Plan {
            destinations: self.plan.clone(),
            retry: self.retry,
            pace: self.pace,
            sweep: self.sweep,
            reporter: self.reporter.clone(),
        };
        Scheduler::launch(plan, &self.spool, &self.metrics)
    }

    async fn accept(&self, via: &str, text: &str) -> QueueId {
        self.spool.accept(message(via, text)).await.unwrap()
    }

    /// Waits until nothing is queued.
    async fn drained(&self) {
        for (name, ..) in &self.plan {
            let empty = async || self.spool.next_due(name).await.unwrap().is_none();
            eventually("the queue is empty", empty).await;
        }
    }

    async fn copies(&self, state: Option<SpoolState>) -> Vec<crate::spool::Copy> {
        let filter = Filter { destination: None, state, after: None, limit: Filter::PAGE };
        self.spool.list(filter).await.unwrap()
    }

    fn count(&self, series: &str) -> u64 {
        let text = self.metrics.encode();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().unwrap())
    }
}

fn destination(name: &str) -> DestinationName {
    DestinationName::new(name).unwrap()
}

fn identity() -> Identity {
    Identity::new(Some("gw1.plant.example"), "", Some("alerts@corp.example"), TimeZone::UTC)
}

fn recipient(via: &str, to: &str) -> Recipient {
    Recipient::new(destination(via), to)
}

fn mail(content: Content) -> Body {
    let reverse_path = Some("alerts@corp.example".to_owned());
    Body::Mail { reverse_path, content, submitted: Box::default() }
}

fn message(via: &str, text: &str) -> Message {
    let name = |text: &str| Name { text: text.to_owned().into(), name_type: NameType::MESSENGER };
    let notice = Notice {
        arrival: Arrival {
            at: now(),
            source: "192.0.2.7:138".parse().unwrap(),
            destination: None,
            interface: None,
            listener: Listener::Datagram,
        },
        dgm_id: 1,
        source_name: name("UPS-07"),
        destination_name: name("ALERTS"),
        mailslot: r"\MAILSLOT\MESSNGR".into(),
        originator: "UPS-07".into(),
        to: "ALERTS".into(),
        text: text.to_owned().into(),
        encoding: Encoding { code_page: CodePage::Cp437, lossy: false },
        kind: Kind::Messenger,
        data: b"".as_slice().into(),
    };
    Message {
        body: Body::Notice(Box::new(Gathered::one(notice))),
        accepted_at: now(),
        expire: None,
        priority: Priority::Normal,
        rule: Some(RuleName::new("ups-alarms").unwrap()),
        group: None,
        recipients: vec![recipient(via, if via == "inbox" { "" } else { "oncall@corp.example" })],
    }
}

#[expect(clippy::disallowed_methods, reason = "messages of these tests are accepted now")]
fn now() -> Timestamp {
    Timestamp::now()
}

#[expect(clippy::disallowed_methods, reason = "a grace period of the test itself")]
fn within(seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(seconds)
}

/// Awaits a condition that nothing announces; 20 s at most.
async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let met = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), met).await.is_ok(), "never: {what}");
}

async fn view(scheduler: &Scheduler, name: &str, state: DestinationState) -> DestinationView {
    let name = destination(name);
    let current = || scheduler.views().of(&name).unwrap();
    eventually(&format!("{name} is {}", state.as_str()), async || current().state == state).await;
    current()
}

fn mail_in(folder: &std::path::Path) -> usize {
    std::fs::read_dir(folder.join("new")).map_or(0, Iterator::count)
}

#[tokio::test]
async fn while_a_destination_is_down_nothing_is_lost_and_everything_goes_when_it_answers() {
    let mut world = World::new();
    let port = NextHop::start(Manner::Kind).await.address;
    world.hop("hop", port, 3);
    let scheduler = world.start();
    for number in 0..50 {
        world.accept("hop", &format!("alarm {number}")).await;
    }
    let down = view(&scheduler, "hop", DestinationState::Down).await;
    assert!(down.reason.unwrap().contains("127.0.0.1"));
    let waiting = world.copies(Some(SpoolState::Queued)).await;
    assert_eq!(waiting.len(), 50);
    assert!(waiting.iter().all(|copy| copy.attempts == 0), "no message pays for the destination");
    let mut hop = NextHop::start_at(port, Manner::Kind).await;
    let mut subjects = HashSet::new();
    for _ in 0..50 {
        subjects.insert(hop.next().await.field("Subject").to_owned());
    }
    assert_eq!(subjects.len(), 50);
    world.drained().await;
    assert_eq!(view(&scheduler, "hop", DestinationState::Up).await.reason, None);
    assert_eq!(world.count(r#"mailslotd_destination_state{destination="hop",state="up"}"#), 1);
    assert!(scheduler.shutdown(within(20)).await);
}

#[tokio::test]
async fn an_operator_fault_holds_everything_until_the_operator_asks() {
    let mut world = World::new();
    let mut hop = NextHop::start(Manner::Refuses).await;
    world.hop("hop", hop.address, 2);
    let scheduler = world.start();
    world.accept("hop", "one").await;
    let fault = view(&scheduler, "hop", DestinationState::OperatorFault).await;
    assert!(fault.reason.unwrap().contains("554"));
    world.accept("hop", "two").await;
    hop.become_(Manner::Kind);
    let waiting = world.copies(Some(SpoolState::Queued)).await;
    assert_eq!(waiting.iter().map(|copy| copy.attempts).collect::<Vec<_>>(), [0, 0]);
    // The slow probe of this test is an hour away.
    world.spool.retry(Which::All).await.unwrap();
    scheduler.poke(&destination("hop"));
    hop.next().await;
    hop.next().await;
    world.drained().await;
    view(&scheduler, "hop", DestinationState::Up).await;
    assert!(scheduler.shutdown(within(20)).await);
}

#[tokio::test]
async fn a_throttled_destination_is_asked_again_one_message_at_a_time() {
    let mut world = World::new();
    let mut hop = NextHop::start(Manner::Throttles).await;
    world.hop("hop", hop.address, 3);
    let scheduler = world.start();
    for number in 0..10 {
        world.accept("hop", &format!("alarm {number}")).await;
    }
    view(&scheduler, "hop", DestinationState::Throttled).await;
    hop.become_(Manner::Kind);
    for _ in 0..10 {
        hop.next().await;
    }
    world.drained().await;
    view(&scheduler, "hop", DestinationState::Up).await;
    assert!(scheduler.shutdown(within(20)).await);
}

fn poisoned(via: &str) -> Message {
    Message { recipients: vec![recipient(via, "poison@corp.example")], ..message(via, "poisoned") }
}

#[tokio::test]
async fn a_recipient_that_ends_every_session_waits_alone_and_the_others_leave_after_one_probe() {
    for (manner, trouble) in [
        (Manner::ClosesOnPoison, DestinationState::Throttled),
        (Manner::DropsOnPoison, DestinationState::Down),
    ] {
        let mut world = World::new();
        let mut hop = NextHop::start(manner).await;
        world.hop("hop", hop.address, 1);
        world.retry.first = Duration::from_secs(1800);
        world.retry.max = world.retry.first;
        // Long enough that the trouble is seen, and too long for six probes.
        let probe = Backoff { first: Duration::from_secs(2), most: Duration::from_secs(600) };
        world.pace = Pace { down: probe, throttle: probe, ..world.pace };
        let poison = world.spool.accept(poisoned("hop")).await.unwrap();
        for number in 0..6 {
            world.accept("hop", &format!("alarm {number}")).await;
        }
        let scheduler = world.start();
        view(&scheduler, "hop", trouble).await;
        eventually("only the one that was tried pays", async || {
            let waiting = world.copies(Some(SpoolState::Queued)).await;
            waiting.len() == 7 && waiting.iter().map(|copy| copy.attempts).sum::<u32>() == 1
        })
        .await;
        for _ in 0..6 {
            hop.next().await;
        }
        view(&scheduler, "hop", DestinationState::Up).await;
        eventually("the six are gone", async || {
            world.copies(Some(SpoolState::Queued)).await.iter().map(|copy| copy.id).eq([poison])
        })
        .await;
        assert_eq!(world.copies(None).await[0].attempts, 1);
        assert_eq!(hop.poisoned(), 1, "it was not tried first again");
        assert!(scheduler.shutdown(within(20)).await);
    }
}

#[tokio::test]
async fn a_recipient_that_ends_a_kept_connection_is_asked_once_more_on_a_fresh_one() {
    let mut world = World::new();
    let mut hop = NextHop::start(Manner::DropsOnPoison).await;
    world.hop("hop", hop.address, 1);
    world.retry.first = Duration::from_secs(1800);
    world.retry.max = world.retry.first;
    let scheduler = world.start();
    world.accept("hop", "one").await;
    hop.next().await;
    world.drained().await;
    world.spool.accept(poisoned("hop")).await.unwrap();
    eventually("an attempt", async || world.copies(None).await.iter().any(|copy| copy.attempts == 1)).await;
    assert_eq!(hop.poisoned(), 2);
    world.accept("hop", "two").await;
    assert_eq!(hop.next().await.field("Subject"), "UPS-07: two");
    assert!(scheduler.shutdown(within(20)).await);
    assert!(hop.seen.try_recv().is_err(), "nothing arrived twice");
}

#[tokio::test]
async fn a_reply_before_the_end_of_the_content_delivers_nothing() {
    for (manner, state, said) in [
        (
            Manner::SpeaksWith354("250 2.0.0 taken\r\n"),
            SpoolState::Queued,
            "before the end of the content: 250",
        ),
        (
            Manner::SpeaksAmidContent("250 2.0.0 taken\r\n"),
            SpoolState::Queued,
            "before the end of the content: 250",
        ),
        (Manner::SpeaksAmidContent("452 4.3.1 disk full\r\n"), SpoolState::Queued, "452 4.3.1 disk full"),
        (Manner::SpeaksAmidContent("552 5.3.4 too big\r\n"), SpoolState::Failed, "552 5.3.4 too big"),
    ] {
        let mut world = World::new();
        let mut hop = NextHop::start(manner).await;
        world.hop("hop", hop.address, 1);
        world.retry.first = Duration::from_secs(1800);
        world.retry.max = world.retry.first;
        // More than the buffers between both sides hold.
        let content = Content::Inline("Subject: scan\r\n\r\nx\r\n".repeat(500_000).into_bytes().into());
        world.spool.accept(Message { body: mail(content), ..message("hop", "scan") }).await.unwrap();
        let scheduler = world.start();
        eventually(said, async || {
            let copies = world.copies(Some(state)).await;
            copies.iter().any(|copy| copy.text.as_deref().is_some_and(|text| text.contains(said)))
        })
        .await;
        assert_eq!(world.count(r#"mailslotd_deliveries_total{destination="hop",outcome="delivered"}"#), 0);
        assert!(scheduler.shutdown(within(20)).await);
        assert!(hop.seen.try_recv().is_err(), "{manner:?}: the end of data was sent");
    }
}

#[tokio::test]
async fn a_delayed_message_is_tried_again_by_its_own_back_off() {
    let mut world = World::new();
    let mut hop = NextHop::start(Manner::Delays).await;
    world.hop("hop", hop.address, 1);
    let scheduler = world.start();
    world.accept("hop", "one").await;
    eventually("two attempts", async || world.copies(None).await.iter().any(|copy| copy.attempts >= 2)).await;
    hop.become_(Manner::Kind);
    hop.next().await;
    world.drained().await;
    assert!(world.count(r#"mailslotd_deliveries_total{destination="hop",outcome="delayed"}"#) >= 2);
    assert_eq!(world.count(r#"mailslotd_deliveries_total{destination="hop",outcome="delivered"}"#), 1);
    assert!(scheduler.shutdown(within(20)).await);
}

#[tokio::test]
async fn urgent_goes_before_bulk_and_notices_before_mail() {
    let mut world = World::new();
    let mut hop = NextHop::start(Manner::Kind).await;
    world.hop("hop", hop.address, 1);
    let letter = |text: &str| {
        let content = format!("Subject: UPS-07: {text}\r\n\r\nx\r\n");
        let content = Content::Inline(content.into_bytes().into());
        Message { body: mail(content), ..message("hop", text) }
    };
    let ranked = |message: Message, priority| Message { priority, ..message };
    for message in [
        ranked(message("hop", "bulk notice"), Priority::Bulk),
        letter("normal mail"),
        ranked(letter("urgent mail"), Priority::Urgent),
        message("hop", "normal notice"),
        ranked(message("hop", "urgent notice"), Priority::Urgent),
    ] {
        world.spool.accept(message).await.unwrap();
    }
    let scheduler = world.start();
    let mut order = Vec::new();
    for _ in 0..5 {
        order.push(hop.next().await.field("Subject").trim_start_matches("UPS-07: ").to_owned());
    }
    assert_eq!(order, ["urgent notice", "urgent mail", "normal notice", "normal mail", "bulk notice"]);
    assert!(scheduler.shutdown(within(20)).await);
}

#[tokio::test]
async fn an_urgent_message_overtakes_a_backlog() {
    let mut world = World::new();
    let mut hop = NextHop::start(Manner::Holds).await;
    world.hop("hop", hop.address, 1);
    let backlog = (0..400).map(|number| message("hop", &format!("routine {number}"))).collect();
    assert!(world.spool.accept_all(backlog).await.iter().all(Result::is_ok));
    let scheduler = world.start();
    hop.next().await;
    let urgent = Message { priority: Priority::Urgent, ..message("hop", "fire") };
    world.spool.accept(urgent).await.unwrap();
    hop.become_(Manner::Kind);
    hop.let_go();
    let mut before = 0;
    while hop.next().await.field("Subject") != "UPS-07: fire" {
        before += 1;
        assert!(before < 399, "it came last");
    }
    for _ in before..399 {
        hop.next().await;
    }
    world.drained().await;
    assert!(scheduler.shutdown(within(20)).await);
}

#[tokio::test]
async fn one_destination_that_hangs_does_not_slow_another() {
    let mut world = World::new();
    let mut hop = NextHop::start(Manner::Holds).await;
    world.hop("hop", hop.address, 1);
    let inbox = world.inbox("inbox");
    let scheduler = world.start();
    for number in 0..100 {
        let mut message = message("hop", &format!("alarm {number}"));
        message.recipients.push(recipient("inbox", ""));
        world.spool.accept(message).await.unwrap();
    }
    hop.next().await;
    eventually("the inbox has all", async || mail_in(&inbox) == 100).await;
    assert_eq!(scheduler.views().of(&destination("hop")).unwrap().in_flight, 1);
    assert!(!scheduler.shutdown(within(0)).await, "the hop never answered");
}

#[tokio::test]
async fn recipients_of_one_message_share_an_attempt() {
    let mut world = World::new();
    let mut hop = NextHop::start(Manner::Kind).await;
    world.hop("hop", hop.address, 1);
    let mut both = message("hop", "alarm");
    both.recipients.push(recipient("hop", "night@corp.example"));
    both.recipients
        .push(Recipient { subject: Some("UPS".to_owned()), ..recipient("hop", "third@corp.example") });
    world.spool.accept(both).await.unwrap();
    let scheduler = world.start();
    let first = hop.next().await;
    assert_eq!(first.recipients, ["oncall@corp.example", "night@corp.example"]);
    let second = hop.next().await;
    assert_eq!((second.recipients.len(), second.field("Subject")), (1, "UPS"));
    assert_ne!(first.field("Message-ID"), second.field("Message-ID"));
    world.drained().await;
    assert!(scheduler.shutdown(within(20)).await);
}

#[tokio::test]
async fn an_answer_that_was_lost_is_repeated_under_the_same_message_id() {
    let mut world = World::new();
    let mut hop = NextHop::start(Manner::Vanishes).await;
    world.hop("hop", hop.address, 1);
    let scheduler = world.start();
    world.accept("hop", "alarm").await;
    let first = hop.next().await;
    // As after a crash: another scheduler on the same spool.
    assert!(scheduler.shutdown(within(20)).await);
    hop.become_(Manner::Kind);
    let scheduler = world.start();
    let second = hop.next().await;
    assert_eq!(first.content, second.content);
    assert!(first.field("Message-ID").ends_with(".notice@gw1.plant.example>"));
    world.drained().await;
    assert!(scheduler.shutdown(within(20)).await);
}

#[tokio::test]
async fn shutdown_waits_for_what_is_under_way_and_starts_nothing_new() {
    let mut world = World::new();
    let mut hop = NextHop::start(Manner::Holds).await;
    world.hop("hop", hop.address, 1);
    let scheduler = world.start();
    world.accept("hop", "one").await;
    world.accept("hop", "two").await;
    hop.next().await;
    let stopping = scheduler.shutdown(within(20));
    hop.let_go();
    assert!(stopping.await);
    assert_eq!(world.copies(Some(SpoolState::Queued)).await.len(), 1, "the first is done and recorded");
    assert!(hop.seen.try_recv().is_err(), "the second was not begun");
    let next = world.start();
    hop.next().await;
    hop.let_go();
    world.drained().await;
    assert!(next.shutdown(within(20)).await);
}

#[tokio::test]
async fn a_paused_destination_rests_until_it_is_resumed() {
    let mut world = World::new();
    let inbox = world.inbox("inbox");
    let name = destination("inbox");
    world.spool.pause(name.clone(), "alice".to_owned()).await.unwrap();
    let scheduler = world.start();
    view(&scheduler, "inbox", DestinationState::Paused).await;
    world.accept("inbox", "alarm").await;
    world.spool.resume(name.clone()).await.unwrap();
    scheduler.poke(&name);
    world.drained().await;
    assert_eq!(mail_in(&inbox), 1);
    world.spool.pause(name.clone(), "alice".to_owned()).await.unwrap();
    scheduler.poke_all();
    view(&scheduler, "inbox", DestinationState::Paused).await;
    world.accept("inbox", "another").await;
    assert!(scheduler.shutdown(within(20)).await);
    assert_eq!((mail_in(&inbox), world.copies(Some(SpoolState::Queued)).await.len()), (1, 1));
}

#[tokio::test]
async fn what_expires_is_kept_as_failed_and_counted() {
    let mut world = World::new();
    world.sweep = Duration::from_millis(20);
    let nobody = NextHop::start(Manner::Kind).await.address;
    world.hop("hop", nobody, 1);
    let scheduler = world.start();
    let brief = Message { expire: Some(Duration::from_millis(1)), ..message("hop", "alarm") };
    let id = world.spool.accept(brief).await.unwrap();
    eventually("it expired", async || !world.copies(Some(SpoolState::Failed)).await.is_empty()).await;
    assert_eq!(world.copies(Some(SpoolState::Failed)).await[0].id, id);
    eventually("it is counted", async || {
        world.count(r#"mailslotd_deliveries_total{destination="hop",outcome="expired"}"#) == 1
    })
    .await;
    assert!(scheduler.shutdown(within(20)).await);
}

#[tokio::test]
async fn a_rate_is_kept_from_the_first_burst_on() {
    let mut world = World::new();
    let mut hop = NextHop::start(Manner::Kind).await;
    world.hop("hop", hop.address, 3);
    world.plan[0].2.rate = Some(Rate { count: 4, period: Duration::from_millis(400) });
    for number in 0..8 {
        world.accept("hop", &format!("alarm {number}")).await;
    }
    let began = now();
    let scheduler = world.start();
    for _ in 0..8 {
        hop.next().await;
    }
    // Four at once, the other four 100 ms apart.
    let took = now().duration_since(began).as_millis();
    assert!(took >= 350, "{took} ms");
    world.drained().await;
    assert!(scheduler.shutdown(within(20)).await);
}

#[tokio::test]
async fn a_backlog_drains_in_few_commits() {
    let mut world = World::new();
    let inbox = world.inbox("inbox");
    let backlog = (0..500).map(|number| message("inbox", &format!("alarm {number}"))).collect();
    assert!(world.spool.accept_all(backlog).await.iter().all(Result::is_ok));
    let before = world.count("mailslotd_spool_commit_seconds_count");
    let scheduler = world.start();
    world.drained().await;
    assert_eq!(mail_in(&inbox), 500);
    let commits = world.count("mailslotd_spool_commit_seconds_count") - before;
    assert!(commits < 250, "{commits} commits for 500 deliveries");
    assert!(scheduler.shutdown(within(20)).await);
}
