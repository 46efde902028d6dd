//! A group of gateways through what ends sooner or later: NATS is away for longer than a message may be in hand, and
//! servers and gateways are killed while content travels that does not fit into a message of the stream.
#![cfg(feature = "nats")]
#![expect(clippy::disallowed_methods, reason = "messages come now, and what another process does is awaited")]

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use mailslotd::message::id::QueueId;
use mailslotd::spool::{Due, Fate, Settled, Sweeping};
use sha2::{Digest as _, Sha256};

mod support;

use support::gateway::{Gateway as Program, write_config};
use support::nats_server::NatsServer;
use support::queue_world::eventually;
use support::shared_gateway::{Gateway, alarm, destination, text_of};
use support::{free_port, require};

/// A line past the test harness.
macro_rules! note {
    ($($said:tt)*) => {
        writeln!(std::io::stderr(), $($said)*).unwrap()
    };
}

/// What was delivered, and under which numbers.
type Heard = Arc<Mutex<BTreeMap<String, BTreeSet<QueueId>>>>;

/// Delivers what a gateway has due, as a lane does: an answer is recorded until the spool has taken it.
async fn deliver_on(gateway: Arc<Gateway>, via: &str, heard: Heard) {
    let name = destination(via);
    let bell = gateway.spool.subscribe(&name);
    loop {
        let _part = gateway.spool.part(&name, 4);
        let due = gateway.spool.due(&name, Timestamp::now(), 8, &HashSet::new()).await.unwrap_or_default();
        if due.is_empty() {
            drop(tokio::time::timeout(Duration::from_millis(200), bell.notified()).await);
        }
        for copy in due {
            deliver(&gateway, &copy, &heard).await;
        }
    }
}

async fn deliver(gateway: &Gateway, copy: &Due, heard: &Heard) {
    let Ok(Some(message)) = gateway.spool.load(copy.id).await else {
        gateway.spool.put_back(vec![(copy.id, copy.number)]);
        return;
    };
    let text = text_of(&message.body).await;
    // The next hop takes a moment.
    tokio::time::sleep(Duration::from_millis(5)).await;
    heard.lock().unwrap().entry(text).or_default().insert(copy.id);
    let settled = Settled { id: copy.id, number: copy.number, fate: Fate::Delivered, at: Timestamp::now() };
    while gateway.spool.record(vec![settled.clone()], Vec::new()).await.is_err() {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_that_is_longer_than_a_message_may_be_in_hand_loses_and_renumbers_nothing() {
    let mut server = require!(NatsServer::start(""));
    let gateways = [Gateway::open(&server, "a").await, Gateway::open(&server, "b").await].map(Arc::new);
    let heard = Heard::default();
    let lanes = gateways
        .each_ref()
        .map(|gateway| tokio::spawn(deliver_on(Arc::clone(gateway), "hop", Arc::clone(&heard))));
    let on = Arc::new(AtomicBool::new(true));
    let load = tokio::spawn({
        let (gateways, on) = (gateways.clone(), Arc::clone(&on));
        async move {
            let mut number: u16 = 0;
            while on.load(Ordering::Relaxed) {
                let gateway = &gateways[usize::from(number % 2)];
                gateway.accept(alarm(number, &format!("alarm {number}"), &["hop"])).await;
                number += 1;
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
            number
        }
    });
    let delivered = |count: usize| move |heard: &Heard| heard.lock().unwrap().len() >= count;
    eventually("it runs", async || delivered(60)(&heard)).await;
    server.kill();
    tokio::time::sleep(Duration::from_secs(35)).await;
    server.start_again();
    tokio::time::sleep(Duration::from_secs(3)).await;
    on.store(false, Ordering::Relaxed);
    let accepted = usize::from(load.await.unwrap());
    eventually("all is delivered", async || delivered(accepted)(&heard)).await;
    for gateway in &gateways {
        gateway.is_empty().await;
    }
    lanes.iter().for_each(tokio::task::JoinHandle::abort);
    let heard = heard.lock().unwrap();
    assert_eq!(heard.len(), accepted);
    let doubled: Vec<_> = heard.iter().filter(|(_, ids)| ids.len() > 1).collect();
    assert!(doubled.is_empty(), "these came under several numbers: {doubled:?}");
}

/// A mail of some hundred kilobytes that no other is like, after its header.
fn content(token: &str) -> String {
    let mut content = String::new();
    let mut digest = Sha256::digest(token);
    let lines = 2000 + usize::from(digest[0]) * 16;
    for _ in 0..lines {
        let line: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        content.push_str(&line);
        content.push_str("\r\n");
        digest = Sha256::digest(digest);
    }
    content
}

fn send(gateway: SocketAddr, token: &str) -> std::io::Result<()> {
    let stream = TcpStream::connect_timeout(&gateway, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    let mut reply = |wanted: &str| -> std::io::Result<()> {
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 || !line.starts_with(wanted) {
                return Err(std::io::Error::other(line));
            }
            if line.as_bytes().get(3) == Some(&b' ') {
                return Ok(());
            }
        }
    };
    reply("220")?;
    let content = format!("Subject: {token}\r\n\r\n{}.\r\n", content(token));
    for (said, wanted) in [
        ("EHLO scanner.plant.example\r\n", "250"),
        ("MAIL FROM:<scanner@corp.example>\r\n", "250"),
        ("RCPT TO:<ops@corp.example>\r\n", "250"),
        ("DATA\r\n", "354"),
        (&content, "250"),
    ] {
        writer.write_all(said.as_bytes())?;
        reply(wanted)?;
    }
    writer.write_all(b"QUIT\r\n")
}

/// Sends scans to whichever gateway takes them, until told to stop; those that were taken.
fn scanner(name: &str, gateways: &[SocketAddr], on: &AtomicBool) -> Vec<String> {
    let mut taken = Vec::new();
    for number in 0.. {
        if !on.load(Ordering::Relaxed) {
            break;
        }
        // What got no answer may have been taken all the same: the next is another mail.
        let token = format!("scan-{name}-{number}");
        if send(gateways[number % gateways.len()], &token).is_ok() {
            taken.push(token);
        } else {
            thread::sleep(Duration::from_millis(100));
        }
        thread::sleep(Duration::from_millis(150));
    }
    taken
}

fn program(dir: &Path, number: usize, nats: &NatsServer, inbox: &Path) -> (PathBuf, SocketAddr) {
    let folder = dir.join(format!("gw{number}"));
    fs::create_dir(&folder).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let rest = format!(
        "  smtp:
    - name: devices
      addresses: ['{address}']
      trusted_networks: [{{ network: 127.0.0.0/8 }}]
      profile: device
netbios: {{ code_page: cp850 }}
relay:
  accepted_domains: [corp.example]
  routes: [{{ domain: '*', via: inbox }}]
tarpit: {{ time: 0s }}
destinations:
  inbox: {{ maildir: {{ path: {} }} }}
  bus: {{ nats: {{ servers: ['{}'], stream: EVENTS }} }}
operator: {{ postmaster: it@corp.example }}
rules: [{{ name: all, match: any, deliver: [{{ via: inbox, to: notices }}] }}]
spool: {{ nats: bus, replicas: 1 }}
",
        inbox.display(),
        nats.url()
    );
    (write_config(&folder, &rest), address)
}

#[test]
fn a_group_that_had_nothing_to_do_for_long_delivers_what_comes_then() {
    let nats = require!(NatsServer::start(""));
    let dir = tempfile::tempdir().unwrap();
    let inbox = dir.path().join("inbox");
    let (config, address) = program(dir.path(), 1, &nats, &inbox);
    let _gateway = Program::start(&config);
    // Longer than a newcomer is watched for, and than the stream is asked at a time.
    thread::sleep(Duration::from_secs(20));
    send(address, "scan-late-0").unwrap();
    let begun = Instant::now();
    while arrived(&inbox, &mut BTreeMap::new()).is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(10), "nobody asks the stream any more");
        thread::sleep(Duration::from_millis(50));
    }
    note!("it arrived {:?} after it was accepted", begun.elapsed());
}

/// What arrived whole: each token with the queue ids under which it did. What is not whole ends the test.
fn arrived(
    inbox: &Path,
    seen: &mut BTreeMap<PathBuf, (String, String)>,
) -> BTreeMap<String, BTreeSet<String>> {
    let folders = fs::read_dir(inbox).into_iter().flatten().flatten().map(|entry| entry.path().join("new"));
    for file in folders.flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten()) {
        if seen.contains_key(&file.path()) {
            continue;
        }
        let text = fs::read_to_string(file.path()).unwrap().replace('\r', "");
        let (header, body) = text.split_once("\n\n").unwrap();
        let token = header.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap().to_owned();
        assert!(body == content(&token).replace('\r', ""), "{token} is not what was sent");
        let name = file.file_name().into_string().unwrap();
        let id = name.split(['.', '-']).find(|part| part.len() == 13).unwrap_or(&name).to_owned();
        seen.insert(file.path(), (token, id));
    }
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (token, id) in seen.values() {
        all.entry(token.clone()).or_default().insert(id.clone());
    }
    all
}

#[test]
fn content_of_hundreds_of_kilobytes_arrives_whole_whoever_is_killed_and_none_is_left() {
    let mut nats = require!(NatsServer::start(""));
    let dir = tempfile::tempdir().unwrap();
    let inbox = dir.path().join("inbox");
    let (configs, addresses): (Vec<_>, Vec<_>) =
        [1, 2].map(|number| program(dir.path(), number, &nats, &inbox)).into_iter().unzip();
    let mut gateways: Vec<_> = configs.iter().map(|config| Some(Program::start(config))).collect();
    let on = Arc::new(AtomicBool::new(true));
    let scanners = ["a", "b"].map(|name| {
        let (addresses, on) = (addresses.clone(), Arc::clone(&on));
        thread::spawn(move || scanner(name, &addresses, &on))
    });
    let begun = Instant::now();
    for turn in 0..3 {
        thread::sleep(Duration::from_secs(2));
        gateways[turn % 2].take().map(Program::kill);
        gateways[turn % 2] = Some(Program::start(&configs[turn % 2]));
        thread::sleep(Duration::from_secs(2));
        nats.kill();
        thread::sleep(Duration::from_secs(1));
        nats.start_again();
    }
    on.store(false, Ordering::Relaxed);
    let accepted: Vec<String> = scanners.into_iter().flat_map(|scanner| scanner.join().unwrap()).collect();
    note!("{} scans were accepted in {:?}", accepted.len(), begun.elapsed());
    assert!(accepted.len() >= 40, "{}", accepted.len());

    let mut seen = BTreeMap::new();
    let end = Instant::now() + Duration::from_secs(80);
    loop {
        let all = arrived(&inbox, &mut seen);
        let missing: Vec<_> = accepted.iter().filter(|token| !all.contains_key(*token)).collect();
        if missing.is_empty() {
            break;
        }
        assert!(Instant::now() < end, "these were accepted and did not arrive: {missing:?}");
        thread::sleep(Duration::from_millis(200));
    }
    note!("all had arrived after {:?}", begun.elapsed());
    let all = arrived(&inbox, &mut seen);
    let doubled: Vec<_> = all.iter().filter(|(_, ids)| ids.len() > 1).collect();
    assert!(doubled.is_empty(), "these arrived under several queue ids: {doubled:?}");
    for gateway in gateways.into_iter().flatten() {
        assert!(gateway.stop().0.success());
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let before = left(&nats).await;
        note!("{} subjects were left: {before:?}", before.len());
        let sweeper = sweeping(&nats, "sweeper");
        // What was taken though its scanner heard no answer is delivered as well.
        let lane = tokio::spawn(deliver_on(Arc::clone(&sweeper), "inbox", Heard::default()));
        let end = Instant::now() + Duration::from_secs(120);
        loop {
            // Bodies in the queue bucket may stay after a server was killed: it does not always know what it removed.
            let left = left_without_bodies(&nats).await;
            if left.is_empty() {
                break;
            }
            assert!(Instant::now() < end, "these are left: {left:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        lane.abort();
        note!("no content was left after {:?}; of all: {:?}", begun.elapsed(), left(&nats).await);
    });
}

/// A gateway that sweeps each second what was left behind.
fn sweeping(nats: &NatsServer, name: &str) -> Arc<Gateway> {
    let (every, old) = (Duration::from_secs(1), Duration::from_secs(2));
    let sweeping = Sweeping { every, old, orphaned: old };
    Arc::new(Gateway::begin_sweeping(tempfile::tempdir().unwrap(), nats, name, None, sweeping))
}

/// The subjects of all messages and contents that the server has, and of bodies in the queue bucket.
async fn left(nats: &NatsServer) -> Vec<String> {
    let bodies = subjects(nats, "KV_MAILSLOTD_QUEUE", "$KV.MAILSLOTD_QUEUE.message.>").await;
    left_without_bodies(nats).await.into_iter().chain(bodies).collect()
}

async fn left_without_bodies(nats: &NatsServer) -> Vec<String> {
    let mut left = subjects(nats, "MAILSLOTD_SPOOL", ">").await;
    left.extend(subjects(nats, "OBJ_MAILSLOTD_CONTENT", ">").await);
    left
}

async fn subjects(nats: &NatsServer, stream: &str, filter: &str) -> Vec<String> {
    let jetstream = async_nats::jetstream::new(async_nats::connect(nats.url()).await.unwrap());
    let stream = jetstream.get_stream(stream).await.unwrap();
    let subjects = stream.info_with_subjects(filter).await.unwrap();
    subjects.map_ok(|(subject, _)| subject).try_collect().await.unwrap()
}

/// What a stream has on disk.
fn files_of(nats: &NatsServer, stream: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = fs::read_dir(nats.path(&format!("store/jetstream/$G/streams/{stream}/msgs"))).unwrap();
    files.map(|file| file.unwrap().path()).map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// The server is killed and has of its stream what it had at an earlier time, while it knows how far consumers are.
fn set_back(nats: &mut NatsServer, files: &BTreeMap<PathBuf, Vec<u8>>) {
    // What it knows of consumers it writes a moment later.
    thread::sleep(Duration::from_secs(1));
    nats.kill();
    for file in files_of(nats, "MAILSLOTD_SPOOL").keys() {
        fs::remove_file(file).unwrap();
    }
    for (path, bytes) in files {
        fs::write(path, bytes).unwrap();
    }
    nats.start_again();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_server_forgot_to_remove_goes_and_what_gets_a_number_anew_is_delivered() {
    let mut nats = require!(NatsServer::start(""));
    let gateway = sweeping(&nats, "a");
    gateway.spool.opened().await;
    nats.kill();
    let nothing = files_of(&nats, "MAILSLOTD_SPOOL");
    nats.start_again();

    let heard = Heard::default();
    for number in 0..3 {
        gateway.accept(alarm(number, &format!("alarm {number}"), &["hop"])).await;
    }
    eventually("they are in the stream", async || left(&nats).await.len() == 3).await;
    nats.kill();
    let full = files_of(&nats, "MAILSLOTD_SPOOL");
    nats.start_again();
    let lane = tokio::spawn(deliver_on(Arc::clone(&gateway), "hop", Arc::clone(&heard)));
    eventually("all are delivered", async || heard.lock().unwrap().len() == 3).await;
    gateway.is_empty().await;

    set_back(&mut nats, &full);
    assert_eq!(left(&nats).await.len(), 3, "they are there again");
    eventually("what was delivered is gone", async || left(&nats).await.is_empty()).await;
    assert_eq!(heard.lock().unwrap().len(), 3);
    assert!(heard.lock().unwrap().values().all(|ids| ids.len() == 1));

    set_back(&mut nats, &nothing);
    gateway.accept(alarm(9, "alarm 9", &["hop"])).await;
    eventually("it is in the stream", async || !left(&nats).await.is_empty()).await;
    let subject = left(&nats).await.remove(0);
    eventually("it is delivered", async || heard.lock().unwrap().contains_key("alarm 9 x1")).await;
    let ids = heard.lock().unwrap()["alarm 9 x1"].clone();
    assert!(ids.len() == 1 && ids.iter().all(|id| subject.contains(&id.to_string())), "{ids:?}, {subject}");
    eventually("nothing is left", async || left(&nats).await.is_empty()).await;
    lane.abort();
}
