//! What senders of relayed mail are told, over a real Postfix that takes some recipients and refuses others.
#![expect(clippy::disallowed_methods, reason = "the spool is told the time here, as in the program")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use mailslotd::config::settings::{
    self, Auth, Credentials, Destination, DestinationKind, Mechanism, Settings, Tls, TlsMode,
};
use mailslotd::delivery::netbios::LegacySide;
use mailslotd::delivery::scheduler::{Plan, Scheduler};
use mailslotd::message::id::{DestinationName, QueueId};
use mailslotd::message::mail::{Body, Content, Message, Priority, Reports, Ret, Submitted};
use mailslotd::message::recipient::{Recipient, RecipientDsn};
use mailslotd::policy::relay::RelayPolicy;
use mailslotd::policy::replies::ReplyTable;
use mailslotd::policy::route::{Route, RouteDomain, RouteTo};
use mailslotd::spool::{Filter, Limits, NoticeFailures, Spool, SpoolState};
use mailslotd::telemetry::metrics::Metrics;
use mailslotd::wire::smtp::path::Mailbox;
use support::postfix::{BUSY, DOMAIN, PASSWORD, Postfix, RELAYED_SENDER, USER};
use support::python::Python;
use support::{Missing, require};
use tokio::time::Instant;
use zeroize::Zeroizing;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_recipient_has_its_own_fate_and_the_sender_hears_of_those_that_failed() {
    let world = require!(World::start());
    let id = world.send(&mail("three", &[("ops", None), ("nobody", None), (BUSY, None)])).await;
    let delivered = world.postfix.delivered("ops", 1).await;
    assert!(delivered[0].contains("Subject: three"), "{}", delivered[0]);

    let reports = world.postfix.delivered("archive", 1).await;
    let report = Report::parse(world.python, &reports[0]);
    assert_eq!(report.kinds, ["text/plain", "message/delivery-status", "message/rfc822"]);
    assert_eq!(report.header["Return-Path"], "<>");
    assert_eq!(report.header["Auto-Submitted"], "auto-replied");
    assert_eq!(report.header["To"], RELAYED_SENDER);
    assert!(report.text.contains("<nobody@plant.example>\n    localhost said: 550 5.1.1"), "{}", report.text);
    let [recipient] = &report.recipients[..] else { panic!("{:?}", report.recipients) };
    assert_eq!(recipient["Final-Recipient"], "rfc822; nobody@plant.example");
    assert_eq!(recipient["Original-Recipient"], "rfc822; a+b@plant.example");
    assert_eq!((recipient["Action"].as_str(), recipient["Status"].as_str()), ("failed", "5.1.1"));
    assert_eq!(recipient["Remote-MTA"], "dns; localhost");
    assert!(recipient["Diagnostic-Code"].starts_with("smtp; 550 5.1.1"), "{recipient:?}");
    assert_eq!(report.message["Reporting-MTA"], "dns; gw1.plant.example");
    assert_eq!(report.message["Original-Envelope-Id"], "QQ+314");

    let states = world.states(id).await;
    assert_eq!(
        states,
        [("busy@plant.example", SpoolState::Queued), ("nobody@plant.example", SpoolState::Failed)]
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_given_up_is_told_with_what_the_last_attempt_met() {
    let world = require!(World::start());
    let id =
        world.send(&Message { expire: Some(Duration::from_secs(2)), ..mail("late", &[(BUSY, None)]) }).await;
    let reports = world.postfix.delivered("archive", 1).await;
    let report = Report::parse(world.python, &reports[0]);
    let [recipient] = &report.recipients[..] else { panic!("{:?}", report.recipients) };
    assert_eq!((recipient["Action"].as_str(), recipient["Status"].as_str()), ("failed", "4.4.7"));
    assert!(recipient["Diagnostic-Code"].contains("450 4.2.1"), "{recipient:?}");
    assert_eq!(world.states(id).await, [("busy@plant.example", SpoolState::Failed)]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delay_is_told_once_and_only_to_who_asked_and_never_means_never() {
    let world = require!(World::start());
    let five_hours_ago = Timestamp::now() - jiff::SignedDuration::from_hours(5);
    let recipients =
        [(BUSY, Some("FAILURE,DELAY")), ("busy+quiet", Some("FAILURE")), ("nobody", Some("NEVER"))];
    let message = Message {
        accepted_at: five_hours_ago,
        expire: Some(Duration::from_secs(86_400)),
        ..mail("slow", &recipients)
    };
    let id = world.send(&message).await;
    world.until_failed(id, "nobody@plant.example").await;
    let reports = world.postfix.delivered("archive", 1).await;
    let report = Report::parse(world.python, &reports[0]);
    let [recipient] = &report.recipients[..] else { panic!("{:?}", report.recipients) };
    assert_eq!(recipient["Action"], "delayed");
    assert!(recipient.contains_key("Will-Retry-Until"), "{recipient:?}");
    assert_eq!(report.kinds[2], "text/rfc822-headers", "what is late need not come back");
    // The next sweeps find nothing more to tell.
    world.send(&mail("last", &[("nobody", None)])).await;
    assert_eq!(world.postfix.delivered("archive", 2).await.len(), 2);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_told_of_reports_nor_of_mail_whose_sender_is_owed_nothing() {
    let world = require!(World::start());
    let mut from_nobody = mail("null", &[("nobody", None)]);
    let mut foreign = mail("foreign", &[("nobody", None)]);
    let Body::Mail { reverse_path, .. } = &mut from_nobody.body else { unreachable!() };
    *reverse_path = None;
    let Body::Mail { submitted, .. } = &mut foreign.body else { unreachable!() };
    submitted.reports = Reports::None;
    for message in [from_nobody, foreign] {
        let id = world.send(&message).await;
        world.until_failed(id, "nobody@plant.example").await;
    }
    assert_eq!(world.postfix.mails("archive"), Vec::<String>::new());
    assert_eq!(world.waiting().await, 0);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_postmaster_gets_a_copy_of_what_tells_of_failures_and_of_nothing_else() {
    let world = require!(World::start_with(|settings| {
        settings.smtp.postmaster = Mailbox::parse("night@plant.example").ok();
    }));
    world.send(&mail("copied", &[("nobody", None)])).await;
    let senders = world.postfix.delivered("archive", 1).await;
    let postmasters = world.postfix.delivered("night", 1).await;
    let [senders, postmasters] = [senders, postmasters].map(|mails| Report::parse(world.python, &mails[0]));
    assert_eq!(senders.header["Message-ID"], postmasters.header["Message-ID"], "one report, two copies");
    assert_eq!(postmasters.header["To"], RELAYED_SENDER);
    assert_eq!(postmasters.header["Return-Path"], "<>");
    assert!(senders.text.contains("night@plant.example"), "{}", senders.text);

    let five_hours_ago = Timestamp::now() - jiff::SignedDuration::from_hours(5);
    let late = Message {
        accepted_at: five_hours_ago,
        expire: Some(Duration::from_secs(86_400)),
        ..mail("late", &[(BUSY, Some("FAILURE,DELAY"))])
    };
    world.send(&late).await;
    assert_eq!(world.postfix.delivered("archive", 2).await.len(), 2);
    assert_eq!(world.postfix.mails("night").len(), 1, "a delay is the sender's business");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_that_cannot_be_delivered_stays_for_the_operator() {
    let world = require!(World::start());
    let mut message = mail("lost", &[("nobody", None)]);
    // A login that may not send as this is told so about the mail; the report goes to a mailbox that does not exist.
    let Body::Mail { reverse_path, .. } = &mut message.body else { unreachable!() };
    *reverse_path = Some("gone@plant.example".to_owned());
    world.send(&message).await;
    let failed = world.until_failed_in_all(2).await;
    assert_eq!(failed, ["nobody@plant.example", "gone@plant.example"]);
    assert_eq!(world.waiting().await, 0);
    world.stop().await;
}

/// A report, as Python's `email` package understands it.
#[derive(Debug)]
struct Report {
    header: BTreeMap<String, String>,
    kinds: Vec<String>,
    text: String,
    message: BTreeMap<String, String>,
    recipients: Vec<BTreeMap<String, String>>,
}

impl Report {
    fn parse(python: Python, mail: &str) -> Self {
        let json = python.json(PARSE, mail);
        let map = |value: &serde_json::Value| serde_json::from_value(value.clone()).unwrap();
        assert_eq!(json["defects"], serde_json::json!([]), "{mail}");
        Self {
            header: map(&json["header"]),
            kinds: serde_json::from_value(json["kinds"].clone()).unwrap(),
            text: json["text"].as_str().unwrap().to_owned(),
            message: map(&json["groups"][0]),
            recipients: json["groups"].as_array().unwrap()[1..].iter().map(map).collect(),
        }
    }
}

const PARSE: &str = r"
import email, json, sys
from email import policy
report = email.message_from_binary_file(sys.stdin.buffer, policy=policy.default)
assert report.get_content_type() == 'multipart/report' and report.get_param('report-type') == 'delivery-status'
parts = report.get_payload()
json.dump({
    'header': dict(report.items()),
    'kinds': [part.get_content_type() for part in parts],
    'text': parts[0].get_content(),
    'groups': [dict(group.items()) for group in parts[1].get_payload() if group.items()],
    'defects': [repr(defect) for part in report.walk() for defect in part.defects],
}, sys.stdout)
";

struct World {
    python: Python,
    postfix: Postfix,
    spool: Spool,
    scheduler: Scheduler,
    _scratch: tempfile::TempDir,
}

impl World {
    fn start() -> Result<Self, Missing> {
        Self::start_with(|_| ())
    }

    fn start_with(change: impl FnOnce(&mut Settings)) -> Result<Self, Missing> {
        let python = Python::find()?;
        let postfix = Postfix::start()?;
        let scratch = tempfile::tempdir().unwrap();
        let mut settings = settings(&postfix, scratch.path());
        change(&mut settings);
        let metrics = Arc::new(Metrics::new());
        let limits = Limits {
            max_size: None,
            min_free: 0,
            reserved_for_notices: 0,
            failed_keep: Duration::from_secs(3600),
            delay_report: Some(Duration::from_secs(4 * 3600)),
            notice_failures: NoticeFailures::Kept,
        };
        std::fs::create_dir_all(settings.spool_dir()).unwrap();
        let expire = Duration::from_secs(86_400);
        let spool = Spool::open(&settings.spool_dir(), limits, expire, Arc::clone(&metrics)).unwrap();
        let mut plan = Plan::of(&settings, &metrics, &LegacySide::default()).unwrap();
        plan.sweep = Duration::from_millis(200);
        plan.retry.first = Duration::from_millis(500);
        let scheduler = Scheduler::launch(plan, &spool, &metrics);
        Ok(Self { python, postfix, spool, scheduler, _scratch: scratch })
    }

    async fn send(&self, message: &Message) -> QueueId {
        self.spool.accept(message.clone()).await.unwrap()
    }

    /// Addresses and states of what is left of a message.
    async fn states(&self, id: QueueId) -> Vec<(&'static str, SpoolState)> {
        let copies = self.spool.show(id).await.unwrap().unwrap().copies;
        let mut states: Vec<_> = copies.into_iter().map(|copy| (&*copy.address.leak(), copy.state)).collect();
        states.sort_unstable_by_key(|(address, _)| *address);
        states
    }

    async fn until_failed(&self, id: QueueId, address: &str) {
        self.eventually(async || {
            self.states(id).await.contains(&(&*address.to_owned().leak(), SpoolState::Failed))
        })
        .await;
    }

    /// The addresses of all that failed, once there are so many.
    async fn until_failed_in_all(&self, count: usize) -> Vec<String> {
        let failed = async || {
            let filter = Filter { state: Some(SpoolState::Failed), limit: Filter::PAGE, ..Filter::default() };
            self.spool.list(filter).await.unwrap()
        };
        self.eventually(async || failed().await.len() >= count).await;
        failed().await.into_iter().map(|copy| copy.address).collect()
    }

    /// Copies that are queued.
    async fn waiting(&self) -> i64 {
        self.spool.waiting().await.unwrap().into_iter().map(|(_, copies)| copies).sum()
    }

    async fn eventually(&self, condition: impl AsyncFn() -> bool) {
        for _ in 0..400 {
            if condition().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("it did not come about in 20 s:\n{}", self.postfix.maillog());
    }

    async fn stop(self) {
        assert!(self.scheduler.shutdown(Instant::now() + Duration::from_secs(20)).await);
        self.spool.close().await;
    }
}

fn settings(postfix: &Postfix, state_dir: &Path) -> Settings {
    let mut settings = Settings::built_in(state_dir, TimeZone::UTC);
    let smarthost = DestinationName::new("smarthost").unwrap();
    settings.hostname = Some("gw1.plant.example".to_owned());
    settings.destinations = vec![Destination {
        name: smarthost.clone(),
        kind: DestinationKind::Submission(Box::new(settings::Submission {
            host: "localhost".to_owned(),
            port: postfix.starttls_port(),
            tls: Tls { mode: TlsMode::StartTls, ca_file: Some(postfix.ca_file()), client_certificate: None },
            auth: Some(Auth::Password(Credentials {
                user: USER.to_owned(),
                password: Zeroizing::new(PASSWORD.to_owned()),
                mechanisms: vec![Mechanism::Plain],
            })),
            from: None,
            max_connections: 2,
            rate: None,
            message_size: None,
            max_recipients: None,
            timeout: Duration::from_secs(20),
            replies: ReplyTable::default(),
            preset: None,
        })),
    }];
    let routes = vec![Route { domain: RouteDomain::Any, via: smarthost, to: RouteTo::Recipient }];
    settings.smtp.relay = Arc::new(RelayPolicy { routes, ..RelayPolicy::default() });
    settings
}

/// A mail of a trusted client to local parts, each with its NOTIFY.
fn mail(subject: &str, recipients: &[(&str, Option<&str>)]) -> Message {
    let content = format!("From: {RELAYED_SENDER}\r\nSubject: {subject}\r\n\r\nscan\r\n");
    let submitted = Box::new(Submitted {
        ret: Some(Ret::Full),
        envid: Some("QQ+2B314".to_owned()),
        reports: Reports::Owed,
        ..Submitted::default()
    });
    let recipient = |(local, notify): &(&str, Option<&str>)| Recipient {
        dsn: RecipientDsn {
            notify: notify.map(|text| text.parse().unwrap()),
            orcpt: Some("rfc822;a+2Bb@plant.example".to_owned()),
        },
        ..Recipient::new(DestinationName::new("smarthost").unwrap(), format!("{local}@{DOMAIN}"))
    };
    Message {
        body: Body::Mail {
            reverse_path: Some(RELAYED_SENDER.to_owned()),
            content: Content::Inline(Bytes::from(content)),
            submitted,
        },
        accepted_at: Timestamp::now(),
        expire: None,
        priority: Priority::Normal,
        rule: None,
        group: None,
        recipients: recipients.iter().map(recipient).collect(),
    }
}
