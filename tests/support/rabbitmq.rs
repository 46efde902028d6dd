//! A RabbitMQ node of the test's own, with an epmd of its own, all on loopback; nothing of the system's is used but its
//! programs. Its first start takes some seconds.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::broker_certificates::write_certificates;
use super::server::{Server, is_listening, wait_until};
use super::{Missing, free_port};

/// A node; killed when dropped.
pub(crate) struct RabbitMq {
    dir: TempDir,
    name: String,
    /// In clear text.
    pub(crate) port: u16,
    /// Under TLS, with a client certificate.
    pub(crate) tls_port: u16,
    dist_port: u16,
    epmd_port: u16,
    node: Server,
    /// Goes after the node.
    _epmd: Server,
}

impl RabbitMq {
    /// Starts one, with an exchange `mailslot` whose every message goes to the queue `all`, both durable. The user `guest` has
    /// the password `guest`.
    pub(crate) fn start() -> Result<Self, Missing> {
        let absent = |path: &str| !Path::new(path).exists();
        if absent(SERVER) || absent("/usr/bin/epmd") {
            return Err(Missing("rabbitmq-server is not installed (Debian: rabbitmq-server)".to_owned()));
        }
        if !has_pika() {
            return Err(Missing("python3-pika is not installed (Debian: python3-pika)".to_owned()));
        }
        let dir = tempfile::Builder::new().prefix("rabbitmq").tempdir().unwrap();
        write_certificates(dir.path(), "gw");
        let (port, tls_port, dist_port, epmd_port) = (free_port(), free_port(), free_port(), free_port());
        let path = dir.path().display();
        let text = format!(
            "listeners.tcp.local = 127.0.0.1:{port}\nlisteners.ssl.local = 127.0.0.1:{tls_port}\n\
             ssl_options.cacertfile = {path}/ca.pem\nssl_options.certfile = {path}/server.pem\n\
             ssl_options.keyfile = {path}/server.key\nssl_options.verify = verify_peer\n\
             ssl_options.fail_if_no_peer_cert = true\nauth_mechanisms.1 = PLAIN\nauth_mechanisms.2 = EXTERNAL\n\
             ssl_cert_login_from = common_name\nmax_message_size = 65536\ndisk_free_limit.absolute = 1MB\n\
             collect_statistics_interval = 60000\n"
        );
        std::fs::write(dir.path().join("rabbitmq.conf"), text).unwrap();
        std::fs::write(dir.path().join("enabled_plugins"), "[rabbitmq_auth_mechanism_ssl].\n").unwrap();
        std::fs::write(dir.path().join("env.conf"), "").unwrap();
        let name = format!("mailslotd{port}@localhost");
        // Without one the node would start another, which stays.
        let mut epmd = Command::new("/usr/bin/epmd");
        let epmd = epmd.args(["-port", &epmd_port.to_string(), "-address", "127.0.0.1"]);
        let epmd = Server::start(epmd, &dir.path().join("epmd.log"));
        assert!(is_listening(epmd_port), "no epmd on port {epmd_port}");
        let node = Server::none();
        let mut rabbit = Self { dir, name, port, tls_port, dist_port, epmd_port, node, _epmd: epmd };
        rabbit.start_again();
        rabbit.control(&["add_user", "gw", PASSWORD]);
        rabbit.control(&["set_permissions", "gw", "", "^mailslot", ""]);
        rabbit.python(SETUP);
        Ok(rabbit)
    }

    /// A file of its folder: `ca.pem`, `client.pem`, `client.key`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// As a power cut would end it.
    pub(crate) fn kill(&mut self) {
        self.node.kill();
        // What the node forked to watch memory and disks goes with it; its port is free when the kernel says so.
        assert!(wait_until(|| std::net::TcpListener::bind(("127.0.0.1", self.port)).is_ok()));
    }

    /// Starts it after [`Self::kill`], on the same ports and files.
    pub(crate) fn start_again(&mut self) {
        let mut command = Command::new(SERVER);
        self.node = Server::start(self.surround(&mut command), &self.path("node.log"));
        assert!(is_listening(self.port), "no RabbitMQ on port {}:\n{}", self.port, self.log());
        let booted = || self.rabbitmqctl(&["await_startup"]).is_ok();
        assert!(wait_until(booted), "it does not start:\n{}", self.log());
    }

    /// It holds its connections and answers no more.
    pub(crate) fn freeze(&self) {
        self.node.freeze();
    }

    /// It goes on after [`Self::freeze`].
    pub(crate) fn thaw(&self) {
        self.node.thaw();
    }

    /// What rabbitmqctl says to a command that must succeed.
    pub(crate) fn control(&self, arguments: &[&str]) -> String {
        self.rabbitmqctl(arguments).unwrap_or_else(|said| panic!("rabbitmqctl {arguments:?}: {said}"))
    }

    fn rabbitmqctl(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(CONTROL);
        let output = self.surround(&mut command).arg("-q").args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let failed = || format!("{said}{}", String::from_utf8_lossy(&output.stderr));
        if output.status.success() { Ok(said) } else { Err(failed()) }
    }

    /// What a script with pika writes as JSON; `channel` is open.
    pub(crate) fn python(&self, script: &str) -> serde_json::Value {
        let script = format!("{}\n{script}", PREAMBLE.replace("PORT", &self.port.to_string()));
        let output = Command::new(PYTHON).args(["-c", &script]).stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success(), "{script}");
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    /// Everything in a queue, which is empty then: `key`, `id`, `type`, `content_type`, `mode`, `headers`, `body`.
    pub(crate) fn take(&self, queue: &str) -> Vec<serde_json::Value> {
        let taken = self.python(&TAKE.replace("QUEUE", queue));
        let serde_json::Value::Array(messages) = taken else { panic!("{taken}") };
        messages
    }

    /// What it said.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("node.log")).unwrap_or_default()
    }

    fn surround<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        let dir = self.dir.path();
        let loopback = format!(
            "-kernel inet_dist_use_interface {{127,0,0,1}} -kernel inet_dist_listen_min {0} inet_dist_listen_max {0}",
            self.dist_port
        );
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LANG", "C.UTF-8")
            .env("HOME", dir)
            .env("RABBITMQ_NODENAME", &self.name)
            .env("RABBITMQ_CONF_ENV_FILE", dir.join("env.conf"))
            .env("RABBITMQ_CONFIG_FILE", dir.join("rabbitmq.conf"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", dir.join("enabled_plugins"))
            .env("RABBITMQ_MNESIA_BASE", dir.join("data"))
            .env("RABBITMQ_LOGS", "-")
            // As under systemd the script becomes the node, instead of waiting for it.
            .env("NOTIFY_SOCKET", dir.join("notify"))
            .env("RABBITMQ_DIST_PORT", self.dist_port.to_string())
            .env("RABBITMQ_SERVER_ERL_ARGS", "+S 1:1 +sbwt none")
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", loopback)
            .env("ERL_EPMD_PORT", self.epmd_port.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
    }
}

/// The password of user `gw`.
pub(crate) const PASSWORD: &str = "amqp \"pass/word\"";

fn has_pika() -> bool {
    let found = Command::new(PYTHON).args(["-c", "import pika"]).stderr(Stdio::null()).status();
    found.is_ok_and(|status| status.success())
}

/// Whose modules are those of Debian.
const PYTHON: &str = "/usr/bin/python3";
const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
const CONTROL: &str = "/usr/lib/rabbitmq/bin/rabbitmqctl";
const PREAMBLE: &str = "
import json, pika
connection = pika.BlockingConnection(pika.ConnectionParameters('127.0.0.1', PORT))
channel = connection.channel()
";
const SETUP: &str = "
channel.exchange_declare('mailslot', 'topic', durable=True)
channel.queue_declare('all', durable=True)
channel.queue_bind('all', 'mailslot', '#')
";
const TAKE: &str = "
messages = []
while True:
    method, properties, body = channel.basic_get('QUEUE', auto_ack=True)
    if method is None:
        break
    messages.append({'key': method.routing_key, 'id': properties.message_id, 'type': properties.type, 'app': properties.app_id,
        'content_type': properties.content_type, 'mode': properties.delivery_mode, 'headers': properties.headers or {},
        'body': body.decode()})
print(json.dumps(messages))
";
