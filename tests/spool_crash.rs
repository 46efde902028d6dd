//! What was accepted survives the death of the process at any moment; and a disk that fails to take what is written
//! stops acceptance until it takes it again.
//!
//! The test runs itself again as a child that accepts under load and writes each acknowledged id into a pipe. The
//! parent kills it, opens the same folder, and compares.
#![expect(clippy::disallowed_methods, reason = "the moments of the kills, and the times of messages")]

#[path = "spool_crash/reports.rs"]
mod reports;

use std::collections::{HashMap, HashSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use mailslotd::message::id::{DestinationName, QueueId};
use mailslotd::message::mail::{Body, Content, Message, Priority};
use mailslotd::message::recipient::{Recipient, RecipientNumber};
use mailslotd::spool::{Fate, Filter, Limits, NoticeFailures, Settled, Spool, SpoolError};
use mailslotd::telemetry::metrics::Metrics;

const ROUNDS: u64 = 14;
const SEED: u64 = 0x5EED_0138;
const TASKS: u64 = 8;
const DIR: &str = "MAILSLOTD_TEST_CRASH_DIR";
const ROUND: &str = "MAILSLOTD_TEST_CRASH_ROUND";

#[test]
fn every_acknowledged_message_survives_sigkill_exactly_once_and_no_other_is_there_in_part() {
    if let Ok(dir) = std::env::var(DIR) {
        return accept_until_killed(Path::new(&dir), &std::env::var(ROUND).unwrap());
    }
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(SEED);
    let mut told = Told::default();
    for round in 0..ROUNDS {
        let name = "every_acknowledged_message_survives_sigkill_exactly_once_and_no_other_is_there_in_part";
        let mut child = this_test(name, folder.path(), round);
        // Counted from what it has done, so that a busy machine does not make the test prove less.
        let (acknowledged, pause) = (random.below(60), Duration::from_micros(random.below(3000)));
        told.kill_after(&mut child, acknowledged, pause);
        compare(folder.path(), &mut told, round);
    }
    assert!(told.accepted.len() > 250, "load too small to prove anything: {}", told.accepted.len());
    assert!(told.delivered.len() > 20, "too few deliveries: {}", told.delivered.len());
}

#[test]
fn a_disk_that_takes_no_more_writes_stops_acceptance_and_what_was_accepted_is_there_afterwards() {
    if let Ok(dir) = std::env::var(DIR) {
        return accept_over_a_failure(Path::new(&dir));
    }
    let folder = tempfile::tempdir().unwrap();
    let name = "a_disk_that_takes_no_more_writes_stops_acceptance_and_what_was_accepted_is_there_afterwards";
    // EFBIG instead of a signal: SQLite then sees a write that fails, as on a broken disk.
    let shell = format!("trap '' XFSZ; ulimit -S -f 20000; exec \"$0\" --exact {name} --nocapture");
    let mut child = Command::new("sh")
        .args(["-c", &shell])
        .arg(std::env::current_exe().unwrap())
        .env(DIR, folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = Told::default();
    let mut input = child.stdin.take().unwrap();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if line == "= refused" {
            let pid = child.id().to_string();
            let raised = Command::new("prlimit").args(["--fsize=unlimited", "--pid", &pid]).status();
            assert!(raised.unwrap().success());
            input.write_all(b"raised\n").unwrap();
        }
        told.note(&line);
    }
    assert!(child.wait().unwrap().success(), "{:?}", told.lines);
    assert!(told.lines.iter().any(|line| line == "= refused"), "{:?}", told.lines);
    assert!(told.lines.iter().any(|line| line == "= recovered"), "{:?}", told.lines);
    compare(folder.path(), &mut told, 0);
}

/// What the child acknowledged.
#[derive(Default)]
struct Told {
    /// By queue id: the text that was accepted under it.
    accepted: HashMap<QueueId, String>,
    /// Recorded as delivered, and acknowledged.
    delivered: HashSet<QueueId>,
    /// About to be recorded as delivered.
    delivering: HashSet<QueueId>,
    lines: Vec<String>,
    /// What was found whole after an earlier round.
    whole: HashMap<QueueId, String>,
}

impl Told {
    /// Listens to the child until it has acknowledged so many messages, and kills it after a pause.
    fn kill_after(&mut self, child: &mut Child, acknowledged: u64, pause: Duration) {
        let mut lines = BufReader::new(child.stdout.take().unwrap()).split(b'\n');
        let before = self.accepted.len();
        for line in lines.by_ref() {
            self.note(&String::from_utf8(line.unwrap()).unwrap());
            if self.accepted.len() - before >= usize::try_from(acknowledged).unwrap() {
                break;
            }
        }
        std::thread::sleep(pause);
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines {
            self.note(&String::from_utf8(line.unwrap()).unwrap());
        }
    }

    /// A line of the child's. The last one may be cut short by the kill; a whole one ends in a full stop.
    fn note(&mut self, line: &str) {
        let words: Vec<_> = line.strip_suffix(" .").unwrap_or_default().split(' ').collect();
        match words[..] {
            ["+", id, text] => {
                let before = self.accepted.insert(id.parse().unwrap(), text.to_owned());
                assert_eq!(before, None, "queue id {id} was given twice");
            }
            ["?", id] => {
                self.delivering.insert(id.parse().unwrap());
            }
            ["-", id] => {
                self.delivered.insert(id.parse().unwrap());
            }
            _ => self.lines.push(line.to_owned()),
        }
    }
}

fn this_test(name: &str, dir: &Path, round: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(DIR, dir)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Text of a message: its name and a filler that makes some large, so that all of it must have come through.
fn content(name: &str) -> Vec<u8> {
    let number: usize = name.rsplit('-').next().unwrap().parse().unwrap();
    let length = match number % 16 {
        0 => 100_000,
        15 => 60_000,
        _ => 200 + number % 3000,
    };
    format!("{name}\r\n").bytes().cycle().take(length).collect()
}

fn letter(name: &str, content: Content) -> Message {
    Message {
        body: Body::Mail { reverse_path: Some(name.to_owned()), content, submitted: Box::default() },
        accepted_at: Timestamp::now(),
        expire: None,
        priority: Priority::Normal,
        rule: None,
        group: None,
        recipients: vec![Recipient::new(DestinationName::new("smarthost").unwrap(), "a@corp.example")],
    }
}

fn open(dir: &Path) -> Spool {
    let limits = Limits {
        max_size: None,
        min_free: 0,
        reserved_for_notices: 0,
        failed_keep: Duration::from_secs(3600),
        delay_report: None,
        notice_failures: NoticeFailures::Kept,
    };
    Spool::open(dir, limits, Duration::from_secs(3600), Arc::new(Metrics::new())).unwrap()
}

/// One write call for a line, so that the parent sees whole lines in the order of what happened.
fn tell(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).unwrap();
    out.flush().unwrap();
}

fn accept_until_killed(dir: &Path, round: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        tell("\n");
        let spool = open(dir);
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| tokio::spawn(accept_forever(spool.clone(), format!("{round}-{task}"))))
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

async fn accept_forever(spool: Spool, prefix: String) {
    for number in 0_u64.. {
        let name = format!("{prefix}-{number}");
        let id = spool.accept(letter(&name, Content::Inline(content(&name).into()))).await.unwrap();
        tell(&format!("+ {id} {name} .\n"));
        if number % 4 == 3 {
            tell(&format!("? {id} .\n"));
            let settled =
                Settled { id, number: RecipientNumber(0), fate: Fate::Delivered, at: Timestamp::now() };
            spool.record(vec![settled], Vec::new()).await.unwrap();
            tell(&format!("- {id} .\n"));
        }
    }
}

/// Accepts until the disk takes no more, then until it does again.
fn accept_over_a_failure(dir: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        tell("\n");
        let spool = open(dir);
        let accept = async |number: u64| {
            let name = format!("0-0-{}", number * 16 + 15);
            let id = spool.accept(letter(&name, Content::Inline(content(&name).into()))).await?;
            tell(&format!("+ {id} {name} .\n"));
            Ok::<_, SpoolError>(())
        };
        let mut number = 0;
        let refused = loop {
            number += 1;
            match accept(number).await {
                Ok(()) => assert!(number < 10_000, "the limit of the file size has no effect"),
                Err(error) => break error,
            }
        };
        // Whichever file grows past the limit first: the log in a commit, or the database when the log is folded.
        assert!(
            matches!(&refused, SpoolError::Io { op: "commit to" | "fold the log into", path, .. }
                if path.ends_with("spool.db")),
            "{refused:?}"
        );
        accept(10_001).await.expect_err("not before the files are open again");
        tell("= refused\n");
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).unwrap();
        let patience = Instant::now();
        while let Err(error) = accept(20_000 + u64::try_from(patience.elapsed().as_millis()).unwrap()).await {
            assert!(patience.elapsed() < Duration::from_secs(20), "does not recover: {error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        tell("= recovered\n");
        spool.close().await;
    });
}

/// Opens what the child left, and holds it against what the child told.
fn compare(dir: &Path, told: &mut Told, round: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let started = Instant::now();
        let spool = open(dir);
        assert!(started.elapsed() < Duration::from_secs(5), "opening took {:?}", started.elapsed());
        let mut present = HashMap::new();
        let mut filter = Filter { limit: Filter::PAGE, ..Filter::default() };
        loop {
            let page = spool.list(filter.clone()).await.unwrap();
            let Some(last) = page.last() else { break };
            filter.after = Some((last.id, last.number));
            for copy in page {
                let name = match told.whole.get(&copy.id) {
                    Some(name) => name.clone(),
                    None => whole(&spool, copy.id).await,
                };
                told.whole.insert(copy.id, name.clone());
                assert_eq!(present.insert(copy.id, name), None, "{} is there twice", copy.id);
            }
        }
        for (id, name) in &told.accepted {
            match present.get(id) {
                Some(found) => assert_eq!(found, name, "{id}"),
                None => assert!(
                    told.delivering.contains(id),
                    "round {round}: {id} ({name}) was acknowledged and is lost"
                ),
            }
        }
        for id in &told.delivered {
            assert!(!present.contains_key(id), "round {round}: {id} was delivered and is back");
        }
        let names: HashSet<_> = present.values().collect();
        assert_eq!(names.len(), present.len(), "round {round}: some message is there under two ids");
        spool.close().await;
    });
}

/// The name of a message of which every byte is there.
async fn whole(spool: &Spool, id: QueueId) -> String {
    let message = spool.load(id).await.unwrap().expect("what is listed is there");
    let Body::Mail { reverse_path, content: found, .. } = message.body else {
        panic!("a mail became a notice")
    };
    let name = reverse_path.unwrap();
    let found = match found {
        Content::Inline(bytes) => bytes.to_vec(),
        Content::File { path, .. } => std::fs::read(path).unwrap(),
    };
    assert!(found == content(&name), "{name} is there in part");
    name
}

/// SplitMix64: the same moments in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }
}
