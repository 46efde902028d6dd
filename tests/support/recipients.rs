//! A recipient filter under test, and next hops for it.

use std::sync::Arc;
use std::time::Duration;

use mailslotd::config::settings::{CallForward, CallForwardTls, OnFailure, RecipientSource};
use mailslotd::directory::{Asker, Directory, FindingKind};
use mailslotd::session::smtp_server::Existence;
use mailslotd::telemetry::metrics::Metrics;
use mailslotd::wire::smtp::path::Mailbox;

/// A directory of these sources, and its metrics.
pub(crate) struct Scene {
    pub(crate) directory: Directory,
    metrics: Arc<Metrics>,
}

impl Scene {
    pub(crate) fn new(sources: &[RecipientSource]) -> Self {
        Self::with(sources, OnFailure::Defer)
    }

    pub(crate) fn with(sources: &[RecipientSource], on_failure: OnFailure) -> Self {
        let metrics = Arc::new(Metrics::new());
        let directory = Directory::new(sources, on_failure, "gw.example", Arc::clone(&metrics)).unwrap();
        Self { directory, metrics }
    }

    pub(crate) async fn look_up(&self, address: &str) -> Existence {
        self.directory.look_up(&Mailbox::parse(address).unwrap(), Asker::Stranger).await
    }

    /// Asks for one new address after the other until one is answered so, for a server needs a moment to be back.
    pub(crate) async fn await_answer(&self, domain: &str, expected: Existence) {
        for number in 0..200 {
            if self.look_up(&format!("new{number}@{domain}")).await == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{expected:?} never came: {:?}", self.faults(domain).await);
    }

    pub(crate) async fn faults(&self, domain: &str) -> Vec<String> {
        let findings = self.directory.examine(&[domain], PATIENCE).await;
        findings
            .into_iter()
            .filter_map(|finding| match finding.kind {
                FindingKind::Fault(fault) => Some(fault),
                FindingKind::AcceptsEverything(_) => None,
            })
            .collect()
    }

    pub(crate) fn lookups(&self, source: &str, answer: &str) -> u64 {
        let series = format!("mailslotd_directory_lookups_total{{answer=\"{answer}\",source=\"{source}\"}} ");
        let text = self.metrics.encode();
        text.lines().find_map(|line| line.strip_prefix(&series)).map_or(0, |count| count.parse().unwrap())
    }
}

/// The next hop on a port of loopback.
pub(crate) fn next_hop(port: u16) -> RecipientSource {
    protected_next_hop(port, CallForwardTls::Opportunistic)
}

/// The next hop on a port of loopback, and how it is reached.
pub(crate) fn protected_next_hop(port: u16, tls: CallForwardTls) -> RecipientSource {
    let host = "127.0.0.1".to_owned();
    RecipientSource::CallForward(CallForward { host, port, tls, timeout: TIMEOUT })
}

/// It takes the connection and says nothing.
pub(crate) async fn silent_next_hop() -> RecipientSource {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            held.push(listener.accept().await.unwrap());
        }
    });
    next_hop(port)
}

/// How long a source may take to be examined, which is longer than any takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// How long a next hop may take.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(1);
