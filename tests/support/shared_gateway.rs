//! Gateways of one group in this process, whose spool lies on a nats-server.
#![expect(clippy::disallowed_methods, reason = "messages come now, and what another process does is awaited")]

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use mailslotd::config::settings::{NatsAuth, NatsCluster, NatsServer as Address};
use mailslotd::message::id::{DestinationName, QueueId};
use mailslotd::message::mail::{Body, Content, Message};
use mailslotd::message::recipient::{EnhancedStatus, Recipient};
use mailslotd::net::nats::Cluster;
use mailslotd::spool::{
    Copy, Due, Fate, Filter, GroupPlan, Limits, NoticeFailures, Part, Settled, Spool, Sweeping,
};
use mailslotd::telemetry::metrics::Metrics;
use tokio::time::timeout;

use super::nats_server::NatsServer;
use super::queue_world::{eventually, message};

/// How long anything here may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// How far apart two gateways may hear the same datagram.
pub(crate) const WINDOW: Duration = Duration::from_secs(2);

/// One gateway's view of the group's spool.
pub(crate) struct Gateway {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) spool: Spool,
    pub(crate) metrics: Arc<Metrics>,
}

impl Gateway {
    /// Opens the spool, whether the servers answer or not.
    pub(crate) fn begin(server: &NatsServer, name: &str) -> Self {
        Self::begin_within(server, name, None)
    }

    /// The same, with a stream that holds at most so many bytes.
    pub(crate) fn begin_within(server: &NatsServer, name: &str, max_bytes: Option<u64>) -> Self {
        Self::begin_in(tempfile::tempdir().unwrap(), server, name, max_bytes)
    }

    /// The same, where a local spool may be from before.
    pub(crate) fn begin_in(
        folder: tempfile::TempDir,
        server: &NatsServer,
        name: &str,
        max_bytes: Option<u64>,
    ) -> Self {
        Self::begin_sweeping(folder, server, name, max_bytes, Sweeping::default())
    }

    /// The same, which sweeps in its own way.
    pub(crate) fn begin_sweeping(
        folder: tempfile::TempDir,
        server: &NatsServer,
        name: &str,
        max_bytes: Option<u64>,
        sweeping: Sweeping,
    ) -> Self {
        let log =
            tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env());
        // Another test of this process may have begun it.
        drop(log.with_test_writer().try_init());
        let metrics = Arc::new(Metrics::new());
        let servers = vec![Address { host: "127.0.0.1".to_owned(), port: server.port }];
        let cluster = NatsCluster { servers, tls: None, auth: NatsAuth::None };
        let plan = GroupPlan {
            cluster: Cluster::new(&cluster, name).unwrap(),
            replicas: 1,
            max_bytes,
            dedup_window: WINDOW,
            name: name.to_owned(),
            part: Part::Gateway,
            sweeping,
        };
        let dir = folder.path().join("spool");
        std::fs::create_dir_all(&dir).unwrap();
        let hour = Duration::from_secs(3600);
        let spool = Spool::open_shared(&dir, limits(), hour, Arc::clone(&metrics), plan).unwrap();
        Self { folder, spool, metrics }
    }

    pub(crate) async fn open(server: &NatsServer, name: &str) -> Self {
        let gateway = Self::begin(server, name);
        timeout(PATIENCE, gateway.spool.opened()).await.expect("the shared spool does not open");
        gateway
    }

    pub(crate) async fn accept(&self, message: Message) -> QueueId {
        self.spool.accept(message).await.unwrap()
    }

    /// The next copy that this gateway may deliver.
    pub(crate) async fn next(&self, via: &str) -> Due {
        let name = destination(via);
        let bell = self.spool.subscribe(&name);
        let found = async {
            loop {
                let _part = self.spool.part(&name, 4);
                let due = self.spool.due(&name, Timestamp::now(), 1, &HashSet::new()).await.unwrap();
                if let Some(due) = due.into_iter().next() {
                    return due;
                }
                // The bell rings, or time passes until it is due.
                drop(timeout(Duration::from_millis(200), bell.notified()).await);
            }
        };
        timeout(PATIENCE, found).await.expect("nothing is due")
    }

    pub(crate) async fn nothing_is_due(&self, via: &str) {
        let name = destination(via);
        let bell = self.spool.subscribe(&name);
        for _ in 0..5 {
            let due = self.spool.due(&name, Timestamp::now(), 10, &HashSet::new()).await.unwrap();
            assert_eq!(due, [], "nothing should be due");
            drop(timeout(Duration::from_millis(100), bell.notified()).await);
        }
    }

    pub(crate) async fn settle(&self, due: &Due, fate: Fate) {
        let settled = Settled { id: due.id, number: due.number, fate, at: Timestamp::now() };
        self.spool.record(vec![settled], Vec::new()).await.unwrap();
    }

    pub(crate) async fn deliver(&self, via: &str) -> String {
        let due = self.next(via).await;
        let message = self.spool.load(due.id).await.unwrap().expect("it is there");
        let text = text_of(&message.body).await;
        self.settle(&due, Fate::Delivered).await;
        text
    }

    pub(crate) async fn list(&self) -> Vec<Copy> {
        self.spool.list(Filter { limit: 100, ..Filter::default() }).await.unwrap()
    }

    pub(crate) async fn is_empty(&self) {
        eventually("the spool is empty", async || self.list().await.is_empty()).await;
    }
}

pub(crate) async fn text_of(body: &Body) -> String {
    match body {
        Body::Notice(gathered) => format!("{} x{}", gathered.first.text, gathered.count),
        Body::Mail { content: Content::Inline(bytes), .. } => String::from_utf8_lossy(bytes).into_owned(),
        Body::Mail { content: Content::File { path, .. }, .. } => {
            String::from_utf8(tokio::fs::read(path).await.unwrap()).unwrap()
        }
    }
}

pub(crate) fn destination(name: &str) -> DestinationName {
    DestinationName::new(name).unwrap()
}

pub(crate) fn alarm(dgm_id: u16, text: &str, via: &[&str]) -> Message {
    let mut message = message(via[0], "oncall", text);
    let Body::Notice(gathered) = &mut message.body else { unreachable!() };
    gathered.first.dgm_id = dgm_id;
    message.recipients = via.iter().map(|via| Recipient::new(destination(via), "oncall")).collect();
    message
}

pub(crate) fn deferred(seconds: i64) -> Fate {
    let due = Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
    Fate::Deferred { due, status: EnhancedStatus::new(4, 3, 0), text: "busy".to_owned() }
}

/// None to speak of.
pub(crate) fn limits() -> Limits {
    Limits {
        max_size: None,
        min_free: 0,
        reserved_for_notices: 0,
        failed_keep: Duration::from_secs(3600),
        delay_report: None,
        notice_failures: NoticeFailures::Kept,
    }
}
