//! The real binary as a child process, on ports of its own.
#![expect(clippy::disallowed_methods, reason = "what another process does is awaited on the wall clock")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use serde_json::Value;

/// `mailslotd run` on loopback; killed when dropped.
pub(crate) struct Gateway {
    child: Child,
    events: Receiver<String>,
    seen: Vec<String>,
    /// Where it hears UDP 138.
    pub(crate) datagram: SocketAddr,
    /// Where it hears UDP 137.
    pub(crate) name_service: Option<SocketAddr>,
    /// Where it takes sessions of `net send`, in mode answer.
    pub(crate) messenger: Option<SocketAddr>,
    /// Where it answers monitors.
    pub(crate) admin: SocketAddr,
}

/// How long anything here may take before the test fails with the log.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A configuration file in `dir` with ports of the system's choice; `rest` is the YAML of destinations and rules.
pub(crate) fn write_config(dir: &Path, rest: &str) -> PathBuf {
    let path = dir.join("mailslotd.yaml");
    let state = dir.join("state");
    let yaml = format!(
        "hostname: gw.test\nstate_dir: {}\nlog: {{ format: json }}\nlisteners:\n  datagram: {{ address: 127.0.0.1:0 }}\n  \
         name_service: {{ address: 127.0.0.1:0 }}\n  messenger: {{ address: 127.0.0.1:0 }}\n  \
         admin: {{ address: 127.0.0.1:0 }}\n{rest}",
        state.display()
    );
    std::fs::write(&path, yaml).unwrap();
    path
}

impl Gateway {
    /// Starts it and waits until it is ready.
    pub(crate) fn start(config: &Path) -> Self {
        let mut child = command(config)
            .args(["run", "-v", "--grace", "10"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, events) = sync_channel(1 << 16);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut gateway = Self {
            child,
            events,
            seen: Vec::new(),
            datagram: nowhere,
            name_service: None,
            messenger: None,
            admin: nowhere,
        };
        let ready = gateway.wait_for("Ready.");
        let address = |field: &str| ready[field].as_str().map(|address| address.parse().unwrap());
        (gateway.datagram, gateway.admin) = (address("datagram").unwrap(), address("admin").unwrap());
        gateway.name_service = address("name_service");
        gateway.messenger = address("messenger");
        gateway
    }

    /// Waits for an event whose message contains `text`.
    pub(crate) fn wait_for(&mut self, text: &str) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.events.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
                    if event["message"].as_str().is_some_and(|message| message.contains(text)) {
                        return event;
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("no event {text:?}; the log:\n{}", self.seen.join("\n"))
                }
            }
        }
    }

    /// Every event so far and, once the process has ended, up to its end.
    pub(crate) fn events(&mut self) -> Vec<Value> {
        self.seen.extend(self.events.try_iter());
        self.seen.iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Sends it a datagram from a socket of the test's.
    pub(crate) fn send(&self, socket: &UdpSocket, payload: &[u8]) {
        socket.send_to(payload, self.datagram).unwrap();
    }

    /// The value of one series of `/metrics`, 0 while it is absent.
    pub(crate) fn metric(&self, series: &str) -> u64 {
        let text = http_get(self.admin, "/metrics").1;
        let line =
            text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned));
        line.map_or(0, |value| value.parse().unwrap())
    }

    /// Waits until a series has at least this value.
    pub(crate) fn wait_for_metric(&self, series: &str, value: u64) {
        until(&format!("{series} >= {value}"), || self.metric(series) >= value);
    }

    /// SIGKILL: no chance to tidy up. Gives every event it wrote.
    pub(crate) fn kill(mut self) -> Vec<Value> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.drain()
    }

    /// SIGHUP: it reads its configuration again.
    pub(crate) fn hang_up(&self) {
        self.signal(nix::sys::signal::Signal::SIGHUP);
    }

    fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(self.child.id().try_into().unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
    }

    /// SIGTERM, and the end of the orderly shutdown.
    pub(crate) fn stop(mut self) -> (ExitStatus, Vec<Value>) {
        self.signal(nix::sys::signal::Signal::SIGTERM);
        let status = self.child.wait().unwrap();
        (status, self.drain())
    }

    /// The process's number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn drain(&mut self) -> Vec<Value> {
        // Ends when the pipe does, which the process's end has closed.
        self.seen.extend(self.events.iter());
        self.seen.iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The binary with this configuration, for a command.
pub(crate) fn command(config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mailslotd"));
    command.arg("--config").arg(config).env_remove("RUST_LOG");
    command
}

/// Status code and body.
pub(crate) fn http_get(address: SocketAddr, path: &str) -> (u16, String) {
    let (head, body) = http_get_with(address, path, &[]);
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body)
}

/// Status line with headers, and body; the request has these headers, and a `Host` unless it is among them.
pub(crate) fn http_get_with(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut request = format!("GET {path} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "Host") {
        request.push_str(&format!("Host: {address}\r\n"));
    }
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{request}\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

/// Waits for a condition that tells nobody when it comes true: looks at it every few milliseconds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE * 4;
    while !holds() {
        assert!(Instant::now() < end, "{what} did not come true");
        std::thread::sleep(Duration::from_millis(10));
    }
}
