//! A spool and the deliveries of a configuration, in this process: messages go in by the thousand, brokers are counted.
#![expect(clippy::disallowed_methods, reason = "messages come now")]

use std::borrow::Cow;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use mailslotd::config::check::{Readers, SecretFile, Secrets, Source, Surroundings, check};
use mailslotd::config::settings::Settings;
use mailslotd::decode::decode;
use mailslotd::delivery::netbios::LegacySide;
use mailslotd::delivery::scheduler::{Plan, Scheduler};
use mailslotd::delivery::view::DestinationView;
use mailslotd::listen::judge::Hearing;
use mailslotd::message::id::DestinationName;
use mailslotd::message::mail::{Body, Gathered, Message, Priority};
use mailslotd::message::notice::{Arrival, Encoding, Kind, Listener, Name, Notice};
use mailslotd::message::recipient::Recipient;
use mailslotd::policy::availability::{Backoff, Pace};
use mailslotd::policy::retry::Retry;
use mailslotd::spool::{Copy, Filter, Limits, NoticeFailures, Spool, SpoolState};
use mailslotd::telemetry::metrics::{DestinationState, Metrics};
use mailslotd::wire::datagram::Datagram;
use mailslotd::wire::netbios_name::NameType;
use mailslotd::wire::oem_text::CodePage;

use super::messngr::messngr_by;

/// Users whose names would be more than one token of a subject, a wildcard, or no text at all.
pub(crate) const HOSTILE: [&str; 10] =
    ["a.b", ">", "*", "a b", "..", "a.*.>", "a\u{1}b", "\u{1b}[2J", "a\tb\r\nc", "#+/%2E"];

/// How long anything may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A spool in a folder that goes away, and what is delivered where.
pub(crate) struct QueueWorld {
    scratch: tempfile::TempDir,
    pub(crate) spool: Spool,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) settings: Settings,
    /// Of destinations in trouble; down and throttled are probed every 100 ms at most, faults every 200 ms.
    pub(crate) pace: Pace,
}

impl QueueWorld {
    /// `destinations` is the YAML under that key, indented by two.
    pub(crate) fn new(destinations: &str) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let state_dir = scratch.path().to_owned();
        let settings =
            settings(&format!("hostname: gw.test\nsite: plant-1\ndestinations:\n{destinations}"), &state_dir);
        let metrics = Arc::new(Metrics::new());
        let limits = Limits {
            max_size: None,
            min_free: 0,
            reserved_for_notices: 0,
            failed_keep: Duration::from_secs(3600),
            delay_report: None,
            notice_failures: NoticeFailures::Kept,
        };
        std::fs::create_dir_all(settings.spool_dir()).unwrap();
        let spool =
            Spool::open(&settings.spool_dir(), limits, Duration::from_secs(3600), Arc::clone(&metrics))
                .unwrap();
        let quick = |most| Backoff { first: Duration::from_millis(50), most: Duration::from_millis(most) };
        let pace = Pace { down: quick(100), fault: quick(200), throttle: quick(100), ..Pace::default() };
        Self { scratch, spool, metrics, settings, pace }
    }

    /// Starts delivering.
    pub(crate) fn start(&self) -> Scheduler {
        let mut plan = Plan::of(&self.settings, &self.metrics, &LegacySide::default()).unwrap();
        let wait = Duration::from_millis(100);
        plan.retry = Retry { first: wait, max: wait, expire: Duration::from_secs(3600) };
        plan.pace = self.pace;
        Scheduler::launch(plan, &self.spool, &self.metrics)
    }

    /// Makes so many messages durable, each with its number in its text.
    pub(crate) async fn accept(&self, via: &str, to: &str, count: usize) {
        let messages = (0..count).map(|number| message(via, to, &format!("alarm {number}"))).collect();
        assert!(self.spool.accept_all(messages).await.iter().all(Result::is_ok));
    }

    /// Takes a `net send` of somebody who calls itself `from` as its receiver would: read from its octets, mapped by the
    /// rules, made durable.
    pub(crate) async fn hear(&self, from: &str) {
        let hearing = Hearing::of(&self.settings);
        let octets = messngr_by("UPS-07", from, "on battery");
        let Ok(Datagram::Direct(direct)) = Datagram::parse(&octets) else { panic!("no datagram") };
        let source = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 7), 138));
        let arrival = Arrival {
            at: Timestamp::now(),
            source,
            destination: None,
            interface: Some(2),
            listener: Listener::Datagram,
        };
        let notice = decode(&direct, arrival, hearing.decoding.of(source.ip())).unwrap().into_owned();
        let rule = hearing.rules.decide(&notice);
        let message = rule.message(notice.clone(), &hearing.context).unwrap();
        self.spool.accept(message).await.unwrap();
    }

    /// The copies for a destination that are not gone.
    pub(crate) async fn copies(&self, via: &str) -> Vec<Copy> {
        let destination = Some(DestinationName::new(via).unwrap());
        self.spool.list(Filter { destination, limit: Filter::PAGE, ..Filter::default() }).await.unwrap()
    }

    /// How many copies a destination has taken.
    pub(crate) fn delivered(&self, via: &str) -> u64 {
        let series = format!("mailslotd_deliveries_total{{destination=\"{via}\",outcome=\"delivered\"}} ");
        let text = self.metrics.encode();
        let value = text.lines().find_map(|line| line.strip_prefix(&series).map(str::to_owned));
        value.map_or(0, |value| value.parse().unwrap())
    }

    /// Waits until nothing is queued for a destination.
    pub(crate) async fn drained(&self, via: &str) {
        eventually(&format!("{via} is drained"), async || {
            let waiting = self.spool.waiting().await.unwrap();
            waiting.iter().all(|(name, _)| name.as_str() != via)
        })
        .await;
    }

    /// Waits until one copy has this state.
    pub(crate) async fn one(&self, via: &str, state: SpoolState, holds: impl Fn(&Copy) -> bool) -> Copy {
        let found = std::cell::RefCell::new(None);
        eventually(&format!("a {state:?} copy for {via}"), async || {
            let copies = self.copies(via).await;
            let one = copies.into_iter().find(|copy| copy.state == state && holds(copy));
            found.replace(one).is_some() || found.borrow().is_some()
        })
        .await;
        found.into_inner().unwrap()
    }
}

/// Waits until a destination is in this state.
pub(crate) async fn in_state(scheduler: &Scheduler, via: &str, state: DestinationState) -> DestinationView {
    let name = DestinationName::new(via).unwrap();
    let view = || scheduler.views().of(&name).unwrap();
    eventually(&format!("{via} is {state:?}"), async || view().state == state).await;
    view()
}

/// Ends the deliveries, which must end by themselves.
pub(crate) async fn shut_down(scheduler: &Scheduler) {
    assert!(scheduler.shutdown(tokio::time::Instant::now() + PATIENCE).await);
}

/// Waits until a condition holds.
pub(crate) async fn eventually(what: &str, holds: impl AsyncFn() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "not so: {what}");
}

/// A legacy message for one recipient.
pub(crate) fn message(via: &str, to: &str, text: &str) -> Message {
    Message {
        body: Body::Notice(Box::new(Gathered::one(notice(text)))),
        accepted_at: Timestamp::now(),
        expire: None,
        priority: Priority::Normal,
        rule: None,
        group: None,
        recipients: vec![Recipient::new(DestinationName::new(via).unwrap(), to)],
    }
}

fn notice(text: &str) -> Notice<'static> {
    let name = |text: &'static str| Name { text: Cow::Borrowed(text), name_type: NameType::MESSENGER };
    Notice {
        arrival: Arrival {
            at: Timestamp::now(),
            source: SocketAddr::from((Ipv4Addr::new(192, 0, 2, 7), 138)),
            destination: None,
            interface: Some(2),
            listener: Listener::Datagram,
        },
        dgm_id: 7,
        source_name: name("UPS-07"),
        destination_name: name("ALERTS"),
        mailslot: Cow::Borrowed(r"\MAILSLOT\MESSNGR"),
        originator: Cow::Borrowed("UPS-07"),
        to: Cow::Borrowed("ALERTS"),
        text: Cow::Owned(text.to_owned()),
        encoding: Encoding { code_page: CodePage::Cp850, lossy: false },
        kind: Kind::Messenger,
        data: Cow::Owned(text.as_bytes().to_vec()),
    }
}

fn settings(yaml: &str, state_dir: &std::path::Path) -> Settings {
    let file = |path: &std::path::Path| {
        let text = std::fs::read_to_string(path)?.into();
        Ok(SecretFile { text, readers: Readers::Few })
    };
    let surroundings = Surroundings {
        state_dir: state_dir.to_owned(),
        timezone: TimeZone::UTC,
        secrets: Secrets::Online { file: &file, variable: &|_| None, now: Timestamp::now() },
        routers: Vec::new(),
        interfaces: Vec::new(),
    };
    let source = Source { file: "mailslotd.yaml", text: yaml };
    check(&[source], &surroundings).unwrap_or_else(|problems| panic!("{problems}\n{yaml}")).settings
}
