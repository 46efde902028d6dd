//! A web service of the test's own, in Python: it notes what it is sent, checks signatures by another implementation than
//! ours, and answers as it is told, also in ways that no good service does.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;

use serde_json::{Value, json};

use super::python::Python;
use super::{Missing, free_port};

/// A service on loopback; killed when dropped.
pub(crate) struct WebService {
    config: Value,
    /// Where it listens.
    pub(crate) port: u16,
    running: Option<Running>,
}

struct Running {
    child: Child,
    pipes: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
}

/// A certificate and its key, as PEM files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Certificate<'f> {
    pub(crate) certificate: &'f Path,
    pub(crate) key: &'f Path,
    /// The authority of those that clients must show.
    pub(crate) client_ca: Option<&'f Path>,
}

impl WebService {
    /// Over HTTP.
    pub(crate) fn start() -> Result<Self, Missing> {
        Self::with(json!({}))
    }

    /// Over HTTP; signatures are checked with this secret.
    pub(crate) fn with_secret(secret: &str) -> Result<Self, Missing> {
        Self::with(json!({ "secret": secret }))
    }

    /// Over HTTP; the id of each event is a line of this file before it is answered.
    pub(crate) fn with_record(record: &Path) -> Result<Self, Missing> {
        Self::with(json!({ "record": record }))
    }

    /// Over TLS.
    pub(crate) fn with_tls(tls: Certificate<'_>) -> Result<Self, Missing> {
        let Certificate { certificate, key, client_ca } = tls;
        Self::with(json!({ "certificate": certificate, "key": key, "client_ca": client_ca }))
    }

    fn with(mut config: Value) -> Result<Self, Missing> {
        Python::find()?;
        let port = free_port();
        config["port"] = port.into();
        let mut service = Self { config, port, running: None };
        service.start_again();
        Ok(service)
    }

    /// As a crash would end it.
    pub(crate) fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.child.kill().unwrap();
            running.child.wait().unwrap();
        }
    }

    /// Starts it after [`WebService::kill`] on the same port; it has forgotten everything.
    pub(crate) fn start_again(&mut self) {
        let mut child = Command::new("python3")
            .args(["-c", include_str!("web_service.py"), &self.config.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line.trim().parse(), Ok(self.port), "no web service: {line}");
        let pipes = Mutex::new((child.stdin.take().unwrap(), stdout));
        self.running = Some(Running { child, pipes });
    }

    /// How the next requests are answered; all others by `200 taken`. Each has `status`, `headers`, `body`, or `how`:
    /// `silently`, `in_half`, `never`, `with_endless_head`, `with_endless_body`.
    pub(crate) fn answer(&self, answers: Value) {
        self.order(&json!({ "answers": answers }));
    }

    /// How each request is answered that has this text in its body, as often as it comes.
    pub(crate) fn answer_each_with(&self, text: &str, answer: &Value) {
        self.order(&json!({ "poisons": { text: answer } }));
    }

    /// What came so far.
    pub(crate) fn seen(&self) -> Vec<Value> {
        self.seen_at_least(0)
    }

    /// What came, once that are so many requests; fewer after half a minute.
    pub(crate) fn seen_at_least(&self, count: usize) -> Vec<Value> {
        let Value::Array(seen) = self.order(&json!({ "until": count })) else { panic!("no list") };
        seen
    }

    fn order(&self, order: &Value) -> Value {
        let running = self.running.as_ref().unwrap();
        let (stdin, stdout) = &mut *running.pipes.lock().unwrap();
        writeln!(stdin, "{order}").unwrap();
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for WebService {
    fn drop(&mut self) {
        self.kill();
    }
}
