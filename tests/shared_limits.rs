//! The limits of a destination are those of the group: two gateways deliver to one receiver that counts.
#![cfg(feature = "nats")]
#![expect(clippy::disallowed_methods, reason = "a rate is measured on the wall clock")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

mod support;

use support::gateway::{Gateway, until, write_config};
use support::messngr::messngr;
use support::nats_server::NatsServer;
use support::require;

/// A line past the test harness.
macro_rules! note {
    ($($said:tt)*) => {
        writeln!(std::io::stderr(), $($said)*).unwrap()
    };
}

/// Messages a second, and at once.
const RATE: usize = 20;
/// Transactions at a time.
const CONNECTIONS: usize = 4;
/// How long the slow receiver takes for a message: it takes as many a second as the rated one.
const SLOWNESS: Duration = Duration::from_millis(200);
const MESSAGES: usize = 800;

/// A next hop that counts.
#[derive(Clone, Default)]
struct Receiver(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    /// When each message came, and from whom.
    messages: Vec<(Instant, String)>,
    under_way: usize,
    most: usize,
}

impl Receiver {
    /// Listens on loopback, and takes this long for each message.
    fn listen(&self, slowness: Duration) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let receiver = self.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let receiver = receiver.clone();
                // One that goes away is a gateway that was killed.
                thread::spawn(move || receiver.serve(&stream, slowness).unwrap_or_default());
            }
        });
        port
    }

    fn serve(&self, stream: &TcpStream, slowness: Duration) -> std::io::Result<()> {
        let mut write = stream.try_clone()?;
        let mut lines = BufReader::new(stream).lines();
        let mut client = String::new();
        write.write_all(b"220 next.hop.example ESMTP\r\n")?;
        while let Some(line) = lines.next().transpose()? {
            let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
            let reply = match verb.to_ascii_uppercase().as_str() {
                "EHLO" => {
                    rest.clone_into(&mut client);
                    "250 next.hop.example\r\n"
                }
                "DATA" => {
                    write.write_all(b"354 go\r\n")?;
                    for line in lines.by_ref() {
                        if line? == "." {
                            break;
                        }
                    }
                    self.begun(&client);
                    thread::sleep(slowness);
                    self.ended();
                    "250 2.0.0 taken\r\n"
                }
                "QUIT" => "221 2.0.0 bye\r\n",
                _ => "250 2.0.0 ok\r\n",
            };
            write.write_all(reply.as_bytes())?;
        }
        Ok(())
    }

    fn begun(&self, client: &str) {
        let mut seen = self.0.lock().unwrap();
        seen.messages.push((Instant::now(), client.to_owned()));
        seen.under_way += 1;
        seen.most = seen.most.max(seen.under_way);
    }

    fn ended(&self) {
        self.0.lock().unwrap().under_way -= 1;
    }

    /// How many messages of a client came between two times.
    fn between(&self, from: Instant, to: Instant, client: &str) -> usize {
        let seen = self.0.lock().unwrap();
        seen.messages.iter().filter(|(at, who)| (from..to).contains(at) && who.contains(client)).count()
    }

    /// The most messages that came within such a time.
    fn most_within(&self, window: Duration) -> usize {
        let seen = self.0.lock().unwrap();
        let times: Vec<Instant> = seen.messages.iter().map(|(at, _)| *at).collect();
        let from =
            |begin: &Instant| times.iter().filter(|at| (*begin..*begin + window).contains(*at)).count();
        times.iter().map(from).max().unwrap_or_default()
    }
}

fn gateway(dir: &Path, number: usize, nats: &NatsServer, ports: [u16; 2]) -> Gateway {
    let folder = dir.join(format!("gw{number}"));
    std::fs::create_dir(&folder).unwrap();
    let submission = |port: u16| {
        format!(
            "host: 127.0.0.1, port: {port}, tls: {{ mode: none }}, auth: none, \
             from: {{ address: alerts@plant.example }}"
        )
    };
    let rest = format!(
        "netbios: {{ code_page: cp850, rate: {{ per_source: off }} }}
destinations:
  rated: {{ submission: {{ {}, limits: {{ rate: {RATE}/s }} }} }}
  narrow: {{ submission: {{ {}, limits: {{ max_connections: {CONNECTIONS} }} }} }}
  bus: {{ nats: {{ servers: ['{}'], stream: EVENTS }} }}
rules:
  - name: all
    match: any
    deliver: [{{ via: rated, to: ops@plant.example }}, {{ via: narrow, to: ops@plant.example }}]
spool: {{ nats: bus, replicas: 1 }}
",
        submission(ports[0]),
        submission(ports[1]),
        nats.url()
    );
    let config = write_config(&folder, &rest);
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("hostname: gw.test", &format!("hostname: gw{number}.test")))
        .unwrap();
    Gateway::start(&config)
}

#[test]
fn two_gateways_keep_the_limits_together_and_one_that_is_left_has_the_whole() {
    let nats = require!(NatsServer::start(""));
    let dir = tempfile::tempdir().unwrap();
    let (rated, narrow) = (Receiver::default(), Receiver::default());
    let ports = [rated.listen(Duration::ZERO), narrow.listen(SLOWNESS)];
    let one = gateway(dir.path(), 1, &nats, ports);
    let other = gateway(dir.path(), 2, &nats, ports);
    for gateway in [&one, &other] {
        gateway.wait_for_metric("mailslotd_spool_group_gateways", 2);
    }
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in 0..MESSAGES {
        let ear: SocketAddr = if number % 2 == 0 { one.datagram } else { other.datagram };
        socket.send_to(&messngr("UPS-1", &format!("alarm {number}")), ear).unwrap();
        thread::sleep(Duration::from_millis(2));
    }
    let begin = Instant::now();
    let half =
        |receiver: &Receiver, client: &str| receiver.between(begin, Instant::now(), client) >= 2 * RATE;
    until("both deliver to both", || {
        [&rated, &narrow].iter().all(|receiver| half(receiver, "gw1") && half(receiver, "gw2"))
    });

    one.kill();
    let killed = Instant::now();
    // It is taken to live for some seconds more.
    thread::sleep(Duration::from_secs(13));
    let (from, window) = (Instant::now(), Duration::from_secs(3));
    thread::sleep(window);
    for (name, receiver) in [("rated", &rated), ("narrow", &narrow)] {
        let whole = receiver.between(from, from + window, "gw2");
        note!("{name}: {whole} messages in {window:?} by the one that is left");
        assert!(whole >= RATE * 3 * 3 / 4, "{name}: {whole}: it has not the whole");
        assert_eq!(receiver.between(killed + SLOWNESS, from, "gw1"), 0);
    }
    for seconds in [2, 5, 10] {
        let most = rated.most_within(Duration::from_secs(seconds));
        let allowed = RATE * (usize::try_from(seconds).unwrap() + 1);
        note!("rated: at most {most} messages in {seconds} s, {allowed} are allowed");
        assert!(most <= allowed, "{most} in {seconds} s");
    }
    let most = narrow.0.lock().unwrap().most;
    note!("narrow: at most {most} at a time, {CONNECTIONS} are allowed");
    assert_eq!(most, CONNECTIONS);
}
