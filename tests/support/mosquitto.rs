//! A mosquitto of the test's own, and Debian's subscriber beside it.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::broker_certificates::{readable, write_certificates};
use super::server::{Server, is_listening, program, wait_until};
use super::{Missing, free_port, has_program};

/// A mosquitto on loopback; killed when dropped.
pub(crate) struct Mosquitto {
    dir: TempDir,
    /// In clear text.
    pub(crate) port: u16,
    /// Under TLS, with a client certificate.
    pub(crate) tls_port: u16,
    server: Server,
    /// Lines that its log had when it was last started.
    said_before: usize,
}

/// The password of user `gw`, who alone is let in where [`Mosquitto::start`] is asked for accounts.
pub(crate) const PASSWORD: &str = "mqtt \"password\"";

impl Mosquitto {
    /// Starts one; `more` goes into its configuration as it is, with `DIR` for its folder. There, `passwords` has the user
    /// `gw`.
    pub(crate) fn start(more: &str) -> Result<Self, Missing> {
        if !has_program("mosquitto") || !has_program("mosquitto_sub") {
            return Err(Missing(
                "mosquitto is not installed (Debian: mosquitto, mosquitto-clients)".to_owned(),
            ));
        }
        let dir = tempfile::Builder::new().prefix("mosquitto").tempdir().unwrap();
        write_certificates(dir.path(), "gw");
        let passwords = dir.path().join("passwords");
        let made = Command::new("mosquitto_passwd")
            .args(["-b", "-c"])
            .arg(&passwords)
            .args(["gw", PASSWORD])
            .output();
        assert!(made.unwrap().status.success());
        readable(&passwords);
        let (port, tls_port) = (free_port(), free_port());
        let mut mosquitto = Self { dir, port, tls_port, server: Server::none(), said_before: 0 };
        mosquitto.configure(more);
        mosquitto.start_again();
        Ok(mosquitto)
    }

    /// What it reads when it starts.
    pub(crate) fn configure(&self, more: &str) {
        let path = self.dir.path().display().to_string();
        let anonymous = if more.contains("allow_anonymous") { "" } else { "allow_anonymous true\n" };
        let text = format!(
            "user root\nlog_dest file {path}/mosquitto.log\nlog_type all\n{anonymous}{}\nlistener {} 127.0.0.1\nlistener {} 127.0.0.1\ncafile {path}/ca.pem\n\
             certfile {path}/server.pem\nkeyfile {path}/server.key\nrequire_certificate true\n",
            more.replace("DIR", &path),
            self.port,
            self.tls_port
        );
        std::fs::write(self.path("mosquitto.conf"), text).unwrap();
    }

    /// A file of its folder: `ca.pem`, `client.pem`, `client.key`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// As a power cut would end it.
    pub(crate) fn kill(&mut self) {
        self.server.kill();
    }

    /// Starts it after [`Self::kill`], on the same ports and files.
    pub(crate) fn start_again(&mut self) {
        self.said_before = self.log().lines().count();
        let mut command = Command::new(program("mosquitto"));
        let command = command.arg("-c").arg(self.path("mosquitto.conf"));
        self.server = Server::start(command, &self.path("stderr.log"));
        assert!(is_listening(self.port), "no mosquitto on port {}:\n{}", self.port, self.log());
    }

    /// It holds its connections and answers no more.
    pub(crate) fn freeze(&self) {
        self.server.freeze();
    }

    /// It goes on after [`Self::freeze`].
    pub(crate) fn thaw(&self) {
        self.server.thaw();
    }

    /// What it said.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("mosquitto.log")).unwrap_or_default()
    }

    /// The topics of messages that it has acknowledged since it was last started: it logs that before it says it.
    pub(crate) fn acknowledged(&self) -> HashSet<String> {
        let log = self.log();
        let (mut received, mut acknowledged) = (HashMap::new(), HashSet::new());
        for line in log.lines().skip(self.said_before) {
            if let Some((client, packet_id, topic)) = received_publish(line) {
                received.insert((client, packet_id), topic);
            } else if let Some(of) = sent_puback(line) {
                acknowledged.extend(received.remove(&of).map(str::to_owned));
            }
        }
        acknowledged
    }

    /// Listens to everything, as user `gw` where accounts are asked for.
    pub(crate) fn subscribe(&self) -> Subscriber {
        Subscriber::start(self.port, &self.path("subscriber.log"), || self.log())
    }
}

/// mosquitto_sub, which keeps what it heard over restarts of the broker.
pub(crate) struct Subscriber {
    child: Child,
    heard: Arc<Mutex<Vec<serde_json::Value>>>,
}

impl Subscriber {
    fn start(port: u16, log: &Path, broker_log: impl Fn() -> String) -> Self {
        let before = broker_log().matches("Sending SUBACK to listener").count();
        let mut child = Command::new("mosquitto_sub")
            .args(["-V", "mqttv5", "-h", "127.0.0.1", "-p", &port.to_string(), "-q", "1", "-i", "listener"])
            // A session that outlives its connections.
            .args(["-c", "-x", "3600", "-t", "#", "-u", "gw", "-P", PASSWORD, "-F", "%j"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(log).unwrap())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&heard);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                sink.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        let subscriber = Self { child, heard };
        let subscribed = || broker_log().matches("Sending SUBACK to listener").count() > before;
        assert!(wait_until(subscribed), "it does not subscribe:\n{}", broker_log());
        subscriber
    }

    /// What came so far: `topic`, `payload`, `properties` and more.
    pub(crate) fn heard(&self) -> Vec<serde_json::Value> {
        self.heard.lock().unwrap().clone()
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let ended = self.child.kill().and_then(|()| self.child.wait());
        assert!(ended.is_ok() || std::thread::panicking(), "{ended:?}");
    }
}

/// Client, packet identifier and topic of `…: Received PUBLISH from gw (d0, q1, r0, m7, 'plant/ups', ... (800 bytes))`.
fn received_publish(line: &str) -> Option<(&str, &str, &str)> {
    let (client, packet) = line.split_once(": Received PUBLISH from ")?.1.split_once(" (")?;
    let (_, packet) = packet.split_once(", m")?;
    let (packet_id, topic) = packet.split_once(", '")?;
    Some((client, packet_id, topic.split_once("', ... ")?.0))
}

/// Client and packet identifier of `…: Sending PUBACK to gw (m7, rc0)`, where the reason is none to refuse it.
fn sent_puback(line: &str) -> Option<(&str, &str)> {
    let (client, packet) = line.split_once(": Sending PUBACK to ")?.1.split_once(" (m")?;
    let (packet_id, reason) = packet.split_once(", rc")?;
    ["0)", "16)"].contains(&reason).then_some((client, packet_id))
}
