//! Postfix's own load tools: `smtp-source` as the clients, `smtp-sink` as the next hop.

use std::io::Read as _;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What the clients do, and what is wanted of us against Postfix.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) sessions: u32,
    pub(crate) messages: u64,
    /// Whether a session goes on after its message.
    pub(crate) keep: bool,
    /// Accepted messages a second, as a multiple.
    pub(crate) accepted: f64,
    /// Messages a second through to the next hop, as a multiple.
    pub(crate) through: Option<f64>,
    /// Memory, as a part of Postfix's.
    pub(crate) memory: Option<f64>,
}

/// What one run brought.
#[derive(Clone, Copy)]
pub(crate) struct Measured {
    /// Accepted messages a second.
    pub(crate) accepted: f64,
    /// Messages a second until the next hop had the last.
    pub(crate) through: f64,
    /// The most that the server's processes held, each page counted once (PSS).
    pub(crate) memory_kib: f64,
}

/// Runs one case against the server at `port` that passes on to `sink`.
#[expect(clippy::cast_precision_loss, reason = "rates for people")]
pub(crate) fn measure(case: &Case, port: u16, sink: &Sink, memory: impl Fn() -> u64 + Sync) -> Measured {
    let before = sink.messages();
    let (ended, peak) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                peak.fetch_max(memory(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        let start = Instant::now();
        send(case, port);
        let accepted = start.elapsed();
        while sink.messages() < before + case.messages {
            assert!(
                start.elapsed() < LIMIT,
                "{} of {} came through",
                sink.messages() - before,
                case.messages
            );
            std::thread::sleep(Duration::from_millis(2));
        }
        let through = start.elapsed();
        ended.store(true, Ordering::Relaxed);
        let rate = |time: Duration| case.messages as f64 / time.as_secs_f64();
        let memory_kib = peak.load(Ordering::Relaxed) as f64;
        Measured { accepted: rate(accepted), through: rate(through), memory_kib }
    })
}

fn send(case: &Case, port: u16) {
    let mut source = Command::new("/usr/sbin/smtp-source");
    source.args(["-s", &case.sessions.to_string(), "-m", &case.messages.to_string(), "-l", "1000"]);
    source.args(["-f", "device@corp.example", "-t", "ops@corp.example"]);
    if case.keep {
        source.arg("-d");
    }
    let sent = source.arg(format!("127.0.0.1:{port}")).output().expect("smtp-source, of Debian's postfix");
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
}

/// A next hop that takes everything and counts it; killed when dropped.
pub(crate) struct Sink {
    child: Child,
    port: u16,
    messages: Arc<AtomicU64>,
}

impl Sink {
    pub(crate) fn start() -> Self {
        let port = free_port();
        let mut child = Command::new("/usr/sbin/smtp-sink")
            .args(["-c", "-u", "postfix", "-h", "sink.example", &format!("127.0.0.1:{port}"), "1000"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("smtp-sink, of Debian's postfix");
        let messages = Arc::new(AtomicU64::new(0));
        let (mut counts, count) = (child.stdout.take().unwrap(), Arc::clone(&messages));
        std::thread::spawn(move || {
            let (mut text, mut piece) = (String::new(), [0; 4096]);
            while let Ok(length @ 1..) = counts.read(&mut piece) {
                text.push_str(&String::from_utf8_lossy(&piece[..length]));
                // It writes `sess=1 quit=1 mesg=7` over and over; the last may be cut off.
                let Some((whole, rest)) = text.rsplit_once('\r') else { continue };
                let latest = whole.rsplit("mesg=").next().unwrap_or_default();
                let digits: String = latest.chars().take_while(char::is_ascii_digit).collect();
                count.fetch_max(digits.parse().unwrap_or(0), Ordering::Relaxed);
                text = rest.to_owned();
            }
        });
        until_listening(port);
        Self { child, port, messages }
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    fn messages(&self) -> u64 {
        self.messages.load(Ordering::Relaxed)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A port of loopback that nothing listens on.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until something listens there.
pub(crate) fn until_listening(port: u16) {
    let end = Instant::now() + Duration::from_secs(30);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < end, "nothing listens on port {port}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// KiB that these processes hold, each page counted once (PSS).
pub(crate) fn memory_of(pids: &[u32]) -> u64 {
    let of = |pid: &u32| -> Option<u64> {
        let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        line.trim().trim_end_matches(" kB").parse().ok()
    };
    pids.iter().filter_map(of).sum()
}

/// A run that takes longer has hung.
const LIMIT: Duration = Duration::from_secs(120);
