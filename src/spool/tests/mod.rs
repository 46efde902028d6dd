//! The spool in real folders. Each file is one kind of situation; here is what they share.

mod content;
mod damage;
mod delivery;
mod groups;
mod migration;
mod operator;
mod reports;
mod room;
mod standby;
mod threads;

use std::borrow::Cow;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use tempfile::TempDir;

use super::job::Kind;
use super::local::now;
use super::transaction::Transaction;
use super::*;
use crate::message::mail::{Body, Content, Gathered, Group, Priority, Submitted};
use crate::message::notice::{Arrival, Encoding, Kind as NoticeKind, Listener, Name, Notice};
use crate::message::recipient::{EnhancedStatus, Recipient, Standby};
use crate::wire::netbios_name::NameType;
use crate::wire::oem_text::CodePage;

const NO_LIMITS: Limits = Limits {
    max_size: None,
    min_free: 0,
    reserved_for_notices: 0,
    failed_keep: Duration::from_secs(30 * 24 * 3600),
    delay_report: Some(Duration::from_secs(4 * 3600)),
    notice_failures: NoticeFailures::Kept,
};
const EXPIRE: Duration = Duration::from_secs(3600);

/// A spool in a folder that goes away with the test.
struct Bench {
    folder: TempDir,
    metrics: Arc<Metrics>,
    spool: Spool,
}

impl Bench {
    fn new() -> Self {
        Self::limited(NO_LIMITS)
    }

    fn limited(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let metrics = Arc::new(Metrics::new());
        let spool = Spool::open(&folder.path().join("spool"), limits, EXPIRE, Arc::clone(&metrics)).unwrap();
        Self { folder, metrics, spool }
    }

    fn local(&self) -> &Local {
        match &self.spool.0 {
            Store::Local(local) => local,
            #[cfg(feature = "nats")]
            Store::Shared(shared) => shared.local(),
        }
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join("spool")
    }

    /// Closes the spool, does something to its files, and opens it again with metrics of its own.
    async fn reopened(self, meanwhile: impl FnOnce(&Path)) -> Self {
        self.reopened_with(NO_LIMITS, meanwhile).await
    }

    /// As [`Self::reopened`], with these limits.
    async fn reopened_with(self, limits: Limits, meanwhile: impl FnOnce(&Path)) -> Self {
        self.spool.close().await;
        meanwhile(&self.folder.path().join("spool"));
        let metrics = Arc::new(Metrics::new());
        let dir = self.folder.path().join("spool");
        let spool = Spool::open(&dir, limits, EXPIRE, Arc::clone(&metrics)).unwrap();
        Self { folder: self.folder, metrics, spool }
    }

    async fn due_numbers(&self, via: &str, now: Timestamp) -> Vec<(QueueId, u32)> {
        let due = self.spool.due(&destination(via), now, 1000, &HashSet::new()).await.unwrap();
        due.into_iter().map(|due| (due.id, due.number.0)).collect()
    }

    async fn states(&self, id: QueueId) -> Vec<SpoolState> {
        let shown = self.spool.show(id).await.unwrap();
        shown.map_or_else(Vec::new, |shown| shown.copies.iter().map(|copy| copy.state).collect())
    }

    async fn settle(&self, id: QueueId, number: u32, fate: Fate, at: Timestamp) {
        let settled = Settled { id, number: RecipientNumber(number), fate, at };
        self.spool.record(vec![settled], Vec::new()).await.unwrap();
    }

    fn metric(&self, line: &str) -> Option<String> {
        let text = self.metrics.encode();
        text.lines().find_map(|each| each.strip_prefix(line).map(|value| value.trim().to_owned()))
    }
}

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn destination(name: &str) -> DestinationName {
    DestinationName::new(name).unwrap()
}

fn recipient(via: &str, to: &str) -> Recipient {
    Recipient::new(destination(via), to)
}

fn notice(text: &str, at: Timestamp) -> Notice<'static> {
    let name = |text: &'static str| Name { text: Cow::Borrowed(text), name_type: NameType::MESSENGER };
    Notice {
        arrival: Arrival {
            at,
            source: SocketAddr::from((Ipv4Addr::new(192, 0, 2, 31), 138)),
            destination: None,
            interface: Some(2),
            listener: Listener::Datagram,
        },
        dgm_id: 7,
        source_name: name("UPS-1"),
        destination_name: name("ALERTS"),
        mailslot: Cow::Borrowed(r"\MAILSLOT\MESSNGR"),
        originator: Cow::Borrowed("UPS-1"),
        to: Cow::Borrowed("ALERTS"),
        text: Cow::Owned(text.to_owned()),
        encoding: Encoding { code_page: CodePage::Cp850, lossy: false },
        kind: NoticeKind::Messenger,
        data: Cow::Owned(text.as_bytes().to_vec()),
    }
}

fn alarm(text: &str, at: Timestamp) -> Message {
    Message {
        body: Body::Notice(Box::new(Gathered::one(notice(text, at)))),
        accepted_at: at,
        expire: None,
        priority: Priority::Normal,
        rule: Some("ups-alarms".parse().unwrap()),
        group: None,
        recipients: vec![recipient("smarthost", "oncall@corp.example")],
    }
}

fn mail(content: Content, at: Timestamp) -> Message {
    let reverse_path = Some("scanner@corp.example".to_owned());
    let submitted = Box::default();
    Message { body: Body::Mail { reverse_path, content, submitted }, ..alarm("", at) }
}

fn deferred(due: Timestamp) -> Fate {
    Fate::Deferred { due, status: EnhancedStatus::new(4, 2, 2), text: "mailbox full".to_owned() }
}

fn failed() -> Fate {
    Fate::Failed { status: EnhancedStatus::new(5, 1, 1), text: "no such user".to_owned() }
}
