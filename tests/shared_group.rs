//! A group of gateways at its worst: three clustered nats-servers and two gateways, each killed again and again, while
//! both gateways hear the same broadcasts and take mail. What was accepted arrives, and under one queue id.
#![cfg(feature = "nats")]
#![expect(clippy::disallowed_methods, reason = "real processes live on the real clock")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};

mod support;

use support::lan_gateway::PROGRAM;
use support::messngr::messngr;
use support::namespace::{BROADCAST, Host, Lan, Running};
use support::{nats_server, require};

/// A line past the test harness.
macro_rules! note {
    ($($said:tt)*) => {{
        let mut past_the_harness = std::io::stderr();
        writeln!(past_the_harness, $($said)*).unwrap();
    }};
}

/// Datagrams that are broadcast.
const DATAGRAMS: usize = 1000;
/// Mails that each of two devices sends.
const MAILS: usize = 500;
/// Between two datagrams, and between two mails of one device.
const PACE: (Duration, Duration) = (Duration::from_millis(70), Duration::from_millis(140));
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// A process that is killed and started again on the same host with the same files.
struct Killed {
    host: Host,
    program: &'static str,
    arguments: Vec<String>,
    log: PathBuf,
    starts: usize,
    running: Option<Running>,
    /// Where it says that it works, and what it says then.
    health: (u16, &'static str, &'static str),
}

impl Killed {
    fn start(&mut self) {
        let log = self.log.with_extension(format!("{}.log", self.starts));
        self.starts += 1;
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        self.running = Some(self.host.start(self.program, &arguments, log));
    }

    /// Waits until it works. One that does not is started once more: a server may not catch up with the others at its
    /// first start.
    fn works(&mut self) {
        if self.works_within(PATIENCE) {
            return;
        }
        note!("{} does not work, and is started once more:\n{}", self.program, self.said());
        self.running = None;
        self.start();
        assert!(self.works_within(PATIENCE), "{} does not work:\n{}", self.program, self.said());
    }

    fn works_within(&self, patience: Duration) -> bool {
        let (port, path, said) = self.health;
        let end = Instant::now() + patience;
        while Instant::now() < end {
            if self.host.get(port, path).is_some_and(|body| body.contains(said)) {
                return true;
            }
            thread::sleep(Duration::from_millis(100));
        }
        false
    }

    /// What it has said since it was started last.
    fn said(&self) -> String {
        self.running.as_ref().map(Running::said).unwrap_or_default()
    }

    /// As a power cut ends it, and after a while it is back.
    fn kill_and_start(&mut self, away: Duration) {
        self.running = None;
        thread::sleep(away);
        self.start();
        self.works();
    }
}

fn server(lan: &Lan, number: usize, dir: &Path) -> Killed {
    let host = lan.host(number);
    let address = host.address.clone();
    let routes: Vec<String> =
        (0..3).map(|other| format!("\"nats-route://{}:6222\"", lan.host(other).address)).collect();
    let store = dir.join(format!("nats{number}"));
    let text = format!(
        "server_name: n{number}\nlisten: {address}:4222\nhttp: 0.0.0.0:8222\n\
         jetstream: {{ store_dir: \"{}\", max_mem: 64MB, max_file: 1GB }}\n\
         cluster: {{ name: plant, listen: {address}:6222, routes: [{}] }}\n",
        store.display(),
        routes.join(", ")
    );
    let config = dir.join(format!("nats{number}.conf"));
    fs::write(&config, text).unwrap();
    Killed {
        host,
        program: "nats-server",
        arguments: vec!["--config".to_owned(), config.display().to_string()],
        log: store,
        starts: 0,
        running: None,
        health: (8222, "/healthz", "ok"),
    }
}

fn gateway(lan: &Lan, number: usize, dir: &Path) -> Killed {
    let host = lan.host(number);
    let servers: Vec<String> =
        (0..3).map(|other| format!("nats://{}:4222", lan.host(other).address)).collect();
    let text = format!(
        "hostname: gw{number}.plant.example
state_dir: {state}
timezone: UTC
operator: {{ postmaster: it@corp.example }}
netbios: {{ code_page: cp850, dedup_window: 10s, rate: {{ per_source: off }} }}
listeners:
  smtp:
    - name: devices
      addresses: ['{address}:25']
      trusted_networks: [{{ network: 192.0.2.0/24 }}]
      profile: device
relay:
  accepted_domains: [corp.example]
  routes: [{{ domain: '*', via: inbox }}]
tarpit: {{ time: 0s }}
destinations:
  inbox: {{ maildir: {{ path: {inbox} }} }}
  bus: {{ nats: {{ servers: [{servers}], stream: EVENTS }} }}
rules:
  - {{ name: all, match: any, deliver: [{{ via: inbox, to: notices }}] }}
spool: {{ nats: bus, replicas: 3 }}
",
        state = dir.join(format!("state{number}")).display(),
        address = host.address,
        inbox = dir.join("inbox").display(),
        servers = servers.join(", "),
    );
    let config = dir.join(format!("gateway{number}.yaml"));
    fs::write(&config, text).unwrap();
    Killed {
        host,
        program: PROGRAM,
        arguments: vec!["--config".to_owned(), config.display().to_string(), "run".to_owned()],
        log: dir.join(format!("gateway{number}")),
        starts: 0,
        running: None,
        health: (9138, "/metrics", "mailslotd_spool_group{state=\"open\"} 1"),
    }
}

/// A thread whose sockets are on a host.
fn on_host<T: Send + 'static>(
    namespace: PathBuf,
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    thread::spawn(move || {
        setns(File::open(namespace).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
        work()
    })
}

/// Broadcasts alarms; their texts.
fn broadcast(sent: &AtomicUsize) -> Vec<String> {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_broadcast(true).unwrap();
    let mut texts = Vec::with_capacity(DATAGRAMS);
    for number in 0..DATAGRAMS {
        let text = format!("token-alarm-{number:05}-end");
        socket.send_to(&messngr("UPS7", &text), (BROADCAST, 138)).unwrap();
        texts.push(text);
        sent.fetch_add(1, Ordering::Relaxed);
        thread::sleep(PACE.0);
    }
    texts
}

/// Sends mail to whichever gateway takes it; the texts of what was taken.
fn devices(name: &str, gateways: &[SocketAddr], sent: &AtomicUsize) -> Vec<String> {
    let mut texts = Vec::with_capacity(MAILS);
    let mut turn = 0;
    for number in 0..MAILS {
        // What got no answer may have been taken all the same: the next try is another mail.
        for attempt in 0.. {
            assert!(attempt < 200, "no gateway takes mail");
            let text = format!("token-mail-{name}-{number:05}-{attempt}-end");
            let gateway = gateways[turn % gateways.len()];
            turn += 1;
            match send_mail(gateway, &text) {
                Ok(()) => {
                    texts.push(text);
                    break;
                }
                Err(_) => thread::sleep(Duration::from_millis(200)),
            }
        }
        sent.fetch_add(1, Ordering::Relaxed);
        thread::sleep(PACE.1);
    }
    texts
}

fn send_mail(gateway: SocketAddr, text: &str) -> std::io::Result<()> {
    let stream = TcpStream::connect_timeout(&gateway, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    let mut reply = |wanted: &str| -> std::io::Result<()> {
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if !line.starts_with(wanted) {
                return Err(std::io::Error::other(line));
            }
            if line.as_bytes().get(3) == Some(&b' ') {
                return Ok(());
            }
        }
    };
    reply("220")?;
    let content = format!("Subject: scan\r\n\r\n{text}\r\n.\r\n");
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

/// What arrived: each text, with the queue ids under which it did.
fn arrived(
    inbox: &Path,
    seen: &mut BTreeMap<PathBuf, (String, String)>,
) -> BTreeMap<String, BTreeSet<String>> {
    let folders = fs::read_dir(inbox).into_iter().flatten().flatten().map(|entry| entry.path().join("new"));
    for folder in folders {
        for file in fs::read_dir(folder).into_iter().flatten().flatten() {
            if seen.contains_key(&file.path()) {
                continue;
            }
            let text = fs::read_to_string(file.path()).unwrap();
            let token = text.lines().find_map(|line| line.split(' ').find(|word| word.starts_with("token-")));
            let token = token.unwrap_or_else(|| panic!("a strange mail:\n{text}"));
            let name = file.file_name().into_string().unwrap();
            let id = name.split(['.', '-']).find(|part| part.len() == 13).unwrap_or(&name).to_owned();
            seen.insert(file.path(), (token.trim_end().to_owned(), id));
        }
    }
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (text, id) in seen.values() {
        all.entry(text.clone()).or_default().insert(id.clone());
    }
    all
}

#[test]
fn whoever_is_killed_what_was_accepted_arrives_and_under_one_queue_id() {
    require!(nats_server::installed());
    let lan = require!(Lan::new(6));
    let dir = tempfile::tempdir().unwrap();
    let mut servers: Vec<Killed> = (0..3).map(|number| server(&lan, number, dir.path())).collect();
    servers.iter_mut().for_each(Killed::start);
    servers.iter_mut().for_each(Killed::works);
    let mut gateways: Vec<Killed> = (3..5).map(|number| gateway(&lan, number, dir.path())).collect();
    gateways.iter_mut().for_each(Killed::start);
    gateways.iter_mut().for_each(Killed::works);

    let begun = Instant::now();
    let sent = Arc::new(AtomicUsize::new(0));
    let addresses: Vec<SocketAddr> =
        (3..5).map(|number| format!("{}:25", lan.host(number).address).parse().unwrap()).collect();
    let namespace = lan.host(5).path();
    let alarms = on_host(namespace.clone(), {
        let sent = Arc::clone(&sent);
        move || broadcast(&sent)
    });
    let mails: Vec<_> = ["a", "b"]
        .into_iter()
        .map(|name| {
            let (sent, addresses) = (Arc::clone(&sent), addresses.clone());
            on_host(namespace.clone(), move || devices(name, &addresses, &sent))
        })
        .collect();

    // One at a time, and each more than once.
    for turn in 0..2 {
        for number in 0..3 {
            servers[number].kill_and_start(Duration::from_secs(2));
            gateways[(number + turn) % 2].kill_and_start(Duration::from_secs(1));
        }
    }
    note!("killed everything twice or thrice in {:?}", begun.elapsed());
    let mut accepted: Vec<String> = alarms.join().unwrap();
    for device in mails {
        accepted.extend(device.join().unwrap());
    }
    assert_eq!(accepted.len(), DATAGRAMS + 2 * MAILS);
    note!("accepted {} messages in {:?}", accepted.len(), begun.elapsed());

    let (inbox, mut seen) = (dir.path().join("inbox"), BTreeMap::new());
    let missing = |all: &BTreeMap<String, BTreeSet<String>>| {
        accepted.iter().filter(|text| !all.contains_key(*text)).cloned().collect::<Vec<_>>()
    };
    let end = Instant::now() + PATIENCE;
    let mut all = arrived(&inbox, &mut seen);
    while !missing(&all).is_empty() && Instant::now() < end {
        thread::sleep(Duration::from_millis(200));
        all = arrived(&inbox, &mut seen);
    }
    let doubled: Vec<_> = all.iter().filter(|(_, ids)| ids.len() > 1).collect();
    let mails = seen.values().filter(|(text, _)| text.contains("mail")).count();
    note!(
        "{} texts in {} files ({mails} of mails) after {:?}; {} under several ids",
        all.len(),
        seen.len(),
        begun.elapsed(),
        doubled.len()
    );
    if !missing(&all).is_empty() {
        gateways.iter().for_each(|gateway| note!("{}", gateway.said()));
    }
    assert_eq!(missing(&all), Vec::<String>::new(), "these were accepted and did not arrive");
    assert!(doubled.is_empty(), "these arrived under several queue ids: {doubled:?}");
}
