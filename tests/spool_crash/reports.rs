//! Reports are owed from the moment a failure is recorded: neither is ever there without the other, whenever the process
//! is killed, and no failure is reported twice.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use mailslotd::config::settings::{Destination, DestinationKind, Settings, Submission, Tls, TlsMode};
use mailslotd::delivery::netbios::LegacySide;
use mailslotd::delivery::scheduler::{Plan, Scheduler};
use mailslotd::message::id::{DestinationName, QueueId};
use mailslotd::message::mail::{Body, Content, Message, Reports, Submitted};
use mailslotd::message::recipient::Recipient;
use mailslotd::policy::relay::RelayPolicy;
use mailslotd::policy::replies::ReplyTable;
use mailslotd::policy::route::{Route, RouteDomain, RouteTo};
use mailslotd::spool::{Copy, Filter, Spool, SpoolState};
use mailslotd::telemetry::metrics::Metrics;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{DIR, ROUND, Random, SEED, Told, letter, open, tell, this_test};

const ROUNDS: u64 = 10;
/// Recipients of one mail: they fail together and share a report.
const RECIPIENTS: usize = 3;
/// Copies that may wait, so that the kill comes amid failures and not before them.
const MOST_WAITING: i64 = 12;

#[test]
fn every_failure_and_its_report_survive_sigkill_together_and_once() {
    if let Ok(dir) = std::env::var(DIR) {
        return fail_until_killed(Path::new(&dir), &std::env::var(ROUND).unwrap());
    }
    let folder = tempfile::tempdir().unwrap();
    let name = "reports::every_failure_and_its_report_survive_sigkill_together_and_once";
    let mut random = Random(SEED);
    let mut told = Told::default();
    let mut failed = 0;
    for round in 0..ROUNDS {
        let mut child = this_test(name, folder.path(), round);
        let (acknowledged, pause) = (5 + random.below(30), Duration::from_micros(random.below(8000)));
        told.kill_after(&mut child, acknowledged, pause);
        failed = hold_failures_against_reports(folder.path(), &told, round);
    }
    assert!(failed > 100, "too few failures to prove anything: {failed}");
}

fn fail_until_killed(dir: &Path, round: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        tell("\n");
        let hop = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let settings = settings(dir, hop.local_addr().unwrap());
        tokio::spawn(refuse_every_recipient(hop));
        let metrics = Arc::new(Metrics::new());
        let spool = open(&settings.spool_dir());
        let _scheduler = Scheduler::launch(
            Plan::of(&settings, &metrics, &LegacySide::default()).unwrap(),
            &spool,
            &metrics,
        );
        for number in 0_u64.. {
            let name = format!("{round}-{number}");
            let id = spool.accept(mail(&name)).await.unwrap();
            tell(&format!("+ {id} {name} .\n"));
            while waiting(&spool).await > MOST_WAITING {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    });
}

/// Opens what the child left; how many copies have failed.
fn hold_failures_against_reports(dir: &Path, told: &Told, round: u64) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let spool = open(&dir.join("spool"));
        let (reports, copies): (Vec<_>, Vec<_>) =
            all(&spool).await.into_iter().partition(|copy| copy.destination == destination("back"));
        let mut reported: HashMap<String, usize> = HashMap::new();
        let distinct: HashSet<QueueId> = reports.iter().map(|copy| copy.id).collect();
        assert_eq!(distinct.len(), reports.len(), "round {round}: a report goes to one sender");
        for report in distinct {
            for address in recipients_of(&spool, report).await {
                *reported.entry(address).or_default() += 1;
            }
        }
        let mut failed = 0;
        for copy in &copies {
            let told = reported.remove(&copy.address).unwrap_or_default();
            let owed = match copy.state {
                SpoolState::Failed => 1,
                SpoolState::Queued => 0,
                SpoolState::Held | SpoolState::Corrupt => panic!("round {round}: {copy:?}"),
            };
            assert_eq!(told, owed, "round {round}: reports of {} to {}", copy.id, copy.address);
            failed += owed;
        }
        assert_eq!(reported, HashMap::new(), "round {round}: reports of what is not there");
        for id in told.accepted.keys() {
            let there = copies.iter().filter(|copy| copy.id == *id).count();
            assert_eq!(there, RECIPIENTS, "round {round}: {id} was acknowledged");
        }
        spool.close().await;
        failed
    })
}

async fn all(spool: &Spool) -> Vec<Copy> {
    let mut all: Vec<Copy> = Vec::new();
    loop {
        let after = all.last().map(|last| (last.id, last.number));
        let page = spool.list(Filter { after, limit: Filter::PAGE, ..Filter::default() }).await.unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// Whom a report is about.
async fn recipients_of(spool: &Spool, report: QueueId) -> Vec<String> {
    let message = spool.load(report).await.unwrap().expect("what is listed is there");
    let Body::Mail { reverse_path: None, content: Content::Inline(content), .. } = message.body else {
        panic!("{report} is no report")
    };
    let content = String::from_utf8(content.to_vec()).unwrap();
    content
        .lines()
        .filter_map(|line| line.strip_prefix("Final-Recipient: rfc822; ").map(str::to_owned))
        .collect()
}

async fn waiting(spool: &Spool) -> i64 {
    let hop = destination("hop");
    let waiting = spool.waiting().await.unwrap();
    waiting.into_iter().find(|(name, _)| *name == hop).map_or(0, |(_, copies)| copies)
}

fn mail(name: &str) -> Message {
    let address = |number| format!("{name}-{number}@dead.example");
    let recipients = (0..RECIPIENTS).map(|number| Recipient::new(destination("hop"), address(number)));
    let content = Content::Inline("Subject: x\r\n\r\nx\r\n".into());
    let body = Body::Mail {
        reverse_path: Some("scanner@corp.example".to_owned()),
        content: content.clone(),
        submitted: Box::new(Submitted { reports: Reports::Owed, ..Submitted::default() }),
    };
    Message { body, recipients: recipients.collect(), accepted_at: Timestamp::now(), ..letter(name, content) }
}

/// Reports go to a destination that nobody serves, so that they stay to be counted.
fn settings(dir: &Path, hop: SocketAddr) -> Settings {
    let mut settings = Settings::built_in(dir, TimeZone::UTC);
    settings.hostname = Some("gw1.corp.example".to_owned());
    let submission = Submission {
        host: hop.ip().to_string(),
        port: hop.port(),
        tls: Tls { mode: TlsMode::None, ca_file: None, client_certificate: None },
        auth: None,
        from: None,
        max_connections: 2,
        rate: None,
        message_size: None,
        max_recipients: None,
        timeout: Duration::from_secs(20),
        replies: ReplyTable::default(),
        preset: None,
    };
    settings.destinations = vec![Destination {
        name: destination("hop"),
        kind: DestinationKind::Submission(Box::new(submission)),
    }];
    let route = Route { domain: RouteDomain::Any, via: destination("back"), to: RouteTo::Recipient };
    settings.smtp.relay = Arc::new(RelayPolicy { routes: vec![route], ..RelayPolicy::default() });
    settings
}

fn destination(name: &str) -> DestinationName {
    DestinationName::new(name).unwrap()
}

/// A next hop that has no mailboxes.
async fn refuse_every_recipient(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            // The gateway may go at any time.
            refuse(stream).await.ok();
        });
    }
}

async fn refuse(stream: TcpStream) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = tokio::io::BufReader::new(read).lines();
    write.write_all(b"220 hop\r\n").await?;
    while let Some(line) = lines.next_line().await? {
        let reply: &[u8] = match line.get(..4) {
            Some("RCPT") => b"550 5.1.1 No such mailbox\r\n",
            Some("DATA") => b"554 5.5.1 No valid recipients\r\n",
            Some("QUIT") => b"221 2.0.0 Bye\r\n",
            _ => b"250 2.0.0 OK\r\n",
        };
        write.write_all(reply).await?;
    }
    Ok(())
}
