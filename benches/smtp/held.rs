//! Sessions that wait in the tar pit, and an honest one beside them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::gateway::{Gateway, tar_pit};
use crate::median;

/// Each from a client network of its own: a loopback address is one.
const SESSIONS: u32 = 10_000;

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub(crate) fn held() -> bool {
    let gateway = Gateway::start(&tar_pit());
    let honest = (Ipv4Addr::LOCALHOST, gateway.smtp());
    transactions(honest, 100);
    let (alone, before) = (transactions(honest, HONEST), gateway.memory());
    let waiting: Vec<TcpStream> = (0..SESSIONS).map(|number| hold(number, gateway.smtp())).collect();
    let beside = transactions(honest, HONEST);
    let each = (gateway.memory().saturating_sub(before)) as f64 / f64::from(SESSIONS);
    let silent = waiting.iter().filter(|stream| is_silent(stream)).count();
    let slower = beside.as_secs_f64() / alone.as_secs_f64();
    println!(
        "held: {silent} of {SESSIONS} sessions wait, {each:.1} kB each (goal 4.0); an honest transaction takes {:.2} ms \
         alone and {:.2} ms beside them, ratio {slower:.2} (goal 1.20)",
        alone.as_secs_f64() * 1e3,
        beside.as_secs_f64() * 1e3,
    );
    silent == waiting.len() && each <= 4.0 && slower <= 1.2
}

const HONEST: usize = 400;

/// The median time of a whole transaction on a kept session, up to 250 after the end of data.
fn transactions((address, port): (Ipv4Addr, u16), count: usize) -> Duration {
    let mut session = Session::open(IpAddr::V4(address), port);
    let mut times = Vec::new();
    for _ in 0..count {
        let start = Instant::now();
        session.says("MAIL FROM:<device@corp.example>", "250");
        session.says("RCPT TO:<ops@corp.example>", "250");
        session.says("DATA", "354");
        session.says("Subject: test\r\n\r\ntext\r\n.", "250");
        times.push(start.elapsed().as_secs_f64());
    }
    Duration::from_secs_f64(median(times))
}

/// A session of network `number` that has named an unknown recipient and waits for the refusal.
fn hold(number: u32, port: u16) -> TcpStream {
    let octet = |value: u32| u8::try_from(value).unwrap();
    let client = Ipv4Addr::new(127, octet(10 + number / 250), octet(number % 250), 1);
    let mut session = Session::open(IpAddr::V4(client), port);
    session.says("MAIL FROM:<a@spam.example>", "250");
    session.write("RCPT TO:<nobody@corp.example>");
    session.stream.into_inner()
}

/// Nothing was answered and the connection stands.
fn is_silent(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    matches!(stream.peek(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

struct Session {
    stream: BufReader<TcpStream>,
}

impl Session {
    fn open(client: IpAddr, port: u16) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(client, 0).into()).unwrap();
        socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).unwrap();
        socket.set_tcp_nodelay(true).unwrap();
        let stream: TcpStream = socket.into();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut session = Self { stream: BufReader::with_capacity(512, stream) };
        session.expect("220");
        session.says("EHLO bench.example", "250");
        session
    }

    fn says(&mut self, command: &str, code: &str) {
        self.write(command);
        self.expect(code);
    }

    fn write(&mut self, command: &str) {
        self.stream.get_mut().write_all(format!("{command}\r\n").as_bytes()).unwrap();
    }

    fn expect(&mut self, code: &str) {
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).unwrap();
            assert!(line.starts_with(code), "expected {code}, got {line:?}");
            if line.as_bytes().get(3) == Some(&b' ') {
                return;
            }
        }
    }
}
